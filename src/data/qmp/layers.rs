//! Layers brought together while a guest runs: its own by its block jobs, others by whoever works
//! on images that nobody has open.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::nodes::{self, Node};
use super::{Commands, Status, end_orphans, merge};
use crate::data::chain;
use crate::data::check::names_base;
use crate::data::progress::Progress;
use crate::data::{Layer, Merge, Merged};
use crate::error::{Error, Result};

/// Whose two images of a step are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// The guest has both open. That image of a drive stands on them, or is the upper one.
    Guest(PathBuf),
    /// The guest has neither.
    Nobody,
    /// The guest has the lower one alone: it has merged them already.
    Done,
}

/// Whether the guest can take its part of the steps. Nothing is touched.
pub fn check(monitor: &dyn Commands, steps: &[Merge]) -> Result<()> {
    for step in steps {
        if let Merge::Commit { top, base, .. } = step
            && matches!(who(monitor, top, base)?, Who::Guest(_))
        {
            // It would abort QEMU.
            Status::of(monitor)?.check_has_images()?;
        }
    }
    Ok(())
}

/// Takes the steps in their order. `elsewhere` takes those of images that the guest has not open.
pub fn merge(
    monitor: &dyn Commands,
    steps: &[Merge],
    progress: &dyn Progress,
    elsewhere: impl Fn(&Merge) -> std::result::Result<(), Merged>,
) -> std::result::Result<(), Merged> {
    for (taken, step) in steps.iter().enumerate() {
        let done = match is_of_guest(monitor, step) {
            Ok(true) => in_guest(monitor, step, progress),
            Ok(false) => elsewhere(step),
            Err(cause) => Err(Merged::Untouched(cause)),
        };
        done.map_err(|failure| match (taken, failure) {
            (0, failure) => failure,
            (_, failure) => Merged::Partly(failure.cause()),
        })?;
    }
    Ok(())
}

/// Lets the guest close images that are about to be removed. Those above must go first, and the
/// caller does not know which they are.
pub fn forget(monitor: &dyn Commands, images: &[PathBuf]) -> Result<()> {
    let mut left: Vec<&PathBuf> = images.iter().collect();
    loop {
        let before = left.len();
        let mut failure = None;
        left.retain(|image| match merge::forget(monitor, image) {
            Ok(()) => false,
            Err(cause) => {
                failure = Some(cause);
                true
            }
        });
        match failure {
            None => return Ok(()),
            Some(cause) if left.len() == before => return Err(cause),
            Some(_) => {}
        }
    }
}

fn is_of_guest(monitor: &dyn Commands, step: &Merge) -> Result<bool> {
    match step {
        Merge::Commit { top, base, .. } => Ok(who(monitor, top, base)? != Who::Nobody),
        Merge::Relink { image, .. } => {
            Ok(nodes::any(&nodes::images(monitor)?, &image.path).is_ok())
        }
    }
}

/// An image that was merged may be open still, with nobody above it.
fn who(monitor: &dyn Commands, top: &Layer, base: &Layer) -> Result<Who> {
    let known = nodes::images(monitor)?;
    let is_open = |layer: &Layer| nodes::any(&known, &layer.path).is_ok();
    match (is_open(top), is_open(base)) {
        (true, true) => Ok(root_of(monitor, &known, top)?.map_or(Who::Done, Who::Guest)),
        (false, true) => Ok(Who::Done),
        (false, false) => Ok(Who::Nobody),
        (true, false) => Err(Error::ImageNotInGuest {
            image: base.path.clone(),
        }),
    }
}

/// A block job that fails or is cancelled leaves the guest's chain as it was, but what it has
/// written to the lower image may be another snapshot's than before.
fn in_guest(
    monitor: &dyn Commands,
    step: &Merge,
    progress: &dyn Progress,
) -> std::result::Result<(), Merged> {
    match step {
        Merge::Commit { top, base, .. } => {
            let before = stamp(&base.path);
            commit(monitor, top, base, progress).map_err(|cause| {
                // In a guest that does not answer the job may go on.
                let is_over = end_orphans(monitor).is_ok();
                if is_over && before.is_some() && before == stamp(&base.path) {
                    Merged::Untouched(cause)
                } else {
                    Merged::Partly(cause)
                }
            })
        }
        Merge::Relink {
            disk,
            image,
            backing,
        } => check_link(disk, image, backing).map_err(Merged::Untouched),
    }
}

/// What changes whenever somebody writes to a file.
fn stamp(path: &Path) -> Option<(i64, i64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.len()))
}

fn commit(
    monitor: &dyn Commands,
    top: &Layer,
    base: &Layer,
    progress: &dyn Progress,
) -> Result<()> {
    match who(monitor, top, base)? {
        Who::Guest(root) => merge::commit(monitor, &root, &top.path, &base.path, progress),
        Who::Nobody | Who::Done => merge::forget(monitor, &top.path),
    }
}

/// The image of the drive that stands on another image, or is it.
fn root_of(monitor: &dyn Commands, known: &[Node], image: &Layer) -> Result<Option<PathBuf>> {
    let Ok(wanted) = chain::open(image) else {
        return Ok(None);
    };
    Ok(nodes::roots(monitor)?.into_iter().find(|root| {
        let active = Layer {
            path: root.clone(),
            format: nodes::any(known, root).ok().map(|node| node.driver.clone()),
        };
        chain::resolve(&active)
            .is_ok_and(|links| links.iter().any(|link| link.identity == wanted.identity))
    }))
}

/// The guest has written the new name itself when it merged what was below.
fn check_link(disk: &str, image: &Layer, backing: &Layer) -> Result<()> {
    let below = chain::open(backing).map_err(|cause| failed(disk, backing, cause.to_string()))?;
    let link = chain::open(image).map_err(|cause| failed(disk, image, cause.to_string()))?;
    names_base(&link, &below).map_err(|found| failed(disk, image, found))
}

fn failed(disk: &str, image: &Layer, reason: String) -> Error {
    Error::MergeFailed {
        disk: disk.to_owned(),
        image: image.path.clone(),
        reason,
    }
}
