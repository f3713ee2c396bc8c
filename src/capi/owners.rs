//! Who owns an object, in one word: references of C's in its upper half, holds in its lower.
//!
//! There is an object exactly as long as the word is not zero, and whoever makes it zero takes the object
//! away. tests/interleavings reads this file too, with loom's atomics for `sync`, and goes through every
//! order in which threads can come.

use super::sync::{AtomicU64, Ordering};

/// One hold: of a call that is under way, or of a handle that needs this one.
const HOLD: u64 = 1;

/// One reference of C's.
const CALLER: u64 = 1 << 32;

/// The most of either.
const MOST: usize = u32::MAX as usize;

/// The owners of an object. All zero, there are none.
#[derive(Default)]
#[repr(transparent)]
pub(super) struct Owners(AtomicU64);

impl Owners {
    /// C has the first reference to an object that was just put there.
    pub(super) fn begin(&self) {
        self.0.store(CALLER, Ordering::Release);
    }

    /// One hold more, where there is an object; `None` if there is none, or that is too often.
    #[inline(always)]
    pub(super) fn hold(&self) -> Option<()> {
        self.hold_times(1)
    }

    /// That many holds more, all at once.
    #[inline(always)]
    pub(super) fn hold_times(&self, count: usize) -> Option<()> {
        let more = HOLD.checked_mul(u64::try_from(count).ok()?)?;
        self.change(|owners| {
            let is_countable = owners != 0 && count <= MOST - holds(owners);
            is_countable.then(|| owners + more)
        })?;
        Some(())
    }

    /// One hold less. Whether it was the last owner's: then the object is the caller's to take away.
    #[inline(always)]
    pub(super) fn let_go(&self) -> bool {
        self.0.fetch_sub(HOLD, Ordering::AcqRel) == HOLD
    }

    /// One reference of C's more; `None` if that is too often.
    pub(super) fn reference(&self) -> Option<()> {
        self.change(|owners| owners.checked_add(CALLER)).map(drop)
    }

    /// One reference of C's less, and how many owners are left; `None` if C has none. Where none is
    /// left the object is the caller's to take away.
    pub(super) fn release(&self) -> Option<usize> {
        let left = self.change(|owners| owners.checked_sub(CALLER))?;
        Some(callers(left) + holds(left))
    }

    /// Whether there are any, for who shares them with nobody.
    pub(super) fn has_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Changes the word, and answers what it is then; `None` if `changed` refuses.
    #[inline(always)]
    fn change(&self, changed: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let mut owners = self.0.load(Ordering::Relaxed);
        loop {
            let next = changed(owners)?;
            match self
                .0
                .compare_exchange_weak(owners, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return Some(next),
                Err(other) => owners = other,
            }
        }
    }
}

fn callers(owners: u64) -> usize {
    usize::try_from(owners / CALLER).unwrap_or(usize::MAX)
}

fn holds(owners: u64) -> usize {
    usize::try_from(owners % CALLER).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_can_be_counted_are_refused() {
        let most = u64::from(u32::MAX);
        let owners = Owners(AtomicU64::new(CALLER + most));
        assert_eq!(owners.hold(), None);
        assert_eq!(
            (owners.hold_times(0), owners.hold_times(1)),
            (Some(()), None)
        );
        let owners = Owners(AtomicU64::new(most * CALLER + HOLD));
        assert_eq!((owners.reference(), owners.hold()), (None, Some(())));
    }

    #[test]
    fn where_there_is_no_object_nobody_gets_it() {
        let owners = Owners::default();
        assert_eq!((owners.hold(), owners.hold_times(2)), (None, None));
        assert_eq!(owners.release(), None);
    }
}
