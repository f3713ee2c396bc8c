//! The lock of an allocator: held for less than a microsecond and only where memory is short. Not
//! parking_lot's: that one allocates.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

pub(super) struct Spin(AtomicBool);

/// Locked until dropped.
pub(super) struct Working<'a>(&'a AtomicBool);

impl Spin {
    pub(super) const fn new() -> Spin {
        Spin(AtomicBool::new(false))
    }

    pub(super) fn lock(&self) -> Working<'_> {
        while self.0.swap(true, Ordering::Acquire) {
            thread::yield_now();
        }
        Working(&self.0)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
