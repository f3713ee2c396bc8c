//! Texts and arrays in and out. What C frees comes from `malloc`.

use std::ffi::{CStr, CString, c_char};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::memory;

/// Bytes of a text that the memory reserve always has room for.
const SMALL_BYTES: usize = 64 * 1024;

/// Copies a text of C's; `None` if it is not UTF-8 or memory was refused. A copy, because C may change its own as soon
/// as the call is over, or sooner by mistake.
///
/// # Safety
///
/// `text` is NUL-terminated, and nobody writes to it during this call.
pub(super) unsafe fn copy_in(text: *const c_char) -> Option<String> {
    // SAFETY: NUL-terminated and unwritten, by this contract.
    let text = unsafe { CStr::from_ptr(text) };
    let text = text.to_str().ok()?;
    if text.len() < SMALL_BYTES {
        return Some(text.to_owned());
    }
    let mut copied = String::new();
    copied.try_reserve_exact(text.len()).ok()?;
    copied.push_str(text);
    Some(copied)
}

/// Whether a text of C's has more than `limit` bytes. No byte behind those is looked at.
///
/// # Safety
///
/// `text` is NUL-terminated, and nobody writes to it during this call.
pub(super) unsafe fn is_longer(text: *const c_char, limit: usize) -> bool {
    // SAFETY: readable up to its NUL, where this stops at the latest.
    unsafe { libc::strnlen(text, limit.saturating_add(1)) > limit }
}

/// A text as C reads it, kept by us. Names hold no NUL; a text that did would end at it.
pub(super) fn nul_terminated(text: &str) -> CString {
    let bytes = text.split('\0').next().unwrap_or_default();
    CString::new(bytes).unwrap_or_default()
}

/// A text in memory from `malloc`, ours until [`MallocString::into_raw`] hands it to C.
pub(super) struct MallocString(NonNull<c_char>);

impl MallocString {
    /// Copies a text; `None` if memory cannot be had.
    pub(super) fn new(text: &str) -> Option<MallocString> {
        let length = text.len();
        // SAFETY: malloc may be called with any size; this one is not zero.
        let memory = unsafe { libc::malloc(length.checked_add(1)?) }.cast::<u8>();
        let start = NonNull::new(memory)?;
        // SAFETY: `length` bytes are readable in `text` and writable in the new memory, which
        // nothing else knows yet.
        unsafe {
            start
                .as_ptr()
                .copy_from_nonoverlapping(text.as_ptr(), length)
        };
        // SAFETY: the memory has `length + 1` bytes.
        let end = unsafe { start.as_ptr().add(length) };
        // SAFETY: the last byte of that memory.
        unsafe { end.write(0) };
        Some(MallocString(start.cast()))
    }

    /// A text that is handed over as it is; `None` if memory cannot be had.
    pub(super) fn of(mut text: String) -> Option<MallocString> {
        text.try_reserve_exact(1).ok()?;
        text.push('\0');
        if !memory::is_from_malloc(text.as_ptr()) {
            return None;
        }
        let mut bytes = ManuallyDrop::new(text.into_bytes());
        NonNull::new(bytes.as_mut_ptr().cast()).map(MallocString)
    }

    /// C owns it from now on and frees it with `free`.
    pub(super) fn into_raw(self) -> *mut c_char {
        ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for MallocString {
    fn drop(&mut self) {
        // SAFETY: from malloc in `new` or `of`, and not handed out: `into_raw` skips this drop.
        unsafe { libc::free(self.0.as_ptr().cast()) };
    }
}

/// Hands texts to C in an array of its own, and answers how many.
///
/// # Safety
///
/// `slots` has as many writable slots as there are texts, or there are none.
pub(super) unsafe fn fill(slots: *mut *mut c_char, texts: Vec<MallocString>) -> usize {
    let count = texts.len();
    for (place, text) in texts.into_iter().enumerate() {
        // SAFETY: `place` is below the number of slots, by this contract.
        let slot = unsafe { slots.add(place) };
        // SAFETY: writable, by this contract.
        unsafe { slot.write(text.into_raw()) };
    }
    count
}

/// An array of pointers in memory from `malloc`, with a NULL behind the last; C owns it and frees
/// it with `free`. `None` if memory cannot be had.
pub(super) fn malloc_array<T>(pointers: &[*mut T]) -> Option<NonNull<*mut T>> {
    let slots = pointers.len().checked_add(1)?;
    // SAFETY: calloc may be called with any sizes; it checks their product itself.
    let memory = unsafe { libc::calloc(slots, size_of::<*mut T>()) }.cast::<*mut T>();
    let array = NonNull::new(memory)?;
    // SAFETY: that many pointers are readable in the slice and writable in the new memory, which
    // nothing else knows yet; the one slot more stays NULL from calloc.
    unsafe {
        array
            .as_ptr()
            .copy_from_nonoverlapping(pointers.as_ptr(), pointers.len())
    };
    Some(array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_out_and_comes_back() {
        for text in ["", "name", "Grüße"] {
            let raw = MallocString::new(text).unwrap().into_raw();
            // SAFETY: `new` ends it with NUL; this test alone has it.
            assert_eq!(unsafe { copy_in(raw) }.unwrap(), text);
            // SAFETY: from malloc, not freed before.
            unsafe { libc::free(raw.cast()) };
        }
    }

    #[test]
    fn a_text_is_handed_over_as_it_is() {
        for text in ["", "name", "Grüße"] {
            let raw = MallocString::of(text.to_owned()).unwrap().into_raw();
            // SAFETY: `of` ends it with NUL; this test alone has it.
            assert_eq!(unsafe { copy_in(raw) }.unwrap(), text);
            // SAFETY: from malloc, not freed before.
            unsafe { libc::free(raw.cast()) };
        }
        drop(MallocString::of("not handed out".to_owned()));
    }

    #[test]
    fn what_is_not_utf8_does_not_come_in() {
        // SAFETY: a literal with its NUL.
        assert_eq!(unsafe { copy_in(c"\xff".as_ptr()) }, None);
    }

    #[test]
    fn a_long_text_is_known_by_its_beginning() {
        for (limit, expected) in [(2, true), (3, false), (4, false), (usize::MAX, false)] {
            // SAFETY: a literal with its NUL.
            let is_longer = unsafe { is_longer(c"abc".as_ptr(), limit) };
            assert_eq!(is_longer, expected, "{limit}");
        }
    }

    #[test]
    fn a_nul_inside_ends_the_text() {
        assert_eq!(nul_terminated("a\0b").as_c_str(), c"a");
        assert_eq!(nul_terminated("ab").as_c_str(), c"ab");
        drop(MallocString::new("a\0b").unwrap());
    }

    #[test]
    fn an_array_ends_with_null() {
        let mut numbers = [1, 2];
        let [one, two] = &mut numbers;
        let array = malloc_array(&[&raw mut *one, &raw mut *two]).unwrap();
        // SAFETY: two pointers and the NULL, as asked for above.
        let slots = unsafe { std::slice::from_raw_parts(array.as_ptr(), 3) };
        assert!(!slots[0].is_null() && !slots[1].is_null() && slots[2].is_null());
        // SAFETY: from calloc, not freed before.
        unsafe { libc::free(array.as_ptr().cast()) };
    }
}
