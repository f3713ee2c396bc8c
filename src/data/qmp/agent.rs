//! The guest agent: file systems frozen for a moment, never longer than meant.
//!
//! The agent is a process in the guest behind a serial line: it may be absent, busy or hostile.
//! Each request is a connection of its own that begins by finding the agent's place in the stream
//! (`guest-sync-delimited`), so an answer to an older request is never taken for ours. Source:
//! QEMU's guest agent reference.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::wire::{Fault, Wire};
use crate::error::{Error, Result};
use crate::{limits, uuid};

/// The byte that the agent puts in front of the answer to `guest-sync-delimited`, and that makes
/// its parser forget what came before. It is in no valid UTF-8 text.
const SENTINEL: u8 = 0xff;

const THAW: &str = "guest-fsfreeze-thaw";

/// Something that guest agent commands can be given to.
pub trait AgentCommands: Send + Sync {
    /// Gives a command without arguments and answers its value, within that time.
    fn command(&self, command: &str, time: Duration) -> Result<Value>;
}

/// A guest agent's socket.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
}

impl Agent {
    /// The agent behind that socket. Nothing is asked yet.
    pub fn new(socket: PathBuf) -> Agent {
        Agent { socket }
    }

    /// Where it is.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A connection on which the next line is the answer to the next request, which may be sent
    /// along.
    fn synchronized(&self, along: &str) -> Result<Wire> {
        let deadline = Instant::now() + limits::AGENT_REPLY;
        let lost = |fault: Fault| self.lost("guest-sync-delimited", &fault);
        let mut wire = Wire::connect(&self.socket, deadline).map_err(lost)?;
        let id = sync_id()?;
        let request = json!({ "execute": "guest-sync-delimited", "arguments": { "id": id } });
        let mut bytes = vec![SENTINEL];
        bytes.extend_from_slice(request.to_string().as_bytes());
        bytes.push(b'\n');
        bytes.extend_from_slice(along.as_bytes());
        wire.send(&bytes, None, deadline).map_err(lost)?;
        loop {
            // Whatever stands before the sentinel is older.
            wire.until(SENTINEL, deadline).map_err(lost)?;
            let answer = wire.object(deadline).map_err(lost)?;
            if answer.get("return").and_then(Value::as_u64) == Some(id) {
                return Ok(wire);
            }
        }
    }

    fn lost(&self, command: &str, fault: &Fault) -> Error {
        Error::AgentLost {
            reason: format!(
                "agent '{}' {} ('{command}')",
                self.socket.display(),
                fault.reason()
            ),
        }
    }
}

impl AgentCommands for Agent {
    fn command(&self, command: &str, time: Duration) -> Result<Value> {
        let line = format!("{}\n", json!({ "execute": command }));
        // An agent that hangs may wake when nobody waits any more: it finds the thaw then. No other
        // command may come too late.
        let (along, line) = match command {
            THAW => (&*line, ""),
            _ => ("", &*line),
        };
        let mut wire = self.synchronized(along)?;
        let deadline = Instant::now() + time;
        let lost = |fault: Fault| self.lost(command, &fault);
        wire.send(line.as_bytes(), None, deadline).map_err(lost)?;
        let mut answer = wire.object(deadline).map_err(lost)?;
        if let Some(value) = answer.get_mut("return") {
            return Ok(value.take());
        }
        let reason = answer.pointer("/error/desc").and_then(Value::as_str);
        Err(refused(command, reason.unwrap_or("no reason given")))
    }
}

/// A number that no earlier client has used. JSON numbers are exact up to 2^53.
fn sync_id() -> Result<u64> {
    let random = u128::from_be_bytes(uuid::random()?);
    Ok(u64::try_from(random % (1 << 48)).unwrap_or_default())
}

fn refused(command: &str, reason: &str) -> Error {
    Error::AgentRefused {
        command: command.to_owned(),
        reason: reason.chars().take(1000).collect(),
    }
}

/// File systems of a guest that hold still. They are thawed when this goes, at the latest.
pub struct Frozen<'a> {
    agent: &'a dyn AgentCommands,
    is_thawed: bool,
    file_systems: u64,
}

/// Freezes the file systems of a guest. One that was frozen already belongs to somebody else and
/// stays so; one that froze nothing has not been quiesced.
pub fn freeze(agent: &dyn AgentCommands) -> Result<Frozen<'_>> {
    const FREEZE: &str = "guest-fsfreeze-freeze";
    let status = agent.command("guest-fsfreeze-status", limits::AGENT_REPLY)?;
    if status.as_str() != Some("thawed") {
        return Err(refused(FREEZE, "the file systems are frozen already"));
    }
    // From here on there may be something to thaw, whatever the answer is.
    let mut frozen = Frozen {
        agent,
        is_thawed: false,
        file_systems: 0,
    };
    match agent.command(FREEZE, limits::AGENT_FREEZE) {
        Ok(count) => frozen.file_systems = count.as_u64().unwrap_or(0),
        Err(cause) => return Err(frozen.give_up(cause)),
    }
    if frozen.file_systems == 0 {
        return Err(frozen.give_up(refused(FREEZE, "the guest froze no file system")));
    }
    Ok(frozen)
}

impl Frozen<'_> {
    /// How many file systems hold still.
    pub fn file_systems(&self) -> u64 {
        self.file_systems
    }

    /// Lets them go on. Tried again once: a guest that stays frozen is of no use to anybody.
    pub fn thaw(mut self) -> Result<()> {
        self.thaw_once().or_else(|_| self.thaw_once())
    }

    fn thaw_once(&mut self) -> Result<()> {
        self.agent.command(THAW, limits::AGENT_FREEZE)?;
        self.is_thawed = true;
        Ok(())
    }

    fn give_up(self, cause: Error) -> Error {
        match self.thaw() {
            Ok(()) => cause,
            Err(undo) => cause.with_failed_undo(&undo),
        }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if !self.is_thawed {
            // The operation has an error of its own to tell.
            let _ = self.thaw_once();
        }
    }
}
