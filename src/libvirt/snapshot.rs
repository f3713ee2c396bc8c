//! A snapshot that libvirt itself keeps.

use std::ffi::{c_int, c_uint};
use std::ptr::NonNull;

use super::functions::Opaque;
use super::library::Libvirt;
use super::saved::failed;
use super::text;
use crate::error::Result;

/// VIR_DOMAIN_SNAPSHOT_XML_SECURE.
const XML_SECURE: c_uint = 1;

/// A handle of libvirt's own, freed when dropped.
pub struct Snapshot {
    libvirt: &'static Libvirt,
    pointer: NonNull<Opaque>,
}

impl Snapshot {
    pub(super) fn new(libvirt: &'static Libvirt, pointer: NonNull<Opaque>) -> Snapshot {
        Snapshot { libvirt, pointer }
    }

    /// Its name.
    pub fn name(&self) -> Result<String> {
        // SAFETY: held by this value.
        let name = unsafe { (self.libvirt.public.virDomainSnapshotGetName)(self.pointer()) };
        // SAFETY: NULL, or a string that lives as long as the handle.
        unsafe { text::borrowed(name) }.ok_or_else(|| failed(self.libvirt))
    }

    /// Its document, with secrets or without.
    pub fn xml(&self, secure: bool) -> Result<String> {
        let flags = if secure { XML_SECURE } else { 0 };
        // SAFETY: held by this value.
        let text =
            unsafe { (self.libvirt.public.virDomainSnapshotGetXMLDesc)(self.pointer(), flags) };
        // SAFETY: NULL, or a string that is ours.
        unsafe { text::owned(text) }.ok_or_else(|| failed(self.libvirt))
    }

    /// virDomainRevertToSnapshot() of libvirt's own.
    pub fn revert(&self, flags: c_uint) -> Result<()> {
        // SAFETY: held by this value.
        let result =
            unsafe { (self.libvirt.public.virDomainRevertToSnapshot)(self.pointer(), flags) };
        self.checked(result).map(|_| ())
    }

    /// virDomainSnapshotDelete() of libvirt's own.
    pub fn delete(&self, flags: c_uint) -> Result<()> {
        // SAFETY: held by this value.
        let result =
            unsafe { (self.libvirt.public.virDomainSnapshotDelete)(self.pointer(), flags) };
        self.checked(result).map(|_| ())
    }

    fn pointer(&self) -> *mut Opaque {
        self.pointer.as_ptr()
    }

    fn checked(&self, result: c_int) -> Result<c_int> {
        if result < 0 {
            return Err(failed(self.libvirt));
        }
        Ok(result)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // SAFETY: the handle's one reference, which nobody uses after this.
        unsafe { (self.libvirt.public.virDomainSnapshotFree)(self.pointer()) };
    }
}
