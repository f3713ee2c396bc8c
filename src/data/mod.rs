//! The second seam: how the guest's state is captured, restored and dropped.

use std::os::fd::BorrowedFd;

use crate::error::{Error, Result};

pub mod chain;
pub mod check;
pub mod live;
mod point;
pub mod progress;
pub mod qcow2;
mod qemu_img;
pub mod qmp;
pub use check::{Difference, Verdict};
pub use point::{Image, Layer, Place, Point, PointDisk};
pub use qemu_img::QemuImg;

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

    /// Writes what an overlay holds into the image below it, and removes the overlay. No guest has
    /// it open.
    fn fold(&self, _overlay: &Image, _lock: Option<BorrowedFd<'_>>) -> Result<()> {
        Err(Error::Unsupported {
            what: "folding of overlays is",
        })
    }

    /// Gives back the space that work which was cut off has taken and does not use. May be left
    /// out where there is no such thing.
    fn tidy(&self, _point: &Point<'_>) -> Result<()> {
        Ok(())
    }

    /// How many places hold data of the snapshot.
    fn count(&self, point: &Point<'_>) -> Result<usize>;

    /// Every difference between what the metadata says and the data. Nothing is touched, and a
    /// guest may have the images open.
    fn differences(&self, point: &Point<'_>) -> Vec<Difference> {
        check::differences(point)
    }
}
