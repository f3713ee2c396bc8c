//! Internal snapshots of shut-off images, made by `qemu-img` and verified in the image.

use super::{Data, Image};
use crate::error::Result;

/// Runs `qemu-img`.
#[derive(Debug)]
pub struct QemuImg {
    program: std::path::PathBuf,
}

impl QemuImg {
    /// Uses the program of that name or path.
    pub fn new(program: impl Into<std::path::PathBuf>) -> QemuImg {
        QemuImg {
            program: program.into(),
        }
    }
}

impl Data for QemuImg {
    fn create(&self, _name: &str, _images: &[Image]) -> Result<()> {
        todo!()
    }
    fn revert(&self, _name: &str, _images: &[Image]) -> Result<()> {
        todo!()
    }
    fn delete(&self, _name: &str, _images: &[Image]) -> Result<()> {
        todo!()
    }
    fn undo_create(&self, _name: &str, _images: &[Image]) -> Result<()> {
        todo!()
    }
    fn finish_delete(&self, _name: &str, _images: &[Image]) -> Result<()> {
        todo!()
    }
    fn count(&self, _name: &str, _images: &[Image]) -> Result<usize> {
        todo!()
    }
}
