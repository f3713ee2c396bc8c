//! Reverts a domain to a snapshot: everything is verified before anything changes.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::collect::{Collected, Collector, Effort};
use super::domain::Domain;
use super::events::Cause;
use super::firmware;
use super::flags::RevertFlags;
use super::intent::{Intent, Leftovers, Worker};
use super::layers::{FileId, Roles, Survey, Surveyed, has_layers, sources};
use super::moves;
use super::point::OwnedPoint;
use super::power::Way;
use super::records;
use super::refusals::Refusals;
use crate::data::chain::{self, QCOW2};
use crate::data::{Layer, Place, PointDisk, Restore};
use crate::error::{Error, Result};
use crate::snapshot::{DiskMode, Snapshot};
use crate::tree::{Filter, Plan, Scope, Tree};
use crate::xml::{self, NewSource};

/// A revert, prepared. What it does is all in here.
pub(super) struct Reversion<'s> {
    /// The definition afterwards, what becomes of each disk, and of image files.
    pub prepared: Prepared,
    /// What becomes of the guest; `None` if that is refused.
    pub way: Option<Way<'s>>,
    /// What becomes of the hierarchy.
    pub plan: Plan,
    /// The data that is brought back.
    pub point: OwnedPoint,
}

impl Domain {
    /// Makes the domain what it was when the snapshot was taken.
    pub fn revert(&self, name: &str, flags: RevertFlags) -> Result<()> {
        if let Some(executor) = self.data.executor() {
            return self.revert_elsewhere(executor, name, flags);
        }
        flags.check_driver()?;
        let writing = self.write()?.because(Cause::Reverted(name.into()));
        let snapshot = self.tree()?.get(name)?.clone();
        let Reversion {
            prepared,
            way,
            plan,
            point,
        } = self.reversion(&snapshot, flags, &mut Refusals::First)?;
        let Prepared {
            definition,
            restores,
            work,
        } = prepared;
        let way = way.unwrap_or(Way::Hooks);
        let mut leftovers = Leftovers::files(&work.removals);
        let mut change = writing.change_with(&plan, Some(&definition), &leftovers)?;
        writing.intend(&Intent::Revert {
            worker: Worker::Library,
            name: name.to_owned(),
            flags: flags.bits(),
            definition: definition.clone(),
            restores: restores.clone(),
            work: work.clone(),
        })?;
        let finish = |cause| self.check_finished(way, writing.finish(Err(cause)));
        let borrowed = writing.point(&point);
        let reverted = self
            .bring_back(way, &definition, &borrowed, &restores, flags)
            .map_err(|cause| self.stop_restarted(way, cause));
        let keeps_former = self.data.keeps_former(&borrowed, &restores);
        match (way, reverted) {
            (_, Err(cause)) if keeps_former => return finish(cause),
            // A guest that can be brought neither back nor on: the next writer does it.
            (Way::InPlace(_), Err(cause @ Error::UndoFailed { .. })) => {
                return finish(cause);
            }
            (_, Err(cause)) => return writing.end_failed_revert(point, &restores, cause),
            (_, Ok(())) => {}
        }
        let replaced = self.data.replace_firmware(&writing.point(&point));
        if let Err(cause) = replaced.and_then(|()| self.go_on_in_place(way)) {
            return finish(cause);
        }
        writing.tidy_after_revert(&point, &restores, &mut change, &mut leftovers);
        let is_new = |restore: &Restore| restore.new_file().is_some();
        let is_replaced = point.firmware.is_replaced();
        match writing.commit_and_tidy(&plan, &change, &leftovers) {
            // Nothing was written to: then it can still be undone.
            Err(cause) if !is_replaced && !restores.is_empty() && restores.iter().all(is_new) => {
                let cause = self.stop_restarted(way, cause);
                writing.end_failed_revert(point, &restores, cause)
            }
            Err(cause) => finish(cause),
            Ok(()) => Ok(()),
        }?;
        self.after_data(way, &definition)
    }

    /// What reverting would do. Everything that it needs is verified: what is recorded will be finished
    /// after a crash, so it must be possible.
    pub(super) fn reversion<'s>(
        &self,
        snapshot: &'s Arc<Snapshot>,
        flags: RevertFlags,
        refusals: &mut Refusals,
    ) -> Result<Reversion<'s>> {
        let name = &snapshot.name;
        refusals.check(self.check_name(name))?;
        let kept = self.kept_definition(snapshot)?;
        let prepared = self.prepared_revert(snapshot, &kept, refusals)?;
        let Prepared {
            definition,
            restores,
            work,
        } = &prepared;
        refusals.check(firmware::check_reset(snapshot, definition, flags))?;
        let way = refusals.check(self.way(snapshot, definition, flags))?;
        let plan = rewritten(&*self.tree()?, name, restores, work)?;
        let point = OwnedPoint::to_revert(snapshot, flags)?;
        refusals.check(self.check_nobody_writes(refusals.patience()))?;
        refusals.check(self.data.check_revert(&point.borrow(None), restores))?;
        if let Some(way) = way {
            refusals.check(self.check_load(way, &point.borrow(None), restores))?;
        }
        Ok(Reversion {
            prepared,
            way,
            plan,
            point,
        })
    }

    /// The definition that the snapshot kept, under the domain's present name.
    fn kept_definition(&self, snapshot: &Snapshot) -> Result<String> {
        let Some(kept) = &snapshot.domain else {
            return Err(self.lacks_definition(snapshot));
        };
        xml::named_and_identified(&xml::unnested(kept), self.name(), self.uuid())
    }

    pub(super) fn lacks_definition(&self, snapshot: &Snapshot) -> Error {
        Error::RevertRisky {
            detail: format!(
                "snapshot '{}' lacks domain '{}' rollback info",
                snapshot.name,
                self.name()
            ),
        }
    }

    /// What is to be done, disk by disk, with everything that it needs verified.
    pub(super) fn prepared_revert(
        &self,
        snapshot: &Arc<Snapshot>,
        kept: &str,
        refusals: &mut Refusals,
    ) -> Result<Prepared> {
        if self.has_own_data() {
            return Ok(Prepared::inside(&[], kept));
        }
        let disks = super::point::disks(snapshot)?;
        // Apart from the next look, which takes the tree's lock again.
        let may_be = self.tree()?.may_have_files();
        let snapshots = match may_be {
            true => self.everything()?,
            false => Vec::new(),
        };
        if !has_layers(&snapshots) {
            return Ok(Prepared::inside(&disks, kept));
        }
        let now = self.host.definition()?;
        // A snapshot that cannot be read may need any image.
        refusals.check(self.check_whole())?;
        let mut reverting = Reverting {
            survey: Survey::of(snapshots, &now, refusals)?,
            active: sources(&now)?,
            restores: Vec::new(),
            sources: Vec::new(),
        };
        for disk in &disks {
            refusals.check(reverting.disk(disk))?;
        }
        let definition = xml::with_sources(kept, &reverting.sources)?;
        let foreign = self.foreign_files()?;
        let work = reverting.useless(&definition, &foreign)?;
        Ok(Prepared {
            definition,
            restores: reverting.restores,
            work,
        })
    }
}

/// A revert that can be carried out.
pub(super) struct Prepared {
    pub definition: String,
    pub restores: Vec<Restore>,
    pub work: Collected,
}

impl Prepared {
    /// Of a domain without external snapshots: nothing but its images takes part.
    fn inside(disks: &[PointDisk], definition: &str) -> Prepared {
        let internal = disks.iter().filter(|disk| disk.mode == DiskMode::Internal);
        Prepared {
            definition: definition.to_owned(),
            restores: internal
                .map(|disk| Restore::Apply {
                    disk: disk.target.clone(),
                })
                .collect(),
            work: Collected::default(),
        }
    }
}

/// A revert as it is being prepared.
struct Reverting {
    survey: Survey,
    /// The guest's images now.
    active: BTreeMap<String, Place>,
    restores: Vec<Restore>,
    /// Its images afterwards, where they are not those of the kept definition.
    sources: Vec<NewSource>,
}

impl Reverting {
    fn disk(&mut self, disk: &PointDisk) -> Result<()> {
        let Some(base) = disk.base.local() else {
            return match (disk.mode, &disk.base) {
                (DiskMode::Internal | DiskMode::External, Place::Elsewhere(kind)) => {
                    Err(Error::ExternalOnType { kind: kind.clone() })
                }
                (DiskMode::Internal | DiskMode::External, Place::Nowhere) => {
                    Err(Error::DiskWithoutSource {
                        disk: disk.target.clone(),
                    })
                }
                _ => Ok(()),
            };
        };
        match disk.mode {
            DiskMode::External => {
                check_whole(disk, base)?;
                self.overlay(disk, base)
            }
            DiskMode::Internal if self.is_needed(&disk.base) => {
                // libvirt rewrites the image, and with it what its overlays show
                // (docs/differences.md, D13).
                check_whole(disk, base)?;
                let path = self.new_path(base);
                self.restores.push(Restore::Copy {
                    disk: disk.target.clone(),
                    from: base.path.clone(),
                    path: path.clone(),
                });
                self.use_image(disk, &path, QCOW2);
                Ok(())
            }
            DiskMode::Internal => {
                self.restores.push(Restore::Apply {
                    disk: disk.target.clone(),
                });
                Ok(())
            }
            DiskMode::No | DiskMode::Manual => self.left_out(disk, base),
        }
    }

    /// A disk that the snapshot has nothing of keeps its present content, unless it was given an image
    /// by other hands since.
    fn left_out(&mut self, disk: &PointDisk, base: &Layer) -> Result<()> {
        let present = self.active.get(&disk.target).cloned();
        let Some(then) = self.survey.file(&disk.base) else {
            return Ok(());
        };
        if let Some(Place::Local(image)) = present
            && let Some(file) = self.survey.layers.at(&image.path)
            && (self.survey.is_part(file) || self.survey.layers.below(file).contains(&then))
        {
            let format = image.format.unwrap_or_else(|| QCOW2.to_owned());
            if image.path != base.path {
                self.use_image(disk, &image.path, &format);
            }
            return Ok(());
        }
        if disk.is_read_only || !self.is_needed(&disk.base) {
            return Ok(());
        }
        self.overlay(disk, base)
    }

    /// Gives the guest a new overlay, so that the snapshot and its siblings stay as they are.
    fn overlay(&mut self, disk: &PointDisk, base: &Layer) -> Result<()> {
        let base = Layer {
            path: base.path.clone(),
            format: self
                .survey
                .layers
                .at(&base.path)
                .and_then(|id| self.survey.layers.files.get(id))
                .and_then(|file| file.layer.format.clone()),
        };
        let path = self.new_path(&base);
        self.use_image(disk, &path, QCOW2);
        self.restores.push(Restore::Overlay {
            disk: disk.target.clone(),
            base,
            path,
        });
        Ok(())
    }

    fn use_image(&mut self, disk: &PointDisk, path: &Path, format: &str) {
        self.sources.push(NewSource {
            target: disk.target.clone(),
            kind: "file",
            path: path.to_string_lossy().into_owned(),
            format: Some(format.to_owned()),
            source: None,
        });
    }

    /// Whether somebody needs what an image shows: an external snapshot, or an image on top of it.
    fn is_needed(&self, place: &Place) -> bool {
        let Some(file) = self.survey.file(place) else {
            return false;
        };
        let pins = |surveyed: &Surveyed| {
            surveyed.disks.iter().any(|disk| {
                disk.mode == DiskMode::External && self.survey.file(&disk.base) == Some(file)
            })
        };
        self.survey.layers.above(file).next().is_some() || self.survey.snapshots.iter().any(pins)
    }

    /// A path beside an image that nothing has: its stem and the time, as libvirt names them.
    fn new_path(&self, base: &Layer) -> PathBuf {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = elapsed.unwrap_or_default().as_secs();
        let stem = base.path.with_extension("");
        let is_taken = |path: &Path| {
            std::fs::symlink_metadata(path).is_ok()
                || self
                    .restores
                    .iter()
                    .any(|restore| restore.new_file().is_some_and(|taken| taken == path))
        };
        let mut number = 0_u64;
        loop {
            let mut name = stem.clone().into_os_string();
            name.push(format!(".{}", seconds.saturating_add(number)));
            let path = PathBuf::from(name);
            if !is_taken(&path) {
                return path;
            }
            number = number.saturating_add(1);
        }
    }

    /// The images of the guest until now that nobody needs afterwards.
    fn useless(
        &self,
        definition: &str,
        foreign: &HashSet<crate::data::qcow2::Identity>,
    ) -> Result<Collected> {
        let everybody = || {
            let all = self.survey.snapshots.iter();
            all.map(|each| (&*each.snapshot, each.disks.as_slice()))
        };
        let before = Roles::of(&self.survey, everybody(), &self.active);
        let after = Roles::of(&self.survey, everybody(), &sources(definition)?);
        let mut roles = Roles {
            made: before.made,
            own: before.own,
            ..after.clone()
        };
        // The new overlays are not among the files yet.
        let bases: Vec<FileId> = self
            .restores
            .iter()
            .filter_map(|restore| match restore {
                Restore::Overlay { base, .. } => self.survey.layers.at(&base.path),
                Restore::Apply { .. } | Restore::Copy { .. } => None,
            })
            .collect();
        roles.pinned.extend(bases);
        let nothing = BTreeMap::new();
        let collector = Collector::new(&self.survey.layers, roles, foreign, &nothing);
        Ok(collector.run(Effort::RemoveOnly, &after))
    }
}

/// Makes sure that an image and all below it are there.
fn check_whole(disk: &PointDisk, base: &Layer) -> Result<()> {
    chain::resolve(base)
        .map(|_| ())
        .map_err(|broken| Error::ImageUnusable {
            disk: disk.target.clone(),
            image: broken.image,
            reason: broken.cause.to_string(),
        })
}

/// The change of the tree by a revert. Depends on nothing but its arguments.
pub(super) fn rewritten(
    tree: &Tree,
    name: &str,
    restores: &[Restore],
    work: &Collected,
) -> Result<Plan> {
    let mut plan = tree.plan_current(name)?;
    records::apply(tree, &mut plan, work)?;
    let is_leaf = tree.count(Scope::Children(name.into()), Filter::default())? == 0;
    let changed = plan.put.iter().find(|snapshot| *snapshot.name == *name);
    let mut target = Snapshot::clone(changed.unwrap_or(tree.get(name)?));
    let before = target.clone();
    for restore in restores {
        if let Some(path) = restore.new_file() {
            moves::record_reverted(&mut target, restore.disk(), path, is_leaf);
        }
    }
    if target != before {
        records::put(&mut plan, target);
    }
    Ok(plan)
}
