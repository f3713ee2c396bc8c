//! What the Data room needs to know of a snapshot.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::firmware;
use super::flags::RevertFlags;
use crate::data::chain::QCOW2;
use crate::data::{Beside, Firmware, Guest, Layer, OverlayFile, Place, Point, PointDisk};
use crate::error::Result;
use crate::snapshot::{Disk, DiskMode, ExternalImage, Memory, Snapshot, State};
use crate::xml::{self, DomainDisk, DomainFacts};

/// A [`Point`] with what it borrows.
pub(super) struct OwnedPoint {
    /// Its name.
    pub name: String,
    document: String,
    /// Its disks.
    pub disks: Vec<PointDisk>,
    memory: Option<PathBuf>,
    /// What it has besides disks and memory.
    pub firmware: Firmware,
    has_memory_inside: bool,
    is_of_guest: bool,
    guest: Guest,
}

impl OwnedPoint {
    /// The images are those of the snapshot's own definition: the domain's may have changed since.
    pub fn of(snapshot: &Snapshot) -> Result<OwnedPoint> {
        OwnedPoint::with_overlays(snapshot, &[])
    }

    /// As [`OwnedPoint::of`], for going back to it with the flags of the request.
    pub fn to_revert(snapshot: &Snapshot, flags: RevertFlags) -> Result<OwnedPoint> {
        let mut point = OwnedPoint::of(snapshot)?;
        point.firmware.is_reset = flags.has(RevertFlags::RESET_NVRAM);
        Ok(point)
    }

    /// What there is to delete. An image in a format that has no snapshots holds none, though
    /// REDEFINE may say that it does: libvirt passes over it, too.
    pub fn to_delete(snapshot: &Snapshot) -> Result<OwnedPoint> {
        OwnedPoint::of_those(snapshot, |disk| {
            let format = disk.base.local().and_then(|layer| layer.format.as_deref());
            format.is_none_or(|format| format == QCOW2)
        })
    }

    /// Only what has a path here: libvirt also captures disks that are elsewhere.
    pub fn local(snapshot: &Snapshot) -> Result<OwnedPoint> {
        OwnedPoint::of_those(snapshot, |disk| disk.base.local().is_some())
    }

    /// As [`OwnedPoint::of`], without internal data that is not to be looked for.
    fn of_those(
        snapshot: &Snapshot,
        takes_part: impl Fn(&PointDisk) -> bool,
    ) -> Result<OwnedPoint> {
        let (mut disks, firmware) = parts(snapshot)?;
        disks.retain(|disk| disk.mode != DiskMode::Internal || takes_part(disk));
        Ok(OwnedPoint::new(snapshot, disks, firmware))
    }

    /// A snapshot that is to be inside of every image of a domain that can hold one.
    pub fn inside(snapshot: &Snapshot, disks: &[DomainDisk]) -> OwnedPoint {
        let writable = disks
            .iter()
            .filter(|disk| disk.device == "disk" && !disk.read_only);
        let disks = writable.map(|disk| PointDisk {
            target: disk.target.clone(),
            is_read_only: false,
            mode: DiskMode::Internal,
            base: source_place(disk),
            overlay: Place::Nowhere,
            reverted: Place::Nowhere,
            overlay_file: OverlayFile::New,
        });
        OwnedPoint::new(snapshot, disks.collect(), Firmware::default())
    }

    fn new(snapshot: &Snapshot, disks: Vec<PointDisk>, firmware: Firmware) -> OwnedPoint {
        OwnedPoint {
            name: snapshot.name.to_string(),
            document: xml::format(snapshot, xml::Form::Public { secure: true }),
            disks,
            firmware,
            has_memory_inside: snapshot.memory == Some(Memory::Internal),
            is_of_guest: snapshot.state != State::Shutoff,
            guest: Guest::Waiting,
            memory: match &snapshot.memory {
                Some(Memory::External { file }) => Some(Path::new(&**file).to_owned()),
                _ => None,
            },
        }
    }

    /// As [`OwnedPoint::of`], with what stood at the overlays' paths where it was not nothing.
    pub fn with_overlays(
        snapshot: &Snapshot,
        found: &[(String, OverlayFile)],
    ) -> Result<OwnedPoint> {
        let (mut disks, firmware) = parts(snapshot)?;
        for disk in &mut disks {
            if let Some((_, file)) = found.iter().find(|(target, _)| *target == disk.target) {
                disk.overlay_file = *file;
            }
        }
        Ok(OwnedPoint::new(snapshot, disks, firmware))
    }

    /// Of a guest that did that when it was taken.
    pub fn taken_of(self, guest: Guest) -> OwnedPoint {
        OwnedPoint { guest, ..self }
    }

    /// With the lock that programs inherit which work on it.
    pub fn borrow<'a>(&'a self, lock: Option<BorrowedFd<'a>>) -> Point<'a> {
        Point {
            lock,
            beside: Beside::default(),
            name: &self.name,
            document: &self.document,
            disks: &self.disks,
            memory: self.memory.as_deref(),
            firmware: &self.firmware,
            has_memory_inside: self.has_memory_inside,
            is_of_guest: self.is_of_guest,
            guest: self.guest,
        }
    }
}

/// The disks of a snapshot, in the order of its definition. Variables that are a snapshot inside of
/// their own image are one more.
pub(super) fn disks(snapshot: &Snapshot) -> Result<Vec<PointDisk>> {
    parts(snapshot).map(|(disks, _)| disks)
}

/// The disks of a snapshot, and what it has of firmware and TPM.
fn parts(snapshot: &Snapshot) -> Result<(Vec<PointDisk>, Firmware)> {
    let Some(definition) = &snapshot.domain else {
        return Ok((Vec::new(), Firmware::default()));
    };
    let facts = xml::domain_facts(definition)?;
    let mut disks = disks_of(snapshot, &facts);
    let (inside, firmware) = firmware::of(snapshot, &facts);
    disks.extend(inside);
    Ok((disks, firmware))
}

fn disks_of(snapshot: &Snapshot, facts: &DomainFacts) -> Vec<PointDisk> {
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
    facts
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
                Some(image) => image_place(&image),
                None => Place::Nowhere,
            };
            let is_external = mode == DiskMode::External;
            PointDisk {
                target: domain_disk.target.clone(),
                is_read_only: domain_disk.read_only,
                mode,
                base: source_place(domain_disk),
                overlay: place(disk.filter(|_| is_external)),
                reverted: place(reverted),
                overlay_file: OverlayFile::New,
            }
        })
        .collect()
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
