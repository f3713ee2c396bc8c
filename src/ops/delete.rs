//! Deletes snapshots: with their data, or the metadata only.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::change::Writing;
use super::collect::{Collected, Collector, Effort};
use super::domain::Domain;
use super::events::Cause;
use super::flags::DeleteFlags;
use super::intent::{Intent, Leftovers, Worker};
use super::layers::{FileId, Roles, Survey, has_layers, sources};
use super::point::OwnedPoint;
use super::records;
use super::refusals::Refusals;
use crate::data::qmp::is_memory_file;
use crate::data::{Beside, Data, Merged, Point};
use crate::error::Result;
use crate::snapshot::{DiskMode, Memory, Snapshot};
use crate::tree::{Plan, Tree};

/// A deletion, prepared. What it does is all in here.
#[derive(Default)]
pub(super) struct Deletion {
    /// What becomes of the hierarchy.
    pub plan: Plan,
    /// The data that is dropped, children before their parents.
    pub points: Vec<OwnedPoint>,
    /// In how many places that is.
    places: usize,
    /// What becomes of image files.
    pub work: Collected,
    /// The domain's definition afterwards, if it is another.
    pub definition: Option<String>,
}

impl Domain {
    /// Deletes the snapshots that the flags select.
    pub fn delete(&self, name: &str, flags: DeleteFlags) -> Result<()> {
        if let Some(executor) = self.data.executor() {
            return self.delete_elsewhere(executor, name, flags);
        }
        flags.check_driver()?;
        let writing = self.write()?;
        let writing = match flags.has(DeleteFlags::METADATA_ONLY) {
            true => writing.because(Cause::Metadata),
            false => writing,
        };
        let Deletion {
            plan,
            points,
            places,
            work,
            definition,
        } = self.deletion(name, flags, &mut Refusals::First)?;
        // Neither an image nor a path is touched (docs/differences.md, D17).
        if flags.has(DeleteFlags::METADATA_ONLY) {
            return writing.commit(&plan);
        }
        let leftovers = Leftovers::files(&work.removals);
        let change = writing.change_with(&plan, definition.as_deref(), &leftovers)?;
        if places == 0 && work.merges.is_empty() {
            // No image is touched before the change is made.
            return writing.commit_and_tidy(&plan, &change, &leftovers);
        }
        writing.intend(&Intent::Delete {
            worker: Worker::Library,
            name: name.to_owned(),
            deletion: flags.deletion(),
            work: work.clone(),
        })?;
        let prepare = || writing.prepare(&change);
        let beside = Beside::of(&prepare);
        let dropped = self.drop_data(&writing, &points, beside);
        let done = dropped.map_err(Merged::Untouched);
        match done.and_then(|()| writing.merge(&work.merges, beside)) {
            Ok(()) => writing.finish(writing.commit_and_tidy(&plan, &change, &leftovers)),
            Err(Merged::Partly(cause)) => writing.finish(Err(cause)),
            Err(Merged::Untouched(cause)) => match count_data(&*self.data, &points) {
                Ok(now) if now == places => writing.give_up(&points).and(Err(cause)),
                _ => writing.finish(Err(cause)),
            },
        }
    }

    /// What deleting would do.
    pub(super) fn deletion(
        &self,
        name: &str,
        flags: DeleteFlags,
        refusals: &mut Refusals,
    ) -> Result<Deletion> {
        refusals.check(self.check_name(name))?;
        let plan = self.tree()?.plan_delete(name, flags.deletion())?;
        if flags.has(DeleteFlags::METADATA_ONLY) {
            return Ok(Deletion {
                plan,
                ..Deletion::default()
            });
        }
        refusals.check(self.check_nobody_writes(refusals.patience()))?;
        let points = refusals.check(dropped_points(&plan))?.unwrap_or_default();
        let mut places = 0;
        for point in &points {
            let count = refusals.check(self.data.count(&point.borrow(None)))?;
            places += count.unwrap_or_default();
        }
        let work = self.collected(&plan, refusals)?;
        refusals.check(self.data.check_merge(&work.merges))?;
        // Of what is nowhere nothing is touched.
        if places > 0 || !work.merges.is_empty() {
            for point in &points {
                refusals.check(self.data.check_delete(&point.borrow(None)))?;
            }
        }
        let definition = self.host.definition()?;
        let (plan, definition) = rewritten(&*self.tree()?, plan, &work, &definition)?;
        Ok(Deletion {
            plan,
            points,
            places,
            work,
            definition,
        })
    }

    fn drop_data(
        &self,
        writing: &Writing<'_>,
        points: &[OwnedPoint],
        beside: Beside<'_>,
    ) -> Result<()> {
        let with_work = |point| Point {
            beside,
            ..writing.point(point)
        };
        points
            .iter()
            .try_for_each(|point| self.data.delete(&with_work(point)))
    }

    /// What becomes of image files when the snapshots of a plan are no more.
    pub(super) fn collected(&self, plan: &Plan, refusals: &mut Refusals) -> Result<Collected> {
        if self.has_own_data() || !self.tree()?.may_have_files() {
            return Ok(Collected::default());
        }
        let snapshots = self.everything()?;
        let mut files = self.useless_copies(&snapshots, plan)?;
        if !has_layers(&snapshots) {
            return Ok(Collected {
                removals: files,
                ..Collected::default()
            });
        }
        files.extend(memory_files(&snapshots, plan));
        // A snapshot that cannot be read may need any image.
        refusals.check(self.check_whole())?;
        let definition = self.host.definition()?;
        let survey = Survey::of(snapshots, &definition, refusals)?;
        let gone = plan.gone();
        let dropped = dropped_entries(&survey, &gone);
        let active = sources(&definition)?;
        let everybody = || {
            let all = survey.snapshots.iter();
            all.map(|each| (&*each.snapshot, each.disks.as_slice()))
        };
        let staying = everybody().filter(|(snapshot, _)| !gone.contains(&*snapshot.name));
        let before = Roles::of(&survey, everybody(), &active);
        let after = Roles::of(&survey, staying, &active);
        let roles = Roles {
            made: before.made,
            own: before.own,
            ..after.clone()
        };
        let foreign = self.foreign_files()?;
        let collector = Collector::new(&survey.layers, roles, &foreign, &dropped);
        let mut collected = collector.run(Effort::Merge, &after);
        collected.removals.extend(files);
        Ok(collected)
    }
}

/// How many places hold internal data of these snapshots.
pub(super) fn count_data(data: &dyn Data, points: &[OwnedPoint]) -> Result<usize> {
    let mut count = 0;
    for point in points {
        count += data.count(&point.borrow(None))?;
    }
    Ok(count)
}

/// The files of the memory of snapshots that go. What another snapshot names, or what does not look
/// like memory, is somebody else's.
fn memory_files(snapshots: &[Arc<Snapshot>], plan: &Plan) -> Vec<PathBuf> {
    let gone = plan.gone();
    let stays = |snapshot: &&Arc<Snapshot>| !gone.contains(&*snapshot.name);
    let kept: HashSet<&str> = snapshots
        .iter()
        .filter(stays)
        .filter_map(|snapshot| memory_file(snapshot))
        .collect();
    let dropped = plan
        .drop
        .iter()
        .filter_map(|snapshot| memory_file(snapshot));
    dropped
        .filter(|file| !kept.contains(file))
        .map(PathBuf::from)
        .filter(|file| is_memory_file(file))
        .collect()
}

fn memory_file(snapshot: &Snapshot) -> Option<&str> {
    match &snapshot.memory {
        Some(Memory::External { file }) => Some(file),
        _ => None,
    }
}

/// The internal snapshots that go, by file.
fn dropped_entries(survey: &Survey, gone: &HashSet<&str>) -> BTreeMap<FileId, HashSet<Box<[u8]>>> {
    let mut dropped: BTreeMap<FileId, HashSet<Box<[u8]>>> = BTreeMap::new();
    for surveyed in &survey.snapshots {
        let name = &surveyed.snapshot.name;
        if !gone.contains(&**name) {
            continue;
        }
        for disk in &surveyed.disks {
            if disk.mode == DiskMode::Internal
                && let Some(file) = survey.file(&disk.base)
            {
                dropped
                    .entry(file)
                    .or_default()
                    .insert(name.as_bytes().into());
            }
        }
    }
    dropped
}

/// The plan and the definition with all images where they are once the work is done. Depends on
/// nothing but its arguments: a crash in between changes nothing.
pub(super) fn rewritten(
    tree: &Tree,
    mut plan: Plan,
    work: &Collected,
    definition: &str,
) -> Result<(Plan, Option<String>)> {
    records::apply(tree, &mut plan, work)?;
    let moved = work.moves.definition(definition)?;
    Ok((plan, (moved != definition).then_some(moved)))
}

/// The data of the snapshots that go, children before their parents.
pub(super) fn dropped_points(plan: &Plan) -> Result<Vec<OwnedPoint>> {
    let dropped = plan.drop.iter();
    dropped
        .map(|snapshot| OwnedPoint::to_delete(snapshot))
        .collect()
}
