//! Strings of libvirt's, copied.

use std::ffi::{CStr, c_char};

/// Copies a string; `None` for NULL.
///
/// # Safety
///
/// `text` is NULL or NUL-terminated, and nobody writes to it meanwhile.
pub(super) unsafe fn borrowed(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not NULL, and NUL-terminated by this contract.
    let text = unsafe { CStr::from_ptr(text) };
    Some(text.to_string_lossy().into_owned())
}

/// Copies a string and frees it.
///
/// # Safety
///
/// `text` is NULL or a NUL-terminated string from malloc that is nobody else's.
pub(super) unsafe fn owned(text: *mut c_char) -> Option<String> {
    // SAFETY: by this contract.
    let copy = unsafe { borrowed(text) };
    // SAFETY: by this contract, and not used again.
    unsafe { release(text) };
    copy
}

/// Frees a string.
///
/// # Safety
///
/// `text` is NULL or from malloc and nobody else's.
pub(super) unsafe fn release(text: *mut c_char) {
    // SAFETY: by this contract.
    unsafe { libc::free(text.cast()) };
}
