//! Snapshots of a running guest, through its QMP monitor.
//!
//! Source of commands and their meaning: QEMU's QMP reference (7.2).

use std::os::fd::BorrowedFd;
use std::time::Duration;

use serde_json::Value;

use crate::data::Beside;
use crate::error::Result;
use crate::uuid;

pub mod agent;
#[cfg(test)]
mod agent_tests;
#[cfg(test)]
mod beside_tests;
pub mod external;
#[cfg(test)]
mod guest;
#[cfg(test)]
mod guest_tests;
pub mod internal;
mod job;
pub mod layers;
mod memory;
pub mod merge;
mod monitor;
#[cfg(test)]
mod monitor_tests;
mod nodes;
mod overlay;
pub mod status;
mod wire;

pub use agent::{Agent, AgentCommands};
pub use external::{Afterwards, External, Inside, Meanwhile, MemoryWanted};
pub use job::end_orphans;
pub use memory::{KeptMemory, is_memory_file};
pub use monitor::Monitor;
pub(crate) use monitor::answered;
pub use overlay::{NewOverlay, Origin};
pub use status::Status;

/// Something that QMP commands can be given to.
pub trait Commands: Send + Sync {
    /// Gives a command and answers its value. `arguments` is an object, or null for none; a
    /// descriptor travels with the command (SCM_RIGHTS).
    fn execute_with(
        &self,
        command: &str,
        arguments: Value,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<Value>;

    /// Waits that long, or less if something happened in the guest meanwhile.
    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Whether the guest is known to have gone.
    fn is_gone(&self) -> bool {
        false
    }

    /// Whether the guest is seen to be there; not, where that cannot be told without asking it.
    fn is_connected(&self) -> bool {
        false
    }

    /// Gives a command without a descriptor.
    fn execute(&self, command: &str, arguments: Value) -> Result<Value> {
        self.execute_with(command, arguments, None)
    }

    /// As [`Commands::execute`], of what takes long: the caller does its own work meanwhile.
    fn execute_beside(&self, command: &str, arguments: Value, beside: Beside<'_>) -> Result<Value> {
        beside.work();
        self.execute(command, arguments)
    }
}

/// A name for something in QEMU that nobody else has given. At most 31 bytes, QEMU's bound for
/// nodes.
fn fresh_name(kind: &str) -> Result<String> {
    let random = u128::from_be_bytes(uuid::random()?) >> 80;
    Ok(format!("{}{random:012x}", beginning(kind)))
}

/// Whether it is one of those names.
fn is_fresh_name(kind: &str, name: &str) -> bool {
    name.starts_with(&beginning(kind))
}

fn beginning(kind: &str) -> String {
    format!("virsnap-{kind}-")
}
