//! Reverts a guest that is off.

use std::path::PathBuf;
use std::sync::Arc;

use super::{paths, writable};
use crate::data::{Data, Executor, Hold, Restore, Start};
use crate::error::{Error, Result};
use crate::ops::change::Writing;
use crate::ops::collect::Collected;
use crate::ops::companion::settle::Settled;
use crate::ops::domain::Domain;
use crate::ops::flags::RevertFlags;
use crate::ops::intent::{Intent, Leftovers, Worker};
use crate::ops::point::OwnedPoint;
use crate::ops::refusals::Refusals;
use crate::ops::revert::{Prepared, rewritten};
use crate::snapshot::Snapshot;
use crate::store::Lock;
use crate::tree::Tree;
use crate::xml;

impl Domain {
    /// Reverts to a snapshot without memory.
    pub(in crate::ops::companion) fn revert_offline(
        &self,
        executor: &dyn Executor,
        images: &dyn Data,
        writing: &Writing<'_>,
        snapshot: &Arc<Snapshot>,
        flags: RevertFlags,
    ) -> Result<()> {
        check_managed_save(executor, flags)?;
        let kept = self.kept_inactive(snapshot)?;
        let Prepared {
            definition,
            restores,
            work,
        } = self.prepared_revert(snapshot, &kept, &mut Refusals::First)?;
        let name = &snapshot.name;
        let plan = rewritten(&*self.tree()?, name, &restores, &work)?;
        let point = OwnedPoint::of(snapshot)?;
        let mut leftovers = Leftovers::files(&work.removals);
        let mut change = writing.change_with(&plan, None, &leftovers)?;
        images.check_revert(&writing.point(&point), &restores)?;
        let before = self.host.definition()?;
        let guests = writable(&before)?;
        let left = Hold::take(&without_applied(&guests, &restores))?;
        writing.intend(&Intent::Revert {
            worker: Worker::Library,
            name: name.to_string(),
            flags: flags.bits(),
            definition: definition.clone(),
            restores: restores.clone(),
            work: work.clone(),
        })?;
        if let Err(cause) = images.revert(&writing.point(&point), &restores, flags.bits()) {
            return writing.end_failed_revert(point, &restores, cause);
        }
        writing.tidy_after_revert(&point, &restores, &mut change, &mut leftovers);
        let is_new = |restore: &Restore| restore.new_file().is_some();
        let can_be_undone = !restores.is_empty() && restores.iter().all(is_new);
        let switched = Hold::take(&guests).and_then(|_all| self.switch(executor, &definition));
        // From here on a guest that is started has the new images.
        drop(left);
        let committed = match switched {
            Ok(()) => writing
                .commit_and_tidy(&plan, &change, &leftovers)
                .map_err(|cause| match can_be_undone {
                    true => self.switch_back(executor, &before, cause),
                    false => cause,
                }),
            failed => failed,
        };
        match committed {
            Err(cause) if can_be_undone && matches!(self.has_images_of(&before), Ok(true)) => {
                writing.end_failed_revert(point, &restores, cause)
            }
            done => writing.finish(done),
        }?;
        start(executor, flags)
    }

    /// Gives libvirt the old definition again, unless the guest runs with the new one already.
    fn switch_back(&self, executor: &dyn Executor, before: &str, cause: Error) -> Error {
        match self.switch(executor, before) {
            Ok(()) => cause,
            Err(undo) => cause.with_failed_undo(&undo),
        }
    }

    /// Refuses to have libvirt make an internal snapshot the guest's on whose image others stand: what
    /// they show would change (docs/differences.md, D13).
    pub(in crate::ops::companion) fn check_alone(
        &self,
        executor: &dyn Executor,
        snapshot: &Arc<Snapshot>,
    ) -> Result<()> {
        if snapshot.is_external() || self.layered_images(executor)?.is_none() {
            return Ok(());
        }
        let kept = self.kept_inactive(snapshot)?;
        let prepared = self.prepared_revert(snapshot, &kept, &mut Refusals::First)?;
        let stands_alone = |restore: &Restore| restore.new_file().is_none();
        if prepared.restores.iter().all(stands_alone) {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "revert of a guest that runs, or to memory, inside of an image that other \
                   snapshots stand on is",
        })
    }

    /// The definition that the snapshot kept for the next start of the guest, under the domain's
    /// present name.
    fn kept_inactive(&self, snapshot: &Snapshot) -> Result<String> {
        let kept = snapshot.inactive_domain.as_ref();
        let Some(kept) = kept.or(snapshot.domain.as_ref()) else {
            return Err(self.lacks_definition(snapshot));
        };
        let kept = xml::unnested(kept);
        xml::named_and_identified(&xml::as_definition(&kept), self.name(), self.uuid())
    }
}

/// As libvirt: memory that it keeps for the next start does not fit other disks.
fn check_managed_save(executor: &dyn Executor, flags: RevertFlags) -> Result<()> {
    if flags.has(RevertFlags::FORCE) || !executor.has_managed_save()? {
        return Ok(());
    }
    Err(Error::RevertRisky {
        detail: "snapshot without memory state, removal of existing managed saved state strongly \
                 recommended to avoid corruption"
            .to_owned(),
    })
}

/// The images to which a revert itself does not write.
fn without_applied(guests: &[(String, PathBuf)], restores: &[Restore]) -> Vec<(String, PathBuf)> {
    let is_applied = |disk: &str| {
        let mut all = restores.iter();
        all.any(|restore| matches!(restore, Restore::Apply { disk: applied } if applied == disk))
    };
    let left = guests.iter().filter(|(disk, _)| !is_applied(disk));
    left.cloned().collect()
}

/// Starts the guest if that is asked for.
fn start(executor: &dyn Executor, flags: RevertFlags) -> Result<()> {
    let is_paused = flags.has(RevertFlags::PAUSED);
    if !is_paused && !flags.has(RevertFlags::RUNNING) {
        return Ok(());
    }
    executor.start(Start {
        is_paused,
        resets_nvram: flags.has(RevertFlags::RESET_NVRAM),
    })
}

/// A revert that was cut off.
pub(super) struct CutOff<'a> {
    pub name: &'a str,
    pub definition: &'a str,
    pub restores: &'a [Restore],
    pub work: &'a Collected,
}

impl CutOff<'_> {
    /// Finishes it if libvirt has its definition already, or if internal data is the guest's again.
    /// Else it is undone: the guest may have run since.
    pub fn settled(
        &self,
        domain: &Domain,
        executor: &dyn Executor,
        images: &dyn Data,
        tree: &Tree,
        lock: &dyn Lock,
    ) -> Result<Settled> {
        let snapshot = tree.get(self.name)?;
        let point = OwnedPoint::of(snapshot)?;
        let point = point.borrow(lock.descriptor());
        if self.is_switched(&domain.host.definition()?)? {
            domain.check_running(executor, &paths(self.definition)?)?;
        } else if images.has_begun_to_revert(&point, self.restores)? {
            domain.check_off()?;
            images.discard(self.restores)?;
            images.revert(&point, self.restores, 0)?;
            domain.switch(executor, self.definition)?;
        } else {
            images.discard(self.restores)?;
            return Ok(Settled {
                plan: tree.plan_keep(),
                leftovers: Leftovers::default(),
            });
        }
        // Only space is at stake.
        let _ = images.tidy(&point);
        Ok(Settled {
            plan: rewritten(tree, self.name, self.restores, self.work)?,
            leftovers: Leftovers::files(&self.work.removals),
        })
    }

    /// Whether libvirt has the new images: nothing else has their names.
    fn is_switched(&self, definition: &str) -> Result<bool> {
        let named = paths(definition)?;
        let mut new = self.restores.iter().filter_map(Restore::new_file);
        Ok(new.any(|file| named.values().any(|path| path == file)))
    }
}
