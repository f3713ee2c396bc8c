//! Snapshots of shut-off images, made by `qemu-img` and verified in the images.
//!
//! No outcome is taken from the program's exit status alone: the image's own table, and for
//! content its L1 tables, say what was done. Which step means what is in `step`; here is how steps
//! on several images become one operation that is done or not done.
//!
//! A snapshot whose name begins with a dot cannot be one of a domain, so [`Data::revert`] keeps the
//! images' former content under such a name while it works. The other operations neither see nor
//! touch it; the next revert makes use of it or drops it.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::progress::{Progress, Unwatched};
use super::{BEFORE, Beside, Data, Image, Merge, Merged, Point, Restore, firmware};
use crate::error::{Error, Result};
use crate::limits;

#[cfg(test)]
mod beside_tests;
mod merge;
mod overlay;
mod program;
mod revert;
mod step;
#[cfg(test)]
mod stop_tests;
mod target;
#[cfg(test)]
mod tests;
mod whole;

use overlay::Copies;
use step::{Attempt, Step};
use target::{Target, only};

/// Runs `qemu-img`.
pub struct QemuImg {
    program: PathBuf,
    /// Who watches what takes long.
    watch: Arc<dyn Progress>,
}

impl QemuImg {
    /// Uses the program of that name or path.
    pub fn new(program: impl Into<PathBuf>) -> QemuImg {
        QemuImg {
            program: program.into(),
            watch: Arc::new(Unwatched),
        }
    }

    fn work<'a>(&'a self, lock: Option<BorrowedFd<'a>>) -> Work<'a> {
        Work {
            program: &self.program,
            lock,
            watch: &*self.watch,
            beside: Beside::default(),
        }
    }

    /// On that snapshot, with what the caller does beside it.
    fn work_on<'a>(&'a self, point: &Point<'a>) -> Work<'a> {
        Work {
            beside: point.beside,
            ..self.work(point.lock)
        }
    }
}

/// One operation.
#[derive(Clone, Copy)]
struct Work<'a> {
    program: &'a Path,
    /// What the program inherits.
    lock: Option<BorrowedFd<'a>>,
    /// Who watches what takes long.
    watch: &'a dyn Progress,
    /// What the caller does while they work.
    beside: Beside<'a>,
}

impl Work<'_> {
    fn take(&self, step: Step<'_>, targets: &[&Target<'_>]) -> Vec<Attempt> {
        step::take(self, step, targets, Beside::default())
    }

    /// As [`Work::take`], with what the caller does beside it.
    fn take_beside(&self, step: Step<'_>, targets: &[&Target<'_>]) -> Vec<Attempt> {
        step::take(self, step, targets, self.beside)
    }

    /// Drops the snapshot wherever it is. Gives the images where that failed.
    fn drop_everywhere<'t, 'i>(
        &self,
        name: &str,
        targets: &[&'t Target<'i>],
    ) -> Vec<(&'t Target<'i>, String)> {
        failures(targets, self.take(Step::Drop(name), targets))
    }

    /// Drops what can still be dropped, and says precisely what could not.
    fn finish_dropping(&self, name: &str, targets: &[&Target<'_>]) -> Result<()> {
        let failed = self.drop_everywhere(name, targets);
        let again: Vec<&Target<'_>> = failed.iter().map(|(target, _)| *target).collect();
        let failed = self.drop_everywhere(name, &again);
        let Some((target, reason)) = failed.first() else {
            return Ok(());
        };
        let remaining: Vec<&str> = failed
            .iter()
            .map(|(target, _)| target.image.disk.as_str())
            .collect();
        let reason = format!(
            "{reason}; what the other disks held is gone, data remains on {}: delete it again",
            remaining.join(", ")
        );
        Err(failure("delete", name, target, reason, Vec::new()))
    }
}

impl Data for QemuImg {
    fn watched(&self, watch: Arc<dyn Progress>) -> Option<Arc<dyn Data>> {
        let program = self.program.clone();
        Some(Arc::new(QemuImg { program, watch }))
    }

    fn check_create(&self, point: &Point<'_>) -> Result<()> {
        check_name(point.name)?;
        check_free(point.name, &target::open_all(&point.internal_images()?)?)?;
        firmware::check_capture(point)
    }

    fn create(&self, point: &Point<'_>, _flags: u32) -> Result<()> {
        let images = point.internal_images()?;
        let work = self.work_on(point);
        // New files first: until something else is done they can be taken back without a trace.
        firmware::capture(point)?;
        let captured = work
            .make_overlays(point)
            .and_then(|()| work.capture(point.name, &images));
        captured.map_err(|cause| match take_back_files(point) {
            Ok(()) => cause,
            Err(undo) => cause.with_failed_undo(&undo),
        })
    }

    fn take_back(&self, point: &Point<'_>) -> Result<()> {
        self.delete(point)?;
        take_back_files(point)
    }

    fn check_revert(&self, point: &Point<'_>, restores: &[Restore]) -> Result<()> {
        check_name(point.name)?;
        overlay::check_restored(point.name, restores)?;
        firmware::check_restore(point)?;
        let images = applied(point, restores)?;
        let targets = target::open_all(&images)?;
        let targets: Vec<&Target<'_>> = targets.iter().collect();
        revert::facts_of_holders(point.name, &targets).map(drop)
    }

    fn revert(&self, point: &Point<'_>, restores: &[Restore], _flags: u32) -> Result<()> {
        let images = applied(point, restores)?;
        let work = self.work(point.lock);
        firmware::stage(point)?;
        let made = work.make_restored(point.name, restores, Copies::OfDisks);
        let restored = made.and_then(|()| {
            let restored = work.restore(point.name, &images);
            restored.map_err(|cause| match self.discard(restores) {
                Ok(()) => cause,
                Err(undo) => cause.with_failed_undo(&undo),
            })
        });
        restored.inspect_err(|_| firmware::unstage(point))
    }

    fn replace_firmware(&self, point: &Point<'_>) -> Result<()> {
        firmware::replace(point)
    }

    fn check_load(&self, point: &Point<'_>, restores: &[Restore]) -> Result<()> {
        whole::check(point.name, restores)
    }

    fn prepare_load(&self, point: &Point<'_>, restores: &[Restore]) -> Result<()> {
        self.work(point.lock)
            .make_restored(point.name, restores, Copies::WithMemory)
    }

    fn go_back(&self, point: &Point<'_>, restores: &[Restore]) -> Result<()> {
        let images = applied(point, restores)?;
        let targets = target::open_all(&images)?;
        let targets: Vec<&Target<'_>> = targets.iter().collect();
        self.work(point.lock).go_back(point.name, &targets)
    }

    fn discard(&self, restores: &[Restore]) -> Result<()> {
        restores.iter().try_for_each(overlay::check_unused)?;
        overlay::discard(restores)
    }

    fn check_delete(&self, point: &Point<'_>) -> Result<()> {
        check_name(point.name)?;
        let images = point.internal_images()?;
        holders(point.name, &target::open_all(&images)?).map(drop)
    }

    fn delete(&self, point: &Point<'_>) -> Result<()> {
        self.work_on(point)
            .drop_data(point.name, &point.internal_images()?)
    }

    fn check_merge(&self, steps: &[Merge]) -> Result<()> {
        merge::check(steps)
    }

    fn merge(
        &self,
        steps: &[Merge],
        lock: Option<BorrowedFd<'_>>,
        beside: Beside<'_>,
    ) -> std::result::Result<(), Merged> {
        let work = self.work(lock);
        Work { beside, ..work }.merge_all(steps)
    }

    fn check_merged(
        &self,
        steps: &[Merge],
        lock: Option<BorrowedFd<'_>>,
    ) -> std::result::Result<(), Merged> {
        self.work(lock).check_merged(steps)
    }

    fn has_begun_to_revert(&self, point: &Point<'_>, restores: &[Restore]) -> Result<bool> {
        let images = applied(point, restores)?;
        let targets = target::open_all(&images)?;
        let targets: Vec<&Target<'_>> = targets.iter().collect();
        revert::has_begun(point.name, &targets)
    }

    fn remove(&self, files: &[PathBuf]) -> Result<()> {
        files.iter().try_for_each(|file| overlay::remove(file))
    }

    fn keeps_former(&self, point: &Point<'_>, restores: &[Restore]) -> bool {
        let left = applied(point, restores).and_then(|images| count(BEFORE, &images));
        left.map_or(true, |count| count > 0)
    }

    fn tidy(&self, point: &Point<'_>) -> Result<()> {
        let work = self.work(point.lock);
        for target in &target::open_all(&point.internal_images()?)? {
            if let Some((target, reason)) = work.drop_everywhere(BEFORE, &[target]).pop() {
                return Err(target.unusable(reason));
            }
            step::give_back(&work, target)
                .and_then(|()| step::check_given_back(&work, target))
                .map_err(|reason| target.unusable(reason))?;
        }
        Ok(())
    }

    fn count(&self, point: &Point<'_>) -> Result<usize> {
        count(point.name, &point.internal_images()?)
    }
}

/// Takes back the new files of a snapshot that was not finished.
fn take_back_files(point: &Point<'_>) -> Result<()> {
    overlay::take_back(point)?;
    firmware::take_back(point)
}

/// The images in which a revert makes the snapshot what they show.
fn applied(point: &Point<'_>, restores: &[Restore]) -> Result<Vec<Image>> {
    let mut images = point.internal_images()?;
    images.retain(|image| {
        let is_this =
            |restore: &Restore| matches!(restore, Restore::Apply { disk } if *disk == image.disk);
        restores.iter().any(is_this)
    });
    Ok(images)
}

impl Work<'_> {
    fn capture(&self, name: &str, images: &[Image]) -> Result<()> {
        check_name(name)?;
        let targets = target::open_all(images)?;
        check_free(name, &targets)?;
        let targets: Vec<&Target<'_>> = targets.iter().collect();
        let failed = failures(&targets, self.take_beside(Step::Capture(name), &targets));
        let Some((target, reason)) = failed.into_iter().next() else {
            return Ok(());
        };
        let undo = undo_notes(&self.drop_everywhere(name, &targets));
        Err(failure("create", name, target, reason, undo))
    }

    fn restore(&self, name: &str, images: &[Image]) -> Result<()> {
        if images.is_empty() {
            return Ok(());
        }
        check_name(name)?;
        let targets = target::open_all(images)?;
        let targets: Vec<&Target<'_>> = targets.iter().collect();
        self.revert_targets(name, &targets)
    }

    fn drop_data(&self, name: &str, images: &[Image]) -> Result<()> {
        check_name(name)?;
        let targets = target::open_all(images)?;
        let holders = holders(name, &targets)?;
        let Some((first, rest)) = holders.split_first() else {
            return Ok(());
        };
        // What the first image gives up cannot be brought back. Until then all is as before.
        let first = [*first];
        let failed = failures(&first, self.take_beside(Step::Drop(name), &first));
        if let Some((target, reason)) = failed.into_iter().next() {
            return Err(failure("delete", name, target, reason, Vec::new()));
        }
        self.finish_dropping(name, rest)
    }
}

/// The images that hold a snapshot of that name, if it can be dropped from all of them.
fn holders<'t, 'i>(name: &str, targets: &'t [Target<'i>]) -> Result<Vec<&'t Target<'i>>> {
    let mut holders = Vec::new();
    for target in targets {
        let facts = target.writable_facts()?;
        if facts.named(name).next().is_some() {
            check_holds_once("delete", name, target, &facts)?;
            holders.push(target);
        }
    }
    Ok(holders)
}

/// How many of the images hold that name.
fn count(name: &str, images: &[Image]) -> Result<usize> {
    let mut count = 0;
    for image in images {
        let facts = Target::open(image)?.facts()?;
        count += usize::from(facts.named(name).next().is_some());
    }
    Ok(count)
}

/// Refuses what `qemu-img` could not keep as it is.
fn check_name(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "must not be empty"
    } else if name.len() > limits::SNAPSHOT_NAME_BYTES {
        // QEMU itself cuts at 255 bytes, without a word.
        "is too long"
    } else if name.contains('\0') {
        "must not contain NUL"
    } else if name == BEFORE {
        "is what a revert uses itself"
    } else {
        return Ok(());
    };
    Err(Error::SnapshotName {
        name: name.to_owned(),
        reason,
    })
}

/// Refuses a name that an image holds already, and images that cannot take a snapshot.
fn check_free(name: &str, targets: &[Target<'_>]) -> Result<()> {
    targets
        .iter()
        .try_for_each(|target| target.image.check_free(name, &target.writable_facts()?))
}

/// Refuses to work with an image that lacks the snapshot, or in which the name is ambiguous.
fn check_holds_once(
    action: &'static str,
    name: &str,
    target: &Target<'_>,
    facts: &super::qcow2::Facts,
) -> Result<()> {
    if only(facts, name).is_some() {
        return Ok(());
    }
    match facts.named(name).count() {
        0 => Err(target.image.lacks(name)),
        count => {
            let reason = format!("the image holds {count} snapshots of that name");
            Err(failure(action, name, target, reason, Vec::new()))
        }
    }
}

/// The images on which a step was not done, and why.
fn failures<'t, 'i>(
    targets: &[&'t Target<'i>],
    attempts: Vec<Attempt>,
) -> Vec<(&'t Target<'i>, String)> {
    let pairs = targets.iter().zip(attempts);
    pairs
        .filter_map(|(target, attempt)| Some((*target, attempt.err()?)))
        .collect()
}

fn undo_notes(failed: &[(&Target<'_>, String)]) -> Vec<String> {
    failed
        .iter()
        .map(|(target, reason)| format!("disk '{}': {reason}", target.image.disk))
        .collect()
}

fn failure(
    action: &'static str,
    name: &str,
    target: &Target<'_>,
    reason: String,
    undo: Vec<String>,
) -> Error {
    Error::ImageOperation {
        action,
        snapshot: name.to_owned(),
        disk: target.image.disk.clone(),
        image: target.image.path.clone(),
        reason,
        undo,
    }
}
