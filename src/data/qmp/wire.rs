//! Lines of JSON on a unix socket. Each wait has a deadline, each line a bound.
//!
//! Nothing is waited for in a system call that does not know the deadline: connecting, reading and
//! writing are non-blocking, `poll` waits. The nesting of a line is bounded by serde_json (128).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use serde_json::Value;

use crate::limits;

/// Why a line cannot be had or sent.
#[derive(Debug)]
pub(super) enum Fault {
    /// The peer went away.
    Closed,
    /// The deadline has passed.
    Late,
    /// The peer does not read: a command may be half on its way.
    Stuck,
    /// A line that never ends.
    TooLong,
    /// A line that is no JSON object.
    NotJson(String),
    /// A system call failed.
    Io(io::Error),
}

impl Fault {
    /// For `monitor '...'`: what it does.
    pub fn reason(&self) -> String {
        match self {
            Fault::Closed => "closed the connection".to_owned(),
            Fault::Late => "did not answer in time".to_owned(),
            Fault::Stuck => "does not take commands".to_owned(),
            Fault::TooLong => format!(
                "sent a line of more than {} bytes",
                limits::MONITOR_LINE_BYTES
            ),
            Fault::NotJson(reason) => format!("sent what is no JSON object: {reason}"),
            Fault::Io(error) => format!("cannot be used: {error}"),
        }
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Fault {
        match errno {
            Errno::PIPE | Errno::CONNRESET => Fault::Closed,
            errno => Fault::Io(errno.into()),
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Arc<OwnedFd>,
    received: Vec<u8>,
    /// How much of `received` has been looked through for the end of a line.
    scanned: usize,
}

impl Wire {
    /// Connects to a listening socket.
    pub fn connect(path: &Path, deadline: Instant) -> Result<Wire, Fault> {
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        loop {
            match rustix::net::connect(&socket, &address) {
                Ok(()) | Err(Errno::ISCONN) => break,
                Err(Errno::INTR) => {}
                // The listener's backlog is full. There is nothing to poll for.
                Err(Errno::AGAIN) => {
                    let left = remaining(deadline)?;
                    std::thread::sleep(left.min(Duration::from_millis(10)));
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Wire {
            socket: Arc::new(socket),
            received: Vec::new(),
            scanned: 0,
        })
    }

    /// The socket, to wait on without the connection.
    pub fn socket(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }

    /// Sends bytes, with a descriptor if there is one.
    pub fn send(
        &mut self,
        mut bytes: &[u8],
        mut descriptor: Option<BorrowedFd<'_>>,
        deadline: Instant,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() {
            match send_some(&self.socket, bytes, descriptor) {
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    descriptor = None;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(&self.socket, PollFlags::OUT, deadline).map_err(stuck)?,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Whether anything was received that nobody has taken yet.
    pub fn has_more(&self) -> bool {
        !self.received.is_empty()
    }

    /// The next line, which must be a JSON object.
    pub fn object(&mut self, deadline: Instant) -> Result<Value, Fault> {
        let line = self.until(b'\n', deadline)?;
        match serde_json::from_slice(&line) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(_) => Err(Fault::NotJson("another value".to_owned())),
            Err(error) => Err(Fault::NotJson(error.to_string())),
        }
    }

    /// What comes before the next such byte. The byte itself is dropped.
    pub fn until(&mut self, end: u8, deadline: Instant) -> Result<Vec<u8>, Fault> {
        loop {
            let fresh = self.received.get(self.scanned..).unwrap_or_default();
            if let Some(place) = fresh.iter().position(|byte| *byte == end) {
                let rest = self.received.split_off(self.scanned + place + 1);
                let mut line = std::mem::replace(&mut self.received, rest);
                line.pop();
                self.scanned = 0;
                return Ok(line);
            }
            self.scanned = self.received.len();
            if self.scanned > limits::MONITOR_LINE_BYTES {
                return Err(Fault::TooLong);
            }
            self.receive(deadline)?;
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<(), Fault> {
        const CHUNK: usize = 16 * 1024;
        let mut chunk = [0; CHUNK];
        // Asked each time: a peer that never stops sending must not keep us.
        remaining(deadline)?;
        loop {
            match rustix::net::recv(&self.socket, &mut chunk, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(Fault::Closed),
                Ok((_, count)) => {
                    let fresh = chunk.get(..count).unwrap_or_default();
                    self.received.extend_from_slice(fresh);
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(&self.socket, PollFlags::IN, deadline)?,
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// MSG_NOSIGNAL: a peer that has gone must not end the program by SIGPIPE.
fn send_some(
    socket: &OwnedFd,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.map(|descriptor| [descriptor]);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)
}

/// Waits until the socket is ready or broken.
fn wait(socket: &OwnedFd, readiness: PollFlags, deadline: Instant) -> Result<(), Fault> {
    loop {
        if poll(socket, readiness, remaining(deadline)?)? {
            return Ok(());
        }
    }
}

/// Whether the socket became ready, or broke, within that time. A signal ends the wait early.
pub(super) fn poll(socket: &OwnedFd, readiness: PollFlags, time: Duration) -> Result<bool, Fault> {
    let time = Timespec::try_from(time).ok();
    let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), readiness)];
    match rustix::event::poll(&mut polled, time.as_ref()) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn stuck(fault: Fault) -> Fault {
    match fault {
        Fault::Late => Fault::Stuck,
        fault => fault,
    }
}

fn remaining(deadline: Instant) -> Result<Duration, Fault> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(Fault::Late)
    } else {
        Ok(left)
    }
}
