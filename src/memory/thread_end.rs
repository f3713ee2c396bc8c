//! What a thread does when it ends: the destructors of its `thread_local!`s.
//!
//! std has glibc keep them (`__cxa_thread_atexit_impl`), which ends the process where there is no
//! memory for one more. In the libraries that are built from this crate the name leads here instead
//! (tools/build-staticlib, build.rs): the list is in memory that can always be had, and what cannot even so is
//! left undestroyed.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

use super::ALLOCATOR;

type Destructor = unsafe extern "C" fn(*mut c_void);

/// One destructor, and those that were there before.
struct Entry {
    destructor: Destructor,
    object: *mut c_void,
    next: *mut Entry,
}

/// The key of each thread's list, and one; 0 before it is made.
static KEY: AtomicU64 = AtomicU64::new(0);

fn key() -> Option<libc::pthread_key_t> {
    let known = KEY.load(Ordering::Acquire);
    if known != 0 {
        return libc::pthread_key_t::try_from(known - 1).ok();
    }
    let mut made = 0;
    // SAFETY: writes the key that it is given.
    if unsafe { libc::pthread_key_create(&raw mut made, Some(run)) } != 0 {
        return None;
    }
    match KEY.compare_exchange(0, u64::from(made) + 1, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(made),
        Err(others) => {
            // SAFETY: made above, and nobody knows of it.
            unsafe { libc::pthread_key_delete(made) };
            libc::pthread_key_t::try_from(others - 1).ok()
        }
    }
}

/// Has `destructor` called with `object` when this thread ends; answers 0, or -1 if it will not be.
///
/// # Safety
///
/// As `__cxa_thread_atexit_impl` (C++ ABI, "Thread-local storage"): the call may be made in this thread once
/// it ends. The library that it is in stays: it is linked with `-z nodelete`.
#[unsafe(no_mangle)]
unsafe extern "C" fn virsnap_thread_atexit(
    destructor: Destructor,
    object: *mut c_void,
    _library: *mut c_void,
) -> c_int {
    let Some(key) = key() else {
        return -1;
    };
    // SAFETY: not of size zero.
    let entry = unsafe { ALLOCATOR.alloc(Layout::new::<Entry>()) }.cast::<Entry>();
    if entry.is_null() {
        return -1;
    }
    let new = Entry {
        destructor,
        object,
        // SAFETY: a key that was made.
        next: unsafe { libc::pthread_getspecific(key) }.cast(),
    };
    // SAFETY: just allocated for it.
    unsafe { entry.write(new) };
    // SAFETY: a key that was made.
    let answer = unsafe { libc::pthread_setspecific(key, entry.cast()) };
    if answer != 0 {
        // SAFETY: allocated above, and in no list.
        unsafe { ALLOCATOR.dealloc(entry.cast(), Layout::new::<Entry>()) };
        return -1;
    }
    0
}

/// Calls them, the last one first. What they register meanwhile has its turn after them (POSIX,
/// pthread_key_create).
///
/// # Safety
///
/// `list` is this thread's list, which nobody has any more.
unsafe extern "C" fn run(list: *mut c_void) {
    let mut next = list.cast::<Entry>();
    while !next.is_null() {
        // SAFETY: an entry of the list, by this contract, written when it was made.
        let entry = unsafe { next.read() };
        // SAFETY: allocated for the list, and read for the last time.
        unsafe { ALLOCATOR.dealloc(next.cast(), Layout::new::<Entry>()) };
        // SAFETY: what was promised when it was registered.
        unsafe { (entry.destructor)(entry.object) };
        next = entry.next;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    static CALLED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

    extern "C" fn note(object: *mut c_void) {
        CALLED.lock().unwrap().push(object.addr());
        if object.addr() == 2 {
            register(note, 9);
        }
    }

    fn register(destructor: Destructor, object: usize) {
        let object = std::ptr::without_provenance_mut(object);
        // SAFETY: `note` may be called with any number in any thread.
        let answer = unsafe { virsnap_thread_atexit(destructor, object, std::ptr::null_mut()) };
        assert_eq!(answer, 0);
    }

    #[test]
    fn destructors_run_in_turn_when_the_thread_ends() {
        let thread = std::thread::spawn(|| {
            for object in 1..=3 {
                register(note, object);
            }
            assert!(CALLED.lock().unwrap().is_empty());
        });
        thread.join().unwrap();
        assert_eq!(*CALLED.lock().unwrap(), [3, 2, 1, 9]);
    }
}
