//! Memory that is there already, for when `malloc` has none.

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::spin::Spin;

/// Smallest part of the reserve that is handed out, in bytes; no type here is aligned to more.
pub(super) const PART: usize = 64;

/// Parts that one word of the map stands for.
pub(super) const PARTS_A_WORD: usize = 64;

/// Memory that is there already, in parts, with a map of those in use.
pub(super) struct Reserve<const BYTES: usize, const MAPPED: usize> {
    /// Held by the thread that works on the map.
    busy: Spin,
    /// A bit for each part.
    used: [AtomicU64; MAPPED],
    parts: Parts<BYTES>,
}

#[repr(C, align(64))]
struct Parts<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

// SAFETY: the bytes are only reached through addresses that `Reserve` hands out, each to one.
unsafe impl<const BYTES: usize> Sync for Parts<BYTES> {}

impl<const BYTES: usize, const MAPPED: usize> Reserve<BYTES, MAPPED> {
    pub(super) const fn new() -> Self {
        const { assert!(BYTES == MAPPED * PARTS_A_WORD * PART) };
        Reserve {
            busy: Spin::new(),
            used: [const { AtomicU64::new(0) }; MAPPED],
            parts: Parts(UnsafeCell::new([0; BYTES])),
        }
    }

    fn start(&self) -> *mut u8 {
        self.parts.0.get().cast()
    }

    /// Whether that memory is of the reserve.
    #[inline]
    pub(super) fn holds(&self, memory: *const u8) -> bool {
        memory.addr().wrapping_sub(self.start().addr()) < BYTES
    }

    /// Memory for that layout; NULL if there is none.
    pub(super) fn take(&self, layout: Layout) -> *mut u8 {
        if layout.align() > PART {
            return std::ptr::null_mut();
        }
        let _lock = self.busy.lock();
        match self.free_run(layout.size().div_ceil(PART)) {
            Some(first) => {
                self.set(first, layout.size(), true);
                self.start().wrapping_add(first * PART)
            }
            None => std::ptr::null_mut(),
        }
    }

    /// Takes memory back that [`Reserve::take`] gave for that layout.
    pub(super) fn give_back(&self, memory: *mut u8, layout: Layout) {
        let first = memory.addr().wrapping_sub(self.start().addr()) / PART;
        let _lock = self.busy.lock();
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
}

#[cfg(test)]
mod tests {
    use std::thread;

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
}
