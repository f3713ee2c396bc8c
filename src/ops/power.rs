//! The guest's own part in a revert: what is stopped, started and resumed, and in which order.

use super::domain::Domain;
use super::flags::RevertFlags;
use crate::error::{Error, Result};
use crate::host::Start;
use crate::snapshot::{Snapshot, State};

/// How a guest comes to a snapshot's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
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
}

/// What a guest does after a revert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It runs.
    Running,
    /// It is paused.
    Paused,
}

impl Domain {
    /// The way to a snapshot. That it can be gone is checked before anything is touched.
    pub(super) fn way(
        &self,
        snapshot: &Snapshot,
        definition: &str,
        flags: RevertFlags,
    ) -> Result<Way> {
        if self.guest().is_ok_and(|guest| guest.has_own_data()) {
            return Ok(Way::Hooks);
        }
        let is_on = self.host.state()? != State::Shutoff;
        let way = match target(snapshot, flags)? {
            (false, end) => Way::Off { stop: is_on, end },
            (true, end) => {
                let end = end.unwrap_or(End::Paused);
                if is_on && *self.host.definition()? == *definition {
                    Way::InPlace(end)
                } else {
                    Way::Restart { stop: is_on, end }
                }
            }
        };
        let starts = matches!(way, Way::Restart { .. } | Way::Off { end: Some(_), .. });
        if starts && !self.host.can_start() {
            return Err(Error::Unsupported {
                what: "starting the guest without a callback for it is",
            });
        }
        Ok(way)
    }

    /// What comes before the data.
    pub(super) fn before_data(&self, way: Way, definition: &str) -> Result<()> {
        if let Way::Off { stop: true, .. } | Way::Restart { stop: true, .. } = way {
            self.host.stop()?;
        }
        match way {
            Way::Restart { .. } => self.host.start(definition, Start::Paused),
            _ => Ok(()),
        }
    }

    /// What comes after the data.
    pub(super) fn after_data(&self, way: Way, definition: &str) -> Result<()> {
        if let Way::Off { end: Some(_), .. } = way {
            self.host.start(definition, Start::Paused)?;
        }
        match way {
            Way::Off {
                end: Some(End::Running),
                ..
            }
            | Way::InPlace(End::Running)
            | Way::Restart {
                end: End::Running, ..
            } => self.host.resume(),
            _ => Ok(()),
        }
    }
}

/// Whether memory belongs to the snapshot, and what the guest does afterwards; `None`: it is off.
fn target(snapshot: &Snapshot, flags: RevertFlags) -> Result<(bool, Option<End>)> {
    let asked = if flags.has(RevertFlags::RUNNING) {
        Some(End::Running)
    } else if flags.has(RevertFlags::PAUSED) {
        Some(End::Paused)
    } else {
        None
    };
    match snapshot.state {
        State::PmSuspended => Err(Error::RevertPmSuspended),
        State::Blocked | State::DiskSnapshot => Err(Error::RevertState {
            word: snapshot.state.word(),
        }),
        State::Running => Ok((true, asked.or(Some(End::Running)))),
        State::Paused => Ok((true, asked.or(Some(End::Paused)))),
        State::Shutdown | State::Shutoff | State::Crashed => Ok((false, asked)),
    }
}
