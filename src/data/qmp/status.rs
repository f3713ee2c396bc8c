//! What the guest is doing, and making it stop and go on.

use serde_json::Value;

use super::Commands;
use crate::error::{Error, Result};
use crate::snapshot::State;

/// QEMU's run state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    word: String,
    is_running: bool,
}

impl Status {
    /// Asks.
    pub fn of(monitor: &dyn Commands) -> Result<Status> {
        let answer = monitor.execute("query-status", Value::Null)?;
        let word = answer.get("status").and_then(Value::as_str);
        Ok(Status {
            word: word.unwrap_or_default().to_owned(),
            is_running: answer.get("running").and_then(Value::as_bool) == Some(true),
        })
    }

    /// Whether guest CPUs run.
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// QEMU gives its images away with a migration and must not write to them until it runs, and
    /// has none before another guest's state has come.
    pub fn check_has_images(&self) -> Result<()> {
        let detail = if self.is_outgone() {
            "the guest is paused since its memory was saved to a file or sent to another host, and \
             does not write to its images; resume it first"
        } else if self.is_incoming() {
            "the guest waits for the memory of another one and does not write to its images"
        } else {
            return Ok(());
        };
        Err(Error::GuestState {
            detail: detail.to_owned(),
        })
    }

    /// Its memory was saved or sent, and its images given away.
    pub fn is_outgone(&self) -> bool {
        self.word == "postmigrate"
    }

    /// Waiting for the state of another guest.
    pub fn is_incoming(&self) -> bool {
        self.word == "inmigrate"
    }

    /// As libvirt's QEMU driver translates it.
    pub fn state(&self) -> State {
        match self.word.as_str() {
            _ if self.is_running => State::Running,
            "shutdown" => State::Shutdown,
            "suspended" => State::PmSuspended,
            "guest-panicked" => State::Crashed,
            _ => State::Paused,
        }
    }
}

/// Stops the guest's CPUs.
pub fn pause(monitor: &dyn Commands) -> Result<()> {
    monitor.execute("stop", Value::Null).map(drop)
}

/// Lets the guest's CPUs run.
pub fn resume(monitor: &dyn Commands) -> Result<()> {
    monitor.execute("cont", Value::Null).map(drop)
}
