//! Snapshots: create, find, describe, revert, delete.

use std::ffi::{c_char, c_int, c_uint};

use super::boundary;
use super::constants::virDomainSnapshotXMLFlags;
use super::forward::{self, forward};
use super::objects;
use super::strings::MallocString;
use super::types::{virDomainPtr, virDomainSnapshotPtr};
use crate::error::{Error, Family};
use crate::ops::{CreateFlags, DeleteFlags, RevertFlags};
use crate::xml::DocumentKind;

const SECURE: c_uint = virDomainSnapshotXMLFlags::VIR_DOMAIN_SNAPSHOT_XML_SECURE as c_uint;

/// Takes a snapshot of a domain, or with VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE restores or changes the
/// metadata of one.
///
/// @domain: a domain
/// @xmlDesc: a `<domainsnapshot>` document
/// @flags: bitwise-OR of virDomainSnapshotCreateFlags
///
/// A new snapshot is the child of the current one and becomes the current one itself. Without a
/// name in the document it is called by the time in seconds since 1970. Either the whole snapshot
/// exists afterwards, data and metadata, or nothing of it.
///
/// Returns a new snapshot handle, or NULL in case of error. With
/// VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA the handle knows its name only.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (xmlDesc is NULL, flags, parent
/// of a redefined snapshot), VIR_ERR_OPERATION_DENIED (read-only), VIR_ERR_NO_DOMAIN (gone),
/// VIR_ERR_XML_DETAIL, VIR_ERR_XML_ERROR (bad document), VIR_ERR_OPERATION_FAILED (the name is
/// taken), VIR_ERR_CONFIG_UNSUPPORTED (disks that cannot be captured so), VIR_ERR_OPERATION_TIMEOUT
/// (another operation runs), VIR_ERR_INTERNAL_ERROR (the capture failed).
/// Threads: any; one operation of a domain after the other. Ownership: the caller frees the
/// snapshot with virDomainSnapshotFree().
/// Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
///
/// # Safety
///
/// xmlDesc is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainSnapshotCreateXML(
    domain: virDomainPtr,
    xmlDesc: *const c_char,
    flags: c_uint,
) -> virDomainSnapshotPtr {
    forward!(forward::domain_with_snapshots(domain) => virDomainSnapshotCreateXML(domain, xmlDesc, flags));
    const FUNCTION: &str = "virDomainSnapshotCreateXML";
    boundary::enter(FUNCTION, Family::Snapshot, std::ptr::null_mut(), |call| {
        let domain = call.snapshot_domain(domain)?;
        // SAFETY: NULL or NUL-terminated by this function's contract.
        let xml = unsafe { call.document(xmlDesc, "xmlDesc", DocumentKind::Snapshot) }?;
        call.may_change(&domain)?;
        let flags = CreateFlags::new(flags, FUNCTION)?;
        let rules = domain.redefine_rules()?;
        let name = domain.to_change()?.create(&xml, flags, rules)?;
        Ok(objects::created_snapshot(&domain, name.into(), FUNCTION)?.give())
    })
}

/// Describes a snapshot.
///
/// @snapshot: a snapshot
/// @flags: bitwise-OR of virDomainSnapshotXMLFlags
///
/// The document can be given to virDomainSnapshotCreateXML() with
/// VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE, here or elsewhere. Without VIR_DOMAIN_SNAPSHOT_XML_SECURE
/// there are no passwords in it.
///
/// Returns the `<domainsnapshot>` document, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_OPERATION_DENIED (SECURE on a
/// read-only connection), VIR_ERR_INVALID_ARG (unknown flag), VIR_ERR_NO_DOMAIN,
/// VIR_ERR_NO_DOMAIN_SNAPSHOT (gone), VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees the string with free().
/// Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotGetXMLDesc(
    snapshot: virDomainSnapshotPtr,
    flags: c_uint,
) -> *mut c_char {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotGetXMLDesc(snapshot, flags));
    const FUNCTION: &str = "virDomainSnapshotGetXMLDesc";
    boundary::enter(FUNCTION, Family::Snapshot, std::ptr::null_mut(), |call| {
        let snapshot = call.snapshot(snapshot)?;
        let is_secure = flags & SECURE != 0;
        if is_secure {
            call.may_see_secrets_of(&snapshot.domain)?;
        }
        call.known_flags(flags, SECURE)?;
        let document = snapshot
            .domain
            .now()?
            .snapshot_xml(snapshot.named(), is_secure)?;
        let text = MallocString::of(document);
        Ok(text.ok_or_else(|| call.out_of_memory())?.into_raw())
    })
}

/// Finds a snapshot by its name.
///
/// @domain: a domain
/// @name: the name
/// @flags: 0
///
/// Returns a new snapshot handle, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (name is NULL, or a flag),
/// VIR_ERR_NO_DOMAIN (gone), VIR_ERR_NO_DOMAIN_SNAPSHOT (there is none).
/// Threads: any. Ownership: the caller frees the snapshot with virDomainSnapshotFree().
/// Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
///
/// # Safety
///
/// name is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainSnapshotLookupByName(
    domain: virDomainPtr,
    name: *const c_char,
    flags: c_uint,
) -> virDomainSnapshotPtr {
    forward!(forward::domain_with_snapshots(domain) => virDomainSnapshotLookupByName(domain, name, flags));
    const FUNCTION: &str = "virDomainSnapshotLookupByName";
    boundary::enter(FUNCTION, Family::Snapshot, std::ptr::null_mut(), |call| {
        let domain = call.snapshot_domain(domain)?;
        // SAFETY: NULL or NUL-terminated by this function's contract.
        let name = unsafe { call.text(name, "name") }?;
        call.known_flags(flags, 0)?;
        let found = domain.now()?.lookup(&name)?;
        Ok(objects::new_snapshot(&domain, found, FUNCTION)?.give())
    })
}

/// Tells whether a domain has a current snapshot: the one that would be the parent of the next.
///
/// @domain: a domain
/// @flags: 0
///
/// Returns 1 or 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_DOMAIN
/// (gone).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainHasCurrentSnapshot(domain: virDomainPtr, flags: c_uint) -> c_int {
    forward!(forward::domain_with_snapshots(domain) => virDomainHasCurrentSnapshot(domain, flags));
    const FUNCTION: &str = "virDomainHasCurrentSnapshot";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        let domain = call.snapshot_domain(domain)?;
        call.known_flags(flags, 0)?;
        Ok(c_int::from(domain.now()?.has_current()?))
    })
}

/// Gives the current snapshot of a domain.
///
/// @domain: a domain
/// @flags: 0
///
/// Returns a new snapshot handle, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_DOMAIN
/// (gone), VIR_ERR_NO_DOMAIN_SNAPSHOT (there is no current one).
/// Threads: any. Ownership: the caller frees the snapshot with virDomainSnapshotFree().
/// Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotCurrent(
    domain: virDomainPtr,
    flags: c_uint,
) -> virDomainSnapshotPtr {
    forward!(forward::domain_with_snapshots(domain) => virDomainSnapshotCurrent(domain, flags));
    const FUNCTION: &str = "virDomainSnapshotCurrent";
    boundary::enter(FUNCTION, Family::Snapshot, std::ptr::null_mut(), |call| {
        let domain = call.snapshot_domain(domain)?;
        call.known_flags(flags, 0)?;
        let found = domain.now()?.find_current()?.ok_or(Error::NoCurrent)?;
        Ok(objects::new_snapshot(&domain, found, FUNCTION)?.give())
    })
}

/// Gives the parent of a snapshot.
///
/// @snapshot: a snapshot
/// @flags: 0
///
/// Returns a new snapshot handle, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (a flag),
/// VIR_ERR_NO_DOMAIN (gone), VIR_ERR_NO_DOMAIN_SNAPSHOT (gone, or it has no parent).
/// Threads: any. Ownership: the caller frees the snapshot with virDomainSnapshotFree().
/// Since: 0.9.7. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotGetParent(
    snapshot: virDomainSnapshotPtr,
    flags: c_uint,
) -> virDomainSnapshotPtr {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotGetParent(snapshot, flags));
    const FUNCTION: &str = "virDomainSnapshotGetParent";
    boundary::enter(FUNCTION, Family::Snapshot, std::ptr::null_mut(), |call| {
        let snapshot = call.snapshot(snapshot)?;
        call.known_flags(flags, 0)?;
        let parent = snapshot.domain.now()?.parent(snapshot.named())?;
        Ok(objects::new_snapshot(&snapshot.domain, parent, FUNCTION)?.give())
    })
}

/// Tells whether a snapshot is the current one of its domain.
///
/// @snapshot: a snapshot
/// @flags: 0
///
/// Returns 1 or 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (a flag),
/// VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.9.13. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotIsCurrent(
    snapshot: virDomainSnapshotPtr,
    flags: c_uint,
) -> c_int {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotIsCurrent(snapshot, flags));
    const FUNCTION: &str = "virDomainSnapshotIsCurrent";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        let snapshot = call.snapshot(snapshot)?;
        call.known_flags(flags, 0)?;
        Ok(c_int::from(
            snapshot.domain.now()?.is_current(snapshot.named())?,
        ))
    })
}

/// Tells whether a snapshot has metadata. Each that exists has.
///
/// @snapshot: a snapshot
/// @flags: 0
///
/// Returns 1 or 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (a flag),
/// VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.9.13. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotHasMetadata(
    snapshot: virDomainSnapshotPtr,
    flags: c_uint,
) -> c_int {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotHasMetadata(snapshot, flags));
    const FUNCTION: &str = "virDomainSnapshotHasMetadata";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        let snapshot = call.snapshot(snapshot)?;
        call.known_flags(flags, 0)?;
        Ok(c_int::from(
            snapshot.domain.now()?.has_metadata(snapshot.named())?,
        ))
    })
}

/// Makes a domain what it was when a snapshot was taken. What it has become since is lost unless
/// another snapshot has it.
///
/// @snapshot: a snapshot
/// @flags: bitwise-OR of virDomainSnapshotRevertFlags
///
/// The snapshot becomes the current one. Before the first image is touched all are checked to
/// hold the snapshot.
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
/// VIR_ERR_INVALID_ARG (flags), VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone),
/// VIR_ERR_SNAPSHOT_REVERT_RISKY (needs FORCE), VIR_ERR_CONFIG_UNSUPPORTED (not that kind of
/// snapshot), VIR_ERR_OPERATION_TIMEOUT (another operation runs), VIR_ERR_INTERNAL_ERROR (the
/// revert failed).
/// Threads: any; one operation of a domain after the other. Ownership: nothing changes hands.
/// Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainRevertToSnapshot(
    snapshot: virDomainSnapshotPtr,
    flags: c_uint,
) -> c_int {
    forward!(forward::snapshot(snapshot) => virDomainRevertToSnapshot(snapshot, flags));
    const FUNCTION: &str = "virDomainRevertToSnapshot";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        let snapshot = call.snapshot(snapshot)?;
        call.may_change(&snapshot.domain)?;
        let flags = RevertFlags::new(flags, FUNCTION)?;
        let domain = snapshot.domain.to_change()?;
        domain.revert(snapshot.name(), flags)?;
        Ok(0)
    })
}

/// Deletes a snapshot, data and metadata. Its children become those of its parent.
///
/// @snapshot: a snapshot
/// @flags: bitwise-OR of virDomainSnapshotDeleteFlags
///
/// With VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN its descendants go too, with
/// VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY only they, with VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY
/// the data stays.
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
/// VIR_ERR_INVALID_ARG (flags), VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone),
/// VIR_ERR_OPERATION_TIMEOUT (another operation runs), VIR_ERR_INTERNAL_ERROR (the data could not
/// be dropped).
/// Threads: any; one operation of a domain after the other. Ownership: the handle stays and is
/// freed with virDomainSnapshotFree().
/// Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainSnapshotDelete(snapshot: virDomainSnapshotPtr, flags: c_uint) -> c_int {
    forward!(forward::snapshot(snapshot) => virDomainSnapshotDelete(snapshot, flags));
    const FUNCTION: &str = "virDomainSnapshotDelete";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        let snapshot = call.snapshot(snapshot)?;
        call.may_change(&snapshot.domain)?;
        let flags = DeleteFlags::new(flags, FUNCTION)?;
        let domain = snapshot.domain.to_change()?;
        domain.delete(snapshot.name(), flags)?;
        Ok(0)
    })
}
