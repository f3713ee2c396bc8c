//! Errors as C keeps them: the thread's last one, and each connection's.
//!
//! A virError is plain memory that C may read, copy, reset and even write, so it is handled
//! field by field through pointers here; its strings come from `malloc`.

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int};
use std::mem::offset_of;

use super::constants::virErrorLevel;
use super::message::Message;
use super::strings::MallocString;
use super::types::{virError, virErrorPtr};

/// Offsets of the strings that an error owns.
const STRINGS: [usize; 4] = [
    offset_of!(virError, message),
    offset_of!(virError, str1),
    offset_of!(virError, str2),
    offset_of!(virError, str3),
];

/// Offsets of the numbers that are copied. The level is among them: C may have written a
/// number there that is no virErrorLevel, so it is never read as one.
const NUMBERS: [usize; 5] = [
    offset_of!(virError, code),
    offset_of!(virError, domain),
    offset_of!(virError, level),
    offset_of!(virError, int1),
    offset_of!(virError, int2),
];

thread_local! {
    static LAST: ErrorCell = const { ErrorCell::new() };
}

/// No error.
pub(super) const fn no_error() -> virError {
    virError {
        code: 0,
        domain: 0,
        message: std::ptr::null_mut(),
        level: virErrorLevel::VIR_ERR_NONE,
        conn: std::ptr::null_mut(),
        dom: std::ptr::null_mut(),
        str1: std::ptr::null_mut(),
        str2: std::ptr::null_mut(),
        str3: std::ptr::null_mut(),
        int1: 0,
        int2: 0,
        net: std::ptr::null_mut(),
    }
}

/// An error that belongs to us and that C may look at.
pub(super) struct ErrorCell(UnsafeCell<virError>);

impl ErrorCell {
    /// Without an error.
    pub(super) const fn new() -> ErrorCell {
        ErrorCell(UnsafeCell::new(no_error()))
    }

    /// What C gets. Always the same, and valid as long as the cell.
    pub(super) fn pointer(&self) -> virErrorPtr {
        self.0.get()
    }
}

impl Drop for ErrorCell {
    fn drop(&mut self) {
        // SAFETY: the cell's error is initialised, and with the cell goes the last use of it.
        unsafe { clear(self.pointer()) };
    }
}

/// The thread's error; `None` when the thread is ending and has put its own away already.
#[inline(always)]
pub(super) fn pointer() -> Option<virErrorPtr> {
    LAST.try_with(ErrorCell::pointer).ok()
}

/// Forgets the thread's error.
#[inline(always)]
pub(super) fn reset() {
    if let Some(last) = pointer() {
        // SAFETY: the thread's own error is initialised, and only this thread uses it.
        unsafe { clear(last) };
    }
}

/// Puts a message into an error, in place of what it said.
///
/// # Safety
///
/// `error` is initialised and nobody else uses it during this call.
pub(super) unsafe fn write(error: virErrorPtr, message: &Message) {
    // SAFETY: by this contract.
    unsafe { clear(error) };
    let text = |text: Option<&str>| {
        text.and_then(MallocString::new)
            .map_or(std::ptr::null_mut(), MallocString::into_raw)
    };
    let filled = virError {
        code: message.code,
        domain: message.domain,
        message: text(Some(&message.text)),
        level: virErrorLevel::VIR_ERR_ERROR,
        str1: text(Some(&message.str1)),
        str2: text(message.str2.as_deref()),
        int1: message.int1,
        int2: message.int2,
        ..no_error()
    };
    // SAFETY: writable by this contract; `clear` left nothing there that would be lost.
    unsafe { error.write(filled) };
}

/// Frees an error's strings and makes it `no error`.
///
/// # Safety
///
/// `error` is initialised, its strings are NULL or from malloc, and nobody else uses it during
/// this call.
#[inline(always)]
pub(super) unsafe fn clear(error: virErrorPtr) {
    let [message, str1, str2, str3] = STRINGS;
    let is_free = |offset| {
        // SAFETY: a field of an initialised error, by this contract.
        unsafe { string_field(error, offset).read() }.is_null()
    };
    // Each call begins with this, and nearly always there is nothing to free. Spelled out: what loops
    // here loops in the machine's code.
    if !(is_free(message) && is_free(str1) && is_free(str2) && is_free(str3)) {
        // SAFETY: initialised; nothing points to the strings after the next line.
        unsafe { free_strings(error) };
    }
    // Not `write`, which copies from a constant, in a loop of the processor's.
    // SAFETY: writable by this contract; all zero is `no_error()`, as a test says.
    unsafe { error.write_bytes(0, 1) };
}

/// Frees an error's strings, which it still points to.
///
/// # Safety
///
/// As for [`clear`].
#[cold]
unsafe fn free_strings(error: virErrorPtr) {
    for offset in STRINGS {
        // SAFETY: a field of an initialised error, by this contract.
        let text = unsafe { string_field(error, offset).read() };
        // SAFETY: NULL or from malloc, by this contract.
        unsafe { libc::free(text.cast()) };
    }
}

/// Copies an error, strings included. A string for which memory cannot be had stays NULL.
///
/// # Safety
///
/// Both are initialised and not the same, `to` owns no strings, and nobody else uses them
/// during this call.
pub(super) unsafe fn copy(from: virErrorPtr, to: virErrorPtr) {
    for offset in NUMBERS {
        // SAFETY: a field of an initialised error, by this contract.
        let number = unsafe { number_field(from, offset).read() };
        // SAFETY: the same field of the other one.
        unsafe { number_field(to, offset).write(number) };
    }
    for offset in STRINGS {
        // SAFETY: a field of an initialised error, by this contract.
        let text = unsafe { string_field(from, offset).read() };
        let copied = if text.is_null() {
            text
        } else {
            // SAFETY: the strings of an error are NUL-terminated.
            unsafe { libc::strdup(text) }
        };
        // SAFETY: the same field of the other one; it owned no string.
        unsafe { string_field(to, offset).write(copied) };
    }
}

/// The number that says what went wrong; 0 for no error.
///
/// # Safety
///
/// `error` is initialised.
pub(super) unsafe fn code(error: virErrorPtr) -> c_int {
    // SAFETY: by this contract.
    unsafe { number_field(error, offset_of!(virError, code)).read() }
}

/// The number that says which part noticed.
///
/// # Safety
///
/// `error` is initialised.
pub(super) unsafe fn domain(error: virErrorPtr) -> c_int {
    // SAFETY: by this contract.
    unsafe { number_field(error, offset_of!(virError, domain)).read() }
}

/// The number that says how bad it is.
///
/// # Safety
///
/// `error` is initialised.
pub(super) unsafe fn level(error: virErrorPtr) -> c_int {
    // SAFETY: by this contract.
    unsafe { number_field(error, offset_of!(virError, level)).read() }
}

/// The whole text, which may be NULL.
///
/// # Safety
///
/// `error` is initialised.
pub(super) unsafe fn text(error: virErrorPtr) -> *const c_char {
    // SAFETY: by this contract.
    unsafe { string_field(error, offset_of!(virError, message)).read() }
}

fn string_field(error: virErrorPtr, offset: usize) -> *mut *mut c_char {
    error.wrapping_byte_add(offset).cast()
}

fn number_field(error: virErrorPtr, offset: usize) -> *mut c_int {
    error.wrapping_byte_add(offset).cast()
}

#[cfg(test)]
pub(super) mod tests {
    use std::thread;

    use super::super::strings::copy_in;
    use super::*;
    use crate::error::Error;

    /// Code of this thread's last error.
    pub(in super::super) fn last_code() -> c_int {
        // SAFETY: the thread's own error is initialised.
        unsafe { code(pointer().unwrap()) }
    }

    /// Text of this thread's last error.
    pub(in super::super) fn last_message() -> String {
        message_of(pointer().unwrap())
    }

    fn message_of(error: virErrorPtr) -> String {
        // SAFETY: the tests give initialised errors only.
        let message = unsafe { text(error) };
        assert!(!message.is_null());
        // SAFETY: an error's message is NUL-terminated.
        unsafe { copy_in(message) }.unwrap()
    }

    fn store(error: &Error) {
        // SAFETY: the thread's own error, which only this thread uses.
        unsafe { write(pointer().unwrap(), &Message::of(error)) };
    }

    #[test]
    fn a_new_error_replaces_the_old_one() {
        store(&Error::NoCurrent);
        store(&Error::NoParent { name: "a".into() });
        assert_eq!(
            last_message(),
            "Domain snapshot not found: snapshot 'a' does not have a parent"
        );
        reset();
        assert_eq!(last_code(), 0);
    }

    #[test]
    fn all_zero_is_no_error() {
        let mut error = no_error();
        error.code = 1;
        error.level = virErrorLevel::VIR_ERR_ERROR;
        error.int2 = 7;
        // SAFETY: initialised, without strings, and this test's own.
        unsafe { clear(&raw mut error) };
        let numbers = (error.code, error.domain, error.int1, error.int2);
        assert_eq!(numbers, (0, 0, 0, 0));
        assert!(matches!(error.level, virErrorLevel::VIR_ERR_NONE));
        let texts = [error.message, error.str1, error.str2, error.str3];
        assert!(texts.iter().all(|text| text.is_null()));
        assert!(error.conn.is_null() && error.dom.is_null() && error.net.is_null());
    }

    #[test]
    fn a_thread_sees_its_own_error_only() {
        store(&Error::NoCurrent);
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(last_code(), 0));
        });
        assert_eq!(last_code(), 72);
    }

    #[test]
    fn a_copy_is_deep() {
        let copied = ErrorCell::new();
        store(&Error::NoCurrent);
        // SAFETY: both are initialised and different, the new one owns nothing.
        unsafe { copy(pointer().unwrap(), copied.pointer()) };
        reset();
        assert_eq!(
            message_of(copied.pointer()),
            "Domain snapshot not found: the domain does not have a current snapshot"
        );
        // SAFETY: initialised.
        assert_eq!(unsafe { level(copied.pointer()) }, 2);
        // SAFETY: initialised.
        assert_eq!(unsafe { domain(copied.pointer()) }, 10);
    }
}
