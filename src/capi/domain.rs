//! Domains: define, undefine, look up.

use std::ffi::{c_char, c_int, c_uchar, c_uint};

use super::boundary::{self, Call};
use super::constants::{virDomainDefineFlags, virDomainUndefineFlagsValues};
use super::dispatch::Told;
use super::forward::{self, forward};
use super::objects;
use super::types::{virConnectPtr, virDomainPtr};
use crate::error::{Error, Family, Result};
use crate::ops::{Undefine, companion};
use crate::uuid;
use crate::xml::DocumentKind;

const VALIDATE: c_uint = virDomainDefineFlags::VIR_DOMAIN_DEFINE_VALIDATE as c_uint;
const SNAPSHOTS_METADATA: c_uint =
    virDomainUndefineFlagsValues::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA as c_uint;
/// VIR_DOMAIN_UNDEFINE_NVRAM and VIR_DOMAIN_UNDEFINE_KEEP_NVRAM.
const NVRAM: c_uint = virDomainUndefineFlagsValues::VIR_DOMAIN_UNDEFINE_NVRAM as c_uint
    | virDomainUndefineFlagsValues::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM as c_uint;
/// VIR_DOMAIN_UNDEFINE_TPM and VIR_DOMAIN_UNDEFINE_KEEP_TPM.
const TPM: c_uint = virDomainUndefineFlagsValues::VIR_DOMAIN_UNDEFINE_TPM as c_uint
    | virDomainUndefineFlagsValues::VIR_DOMAIN_UNDEFINE_KEEP_TPM as c_uint;
/// All flags of virDomainUndefineFlags(). But for one they are about things that a domain of this
/// library does not have.
const UNDEFINE_KNOWN: c_uint = 0x7f;

/// Defines a domain, or replaces the definition of the one with the same name and UUID.
///
/// @conn: a connection
/// @xml: the definition, a `<domain>` document
///
/// A definition without a UUID gets one.
///
/// Returns a new domain handle, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
/// VIR_ERR_INVALID_ARG (xml is NULL), VIR_ERR_XML_DETAIL, VIR_ERR_XML_ERROR (bad document),
/// VIR_ERR_OPERATION_FAILED (name or UUID belongs to another domain).
/// Threads: any. Ownership: the caller frees the domain with virDomainFree().
/// Since: 0.1.1. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// xml is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainDefineXML(
    conn: virConnectPtr,
    xml: *const c_char,
) -> virDomainPtr {
    forward!(forward::connection(conn) => virDomainDefineXML(conn, xml));
    const FUNCTION: &str = "virDomainDefineXML";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null_mut(), |call| {
        // SAFETY: NULL or NUL-terminated by this function's contract.
        unsafe { define(call, conn, xml, 0) }
    })
}

/// Defines a domain as virDomainDefineXML() does, with flags.
///
/// @conn: a connection
/// @xml: the definition, a `<domain>` document
/// @flags: bitwise-OR of virDomainDefineFlags
///
/// VIR_DOMAIN_DEFINE_VALIDATE changes nothing: what this library reads of a definition is always
/// checked.
///
/// Returns a new domain handle, or NULL in case of error.
///
/// Errors: as for virDomainDefineXML(), VIR_ERR_INVALID_ARG (unknown flag).
/// Threads: any. Ownership: the caller frees the domain with virDomainFree().
/// Since: 1.2.12. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// xml is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainDefineXMLFlags(
    conn: virConnectPtr,
    xml: *const c_char,
    flags: c_uint,
) -> virDomainPtr {
    forward!(forward::connection(conn) => virDomainDefineXMLFlags(conn, xml, flags));
    const FUNCTION: &str = "virDomainDefineXMLFlags";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null_mut(), |call| {
        // SAFETY: NULL or NUL-terminated by this function's contract.
        unsafe { define(call, conn, xml, flags) }
    })
}

/// # Safety
///
/// `xml` is NULL or NUL-terminated.
unsafe fn define(
    call: &mut Call,
    conn: virConnectPtr,
    xml: *const c_char,
    flags: c_uint,
) -> Result<virDomainPtr> {
    let conn = call.connection(conn)?;
    // libvirt: read-only comes before NULL here, and after it where snapshots are created.
    call.writable(&conn)?;
    // SAFETY: NULL or NUL-terminated by this contract.
    let xml = unsafe { call.document(xml, "xml", DocumentKind::Domain) }?;
    call.known_flags(flags, VALIDATE)?;
    let domain = conn.connection.define(&xml)?;
    Ok(objects::new_domain(&conn, &domain, call.function)?.give())
}

/// Removes the definition of a domain that has no snapshots. Its images stay.
///
/// @domain: a domain
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
/// VIR_ERR_NO_DOMAIN (gone already), VIR_ERR_OPERATION_INVALID (it has snapshots).
/// Threads: any. Ownership: the handle stays and is freed with virDomainFree().
/// Since: 0.1.1. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainUndefine(domain: virDomainPtr) -> c_int {
    forward!(forward::domain_with_snapshots(domain) => virDomainUndefine(domain));
    const FUNCTION: &str = "virDomainUndefine";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        undefine(call, domain, None)
    })
}

/// Removes the definition of a domain, with flags. Its images stay.
///
/// @domain: a domain
/// @flags: bitwise-OR of virDomainUndefineFlagsValues
///
/// With VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA the metadata of its snapshots goes too; without,
/// snapshots are a reason to refuse. The other flags are about things that domains of this library
/// do not have; they change nothing.
///
/// Returns 0, or -1 in case of error.
///
/// Errors: as for virDomainUndefine(), VIR_ERR_INVALID_ARG (unknown flag).
/// Threads: any. Ownership: the handle stays and is freed with virDomainFree().
/// Since: 0.9.4. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainUndefineFlags(domain: virDomainPtr, flags: c_uint) -> c_int {
    forward!(forward::domain_with_snapshots(domain) => virDomainUndefineFlags(domain, flags));
    const FUNCTION: &str = "virDomainUndefineFlags";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        undefine(call, domain, Some(flags))
    })
}

fn undefine(call: &mut Call, domain: virDomainPtr, flags: Option<c_uint>) -> Result<c_int> {
    if let Some(guest) = forward::guest_of(domain)? {
        call.tell(guest.again().ok().map(Told::Libvirt));
        companion::undefine(guest, flags)?;
        return Ok(0);
    }
    let flags = flags.unwrap_or_default();
    let domain = call.domain(domain)?;
    call.writable(&domain.connection)?;
    let snapshots = undefine_flags(call, flags)?;
    let now = domain.now()?;
    domain.connection.connection.undefine(&now, snapshots)?;
    Ok(0)
}

/// What the flags of virDomainUndefineFlags() do with snapshots.
pub(super) fn undefine_flags(call: &Call, flags: c_uint) -> Result<Undefine> {
    call.known_flags(flags, UNDEFINE_KNOWN)?;
    refuse_contradictions(flags)?;
    Ok(if flags & SNAPSHOTS_METADATA == 0 {
        Undefine::RefuseSnapshots
    } else {
        Undefine::DropSnapshots
    })
}

/// libvirt: what is to be kept cannot be deleted, also where there is none of it.
fn refuse_contradictions(flags: c_uint) -> Result<()> {
    for (what, both) in [("nvram", NVRAM), ("TPM", TPM)] {
        if flags & both == both {
            return Err(Error::UndefineContradiction { what });
        }
    }
    Ok(())
}

/// Gives a domain another name. Its snapshots stay its own; handles that are there keep answering
/// the old name and work on.
///
/// @domain: a domain
/// @new_name: the name
/// @flags: 0
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
/// VIR_ERR_INVALID_ARG (new_name is NULL or empty, unknown flag), VIR_ERR_XML_ERROR (no name for a
/// domain), VIR_ERR_OPERATION_INVALID (it has the name already, or another one has, or snapshots
/// of another one are stored under it), VIR_ERR_NO_DOMAIN (undefined meanwhile).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 1.2.19. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// new_name is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainRename(
    domain: virDomainPtr,
    new_name: *const c_char,
    flags: c_uint,
) -> c_int {
    forward!(forward::domain(domain) => virDomainRename(domain, new_name, flags));
    const FUNCTION: &str = "virDomainRename";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.domain(domain)?;
        call.writable(&domain.connection)?;
        // SAFETY: NULL or NUL-terminated by this function's contract.
        let name = unsafe { call.text(new_name, "new_name") }?;
        call.not_empty(&name, "new_name")?;
        call.known_flags(flags, 0)?;
        let now = domain.now()?;
        domain.connection.connection.rename(&now, &name)?;
        Ok(0)
    })
}

/// Finds a domain by its name.
///
/// @conn: a connection
/// @name: the name
///
/// Returns a new domain handle, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (name is NULL),
/// VIR_ERR_NO_DOMAIN (there is none).
/// Threads: any. Ownership: the caller frees the domain with virDomainFree().
/// Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// name is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainLookupByName(
    conn: virConnectPtr,
    name: *const c_char,
) -> virDomainPtr {
    forward!(forward::connection(conn) => virDomainLookupByName(conn, name));
    const FUNCTION: &str = "virDomainLookupByName";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null_mut(), |call| {
        let conn = call.connection(conn)?;
        // SAFETY: NULL or NUL-terminated by this function's contract.
        let name = unsafe { call.text(name, "name") }?;
        let domain = conn.connection.domain_by_name(&name)?;
        Ok(objects::new_domain(&conn, &domain, FUNCTION)?.give())
    })
}

/// Finds a domain by its UUID.
///
/// @conn: a connection
/// @uuid: VIR_UUID_BUFLEN bytes
///
/// Returns a new domain handle, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (uuid is NULL),
/// VIR_ERR_NO_DOMAIN (there is none).
/// Threads: any. Ownership: the caller frees the domain with virDomainFree().
/// Since: 0.0.5. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// uuid is NULL or has VIR_UUID_BUFLEN readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainLookupByUUID(
    conn: virConnectPtr,
    uuid: *const c_uchar,
) -> virDomainPtr {
    forward!(forward::connection(conn) => virDomainLookupByUUID(conn, uuid));
    const FUNCTION: &str = "virDomainLookupByUUID";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null_mut(), |call| {
        let conn = call.connection(conn)?;
        call.not_null(uuid, "uuid")?;
        // SAFETY: not NULL, and so 16 readable bytes by this function's contract; bytes have no
        // alignment.
        let uuid = unsafe { uuid.cast::<[u8; 16]>().read() };
        let domain = conn.connection.domain_by_uuid(&uuid)?;
        Ok(objects::new_domain(&conn, &domain, FUNCTION)?.give())
    })
}

/// Finds a domain by its UUID in text form.
///
/// @conn: a connection
/// @uuidstr: 32 hexadecimal digits; dashes between pairs do not count
///
/// Returns a new domain handle, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (NULL, or no UUID),
/// VIR_ERR_NO_DOMAIN (there is none).
/// Threads: any. Ownership: the caller frees the domain with virDomainFree().
/// Since: 0.1.1. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// uuidstr is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainLookupByUUIDString(
    conn: virConnectPtr,
    uuidstr: *const c_char,
) -> virDomainPtr {
    forward!(forward::connection(conn) => virDomainLookupByUUIDString(conn, uuidstr));
    const FUNCTION: &str = "virDomainLookupByUUIDString";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null_mut(), |call| {
        let conn = call.connection(conn)?;
        // SAFETY: NULL or NUL-terminated by this function's contract.
        let text = unsafe { call.text(uuidstr, "uuidstr") }?;
        let uuid = uuid::parse(&text).ok_or(Error::MalformedUuid { function: FUNCTION })?;
        let domain = conn.connection.domain_by_uuid(&uuid)?;
        Ok(objects::new_domain(&conn, &domain, FUNCTION)?.give())
    })
}

/// Finds an active domain by its id. Domains of this library have no ids, so none is found.
///
/// @conn: a connection
/// @id: the id
///
/// Returns NULL.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (negative id),
/// VIR_ERR_NO_DOMAIN (there is none).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainLookupByID(conn: virConnectPtr, id: c_int) -> virDomainPtr {
    forward!(forward::connection(conn) => virDomainLookupByID(conn, id));
    const FUNCTION: &str = "virDomainLookupByID";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null_mut(), |call| {
        call.connection(conn)?;
        call.not_negative(id, "id")?;
        Err(Error::NoDomainWithId { id })
    })
}
