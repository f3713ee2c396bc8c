//! What the guest is doing, and making it stop and go on.

use serde_json::Value;

use super::Commands;
use crate::data::Guest;
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

    /// Somebody has stopped its CPUs, or they wait since its memory was saved.
    pub fn is_paused(&self) -> bool {
        matches!(
            self.word.as_str(),
            "paused" | "finish-migrate" | "postmigrate"
        )
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

/// Lets a guest go on that ran before a capture which was cut off, and may be paused by it.
pub fn go_on(monitor: &dyn Commands, before: Guest) -> Result<()> {
    if before == Guest::Running && Status::of(monitor)?.is_paused() {
        return resume(monitor);
    }
    Ok(())
}

/// What is captured while a guest waits.
pub type Beside<'a> = dyn Fn() -> Result<()> + 'a;

/// A guest that waits, if it has to.
pub struct Waiting<'a> {
    monitor: &'a dyn Commands,
    was_running: bool,
}

/// Makes the guest wait and captures what there is to capture beside it. Without that it goes on, and
/// after a failure, too.
pub fn wait<'a>(monitor: &'a dyn Commands, beside: Option<&Beside<'_>>) -> Result<Waiting<'a>> {
    let Some(beside) = beside else {
        return Ok(Waiting {
            monitor,
            was_running: false,
        });
    };
    let was_running = Status::of(monitor)?.is_running();
    if was_running {
        pause(monitor)?;
    }
    let waiting = Waiting {
        monitor,
        was_running,
    };
    match beside() {
        Ok(()) => Ok(waiting),
        Err(cause) => Err(match waiting.release() {
            Ok(()) => cause,
            Err(undo) => cause.with_failed_undo(&undo),
        }),
    }
}

/// Does something while the guest waits, if there is anything to capture beside it.
pub fn waiting_for(
    monitor: &dyn Commands,
    beside: Option<&Beside<'_>>,
    then: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let waiting = wait(monitor, beside)?;
    let done = then();
    match (done, waiting.release()) {
        (Err(cause), Err(undo)) => Err(cause.with_failed_undo(&undo)),
        (done, released) => done.and(released),
    }
}

impl Waiting<'_> {
    /// A guest that ran goes on.
    pub fn release(self) -> Result<()> {
        if self.was_running {
            return resume(self.monitor).or_else(|_| resume(self.monitor));
        }
        Ok(())
    }
}
