//! The state directory, in the layout of libvirt's QEMU driver.

use std::path::{Path, PathBuf};

use super::{Change, Listing, Lock, Store};
use crate::error::Result;

/// A state directory.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Opens a state directory, making it (mode 0700) where it is missing.
    pub fn open(_root: &Path) -> Result<Directory> {
        todo!()
    }
}

impl Store for Directory {
    fn domains(&self) -> Result<Listing> {
        todo!()
    }
    fn snapshots(&self, _domain: &str) -> Result<Listing> {
        todo!()
    }
    fn lock(&self, _domain: &str) -> Result<Box<dyn Lock>> {
        todo!()
    }
    fn pending(&self, _domain: &str) -> Result<Option<String>> {
        todo!()
    }
    fn intend(&self, _domain: &str, _intent: &str) -> Result<()> {
        todo!()
    }
    fn withdraw(&self, _domain: &str) -> Result<()> {
        todo!()
    }
    fn commit(&self, _domain: &str, _change: &Change) -> Result<()> {
        todo!()
    }
}
