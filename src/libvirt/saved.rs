//! An error of libvirt's, kept while other calls are made.

use std::ffi::c_int;
use std::fmt;
use std::ptr::NonNull;

use super::functions::RawError;
use super::library::Libvirt;
use super::text;
use crate::error::Error;

/// libvirt's VIR_ERR_INTERNAL_ERROR, for a failure that left no error.
const INTERNAL_ERROR: c_int = 1;

/// libvirt's VIR_ERR_OPERATION_DENIED.
const OPERATION_DENIED: c_int = 29;

/// libvirt's VIR_ERR_NO_DOMAIN.
const NO_DOMAIN: c_int = 42;

/// What a call of libvirt's failed with. The program's handler has been told already.
pub struct Saved {
    libvirt: &'static Libvirt,
    error: Option<NonNull<RawError>>,
    code: c_int,
    domain: c_int,
    message: String,
}

// SAFETY: the error is a copy that belongs to this value alone and is not changed.
unsafe impl Send for Saved {}
// SAFETY: as above.
unsafe impl Sync for Saved {}

impl Saved {
    /// The thread's last error, copied.
    pub fn last(libvirt: &'static Libvirt) -> Saved {
        // SAFETY: may be called at any time; the copy is the caller's.
        let error = NonNull::new(unsafe { (libvirt.public.virSaveLastError)() });
        let (code, domain, message) = match error {
            // SAFETY: libvirt's copy is initialised, and nobody else knows it.
            Some(error) => unsafe { facts(error) },
            None => (0, 0, None),
        };
        Saved {
            libvirt,
            error: error.filter(|_| code != 0),
            code: if code == 0 { INTERNAL_ERROR } else { code },
            domain,
            message: message
                .unwrap_or_else(|| "An error occurred, but the cause is unknown".to_owned()),
        }
    }

    /// virErrorNumber.
    pub fn code(&self) -> c_int {
        self.code
    }

    /// virErrorDomain.
    pub fn domain(&self) -> c_int {
        self.domain
    }

    /// Whether it says that the connection reads only.
    pub fn is_read_only(&self) -> bool {
        self.code == OPERATION_DENIED
    }

    /// Whether it says that the domain is gone.
    pub fn is_no_domain(&self) -> bool {
        self.code == NO_DOMAIN
    }

    /// Makes it the thread's last error again, without telling anybody: libvirt has told it.
    /// `false` if this libvirt does not allow it.
    pub fn restore(&self) -> bool {
        self.error
            // SAFETY: initialised, as libvirt has made it.
            .is_some_and(|error| unsafe { self.libvirt.set_error(error.as_ptr()) })
    }
}

/// # Safety
///
/// `error` is an initialised virError that nobody else uses.
unsafe fn facts(error: NonNull<RawError>) -> (c_int, c_int, Option<String>) {
    // SAFETY: by this contract.
    let error = unsafe { error.as_ref() };
    // SAFETY: an error's message is NULL or NUL-terminated.
    let message = unsafe { text::borrowed(error.message) };
    (error.code, error.domain, message)
}

impl Drop for Saved {
    fn drop(&mut self) {
        if let Some(error) = self.error {
            // SAFETY: libvirt's copy, which nobody uses after this.
            unsafe { (self.libvirt.public.virFreeError)(error.as_ptr()) };
        }
    }
}

impl fmt::Debug for Saved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Saved")
            .field("code", &self.code)
            .field("domain", &self.domain)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Saved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// The error of a call that just failed in this thread.
pub(super) fn failed(libvirt: &'static Libvirt) -> Error {
    Error::Libvirt(Saved::last(libvirt))
}
