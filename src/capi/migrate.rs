//! Migration: a domain's snapshots go to another host. Not libvirt's, which refuses to migrate a
//! domain that has any.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::os::fd::BorrowedFd;

use rustix::io::retry_on_intr;

use super::boundary::{self, Call};
use super::forward;
use super::objects;
use super::snapshot_domain::SnapshotDomain;
use super::strings::MallocString;
use super::types::{virConnectPtr, virDomainPtr};
use crate::error::{Error, Family, Result};
use crate::libvirt;
use crate::limits;
use crate::ops::companion::{self, Original};
use crate::ops::{Carry, Outcome, Phase, RedefineCheck};
use crate::xml::{DocumentKind, Mapping};

/// Flags of virSnapDomainMigrateCheck() and virSnapDomainMigrateBegin().
#[repr(C)]
pub enum virSnapMigrateFlags {
    /// The domain's snapshots go with it. Without this flag there may be none.
    VIR_SNAP_MIGRATE_METADATA = 1,
}

/// Flags of virSnapDomainMigrateImport() and virSnapDomainMigrateImportFD().
#[repr(C)]
pub enum virSnapMigrateImportFlags {
    /// The storage is not there yet: the data is not looked at.
    VIR_SNAP_MIGRATE_IMPORT_UNCHECKED = 1,
}

/// Flags of virSnapDomainMigrateAdopt().
#[repr(C)]
pub enum virSnapMigrateAdoptFlags {
    /// libvirt forgets the metadata that was adopted; data stays.
    VIR_SNAP_MIGRATE_ADOPT_FORGET = 1,
}

/// How far the last migration of a domain has come on this host.
#[repr(C)]
pub enum virSnapMigrateState {
    /// There was none.
    VIR_SNAP_MIGRATE_STATE_NONE = 0,
    /// It began here, and the snapshots are frozen: confirm or cancel it.
    VIR_SNAP_MIGRATE_STATE_OUTGOING = 1,
    /// Snapshots came in and are not visible yet; those that are here are frozen: finish or cancel it.
    VIR_SNAP_MIGRATE_STATE_INCOMING = 2,
    /// Snapshots that came in are visible: confirm it at the source.
    VIR_SNAP_MIGRATE_STATE_FINISHED = 3,
    /// The snapshots have gone from here.
    VIR_SNAP_MIGRATE_STATE_CONFIRMED = 4,
    /// It was given up here.
    VIR_SNAP_MIGRATE_STATE_CANCELLED = 5,
}

/// A directory or file of the source, and what it is called on this host.
#[repr(C)]
pub struct _virSnapMigratePath {
    /// An absolute path, or the beginning of one up to a slash.
    pub from: *const c_char,
    /// What takes its place.
    pub to: *const c_char,
}
/// A directory or file of the source, and what it is called on this host.
pub type virSnapMigratePath = _virSnapMigratePath;

/// Takes bytes of a stream that is exported.
///
/// @bytes: the bytes, valid during the call
/// @length: how many; at most 2 MiB
/// @opaque: what was handed over with the function
///
/// Returns how many it took, at least 1; or -1 to end the export.
pub type virSnapMigrateSendFunc = Option<
    unsafe extern "C" fn(bytes: *const c_char, length: c_uint, opaque: *mut c_void) -> c_int,
>;

/// Gives bytes of a stream that is imported.
///
/// @bytes: where to write them, valid during the call
/// @length: how many there is room for; at most 2 MiB
/// @opaque: what was handed over with the function
///
/// Returns how many it wrote, 0 where the stream ends, or -1 to end the import.
pub type virSnapMigrateReceiveFunc =
    Option<unsafe extern "C" fn(bytes: *mut c_char, length: c_uint, opaque: *mut c_void) -> c_int>;

/// Tells whether virSnapDomainMigrateBegin() would succeed with these flags now, and changes nothing.
///
/// @domain: a domain
/// @flags: bitwise-OR of virSnapMigrateFlags
///
/// Returns 0 if it would, or -1 in case of error: the very error that it would have.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
/// VIR_ERR_OPERATION_INVALID (without METADATA: the domain has snapshots; a migration goes on
/// already), VIR_ERR_INTERNAL_ERROR (stored snapshots cannot be read).
/// Threads: any. Ownership: nothing changes hands.
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapDomainMigrateCheck(domain: virDomainPtr, flags: c_uint) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateCheck";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.snapshot_domain(domain)?;
        let carry = carry(call, flags)?;
        domain.now()?.migrate_check(carry)?;
        Ok(0)
    })
}

/// Begins a migration at the source.
///
/// @domain: the domain at the source
/// @cookie: where to store the cookie for the destination; without METADATA NULL is stored, and
/// this may be NULL
/// @flags: bitwise-OR of virSnapMigrateFlags
///
/// Without METADATA it succeeds if the domain has no snapshots, and changes nothing.
/// With METADATA the snapshots are frozen: every change of them is refused with
/// VIR_ERR_OPERATION_INVALID, in each process and after a crash, until virSnapDomainMigrateConfirm() or
/// virSnapDomainMigrateCancel(). Reading goes on. The cookie is an XML element that stands alone or
/// among the children of libvirt's migration cookie; beyond the current snapshot's name it has less
/// than 1 KiB. Repeated, it gives the same cookie again.
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
/// VIR_ERR_INVALID_ARG (unknown flag, NULL), VIR_ERR_OPERATION_INVALID (without METADATA: the domain
/// has snapshots; another migration goes on), VIR_ERR_INTERNAL_ERROR (stored snapshots cannot be
/// read), VIR_ERR_SYSTEM_ERROR (nothing can be written).
/// Threads: any. Ownership: the caller frees the cookie with free().
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// cookie is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainMigrateBegin(
    domain: virDomainPtr,
    cookie: *mut *mut c_char,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateBegin";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = changing(call, domain)?;
        let carry = carry(call, flags)?;
        if carry == Carry::Metadata {
            call.not_null(cookie, "cookie")?;
        }
        let text = domain.to_change()?.migrate_begin(carry)?;
        // SAFETY: NULL or writable by this function's contract.
        unsafe { give_text(call, text.as_deref(), cookie) }
    })
}

/// Defines a domain at the destination, with the paths of this host.
///
/// @conn: an embedded connection of the destination
/// @xml: the definition at the source: virDomainGetXMLDesc() with VIR_DOMAIN_XML_SECURE
/// @paths: directories and files that have other paths on this host, as for
/// virSnapDomainMigrateImport(); NULL if there are none
/// @npaths: how many; at most 1024
/// @flags: not used; 0
///
/// As virDomainDefineXML() with paths of disks, of their backing files and of variable stores that are
/// mapped. Repeated, it defines the domain again.
///
/// Returns a new domain handle, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
/// VIR_ERR_INVALID_ARG (a flag, NULL, a path that is not absolute), and those of
/// virDomainDefineXML().
/// Threads: any. Ownership: the caller frees the domain with virDomainFree(); the paths stay the
/// caller's.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// xml is NULL or NUL-terminated; paths has npaths elements, whose texts are NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapConnectMigratePrepare(
    conn: virConnectPtr,
    xml: *const c_char,
    paths: *const virSnapMigratePath,
    npaths: c_uint,
    flags: c_uint,
) -> virDomainPtr {
    const FUNCTION: &str = "virSnapConnectMigratePrepare";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null_mut(), |call| {
        let conn = call.connection(conn)?;
        call.writable(&conn)?;
        // SAFETY: NULL, which is refused, or NUL-terminated by this function's contract.
        let xml = unsafe { call.document(xml, "xml", DocumentKind::Domain) }?;
        call.known_flags(flags, 0)?;
        // SAFETY: by this function's contract.
        let mapping = unsafe { mapping(call, paths, npaths) }?;
        let domain = conn.connection.define(&mapping.domain(&xml)?)?;
        Ok(objects::new_domain(&conn, &domain, call.function)?.give())
    })
}

/// Sends the domain's snapshots, parents before their children. What is sent holds passwords.
///
/// @domain: the domain at the source, after virSnapDomainMigrateBegin() with METADATA
/// @func: takes the bytes; it may not change snapshots of this domain
/// @opaque: handed to it
/// @flags: not used; 0
///
/// One document at a time is in memory. Can be repeated.
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
/// VIR_ERR_INVALID_ARG (a flag, NULL), VIR_ERR_OPERATION_INVALID (no migration was begun; the stored
/// snapshots were changed by somebody else), VIR_ERR_OPERATION_FAILED (the function failed).
/// Threads: any; the function is called in this thread. Ownership: opaque stays the caller's.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// func may be called with opaque.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainMigrateExport(
    domain: virDomainPtr,
    func: virSnapMigrateSendFunc,
    opaque: *mut c_void,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateExport";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = changing(call, domain)?;
        call.known_flags(flags, 0)?;
        let func = func.ok_or_else(|| null(call, "func"))?;
        let domain = domain.to_change()?;
        let mut send = |mut bytes: &[u8]| {
            while !bytes.is_empty() {
                let length = c_uint::try_from(bytes.len()).unwrap_or(c_uint::MAX);
                // SAFETY: the program's own function, by this function's contract; the bytes live
                // until it returns.
                let answer = unsafe { func(bytes.as_ptr().cast(), length, opaque) };
                bytes = taken(answer, bytes.len())
                    .filter(|count| *count > 0)
                    .and_then(|count| bytes.get(count..))
                    .ok_or_else(|| failed(&domain, "the function that takes it ended it"))?;
            }
            Ok(())
        };
        domain.migrate_export(&mut send)?;
        Ok(0)
    })
}

/// As virSnapDomainMigrateExport(), to a file descriptor.
///
/// @domain: the domain at the source, after virSnapDomainMigrateBegin() with METADATA
/// @fd: a descriptor that blocks: a pipe, a socket, a file. A signal that write() raises is the
/// caller's to ignore (SIGPIPE)
/// @flags: not used; 0
///
/// Returns 0, or -1 in case of error.
///
/// Errors: those of virSnapDomainMigrateExport(), with VIR_ERR_SYSTEM_ERROR where writing fails.
/// Threads: any. Ownership: the descriptor stays the caller's, and open.
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapDomainMigrateExportFD(
    domain: virDomainPtr,
    fd: c_int,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateExportFD";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = changing(call, domain)?;
        call.known_flags(flags, 0)?;
        let fd = descriptor(call, fd)?;
        let mut send = |mut bytes: &[u8]| {
            while !bytes.is_empty() {
                let count = retry_on_intr(|| rustix::io::write(fd, bytes));
                let count = count.map_err(|errno| stream_error("write", errno))?;
                bytes = bytes.get(count..).unwrap_or_default();
            }
            Ok(())
        };
        domain.to_change()?.migrate_export(&mut send)?;
        Ok(0)
    })
}

/// Takes a domain's snapshots in at the destination, all of them or none. They are not visible before
/// virSnapDomainMigrateFinish(), and until then the snapshots that are there are frozen.
///
/// @domain: the domain at the destination, with the UUID that it has at the source
/// @func: gives the bytes; it may not change snapshots of this domain. None behind the end of the stream
/// are asked for
/// @opaque: handed to it
/// @paths: directories and files that have other paths on this host; NULL if there are none. The
/// longest one that fits counts
/// @npaths: how many; at most 1024
/// @flags: bitwise-OR of virSnapMigrateImportFlags
///
/// Every document is checked when it comes, and with the connection's redefine_check=strict, the
/// default, also against its data on this host, as REDEFINE does it: what can be reached must be as
/// the document says. VIR_SNAP_MIGRATE_IMPORT_UNCHECKED leaves that out, where the storage comes later.
/// A snapshot that is there already must be equal. Repeated, it takes the place of what came before.
///
/// Returns 0, or -1 in case of error; then nothing has changed.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
/// VIR_ERR_INVALID_ARG (unknown flag, NULL, a path that is not absolute, a snapshot of another domain),
/// VIR_ERR_CONFIG_UNSUPPORTED (the data differs, or is not there),
/// VIR_ERR_OPERATION_FAILED (the stream is damaged, not complete, of another domain; another
/// snapshot of a name is there; the function failed), VIR_ERR_OPERATION_INVALID (the domain is being
/// migrated away; this migration is over), VIR_ERR_XML_ERROR and others of a document,
/// VIR_ERR_SYSTEM_ERROR (nothing can be written).
/// Threads: any; the function is called in this thread. Ownership: opaque and paths stay the caller's.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// func may be called with opaque; paths has npaths elements, whose texts are NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainMigrateImport(
    domain: virDomainPtr,
    func: virSnapMigrateReceiveFunc,
    opaque: *mut c_void,
    paths: *const virSnapMigratePath,
    npaths: c_uint,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateImport";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = changing(call, domain)?;
        let check = import_check(call, &domain, flags)?;
        let func = func.ok_or_else(|| null(call, "func"))?;
        // SAFETY: by this function's contract.
        let mapping = unsafe { mapping(call, paths, npaths) }?;
        let domain = domain.to_change()?;
        let mut receive = |bytes: &mut [u8]| {
            let length = c_uint::try_from(bytes.len()).unwrap_or(c_uint::MAX);
            // SAFETY: the program's own function, by this function's contract; the bytes are
            // writable until it returns.
            let answer = unsafe { func(bytes.as_mut_ptr().cast(), length, opaque) };
            taken(answer, bytes.len())
                .ok_or_else(|| failed(&domain, "the function that gives it ended it"))
        };
        domain.migrate_import(&mut receive, mapping, check)?;
        Ok(0)
    })
}

/// As virSnapDomainMigrateImport(), from a file descriptor. No byte behind the stream's end is read.
///
/// @domain: the domain at the destination, with the UUID that it has at the source
/// @fd: a descriptor that blocks: a pipe, a socket, a file
/// @paths: directories and files that have other paths on this host; NULL if there are none
/// @npaths: how many; at most 1024
/// @flags: bitwise-OR of virSnapMigrateImportFlags
///
/// Returns 0, or -1 in case of error; then nothing has changed.
///
/// Errors: those of virSnapDomainMigrateImport(), with VIR_ERR_SYSTEM_ERROR where reading fails.
/// Threads: any. Ownership: the descriptor stays the caller's, and open; so do the paths.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// paths has npaths elements, whose texts are NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainMigrateImportFD(
    domain: virDomainPtr,
    fd: c_int,
    paths: *const virSnapMigratePath,
    npaths: c_uint,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateImportFD";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = changing(call, domain)?;
        let check = import_check(call, &domain, flags)?;
        let fd = descriptor(call, fd)?;
        // SAFETY: by this function's contract.
        let mapping = unsafe { mapping(call, paths, npaths) }?;
        let mut receive = |bytes: &mut [u8]| {
            retry_on_intr(|| rustix::io::read(fd, &mut *bytes))
                .map_err(|errno| stream_error("read", errno))
        };
        domain
            .to_change()?
            .migrate_import(&mut receive, mapping, check)?;
        Ok(0)
    })
}

/// Makes the snapshots that came in visible at the destination, all at once, and current what the
/// cookie says.
///
/// @domain: the domain at the destination, after virSnapDomainMigrateImport()
/// @cookie: what virSnapDomainMigrateBegin() gave, alone or within libvirt's migration cookie; or NULL:
/// then no snapshot becomes current
/// @flags: not used; 0
///
/// The digest in the cookie must be that of the snapshots that came in. A guest that is attached must
/// have arrived: while it waits for its memory, this is refused. From here on the destination has the
/// snapshots, and virSnapDomainMigrateCancel() is refused there. Let the guest's CPUs run afterwards.
/// Repeated, it does nothing.
///
/// Returns 0, or -1 in case of error; then nothing is visible.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
/// VIR_ERR_INVALID_ARG (a flag), VIR_ERR_OPERATION_INVALID (nothing came in; it was cancelled here;
/// the guest has not arrived), VIR_ERR_INTERNAL_ERROR (the cookie is none, or of other snapshots), VIR_ERR_SYSTEM_ERROR (nothing
/// can be written; where even that is not certain, call it again).
/// Threads: any. Ownership: nothing changes hands.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// cookie is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainMigrateFinish(
    domain: virDomainPtr,
    cookie: *const c_char,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateFinish";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = changing(call, domain)?;
        call.known_flags(flags, 0)?;
        // SAFETY: NULL or NUL-terminated by this function's contract.
        let cookie = unsafe { cookie_text(call, cookie) }?;
        domain.to_change()?.migrate_finish(cookie.as_deref())?;
        Ok(0)
    })
}

/// Ends a migration at the source.
///
/// @domain: the domain at the source
/// @cookie: what virSnapDomainMigrateBegin() gave, so that no other migration is ended; or NULL: the last
/// @cancelled: 0 after virSnapDomainMigrateFinish() has succeeded: the metadata of all snapshots goes,
/// and their data stays. Else it failed: the snapshots can be changed again
/// @flags: not used; 0
///
/// After success the guest that is attached is let go: it must be off, or QEMU must have sent it away
/// (`postmigrate`); while it is here, this is refused. Ending its process is the program's task.
/// Repeated with the same outcome, it does nothing.
///
/// Returns 0, or -1 in case of error; then everything is there.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
/// VIR_ERR_INVALID_ARG (a flag), VIR_ERR_OPERATION_INVALID (it was not begun here, has had the other
/// outcome, the guest is still here, or the stored snapshots were changed by somebody else),
/// VIR_ERR_INTERNAL_ERROR (the cookie is none), VIR_ERR_SYSTEM_ERROR (nothing can be written).
/// Threads: any. Ownership: nothing changes hands.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// cookie is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainMigrateConfirm(
    domain: virDomainPtr,
    cookie: *const c_char,
    cancelled: c_int,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateConfirm";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = changing(call, domain)?;
        call.known_flags(flags, 0)?;
        // SAFETY: NULL or NUL-terminated by this function's contract.
        let cookie = unsafe { cookie_text(call, cookie) }?;
        let outcome = if cancelled == 0 {
            Outcome::Success
        } else {
            Outcome::Failure
        };
        domain
            .to_change()?
            .migrate_confirm(cookie.as_deref(), outcome)?;
        Ok(0)
    })
}

/// Gives the snapshots of a domain whose migration has begun to a host that has libvirt alone: they
/// are redefined there, parents first, the current one with VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT.
///
/// @domain: the domain at the source, after virSnapDomainMigrateBegin() with METADATA
/// @target: the same domain on a connection of libvirt's, persistent if its snapshots shall stay
/// @flags: not used; 0
///
/// libvirt itself keeps them from then on; confirm the migration at the source. If it fails midway, what
/// was redefined is dropped there again. Repeated after a crash, it goes on with what is missing.
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle; target is not libvirt's), VIR_ERR_OPERATION_DENIED (a
/// read-only connection), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_OPERATION_FAILED (target has another
/// UUID), VIR_ERR_OPERATION_INVALID (no migration was begun; libvirt keeps another snapshot of a name),
/// and what libvirt refuses.
/// Threads: any. Ownership: nothing changes hands.
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapDomainMigrateReplay(
    domain: virDomainPtr,
    target: virDomainPtr,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateReplay";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = changing(call, domain)?;
        call.known_flags(flags, 0)?;
        let target = of_libvirt(call, target)?;
        companion::replay(&*domain.to_change()?, &target)?;
        Ok(0)
    })
}

/// Adopts the snapshots that libvirt itself keeps of a domain, with parents and current one, all of
/// them or none.
///
/// @domain: the domain that gets them, of an embedded connection, with the same UUID
/// @source: the domain on a connection of libvirt's
/// @flags: bitwise-OR of virSnapMigrateAdoptFlags
///
/// A snapshot that is there already must be equal. A domain of libvirt's needs no such call in companion
/// mode: the first change of its snapshots adopts them.
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle; source is not libvirt's), VIR_ERR_OPERATION_DENIED (a
/// read-only connection), VIR_ERR_INVALID_ARG (unknown flag), VIR_ERR_OPERATION_FAILED (source has
/// another UUID; another snapshot of a name is there), VIR_ERR_OPERATION_INVALID (the domain is being
/// migrated), VIR_ERR_SYSTEM_ERROR (nothing can be written), and what libvirt refuses.
/// Threads: any. Ownership: nothing changes hands.
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapDomainMigrateAdopt(
    domain: virDomainPtr,
    source: virDomainPtr,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateAdopt";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let forget = virSnapMigrateAdoptFlags::VIR_SNAP_MIGRATE_ADOPT_FORGET as c_uint;
        let domain = changing(call, domain)?;
        call.known_flags(flags, forget)?;
        let source = of_libvirt(call, source)?;
        let original = if flags & forget == 0 {
            Original::Stays
        } else {
            Original::Goes
        };
        companion::adopt_from(&*domain.to_change()?, source, original)?;
        Ok(0)
    })
}

fn of_libvirt(call: &Call, domain: virDomainPtr) -> Result<libvirt::Domain> {
    forward::guest_of(domain)?.ok_or(Error::InvalidDomain {
        function: call.function,
    })
}

/// Gives a migration up, at either end: at the source the snapshots can be changed again, at the
/// destination what came in is dropped. Cancel the destination first: it refuses if it has finished,
/// and then the source is to be confirmed.
///
/// @domain: the domain
/// @flags: not used; 0
///
/// Where there is nothing to cancel, it does nothing. A guest that was sent already goes on at the source
/// when it is resumed there (QMP `cont`), after its process at the destination has ended.
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
/// VIR_ERR_INVALID_ARG (a flag), VIR_ERR_OPERATION_INVALID (it has succeeded), VIR_ERR_SYSTEM_ERROR
/// (nothing can be written).
/// Threads: any. Ownership: nothing changes hands.
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapDomainMigrateCancel(domain: virDomainPtr, flags: c_uint) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateCancel";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = changing(call, domain)?;
        call.known_flags(flags, 0)?;
        domain.to_change()?.migrate_cancel()?;
        Ok(0)
    })
}

/// Tells how far the last migration of a domain has come on this host: for a manager that was
/// restarted, or that has lost the other one.
///
/// @domain: the domain
/// @id: where to store the migration's identifier, which is the same on both hosts; NULL if it is not
/// wanted. NULL is stored if there was no migration
/// @flags: not used; 0
///
/// Returns a virSnapMigrateState, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
/// VIR_ERR_INVALID_ARG (a flag), VIR_ERR_INTERNAL_ERROR (what is kept about it cannot be read),
/// VIR_ERR_SYSTEM_ERROR (it cannot be made durable).
/// Threads: any. Ownership: the caller frees the identifier with free().
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// id is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainMigrateGetState(
    domain: virDomainPtr,
    id: *mut *mut c_char,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainMigrateGetState";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = changing(call, domain)?;
        call.known_flags(flags, 0)?;
        let (phase, found) = domain.to_change()?.migrate_state()?;
        let found = (phase != Phase::None).then_some(found);
        // SAFETY: NULL or writable by this function's contract.
        unsafe { give_text(call, found.as_deref(), id) }?;
        Ok(state(phase) as c_int)
    })
}

fn state(phase: Phase) -> virSnapMigrateState {
    match phase {
        Phase::None => virSnapMigrateState::VIR_SNAP_MIGRATE_STATE_NONE,
        Phase::Outgoing => virSnapMigrateState::VIR_SNAP_MIGRATE_STATE_OUTGOING,
        Phase::Incoming => virSnapMigrateState::VIR_SNAP_MIGRATE_STATE_INCOMING,
        Phase::Finished => virSnapMigrateState::VIR_SNAP_MIGRATE_STATE_FINISHED,
        Phase::Confirmed => virSnapMigrateState::VIR_SNAP_MIGRATE_STATE_CONFIRMED,
        Phase::Cancelled => virSnapMigrateState::VIR_SNAP_MIGRATE_STATE_CANCELLED,
    }
}

/// The domain, on a connection that may change it.
fn changing(call: &mut Call, pointer: virDomainPtr) -> Result<SnapshotDomain> {
    let domain = call.snapshot_domain(pointer)?;
    call.may_change(&domain)?;
    Ok(domain)
}

pub(super) fn carry(call: &Call, flags: c_uint) -> Result<Carry> {
    let metadata = virSnapMigrateFlags::VIR_SNAP_MIGRATE_METADATA as c_uint;
    call.known_flags(flags, metadata)?;
    Ok(if flags & metadata == 0 {
        Carry::Nothing
    } else {
        Carry::Metadata
    })
}

/// What Import asks of the data.
fn import_check(call: &Call, domain: &SnapshotDomain, flags: c_uint) -> Result<RedefineCheck> {
    let unchecked = virSnapMigrateImportFlags::VIR_SNAP_MIGRATE_IMPORT_UNCHECKED as c_uint;
    call.known_flags(flags, unchecked)?;
    if flags & unchecked != 0 {
        return Ok(RedefineCheck::Trust);
    }
    Ok(domain.redefine_rules()?.check)
}

fn null(call: &Call, argument: &'static str) -> Error {
    Error::NullArgument {
        function: call.function,
        argument,
        family: call.family,
    }
}

/// What a function of the program's has taken or given; `None` if it failed or says what cannot be.
fn taken(answer: c_int, length: usize) -> Option<usize> {
    usize::try_from(answer)
        .ok()
        .filter(|count| *count <= length)
}

fn failed(domain: &crate::ops::Domain, reason: &str) -> Error {
    Error::MigrationTransfer {
        domain: domain.name().to_string(),
        reason: reason.to_owned(),
    }
}

fn stream_error(action: &'static str, errno: rustix::io::Errno) -> Error {
    Error::io(action, "the migration stream", errno)
}

fn descriptor(call: &Call, fd: c_int) -> Result<BorrowedFd<'static>> {
    call.not_negative(fd, "fd")?;
    // SAFETY: not -1, checked above; one that is closed is the system's to refuse, and the
    // caller's own, open as long as the call lasts, else.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Hands a text to C, or NULL.
///
/// # Safety
///
/// `to` is NULL or writable.
unsafe fn give_text(call: &Call, text: Option<&str>, to: *mut *mut c_char) -> Result<c_int> {
    if to.is_null() {
        return Ok(0);
    }
    let raw = match text {
        Some(text) => MallocString::new(text)
            .ok_or_else(|| call.out_of_memory())?
            .into_raw(),
        None => std::ptr::null_mut(),
    };
    // SAFETY: not NULL, and so writable by this contract.
    unsafe { to.write(raw) };
    Ok(0)
}

/// # Safety
///
/// `cookie` is NULL or NUL-terminated.
unsafe fn cookie_text(call: &mut Call, cookie: *const c_char) -> Result<Option<String>> {
    if cookie.is_null() {
        return Ok(None);
    }
    // SAFETY: NUL-terminated by this contract.
    unsafe { call.text(cookie, "cookie") }.map(Some)
}

/// # Safety
///
/// `paths` has `count` elements, whose texts are NULL or NUL-terminated.
unsafe fn mapping(
    call: &mut Call,
    paths: *const virSnapMigratePath,
    count: c_uint,
) -> Result<Mapping> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count == 0 {
        return Ok(Mapping::default());
    }
    call.not_null(paths, "paths")?;
    if count > limits::MIGRATION_PREFIXES {
        return Err(Error::TooLarge {
            what: "number of paths",
            limit: limits::MIGRATION_PREFIXES,
        });
    }
    let mut prefixes = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: below the number of elements, by this contract.
        let element = unsafe { paths.add(index) };
        // SAFETY: readable by this contract.
        let element = unsafe { element.read() };
        // SAFETY: NULL, which is refused, or NUL-terminated by this contract.
        let from = unsafe { call.text(element.from, "from") }?;
        // SAFETY: as above.
        let to = unsafe { call.text(element.to, "to") }?;
        for path in [&from, &to] {
            if !path.starts_with('/') {
                return Err(Error::PathRelative { path: path.clone() });
            }
        }
        prefixes.push((from, to));
    }
    Ok(Mapping::new(prefixes))
}
