//! The domains of a connection: count and list.

use std::ffi::{c_char, c_int, c_uint};
use std::sync::Arc;

use super::boundary::{self, count};
use super::constants::virConnectListAllDomainsFlags as List;
use super::objects;
use super::strings::MallocString;
use super::types::{virConnectPtr, virDomainPtr};
use crate::error::{Family, Result};
use crate::ops::{Connection, Domain, ListFlags};
use crate::snapshot::State;

/// All flags of virConnectListAllDomains().
const KNOWN: c_uint = 0xffff;

/// Counts the active domains.
///
/// @conn: a connection
///
/// Returns the number of domains, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectNumOfDomains(conn: virConnectPtr) -> c_int {
    const FUNCTION: &str = "virConnectNumOfDomains";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        let conn = call.connection(conn)?;
        let domains = select(
            &conn.connection,
            List::VIR_CONNECT_LIST_DOMAINS_ACTIVE as c_uint,
        )?;
        Ok(count(domains.len()))
    })
}

/// Lists the ids of the active domains. Domains of this library have no ids, so there are none.
///
/// @conn: a connection
/// @ids: an array for the ids; may be NULL if maxids is 0
/// @maxids: how many ids the array holds
///
/// Returns the number of ids stored, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (no array, negative length).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectListDomains(
    conn: virConnectPtr,
    ids: *mut c_int,
    maxids: c_int,
) -> c_int {
    const FUNCTION: &str = "virConnectListDomains";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        call.connection(conn)?;
        call.array(ids, "ids", maxids, "maxids")?;
        Ok(0)
    })
}

/// Counts the inactive domains.
///
/// @conn: a connection
///
/// Returns the number of domains, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.1.5. Source: libvirt-domain.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectNumOfDefinedDomains(conn: virConnectPtr) -> c_int {
    const FUNCTION: &str = "virConnectNumOfDefinedDomains";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        let conn = call.connection(conn)?;
        let domains = select(
            &conn.connection,
            List::VIR_CONNECT_LIST_DOMAINS_INACTIVE as c_uint,
        )?;
        Ok(count(domains.len()))
    })
}

/// Lists the names of the inactive domains, ordered by name.
///
/// @conn: a connection
/// @names: an array for the names; may be NULL if maxnames is 0
/// @maxnames: how many names the array holds
///
/// Returns the number of names stored, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (no array, negative length),
/// VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees each name with free().
/// Since: 0.1.1. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// names is NULL or has maxnames writable slots.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virConnectListDefinedDomains(
    conn: virConnectPtr,
    names: *mut *mut c_char,
    maxnames: c_int,
) -> c_int {
    const FUNCTION: &str = "virConnectListDefinedDomains";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        let conn = call.connection(conn)?;
        let slots = call.array(names, "names", maxnames, "maxnames")?;
        let domains = select(
            &conn.connection,
            List::VIR_CONNECT_LIST_DOMAINS_INACTIVE as c_uint,
        )?;
        let strings: Option<Vec<MallocString>> = domains
            .iter()
            .take(slots)
            .map(|domain| MallocString::new(domain.name()))
            .collect();
        let strings = strings.ok_or_else(|| call.out_of_memory())?;
        // SAFETY: as many slots as `slots` says, by this function's contract.
        Ok(count(unsafe { super::strings::fill(names, strings) }))
    })
}

/// Lists the domains, ordered by name.
///
/// @conn: a connection
/// @domains: where to store the array of domains; NULL to count them only
/// @flags: bitwise-OR of virConnectListAllDomainsFlags
///
/// Returns the number of domains, or -1 in case of error. The array has a NULL behind the last.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
/// VIR_ERR_NO_MEMORY. *domains is NULL then.
/// Threads: any. Ownership: the caller frees each domain with virDomainFree(), then the array with
/// free().
/// Since: 0.9.13. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// domains is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virConnectListAllDomains(
    conn: virConnectPtr,
    domains: *mut *mut virDomainPtr,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virConnectListAllDomains";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        if !domains.is_null() {
            // SAFETY: not NULL, and so writable by this function's contract.
            unsafe { domains.write(std::ptr::null_mut()) };
        }
        let conn = call.connection(conn)?;
        call.known_flags(flags, KNOWN)?;
        let selected = select(&conn.connection, flags)?;
        if !domains.is_null() {
            let handles: Result<Vec<_>> = selected
                .iter()
                .map(|domain| objects::new_domain(&conn, domain, FUNCTION))
                .collect();
            let array = objects::give_array(handles?, FUNCTION)?;
            // SAFETY: not NULL, and so writable by this function's contract.
            unsafe { domains.write(array.as_ptr()) };
        }
        Ok(count(selected.len()))
    })
}

/// The domains that the flags ask for.
fn select(connection: &Connection, flags: c_uint) -> Result<Vec<Arc<Domain>>> {
    let mut selected = Vec::new();
    for domain in connection.domains()? {
        if is_selected(&domain, flags)? {
            selected.push(domain);
        }
    }
    Ok(selected)
}

fn is_selected(domain: &Domain, flags: c_uint) -> Result<bool> {
    if !is_state_selected(domain.state()?, flags) || !is_kind_selected(flags) {
        return Ok(false);
    }
    let asked = List::VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT as c_uint
        | List::VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT as c_uint;
    if flags & asked == 0 {
        return Ok(true);
    }
    let snapshots = domain.count(ListFlags::new(0, "virConnectListAllDomains")?)?;
    Ok(is_either(
        flags,
        snapshots > 0,
        List::VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT,
        List::VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT,
    ))
}

fn is_state_selected(state: State, flags: c_uint) -> bool {
    let own = match state {
        State::Running => List::VIR_CONNECT_LIST_DOMAINS_RUNNING,
        State::Paused => List::VIR_CONNECT_LIST_DOMAINS_PAUSED,
        State::Shutoff => List::VIR_CONNECT_LIST_DOMAINS_SHUTOFF,
        _ => List::VIR_CONNECT_LIST_DOMAINS_OTHER,
    };
    let group = List::VIR_CONNECT_LIST_DOMAINS_RUNNING as c_uint
        | List::VIR_CONNECT_LIST_DOMAINS_PAUSED as c_uint
        | List::VIR_CONNECT_LIST_DOMAINS_SHUTOFF as c_uint
        | List::VIR_CONNECT_LIST_DOMAINS_OTHER as c_uint;
    let by_state = flags & group == 0 || flags & own as c_uint != 0;
    by_state
        && is_either(
            flags,
            state != State::Shutoff,
            List::VIR_CONNECT_LIST_DOMAINS_ACTIVE,
            List::VIR_CONNECT_LIST_DOMAINS_INACTIVE,
        )
}

/// The groups in which all domains of this library are alike: each has a definition and neither
/// managed save nor autostart nor checkpoints.
fn is_kind_selected(flags: c_uint) -> bool {
    is_either(
        flags,
        true,
        List::VIR_CONNECT_LIST_DOMAINS_PERSISTENT,
        List::VIR_CONNECT_LIST_DOMAINS_TRANSIENT,
    ) && is_either(
        flags,
        false,
        List::VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE,
        List::VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE,
    ) && is_either(
        flags,
        false,
        List::VIR_CONNECT_LIST_DOMAINS_AUTOSTART,
        List::VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART,
    ) && is_either(
        flags,
        false,
        List::VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT,
        List::VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT,
    )
}

/// A group of two: no bit does not filter, both bits neither.
fn is_either(flags: c_uint, fact: bool, with: List, without: List) -> bool {
    let (with, without) = (with as c_uint, without as c_uint);
    flags & (with | without) == 0 || flags & if fact { with } else { without } != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_a_bit_or_with_all_does_not_filter() {
        for state in [
            State::Running,
            State::Paused,
            State::Shutoff,
            State::Crashed,
        ] {
            for flags in [0, 0b11, 0b1111_0000, 0b1111_0011] {
                assert!(is_state_selected(state, flags), "{state:?} {flags:#x}");
            }
        }
        assert!(is_kind_selected(0));
        assert!(is_kind_selected(KNOWN));
    }

    #[test]
    fn states_are_told_apart() {
        let active = List::VIR_CONNECT_LIST_DOMAINS_ACTIVE as c_uint;
        let inactive = List::VIR_CONNECT_LIST_DOMAINS_INACTIVE as c_uint;
        let other = List::VIR_CONNECT_LIST_DOMAINS_OTHER as c_uint;
        assert!(is_state_selected(State::Running, active));
        assert!(!is_state_selected(State::Running, inactive));
        assert!(!is_state_selected(State::Shutoff, active));
        assert!(is_state_selected(State::Shutoff, inactive));
        assert!(is_state_selected(State::Crashed, other));
        assert!(!is_state_selected(State::Paused, other));
        // Groups are combined with AND: nothing is active and shut off.
        let shutoff = List::VIR_CONNECT_LIST_DOMAINS_SHUTOFF as c_uint;
        assert!(!is_state_selected(State::Shutoff, active | shutoff));
    }

    #[test]
    fn what_no_domain_has_selects_none() {
        for flag in [
            List::VIR_CONNECT_LIST_DOMAINS_TRANSIENT,
            List::VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE,
            List::VIR_CONNECT_LIST_DOMAINS_AUTOSTART,
            List::VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT,
        ] {
            assert!(!is_kind_selected(flag as c_uint));
        }
    }
}
