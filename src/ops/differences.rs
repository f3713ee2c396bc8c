//! What the data of snapshots has different from their metadata.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::domain::Domain;
use super::flags::CreateFlags;
use super::point::OwnedPoint;
use crate::data::{Difference, Verdict};
use crate::error::{Error, Result};
use crate::snapshot::{Disk, DiskMode, Snapshot, chosen_disks};
use crate::xml;

impl Domain {
    /// Refuses a snapshot whose data can be reached and is not as it says.
    pub(in crate::ops) fn check_data(&self, snapshot: &Snapshot) -> Result<()> {
        let differences = self.differences_of(snapshot)?;
        let mut differing = differences
            .into_iter()
            .filter(|difference| difference.verdict == Verdict::Differs);
        let Some(first) = differing.next() else {
            return Ok(());
        };
        Err(Error::DataDiffers {
            domain: self.name().to_string(),
            snapshot: snapshot.name.to_string(),
            place: first.place(),
            found: first.found,
            more: differing.count(),
        })
    }

    fn differences_of(&self, snapshot: &Snapshot) -> Result<Vec<Difference>> {
        let point = OwnedPoint::of(snapshot)?;
        Ok(self.data.differences(&point.borrow(None)))
    }

    /// What REDEFINE of a document would find different in the data. Nothing is defined.
    pub fn differences_of_document(&self, xml: &str) -> Result<Vec<NamedDifference>> {
        let parsed = xml::parse_with(xml, xml::Mode::Redefine, &self.definitions())?;
        let mut snapshot = parsed.snapshot;
        let given = given_paths(&snapshot);
        let replaced = self.tree()?.get(&snapshot.name).ok().cloned();
        self.complete(&mut snapshot, replaced.as_deref(), CreateFlags::new(0, "")?)?;
        forget_missing_overlays(&mut snapshot, &given);
        Ok(named(&snapshot.name, self.differences_of(&snapshot)?))
    }

    /// What the data of the stored snapshots has different from their metadata, parents first.
    pub fn differences(&self) -> Result<Vec<NamedDifference>> {
        let snapshots = self.everything()?;
        let mut all = Vec::new();
        for snapshot in snapshots {
            all.extend(named(&snapshot.name, self.differences_of(&snapshot)?));
        }
        Ok(all)
    }
}

/// A difference between a snapshot's metadata and its data.
#[derive(Clone, Debug)]
pub struct NamedDifference {
    /// The snapshot.
    pub snapshot: Arc<str>,
    /// What differs.
    pub difference: Difference,
}

fn named(snapshot: &Arc<str>, differences: Vec<Difference>) -> Vec<NamedDifference> {
    let name = |difference| NamedDifference {
        snapshot: Arc::clone(snapshot),
        difference,
    };
    differences.into_iter().map(name).collect()
}

/// The overlays that a document names itself.
pub(super) fn given_paths(snapshot: &Snapshot) -> HashSet<Box<str>> {
    let paths = snapshot.disks.iter().filter_map(|disk| {
        let image = disk.image.as_ref()?;
        image.path.clone()
    });
    paths.collect()
}

/// Takes back generated names of overlays that are not there. The overlay of a snapshot that the
/// guest has been reverted away from is gone, and its document names none.
pub(super) fn forget_missing_overlays(snapshot: &mut Snapshot, given: &HashSet<Box<str>>) {
    let is_missing = |disk: &Disk| {
        let image = disk.image.as_ref();
        let path = image.and_then(|image| image.path.as_deref());
        disk.mode == Some(DiskMode::External)
            && path.is_some_and(|path| !given.contains(path) && !Path::new(path).exists())
    };
    for disk in chosen_disks(&mut snapshot.disks, is_missing) {
        if let Some(image) = &mut disk.image {
            image.path = None;
        }
    }
}
