//! libvirt's types as C sees them: opaque objects, structures and callbacks.
//!
//! Layouts, names and order are libvirt 9.0.0's (virterror.h, libvirt-host.h, libvirt-domain.h);
//! tests/header.rs has a C compiler prove it.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ulong, c_ulonglong, c_ushort, c_void};

use super::constants::virErrorLevel;

/// A connection to the domains of one state directory. Opaque.
pub struct _virConnect(());
/// A connection to the domains of one state directory. Opaque.
pub type virConnect = _virConnect;
/// A counted reference to a connection; give it back with virConnectClose().
pub type virConnectPtr = *mut virConnect;

/// A domain: a virtual machine, running or not. Opaque.
pub struct _virDomain(());
/// A domain: a virtual machine, running or not. Opaque.
pub type virDomain = _virDomain;
/// A counted reference to a domain; give it back with virDomainFree().
pub type virDomainPtr = *mut virDomain;

/// The name of a snapshot together with its domain. Opaque.
pub struct _virDomainSnapshot(());
/// The name of a snapshot together with its domain. Opaque.
pub type virDomainSnapshot = _virDomainSnapshot;
/// A counted reference to a snapshot; give it back with virDomainSnapshotFree().
pub type virDomainSnapshotPtr = *mut virDomainSnapshot;

/// A virtual network. Only virError mentions it. Opaque.
pub struct _virNetwork(());
/// A virtual network. Only virError mentions it. Opaque.
pub type virNetwork = _virNetwork;
/// Only virError mentions it.
pub type virNetworkPtr = *mut virNetwork;

/// A parameter with a name and a type. Only libvirt's own functions look at it. Opaque.
pub struct _virTypedParameter(());
/// A parameter with a name and a type. Only libvirt's own functions look at it. Opaque.
pub type virTypedParameter = _virTypedParameter;
/// A pointer to parameters.
pub type virTypedParameterPtr = *mut virTypedParameter;

/// One error: what went wrong, where, and the words for it.
///
/// Strings belong to the error: virResetError() frees them.
#[repr(C)]
pub struct _virError {
    /// What went wrong: a virErrorNumber, 0 for no error.
    pub code: c_int,
    /// Which part noticed: a virErrorDomain.
    pub domain: c_int,
    /// For people, complete.
    pub message: *mut c_char,
    /// How bad it is. This library raises VIR_ERR_ERROR only.
    pub level: virErrorLevel,
    /// Always NULL.
    pub conn: virConnectPtr,
    /// Always NULL.
    pub dom: virDomainPtr,
    /// The message's format with one `%s`; for argument checks the function's name.
    pub str1: *mut c_char,
    /// What stands for the `%s`; for argument checks the argument's name.
    pub str2: *mut c_char,
    /// Always NULL.
    pub str3: *mut c_char,
    /// errno of a failed system call, 0 for argument checks, else -1.
    pub int1: c_int,
    /// 0 for argument checks, else -1.
    pub int2: c_int,
    /// Always NULL.
    pub net: virNetworkPtr,
}
/// One error: what went wrong, where, and the words for it.
pub type virError = _virError;
/// A pointer to an error.
pub type virErrorPtr = *mut virError;

/// Told of each error that a call ends with, in the thread of that call.
///
/// @userData: what was registered with it
/// @error: the error, valid during the call
pub type virErrorFunc = Option<unsafe extern "C" fn(userData: *mut c_void, error: virErrorPtr)>;

/// Told when a connection is closed by anybody but the program.
///
/// @conn: the connection
/// @reason: a virConnectCloseReason
/// @opaque: what was registered with it
pub type virConnectCloseFunc =
    Option<unsafe extern "C" fn(conn: virConnectPtr, reason: c_int, opaque: *mut c_void)>;

/// Frees what a program has registered.
///
/// @opaque: what was registered
pub type virFreeCallback = Option<unsafe extern "C" fn(opaque: *mut c_void)>;

/// One question of an authentication dialogue.
#[repr(C)]
pub struct _virConnectCredential {
    /// A virConnectCredentialType.
    pub r#type: c_int,
    /// What to show to the user.
    pub prompt: *const c_char,
    /// More to show, or NULL.
    pub challenge: *const c_char,
    /// The answer if the user gives none, or NULL.
    pub defresult: *const c_char,
    /// The answer, allocated by the callback.
    pub result: *mut c_char,
    /// Bytes of the answer.
    pub resultlen: c_uint,
}
/// One question of an authentication dialogue.
pub type virConnectCredential = _virConnectCredential;
/// A pointer to such a question.
pub type virConnectCredentialPtr = *mut virConnectCredential;

/// Answers the questions of an authentication dialogue.
///
/// @cred: the questions, to be completed
/// @ncred: how many there are
/// @cbdata: what was registered with it
///
/// Returns 0, or -1 if the user gave up.
pub type virConnectAuthCallbackPtr = Option<
    unsafe extern "C" fn(
        cred: virConnectCredentialPtr,
        ncred: c_uint,
        cbdata: *mut c_void,
    ) -> c_int,
>;

/// How a program authenticates. This library asks nobody and does not look inside.
#[repr(C)]
pub struct _virConnectAuth {
    /// The virConnectCredentialType values that the callback can answer.
    pub credtype: *mut c_int,
    /// How many there are.
    pub ncredtype: c_uint,
    /// The callback.
    pub cb: virConnectAuthCallbackPtr,
    /// Handed to the callback.
    pub cbdata: *mut c_void,
}
/// How a program authenticates. This library asks nobody and does not look inside.
pub type virConnectAuth = _virConnectAuth;
/// A pointer to it.
pub type virConnectAuthPtr = *mut virConnectAuth;

/// What virDomainGetInfo() tells about a domain.
#[repr(C)]
pub struct _virDomainInfo {
    /// A virDomainState.
    pub state: c_uchar,
    /// Memory that the domain may have at most, in KiB.
    pub maxMem: c_ulong,
    /// Memory that the domain has, in KiB.
    pub memory: c_ulong,
    /// Number of virtual CPUs.
    pub nrVirtCpu: c_ushort,
    /// CPU time used, in nanoseconds.
    pub cpuTime: c_ulonglong,
}
/// What virDomainGetInfo() tells about a domain.
pub type virDomainInfo = _virDomainInfo;
/// A pointer to it.
pub type virDomainInfoPtr = *mut virDomainInfo;

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    // Source: libvirt 9.0.0 on LP64, as a C program printed it.
    #[test]
    fn an_error_has_libvirts_layout() {
        assert_eq!(size_of::<virError>(), 80);
        assert_eq!(offset_of!(virError, message), 8);
        assert_eq!(offset_of!(virError, level), 16);
        assert_eq!(offset_of!(virError, conn), 24);
        assert_eq!(offset_of!(virError, str1), 40);
        assert_eq!(offset_of!(virError, int1), 64);
        assert_eq!(offset_of!(virError, net), 72);
    }
}
