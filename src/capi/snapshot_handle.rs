//! Snapshot handles: what they name, and their references.

use std::ffi::{c_char, c_int};

use super::boundary::{self, Call};
use super::forward::{self, forward};
use super::objects;
use super::types::{virConnectPtr, virDomainPtr, virDomainSnapshotPtr};
use crate::error::{Error, Family, Result};

/// Tells the name of a snapshot, also when the snapshot is gone.
///
/// @snapshot: a snapshot
///
/// Returns the name, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle).
/// Threads: any. Ownership: the string belongs to the handle and is valid until its last
/// virDomainSnapshotFree().
/// Since: 0.9.5. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotGetName(snapshot: virDomainSnapshotPtr) -> *const c_char {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotGetName(snapshot));
    const FUNCTION: &str = "virDomainSnapshotGetName";
    boundary::enter(FUNCTION, Family::Snapshot, std::ptr::null(), |call| {
        Ok(call.snapshot(snapshot)?.c_name())
    })
}

/// Tells the domain of a snapshot: the very handle that the snapshot's handle was made with.
///
/// @snapshot: a snapshot
///
/// Returns the domain, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle).
/// Threads: any. Ownership: no reference is added; the domain handle is valid as long as the
/// snapshot handle.
/// Since: 0.9.5. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotGetDomain(snapshot: virDomainSnapshotPtr) -> virDomainPtr {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotGetDomain(snapshot));
    const FUNCTION: &str = "virDomainSnapshotGetDomain";
    boundary::enter(FUNCTION, Family::Snapshot, std::ptr::null_mut(), |call| {
        Ok(call.snapshot(snapshot)?.domain.pointer())
    })
}

/// Tells the connection of a snapshot.
///
/// @snapshot: a snapshot
///
/// Returns the connection, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle).
/// Threads: any. Ownership: no reference is added; the connection is valid as long as the snapshot
/// handle.
/// Since: 0.9.5. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotGetConnect(snapshot: virDomainSnapshotPtr) -> virConnectPtr {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotGetConnect(snapshot));
    const FUNCTION: &str = "virDomainSnapshotGetConnect";
    boundary::enter(FUNCTION, Family::Snapshot, std::ptr::null_mut(), |call| {
        Ok(call.snapshot(snapshot)?.domain.connection())
    })
}

/// Adds a reference to a snapshot handle. Each needs a virDomainSnapshotFree() of its own.
///
/// @snapshot: a snapshot
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle).
/// Threads: any. Ownership: the caller has one reference more to give back.
/// Since: 0.9.13. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotRef(snapshot: virDomainSnapshotPtr) -> c_int {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotRef(snapshot));
    const FUNCTION: &str = "virDomainSnapshotRef";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        let reference = call.snapshot(snapshot)?.reference();
        done(call, reference)
    })
}

/// Gives back a reference to a snapshot handle. The snapshot itself stays.
///
/// @snapshot: a snapshot
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle). NULL is such an error.
/// Threads: any. Ownership: the caller's reference is gone.
/// Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotFree(snapshot: virDomainSnapshotPtr) -> c_int {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotFree(snapshot));
    const FUNCTION: &str = "virDomainSnapshotFree";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        done(call, objects::release_snapshot(snapshot))
    })
}

fn done<T>(call: &Call, result: Option<T>) -> Result<c_int> {
    result.map(|_| 0).ok_or_else(|| Error::InvalidSnapshot {
        function: call.function,
    })
}
