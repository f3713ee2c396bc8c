//! A connection: the domains of one state directory, and whether they may be changed.

use std::sync::Arc;

use super::domain::Domain;
use crate::error::Result;

/// Whether a connection may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

/// An open connection. Connections of one process to one directory share its domains.
pub struct Connection {}

impl Connection {
    /// Opens `virsnap:///ABSOLUTE/STATE/DIR[?redefine_current=parent|flag]`.
    pub fn open(_uri: &str, _access: Access) -> Result<Arc<Connection>> {
        todo!()
    }
    /// The URI it was opened with, as libvirt would give it back.
    pub fn uri(&self) -> &str {
        todo!()
    }
    /// Whether it may change anything.
    pub fn access(&self) -> Access {
        todo!()
    }
    /// All domains, ordered by name.
    pub fn domains(&self) -> Result<Vec<Arc<Domain>>> {
        todo!()
    }
    /// The domain of that name.
    pub fn domain_by_name(&self, _name: &str) -> Result<Arc<Domain>> {
        todo!()
    }
    /// The domain of that UUID ([`crate::error::Error::NoDomainWithUuid`] if there is none).
    pub fn domain_by_uuid(&self, _uuid: &[u8; 16]) -> Result<Arc<Domain>> {
        todo!()
    }
    /// Defines a domain, or replaces the definition of the one with that name and UUID.
    /// `validate`: check the document against the schema of what this library reads.
    pub fn define(&self, _xml: &str) -> Result<Arc<Domain>> {
        todo!()
    }
    /// Removes a domain's definition.
    pub fn undefine(&self, _domain: &Domain, _snapshots: super::Undefine) -> Result<()> {
        todo!()
    }
}
