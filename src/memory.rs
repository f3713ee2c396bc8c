//! What becomes of a call when memory cannot be had: it fails with VIR_ERR_NO_MEMORY.
//!
//! Rust's standard library ends the process when an allocation fails, and so does every crate that
//! is built on it. So none fails here: what `malloc` refuses is served from a reserve, and the
//! thread is marked. The call asks for the mark where it can still give up with everything as it
//! was: before an intent is recorded, before a change is committed, before what was read becomes
//! the known state, before a handle is handed out. In between, the reserve carries it on.
//!
//! The reserve is part of the library's zeroed data: it costs address space, and memory only once
//! it is used. A Rust program that uses the crate can have no global allocator of its own. What is sized by the program's input and may be larger asks before: `try_reserve`,
//! or [`ensure`] for the work of a crate.

#![allow(
    unsafe_code,
    reason = "an allocator is raw memory; the one type here hands out parts that do not overlap"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::error::{Error, Result};
use crate::limits;

/// Smallest part of the reserve that is handed out, in bytes; no type here is aligned to more.
const PART: usize = 64;

/// Parts that one word of the map stands for.
const PARTS_A_WORD: usize = 64;

const WORDS: usize = limits::MEMORY_RESERVE_BYTES / PART / PARTS_A_WORD;

static RESERVE: Reserve<{ limits::MEMORY_RESERVE_BYTES }, WORDS> = Reserve::new();

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

/// Fails unless that many bytes can be had now, for a crate that does not ask by itself.
pub(crate) fn ensure(bytes: usize) -> Result<()> {
    let mut probe = Vec::<u8>::new();
    match probe.try_reserve_exact(bytes) {
        Ok(()) => check(),
        Err(_) => Err(Error::OutOfMemory { function: "malloc" }),
    }
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
    REFUSED.get()
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
    pub(crate) fn begin() -> Watch {
        Watch {
            outer: REFUSED.replace(false),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        REFUSED.set(self.outer);
    }
}

/// `malloc`, and the reserve behind it.
struct Allocator;

impl Allocator {
    #[cold]
    fn refused(layout: Layout) -> *mut u8 {
        note_refusal();
        RESERVE.take(layout)
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

// SAFETY: `System` keeps the contract for what it has handed out, `Reserve` for the rest; which of
// them that is follows from the address. Nothing here unwinds.
//
// Not inlined: with it, each of the library's allocations is one, and its code 15 % larger.
unsafe impl GlobalAlloc for Allocator {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the same contract.
        let memory = unsafe { System.alloc(layout) };
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
        } else {
            // SAFETY: the same contract, and not from the reserve.
            unsafe { System.dealloc(memory, layout) };
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if RESERVE.holds(memory) {
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

/// Memory that is there already, in parts, with a map of those in use.
struct Reserve<const BYTES: usize, const MAPPED: usize> {
    /// Held by the thread that works on the map, for less than a microsecond and only where memory
    /// is short. Not parking_lot's: that one allocates.
    busy: AtomicBool,
    /// A bit for each part.
    used: [AtomicU64; MAPPED],
    parts: Parts<BYTES>,
}

#[repr(C, align(64))]
struct Parts<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

// SAFETY: the bytes are only reached through addresses that `Reserve` hands out, each to one.
unsafe impl<const BYTES: usize> Sync for Parts<BYTES> {}

impl<const BYTES: usize, const MAPPED: usize> Reserve<BYTES, MAPPED> {
    const fn new() -> Self {
        const { assert!(BYTES == MAPPED * PARTS_A_WORD * PART) };
        Reserve {
            busy: AtomicBool::new(false),
            used: [const { AtomicU64::new(0) }; MAPPED],
            parts: Parts(UnsafeCell::new([0; BYTES])),
        }
    }

    fn start(&self) -> *mut u8 {
        self.parts.0.get().cast()
    }

    /// Whether that memory is of the reserve.
    #[inline]
    fn holds(&self, memory: *const u8) -> bool {
        memory.addr().wrapping_sub(self.start().addr()) < BYTES
    }

    /// Memory for that layout; NULL if there is none.
    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.align() > PART {
            return std::ptr::null_mut();
        }
        let _lock = self.lock();
        match self.free_run(layout.size().div_ceil(PART)) {
            Some(first) => {
                self.set(first, layout.size(), true);
                self.start().wrapping_add(first * PART)
            }
            None => std::ptr::null_mut(),
        }
    }

    /// Takes memory back that [`Reserve::take`] gave for that layout.
    fn give_back(&self, memory: *mut u8, layout: Layout) {
        let first = memory.addr().wrapping_sub(self.start().addr()) / PART;
        let _lock = self.lock();
        self.set(first, layout.size(), false);
    }

    /// The first of that many free parts side by side.
    fn free_run(&self, count: usize) -> Option<usize> {
        let mut run = 0;
        for (index, word) in self.used.iter().enumerate() {
            let word = word.load(Ordering::Relaxed);
            for bit in 0..PARTS_A_WORD {
                run = if word >> bit & 1 == 0 { run + 1 } else { 0 };
                if run == count {
                    return Some(index * PARTS_A_WORD + bit + 1 - count);
                }
            }
        }
        None
    }

    fn set(&self, first: usize, size: usize, is_used: bool) {
        for part in first..first + size.div_ceil(PART) {
            let Some(word) = self.used.get(part / PARTS_A_WORD) else {
                return;
            };
            let bit = 1 << (part % PARTS_A_WORD);
            if is_used {
                word.fetch_or(bit, Ordering::Relaxed);
            } else {
                word.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    fn lock(&self) -> Working<'_> {
        while self.busy.swap(true, Ordering::Acquire) {
            thread::yield_now();
        }
        Working(&self.busy)
    }
}

/// The map is this thread's until dropped.
struct Working<'a>(&'a AtomicBool);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Reserve<8192, 2>;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    fn is_unused<const BYTES: usize, const MAPPED: usize>(
        reserve: &Reserve<BYTES, MAPPED>,
    ) -> bool {
        let mut words = reserve.used.iter();
        words.all(|word| word.load(Ordering::Relaxed) == 0)
    }

    #[test]
    fn what_is_handed_out_does_not_overlap() {
        let reserve = Small::new();
        let sizes = [1, 64, 65, 1000, 3];
        let taken: Vec<_> = sizes.map(|size| reserve.take(layout(size)).addr()).into();
        for (index, (start, size)) in taken.iter().zip(sizes).enumerate() {
            assert!(start.is_multiple_of(PART) && *start != 0);
            for (other, length) in taken.iter().zip(sizes).skip(index + 1) {
                assert!(start + size <= *other || other + length <= *start);
            }
        }
    }

    #[test]
    fn what_is_given_back_can_be_had_again() {
        let reserve = Small::new();
        for size in [8192, 4096, 64, 1] {
            for _ in 0..3 {
                let memory = reserve.take(layout(size));
                assert!(reserve.holds(memory));
                reserve.give_back(memory, layout(size));
            }
        }
        assert!(is_unused(&reserve));
    }

    #[test]
    fn a_hole_that_is_large_enough_is_used() {
        let reserve = Small::new();
        let _first = reserve.take(layout(64));
        let hole = reserve.take(layout(5000));
        let _last = reserve.take(layout(64));
        assert!(reserve.take(layout(5000)).is_null());
        reserve.give_back(hole, layout(5000));
        assert_eq!(reserve.take(layout(5000)), hole);
    }

    #[test]
    fn more_than_there_is_cannot_be_had() {
        let reserve = Small::new();
        assert!(reserve.take(layout(8193)).is_null());
        let strict = Layout::from_size_align(64, 128).unwrap();
        assert!(reserve.take(strict).is_null());
        assert!(!reserve.take(layout(8192)).is_null());
        assert!(reserve.take(layout(1)).is_null());
    }

    #[test]
    fn memory_from_elsewhere_is_not_of_the_reserve() {
        let reserve = Small::new();
        let start = reserve.start();
        assert!(reserve.holds(start) && reserve.holds(start.wrapping_add(8191)));
        assert!(!reserve.holds(start.wrapping_sub(1)));
        assert!(!reserve.holds(start.wrapping_add(8192)));
        assert!(!reserve.holds(std::ptr::null()));
    }

    #[test]
    fn threads_get_memory_of_their_own() {
        let reserve = Small::new();
        thread::scope(|scope| {
            for number in 1..5u8 {
                let reserve = &reserve;
                scope.spawn(move || {
                    for _ in 0..200 {
                        let memory = reserve.take(layout(100));
                        // SAFETY: that many bytes, handed out to this thread.
                        unsafe { memory.write_bytes(number, 100) };
                        thread::yield_now();
                        for offset in 0..100 {
                            // SAFETY: within those bytes.
                            let byte = unsafe { memory.add(offset) };
                            // SAFETY: written above.
                            assert_eq!(unsafe { byte.read() }, number);
                        }
                        reserve.give_back(memory, layout(100));
                    }
                });
            }
        });
        assert!(is_unused(&reserve));
    }

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
            ensure(isize::MAX as usize),
            Err(Error::OutOfMemory { .. })
        ));
        assert!(zeros(isize::MAX as usize).is_err());
        assert!(ensure(1 << 20).is_err(), "the call is marked");
    }
}
