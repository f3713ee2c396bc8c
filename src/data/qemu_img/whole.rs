//! Whole copies of images: with an internal snapshot's memory, which no other copy has.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use super::overlay::{Attempt, Origin, Watched, claim, sync};
use super::step::Step;
use super::target::{Target, only};
use super::{Work, check_holds_once, failures};
use crate::data::{Image, Restore};
use crate::error::Result;
use crate::limits;

/// Read and written at once. Zeros of this length are left out of the copy.
const CHUNK_BYTES: usize = 64 * 1024;

impl Work<'_> {
    /// Copies an image, and drops all its snapshots but one from the copy; or leaves nothing.
    pub(super) fn copy_whole(&self, name: &str, disk: &str, from: &Path, to: &Path) -> Watched<()> {
        let origin = claim(to)?;
        let copied = self.copy_bytes(from, to).and_then(|()| {
            self.drop_others(name, disk, to)?;
            Ok(sync(to)?)
        });
        if copied.is_err() && origin == Origin::Made {
            // What is left is told by whoever takes the whole revert back.
            let _ = std::fs::remove_file(to);
        }
        copied
    }

    /// Nobody writes to what others stand on, so a copy of the bytes is a copy of the image. Where the
    /// file system can share them it does.
    fn copy_bytes(&self, from: &Path, to: &Path) -> Watched<()> {
        let failed = |error| format!("'{}' cannot be copied: {error}", from.display());
        let source = File::open(from).map_err(failed)?;
        let copy = OpenOptions::new().write(true).open(to).map_err(failed)?;
        let size = source.metadata().map_err(failed)?.len();
        self.report(0, size)?;
        if rustix::fs::ioctl_ficlone(&copy, &source).is_ok() {
            return Ok(());
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut reported = Instant::now();
        let mut place = 0;
        loop {
            let count = match source.read_at(&mut chunk, place) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error).into()),
            };
            let bytes = chunk.get(..count).unwrap_or_default();
            if bytes.iter().any(|byte| *byte != 0) {
                copy.write_all_at(bytes, place).map_err(failed)?;
            }
            place += u64::try_from(count).unwrap_or_default();
            if reported.elapsed() >= limits::JOB_LOOK {
                self.report(place, size)?;
                reported = Instant::now();
            }
        }
        Ok(copy.set_len(place).map_err(failed)?)
    }

    fn drop_others(&self, name: &str, disk: &str, path: &Path) -> Attempt<()> {
        let image = Image {
            disk: disk.to_owned(),
            path: path.to_owned(),
        };
        let target = Target::open(&image).map_err(|error| error.to_string())?;
        let facts = target.writable_facts().map_err(|error| error.to_string())?;
        for entry in &facts.snapshots {
            if &*entry.name == name.as_bytes() {
                continue;
            }
            let other = std::str::from_utf8(&entry.name).map_err(|_| not_utf8())?;
            let failed = failures(&[&target], self.take(Step::Drop(other), &[&target]));
            if let Some((_, reason)) = failed.into_iter().next() {
                return Err(reason);
            }
        }
        Ok(())
    }
}

/// Makes sure that an image can be copied whole for the memory of a snapshot inside of it.
pub(super) fn check(name: &str, restores: &[Restore]) -> Result<()> {
    for restore in restores {
        let Restore::Copy { disk, from, .. } = restore else {
            continue;
        };
        let image = Image {
            disk: disk.clone(),
            path: from.clone(),
        };
        let target = Target::open(&image)?;
        let facts = target.facts()?;
        check_holds_once("revert", name, &target, &facts)?;
        for entry in &facts.snapshots {
            let other = std::str::from_utf8(&entry.name);
            let other = other.map_err(|_| target.unusable(not_utf8()))?;
            if only(&facts, other).is_none() {
                let reason = format!("it holds several snapshots named '{other}'");
                return Err(target.unusable(reason));
            }
        }
    }
    Ok(())
}

fn not_utf8() -> String {
    "the name of one of its snapshots is not UTF-8".to_owned()
}
