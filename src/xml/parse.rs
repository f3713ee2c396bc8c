//! Reads a `<domainsnapshot>` document.

use crate::error::Result;
use crate::snapshot::Snapshot;

/// What a document is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A new snapshot: only name, description, memory and disks are read.
    Create {
        /// Creation time, and the default name: seconds since 1970.
        now: i64,
        /// DISK_ONLY, or the domain is inactive: no memory may be kept.
        offline: bool,
    },
    /// Metadata of a snapshot that exists: everything is read.
    Redefine,
    /// A stored document: everything, and `<active>` must be there.
    Load,
}

/// What a document said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The snapshot. On create its state is [`crate::snapshot::State::Shutoff`] and its parent
    /// `None` until the caller knows better.
    pub snapshot: Snapshot,
    /// `<active>` of a stored document; `false` in the other modes.
    pub active: bool,
}

/// Reads a document.
pub fn parse(_text: &str, _mode: Mode) -> Result<Parsed> {
    todo!()
}
