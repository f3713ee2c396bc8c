//! The steps on data: files and internal snapshots, with what they give back or take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Planned, Step, StepKind};
use crate::data::{Merge, OverlayFile, Place, space};
use crate::error::Result;
use crate::ops::collect::Collected;
use crate::ops::layers::sources;
use crate::ops::point::OwnedPoint;
use crate::snapshot::{DiskMode, Memory, Snapshot};
use crate::tree::{self, Tree};

impl Planned {
    /// What becomes of the hierarchy.
    pub(super) fn tree(&mut self, tree: &Tree, plan: &tree::Plan) {
        let dropped = plan.drop.iter();
        self.extend(dropped.map(|snapshot| Step::of(StepKind::Drop, &snapshot.name)));
        for new in &plan.put {
            let Ok(old) = tree.get(&new.name) else {
                self.add(Step {
                    parent: new.parent.clone(),
                    ..Step::of(StepKind::Add, &new.name)
                });
                continue;
            };
            if old.parent != new.parent {
                self.add(Step {
                    parent: new.parent.clone(),
                    ..Step::of(StepKind::Reparent, &new.name)
                });
            }
            let mut moved = Snapshot::clone(old);
            moved.parent.clone_from(&new.parent);
            if moved != **new {
                self.add(Step::of(StepKind::Redefine, &new.name));
            }
        }
        let before = tree.current().map(|current| &current.name);
        if before != plan.current.as_ref() {
            self.add(Step {
                name: plan.current.clone(),
                ..Step::new(StepKind::Current)
            });
        }
    }

    /// What becomes of the hierarchy while somebody else works on the data.
    pub(super) fn elsewhere(&mut self, tree: &Tree, plan: Option<tree::Plan>) {
        self.add(Step::new(StepKind::Elsewhere));
        if let Some(plan) = plan {
            self.tree(tree, &plan);
        }
    }

    /// The internal snapshots that are dropped. Those of one image are measured together, as clusters
    /// may be theirs together; the last one of an image has the bytes.
    pub(super) fn dropped(&mut self, points: &[OwnedPoint]) -> Dropped {
        let mut by_image: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
        for point in points {
            for disk in &point.disks {
                let Some(layer) = disk.base.local() else {
                    continue;
                };
                let is_there = disk.mode == DiskMode::Internal
                    && space::holds(&layer.path, &point.name).unwrap_or(false);
                if !is_there {
                    continue;
                }
                // Several disks may lead to one image.
                let image = layer
                    .path
                    .canonicalize()
                    .unwrap_or_else(|_| layer.path.clone());
                let known = by_image.entry(image).or_default();
                let name: Arc<str> = point.name.as_str().into();
                let is_told = known.iter().any(|step| {
                    let step = self.steps.get(*step);
                    step.is_some_and(|step| step.name.as_ref() == Some(&name))
                });
                if is_told {
                    continue;
                }
                known.push(self.steps.len());
                self.add(Step {
                    name: Some(name),
                    ..Step::file(StepKind::DropData, &layer.path, 0).on(&disk.target)
                });
            }
        }
        let mut dropped = Dropped(BTreeMap::new());
        for (image, steps) in by_image {
            let names: Vec<Arc<str>> = steps
                .iter()
                .filter_map(|step| self.steps.get(*step)?.name.clone())
                .collect();
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            let bytes = space::inside(&image, &names).map_or(0, |usage| usage.alone);
            if let Some(step) = steps.last().and_then(|step| self.steps.get_mut(*step)) {
                step.bytes = bytes;
            }
            dropped.0.insert(image, bytes);
        }
        dropped
    }

    /// What a new snapshot takes: its overlays, what is inside of images, its memory, its copy of firmware
    /// and TPM.
    pub(super) fn taken(&mut self, snapshot: &Snapshot, point: &OwnedPoint, memory: u64) {
        let mut inside = memory;
        if let Some(Memory::External { file }) = &snapshot.memory {
            let file = Path::new(&**file);
            self.add(Step::file(StepKind::CreateFile, file, memory));
            inside = 0;
        }
        if let Some(copy) = &point.firmware.copy {
            let bytes = space::firmware(&point.firmware);
            self.add(Step::file(StepKind::CreateFile, copy, bytes));
        }
        for disk in &point.disks {
            match (disk.mode, disk.base.local(), disk.overlay.local()) {
                (DiskMode::Internal, Some(base), _) => {
                    // The first one has the memory.
                    let bytes = std::mem::take(&mut inside) + space::capture(&base.path);
                    let step = Step::file(StepKind::TakeData, &base.path, bytes);
                    self.add(Step {
                        name: Some(Arc::clone(&snapshot.name)),
                        ..step.on(&disk.target)
                    });
                }
                (DiskMode::External, Some(base), Some(overlay)) => {
                    let kind = match disk.overlay_file {
                        OverlayFile::New => StepKind::CreateFile,
                        OverlayFile::Empty => StepKind::WriteFile,
                        OverlayFile::Reused => continue,
                    };
                    let step = Step::file(kind, &overlay.path, space::overlay(base));
                    self.add(step.with(&base.path).on(&disk.target));
                }
                _ => {}
            }
        }
    }

    /// The images that are brought together.
    pub(super) fn merges(&mut self, merges: &[Merge]) {
        self.extend(merges.iter().map(|merge| match merge {
            Merge::Commit { disk, top, base } => {
                let bytes = space::merge(top, base).unwrap_or(0);
                let step = Step::file(StepKind::WriteFile, &base.path, bytes);
                step.with(&top.path).on(disk)
            }
            Merge::Relink {
                disk,
                image,
                backing,
            } => {
                let step = Step::file(StepKind::RelinkFile, &image.path, 0);
                step.with(&backing.path).on(disk)
            }
        }));
    }

    /// The files that are of no use afterwards.
    pub(super) fn removals(&mut self, work: &Collected, dropped: &Dropped) {
        self.extend(work.removals.iter().map(|file| {
            let taken = space::file(file).map_or(0, |taken| taken.freed);
            // What internal snapshots gave back before is not given back twice.
            let bytes = taken.saturating_sub(dropped.from(file));
            Step::file(StepKind::RemoveFile, file, bytes)
        }));
    }

    /// The disks that the domain has elsewhere afterwards.
    pub(super) fn switches(&mut self, before: &str, after: &str) -> Result<()> {
        let before = sources(before)?;
        for (disk, place) in sources(after)? {
            if let Place::Local(layer) = &place
                && before
                    .get(&disk)
                    .and_then(Place::local)
                    .map(|layer| &layer.path)
                    != Some(&layer.path)
            {
                self.add(Step::file(StepKind::SwitchDisk, &layer.path, 0).on(&disk));
            }
        }
        Ok(())
    }
}

/// What dropping internal snapshots gives back, by image.
#[derive(Default)]
pub(super) struct Dropped(BTreeMap<PathBuf, u64>);

impl Dropped {
    fn from(&self, file: &Path) -> u64 {
        let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        self.0.get(&file).copied().unwrap_or(0)
    }
}
