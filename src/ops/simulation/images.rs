//! Two images in memory. Each change of one is a call that can fail, or be the last one.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::data::{Beside, Data, Merge, Merged, Point, Restore};
use crate::error::{Error, Result};
use crate::ops::domain::Domain;
use crate::store::disk::Disk;

/// What an image holds. A write to it is durable at once: that is the data room's promise.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub names: BTreeSet<String>,
    pub applied: Option<String>,
}

/// The images of the domain, as one process sees them.
pub(super) struct Images {
    pub disk: Disk,
    pub contents: Arc<Mutex<[Content; 2]>>,
}

thread_local! {
    /// The domain that works on them: a history is all in one thread.
    static WORKER: RefCell<Weak<Domain>> = const { RefCell::new(Weak::new()) };
}

/// The domain that works on the images from now on.
pub(super) fn worked_on_by(domain: &Arc<Domain>) {
    WORKER.set(Arc::downgrade(domain));
}

impl Images {
    fn change(&self, number: usize, change: impl FnOnce(&mut Content)) -> Result<()> {
        // Work takes long, and calls the program's functions: whoever waits to write to the tree would
        // keep them, and all readers, out.
        let worker = WORKER.with_borrow(Weak::upgrade);
        let is_let_go = worker.is_none_or(|domain| domain.is_let_go());
        assert!(is_let_go, "the tree is held while images are worked on");
        self.disk.call()?;
        change(&mut self.contents.lock()[number]);
        Ok(())
    }

    fn holds(&self, name: &str) -> Vec<usize> {
        let contents = self.contents.lock();
        (0..2)
            .filter(|number| contents[*number].names.contains(name))
            .collect()
    }

    /// Undoes what can be undone of a change that stopped at image `failed`.
    fn undo(&self, failed: usize, before: &[Content; 2], cause: Error) -> Error {
        for (number, before) in before.iter().enumerate().take(failed) {
            let back = self.change(number, |content| content.clone_from(before));
            if let Err(error) = back {
                return cause.with_failed_undo(&error);
            }
        }
        cause
    }
}

impl Data for Images {
    fn check_create(&self, point: &Point<'_>) -> Result<()> {
        let images = point.internal_images()?;
        match (self.holds(point.name).len(), images.first()) {
            (count @ 1.., Some(image)) => Err(Error::ImageHoldsName {
                snapshot: point.name.to_owned(),
                disk: image.disk.clone(),
                image: image.path.clone(),
                count,
            }),
            _ => Ok(()),
        }
    }

    fn create(&self, point: &Point<'_>, _flags: u32) -> Result<()> {
        self.check_create(point)?;
        let before = self.contents.lock().clone();
        for number in 0..point.disks.len() {
            self.change(number, |content| {
                content.names.insert(point.name.to_owned());
            })
            .map_err(|cause| self.undo(number, &before, cause))?;
            // The programs on the other images are still at work.
            point.beside.work();
        }
        Ok(())
    }

    fn take_back(&self, point: &Point<'_>) -> Result<()> {
        self.delete(point)
    }

    fn check_revert(&self, point: &Point<'_>, _restores: &[Restore]) -> Result<()> {
        if self.holds(point.name).len() < point.disks.len() {
            return Err(Error::ImageLacksSnapshot {
                snapshot: point.name.to_owned(),
                disk: String::new(),
                image: "/image".into(),
            });
        }
        Ok(())
    }

    fn revert(&self, point: &Point<'_>, restores: &[Restore], _flags: u32) -> Result<()> {
        self.check_revert(point, restores)?;
        let before = self.contents.lock().clone();
        for number in 0..point.disks.len() {
            self.change(number, |content| {
                content.applied = Some(point.name.to_owned());
            })
            .map_err(|cause| self.undo(number, &before, cause))?;
        }
        Ok(())
    }

    fn delete(&self, point: &Point<'_>) -> Result<()> {
        for number in self.holds(point.name) {
            self.change(number, |content| {
                content.names.remove(point.name);
            })?;
            point.beside.work();
        }
        Ok(())
    }

    fn merge(
        &self,
        steps: &[Merge],
        _lock: Option<BorrowedFd<'_>>,
        _beside: Beside<'_>,
    ) -> std::result::Result<(), Merged> {
        assert_eq!(steps, [], "no snapshot is external");
        Ok(())
    }

    fn remove(&self, files: &[PathBuf]) -> Result<()> {
        assert_eq!(files, [] as [PathBuf; 0], "no snapshot is external");
        Ok(())
    }

    fn count(&self, point: &Point<'_>) -> Result<usize> {
        Ok(self.holds(point.name).len())
    }
}
