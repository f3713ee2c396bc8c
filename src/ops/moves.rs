//! What becomes of the paths in snapshots and definitions when image files merge or go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::data::Layer;
use crate::error::Result;
use crate::snapshot::{Disk, DiskMode, ExternalImage, Snapshot, chosen_disks};
use crate::xml::{self, NewSource};

/// Where an image is found from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub layer: Layer,
    pub is_block: bool,
}

/// Paths that mean something else, or nothing any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    /// Images that are shown by another file.
    pub moved: BTreeMap<PathBuf, Moved>,
    /// Files that are no more; those that moved among them.
    pub gone: BTreeSet<PathBuf>,
}

impl Moves {
    pub fn is_empty(&self) -> bool {
        self.moved.is_empty() && self.gone.is_empty()
    }

    /// The definition with its images where they are now.
    pub fn definition(&self, text: &str) -> Result<String> {
        let facts = xml::domain_facts(text)?;
        let sources: Vec<NewSource> = facts
            .disks
            .iter()
            .filter_map(|disk| {
                let moved = self.moved.get(Path::new(disk.source.as_deref()?))?;
                Some(NewSource {
                    target: disk.target.clone(),
                    kind: if moved.is_block { "block" } else { "file" },
                    path: moved.layer.path.to_string_lossy().into_owned(),
                    format: moved.layer.format.clone(),
                    source: None,
                })
            })
            .collect();
        if sources.is_empty() {
            return Ok(text.to_owned());
        }
        xml::with_sources(text, &sources)
    }

    /// The snapshot as it must be from now on.
    pub fn snapshot(&self, old: &Snapshot) -> Result<Snapshot> {
        let mut new = old.clone();
        for text in [&mut new.domain, &mut new.inactive_domain] {
            if let Some(old) = text.as_deref() {
                let moved = self.definition(old)?;
                if moved != *old {
                    *text = Some(moved.into());
                }
            }
        }
        new.revert_disks
            .retain(|disk| !image_path(disk).is_some_and(|path| self.gone.contains(path)));
        let is_gone = |disk: &Disk| image_path(disk).is_some_and(|path| self.gone.contains(path));
        for disk in chosen_disks(&mut new.disks, is_gone) {
            lose_overlay(disk, &mut new.revert_disks);
        }
        let mut records = xml::layer_records(&new.other);
        let before = records.len();
        records.retain(|record| !self.gone.contains(Path::new(&record.path)));
        if records.len() != before {
            xml::set_layer_records(&mut new.other, &records);
        }
        Ok(new)
    }
}

/// The overlay of a disk is gone: the one made by a revert takes its place, as in libvirt.
fn lose_overlay(disk: &mut Disk, reverted: &mut Vec<Disk>) {
    let other = reverted.iter().position(|other| other.name == disk.name);
    if let Some(other) = other.filter(|_| disk.mode == Some(DiskMode::External)) {
        disk.image = reverted.remove(other).image;
    } else if let Some(image) = &mut disk.image {
        image.path = None;
        image.source = None;
    }
}

fn image_path(disk: &Disk) -> Option<&Path> {
    disk.image.as_ref()?.path.as_deref().map(Path::new)
}

/// Writes down that a snapshot gave the guest a new image by a revert.
pub(super) fn record_reverted(snapshot: &mut Snapshot, disk: &str, path: &Path, is_leaf: bool) {
    let image = ExternalImage {
        source_type: "file".into(),
        format: Some("qcow2".into()),
        path: Some(path.to_string_lossy().into()),
        ..ExternalImage::default()
    };
    let is_own = |known: &Disk| *known.name == *disk && known.mode == Some(DiskMode::External);
    match chosen_disks(&mut snapshot.disks, is_own).next() {
        Some(own) if is_leaf => own.image = Some(Box::new(image)),
        _ => {
            snapshot.revert_disks.retain(|known| *known.name != *disk);
            snapshot.revert_disks.push(Disk {
                name: disk.into(),
                mode: Some(DiskMode::External),
                image: Some(Box::new(image)),
                delete_in_progress: false,
            });
        }
    }
}
