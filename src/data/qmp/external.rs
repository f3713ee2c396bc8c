//! Snapshots of a running guest with external parts, or of its disks alone: disks, and memory, at
//! one instant.

use std::path::{Path, PathBuf};

use super::agent::{self, AgentCommands, Frozen};
use super::memory::NewMemory;
use super::overlay::{self, NewOverlay, Origin, Overlays};
use super::status::{self, Beside, Status};
use super::{Commands, internal, memory, merge, nodes};
use crate::data::progress::{Progress, Unwatched};
use crate::data::qcow2::{ImageFile, Unreadable};
use crate::data::{self, Guest, Image};
use crate::error::{Error, Result};

/// What is to be captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// The disks that get an overlay.
    pub overlays: Vec<NewOverlay>,
    /// The disks that keep it inside of their images, if there are any.
    pub inside: Option<Inside>,
    /// Where the memory goes, if it is kept.
    pub memory: Option<MemoryWanted>,
    /// What the guest does when all is captured.
    pub afterwards: Afterwards,
}

/// Disks whose snapshot is inside of their images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// Its name.
    pub name: String,
    /// Their images, at least one.
    pub images: Vec<Image>,
    /// Whether the first image has the memory, too.
    pub has_memory: bool,
}

/// What a guest does when it has been captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// What it did before.
    AsBefore,
    /// It waits for the caller, who captures disks of his own (`manual`).
    Paused,
}

/// Where and how the memory is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryWanted {
    /// A new file.
    pub file: PathBuf,
    /// The guest's definition, kept with it.
    pub definition: String,
    /// Whether the guest waits meanwhile.
    pub guest: Meanwhile,
}

/// What a guest does while its memory is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    /// It is paused, and the file is as small as can be.
    Paused,
    /// It runs until the end (`LIVE`).
    Runs,
}

/// Whether the capture can work: the guest writes to the images, and nothing is lost by making the
/// files. Nothing is touched.
pub fn check_capture(monitor: &dyn Commands, wanted: &External) -> Result<()> {
    let known = nodes::images(monitor)?;
    for overlay in &wanted.overlays {
        nodes::writable(&known, &overlay.image)?;
        check_overlay(overlay)?;
    }
    if let Some(inside) = &wanted.inside {
        internal::check_capture(monitor, &inside.name, &inside.images)?;
    }
    let Some(memory) = &wanted.memory else {
        return Ok(());
    };
    // A guest's memory goes away once.
    Status::of(monitor)?.check_has_images()?;
    if is_free(&memory.file) {
        return Ok(());
    }
    Err(Error::MemoryFile {
        file: memory.file.clone(),
        reason: "exists already and is no empty file".to_owned(),
    })
}

/// What a block device holds is written over, but should this be cut off nobody could tell an older
/// overlay on the same image from ours, to which the guest has written.
fn check_overlay(wanted: &NewOverlay) -> Result<()> {
    let path = &wanted.overlay;
    let is_device = overlay::is_device(path);
    let reason = if wanted.origin == Origin::Callers {
        return Ok(());
    } else if is_device && is_filled(wanted)? {
        "it holds an overlay of the image already: clear the device, or reuse the overlay"
    } else if !is_device && !is_free(path) {
        "it exists already and is no empty file"
    } else {
        return Ok(());
    };
    Err(Error::ImageUnusable {
        disk: wanted.disk.clone(),
        image: path.clone(),
        reason: reason.to_owned(),
    })
}

/// Whether there is no file, or an empty one.
fn is_free(path: &Path) -> bool {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.is_file() && metadata.len() == 0,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Captures, with what `beside` captures at the same instant, while the caller does its own work, unless
/// the guest would have to wait for that. It goes on afterwards as it was before, and so it does after a
/// failure, which leaves no file and no node behind.
pub fn capture(
    monitor: &dyn Commands,
    agent: Option<&dyn AgentCommands>,
    wanted: &External,
    beside: Option<&Beside<'_>>,
    progress: &dyn Progress,
    work: data::Beside<'_>,
) -> Result<()> {
    let was_running = wanted.has_to_wait() && Status::of(monitor)?.is_running();
    if wanted.afterwards == Afterwards::Paused && was_running && !wanted.runs_meanwhile() {
        status::pause(monitor)?;
    }
    let captured = match (&wanted.memory, &wanted.inside) {
        (Some(memory), _) => {
            capture_with_memory(monitor, wanted, memory, was_running, beside, progress)
        }
        (None, Some(inside)) if inside.has_memory => {
            capture_with_memory_inside(monitor, wanted, inside, was_running, beside, progress)
        }
        (None, _) if wanted.has_to_wait() => switch_disks(monitor, agent, wanted, beside, idle()),
        (None, _) => switch_disks(monitor, agent, wanted, beside, work),
    };
    if captured.is_err() && wanted.afterwards == Afterwards::Paused {
        let resumed = resume(monitor, was_running);
        return captured.map_err(|cause| match resumed {
            Ok(()) => cause,
            Err(undo) => cause.with_failed_undo(&undo),
        });
    }
    captured
}

/// Nothing that the caller does meanwhile.
fn idle() -> data::Beside<'static> {
    data::Beside::default()
}

fn capture_with_memory(
    monitor: &dyn Commands,
    wanted: &External,
    memory: &MemoryWanted,
    was_running: bool,
    beside: Option<&Beside<'_>>,
    progress: &dyn Progress,
) -> Result<()> {
    let new = NewMemory::create(&memory.file, &memory.definition, was_running)?;
    let mut is_switched = false;
    let mut switch = || {
        switch_disks(monitor, None, wanted, beside, idle())?;
        is_switched = true;
        Ok(())
    };
    let fill = || new.fill(monitor, progress).and_then(|()| new.complete());
    let captured = pause_for(monitor, memory.guest, was_running).and_then(|()| {
        match (&wanted.inside, memory.guest) {
            // An overlay is put on images that the guest gave away with its memory, but what is
            // inside of them must be there before.
            (None, _) => fill().and_then(|()| switch()),
            (Some(_), Meanwhile::Paused) => switch().and_then(|()| fill()),
            (Some(_), Meanwhile::Runs) => new
                .fill_around(monitor, progress, &mut switch)
                .and_then(|()| new.complete()),
        }
    });
    if captured.is_ok() && wanted.afterwards == Afterwards::Paused {
        return Ok(());
    }
    let resumed = resume(monitor, was_running);
    let undo = |cause| match is_switched {
        true => new.take_back(undo_switch(monitor, wanted, cause)),
        false => new.take_back(cause),
    };
    match (captured, resumed) {
        (Ok(()), Ok(())) => Ok(()),
        (Ok(()), Err(cause)) | (Err(cause), Ok(())) => Err(undo(cause)),
        (Err(cause), Err(failed)) => Err(undo(cause).with_failed_undo(&failed)),
    }
}

fn capture_with_memory_inside(
    monitor: &dyn Commands,
    wanted: &External,
    inside: &Inside,
    was_running: bool,
    beside: Option<&Beside<'_>>,
    progress: &dyn Progress,
) -> Result<()> {
    let overlays = Overlays::prepare(monitor, &wanted.overlays, None, idle())?;
    let save = || internal::capture(monitor, &inside.name, &inside.images, progress, idle());
    let saved = pause_for(monitor, Meanwhile::Paused, was_running)
        .and_then(|()| status::waiting_for(monitor, beside, save));
    let captured = match saved {
        Ok(()) => overlays
            .switch()
            .map_err(|cause| match discard_inside(monitor, inside) {
                Ok(()) => cause,
                Err(undo) => cause.with_failed_undo(&undo),
            }),
        Err(cause) => Err(overlays.take_back(cause)),
    };
    if captured.is_ok() && wanted.afterwards == Afterwards::Paused {
        return Ok(());
    }
    match (captured, resume(monitor, was_running)) {
        (Ok(()), Ok(())) => Ok(()),
        (Ok(()), Err(cause)) => Err(undo_switch(monitor, wanted, cause)),
        (Err(cause), Ok(())) => Err(cause),
        (Err(cause), Err(undo)) => Err(cause.with_failed_undo(&undo)),
    }
}

impl External {
    /// Whether the guest is paused for longer than its disks take.
    fn has_to_wait(&self) -> bool {
        let inside = self.inside.as_ref();
        self.afterwards == Afterwards::Paused
            || self.memory.is_some()
            || inside.is_some_and(|inside| inside.has_memory)
    }

    fn runs_meanwhile(&self) -> bool {
        let memory = self.memory.as_ref();
        memory.is_some_and(|memory| memory.guest == Meanwhile::Runs)
    }
}

/// Takes a capture back: the guest writes to the images below again, with all that it has written
/// since. What was never made is taken back already. If it was cut off the guest may still be
/// paused by it, or be sending its memory.
pub fn discard(monitor: &dyn Commands, wanted: &External, guest: Guest) -> Result<()> {
    if wanted.memory.is_some() {
        memory::stop_sending(monitor)?;
        if wanted.inside.is_some() {
            memory::forget_stop(monitor)?;
        }
    }
    status::go_on(monitor, guest)?;
    discard_disks(monitor, wanted)?;
    match &wanted.memory {
        Some(memory) => remove_memory(&memory.file),
        None => Ok(()),
    }
}

fn discard_disks(monitor: &dyn Commands, wanted: &External) -> Result<()> {
    for overlay in &wanted.overlays {
        discard_overlay(monitor, overlay)?;
    }
    match &wanted.inside {
        Some(inside) => discard_inside(monitor, inside),
        None => Ok(()),
    }
}

fn discard_inside(monitor: &dyn Commands, inside: &Inside) -> Result<()> {
    internal::discard(monitor, &inside.name, &inside.images, idle())
}

fn discard_overlay(monitor: &dyn Commands, wanted: &NewOverlay) -> Result<()> {
    let known = nodes::images(monitor)?;
    if nodes::writable(&known, &wanted.image).is_err() {
        // It would abort QEMU.
        Status::of(monitor)?.check_has_images()?;
        let overlay = &wanted.overlay;
        merge::commit(monitor, overlay, overlay, &wanted.image, &Unwatched)?;
    }
    merge::forget(monitor, &wanted.overlay)?;
    remove_overlay(wanted)
}

/// Removes the files of a capture that no guest has open.
pub fn remove_files(wanted: &External) -> Result<()> {
    wanted.overlays.iter().try_for_each(remove_overlay)?;
    match &wanted.memory {
        Some(memory) => remove_memory(&memory.file),
        None => Ok(()),
    }
}

/// Whether an overlay is one of ours, over the image that it was made for. Else there is nothing
/// of ours in that place, or a file that was made and not yet formatted.
pub fn is_filled(wanted: &NewOverlay) -> Result<bool> {
    if wanted.origin == Origin::Callers || is_free(&wanted.overlay) {
        return Ok(false);
    }
    let unusable = |error: Unreadable| Error::ImageUnusable {
        disk: wanted.disk.clone(),
        image: wanted.overlay.clone(),
        reason: error.to_string(),
    };
    let file = ImageFile::open(&wanted.overlay).map_err(unusable)?;
    let facts = match file.facts() {
        Ok(facts) => facts,
        Err(Unreadable::NotQcow2) => return Ok(false),
        Err(error) => return Err(unusable(error)),
    };
    Ok(facts.backing_file.as_deref() == Some(wanted.image.as_os_str()))
}

/// A file that somebody else put there since is not ours to remove.
fn remove_overlay(wanted: &NewOverlay) -> Result<()> {
    if wanted.origin == Origin::Callers {
        return Ok(());
    }
    if is_free(&wanted.overlay) || holds_nothing(&wanted.overlay) || is_filled(wanted)? {
        return wanted.remove();
    }
    Ok(())
}

/// An image that was being formatted when QEMU ended: without a backing file, and without a byte
/// of content. Nothing is lost with such an image, whosever it is.
fn holds_nothing(path: &Path) -> bool {
    let Ok(file) = ImageFile::open(path) else {
        return false;
    };
    file.facts().is_ok_and(|facts| {
        facts.backing_file.is_none()
            && facts.snapshots.is_empty()
            && file.is_blank(&facts).unwrap_or(false)
    })
}

fn remove_memory(file: &Path) -> Result<()> {
    if is_free(file) || memory::is_memory_file(file) {
        return remove_file(file);
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<()> {
    overlay::remove(path).map_err(|cause| Error::io("remove", path, cause))
}

fn undo_switch(monitor: &dyn Commands, wanted: &External, cause: Error) -> Error {
    match discard_disks(monitor, wanted) {
        Ok(()) => cause,
        Err(undo) => cause.with_failed_undo(&undo),
    }
}

fn pause_for(monitor: &dyn Commands, guest: Meanwhile, was_running: bool) -> Result<()> {
    match guest {
        Meanwhile::Paused if was_running => status::pause(monitor),
        _ => Ok(()),
    }
}

/// A guest that ran runs again, and has its images back: it gave them away with its memory.
fn resume(monitor: &dyn Commands, was_running: bool) -> Result<()> {
    if was_running {
        return status::resume(monitor).or_else(|_| status::resume(monitor));
    }
    Ok(())
}

fn switch_disks(
    monitor: &dyn Commands,
    agent: Option<&dyn AgentCommands>,
    wanted: &External,
    beside: Option<&Beside<'_>>,
    work: data::Beside<'_>,
) -> Result<()> {
    if wanted.overlays.is_empty() && wanted.inside.is_none() {
        return status::wait(monitor, beside)?.release();
    }
    // Before the freeze, which should be short.
    let overlays = Overlays::prepare(monitor, &wanted.overlays, wanted.inside.as_ref(), work)?;
    let frozen = match agent.map(agent::freeze).transpose() {
        Ok(frozen) => frozen,
        Err(cause) => return Err(overlays.take_back(cause)),
    };
    let held = match status::wait(monitor, beside) {
        Ok(held) => held,
        Err(cause) => {
            let cause = overlays.take_back(cause);
            return Err(match frozen.map_or(Ok(()), Frozen::thaw) {
                Ok(()) => cause,
                Err(undo) => cause.with_failed_undo(&undo),
            });
        }
    };
    let switched = overlays.switch();
    let released = held.release();
    let thawed = frozen.map_or(Ok(()), Frozen::thaw);
    let proved = switched.and_then(|()| match &wanted.inside {
        Some(inside) => internal::check_held_disks(&inside.name, &inside.images)
            .map_err(|cause| undo_switch(monitor, wanted, cause)),
        None => Ok(()),
    });
    match (proved, released.and(thawed)) {
        (Ok(()), Ok(())) => Ok(()),
        (Ok(()), Err(cause)) => Err(undo_switch(monitor, wanted, cause)),
        (Err(cause), Ok(())) => Err(cause),
        (Err(cause), Err(undo)) => Err(cause.with_failed_undo(&undo)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::guest::qemu_img;
    use super::*;

    #[test]
    fn only_files_without_content_and_our_own_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let text = |name: &str| path(name).to_str().unwrap().to_owned();
        let create = |name: &str, backing: Option<&str>| {
            let mut arguments = vec!["create", "-q", "-f", "qcow2"];
            arguments.extend(
                backing
                    .iter()
                    .flat_map(|backing| ["-F", "qcow2", "-b", backing]),
            );
            let name = text(name);
            arguments.extend([name.as_str(), "1M"]);
            qemu_img(&arguments);
        };
        create("base", None);
        create("half-made", None);
        create("ours", Some(&text("base")));
        create("other", Some(&text("ours")));
        std::fs::write(path("raw"), vec![7; 1 << 20]).unwrap();
        qemu_img(&[
            "convert",
            "-q",
            "-f",
            "raw",
            "-O",
            "qcow2",
            &text("raw"),
            &text("full"),
        ]);
        std::fs::write(path("empty"), "").unwrap();
        for (name, stays) in [
            ("half-made", false),
            ("empty", false),
            ("ours", false),
            ("absent", false),
            ("raw", true),
            ("full", true),
            ("other", true),
        ] {
            let wanted = NewOverlay {
                disk: "vda".to_owned(),
                image: path("base"),
                overlay: path(name),
                format: "qcow2".to_owned(),
                origin: Origin::Ours,
            };
            remove_overlay(&wanted).unwrap();
            assert_eq!(path(name).exists(), stays, "{name}");
        }
    }
}
