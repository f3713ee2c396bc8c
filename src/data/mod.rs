//! The second seam: how the guest's state is captured, restored and dropped.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::error::Result;

pub mod live;
pub mod progress;
pub mod qcow2;
mod qemu_img;
pub mod qmp;
pub use qemu_img::QemuImg;

/// One image that takes part in an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The domain disk's target, for messages.
    pub disk: String,
    /// Absolute path.
    pub path: PathBuf,
}

/// A snapshot as the work on its data sees it.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its whole document, with secrets.
    pub document: &'a str,
    /// The images that hold it, or are to hold it, inside.
    pub images: &'a [Image],
    /// What programs inherit that work on it, so that the domain stays locked as long as they live.
    pub lock: Option<BorrowedFd<'a>>,
}

/// Captures, restores and drops a snapshot's data.
///
/// Create and revert are all or nothing: after an error the guest is as before, or the error names
/// each step of the undo that failed too. Each operation may be called again after a crash in the
/// middle of it and then ends well. `flags` are the API's own, for those who pass the request on.
pub trait Data: Send + Sync {
    /// Whether [`Data::create`] can work: the data can be kept, and no data of that name is there
    /// already. Nothing is touched.
    fn check_create(&self, point: &Point<'_>) -> Result<()>;

    /// Captures the guest's state, after the same checks.
    fn create(&self, point: &Point<'_>, flags: u32) -> Result<()>;

    /// Whether [`Data::revert`] can work: the captured state is whole. Nothing is touched.
    fn check_revert(&self, point: &Point<'_>) -> Result<()>;

    /// Makes the captured state the guest's again, after the same check.
    fn revert(&self, point: &Point<'_>, flags: u32) -> Result<()>;

    /// Drops the captured state wherever it is; lacking data is no error. What was dropped before
    /// a failure is gone. Also takes back what an unfinished [`Data::create`] left.
    fn delete(&self, point: &Point<'_>) -> Result<()>;

    /// Gives back the space that work which was cut off has taken and does not use. May be left
    /// out where there is no such thing.
    fn tidy(&self, _point: &Point<'_>) -> Result<()> {
        Ok(())
    }

    /// How many places hold data of the snapshot.
    fn count(&self, point: &Point<'_>) -> Result<usize>;
}
