//! What is not ours is the real libvirt's: its handles go to its own functions.
//!
//! An export begins with `forward!`, which calls libvirt's function of the same name where that is
//! who the program means, and returns what it returns. Its error stays untouched.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::dispatch;
use super::objects;
use super::types::{virConnectPtr, virDomainPtr, virDomainSnapshotPtr};
use crate::error::Result;
use crate::libvirt::{self, Driver, Libvirt};

/// Ends the export with the answer of libvirt's function of that name, if `$libvirt` is there.
///
/// The type of libvirt's function is the export's own.
macro_rules! forward {
    (@any $argument:expr) => { _ };
    ($libvirt:expr => $function:ident($($argument:expr),*)) => {
        if let Some(libvirt) = $libvirt {
            static TWIN: $crate::capi::forward::Twin = $crate::capi::forward::Twin::new();
            let ours: unsafe extern "C" fn($(forward!(@any $argument)),*) -> _ = $function;
            let name = concat!(stringify!($function), "\0");
            if let Some(theirs) = TWIN.of(libvirt, name, ours) {
                // SAFETY: the program's own arguments, for the function that it has called; what
                // it owes to that, it owes to ours.
                return unsafe { theirs($($argument),*) };
            }
        }
    };
}
pub(super) use forward;

/// libvirt's function of the name of one of ours.
pub(super) struct Twin(AtomicPtr<std::ffi::c_void>);

impl Twin {
    /// Not looked up yet.
    pub(super) const fn new() -> Twin {
        Twin(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// The function, with the type of ours; `None` if that libvirt does not have it.
    pub(super) fn of<F: Copy>(
        &self,
        libvirt: &'static Libvirt,
        name: &'static str,
        _ours: F,
    ) -> Option<F> {
        const {
            assert!(size_of::<F>() == size_of::<*mut std::ffi::c_void>());
        }
        let mut address = self.0.load(Ordering::Relaxed);
        if address.is_null() {
            let name = CStr::from_bytes_with_nul(name.as_bytes()).ok()?;
            address = libvirt.function(name)?.as_ptr();
            self.0.store(address, Ordering::Relaxed);
        }
        // SAFETY: `F` is the pointer type of our function of that name, as big as an address, and
        // libvirt's header declares both functions alike (tests/header.rs compares them).
        Some(unsafe { std::mem::transmute_copy::<*mut std::ffi::c_void, F>(&address) })
    }
}

/// libvirt, for a connection that is not ours.
pub(super) fn connection(pointer: virConnectPtr) -> Option<&'static Libvirt> {
    not_ours(pointer)
}

/// libvirt, for a domain that is not ours.
pub(super) fn domain(pointer: virDomainPtr) -> Option<&'static Libvirt> {
    not_ours(pointer)
}

/// libvirt, for a function of snapshots with a domain whose snapshots are libvirt's affair: that
/// of another driver, or what is no domain at all.
pub(super) fn domain_with_snapshots(pointer: virDomainPtr) -> Option<&'static Libvirt> {
    let libvirt = not_ours(pointer)?;
    let is_forwarded = match guest(libvirt, pointer) {
        Some(Ok(guest)) => matches!(guest.driver(), Ok(Driver::Other)),
        Some(Err(_)) => false,
        None => true,
    };
    if is_forwarded {
        HAS_GIVEN_SNAPSHOTS.store(true, Ordering::Relaxed);
    }
    is_forwarded.then_some(libvirt)
}

/// Whether the program may have snapshot handles of libvirt's own.
static HAS_GIVEN_SNAPSHOTS: AtomicBool = AtomicBool::new(false);

/// libvirt, for a snapshot that is not ours. Where libvirt has not given out any, such a pointer is
/// nobody's, and is not followed.
pub(super) fn snapshot(pointer: virDomainSnapshotPtr) -> Option<&'static Libvirt> {
    if !HAS_GIVEN_SNAPSHOTS.load(Ordering::Relaxed) {
        return None;
    }
    not_ours(pointer)
}

/// The domain of libvirt's that C means; `None` if it is not libvirt's.
pub(super) fn guest_of(pointer: virDomainPtr) -> Result<Option<libvirt::Domain>> {
    match not_ours(pointer) {
        Some(libvirt) => guest(libvirt, pointer).transpose(),
        None => Ok(None),
    }
}

/// `None` if libvirt says that it is no domain.
fn guest(libvirt: &'static Libvirt, pointer: virDomainPtr) -> Option<Result<libvirt::Domain>> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not ours, so it is libvirt's by the program's word, as in each call of libvirt's.
    if unsafe { libvirt.is_domain(pointer.cast()) } == Some(false) {
        return None;
    }
    // SAFETY: as above; libvirt refuses what is no domain.
    Some(unsafe { libvirt::Domain::hold(libvirt, pointer.cast()) })
}

fn not_ours<T>(pointer: *const T) -> Option<&'static Libvirt> {
    if objects::is_ours(pointer) {
        return None;
    }
    dispatch::libvirt()
}
