//! The second seam: how the guest's state is captured, restored and dropped.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};

pub mod blocks;
pub mod chain;
pub mod check;
mod executor;
pub mod firmware;
mod hold;
mod libvirt;
pub mod live;
mod point;
pub mod progress;
pub mod qcow2;
mod qemu_img;
pub mod qmp;
pub mod space;
mod work;
pub use check::{Difference, Part, Verdict};
pub use executor::{Executor, Neighbour, Secrets, Start};
pub use firmware::{Firmware, Nvram, Tpm};
pub use hold::{Hold, write_refused};
pub use libvirt::Libvirt;
pub use point::{Beside, Guest, Image, Layer, OverlayFile, Place, Point, PointDisk};
use progress::Progress;
pub use qemu_img::QemuImg;
pub use work::{Merge, Restore};

/// The internal snapshot that holds the guest's former state while a revert is under way. A dot cannot
/// begin the name of a domain's own.
const BEFORE: &str = ".virsnap-before-revert";

/// What works on images alone says of a guest's memory.
const NO_MEMORY: Error = Error::Unsupported {
    what: "memory of a running guest is",
};

/// Captures, restores and drops a snapshot's data.
///
/// Create and revert are all or nothing: after an error the guest is as before, or the error names
/// each step of the undo that failed too. Each operation may be called again after a crash in the
/// middle of it and then ends well. `flags` are the API's own, for those who pass the request on.
pub trait Data: Send + Sync {
    /// Whether [`Data::create`] can work: the data can be kept, and no data of that name is there
    /// already. Nothing is touched.
    fn check_create(&self, point: &Point<'_>) -> Result<()>;

    /// Captures the guest's state, after the same checks: internal data in its images, external data
    /// by new overlays on them, what firmware and TPM remember by a copy.
    fn create(&self, point: &Point<'_>, flags: u32) -> Result<()>;

    /// Takes back what a [`Data::create`] left that was cut off or must not stand.
    fn take_back(&self, point: &Point<'_>) -> Result<()>;

    /// Whether [`Data::revert`] can work: the captured state is whole. Nothing is touched.
    fn check_revert(&self, point: &Point<'_>, restores: &[Restore]) -> Result<()>;

    /// Makes the captured state the guest's again, disk by disk as `restores` says, after the same
    /// check; disks that it does not name stay. What firmware and TPM remember is prepared.
    fn revert(&self, point: &Point<'_>, restores: &[Restore], flags: u32) -> Result<()>;

    /// Puts what [`Data::revert`] has prepared of firmware and TPM in its place. What fails half-way can
    /// only be finished: by another revert, and this again.
    fn replace_firmware(&self, _point: &Point<'_>) -> Result<()> {
        Ok(())
    }

    /// Whether a guest can load the memory that internal data has, once it is started on the images
    /// of [`Data::prepare_load`]. Nothing is touched.
    fn check_load(&self, _point: &Point<'_>, _restores: &[Restore]) -> Result<()> {
        Err(NO_MEMORY)
    }

    /// Makes the new images of a revert to memory inside of images, for a guest that is started on
    /// them.
    fn prepare_load(&self, _point: &Point<'_>, _restores: &[Restore]) -> Result<()> {
        Err(NO_MEMORY)
    }

    /// As [`Data::revert`], of a guest that is on, with its memory.
    fn load(&self, _point: &Point<'_>, _restores: &[Restore]) -> Result<()> {
        Err(NO_MEMORY)
    }

    /// After a guest ended while it was reverted: makes the images that it had, and that are no new
    /// ones, show what they have kept of its former content.
    fn go_back(&self, _point: &Point<'_>, _restores: &[Restore]) -> Result<()> {
        Err(NO_MEMORY)
    }

    /// Removes the new files of a revert that did not happen, or not to its end.
    fn discard(&self, restores: &[Restore]) -> Result<()> {
        let files: Vec<PathBuf> = restores
            .iter()
            .filter_map(Restore::new_file)
            .cloned()
            .collect();
        self.remove(&files)
    }

    /// Whether [`Data::delete`] can work. Nothing is touched.
    fn check_delete(&self, _point: &Point<'_>) -> Result<()> {
        Ok(())
    }

    /// Drops internal data wherever it is; lacking data is no error. What was dropped before a
    /// failure is gone.
    fn delete(&self, point: &Point<'_>) -> Result<()>;

    /// Whether [`Data::merge`] can work. Nothing is touched.
    fn check_merge(&self, _steps: &[Merge]) -> Result<()> {
        Ok(())
    }

    /// Brings layers together, in this order. May be called again after any failure, and then ends
    /// well. Programs that do it inherit the lock, and the caller may do its own work while they do theirs.
    fn merge(
        &self,
        steps: &[Merge],
        lock: Option<BorrowedFd<'_>>,
        beside: Beside<'_>,
    ) -> std::result::Result<(), Merged>;

    /// Whether everything that was to be brought together still is: nobody has written to it since.
    /// Nothing is touched.
    fn check_merged(
        &self,
        _steps: &[Merge],
        _lock: Option<BorrowedFd<'_>>,
    ) -> std::result::Result<(), Merged> {
        Ok(())
    }

    /// Whether internal data was made the guest's, or half so, by a revert that was cut off, and nobody
    /// has written to it since. Nothing is touched.
    fn has_begun_to_revert(&self, _point: &Point<'_>, _restores: &[Restore]) -> Result<bool> {
        Ok(false)
    }

    /// Removes image files that nothing names any more. One that is gone is no error.
    fn remove(&self, files: &[PathBuf]) -> Result<()>;

    /// Gives a guest that waits for it the memory that an external snapshot has in a file.
    fn load_memory(&self, _file: &Path) -> Result<()> {
        Err(NO_MEMORY)
    }

    /// Whether a [`Data::revert`] has left the guest's former content in images. After a failure that
    /// means: not all of them have gone back to it, so the revert must be finished. After success
    /// it is of no use, and [`Data::tidy`] takes it away.
    fn keeps_former(&self, _point: &Point<'_>, _restores: &[Restore]) -> bool {
        false
    }

    /// Takes away what work has left in the images that is of no use, and gives back space that work
    /// which was cut off has taken. May be left out where there is no such thing.
    fn tidy(&self, _point: &Point<'_>) -> Result<()> {
        Ok(())
    }

    /// The same, with somebody who watches what takes long; `None` if nothing does.
    fn watched(&self, _watch: Arc<dyn Progress>) -> Option<Arc<dyn Data>> {
        None
    }

    /// How many places hold internal data of the snapshot.
    fn count(&self, point: &Point<'_>) -> Result<usize>;

    /// Every difference between what the metadata says and the data. Nothing is touched, and a
    /// guest may have the images open.
    fn differences(&self, point: &Point<'_>) -> Vec<Difference> {
        check::differences(point)
    }

    /// The driver that carries whole requests out itself, where there is one.
    fn executor(&self) -> Option<&dyn Executor> {
        None
    }
}

/// How a merge failed.
#[derive(Debug)]
pub enum Merged {
    /// All is as before.
    Untouched(Error),
    /// It must be finished.
    Partly(Error),
}

impl Merged {
    /// Why it failed.
    pub fn cause(self) -> Error {
        match self {
            Merged::Untouched(cause) | Merged::Partly(cause) => cause,
        }
    }
}
