//! The guest's own part in a revert: what is stopped, started and resumed, and in which order.

use std::path::Path;
use std::time::{Duration, Instant};

use super::domain::Domain;
use super::flags::RevertFlags;
use super::layers::sources;
use crate::data::qcow2::ImageFile;
use crate::data::{Point, Restore};
use crate::error::{Error, Result};
use crate::host::Start;
use crate::limits;
use crate::snapshot::{Memory, Snapshot, State};

/// How a guest comes to a snapshot's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way<'a> {
    /// The program's own hooks do all of it.
    Hooks,
    /// It is off while its images change, and is started afterwards if that is asked for.
    Off {
        /// It is on now.
        stop: bool,
        /// What it does in the end.
        end: Option<End>,
    },
    /// Its process stays, memory and disks are loaded into it.
    InPlace(End),
    /// Another process loads memory and disks: the definition is another one, or there is none.
    Restart {
        /// It is on now.
        stop: bool,
        /// What it does in the end.
        end: End,
    },
    /// Another process takes the memory from a file, when its disks are those of that instant.
    FromFile {
        /// It is on now.
        stop: bool,
        /// Where the memory is.
        file: &'a Path,
        /// What it does in the end.
        end: End,
    },
}

/// What a guest does after a revert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It runs.
    Running,
    /// It is paused.
    Paused,
}

/// Where a guest's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source<'a> {
    /// It has none: it is off.
    Nowhere,
    Inside,
    File(&'a Path),
}

impl Domain {
    /// The way to a snapshot. That it can be gone is checked before anything is touched.
    pub(super) fn way<'a>(
        &self,
        snapshot: &'a Snapshot,
        definition: &str,
        flags: RevertFlags,
    ) -> Result<Way<'a>> {
        let way = self.way_now(snapshot, definition, flags)?;
        if way.starts() && !self.host.can_start() {
            return Err(Error::Unsupported {
                what: "starting the guest without a callback for it is",
            });
        }
        Ok(way)
    }

    fn way_now<'a>(
        &self,
        snapshot: &'a Snapshot,
        definition: &str,
        flags: RevertFlags,
    ) -> Result<Way<'a>> {
        if self.has_own_data() {
            return Ok(Way::Hooks);
        }
        let stop = self.host.state()? != State::Shutoff;
        let (source, end) = target(snapshot, flags)?;
        let with_memory = end.unwrap_or(End::Paused);
        Ok(match source {
            Source::Nowhere => Way::Off { stop, end },
            Source::File(file) => Way::FromFile {
                stop,
                file,
                end: with_memory,
            },
            Source::Inside if stop && *self.host.definition()? == *definition => {
                Way::InPlace(with_memory)
            }
            Source::Inside => Way::Restart {
                stop,
                end: with_memory,
            },
        })
    }

    /// Goes on with a revert that was cut off, as far as the data: a guest that is still on and
    /// whose process cannot stay is ended. There may be nobody who can start another.
    pub(super) fn revert_again(
        &self,
        snapshot: &Snapshot,
        definition: &str,
        flags: RevertFlags,
        data: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let way = self.way_now(snapshot, definition, flags)?;
        if way.stops() {
            self.host.stop()?;
        }
        data()?;
        self.go_on_in_place(way)
    }

    /// A guest that was reverted in its own process goes on before the change is made: should this
    /// process die in between, the guest is reverted once more, and does not stay paused.
    pub(super) fn go_on_in_place(&self, way: Way<'_>) -> Result<()> {
        match way {
            Way::InPlace(End::Running) => self.host.resume(),
            _ => Ok(()),
        }
    }

    /// Refuses to work on images of a guest that is on and was not attached. It would go on writing to
    /// what a snapshot shows from then on, and not all programs look for QEMU's locks.
    ///
    /// One that is about to let go of them is waited for.
    pub(super) fn check_nobody_writes(&self, patience: Duration) -> Result<()> {
        if self.has_own_data() || self.host.state()? != State::Shutoff {
            return Ok(());
        }
        for (disk, place) in sources(&self.host.definition()?)? {
            let Some(image) = place.local() else {
                continue;
            };
            if is_held(&image.path, patience) {
                return Err(Error::ImageUnusable {
                    disk,
                    image: image.path.clone(),
                    reason: "a process has it open for writing, and no guest is attached to the \
                             domain"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Whether the program captures, restores and drops data itself.
    pub(super) fn has_own_data(&self) -> bool {
        self.guest().is_ok_and(|guest| guest.has_own_data())
    }

    /// Whether the guest can be given its memory, where that is inside of images.
    pub(super) fn check_load(
        &self,
        way: Way<'_>,
        point: &Point<'_>,
        restores: &[Restore],
    ) -> Result<()> {
        match way.loads() {
            true => self.data.check_load(point, restores),
            false => Ok(()),
        }
    }

    /// What comes before the data.
    fn before_data(
        &self,
        way: Way<'_>,
        definition: &str,
        point: &Point<'_>,
        restores: &[Restore],
    ) -> Result<()> {
        if way.stops() {
            self.host.stop()?;
        }
        match way {
            Way::Restart { .. } => {
                self.data.prepare_load(point, restores)?;
                self.host.start(definition, Start::Paused)
            }
            _ => Ok(()),
        }
    }

    /// Brings the data back, of a guest that is on with its memory. What can be done beside a running
    /// guest is done before it is stopped.
    pub(super) fn bring_back(
        &self,
        way: Way<'_>,
        definition: &str,
        point: &Point<'_>,
        restores: &[Restore],
        flags: RevertFlags,
    ) -> Result<()> {
        let before = || self.before_data(way, definition, point, restores);
        let revert = || self.data.revert(point, restores, flags.bits());
        if way.loads() {
            before()?;
            self.data.load(point, restores)
        } else if restores.iter().all(Restore::is_beside_the_guest) {
            revert()?;
            before()
        } else {
            before()?;
            revert()
        }
    }

    /// Ends the guest that was started for a revert which has failed: its images are not those of
    /// the domain.
    pub(super) fn stop_restarted(&self, way: Way<'_>, cause: Error) -> Error {
        let Way::Restart { .. } = way else {
            return cause;
        };
        let stopped = match self.host.state() {
            Ok(State::Shutoff) => Ok(()),
            _ => self.host.stop(),
        };
        match stopped {
            Ok(()) => cause,
            Err(undo) => cause.with_failed_undo(&undo),
        }
    }

    /// A revert that could only be finished without the guest has not given it its memory.
    pub(super) fn check_finished(&self, way: Way<'_>, finished: Result<()>) -> Result<()> {
        finished?;
        if way.loads() && self.host.state()? == State::Shutoff {
            return Err(Error::GuestState {
                detail: "the guest ended while its memory was loaded; its disks are the snapshot's"
                    .to_owned(),
            });
        }
        Ok(())
    }

    /// What comes after the data, when everything else is done: should this process die, the
    /// images that the guest has open are those of the stored definition.
    pub(super) fn after_data(&self, way: Way<'_>, definition: &str) -> Result<()> {
        match way {
            Way::Off { end: Some(_), .. } => self.host.start(definition, Start::Paused)?,
            Way::FromFile { file, .. } => self.start_from(file, definition)?,
            Way::InPlace(_) => return Ok(()),
            _ => {}
        }
        match way.end() {
            Some(End::Running) => self.host.resume(),
            Some(End::Paused) | None => Ok(()),
        }
    }

    /// A guest without its memory is not left behind.
    fn start_from(&self, file: &Path, definition: &str) -> Result<()> {
        self.host.start(definition, Start::Incoming)?;
        self.data
            .load_memory(file)
            .map_err(|cause| match self.host.stop() {
                Ok(()) => cause,
                Err(undo) => cause.with_failed_undo(&undo),
            })
    }
}

impl Way<'_> {
    /// Whether a guest is ended.
    pub(super) fn stops(self) -> bool {
        match self {
            Way::Off { stop, .. } | Way::Restart { stop, .. } | Way::FromFile { stop, .. } => stop,
            Way::Hooks | Way::InPlace(_) => false,
        }
    }

    fn starts(self) -> bool {
        match self {
            Way::Off { end, .. } => end.is_some(),
            Way::Restart { .. } | Way::FromFile { .. } => true,
            Way::Hooks | Way::InPlace(_) => false,
        }
    }

    /// Whether a guest that is on loads memory and disks.
    fn loads(self) -> bool {
        match self {
            Way::InPlace(_) | Way::Restart { .. } => true,
            Way::Hooks | Way::Off { .. } | Way::FromFile { .. } => false,
        }
    }

    /// Whether a guest runs in the end that was stopped or started for this.
    pub(super) fn runs_afterwards(self) -> bool {
        self.end() == Some(End::Running)
    }

    fn end(self) -> Option<End> {
        match self {
            Way::Hooks => None,
            Way::Off { end, .. } => end,
            Way::InPlace(end) | Way::Restart { end, .. } | Way::FromFile { end, .. } => Some(end),
        }
    }
}

/// Whether a process writes to an image, and goes on to do so.
fn is_held(image: &Path, patience: Duration) -> bool {
    let Ok(file) = ImageFile::open(image) else {
        return false;
    };
    let deadline = Instant::now() + patience;
    while file.is_written_elsewhere() {
        if Instant::now() >= deadline {
            return true;
        }
        std::thread::sleep(limits::IMAGE_LOOK);
    }
    false
}

/// Where the memory comes from, and what the guest does afterwards; `None`: it is off.
fn target(snapshot: &Snapshot, flags: RevertFlags) -> Result<(Source<'_>, Option<End>)> {
    let asked = if flags.has(RevertFlags::RUNNING) {
        Some(End::Running)
    } else if flags.has(RevertFlags::PAUSED) {
        Some(End::Paused)
    } else {
        None
    };
    let memory = match &snapshot.memory {
        Some(Memory::External { file }) => Source::File(Path::new(&**file)),
        _ => Source::Inside,
    };
    match snapshot.state {
        State::PmSuspended => Err(Error::RevertPmSuspended),
        State::Blocked => Err(Error::RevertState {
            word: snapshot.state.word(),
        }),
        State::Running => Ok((memory, asked.or(Some(End::Running)))),
        State::Paused => Ok((memory, asked.or(Some(End::Paused)))),
        // Of an active guest, disks only: as if its power had been cut (docs/differences.md, D72).
        State::Shutdown | State::Shutoff | State::Crashed | State::DiskSnapshot => {
            Ok((Source::Nowhere, asked))
        }
    }
}
