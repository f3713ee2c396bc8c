//! What a domain tells about itself, and its references.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ulong};

use super::boundary::{self, Call};
use super::constants::{VIR_UUID_STRING_BUFLEN, virDomainState, virDomainXMLFlags};
use super::forward::{self, forward};
use super::strings::MallocString;
use super::types::{virConnectPtr, virDomainInfo, virDomainInfoPtr, virDomainPtr};
use crate::error::{Error, Family, Result};
use crate::libvirt;
use crate::snapshot::State;
use crate::uuid;
use crate::xml;

const SECURE: c_uint = virDomainXMLFlags::VIR_DOMAIN_XML_SECURE as c_uint;
const MIGRATABLE: c_uint = virDomainXMLFlags::VIR_DOMAIN_XML_MIGRATABLE as c_uint;
/// All flags of virDomainGetXMLDesc().
const XML_KNOWN: c_uint = 0xf;

/// The reason UNKNOWN, which is 0 for every state.
const REASON_UNKNOWN: c_int = 0;

/// Tells the name of a domain.
///
/// @domain: a domain
///
/// Returns the name, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle).
/// Threads: any. Ownership: the string belongs to the handle and is valid until its last
/// virDomainFree().
/// Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainGetName(domain: virDomainPtr) -> *const c_char {
    forward!(forward::domain(domain) => virDomainGetName(domain));
    const FUNCTION: &str = "virDomainGetName";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null(), |call| {
        Ok(call.domain(domain)?.c_name())
    })
}

/// Tells the UUID of a domain.
///
/// @domain: a domain
/// @uuid: an array of VIR_UUID_BUFLEN bytes
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (uuid is NULL).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.0.5. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// uuid is NULL or has VIR_UUID_BUFLEN writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainGetUUID(domain: virDomainPtr, uuid: *mut c_uchar) -> c_int {
    forward!(forward::domain(domain) => virDomainGetUUID(domain, uuid));
    const FUNCTION: &str = "virDomainGetUUID";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.domain(domain)?;
        call.not_null(uuid, "uuid")?;
        // SAFETY: not NULL, and so 16 writable bytes by this function's contract; bytes have no
        // alignment.
        unsafe { uuid.cast::<[u8; 16]>().write(*domain.uuid()) };
        Ok(0)
    })
}

/// Tells the UUID of a domain in text form.
///
/// @domain: a domain
/// @buf: an array of VIR_UUID_STRING_BUFLEN bytes
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (buf is NULL).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.1.1. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// buf is NULL or has VIR_UUID_STRING_BUFLEN writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainGetUUIDString(domain: virDomainPtr, buf: *mut c_char) -> c_int {
    forward!(forward::domain(domain) => virDomainGetUUIDString(domain, buf));
    const FUNCTION: &str = "virDomainGetUUIDString";
    const LENGTH: usize = VIR_UUID_STRING_BUFLEN as usize;
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.domain(domain)?;
        call.not_null(buf, "buf")?;
        let mut text = [0u8; LENGTH];
        for (byte, digit) in text.iter_mut().zip(uuid::format(domain.uuid()).bytes()) {
            *byte = digit;
        }
        // SAFETY: not NULL, and so that many writable bytes by this function's contract.
        unsafe { buf.cast::<[u8; LENGTH]>().write(text) };
        Ok(0)
    })
}

/// Tells the id of an active domain. Domains of this library have none.
///
/// @domain: a domain
///
/// Returns (unsigned int) -1, in case of error as well.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainGetID(domain: virDomainPtr) -> c_uint {
    forward!(forward::domain(domain) => virDomainGetID(domain));
    const FUNCTION: &str = "virDomainGetID";
    boundary::enter(FUNCTION, Family::Domain, c_uint::MAX, |call| {
        call.domain(domain).map(|_| c_uint::MAX)
    })
}

/// Gives the definition of a domain.
///
/// @domain: a domain
/// @flags: bitwise-OR of virDomainXMLFlags
///
/// Without VIR_DOMAIN_XML_SECURE there are no passwords in it.
///
/// Returns the `<domain>` document, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (SECURE or MIGRATABLE on a
/// read-only connection), VIR_ERR_INVALID_ARG (unknown flag), VIR_ERR_NO_DOMAIN (gone),
/// VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees the string with free().
/// Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainGetXMLDesc(domain: virDomainPtr, flags: c_uint) -> *mut c_char {
    forward!(forward::domain(domain) => virDomainGetXMLDesc(domain, flags));
    const FUNCTION: &str = "virDomainGetXMLDesc";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null_mut(), |call| {
        let domain = call.domain(domain)?;
        if flags & (SECURE | MIGRATABLE) != 0 {
            call.may_see_secrets(&domain.connection)?;
        }
        call.known_flags(flags, XML_KNOWN)?;
        let definition = domain.now()?.definition(flags & SECURE != 0)?;
        let text = MallocString::new(&definition);
        Ok(text.ok_or_else(|| call.out_of_memory())?.into_raw())
    })
}

/// Tells the state of a domain.
///
/// @domain: a domain
/// @state: where to store the state, a virDomainState
/// @reason: NULL, or where to store the reason; it is always 0, unknown
/// @flags: 0
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (state is NULL, or a flag),
/// VIR_ERR_NO_DOMAIN (gone).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.9.2. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// state and reason are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainGetState(
    domain: virDomainPtr,
    state: *mut c_int,
    reason: *mut c_int,
    flags: c_uint,
) -> c_int {
    forward!(forward::domain(domain) => virDomainGetState(domain, state, reason, flags));
    const FUNCTION: &str = "virDomainGetState";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.domain(domain)?;
        call.not_null(state, "state")?;
        call.known_flags(flags, 0)?;
        let now = c_state(domain.now()?.state()?) as c_int;
        // SAFETY: not NULL, and so writable by this function's contract.
        unsafe { state.write(now) };
        if !reason.is_null() {
            // SAFETY: as above.
            unsafe { reason.write(REASON_UNKNOWN) };
        }
        Ok(0)
    })
}

/// Tells state, memory and number of CPUs of a domain.
///
/// @domain: a domain
/// @info: where to store it
///
/// Memory and CPUs are those of the definition. The CPU time is 0: this library does not measure it.
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (info is NULL),
/// VIR_ERR_NO_DOMAIN (gone).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// info is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainGetInfo(domain: virDomainPtr, info: virDomainInfoPtr) -> c_int {
    forward!(forward::domain(domain) => virDomainGetInfo(domain, info));
    const FUNCTION: &str = "virDomainGetInfo";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.domain(domain)?;
        call.not_null(info, "info")?;
        let now = domain.now()?;
        let capacity = xml::capacity(&now.definition(false)?)?;
        let filled = virDomainInfo {
            state: c_state(now.state()?) as c_uchar,
            maxMem: c_ulong::try_from(capacity.memory_kib).unwrap_or(c_ulong::MAX),
            memory: c_ulong::try_from(capacity.current_memory_kib).unwrap_or(c_ulong::MAX),
            nrVirtCpu: capacity.vcpus,
            cpuTime: 0,
        };
        // SAFETY: not NULL, and so writable by this function's contract.
        unsafe { info.write(filled) };
        Ok(0)
    })
}

fn c_state(state: State) -> virDomainState {
    match state {
        State::Running => virDomainState::VIR_DOMAIN_RUNNING,
        State::Blocked => virDomainState::VIR_DOMAIN_BLOCKED,
        State::Paused => virDomainState::VIR_DOMAIN_PAUSED,
        State::Shutdown => virDomainState::VIR_DOMAIN_SHUTDOWN,
        State::Shutoff => virDomainState::VIR_DOMAIN_SHUTOFF,
        State::Crashed => virDomainState::VIR_DOMAIN_CRASHED,
        State::PmSuspended => virDomainState::VIR_DOMAIN_PMSUSPENDED,
        // A state of snapshots only.
        State::DiskSnapshot => virDomainState::VIR_DOMAIN_NOSTATE,
    }
}

/// Tells the connection of a domain.
///
/// @domain: a domain
///
/// Returns the connection, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle).
/// Threads: any. Ownership: no reference is added; the connection is valid as long as the domain
/// handle.
/// Since: 0.3.0. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainGetConnect(domain: virDomainPtr) -> virConnectPtr {
    forward!(forward::domain(domain) => virDomainGetConnect(domain));
    const FUNCTION: &str = "virDomainGetConnect";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null_mut(), |call| {
        Ok(call.domain(domain)?.connection.pointer())
    })
}

/// Tells whether a domain is active: running, paused, or anything but shut off.
///
/// @domain: a domain
///
/// Returns 1 or 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_NO_DOMAIN (gone).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.7.3. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainIsActive(domain: virDomainPtr) -> c_int {
    forward!(forward::domain(domain) => virDomainIsActive(domain));
    const FUNCTION: &str = "virDomainIsActive";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let state = call.domain(domain)?.now()?.state()?;
        Ok(c_int::from(state != State::Shutoff))
    })
}

/// Tells whether a domain has a definition that stays. All domains of this library have.
///
/// @domain: a domain
///
/// Returns 1, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_NO_DOMAIN (gone).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.7.3. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainIsPersistent(domain: virDomainPtr) -> c_int {
    forward!(forward::domain(domain) => virDomainIsPersistent(domain));
    const FUNCTION: &str = "virDomainIsPersistent";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        call.domain(domain)?.now()?;
        Ok(1)
    })
}

/// Tells whether memory is saved for the next start of a domain. This library saves none: virsh asks before
/// it undefines a domain.
///
/// @domain: a domain
/// @flags: 0
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_DOMAIN (gone).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.8.0. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainHasManagedSaveImage(domain: virDomainPtr, flags: c_uint) -> c_int {
    forward!(forward::domain(domain) => virDomainHasManagedSaveImage(domain, flags));
    const FUNCTION: &str = "virDomainHasManagedSaveImage";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.domain(domain)?;
        call.known_flags(flags, 0)?;
        domain.now()?;
        Ok(0)
    })
}

/// Adds a reference to a domain handle. Each needs a virDomainFree() of its own.
///
/// @domain: a domain
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle).
/// Threads: any. Ownership: the caller has one reference more to give back.
/// Since: 0.6.0. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainRef(domain: virDomainPtr) -> c_int {
    forward!(forward::domain(domain) => virDomainRef(domain));
    const FUNCTION: &str = "virDomainRef";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let reference = call.domain(domain)?.reference();
        done(call, reference)
    })
}

/// Gives back a reference to a domain handle. The domain itself stays.
///
/// @domain: a domain
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle, or all references are given back already). NULL is
/// such an error.
/// Threads: any. Ownership: the caller's reference is gone. Snapshot handles keep their domain
/// handle valid.
/// Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virDomainFree(domain: virDomainPtr) -> c_int {
    if let Some(libvirt) = forward::domain(domain) {
        // SAFETY: the program's own argument, for the function that it has called.
        return unsafe { libvirt::free_domain(libvirt, domain.cast()) };
    }
    const FUNCTION: &str = "virDomainFree";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let left = call.domain(domain)?.release();
        done(call, left)
    })
}

fn done<T>(call: &Call, result: Option<T>) -> Result<c_int> {
    result.map(|_| 0).ok_or(Error::InvalidDomain {
        function: call.function,
    })
}
