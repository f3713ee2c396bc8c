//! How far a long operation is, and whether it shall go on.

/// What the one who watches wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    GoOn,
    /// Stop, and take back what was done.
    Stop,
}

/// Watches a long operation. Called in the thread of that operation.
pub trait Progress: Send + Sync {
    /// So many of so many bytes are done. QEMU's jobs of other kinds count steps instead.
    fn report(&self, done: u64, total: u64) -> Wish;
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn report(&self, _done: u64, _total: u64) -> Wish {
        Wish::GoOn
    }
}
