//! A snapshot as the work on its data sees it.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::firmware::Firmware;
use super::qcow2::Facts;
use crate::error::{Error, Result};
use crate::snapshot::DiskMode;

/// One image that takes part in an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The domain disk's target, for messages.
    pub disk: String,
    /// Absolute path.
    pub path: PathBuf,
}

impl Image {
    /// Refuses a name of which the image, with these facts, holds snapshots already.
    pub(super) fn check_free(&self, name: &str, facts: &Facts) -> Result<()> {
        match facts.named(name).count() {
            0 => Ok(()),
            count => Err(Error::ImageHoldsName {
                snapshot: name.to_owned(),
                disk: self.disk.clone(),
                image: self.path.clone(),
                count,
            }),
        }
    }

    /// That it holds no snapshot of this name.
    pub(super) fn lacks(&self, name: &str) -> Error {
        Error::ImageLacksSnapshot {
            snapshot: name.to_owned(),
            disk: self.disk.clone(),
            image: self.path.clone(),
        }
    }
}

/// A file or block device, and how its content is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Absolute path.
    pub path: PathBuf,
    /// QEMU's name of the format; `None` if nobody says.
    pub format: Option<String>,
}

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The drive is empty.
    Nowhere,
    /// On this machine.
    Local(Layer),
    /// Not in a file or block device; the word is the disk's `type`.
    Elsewhere(String),
}

impl Place {
    /// The local layer, if it is one.
    pub fn local(&self) -> Option<&Layer> {
        match self {
            Place::Local(layer) => Some(layer),
            Place::Nowhere | Place::Elsewhere(_) => None,
        }
    }
}

/// One disk of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointDisk {
    /// The domain disk's target.
    pub target: String,
    /// The guest cannot write to it.
    pub is_read_only: bool,
    /// How it takes part.
    pub mode: DiskMode,
    /// The image as the snapshot's own definition names it. Internal data is a snapshot in it;
    /// external data is what it shows.
    pub base: Place,
    /// The image above it that an external snapshot gave to the guest.
    pub overlay: Place,
    /// The image that the guest was given by a later revert to this snapshot.
    pub reverted: Place,
    /// What stood at the overlay's path before the snapshot.
    pub overlay_file: OverlayFile,
}

/// What stands at the path of an overlay before its snapshot is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverlayFile {
    /// Nothing: the file is made with the snapshot.
    New,
    /// An empty file, or a block device, which is written over.
    Empty,
    /// The overlay, made by the caller: `VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT`.
    Reused,
}

/// What a guest does before a snapshot of it is taken, and after it was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// It runs.
    Running,
    /// It is paused or off.
    Waiting,
}

/// A snapshot: its name, and where its data is or is to be.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its whole document, with secrets.
    pub document: &'a str,
    /// Its disks, in the order of its definition.
    pub disks: &'a [PointDisk],
    /// The file of external memory.
    pub memory: Option<&'a Path>,
    /// What it has besides disks and memory.
    pub firmware: &'a Firmware,
    /// The guest's memory is in the first image that holds the snapshot inside.
    pub has_memory_inside: bool,
    /// It is of a guest that was on, which may have written to its overlays since.
    pub is_of_guest: bool,
    /// What the guest did before, where it is to be taken back.
    pub guest: Guest,
    /// What programs inherit that work on it, so that the domain stays locked as long as they live.
    pub lock: Option<BorrowedFd<'a>>,
    /// What can be done while they work.
    pub beside: Beside<'a>,
}

/// Work of the caller's own that it need not wait with until programs have done theirs. It may be left
/// out, and it decides nothing.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a>(Option<&'a dyn Fn()>);

impl<'a> Beside<'a> {
    /// To do this.
    pub fn of(work: &'a dyn Fn()) -> Beside<'a> {
        Beside(Some(work))
    }

    /// Does it, in the caller's thread.
    pub fn work(self) {
        if let Some(work) = self.0 {
            work();
        }
    }
}

impl fmt::Debug for Beside<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Beside")
    }
}

impl Point<'_> {
    /// Memory or at least one disk is in a file of its own.
    pub fn is_external(&self) -> bool {
        let is_external = |disk: &PointDisk| disk.mode == DiskMode::External;
        self.memory.is_some() || self.disks.iter().any(is_external)
    }

    /// The `<domain>` in its document; empty if there is none.
    pub fn definition(&self) -> &str {
        const END: &str = "</domain>";
        // No other element of the document, which is ours, begins or ends like this.
        let begin = ["<domain ", "<domain>"]
            .iter()
            .filter_map(|begin| self.document.find(begin))
            .min();
        let end = self.document.find(END).map(|end| end + END.len());
        match (begin, end) {
            (Some(begin), Some(end)) => self.document.get(begin..end).unwrap_or_default(),
            _ => "",
        }
    }

    /// The images that hold it, or are to hold it, inside.
    pub fn internal_images(&self) -> Result<Vec<Image>> {
        self.disks
            .iter()
            .filter(|disk| disk.mode == DiskMode::Internal)
            .map(|disk| match disk.base.local() {
                Some(layer) => Ok(Image {
                    disk: disk.target.clone(),
                    path: layer.path.clone(),
                }),
                None => Err(Error::DiskWithoutSource {
                    disk: disk.target.clone(),
                }),
            })
            .collect()
    }

    /// Those of them that are files or block devices of this machine.
    pub fn reachable_images(&self) -> Vec<Image> {
        let internal = self
            .disks
            .iter()
            .filter(|disk| disk.mode == DiskMode::Internal);
        internal
            .filter_map(|disk| {
                Some(Image {
                    disk: disk.target.clone(),
                    path: disk.base.local()?.path.clone(),
                })
            })
            .collect()
    }
}
