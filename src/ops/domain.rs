//! One domain with its snapshots.

use std::sync::Arc;

use super::flags::{CreateFlags, DeleteFlags, ListFlags, RevertFlags};
use crate::error::Result;
use crate::snapshot::State;

/// What undefine does with snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undefine {
    /// Refuses if there are any.
    RefuseSnapshots,
    /// Drops their metadata and leaves their data.
    DropSnapshots,
}

/// Placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {}

/// A domain.
pub struct Domain {}

impl Domain {
    /// Its name.
    pub fn name(&self) -> Arc<str> {
        todo!()
    }
    /// Its UUID.
    pub fn uuid(&self) -> &[u8; 16] {
        todo!()
    }
    /// Its state now.
    pub fn state(&self) -> Result<State> {
        todo!()
    }
    /// Its definition; without `secure` without passwords.
    pub fn definition(&self, _secure: bool) -> Result<String> {
        todo!()
    }
    /// Creates or redefines a snapshot; answers its name.
    pub fn create(&self, _xml: &str, _flags: CreateFlags) -> Result<Arc<str>> {
        todo!()
    }
    /// A snapshot's document.
    pub fn snapshot_xml(&self, _name: &str, _secure: bool) -> Result<String> {
        todo!()
    }
    /// Names of the domain's snapshots that the flags select.
    pub fn list(&self, _flags: ListFlags) -> Result<Vec<Arc<str>>> {
        todo!()
    }
    /// Names of the snapshots below `parent` that the flags select.
    pub fn list_children(&self, _parent: &str, _flags: ListFlags) -> Result<Vec<Arc<str>>> {
        todo!()
    }
    /// How many [`Domain::list`] would give.
    pub fn count(&self, _flags: ListFlags) -> Result<usize> {
        todo!()
    }
    /// How many [`Domain::list_children`] would give.
    pub fn count_children(&self, _parent: &str, _flags: ListFlags) -> Result<usize> {
        todo!()
    }
    /// The name, if there is such a snapshot.
    pub fn lookup(&self, _name: &str) -> Result<Arc<str>> {
        todo!()
    }
    /// Name of the current snapshot, if there is one.
    pub fn current(&self) -> Result<Option<Arc<str>>> {
        todo!()
    }
    /// Name of a snapshot's parent ([`crate::error::Error::NoParent`] for a root).
    pub fn parent(&self, _name: &str) -> Result<Arc<str>> {
        todo!()
    }
    /// Whether the snapshot is the current one.
    pub fn is_current(&self, _name: &str) -> Result<bool> {
        todo!()
    }
    /// Whether the snapshot has metadata: it has, if it exists.
    pub fn has_metadata(&self, _name: &str) -> Result<bool> {
        todo!()
    }
    /// Reverts the domain to a snapshot.
    pub fn revert(&self, _name: &str, _flags: RevertFlags) -> Result<()> {
        todo!()
    }
    /// Deletes snapshots.
    pub fn delete(&self, _name: &str, _flags: DeleteFlags) -> Result<()> {
        todo!()
    }
}
