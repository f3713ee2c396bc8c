//! How much of an image is looked at to measure it: what is in it is not to be trusted, and may lead to
//! tables without end.

use std::cell::Cell;
use std::io;

use super::ReadAt;

/// The least that one read counts for: a system call costs about as much as that many bytes.
const READ: u64 = 512;

/// A source that ends with an error when too much was read of it.
pub(super) struct Metered<'a, S: ?Sized> {
    source: &'a S,
    left: &'a Cell<u64>,
}

impl<'a, S: ReadAt + ?Sized> Metered<'a, S> {
    /// `left` is how many bytes may still be read, of this and of others that share it.
    pub(super) fn of(source: &'a S, left: &'a Cell<u64>) -> Metered<'a, S> {
        Metered { source, left }
    }
}

impl<S: ReadAt + ?Sized> ReadAt for Metered<'_, S> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        spend(self.left, READ.max(buffer.len() as u64))?;
        self.source.read_at(buffer, offset)
    }
}

/// Spends what costs as much as reading that many bytes.
pub(super) fn spend(left: &Cell<u64>, bytes: u64) -> io::Result<()> {
    let rest = left.get().checked_sub(bytes);
    left.set(rest.unwrap_or(0));
    rest.map(|_| ()).ok_or_else(beyond)
}

/// More than is measured.
pub(super) fn beyond() -> io::Error {
    io::Error::other("its tables are more than is measured")
}
