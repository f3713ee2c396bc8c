//! External snapshots of a running guest: its disks, and its memory, at one instant.

use std::path::{Path, PathBuf};

use super::agent::{self, AgentCommands, Frozen};
use super::memory::NewMemory;
use super::overlay::{self, NewOverlay, Origin, Overlays};
use super::status::{self, Status};
use super::{Commands, merge, nodes};
use crate::data::progress::{Progress, Unwatched};
use crate::error::{Error, Result};

/// What is to be captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// The disks that get an overlay.
    pub overlays: Vec<NewOverlay>,
    /// Where the memory goes, if it is kept.
    pub memory: Option<MemoryWanted>,
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

/// Captures. The guest goes on afterwards as it was before, and so it does after a failure, which
/// leaves no file and no node behind.
pub fn capture(
    monitor: &dyn Commands,
    agent: Option<&dyn AgentCommands>,
    wanted: &External,
    progress: &dyn Progress,
) -> Result<()> {
    let was_running = Status::of(monitor)?.is_running();
    let Some(memory) = &wanted.memory else {
        return switch_disks(monitor, agent, &wanted.overlays);
    };
    let new = NewMemory::create(&memory.file, &memory.definition, was_running)?;
    let captured = pause_for(monitor, memory.guest, was_running)
        .and_then(|()| new.fill(monitor, progress))
        .and_then(|()| new.complete())
        .and_then(|()| switch_disks(monitor, agent, &wanted.overlays));
    let resumed = resume(monitor, was_running);
    match (captured, resumed) {
        (Ok(()), Ok(())) => Ok(()),
        (Ok(()), Err(cause)) => Err(new.take_back(undo_switch(monitor, &wanted.overlays, cause))),
        (Err(cause), Ok(())) => Err(new.take_back(cause)),
        (Err(cause), Err(undo)) => Err(new.take_back(cause).with_failed_undo(&undo)),
    }
}

/// Takes a capture back: the guest writes to the images below again, with all that it has written
/// since. What was never made is taken back already.
pub fn discard(monitor: &dyn Commands, wanted: &External) -> Result<()> {
    for overlay in &wanted.overlays {
        discard_overlay(monitor, overlay)?;
    }
    match &wanted.memory {
        Some(memory) => remove_file(&memory.file),
        None => Ok(()),
    }
}

fn discard_overlay(monitor: &dyn Commands, wanted: &NewOverlay) -> Result<()> {
    let known = nodes::images(monitor)?;
    if nodes::writable(&known, &wanted.image).is_err() {
        let overlay = &wanted.overlay;
        merge::commit(monitor, overlay, overlay, &wanted.image, &Unwatched)?;
    }
    merge::forget(monitor, &wanted.overlay)?;
    match wanted.origin {
        Origin::Ours => remove_file(&wanted.overlay),
        Origin::Callers => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<()> {
    overlay::remove(path).map_err(|cause| Error::io("remove", path, cause))
}

fn undo_switch(monitor: &dyn Commands, overlays: &[NewOverlay], cause: Error) -> Error {
    let undone = overlays
        .iter()
        .try_for_each(|overlay| discard_overlay(monitor, overlay));
    match undone {
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
    wanted: &[NewOverlay],
) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    // Before the freeze, which should be short.
    let overlays = Overlays::prepare(monitor, wanted)?;
    let frozen = match agent.map(agent::freeze).transpose() {
        Ok(frozen) => frozen,
        Err(cause) => return Err(overlays.take_back(cause)),
    };
    let switched = overlays.switch();
    let thawed = frozen.map_or(Ok(()), Frozen::thaw);
    match (switched, thawed) {
        (Ok(()), Ok(())) => Ok(()),
        (Ok(()), Err(cause)) => Err(undo_switch(monitor, wanted, cause)),
        (Err(cause), Ok(())) => Err(cause),
        (Err(cause), Err(undo)) => Err(cause.with_failed_undo(&undo)),
    }
}
