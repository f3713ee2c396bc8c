//! Flag words of the API, checked and named.
//!
//! Values: libvirt 9.0.0's headers. The mask of each word is the one of libvirt's QEMU driver.

use crate::error::Result;

/// virDomainSnapshotCreateFlags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateFlags(u32);

/// virDomainSnapshotListFlags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListFlags(u32);

/// virDomainSnapshotRevertFlags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevertFlags(u32);

/// virDomainSnapshotDeleteFlags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteFlags(u32);

impl CreateFlags {
    /// Checks a flag word that C gave.
    pub fn new(_bits: u32, _function: &'static str) -> Result<CreateFlags> {
        todo!()
    }
}

impl ListFlags {
    /// Checks a flag word that C gave.
    pub fn new(_bits: u32, _function: &'static str) -> Result<ListFlags> {
        todo!()
    }
}

impl RevertFlags {
    /// Checks a flag word that C gave.
    pub fn new(_bits: u32, _function: &'static str) -> Result<RevertFlags> {
        todo!()
    }
}

impl DeleteFlags {
    /// Checks a flag word that C gave.
    pub fn new(_bits: u32, _function: &'static str) -> Result<DeleteFlags> {
        todo!()
    }
}
