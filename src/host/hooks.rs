//! What the program that owns a guest does with its own hands.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::data::progress::Wish;
use crate::error::Result;
use crate::snapshot::State;

/// In which state a guest is to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With its CPUs stopped.
    Paused,
    /// With its CPUs stopped, and waiting for incoming memory (QEMU's `-incoming defer`).
    Incoming,
}

/// A program's hooks. Each answers `None` for "do it yourself".
pub trait Hooks: Send + Sync {
    /// The guest's state.
    fn state(&self) -> Option<Result<State>> {
        None
    }

    /// The guest's definition.
    fn definition(&self) -> Option<Result<Arc<str>>> {
        None
    }

    /// The definition is another one from now on.
    fn set_definition(&self, _definition: &str) -> Option<Result<()>> {
        None
    }

    /// Whether guests can be started.
    fn can_start(&self) -> bool {
        false
    }

    /// Starts the guest, and attaches it to its domain.
    fn start(&self, _definition: &str, _start: Start) -> Option<Result<()>> {
        None
    }

    /// Ends the guest's process.
    fn stop(&self) -> Option<Result<()>> {
        None
    }

    /// Stops the guest's CPUs.
    fn pause(&self) -> Option<Result<()>> {
        None
    }

    /// Lets the guest's CPUs run.
    fn resume(&self) -> Option<Result<()>> {
        None
    }

    /// Whether monitor commands go through the program.
    fn has_monitor(&self) -> bool {
        false
    }

    /// Hands a line to the monitor and answers its answer, an object with `return` or `error`.
    fn monitor_command(
        &self,
        _line: &str,
        _descriptor: Option<BorrowedFd<'_>>,
    ) -> Option<Result<String>> {
        None
    }

    /// Whether agent commands go through the program.
    fn has_agent(&self) -> bool {
        false
    }

    /// Hands a line to the guest agent and answers its answer.
    fn agent_command(&self, _line: &str, _time: Duration) -> Option<Result<String>> {
        None
    }

    /// Captures the guest's data for a snapshot document.
    fn create_data(&self, _document: &str, _flags: u32) -> Option<Result<()>> {
        None
    }

    /// Makes the captured data the guest's again.
    fn revert_data(&self, _document: &str, _flags: u32) -> Option<Result<()>> {
        None
    }

    /// Drops the captured data.
    fn delete_data(&self, _document: &str) -> Option<Result<()>> {
        None
    }

    /// Whether the program captures, restores and drops data itself.
    fn has_own_data(&self) -> bool {
        false
    }

    /// How far a long operation is.
    fn progress(&self, _done: u64, _total: u64) -> Wish {
        Wish::GoOn
    }
}
