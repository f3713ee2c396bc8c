//! What the Data room needs to know of a snapshot.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use crate::data::chain::QCOW2;
use crate::data::{Layer, Place, Point, PointDisk};
use crate::error::Result;
use crate::snapshot::{Disk, DiskMode, ExternalImage, Memory, Snapshot};
use crate::xml::{self, DomainDisk};

/// Whether overlays exist before the snapshot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overlays {
    /// They are made with it.
    Made,
    /// They are taken as they are: `VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT`.
    Reused,
}

/// A [`Point`] with what it borrows.
pub(super) struct OwnedPoint {
    /// Its name.
    pub name: String,
    document: String,
    /// Its disks.
    pub disks: Vec<PointDisk>,
    memory: Option<PathBuf>,
}

impl OwnedPoint {
    /// The images are those of the snapshot's own definition: the domain's may have changed since.
    pub fn of(snapshot: &Snapshot) -> Result<OwnedPoint> {
        OwnedPoint::with_overlays(snapshot, Overlays::Made)
    }

    /// As [`OwnedPoint::of`], for a snapshot that is being made.
    pub fn with_overlays(snapshot: &Snapshot, overlays: Overlays) -> Result<OwnedPoint> {
        Ok(OwnedPoint {
            name: snapshot.name.to_string(),
            document: xml::format(snapshot, xml::Form::Public { secure: true }),
            disks: disks(snapshot, overlays)?,
            memory: match &snapshot.memory {
                Some(Memory::External { file }) => Some(Path::new(&**file).to_owned()),
                _ => None,
            },
        })
    }

    /// With the lock that programs inherit which work on it.
    pub fn borrow<'a>(&'a self, lock: Option<BorrowedFd<'a>>) -> Point<'a> {
        Point {
            lock,
            name: &self.name,
            document: &self.document,
            disks: &self.disks,
            memory: self.memory.as_deref(),
        }
    }
}

fn disks(snapshot: &Snapshot, overlays: Overlays) -> Result<Vec<PointDisk>> {
    let Some(definition) = &snapshot.domain else {
        return Ok(Vec::new());
    };
    let facts = xml::domain_facts(definition)?;
    let of_target = |disks: &'_ [Disk]| -> HashMap<String, usize> {
        let names = disks.iter().enumerate();
        names
            .map(|(index, disk)| (disk.name.to_string(), index))
            .collect()
    };
    let (listed, reverted) = (
        of_target(&snapshot.disks),
        of_target(&snapshot.revert_disks),
    );
    Ok(facts
        .disks
        .iter()
        .map(|domain_disk| {
            let find = |index: &HashMap<String, usize>, disks: &[Disk]| {
                index
                    .get(&domain_disk.target)
                    .and_then(|index| disks.get(*index))
                    .cloned()
            };
            let disk = find(&listed, &snapshot.disks);
            let reverted = find(&reverted, &snapshot.revert_disks);
            let mode = mode(domain_disk, disk.as_ref());
            let place = |disk: Option<Disk>| match disk.and_then(|disk| disk.image) {
                Some(image) if mode == DiskMode::External => image_place(&image),
                _ => Place::Nowhere,
            };
            PointDisk {
                target: domain_disk.target.clone(),
                mode,
                base: source_place(domain_disk),
                overlay: place(disk),
                reverted: place(reverted),
                reuse: overlays == Overlays::Reused,
            }
        })
        .collect())
}

/// libvirt leaves floppies and CD-ROMs out of internal snapshots whatever their mode says.
fn mode(domain_disk: &DomainDisk, disk: Option<&Disk>) -> DiskMode {
    match disk.and_then(|disk| disk.mode) {
        Some(DiskMode::Internal) if domain_disk.device != "disk" => DiskMode::No,
        Some(mode) => mode,
        None => DiskMode::No,
    }
}

/// Where a domain's disk has its image.
pub(super) fn source_place(disk: &DomainDisk) -> Place {
    match (&disk.source, disk.source_type.as_str()) {
        (Some(source), "file" | "block") => Place::Local(Layer {
            path: source.into(),
            format: disk.format.clone(),
        }),
        (None, "file" | "block" | "dir") => Place::Nowhere,
        (_, kind) => Place::Elsewhere(kind.to_owned()),
    }
}

/// Where a snapshot says that an image of its own is.
fn image_place(image: &ExternalImage) -> Place {
    match (&image.path, &*image.source_type) {
        (Some(path), "" | "file" | "block") => Place::Local(Layer {
            path: Path::new(&**path).to_owned(),
            format: Some(image.format.as_deref().unwrap_or(QCOW2).to_owned()),
        }),
        (None, "" | "file" | "block") => Place::Nowhere,
        (_, kind) => Place::Elsewhere(kind.to_owned()),
    }
}
