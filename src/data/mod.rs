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
/// Create and revert are all or nothing: after an error the images hold what they held before, or
/// the error names each step of the undo that failed too. Each operation may be called again after
/// a crash in the middle of it and then ends well.
pub trait Data: Send + Sync {
    /// Whether [`Data::create`] can work: every image is usable, and none holds the name already.
    /// Nothing is touched.
    fn check_create(&self, name: &str, images: &[Image]) -> Result<()>;

    /// Captures the images' content under `name`, after the same checks.
    fn create(&self, name: &str, images: &[Image]) -> Result<()>;

    /// Makes the content captured under `name` the images' content again. Every image is
    /// verified to hold it before the first is touched.
    fn revert(&self, name: &str, images: &[Image]) -> Result<()>;

    /// Drops the content captured under `name` wherever the images hold it; one that lacks it is
    /// no error. What was dropped before a failure is gone. Also takes back what an unfinished
    /// [`Data::create`] left.
    fn delete(&self, name: &str, images: &[Image]) -> Result<()>;

    /// How many of the images hold data of that name.
    fn count(&self, name: &str, images: &[Image]) -> Result<usize>;
}
