//! The second seam: how the guest's state is captured, restored and dropped.

use std::path::PathBuf;

use crate::error::Result;

pub mod qcow2;
mod qemu_img;
pub use qemu_img::QemuImg;

/// One image that takes part in an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The domain disk's target, for messages.
    pub disk: String,
    /// Absolute path.
    pub path: PathBuf,
}

/// Captures, restores and drops a snapshot's data.
///
/// Every operation is all or nothing: after an error the images hold what they held before, or
/// the error names each step of the undo that failed too. Each may be called again after a crash
/// in the middle of it and then ends well.
pub trait Data: Send + Sync {
    /// Captures the images' content under `name`. An image that holds the name already is an error.
    fn create(&self, name: &str, images: &[Image]) -> Result<()>;

    /// Makes the content captured under `name` the images' content again. Every image is
    /// verified to hold it before the first is touched.
    fn revert(&self, name: &str, images: &[Image]) -> Result<()>;

    /// Drops the content captured under `name`. An image that lacks it is an error, before the
    /// first is touched.
    fn delete(&self, name: &str, images: &[Image]) -> Result<()>;

    /// After a crash: removes what an unfinished [`Data::create`] left. Lacking data is no error.
    fn undo_create(&self, name: &str, images: &[Image]) -> Result<()>;

    /// After a crash: finishes a [`Data::delete`] that had begun. Lacking data is no error.
    fn finish_delete(&self, name: &str, images: &[Image]) -> Result<()>;

    /// How many of the images hold data of that name.
    fn count(&self, name: &str, images: &[Image]) -> Result<usize>;
}
