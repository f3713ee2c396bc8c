//! Lists of snapshots: count, names, handles; of a domain or below a snapshot.

use std::ffi::{c_char, c_int, c_uint};

use super::boundary::{self, Call, count};
use super::forward::{self, forward};
use super::objects;
use super::snapshot_domain::SnapshotDomain;
use super::strings::{self, MallocString};
use super::types::{virDomainPtr, virDomainSnapshotPtr};
use crate::error::{Family, Result};
use crate::ops::{Found, ListFlags};

/// Counts the snapshots of a domain.
///
/// @domain: a domain
/// @flags: bitwise-OR of virDomainSnapshotListFlags
///
/// Returns the number of snapshots, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
/// VIR_ERR_NO_DOMAIN (gone).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotNum(domain: virDomainPtr, flags: c_uint) -> c_int {
    forward!(forward::domain_with_snapshots(domain) => virDomainSnapshotNum(domain, flags));
    const FUNCTION: &str = "virDomainSnapshotNum";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        let domain = call.snapshot_domain(domain)?;
        let flags = ListFlags::new(flags, FUNCTION)?;
        domain.now()?.count(flags).map(count)
    })
}

/// Lists the names of the snapshots of a domain.
///
/// @domain: a domain
/// @names: an array for the names; may be NULL if nameslen is 0
/// @nameslen: how many names the array holds; 0 to count them only
/// @flags: bitwise-OR of virDomainSnapshotListFlags
///
/// Use virDomainListAllSnapshots() instead: the number may change between two calls.
///
/// Returns the number of names stored (never more than nameslen; with 0 the number there is), or
/// -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (no array, negative length,
/// unknown flag), VIR_ERR_NO_DOMAIN (gone), VIR_ERR_NO_MEMORY. The array is untouched then.
/// Threads: any. Ownership: the caller frees each name with free().
/// Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
///
/// # Safety
///
/// names is NULL or has nameslen writable slots.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainSnapshotListNames(
    domain: virDomainPtr,
    names: *mut *mut c_char,
    nameslen: c_int,
    flags: c_uint,
) -> c_int {
    forward!(forward::domain_with_snapshots(domain) => virDomainSnapshotListNames(domain, names, nameslen, flags));
    const FUNCTION: &str = "virDomainSnapshotListNames";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        let domain = call.snapshot_domain(domain)?;
        let slots = call.array(names, "names", nameslen, "nameslen")?;
        let flags = ListFlags::new(flags, FUNCTION)?;
        let domain = domain.now()?;
        if slots == 0 {
            // With room for none the program asks how many there are.
            return domain.count(flags).map(count);
        }
        let found = domain.names(flags, slots, MallocString::new)?;
        // SAFETY: no more than `slots` names, which are writable by this function's contract.
        unsafe { give_names(call, found, names) }
    })
}

/// Lists the snapshots of a domain.
///
/// @domain: a domain
/// @snaps: where to store the array of snapshots; NULL to count them only
/// @flags: bitwise-OR of virDomainSnapshotListFlags
///
/// Returns the number of snapshots, or -1 in case of error. The array has a NULL behind the last.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
/// VIR_ERR_NO_DOMAIN (gone), VIR_ERR_NO_MEMORY. *snaps is NULL then.
/// Threads: any. Ownership: the caller frees each snapshot with virDomainSnapshotFree(), then the
/// array with free().
/// Since: 0.9.13. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
///
/// # Safety
///
/// snaps is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainListAllSnapshots(
    domain: virDomainPtr,
    snaps: *mut *mut virDomainSnapshotPtr,
    flags: c_uint,
) -> c_int {
    forward!(forward::domain_with_snapshots(domain) => virDomainListAllSnapshots(domain, snaps, flags));
    const FUNCTION: &str = "virDomainListAllSnapshots";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        // SAFETY: NULL or writable by this function's contract.
        unsafe { forget(snaps) };
        let domain = call.snapshot_domain(domain)?;
        let flags = ListFlags::new(flags, FUNCTION)?;
        if snaps.is_null() {
            return domain.now()?.count(flags).map(count);
        }
        let found = domain.now()?.list(flags)?;
        // SAFETY: not NULL, and so writable by this function's contract.
        unsafe { give_snapshots(call, &domain, found, snaps) }
    })
}

/// Counts the children of a snapshot.
///
/// @snapshot: a snapshot
/// @flags: bitwise-OR of virDomainSnapshotListFlags
///
/// With VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS all descendants count.
///
/// Returns the number of snapshots, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
/// VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.9.7. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotNumChildren(
    snapshot: virDomainSnapshotPtr,
    flags: c_uint,
) -> c_int {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotNumChildren(snapshot, flags));
    const FUNCTION: &str = "virDomainSnapshotNumChildren";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        let snapshot = call.snapshot(snapshot)?;
        let flags = ListFlags::new(flags, FUNCTION)?;
        snapshot
            .domain
            .now()?
            .count_children(snapshot.named(), flags)
            .map(count)
    })
}

/// Lists the names of the children of a snapshot.
///
/// @snapshot: a snapshot
/// @names: an array for the names; may be NULL if nameslen is 0
/// @nameslen: how many names the array holds; 0 to count them only
/// @flags: bitwise-OR of virDomainSnapshotListFlags
///
/// With VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS all descendants are listed. Use
/// virDomainSnapshotListAllChildren() instead: the number may change between two calls.
///
/// Returns the number of names stored (never more than nameslen; with 0 the number there is), or
/// -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (no array, negative
/// length, unknown flag), VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone), VIR_ERR_NO_MEMORY.
/// The array is untouched then.
/// Threads: any. Ownership: the caller frees each name with free().
/// Since: 0.9.7. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
///
/// # Safety
///
/// names is NULL or has nameslen writable slots.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainSnapshotListChildrenNames(
    snapshot: virDomainSnapshotPtr,
    names: *mut *mut c_char,
    nameslen: c_int,
    flags: c_uint,
) -> c_int {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotListChildrenNames(snapshot, names, nameslen, flags));
    const FUNCTION: &str = "virDomainSnapshotListChildrenNames";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        let snapshot = call.snapshot(snapshot)?;
        let slots = call.array(names, "names", nameslen, "nameslen")?;
        let flags = ListFlags::new(flags, FUNCTION)?;
        let (domain, snapshot) = (snapshot.domain.now()?, snapshot.named());
        if slots == 0 {
            return domain.count_children(snapshot, flags).map(count);
        }
        let found = domain.names_of_children(snapshot, flags, slots, MallocString::new)?;
        // SAFETY: no more than `slots` names, which are writable by this function's contract.
        unsafe { give_names(call, found, names) }
    })
}

/// Lists the children of a snapshot.
///
/// @snapshot: a snapshot
/// @snaps: where to store the array of snapshots; NULL to count them only
/// @flags: bitwise-OR of virDomainSnapshotListFlags
///
/// With VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS all descendants are listed, parents before their
/// children.
///
/// Returns the number of snapshots, or -1 in case of error. The array has a NULL behind the last.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
/// VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone), VIR_ERR_NO_MEMORY. *snaps is NULL then.
/// Threads: any. Ownership: the caller frees each snapshot with virDomainSnapshotFree(), then the
/// array with free().
/// Since: 0.9.13. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
///
/// # Safety
///
/// snaps is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainSnapshotListAllChildren(
    snapshot: virDomainSnapshotPtr,
    snaps: *mut *mut virDomainSnapshotPtr,
    flags: c_uint,
) -> c_int {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotListAllChildren(snapshot, snaps, flags));
    const FUNCTION: &str = "virDomainSnapshotListAllChildren";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        // SAFETY: NULL or writable by this function's contract.
        unsafe { forget(snaps) };
        let snapshot = call.snapshot(snapshot)?;
        let flags = ListFlags::new(flags, FUNCTION)?;
        let domain = snapshot.domain.now()?;
        if snaps.is_null() {
            return domain.count_children(snapshot.named(), flags).map(count);
        }
        let found = domain.list_children(snapshot.named(), flags)?;
        // SAFETY: not NULL, and so writable by this function's contract.
        unsafe { give_snapshots(call, &snapshot.domain, found, snaps) }
    })
}

/// libvirt: the array is NULL on every failure, whatever was in the program's variable.
///
/// # Safety
///
/// `snaps` is NULL or writable.
unsafe fn forget(snaps: *mut *mut virDomainSnapshotPtr) {
    if !snaps.is_null() {
        // SAFETY: not NULL, and so writable by this contract.
        unsafe { snaps.write(std::ptr::null_mut()) };
    }
}

/// Stores as many names as there are slots, all or none of them, and answers how many. libvirt
/// 9.0 answers the number found instead, and its daemon then reads behind the array
/// (docs/differences.md); its documentation allows both.
///
/// # Safety
///
/// `names` has as many writable slots.
unsafe fn give_names(
    call: &Call,
    found: Vec<Option<MallocString>>,
    names: *mut *mut c_char,
) -> Result<c_int> {
    let strings: Option<Vec<MallocString>> = found.into_iter().collect();
    let strings = strings.ok_or_else(|| call.out_of_memory())?;
    // SAFETY: one string a slot, and so writable by this contract.
    Ok(count(unsafe { strings::fill(names, strings) }))
}

/// Stores an array of new handles and answers how many.
///
/// # Safety
///
/// `snaps` is writable.
unsafe fn give_snapshots(
    call: &Call,
    domain: &SnapshotDomain,
    found: Vec<Found>,
    snaps: *mut *mut virDomainSnapshotPtr,
) -> Result<c_int> {
    let length = found.len();
    let array = objects::give_snapshots(domain, found, call.function)?;
    // SAFETY: writable by this contract.
    unsafe { snaps.write(array.as_ptr()) };
    Ok(count(length))
}
