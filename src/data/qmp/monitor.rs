//! One QMP connection, shared by threads.
//!
//! An answer belongs to the command whose id it carries. Events may come at any time between;
//! they only wake those who wait ([`Monitor::wait`]), because everything that matters here is
//! asked for. Source: QEMU's docs/interop/qmp-spec.txt.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::PollFlags;
use serde_json::{Value, json};

use super::Commands;
use super::wire::{self, Fault, Wire};
use crate::data::Beside;
use crate::error::{Error, Result};
use crate::limits;

/// A connection to a guest's monitor.
#[derive(Debug)]
pub struct Monitor {
    socket: PathBuf,
    /// To wait for events while another thread may use the channel.
    descriptor: Arc<OwnedFd>,
    channel: Mutex<Channel>,
    reply_time: Duration,
}

#[derive(Debug)]
struct Channel {
    wire: Wire,
    last_id: u64,
    /// Why it cannot be used any more: what follows on the wire has no known meaning.
    broken: Option<String>,
    /// The peer has closed the connection: QEMU does so when it ends.
    is_closed: bool,
}

impl Monitor {
    /// As [`Monitor::connect_within`], with the usual time limit.
    pub fn connect(socket: &Path) -> Result<Monitor> {
        Monitor::connect_within(socket, limits::MONITOR_REPLY)
    }

    /// Connects and agrees on capabilities: none are needed. Each answer may take that long.
    pub fn connect_within(socket: &Path, reply_time: Duration) -> Result<Monitor> {
        let deadline = Instant::now() + reply_time;
        let lost = |fault: Fault| lost(socket, &fault);
        let mut wire = Wire::connect(socket, deadline).map_err(lost)?;
        let greeting = wire.object(deadline).map_err(|fault| match fault {
            Fault::Late => Error::MonitorLost {
                socket: socket.to_owned(),
                reason: "did not greet; another program may hold it".to_owned(),
            },
            fault => lost(fault),
        })?;
        if !greeting.get("QMP").is_some_and(Value::is_object) {
            return Err(Error::MonitorLost {
                socket: socket.to_owned(),
                reason: "is no QMP server".to_owned(),
            });
        }
        let monitor = Monitor {
            socket: socket.to_owned(),
            descriptor: wire.socket(),
            channel: Mutex::new(Channel {
                wire,
                last_id: 0,
                broken: None,
                is_closed: false,
            }),
            reply_time,
        };
        monitor.execute("qmp_capabilities", Value::Null)?;
        Ok(monitor)
    }

    /// Where it is.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn slow(&self, command: &str) -> Error {
        Error::MonitorSlow {
            socket: self.socket.clone(),
            command: command.to_owned(),
            seconds: self.reply_time.as_secs(),
        }
    }

    /// Gives a command, and does the caller's work until the answer is looked for.
    fn give(
        &self,
        command: &str,
        arguments: Value,
        descriptor: Option<BorrowedFd<'_>>,
        beside: Beside<'_>,
    ) -> Result<Value> {
        let deadline = Instant::now() + self.reply_time;
        let mut channel = self
            .channel
            .try_lock_until(deadline)
            .ok_or_else(|| self.slow(command))?;
        if let Some(reason) = &channel.broken {
            return Err(Error::MonitorLost {
                socket: self.socket.clone(),
                reason: reason.clone(),
            });
        }
        let sent = channel.send(command, arguments, descriptor, deadline);
        let working = Instant::now();
        beside.work();
        let deadline = deadline + working.elapsed();
        match sent.and_then(|id| channel.answer(id, deadline)) {
            Ok(answer) => answered(command, answer),
            Err(Fault::Late) => Err(self.slow(command)),
            Err(fault) => {
                channel.broken = Some(fault.reason());
                channel.is_closed = matches!(fault, Fault::Closed);
                Err(lost(&self.socket, &fault))
            }
        }
    }
}

impl Commands for Monitor {
    fn execute_with(
        &self,
        command: &str,
        arguments: Value,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<Value> {
        self.give(command, arguments, descriptor, Beside::default())
    }

    fn execute_beside(&self, command: &str, arguments: Value, beside: Beside<'_>) -> Result<Value> {
        self.give(command, arguments, None, beside)
    }

    fn is_gone(&self) -> bool {
        self.channel.lock().is_closed
    }

    /// The kernel closes the connection when QEMU ends, however it ends.
    fn is_connected(&self) -> bool {
        let is_usable = self.channel.try_lock();
        let is_usable = is_usable.is_none_or(|channel| channel.broken.is_none());
        let ended = PollFlags::HUP | PollFlags::RDHUP;
        is_usable
            && matches!(
                wire::poll(&self.descriptor, ended, Duration::ZERO),
                Ok(false)
            )
    }

    fn wait(&self, time: Duration) {
        // An event that came together with an answer has been received: no poll tells of it.
        let channel = self.channel.try_lock();
        if channel.is_some_and(|channel| channel.broken.is_none() && channel.wire.has_more()) {
            return;
        }
        // A broken socket is ready at once and would be asked without pause.
        let before = Instant::now();
        let is_ready = wire::poll(&self.descriptor, PollFlags::IN, time);
        let rest = time.saturating_sub(before.elapsed());
        if is_ready.is_err() {
            std::thread::sleep(rest);
        }
    }
}

impl Channel {
    /// Sends a command; answers its id.
    fn send(
        &mut self,
        command: &str,
        arguments: Value,
        descriptor: Option<BorrowedFd<'_>>,
        deadline: Instant,
    ) -> std::result::Result<u64, Fault> {
        self.last_id += 1;
        let id = self.last_id;
        let mut request = json!({ "execute": command, "id": id });
        if let (Value::Object(arguments), Some(request)) = (arguments, request.as_object_mut()) {
            request.insert("arguments".to_owned(), arguments.into());
        }
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        self.wire.send(&line, descriptor, deadline)?;
        Ok(id)
    }

    /// The answer to the last command.
    fn answer(&mut self, id: u64, deadline: Instant) -> std::result::Result<Value, Fault> {
        loop {
            let message = self.wire.object(deadline)?;
            if message.get("event").is_some() {
                continue;
            }
            match message.get("id").and_then(Value::as_u64) {
                Some(answered) if answered == id => return Ok(message),
                // The answer to a command that was given up.
                Some(earlier) if earlier < id => {}
                _ => return Err(unasked(&message)),
            }
        }
    }
}

fn unasked(message: &Value) -> Fault {
    let text: String = message.to_string().chars().take(200).collect();
    Fault::NotJson(format!("an answer that nobody asked for, {text}"))
}

/// The value of an answer, or the error in it.
pub(crate) fn answered(command: &str, mut answer: Value) -> Result<Value> {
    if let Some(value) = answer.get_mut("return") {
        return Ok(value.take());
    }
    let reason = answer
        .pointer("/error/desc")
        .and_then(Value::as_str)
        .unwrap_or("the answer holds neither a value nor an error");
    Err(Error::MonitorRefused {
        command: command.to_owned(),
        reason: reason.chars().take(1000).collect(),
    })
}

fn lost(socket: &Path, fault: &Fault) -> Error {
    Error::MonitorLost {
        socket: socket.to_owned(),
        reason: fault.reason(),
    }
}
