//! Deletes snapshots, with their data, of a guest that is off.

use std::os::fd::BorrowedFd;

use super::{paths, writable};
use crate::data::{Beside, Data, Executor, Hold, Merge, Merged};
use crate::error::{Error, Result};
use crate::ops::change::Writing;
use crate::ops::collect::Collected;
use crate::ops::companion::settle::Settled;
use crate::ops::delete::{count_data, dropped_points, rewritten};
use crate::ops::domain::Domain;
use crate::ops::flags::DeleteFlags;
use crate::ops::intent::{Intent, Leftovers, Worker};
use crate::ops::point::OwnedPoint;
use crate::ops::refusals::Refusals;
use crate::store::Lock;
use crate::tree::{Plan, Tree};

impl Domain {
    /// Deletes what a plan drops.
    pub(in crate::ops::companion) fn delete_offline(
        &self,
        executor: &dyn Executor,
        images: &dyn Data,
        writing: &Writing<'_>,
        (name, flags): (&str, DeleteFlags),
        plan: Plan,
    ) -> Result<()> {
        let points = dropped_points(&plan)?;
        let before = count_data(images, &points)?;
        let work = self.collected(&plan, &mut Refusals::First)?;
        let (plan, moved) = rewritten(&*self.tree()?, plan, &work, &self.host.definition()?)?;
        if moved.is_some() {
            self.check_no_managed_save(executor)?;
        }
        let leftovers = Leftovers::files(&work.removals);
        let change = writing.change_with(&plan, None, &leftovers)?;
        if before == 0 && work.merges.is_empty() {
            // No image is touched before the change is made.
            return writing.commit_and_tidy(&plan, &change, &leftovers);
        }
        writing.intend(&Intent::Delete {
            worker: Worker::Library,
            name: name.to_owned(),
            deletion: flags.deletion(),
            work: work.clone(),
        })?;
        let lock = writing.descriptor();
        match self.bring_together(executor, images, &points, &work, lock) {
            Ok(hold) => {
                let done = writing.commit_and_tidy(&plan, &change, &leftovers);
                drop(hold);
                writing.finish(done)
            }
            Err(Merged::Partly(cause)) => writing.finish(Err(cause)),
            Err(Merged::Untouched(cause)) => match count_data(images, &points) {
                Ok(now) if now == before => writing.give_up(&points).and(Err(cause)),
                _ => writing.finish(Err(cause)),
            },
        }
    }

    /// Memory that libvirt keeps for the next start belongs to the images as they are named now.
    fn check_no_managed_save(&self, executor: &dyn Executor) -> Result<()> {
        if !executor.has_managed_save()? {
            return Ok(());
        }
        Err(Error::GuestState {
            detail: format!(
                "domain '{}' has a managed save image, which needs the images that it was saved with",
                self.name()
            ),
        })
    }
}

impl Domain {
    /// Drops internal data, merges, and gives libvirt the definition that follows from it. The answer
    /// keeps the guest from the images until the change is committed. May be done again after any
    /// failure, also if the guest has run since.
    fn bring_together(
        &self,
        executor: &dyn Executor,
        images: &dyn Data,
        points: &[OwnedPoint],
        work: &Collected,
        lock: Option<BorrowedFd<'_>>,
    ) -> std::result::Result<Hold, Merged> {
        let mut dropped = points.iter();
        dropped
            .try_for_each(|point| images.delete(&point.borrow(lock)))
            .map_err(Merged::Untouched)?;
        let definition = self.host.definition().map_err(Merged::Untouched)?;
        if is_switched(&definition, &work.merges).map_err(Merged::Untouched)? {
            // The guest may have written to the lower images since: the upper ones are stale.
            self.check_running(executor, &paths(&definition).map_err(Merged::Partly)?)
                .map_err(Merged::Partly)?;
            return Ok(Hold::default());
        }
        self.check_off().map_err(Merged::Untouched)?;
        let hold = self.merge_held(images, &definition, &work.merges, lock)?;
        let moved = work.moves.definition(&definition);
        let switched = moved.and_then(|moved| match moved == *definition {
            true => Ok(()),
            false => self.switch(executor, &moved),
        });
        switched.map(|()| hold).map_err(Merged::Partly)
    }

    /// Merges, and takes hold of the guest's images before anybody writes to them who did not find them
    /// merged.
    fn merge_held(
        &self,
        images: &dyn Data,
        definition: &str,
        merges: &[Merge],
        lock: Option<BorrowedFd<'_>>,
    ) -> std::result::Result<Hold, Merged> {
        let guests = writable(definition).map_err(Merged::Untouched)?;
        // `qemu-img` writes to some of them itself, and keeps others away meanwhile.
        let before = Hold::take(&guests).map_err(Merged::Untouched)?.release();
        images.merge(merges, lock, Beside::default())?;
        let hold = Hold::take(&guests).map_err(Merged::Partly)?;
        if *hold.stamps() != before {
            images.check_merged(merges, lock)?;
        }
        Ok(hold)
    }
}

/// Whether the definition names an image that was to be merged into. It is given to libvirt when all
/// merges are done; until then nobody shows such an image.
fn is_switched(definition: &str, merges: &[Merge]) -> Result<bool> {
    let named = paths(definition)?;
    Ok(merges.iter().any(|step| match step {
        Merge::Commit { base, .. } => named.values().any(|path| *path == base.path),
        Merge::Relink { .. } => false,
    }))
}

/// Finishes a deletion that was cut off.
pub(super) fn settled(
    domain: &Domain,
    executor: &dyn Executor,
    images: &dyn Data,
    (tree, plan): (&Tree, Plan),
    work: &Collected,
    lock: &dyn Lock,
) -> Result<Settled> {
    let points = dropped_points(&plan)?;
    let merged = domain.bring_together(executor, images, &points, work, lock.descriptor());
    merged.map_err(Merged::cause)?;
    for point in &points {
        // Only space is at stake.
        let _ = images.tidy(&point.borrow(lock.descriptor()));
    }
    let (plan, _) = rewritten(tree, plan, work, &domain.host.definition()?)?;
    Ok(Settled {
        plan,
        leftovers: Leftovers::files(&work.removals),
    })
}
