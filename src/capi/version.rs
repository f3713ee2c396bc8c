//! Versions: the API's, which is libvirt's, and this library's own.

use std::ffi::{c_char, c_int, c_ulong};

use super::boundary;
use super::constants::LIBVIR_VERSION_NUMBER;
use super::dispatch;
use super::forward::forward;
use crate::error::Family;

/// The version of virsnap that this header belongs to: major * 1000000 + minor * 1000 + micro.
pub const VIRSNAP_VERSION_NUMBER: c_ulong = 1000;

/// Prepares the library. Nothing has to be prepared, so programs may leave the call out.
///
/// Returns 0.
///
/// Errors: none. Threads: any. Ownership: nothing changes hands.
/// Since: 0.1.0. Source: libvirt-host.h of libvirt 9.0.0.
#[unsafe(no_mangle)]
pub extern "C" fn virInitialize() -> c_int {
    forward!(dispatch::libvirt() => virInitialize());
    0
}

/// Tells the version of libvirt's API that this library follows.
///
/// @libVer: where to store the version, major * 1000000 + minor * 1000 + micro
/// @type: ignored
/// @typeVer: NULL, or where to store the same version
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_ARG (libVer is NULL).
/// Threads: any. Ownership: nothing changes hands.
/// Since: 0.0.3. Source: libvirt-host.h of libvirt 9.0.0.
///
/// # Safety
///
/// libVer and typeVer are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virGetVersion(
    libVer: *mut c_ulong,
    r#type: *const c_char,
    typeVer: *mut c_ulong,
) -> c_int {
    forward!(dispatch::libvirt() => virGetVersion(libVer, r#type, typeVer));
    const FUNCTION: &str = "virGetVersion";
    let _ = r#type;
    boundary::enter(FUNCTION, Family::Core, -1, |call| {
        call.not_null(libVer, "libVer")?;
        // SAFETY: not NULL, and so writable by this function's contract.
        unsafe { libVer.write(LIBVIR_VERSION_NUMBER) };
        if !typeVer.is_null() {
            // SAFETY: as above.
            unsafe { typeVer.write(LIBVIR_VERSION_NUMBER) };
        }
        Ok(0)
    })
}

/// Tells the version of virsnap itself. No libvirt has this function: a program finds out with
/// it (dlsym) which of the two libraries answers.
///
/// @version: where to store the version, major * 1000000 + minor * 1000 + micro
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_ARG (version is NULL).
/// Threads: any. Ownership: nothing changes hands.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// version is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapGetVersion(version: *mut c_ulong) -> c_int {
    const FUNCTION: &str = "virSnapGetVersion";
    boundary::enter(FUNCTION, Family::Core, -1, |call| {
        call.not_null(version, "version")?;
        // SAFETY: not NULL, and so writable by this function's contract.
        unsafe { version.write(VIRSNAP_VERSION_NUMBER) };
        Ok(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_packages() {
        let parts = [
            env!("CARGO_PKG_VERSION_MAJOR"),
            env!("CARGO_PKG_VERSION_MINOR"),
            env!("CARGO_PKG_VERSION_PATCH"),
        ];
        let [major, minor, micro] = parts.map(|part| part.parse::<c_ulong>().unwrap());
        assert_eq!(
            VIRSNAP_VERSION_NUMBER,
            major * 1_000_000 + minor * 1_000 + micro
        );
    }
}
