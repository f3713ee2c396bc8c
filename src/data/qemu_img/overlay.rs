//! New image files: overlays, and copies of internal snapshots.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::program::{self, Ending, Outcome};
use super::target::only;
use super::{Target, Work, check_holds_once};
use crate::data::chain::{self, QCOW2};
use crate::data::check::names_base;
use crate::data::progress::Wish;
use crate::data::{Image, Layer, OverlayFile, Point, Restore};
use crate::error::{Error, Result};
use crate::snapshot::DiskMode;

/// What a step gives; the error is the reason for a message.
pub(super) type Attempt<T> = std::result::Result<T, String>;

/// What a step that takes long gives.
pub(super) type Watched<T> = std::result::Result<T, Failure>;

/// Why a step that takes long is not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The one who watches wants it no more.
    Stopped,
    /// The reason for a message.
    Reason(String),
}

impl From<String> for Failure {
    fn from(reason: String) -> Failure {
        Failure::Reason(reason)
    }
}

impl From<Outcome> for Failure {
    fn from(outcome: Outcome) -> Failure {
        match outcome.ending {
            Ending::Stopped => Failure::Stopped,
            _ => Failure::Reason(outcome.reason()),
        }
    }
}

/// Whether a file was made by this operation, and so goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Made,
    Found,
}

/// What the copy of an internal snapshot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copies {
    /// What its disk shows.
    OfDisks,
    /// The snapshot itself, for a guest that loads it.
    WithMemory,
}

impl Work<'_> {
    /// Runs `qemu-img` to its end.
    pub(super) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Attempt<Outcome> {
        program::start(self.program, arguments.iter().map(AsRef::as_ref), self.lock)
            .map(program::Running::finish)
            .map_err(|error| format!("cannot run '{}': {error}", self.program.display()))
    }

    /// As [`Work::run`], of work on so many bytes that `-p` was given for.
    pub(super) fn run_watched<S: AsRef<OsStr>>(
        &self,
        bytes: u64,
        arguments: &[S],
    ) -> Watched<Outcome> {
        self.report(0, bytes)?;
        let arguments = arguments.iter().map(AsRef::as_ref);
        let running = program::start(self.program, arguments, self.lock)
            .map_err(|error| format!("cannot run '{}': {error}", self.program.display()))?;
        self.beside.work();
        let outcome = running.finish_watched(bytes, self.watch);
        if outcome.ending == Ending::Success {
            // It is done, whatever is wished now.
            self.watch.report(bytes, bytes);
        }
        Ok(outcome)
    }

    /// Tells how far a step is, and ends it if that is wished.
    pub(super) fn report(&self, done: u64, bytes: u64) -> Watched<()> {
        match self.watch.report(done, bytes) {
            Wish::GoOn => Ok(()),
            Wish::Stop => Err(Failure::Stopped),
        }
    }

    /// Makes each overlay of a new snapshot, or none.
    pub(super) fn make_overlays(&self, point: &Point<'_>) -> Result<()> {
        let mut made = Vec::new();
        for disk in point
            .disks
            .iter()
            .filter(|disk| disk.mode == DiskMode::External)
        {
            let (Some(base), Some(overlay)) = (disk.base.local(), disk.overlay.local()) else {
                continue;
            };
            if disk.overlay_file == OverlayFile::Reused {
                continue;
            }
            made.push((overlay, disk.overlay_file));
            if let Err(reason) = self.make_overlay(overlay, base) {
                let undo = made
                    .iter()
                    .filter_map(|(layer, found)| take_back_file(&layer.path, *found).err())
                    .collect();
                return Err(Error::ImageOperation {
                    action: "create",
                    snapshot: point.name.to_owned(),
                    disk: disk.target.clone(),
                    image: overlay.path.clone(),
                    reason,
                    undo,
                });
            }
        }
        Ok(())
    }

    /// Makes one overlay, readable and writable by its owner alone, and proves what it names.
    fn make_overlay(&self, overlay: &Layer, base: &Layer) -> Attempt<()> {
        let base = chain::open(base).map_err(|cause| cause.to_string())?;
        let origin = claim(&overlay.path)?;
        let format = overlay.format.as_deref().unwrap_or(QCOW2);
        let arguments: [&OsStr; 9] = [
            "create".as_ref(),
            "-q".as_ref(),
            "-f".as_ref(),
            format.as_ref(),
            "-F".as_ref(),
            base.format.as_ref(),
            "-b".as_ref(),
            base.path.as_ref(),
            overlay.path.as_ref(),
        ];
        let made = self.run(&arguments).and_then(|outcome| {
            if !matches!(outcome.ending, Ending::Success | Ending::Unknown) {
                return Err(outcome.reason());
            }
            let link = chain::open(overlay).map_err(|cause| cause.to_string())?;
            if link.facts.is_some() {
                names_base(&link, &base)?;
            }
            sync(&overlay.path)
        });
        if made.is_err() && origin == Origin::Made {
            // What is left is told by whoever takes the whole snapshot back.
            let _ = std::fs::remove_file(&overlay.path);
        }
        made
    }

    /// Makes the new files of a revert, or none.
    pub(super) fn make_restored(
        &self,
        name: &str,
        restores: &[Restore],
        copies: Copies,
    ) -> Result<()> {
        for (done, restore) in restores.iter().enumerate() {
            let made = match restore {
                Restore::Apply { .. } => Ok(()),
                Restore::Overlay { base, path, .. } => {
                    self.make_overlay(&qcow2(path), base).map_err(Failure::from)
                }
                Restore::Copy { disk, from, path } => match copies {
                    Copies::OfDisks => self.copy(name, disk, from, path),
                    Copies::WithMemory => self.copy_whole(name, disk, from, path),
                },
            };
            if let (Err(failure), Some(path)) = (made, restore.new_file()) {
                let cause = match failure {
                    Failure::Stopped => Error::Cancelled { action: "revert" },
                    Failure::Reason(reason) => Error::ImageOperation {
                        action: "revert",
                        snapshot: name.to_owned(),
                        disk: restore.disk().to_owned(),
                        image: path.clone(),
                        reason,
                        undo: Vec::new(),
                    },
                };
                return Err(match discard(restores.get(..done).unwrap_or_default()) {
                    Ok(()) => cause,
                    Err(undo) => cause.with_failed_undo(&undo),
                });
            }
        }
        Ok(())
    }

    /// Copies an internal snapshot to an image of its own, or leaves nothing.
    fn copy(&self, name: &str, disk: &str, from: &Path, to: &Path) -> Watched<()> {
        let origin = claim(to)?;
        let copied = self.copy_to(name, disk, from, to);
        if copied.is_err() && origin == Origin::Made {
            let _ = std::fs::remove_file(to);
        }
        copied
    }

    fn copy_to(&self, name: &str, disk: &str, from: &Path, to: &Path) -> Watched<()> {
        let image = Image {
            disk: disk.to_owned(),
            path: from.to_owned(),
        };
        let target = Target::open(&image).map_err(|error| error.to_string())?;
        let facts = target.facts().map_err(|error| error.to_string())?;
        let entry = only(&facts, name)
            .ok_or_else(|| format!("'{}' does not hold it once", from.display()))?;
        let same_id = facts.snapshots.iter().filter(|other| other.id == entry.id);
        if same_id.count() != 1 {
            return Err("the snapshot's ID in the image is not unique"
                .to_owned()
                .into());
        }
        let mut selected = b"snapshot.id=".to_vec();
        selected.extend_from_slice(&entry.id);
        let selected = OsString::from_vec(selected);
        let arguments: [&OsStr; 10] = [
            "convert".as_ref(),
            "-p".as_ref(),
            "-f".as_ref(),
            QCOW2.as_ref(),
            "-O".as_ref(),
            QCOW2.as_ref(),
            "-l".as_ref(),
            &selected,
            from.as_ref(),
            to.as_ref(),
        ];
        let outcome = self.run_watched(entry.disk_size, &arguments)?;
        // The exit status is all there is to prove a copy by.
        if outcome.ending != Ending::Success {
            return Err(outcome.into());
        }
        let copied = chain::open(&qcow2(to)).map_err(|cause| cause.to_string())?;
        let size = copied.facts.map(|facts| facts.virtual_size);
        if size != Some(entry.disk_size) {
            return Err("the copy has another size".to_owned().into());
        }
        Ok(sync(to)?)
    }
}

/// Takes back the overlays of a snapshot that was not finished: what they hold is nothing.
pub(super) fn take_back(point: &Point<'_>) -> Result<()> {
    for disk in point
        .disks
        .iter()
        .filter(|disk| disk.mode == DiskMode::External)
    {
        let Some(overlay) = disk.overlay.local() else {
            continue;
        };
        take_back_file(&overlay.path, disk.overlay_file).map_err(|reason| {
            Error::ImageUnusable {
                disk: disk.target.clone(),
                image: overlay.path.clone(),
                reason,
            }
        })?;
    }
    Ok(())
}

/// Makes sure that each internal snapshot of which a revert makes a copy is there, once.
pub(super) fn check_restored(name: &str, restores: &[Restore]) -> Result<()> {
    for restore in restores {
        if let Restore::Copy { disk, from, .. } = restore {
            let image = Image {
                disk: disk.clone(),
                path: from.clone(),
            };
            let target = Target::open(&image)?;
            check_holds_once("revert", name, &target, &target.facts()?)?;
        }
    }
    Ok(())
}

/// Makes sure that no QEMU has the new file of a revert open: after a crash a guest that was started
/// on it may still be there, and nobody knows of it. QEMU has locks on a few bytes of each image.
pub(super) fn check_unused(restore: &Restore) -> Result<()> {
    let Some(path) = restore.new_file() else {
        return Ok(());
    };
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path);
    let Ok(file) = opened else {
        return Ok(());
    };
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::AGAIN | Errno::ACCESS) => Err(Error::ImageUnusable {
            disk: restore.disk().to_owned(),
            image: path.clone(),
            reason: "a guest that was being reverted has it open; end it first".to_owned(),
        }),
        // Where there are no locks nobody has one.
        _ => Ok(()),
    }
}

/// Removes the new files of some steps of a revert.
pub(super) fn discard(restores: &[Restore]) -> Result<()> {
    let mut files = restores.iter().filter_map(Restore::new_file);
    files.try_for_each(|file| remove(file))
}

/// Removes a file, durably; one that is gone is no error.
pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_directory(path).map_err(|error| Error::io("sync directory of", path, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("remove", path, error)),
    }
}

fn qcow2(path: &Path) -> Layer {
    Layer {
        path: path.to_owned(),
        format: Some(QCOW2.to_owned()),
    }
}

/// Makes the file that an image is to be written to, for its owner alone (CVE-2025-13193); takes one
/// that is there if nothing is in it, or if it is a block device.
pub(super) fn claim(path: &Path) -> Attempt<Origin> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(Origin::Made),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = std::fs::metadata(path).map_err(|error| error.to_string())?;
            let is_empty_file = found.file_type().is_file() && found.len() == 0;
            if is_empty_file || found.file_type().is_block_device() {
                Ok(Origin::Found)
            } else {
                Err("the file exists already".to_owned())
            }
        }
        Err(error) => Err(format!("cannot be created: {error}")),
    }
}

/// Makes a new image and its name durable.
pub(super) fn sync(path: &Path) -> Attempt<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .and_then(|()| sync_directory(path))
        .map_err(|error| format!("cannot be made durable: {error}"))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Takes one overlay back: removed if it was made, emptied if an empty file was found. Somebody
/// else's file, with content, stays.
fn take_back_file(path: &Path, found: OverlayFile) -> Attempt<()> {
    let may_hold_data = match holds_nothing(path) {
        Ok(nothing) => !nothing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot be taken back: {error}")),
    };
    if found == OverlayFile::Reused || may_hold_data {
        return Ok(());
    }
    match found {
        OverlayFile::New => remove(path).map_err(|error| error.to_string()),
        OverlayFile::Empty => OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|file| file.set_len(0))
            .map_err(|error| format!("cannot be emptied: {error}")),
        OverlayFile::Reused => Ok(()),
    }
}

/// Whether a regular file is empty, or an image to which no guest has written, or the beginning
/// of one.
fn holds_nothing(path: &Path) -> io::Result<bool> {
    let found = std::fs::metadata(path)?;
    if !found.file_type().is_file() {
        return Ok(false);
    }
    if found.len() == 0 {
        return Ok(true);
    }
    let Ok(file) = chain::open_file(path) else {
        return Ok(false);
    };
    Ok(match file.facts() {
        Ok(facts) => facts.snapshots.is_empty() && file.is_blank(&facts).unwrap_or(false),
        // The header comes last when QEMU makes an image.
        Err(error) => error.is_unfinished() && file.begins_with_zeros().unwrap_or(false),
    })
}
