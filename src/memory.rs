//! What becomes of a call when memory cannot be had: it fails with VIR_ERR_NO_MEMORY.
//!
//! Rust's standard library ends the process when an allocation fails, and so does every crate that
//! is built on it. So none fails here: what `malloc` refuses is served from a reserve, and the
//! thread is marked. The call asks for the mark where it can still give up with everything as it
//! was: before an intent is recorded, before a change is committed, before what was read becomes
//! the known state, before a handle is handed out. In between, the reserve carries it on.
//!
//! The reserve is part of the library's zeroed data: it costs address space, and memory only once
//! it is used. A Rust program that uses the crate can have no global allocator of its own. What is
//! sized by the program's input and may be larger than the reserve has its memory before: by `try_reserve`, or
//! by a [`Room`] for the work of a crate that does not ask.

#![allow(
    unsafe_code,
    reason = "an allocator is raw memory; what it hands out does not overlap"
)]

mod reserve;
mod rooms;
mod spin;
mod thread_end;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use self::reserve::{PART, PARTS_A_WORD, Reserve};
pub(crate) use self::rooms::Room;
use self::rooms::Rooms;
use crate::error::{Error, Result};
use crate::limits;

const WORDS: usize = limits::MEMORY_RESERVE_BYTES / PART / PARTS_A_WORD;

static RESERVE: Reserve<{ limits::MEMORY_RESERVE_BYTES }, WORDS> = Reserve::new();

static ROOMS: Rooms = Rooms::new();

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

thread_local! {
    /// Whether this thread's call was refused memory.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Fails if the call that this thread is in was refused memory.
pub(crate) fn check() -> Result<()> {
    if was_refused() {
        return Err(Error::OutOfMemory { function: "malloc" });
    }
    Ok(())
}

/// Has that many bytes for this thread, for when `malloc` has none before the room is dropped.
pub(crate) fn room(bytes: usize) -> Result<Room> {
    let room = ROOMS.open(bytes);
    room.ok_or(Error::OutOfMemory { function: "malloc" })
}

/// A buffer of zeros whose size is an input's; or the error that it cannot be had.
pub(crate) fn zeros(length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(length)
        .map_err(|_| std::io::ErrorKind::OutOfMemory)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

/// Whether the call that this thread is in was refused memory.
pub(crate) fn was_refused() -> bool {
    REFUSED.with(Cell::get)
}

/// Whether memory of a `Vec` or `String` that has some is from `malloc`, and so C may free it: what
/// this allocator hands out for bytes is, but for what `malloc` refused.
pub(crate) fn is_from_malloc(memory: *const u8) -> bool {
    !Allocator::holds(memory)
}

/// Says that memory was refused to this thread elsewhere: in the C library.
pub(crate) fn note_refusal() {
    REFUSED.set(true);
}

/// One call of the library, until dropped: what was refused before it and within calls that it
/// makes into the program is not its own.
pub(crate) struct Watch {
    outer: bool,
}

impl Watch {
    /// A call begins.
    #[inline(always)]
    pub(crate) fn begin() -> Watch {
        Watch {
            outer: REFUSED.with(|refused| refused.replace(false)),
        }
    }
}

impl Drop for Watch {
    #[inline(always)]
    fn drop(&mut self) {
        REFUSED.with(|refused| refused.set(self.outer));
    }
}

/// `malloc`, and rooms and reserve behind it.
struct Allocator;

impl Allocator {
    #[cold]
    fn refused(layout: Layout) -> *mut u8 {
        note_refusal();
        let memory = ROOMS.take(layout);
        if memory.is_null() {
            #[cfg(test)]
            testing::count(layout);
            return RESERVE.take(layout);
        }
        memory
    }

    /// Whether that memory is not `malloc`'s.
    fn holds(memory: *const u8) -> bool {
        RESERVE.holds(memory) || ROOMS.hold(memory)
    }

    /// Moves what does not fit any more.
    ///
    /// # Safety
    ///
    /// As `GlobalAlloc::realloc`.
    #[cold]
    unsafe fn moved(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
            return std::ptr::null_mut();
        };
        // SAFETY: not of size zero, by this contract.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            let kept = layout.size().min(size);
            // SAFETY: both have that many bytes, and the new memory is nobody else's.
            unsafe { new.copy_from_nonoverlapping(old, kept) };
            // SAFETY: from this allocator with this layout, by this contract.
            unsafe { self.dealloc(old, layout) };
        }
        new
    }
}

// SAFETY: `System` keeps the contract for what it has handed out, `Reserve` and `Rooms` for the rest; which of
// them that is follows from the address. Nothing here unwinds.
//
// Not inlined: with it, each of the library's allocations is one, and its code 15 % larger.
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the same contract. It is `malloc` for bytes: a text may become C's as it is.
        let memory = unsafe { System.alloc(layout) };
        #[cfg(test)]
        // SAFETY: allocated above with this layout.
        let memory = unsafe { testing::refused(memory, layout) };
        if memory.is_null() {
            return Allocator::refused(layout);
        }
        memory
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the same contract.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            return memory;
        }
        let memory = Allocator::refused(layout);
        if !memory.is_null() {
            // SAFETY: that many bytes were just handed out, and to nobody else.
            unsafe { memory.write_bytes(0, layout.size()) };
        }
        memory
    }

    #[inline(never)]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if RESERVE.holds(memory) {
            RESERVE.give_back(memory, layout);
        } else if !ROOMS.give_back(memory) {
            // SAFETY: the same contract, and not from the reserve.
            unsafe { System.dealloc(memory, layout) };
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if Allocator::holds(memory) {
            // SAFETY: the same contract.
            return unsafe { self.moved(memory, layout, size) };
        }
        #[cfg(test)]
        if testing::refuses() {
            // SAFETY: the same contract.
            return unsafe { self.moved(memory, layout, size) };
        }
        // SAFETY: the same contract, and not from the reserve.
        let grown = unsafe { System.realloc(memory, layout, size) };
        if grown.is_null() {
            // SAFETY: the same contract: what realloc refused is as it was.
            return unsafe { self.moved(memory, layout, size) };
        }
        grown
    }
}

/// A `malloc` that has nothing, for the tests of what works all the same.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    thread_local! {
        static REFUSES: Cell<bool> = const { Cell::new(false) };
        static RESERVED: Cell<usize> = const { Cell::new(0) };
    }

    /// What `work` answers while `malloc` refuses this thread everything but rooms, and how many bytes it
    /// took from the reserve, given back or not.
    pub(crate) fn without_memory<T>(work: impl FnOnce() -> T) -> (T, usize) {
        let _watch = Watch::begin();
        RESERVED.set(0);
        REFUSES.set(true);
        let answer = work();
        REFUSES.set(false);
        (answer, RESERVED.get())
    }

    pub(super) fn refuses() -> bool {
        REFUSES.get()
    }

    /// # Safety
    ///
    /// From `System`, with this layout.
    pub(super) unsafe fn refused(memory: *mut u8, layout: Layout) -> *mut u8 {
        if !refuses() || memory.is_null() {
            return memory;
        }
        // SAFETY: by this contract.
        unsafe { System.dealloc(memory, layout) };
        std::ptr::null_mut()
    }

    pub(super) fn count(layout: Layout) {
        if refuses() {
            RESERVED.set(RESERVED.get() + layout.size());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_sees_its_own_refusals_only() {
        let outer = Watch::begin();
        note_refusal();
        {
            let _inner = Watch::begin();
            assert!(check().is_ok());
            note_refusal();
        }
        assert!(check().is_err());
        drop(outer);
        assert!(check().is_ok());
    }

    #[test]
    fn what_no_machine_has_is_an_error() {
        let _watch = Watch::begin();
        assert!(matches!(
            room(isize::MAX as usize),
            Err(Error::OutOfMemory { .. })
        ));
        assert!(zeros(isize::MAX as usize).is_err());
    }
}
