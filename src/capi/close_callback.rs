//! Who wants to know that a connection is closed by somebody else. Ours never is.

use std::ffi::{c_int, c_void};

use super::boundary;
use super::forward::{self, forward};
use super::types::{virConnectCloseFunc, virConnectPtr, virFreeCallback};
use crate::error::{Error, Family};

/// Asks to be told when a connection is closed by anybody but the program. There is nobody at the
/// other end who could: nothing is ever told.
///
/// @conn: a connection
/// @cb: the function to tell
/// @opaque: handed to the function
/// @freecb: ignored, as by libvirt for its drivers without a daemon; may be NULL
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (cb is NULL).
/// Threads: any. Ownership: opaque stays the caller's.
/// Since: 0.10.0. Source: libvirt-host.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectRegisterCloseCallback(
    conn: virConnectPtr,
    cb: virConnectCloseFunc,
    opaque: *mut c_void,
    freecb: virFreeCallback,
) -> c_int {
    forward!(
        forward::connection(conn) => virConnectRegisterCloseCallback(conn, cb, opaque, freecb)
    );
    const FUNCTION: &str = "virConnectRegisterCloseCallback";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        call.connection(conn)?;
        given(cb, FUNCTION)
    })
}

/// Takes back what virConnectRegisterCloseCallback() has asked for.
///
/// @conn: a connection
/// @cb: the function that was registered
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (cb is NULL).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.10.0. Source: libvirt-host.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnectUnregisterCloseCallback(
    conn: virConnectPtr,
    cb: virConnectCloseFunc,
) -> c_int {
    forward!(forward::connection(conn) => virConnectUnregisterCloseCallback(conn, cb));
    const FUNCTION: &str = "virConnectUnregisterCloseCallback";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        call.connection(conn)?;
        given(cb, FUNCTION)
    })
}

fn given(cb: virConnectCloseFunc, function: &'static str) -> Result<c_int, Error> {
    match cb {
        Some(_) => Ok(0),
        None => Err(Error::NullArgument {
            function,
            argument: "cb",
            family: Family::Connect,
        }),
    }
}
