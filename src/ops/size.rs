//! How much a snapshot takes, and how much deleting it would give back.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::domain::Domain;
use super::flags::DeleteFlags;
use super::point::OwnedPoint;
use crate::data::{Place, space};
use crate::error::Result;
use crate::snapshot::{DiskMode, Memory};

/// What a snapshot takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// What its data takes.
    pub occupied: u64,
    /// What deleting it alone would give back.
    pub freed: u64,
    /// Of `occupied`: memory of the guest.
    pub memory: u64,
    /// Files that could not be looked at.
    pub unknown: usize,
}

impl Domain {
    /// What a snapshot takes.
    pub fn size(&self, name: &str) -> Result<Size> {
        let snapshot = self.tree()?.get(name)?.clone();
        let point = OwnedPoint::of(&snapshot)?;
        let mut measuring = Measuring::default();
        for disk in &point.disks {
            match (disk.mode, &disk.base) {
                (DiskMode::Internal | DiskMode::External, Place::Elsewhere(_)) => {
                    measuring.size.unknown += 1;
                }
                (DiskMode::Internal, Place::Local(layer)) => measuring.inside(&layer.path, name),
                (DiskMode::External, Place::Local(layer)) => {
                    measuring.file(&layer.path);
                }
                _ => {}
            }
        }
        if let Some(Memory::External { file }) = &snapshot.memory {
            measuring.size.memory += measuring.file(Path::new(&**file));
        }
        if let Some(copy) = &point.firmware.copy {
            measuring.file(copy);
        }
        let flags = DeleteFlags::new(0, "")?;
        Ok(Size {
            freed: self.plan_delete(name, flags)?.freed,
            ..measuring.size
        })
    }
}

#[derive(Default)]
struct Measuring {
    size: Size,
    seen: HashSet<PathBuf>,
}

impl Measuring {
    /// A file counts once, whoever names it.
    fn is_new(&mut self, path: &Path) -> bool {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.seen.insert(path)
    }

    fn file(&mut self, path: &Path) -> u64 {
        if !self.is_new(path) {
            return 0;
        }
        match space::file(path) {
            Ok(taken) => {
                self.size.occupied += taken.bytes;
                taken.bytes
            }
            Err(_) => {
                self.size.unknown += 1;
                0
            }
        }
    }

    fn inside(&mut self, image: &Path, name: &str) {
        if !self.is_new(image) {
            return;
        }
        match space::inside(image, &[name]) {
            Ok(usage) => {
                self.size.occupied += usage.held;
                self.size.memory += usage.memory;
            }
            Err(_) => self.size.unknown += 1,
        }
    }
}
