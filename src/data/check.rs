//! Whether a snapshot's data is where its metadata says, read from the images themselves.
//!
//! Nothing is started and nothing is locked, so it can be asked while a guest has the images open.

use std::path::{Path, PathBuf};

use super::chain::{self, Broken, Cause, Link, QCOW2};
use super::{Layer, Place, Point, PointDisk, firmware};
use crate::snapshot::DiskMode;

/// What kind of statement a [`Difference`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The data is not what the metadata says.
    Differs,
    /// The data cannot be looked at from here. Nothing is known to be wrong.
    Unchecked,
}

/// One difference between metadata and data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What kind of statement it is.
    pub verdict: Verdict,
    /// Of what.
    pub part: Part,
    /// The image or file.
    pub image: PathBuf,
    /// What was found.
    pub found: String,
}

/// A part of a snapshot's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The disk with that target.
    Disk(String),
    /// The guest's memory.
    Memory,
    /// What its firmware and an emulated TPM remember.
    Firmware,
}

impl Difference {
    /// Where it is, for messages.
    pub fn place(&self) -> String {
        let image = self.image.display();
        match &self.part {
            Part::Disk(disk) => format!("disk '{disk}', image '{image}'"),
            Part::Memory => format!("memory file '{image}'"),
            Part::Firmware => format!("copy of the firmware's state '{image}'"),
        }
    }
}

/// Every difference between a snapshot and its data, disk by disk.
pub fn differences(point: &Point<'_>) -> Vec<Difference> {
    let mut findings = Vec::new();
    for disk in point.disks {
        let mut of_disk = OfDisk {
            disk,
            findings: &mut findings,
        };
        match disk.mode {
            DiskMode::Internal => of_disk.internal(point.name),
            DiskMode::External => of_disk.external(),
            DiskMode::No | DiskMode::Manual => {}
        }
    }
    if let Some(file) = point.memory {
        findings.extend(memory(file));
    }
    findings.extend(firmware::difference(point));
    findings
}

/// That nothing of a snapshot's data can be looked at, and why.
pub fn unchecked(point: &Point<'_>, why: &str) -> Vec<Difference> {
    let has_data = |disk: &&PointDisk| matches!(disk.mode, DiskMode::Internal | DiskMode::External);
    let disks = point.disks.iter().filter(has_data);
    disks
        .map(|disk| Difference {
            verdict: Verdict::Unchecked,
            part: Part::Disk(disk.target.clone()),
            image: disk
                .base
                .local()
                .map(|layer| layer.path.clone())
                .unwrap_or_default(),
            found: format!("cannot be reached from here: {why}"),
        })
        .collect()
}

/// The findings of one disk, as they are made.
struct OfDisk<'a> {
    disk: &'a PointDisk,
    findings: &'a mut Vec<Difference>,
}

impl OfDisk<'_> {
    fn add(&mut self, verdict: Verdict, image: &Path, found: impl Into<String>) {
        self.findings.push(Difference {
            verdict,
            part: Part::Disk(self.disk.target.clone()),
            image: image.to_owned(),
            found: found.into(),
        });
    }

    fn add_cause(&mut self, image: &Path, cause: &Cause) {
        let verdict = if cause.is_unreachable() {
            Verdict::Unchecked
        } else {
            Verdict::Differs
        };
        self.add(verdict, image, cause.to_string());
    }

    /// The image at a place, if it can be looked at.
    fn layer(&mut self, place: &Place) -> Option<Layer> {
        match place {
            Place::Local(layer) => Some(layer.clone()),
            Place::Elsewhere(kind) => {
                let found = format!("cannot be reached from here: a disk of type '{kind}'");
                self.add(Verdict::Unchecked, Path::new(""), found);
                None
            }
            Place::Nowhere => {
                self.add(Verdict::Differs, Path::new(""), "the disk has no image");
                None
            }
        }
    }

    /// The image and what is below it, if all of that is there.
    fn chain(&mut self, place: &Place) -> Option<Vec<Link>> {
        let layer = self.layer(place)?;
        match chain::resolve(&layer) {
            Ok(links) => Some(links),
            Err(Broken { image, cause }) => {
                self.add_cause(&image, &cause);
                None
            }
        }
    }

    fn internal(&mut self, name: &str) {
        let Some(mut layer) = self.layer(&self.disk.base.clone()) else {
            return;
        };
        // Internal snapshots are in qcow2 or nowhere, whatever the definition says.
        layer.format = Some(QCOW2.to_owned());
        let link = match chain::open(&layer) {
            Ok(link) => link,
            Err(cause) => return self.add_cause(&layer.path, &cause),
        };
        let count = link
            .facts
            .as_ref()
            .map_or(0, |facts| facts.named(name).count());
        match count {
            0 => self.add(
                Verdict::Differs,
                &layer.path,
                format!("it holds no snapshot named '{name}'"),
            ),
            1 => {}
            _ => self.add(
                Verdict::Differs,
                &layer.path,
                format!("it holds {count} snapshots named '{name}'"),
            ),
        }
        // What the snapshot did not write itself comes from below.
        if link.backing().is_some() {
            self.chain(&Place::Local(layer));
        }
    }

    fn external(&mut self) {
        let disk = self.disk;
        let base = self.chain(&disk.base);
        for place in [&disk.overlay, &disk.reverted] {
            if *place != Place::Nowhere {
                self.overlay(place, base.as_deref().and_then(<[Link]>::first));
            }
        }
    }

    /// An overlay must be there and name the base, with the base's format.
    fn overlay(&mut self, place: &Place, base: Option<&Link>) {
        let Some(layer) = self.layer(place) else {
            return;
        };
        let link = match chain::open(&layer) {
            Ok(link) => link,
            Err(cause) => return self.add_cause(&layer.path, &cause),
        };
        if link.facts.is_none() {
            let found = format!("its format '{}' is not read here", link.format);
            return self.add(Verdict::Unchecked, &layer.path, found);
        }
        let Some(base) = base else {
            return;
        };
        if let Err(found) = names_base(&link, base) {
            self.add(Verdict::Differs, &layer.path, found);
        }
    }
}

/// Whether an overlay's header names that image, in that format. The error is what it names.
pub fn names_base(overlay: &Link, base: &Link) -> Result<(), String> {
    let expected = base.path.display();
    match overlay.backing() {
        None => Err(format!("it has no backing file, '{expected}' is expected")),
        Some(chain::Backing::Elsewhere(name)) => Err(format!(
            "its backing file is '{name}', '{expected}' is expected"
        )),
        Some(chain::Backing::Local(below)) => {
            let same_file = below.path == base.path
                || chain::open_file(&below.path).is_ok_and(|file| file.identity() == base.identity);
            if !same_file {
                return Err(format!(
                    "its backing file is '{}', '{expected}' is expected",
                    below.path.display()
                ));
            }
            match below.format {
                Some(format) if format != base.format => Err(format!(
                    "it reads its backing file as '{format}', '{}' is expected",
                    base.format
                )),
                _ => Ok(()),
            }
        }
    }
}

/// Whether the file of external memory is there.
fn memory(file: &Path) -> Option<Difference> {
    let (verdict, found) = match chain::open_file(file) {
        Ok(open) => match open.length() {
            Ok(0) => (Verdict::Differs, "the file is empty".to_owned()),
            Ok(_) => return None,
            Err(error) => (Verdict::Unchecked, error.to_string()),
        },
        Err(cause) if cause.is_unreachable() => (Verdict::Unchecked, cause.to_string()),
        Err(cause) => (Verdict::Differs, cause.to_string()),
    };
    Some(Difference {
        verdict,
        part: Part::Memory,
        image: file.to_owned(),
        found,
    })
}
