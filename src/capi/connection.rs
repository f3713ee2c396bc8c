//! Connections: open, close, and what they tell about themselves.

use std::ffi::{c_char, c_int, c_uint, c_ulong};

use super::boundary::{self, Call, count};
use super::constants::{LIBVIR_VERSION_NUMBER, virConnectFlags};
use super::forward::{self, forward};
use super::objects;
use super::opening;
use super::strings::MallocString;
use super::types::{virConnectAuthPtr, virConnectPtr};
use crate::error::{Error, Family, Result};
use crate::libvirt::Rights;
use crate::ops::{Access, Connection};

const READ_ONLY: c_uint = virConnectFlags::VIR_CONNECT_RO as c_uint;
const NO_ALIASES: c_uint = virConnectFlags::VIR_CONNECT_NO_ALIASES as c_uint;

/// Opens a connection that reads and writes.
///
/// @name: virsnap:///ABSOLUTE/STATE/DIRECTORY, or NULL for the URI in the environment variable
/// LIBVIRT_DEFAULT_URI
///
/// The directory is made if it does not exist. Connections of one process to one directory share
/// its domains; other processes may use it at the same time.
///
/// Returns a new connection, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_ARG (another kind of URI), VIR_ERR_SYSTEM_ERROR (the directory cannot
/// be used), VIR_ERR_INTERNAL_ERROR (the directory cannot be trusted).
/// Threads: any. Ownership: the caller closes the connection with virConnectClose().
/// Since: 0.0.3. Source: libvirt-host.h of libvirt 9.0.0.
///
/// # Safety
///
/// name is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virConnectOpen(name: *const c_char) -> virConnectPtr {
    // SAFETY: NULL or NUL-terminated by this function's contract.
    if let Some(libvirt) = unsafe { opening::libvirt_for(name) } {
        return opening::noted(libvirt, Rights::ReadWrite, || {
            forward!(Some(libvirt) => virConnectOpen(name));
            std::ptr::null_mut()
        });
    }
    const FUNCTION: &str = "virConnectOpen";
    boundary::enter(FUNCTION, Family::Core, std::ptr::null_mut(), |call| {
        // SAFETY: NULL or NUL-terminated by this function's contract.
        unsafe { open(call, name, Access::ReadWrite) }
    })
}

/// Opens a connection that changes nothing: functions that write fail on it with
/// VIR_ERR_OPERATION_DENIED, and secrets are not shown.
///
/// @name: as for virConnectOpen()
///
/// Returns a new connection, or NULL in case of error.
///
/// Errors: as for virConnectOpen().
/// Threads: any. Ownership: the caller closes the connection with virConnectClose().
/// Since: 0.0.3. Source: libvirt-host.h of libvirt 9.0.0.
///
/// # Safety
///
/// name is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virConnectOpenReadOnly(name: *const c_char) -> virConnectPtr {
    // SAFETY: NULL or NUL-terminated by this function's contract.
    if let Some(libvirt) = unsafe { opening::libvirt_for(name) } {
        return opening::noted(libvirt, Rights::ReadOnly, || {
            forward!(Some(libvirt) => virConnectOpenReadOnly(name));
            std::ptr::null_mut()
        });
    }
    const FUNCTION: &str = "virConnectOpenReadOnly";
    boundary::enter(FUNCTION, Family::Core, std::ptr::null_mut(), |call| {
        // SAFETY: NULL or NUL-terminated by this function's contract.
        unsafe { open(call, name, Access::ReadOnly) }
    })
}

/// Opens a connection with flags.
///
/// @name: as for virConnectOpen()
/// @auth: ignored: this library asks nobody for a password. May be NULL
/// @flags: bitwise-OR of virConnectFlags
///
/// Returns a new connection, or NULL in case of error.
///
/// Errors: as for virConnectOpen(), VIR_ERR_INVALID_ARG (unknown flag).
/// Threads: any. Ownership: the caller closes the connection with virConnectClose().
/// Since: 0.4.0. Source: libvirt-host.h of libvirt 9.0.0.
///
/// # Safety
///
/// name is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virConnectOpenAuth(
    name: *const c_char,
    auth: virConnectAuthPtr,
    flags: c_uint,
) -> virConnectPtr {
    // SAFETY: NULL or NUL-terminated by this function's contract.
    if let Some(libvirt) = unsafe { opening::libvirt_for(name) } {
        let rights = if flags & READ_ONLY == 0 {
            Rights::ReadWrite
        } else {
            Rights::ReadOnly
        };
        return opening::noted(libvirt, rights, || {
            forward!(Some(libvirt) => virConnectOpenAuth(name, auth, flags));
            std::ptr::null_mut()
        });
    }
    const FUNCTION: &str = "virConnectOpenAuth";
    let _ = auth;
    boundary::enter(FUNCTION, Family::Core, std::ptr::null_mut(), |call| {
        call.known_flags(flags, READ_ONLY | NO_ALIASES)?;
        let access = if flags & READ_ONLY == 0 {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        };
        // SAFETY: NULL or NUL-terminated by this function's contract.
        unsafe { open(call, name, access) }
    })
}

/// # Safety
///
/// `name` is NULL or NUL-terminated.
unsafe fn open(call: &mut Call, name: *const c_char, access: Access) -> Result<virConnectPtr> {
    let uri = if name.is_null() {
        String::new()
    } else {
        // SAFETY: NUL-terminated by this contract.
        unsafe { call.text(name, "name") }?
    };
    // libvirt: an empty URI is the default one, as NULL is.
    let uri = if uri.is_empty() { default_uri()? } else { uri };
    let connection = Connection::open(&uri, access)?;
    Ok(objects::new_connection(connection, call.function)?.give())
}

fn default_uri() -> Result<String> {
    std::env::var("LIBVIRT_DEFAULT_URI")
        .ok()
        .filter(|uri| !uri.is_empty())
        .ok_or(Error::InvalidUri {
            uri: String::new(),
            reason: "no URI given, and none in LIBVIRT_DEFAULT_URI",
        })
}

/// Adds a reference to a connection. Each needs a virConnectClose() of its own.
///
/// @conn: a connection
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle).
/// Threads: any. Ownership: the caller has one reference more to give back.
/// Since: 0.6.0. Source: libvirt-host.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectRef(conn: virConnectPtr) -> c_int {
    forward!(forward::connection(conn) => virConnectRef(conn));
    const FUNCTION: &str = "virConnectRef";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        let conn = call.connection(conn)?;
        conn.reference().ok_or(Error::InvalidConnection {
            function: FUNCTION,
            family: call.family,
        })?;
        Ok(0)
    })
}

/// Gives back a reference to a connection. With the last one it is closed. Domain and snapshot
/// handles keep their connection open and go on working.
///
/// @conn: a connection
///
/// Returns the number of references left, 0 if it is closed now, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle, or all references are given back already).
/// Threads: any. Ownership: the caller's reference is gone.
/// Since: 0.0.3. Source: libvirt-host.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectClose(conn: virConnectPtr) -> c_int {
    if let Some(libvirt) = forward::connection(conn) {
        return opening::closed(conn, || {
            forward!(Some(libvirt) => virConnectClose(conn));
            -1
        });
    }
    const FUNCTION: &str = "virConnectClose";
    boundary::enter(FUNCTION, Family::Core, -1, |call| {
        let conn = call.connection(conn)?;
        conn.release().map(count).ok_or(Error::InvalidConnection {
            function: FUNCTION,
            family: call.family,
        })
    })
}

/// Tells the URI of a connection.
///
/// @conn: a connection
///
/// Returns the URI, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees the string with free().
/// Since: 0.3.0. Source: libvirt-host.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectGetURI(conn: virConnectPtr) -> *mut c_char {
    forward!(forward::connection(conn) => virConnectGetURI(conn));
    const FUNCTION: &str = "virConnectGetURI";
    boundary::enter(FUNCTION, Family::Connect, std::ptr::null_mut(), |call| {
        let conn = call.connection(conn)?;
        let uri = MallocString::new(conn.connection.uri());
        Ok(uri.ok_or_else(|| call.out_of_memory())?.into_raw())
    })
}

/// Tells what kind of connection it is: "virsnap", where libvirt has "QEMU" and others.
///
/// @conn: a connection
///
/// Returns the name, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle).
/// Threads: any. Ownership: the string is the library's; it is never freed.
/// Since: 0.0.3. Source: libvirt-host.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectGetType(conn: virConnectPtr) -> *const c_char {
    forward!(forward::connection(conn) => virConnectGetType(conn));
    const FUNCTION: &str = "virConnectGetType";
    boundary::enter(FUNCTION, Family::Connect, std::ptr::null(), |call| {
        call.connection(conn)?;
        Ok(c"virsnap".as_ptr())
    })
}

/// Tells the version of libvirt's API that the library behind a connection follows.
///
/// @conn: a connection
/// @libVer: where to store the version, major * 1000000 + minor * 1000 + micro
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (libVer is NULL).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.7.3. Source: libvirt-host.h of libvirt 9.0.0.
///
/// # Safety
///
/// libVer is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virConnectGetLibVersion(
    conn: virConnectPtr,
    libVer: *mut c_ulong,
) -> c_int {
    forward!(forward::connection(conn) => virConnectGetLibVersion(conn, libVer));
    const FUNCTION: &str = "virConnectGetLibVersion";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        call.connection(conn)?;
        call.not_null(libVer, "libVer")?;
        // SAFETY: not NULL, and so writable by this function's contract.
        unsafe { libVer.write(LIBVIR_VERSION_NUMBER) };
        Ok(0)
    })
}

/// Tells the name of the host.
///
/// @conn: a connection
///
/// Returns the name, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees the string with free().
/// Since: 0.3.0. Source: libvirt-host.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectGetHostname(conn: virConnectPtr) -> *mut c_char {
    forward!(forward::connection(conn) => virConnectGetHostname(conn));
    const FUNCTION: &str = "virConnectGetHostname";
    boundary::enter(FUNCTION, Family::Connect, std::ptr::null_mut(), |call| {
        call.connection(conn)?;
        let host = rustix::system::uname();
        let name = MallocString::new(&host.nodename().to_string_lossy());
        Ok(name.ok_or_else(|| call.out_of_memory())?.into_raw())
    })
}

/// Tells whether a connection still works. There is nobody at the other end who could go away.
///
/// @conn: a connection
///
/// Returns 1, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.9.8. Source: libvirt-host.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectIsAlive(conn: virConnectPtr) -> c_int {
    forward!(forward::connection(conn) => virConnectIsAlive(conn));
    const FUNCTION: &str = "virConnectIsAlive";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        call.connection(conn).map(|_| 1)
    })
}

/// Tells whether a connection is secure. It never leaves the process.
///
/// @conn: a connection
///
/// Returns 1, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.7.3. Source: libvirt-host.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectIsSecure(conn: virConnectPtr) -> c_int {
    forward!(forward::connection(conn) => virConnectIsSecure(conn));
    const FUNCTION: &str = "virConnectIsSecure";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        call.connection(conn).map(|_| 1)
    })
}

/// Tells whether a connection is encrypted. There is nothing to encrypt.
///
/// @conn: a connection
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.7.3. Source: libvirt-host.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectIsEncrypted(conn: virConnectPtr) -> c_int {
    forward!(forward::connection(conn) => virConnectIsEncrypted(conn));
    const FUNCTION: &str = "virConnectIsEncrypted";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        call.connection(conn).map(|_| 0)
    })
}
