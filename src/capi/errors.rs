//! The error functions: what went wrong last, and who wants to be told.
//!
//! These do not touch the thread's last error, except those that say so.

use std::ffi::{c_char, c_int, c_void};

use super::boundary::enter_quietly;
use super::dispatch::{self, Handler};
use super::forward::{self, forward};
use super::last_error;
use super::objects::{self, ConnectObject};
use super::types::{virConnectPtr, virError, virErrorFunc, virErrorPtr};

/// Gives the calling thread's last error.
///
/// Returns the error, or NULL if the thread's last call succeeded.
///
/// Errors: none. Threads: each has its own. Ownership: the library's; the next call in this thread
/// overwrites it.
/// Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virGetLastError() -> virErrorPtr {
    forward!(dispatch::libvirt() => virGetLastError());
    enter_quietly(std::ptr::null_mut(), last)
}

/// Gives the code of the calling thread's last error.
///
/// Returns a virErrorNumber, 0 if the thread's last call succeeded.
///
/// Errors: none. Threads: each has its own. Ownership: nothing changes hands.
/// Since: 4.5.0. Source: virterror.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virGetLastErrorCode() -> c_int {
    forward!(dispatch::libvirt() => virGetLastErrorCode());
    enter_quietly(0, || {
        // SAFETY: the thread's own error is initialised.
        last().map(|error| unsafe { last_error::code(error) })
    })
}

/// Gives the error domain of the calling thread's last error.
///
/// Returns a virErrorDomain, 0 if the thread's last call succeeded.
///
/// Errors: none. Threads: each has its own. Ownership: nothing changes hands.
/// Since: 4.5.0. Source: virterror.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virGetLastErrorDomain() -> c_int {
    forward!(dispatch::libvirt() => virGetLastErrorDomain());
    enter_quietly(0, || {
        // SAFETY: the thread's own error is initialised.
        last().map(|error| unsafe { last_error::domain(error) })
    })
}

/// Gives the words of the calling thread's last error.
///
/// Returns the message, "no error" if the thread's last call succeeded; never NULL.
///
/// Errors: none. Threads: each has its own. Ownership: the library's; the next call in this thread
/// frees it.
/// Since: 1.0.6. Source: virterror.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virGetLastErrorMessage() -> *const c_char {
    forward!(dispatch::libvirt() => virGetLastErrorMessage());
    enter_quietly(c"no error".as_ptr(), || {
        // SAFETY: the thread's own error is initialised.
        let text = unsafe { last_error::text(last()?) };
        Some(if text.is_null() {
            c"unknown error".as_ptr()
        } else {
            text
        })
    })
}

/// The thread's error, if it is one.
fn last() -> Option<virErrorPtr> {
    // SAFETY: the thread's own error is initialised.
    last_error::pointer().filter(|error| unsafe { last_error::code(*error) } != 0)
}

/// Forgets the calling thread's last error.
///
/// Errors: none. Threads: each has its own. Ownership: nothing changes hands.
/// Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virResetLastError() {
    forward!(dispatch::libvirt() => virResetLastError());
    enter_quietly((), || {
        last_error::reset();
        Some(())
    });
}

/// Copies the calling thread's last error.
///
/// Returns the copy, also if there is no error (its code is 0 then); NULL if memory cannot be had.
/// errno stays as it is.
///
/// Errors: none. Threads: each has its own. Ownership: the caller frees it with virFreeError().
/// Since: 0.6.1. Source: virterror.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSaveLastError() -> virErrorPtr {
    forward!(dispatch::libvirt() => virSaveLastError());
    let errno = errno();
    // SAFETY: the calling thread's errno may always be read.
    let before = unsafe { errno.read() };
    let saved = enter_quietly(std::ptr::null_mut(), || {
        // SAFETY: malloc may be called with any size.
        let saved = unsafe { libc::malloc(size_of::<virError>()) }.cast::<virError>();
        if saved.is_null() {
            return None;
        }
        // SAFETY: new memory of that size; malloc aligns it for anything.
        unsafe { saved.write(last_error::no_error()) };
        if let Some(error) = last() {
            // SAFETY: both are initialised and different, and the new one owns nothing.
            unsafe { last_error::copy(error, saved) };
        }
        Some(saved)
    });
    // SAFETY: the calling thread's errno may always be written.
    unsafe { errno.write(before) };
    saved
}

fn errno() -> *mut c_int {
    // SAFETY: callable at any time; it answers where this thread's errno is.
    unsafe { libc::__errno_location() }
}

/// Copies the calling thread's last error into memory of the caller's.
///
/// @to: where to; what is there is overwritten, not freed
///
/// Returns the code of the error, 0 if there is none, or -1 if to is NULL.
///
/// Errors: none. Threads: each has its own. Ownership: the caller frees the copy's strings with
/// virResetError().
/// Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
///
/// # Safety
///
/// to is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virCopyLastError(to: virErrorPtr) -> c_int {
    forward!(dispatch::libvirt() => virCopyLastError(to));
    enter_quietly(-1, || {
        if to.is_null() {
            return None;
        }
        // SAFETY: writable by this function's contract.
        unsafe { to.write(last_error::no_error()) };
        let Some(error) = last() else {
            return Some(0);
        };
        // SAFETY: both are initialised, and the caller's owns nothing. The caller's is not the
        // thread's: that one has just been found to be an error, and the caller's is none.
        unsafe { last_error::copy(error, to) };
        // SAFETY: initialised above.
        Some(unsafe { last_error::code(to) })
    })
}

/// Frees the strings of an error and makes it "no error".
///
/// @err: an error, or NULL
///
/// Errors: none. Threads: any. Ownership: the error's memory stays the caller's.
/// Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
///
/// # Safety
///
/// err is NULL or an error that this library has filled or copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virResetError(err: virErrorPtr) {
    enter_quietly((), || {
        if !err.is_null() {
            // SAFETY: an initialised error with strings from malloc, by this function's contract.
            unsafe { last_error::clear(err) };
        }
        Some(())
    });
}

/// Frees an error.
///
/// @err: what virSaveLastError() gave, or NULL
///
/// Errors: none. Threads: any. Ownership: the error is gone.
/// Since: 0.6.1. Source: virterror.h of libvirt 9.0.0.
///
/// # Safety
///
/// err is NULL or came from virSaveLastError() and was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virFreeError(err: virErrorPtr) {
    // SAFETY: NULL or an error of ours, by this function's contract.
    unsafe { virResetError(err) };
    // SAFETY: NULL or from malloc, by this function's contract.
    unsafe { libc::free(err.cast()) };
}

/// Prints an error as one line on stderr: what is done with errors as long as the program has no
/// function of its own for them.
///
/// @err: an error, or NULL
///
/// Errors: none. Threads: any. Ownership: nothing changes hands.
/// Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
///
/// # Safety
///
/// err is NULL or an initialised error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virDefaultErrorFunc(err: virErrorPtr) {
    enter_quietly((), || {
        // SAFETY: initialised by this function's contract, if it is not NULL.
        if err.is_null() || unsafe { last_error::code(err) } == 0 {
            return None;
        }
        // SAFETY: as above.
        unsafe { dispatch::print(err) };
        Some(())
    });
}

/// Sets the function that is told of errors in the whole process.
///
/// @userData: handed to the function
/// @handler: the function; NULL for virDefaultErrorFunc()
///
/// It is called once for each failing call, at its end and in its thread. It may call this library.
///
/// Errors: none. Threads: any. Ownership: userData stays the caller's.
/// Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSetErrorFunc(userData: *mut c_void, handler: virErrorFunc) {
    enter_quietly((), || {
        let handler = Handler {
            function: handler,
            user_data: userData,
        };
        *dispatch::PROCESS.write() = handler;
        if let Some(libvirt) = dispatch::libvirt() {
            dispatch::give_handler(libvirt, handler);
        }
        Some(())
    });
}

/// Sets the function that is told of errors of one connection, instead of the process's.
///
/// @conn: a connection; anything else is ignored
/// @userData: handed to the function
/// @handler: the function; NULL for the process's
///
/// Errors: none. Threads: any. Ownership: userData stays the caller's.
/// Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnSetErrorFunc(
    conn: virConnectPtr,
    userData: *mut c_void,
    handler: virErrorFunc,
) {
    forward!(forward::connection(conn) => virConnSetErrorFunc(conn, userData, handler));
    enter_quietly((), || {
        let conn = objects::find::<ConnectObject>(conn)?;
        *conn.errors.handler.write() = Handler {
            function: handler,
            user_data: userData,
        };
        Some(())
    });
}

/// Gives the last error of a connection. Calls that succeed do not change it.
///
/// @conn: a connection
///
/// Returns the error, with code 0 if there was none; NULL for a bad handle.
///
/// Errors: none. Threads: only while no other thread uses the connection; virConnCopyLastError()
/// has no such limit. Ownership: the connection's; the next error overwrites it.
/// Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnGetLastError(conn: virConnectPtr) -> virErrorPtr {
    forward!(forward::connection(conn) => virConnGetLastError(conn));
    enter_quietly(std::ptr::null_mut(), || {
        Some(objects::find::<ConnectObject>(conn)?.errors.last())
    })
}

/// Copies the last error of a connection into memory of the caller's.
///
/// @conn: a connection
/// @to: where to; what is there is overwritten, not freed
///
/// Returns the code of the error, 0 if there is none, or -1 for a bad handle or if to is NULL.
///
/// Errors: none. Threads: any. Ownership: the caller frees the copy's strings with virResetError().
/// Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
///
/// # Safety
///
/// to is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virConnCopyLastError(conn: virConnectPtr, to: virErrorPtr) -> c_int {
    forward!(forward::connection(conn) => virConnCopyLastError(conn, to));
    enter_quietly(-1, || {
        if to.is_null() {
            return None;
        }
        // SAFETY: writable by this function's contract.
        unsafe { to.write(last_error::no_error()) };
        let conn = objects::find::<ConnectObject>(conn)?;
        // SAFETY: made `no error` above, and the caller's alone.
        Some(unsafe { conn.errors.copy_out(to) })
    })
}

/// Forgets the last error of a connection.
///
/// @conn: a connection; anything else is ignored
///
/// Errors: none. Threads: any. Ownership: nothing changes hands.
/// Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virConnResetLastError(conn: virConnectPtr) {
    forward!(forward::connection(conn) => virConnResetLastError(conn));
    enter_quietly((), || {
        objects::find::<ConnectObject>(conn)?.errors.reset();
        Some(())
    });
}
