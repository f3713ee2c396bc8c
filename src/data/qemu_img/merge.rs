//! Bringing layers together: `qemu-img commit` and `qemu-img rebase`, each proved in the images.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;

use super::Work;
use super::overlay::{Attempt, Failure, Watched};
use super::program::Ending;
use crate::data::chain::{self, QCOW2, RAW};
use crate::data::check::names_base;
use crate::data::hold::{stamp, write_refused};
use crate::data::{Layer, Merge, Merged};
use crate::error::{Error, Result};
use crate::limits;

impl Work<'_> {
    /// Takes the steps in their order. The answer tells, on failure, whether anything was touched.
    pub(super) fn merge_all(&self, steps: &[Merge]) -> std::result::Result<(), Merged> {
        for (taken, step) in steps.iter().enumerate() {
            let (disk, image, done) = match step {
                Merge::Commit { disk, top, base } => {
                    let before = stamp(&base.path);
                    let done = self.commit(top, base);
                    let untouched = taken == 0 && before.is_some() && before == stamp(&base.path);
                    (disk, base, done.map_err(|failure| (failure, untouched)))
                }
                Merge::Relink {
                    disk,
                    image,
                    backing,
                } => {
                    let done = self.relink(image, backing).map_err(Failure::from);
                    (disk, image, done.map_err(|failure| (failure, taken == 0)))
                }
            };
            if let Err((failure, untouched)) = done {
                let cause = failed(disk, image, failure);
                return Err(if untouched {
                    Merged::Untouched(cause)
                } else {
                    Merged::Partly(cause)
                });
            }
        }
        Ok(())
    }

    /// Compares what was written down with what it was written down from.
    pub(super) fn check_merged(&self, steps: &[Merge]) -> std::result::Result<(), Merged> {
        for step in steps {
            if let Merge::Commit { disk, top, base } = step {
                self.compare(top, base)
                    .map_err(|failure| Merged::Partly(failed(disk, base, failure)))?;
            }
        }
        Ok(())
    }

    /// Writes to `base` what `top` shows.
    fn commit(&self, top: &Layer, base: &Layer) -> Watched<()> {
        let arguments: [&OsStr; 7] = [
            "commit".as_ref(),
            "-p".as_ref(),
            "-f".as_ref(),
            format(top, QCOW2).as_ref(),
            "-b".as_ref(),
            base.path.as_ref(),
            top.path.as_ref(),
        ];
        let outcome = self.run_watched(size(top), &arguments)?;
        if !matches!(outcome.ending, Ending::Success | Ending::Unknown) {
            return Err(outcome.into());
        }
        self.compare(top, base)?;
        chain::open_file(&base.path)
            .map_err(|cause| cause.to_string())?
            .sync()
            .map_err(|error| format!("cannot be made durable: {error}").into())
    }

    /// Makes sure that two images show the same: one of them is about to be removed.
    fn compare(&self, one: &Layer, other: &Layer) -> Watched<()> {
        let bytes = size(one);
        self.report(0, bytes)?;
        if is_seen_to_be_the_same(one, other) == Some(true) {
            self.watch.report(bytes, bytes);
            return Ok(());
        }
        let arguments: [&OsStr; 8] = [
            "compare".as_ref(),
            "-p".as_ref(),
            "-f".as_ref(),
            format(one, QCOW2).as_ref(),
            "-F".as_ref(),
            format(other, RAW).as_ref(),
            one.path.as_ref(),
            other.path.as_ref(),
        ];
        let outcome = self.run_watched(bytes, &arguments)?;
        let is_same = outcome.output.contains("Images are identical.");
        match outcome.ending {
            Ending::Success | Ending::Unknown if is_same => Ok(()),
            Ending::Stopped => Err(Failure::Stopped),
            _ => Err(format!(
                "it does not show what '{}' shows: {}",
                one.path.display(),
                outcome.reason()
            )
            .into()),
        }
    }

    /// Makes an image name another backing file.
    fn relink(&self, image: &Layer, backing: &Layer) -> Attempt<()> {
        let below = chain::open(backing).map_err(|cause| cause.to_string())?;
        let is_done = |image: &Layer| -> Attempt<()> {
            let link = chain::open(image).map_err(|cause| cause.to_string())?;
            names_base(&link, &below)
        };
        if is_done(image).is_ok() {
            return Ok(());
        }
        let arguments: [&OsStr; 10] = [
            "rebase".as_ref(),
            "-u".as_ref(),
            "-q".as_ref(),
            "-f".as_ref(),
            format(image, QCOW2).as_ref(),
            "-F".as_ref(),
            below.format.as_ref(),
            "-b".as_ref(),
            backing.path.as_ref(),
            image.path.as_ref(),
        ];
        let outcome = self.run(&arguments)?;
        if !matches!(outcome.ending, Ending::Success | Ending::Unknown) {
            return Err(outcome.reason());
        }
        is_done(image)?;
        chain::open_file(&image.path)
            .map_err(|cause| cause.to_string())?
            .sync()
            .map_err(|error| format!("cannot be made durable: {error}"))
    }
}

/// Whether an overlay shows what the image below it shows. What takes long, or more than is known here,
/// is for `qemu-img` to say, and so is that they differ.
fn is_seen_to_be_the_same(top: &Layer, base: &Layer) -> Option<bool> {
    let taken = 512 * std::fs::metadata(&top.path).ok()?.blocks();
    if taken > limits::COMPARED_BYTES {
        return None;
    }
    let (overlay, image) = (
        chain::open_file(&top.path).ok()?,
        chain::open_file(&base.path).ok()?,
    );
    // Before anything is read, and after the last: tables and data are of one time.
    let is_at_rest = || !overlay.is_written_elsewhere() && !image.is_written_elsewhere();
    if !is_at_rest() {
        return None;
    }
    let (upper, lower) = (chain::open(top).ok()?, chain::open(base).ok()?);
    names_base(&upper, &lower).ok()?;
    let facts = upper.facts.as_ref()?;
    if lower.facts.is_none() && lower.format != RAW {
        return None;
    }
    let is_same = overlay
        .is_shown_below(facts, &image, lower.facts.as_ref())
        .ok()??;
    is_at_rest().then_some(is_same)
}

/// Whether each image that is written to may be.
pub(super) fn check(steps: &[Merge]) -> Result<()> {
    for step in steps {
        let (disk, image) = match step {
            Merge::Commit { disk, base, .. } => (disk, base),
            Merge::Relink { disk, image, .. } => (disk, image),
        };
        if let Some(errno) = write_refused(&image.path) {
            let reason = format!("cannot be written: {}", std::io::Error::from(errno));
            return Err(failed(disk, image, reason.into()));
        }
    }
    Ok(())
}

fn failed(disk: &str, image: &Layer, failure: Failure) -> Error {
    match failure {
        Failure::Stopped => Error::Cancelled { action: "merge" },
        Failure::Reason(reason) => Error::MergeFailed {
            disk: disk.to_owned(),
            image: image.path.clone(),
            reason,
        },
    }
}

/// Bytes of the disk that an image shows; 0 where that cannot be told.
fn size(image: &Layer) -> u64 {
    let link = chain::open(image).ok();
    let facts = link.and_then(|link| link.facts);
    facts.map_or(0, |facts| facts.virtual_size)
}

fn format<'a>(layer: &'a Layer, default: &'a str) -> &'a str {
    layer.format.as_deref().unwrap_or(default)
}
