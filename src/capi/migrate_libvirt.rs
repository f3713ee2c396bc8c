//! libvirt's own migration of its own domains: refused while they have snapshots here, as libvirt
//! refuses it while it keeps some itself.

use std::ffi::{c_char, c_int, c_uint, c_ulong};

use super::boundary;
use super::dispatch::Told;
use super::forward::{self, forward};
use super::types::{virConnectPtr, virDomainPtr, virTypedParameterPtr};
use crate::error::{Error, Family};
use crate::ops::companion::{self, Permit};

/// Lets a migration pass to libvirt, or refuses it.
fn permitted(function: &'static str, domain: virDomainPtr) -> Option<Permit> {
    boundary::enter(function, Family::Domain, None, |call| {
        // Of a domain of ours libvirt's functions say that it is none.
        let guest = forward::guest_of(domain)?.ok_or(Error::InvalidDomain { function })?;
        call.tell(guest.again().ok().map(Told::Libvirt));
        companion::permit_migration(guest).map(Some)
    })
}

/// Migrates a domain of libvirt's to another host, by libvirt.
///
/// @domain: a domain of libvirt's
/// @dconn: connection to the destination
/// @flags: bitwise-OR of libvirt's virDomainMigrateFlags
/// @dname: the domain's name there, or NULL
/// @uri: where the data goes, or NULL
/// @bandwidth: MiB a second, or 0
///
/// Refused while the domain has snapshots, kept here or by libvirt. With VIRSNAP_MIGRATE=carry in the
/// environment it goes on: the snapshots stay here, where they are found by the domain's UUID from both
/// hosts' connections, and nobody changes them meanwhile.
///
/// Returns the domain at the destination, or NULL in case of error.
///
/// Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
/// an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
/// Threads: any. Ownership: the caller frees the domain with virDomainFree().
/// Since: 0.3.2. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// The arguments are what libvirt's function needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainMigrate(
    domain: virDomainPtr,
    dconn: virConnectPtr,
    flags: c_ulong,
    dname: *const c_char,
    uri: *const c_char,
    bandwidth: c_ulong,
) -> virDomainPtr {
    forward!(forward::domain_with_snapshots(domain) => virDomainMigrate(domain, dconn, flags, dname, uri, bandwidth));
    let permit = permitted("virDomainMigrate", domain);
    if permit.is_some() {
        forward!(forward::domain(domain) => virDomainMigrate(domain, dconn, flags, dname, uri, bandwidth));
    }
    std::ptr::null_mut()
}

/// As virDomainMigrate(), with a definition for the destination.
///
/// @domain: a domain of libvirt's
/// @dconn: connection to the destination
/// @dxml: definition at the destination, or NULL
/// @flags: bitwise-OR of libvirt's virDomainMigrateFlags
/// @dname: the domain's name there, or NULL
/// @uri: where the data goes, or NULL
/// @bandwidth: MiB a second, or 0
///
/// Returns the domain at the destination, or NULL in case of error.
///
/// Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
/// an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
/// Threads: any. Ownership: the caller frees the domain with virDomainFree().
/// Since: 0.9.2. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// The arguments are what libvirt's function needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainMigrate2(
    domain: virDomainPtr,
    dconn: virConnectPtr,
    dxml: *const c_char,
    flags: c_ulong,
    dname: *const c_char,
    uri: *const c_char,
    bandwidth: c_ulong,
) -> virDomainPtr {
    forward!(forward::domain_with_snapshots(domain) => virDomainMigrate2(domain, dconn, dxml, flags, dname, uri, bandwidth));
    let permit = permitted("virDomainMigrate2", domain);
    if permit.is_some() {
        forward!(forward::domain(domain) => virDomainMigrate2(domain, dconn, dxml, flags, dname, uri, bandwidth));
    }
    std::ptr::null_mut()
}

/// As virDomainMigrate(), with libvirt's parameters.
///
/// @domain: a domain of libvirt's
/// @dconn: connection to the destination
/// @params: libvirt's parameters of migrations
/// @nparams: how many
/// @flags: bitwise-OR of libvirt's virDomainMigrateFlags
///
/// Returns the domain at the destination, or NULL in case of error.
///
/// Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
/// an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
/// Threads: any. Ownership: the caller frees the domain with virDomainFree().
/// Since: 1.1.0. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// The arguments are what libvirt's function needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainMigrate3(
    domain: virDomainPtr,
    dconn: virConnectPtr,
    params: virTypedParameterPtr,
    nparams: c_uint,
    flags: c_uint,
) -> virDomainPtr {
    forward!(forward::domain_with_snapshots(domain) => virDomainMigrate3(domain, dconn, params, nparams, flags));
    let permit = permitted("virDomainMigrate3", domain);
    if permit.is_some() {
        forward!(forward::domain(domain) => virDomainMigrate3(domain, dconn, params, nparams, flags));
    }
    std::ptr::null_mut()
}

/// As virDomainMigrate(), to a URI.
///
/// @domain: a domain of libvirt's
/// @duri: where to
/// @flags: bitwise-OR of libvirt's virDomainMigrateFlags
/// @dname: the domain's name there, or NULL
/// @bandwidth: MiB a second, or 0
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
/// an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.7.2. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// The arguments are what libvirt's function needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainMigrateToURI(
    domain: virDomainPtr,
    duri: *const c_char,
    flags: c_ulong,
    dname: *const c_char,
    bandwidth: c_ulong,
) -> c_int {
    forward!(forward::domain_with_snapshots(domain) => virDomainMigrateToURI(domain, duri, flags, dname, bandwidth));
    let permit = permitted("virDomainMigrateToURI", domain);
    if permit.is_some() {
        forward!(forward::domain(domain) => virDomainMigrateToURI(domain, duri, flags, dname, bandwidth));
    }
    -1
}

/// As virDomainMigrateToURI(), with a definition for the destination.
///
/// @domain: a domain of libvirt's
/// @dconnuri: the destination's connection
/// @miguri: where the data goes, or NULL
/// @dxml: definition at the destination, or NULL
/// @flags: bitwise-OR of libvirt's virDomainMigrateFlags
/// @dname: the domain's name there, or NULL
/// @bandwidth: MiB a second, or 0
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
/// an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.9.2. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// The arguments are what libvirt's function needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainMigrateToURI2(
    domain: virDomainPtr,
    dconnuri: *const c_char,
    miguri: *const c_char,
    dxml: *const c_char,
    flags: c_ulong,
    dname: *const c_char,
    bandwidth: c_ulong,
) -> c_int {
    forward!(forward::domain_with_snapshots(domain) => virDomainMigrateToURI2(domain, dconnuri, miguri, dxml, flags, dname, bandwidth));
    let permit = permitted("virDomainMigrateToURI2", domain);
    if permit.is_some() {
        forward!(forward::domain(domain) => virDomainMigrateToURI2(domain, dconnuri, miguri, dxml, flags, dname, bandwidth));
    }
    -1
}

/// As virDomainMigrateToURI(), with libvirt's parameters.
///
/// @domain: a domain of libvirt's
/// @dconnuri: the destination's connection
/// @params: libvirt's parameters of migrations
/// @nparams: how many
/// @flags: bitwise-OR of libvirt's virDomainMigrateFlags
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
/// an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
/// Threads: any. Ownership: nothing changes hands.
/// Since: 1.1.0. Source: libvirt-domain.h of libvirt 9.0.0.
///
/// # Safety
///
/// The arguments are what libvirt's function needs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDomainMigrateToURI3(
    domain: virDomainPtr,
    dconnuri: *const c_char,
    params: virTypedParameterPtr,
    nparams: c_uint,
    flags: c_uint,
) -> c_int {
    forward!(forward::domain_with_snapshots(domain) => virDomainMigrateToURI3(domain, dconnuri, params, nparams, flags));
    let permit = permitted("virDomainMigrateToURI3", domain);
    if permit.is_some() {
        forward!(forward::domain(domain) => virDomainMigrateToURI3(domain, dconnuri, params, nparams, flags));
    }
    -1
}
