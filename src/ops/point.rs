//! What the Data room needs to know of a snapshot.

use std::os::fd::BorrowedFd;

use crate::data::{Image, Point};
use crate::error::{Error, Result};
use crate::snapshot::{DiskMode, Snapshot};
use crate::xml::{self, DomainDisk, DomainFacts};

/// A [`Point`] with what it borrows.
pub(super) struct OwnedPoint {
    /// Its name.
    pub name: String,
    document: String,
    /// The images that hold the snapshot inside.
    pub images: Vec<Image>,
}

impl OwnedPoint {
    /// The images are those of the snapshot's own definition: the domain's may have changed since.
    pub fn of(snapshot: &Snapshot) -> Result<OwnedPoint> {
        Ok(OwnedPoint {
            name: snapshot.name.to_string(),
            document: xml::format(snapshot, xml::Form::Public { secure: true }),
            images: images(snapshot)?,
        })
    }

    /// With the lock that programs inherit which work on it.
    pub fn borrow<'a>(&'a self, lock: Option<BorrowedFd<'a>>) -> Point<'a> {
        Point {
            lock,
            name: &self.name,
            document: &self.document,
            images: &self.images,
        }
    }
}

fn images(snapshot: &Snapshot) -> Result<Vec<Image>> {
    let Some(definition) = &snapshot.domain else {
        return Ok(Vec::new());
    };
    let facts = xml::domain_facts(definition)?;
    internal_disks(snapshot, &facts)
        .map(|disk| match &disk.source {
            Some(source) => Ok(Image {
                disk: disk.target.clone(),
                path: source.as_str().into(),
            }),
            None => Err(Error::DiskWithoutSource {
                disk: disk.target.clone(),
            }),
        })
        .collect()
}

/// The domain disks that hold internal data. libvirt leaves floppies and CD-ROMs out whatever
/// their mode says.
fn internal_disks<'a>(
    snapshot: &'a Snapshot,
    facts: &'a DomainFacts,
) -> impl Iterator<Item = &'a DomainDisk> {
    let is_internal = |target: &str| {
        snapshot
            .disks
            .iter()
            .any(|disk| *disk.name == *target && disk.mode == Some(DiskMode::Internal))
    };
    facts
        .disks
        .iter()
        .filter(move |disk| disk.device == "disk" && is_internal(&disk.target))
}
