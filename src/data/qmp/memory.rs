//! The guest's memory in a file: libvirt's layout, a header, the definition, then QEMU's stream.
//!
//! Layout as libvirt's QEMU driver (9.0) writes and reads it: 16 bytes that say whether the file is
//! complete, then numbers of 32 bits in the host's order: version 2, bytes of the definition (with
//! its NUL), whether the guest ran, compression (0: none), place of a cookie (0: none), 14 times 0.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::overlay::{create_empty, remove};
use super::status::Status;
use super::{Commands, fresh_name, job};
use crate::data::progress::{Progress, Wish};
use crate::error::{Error, Result};
use crate::limits;

const COMPLETE: &[u8; 16] = b"LibvirtQemudSave";
const PARTIAL: &[u8; 16] = b"LibvirtQemudPart";
const HEADER_BYTES: usize = 92;
const VERSION: u32 = 2;
const ACTION: &str = "save of the guest's memory";

/// The capability by which QEMU stops before the end of a migration, and the status that it has then:
/// the guest has stopped, and still has its images.
const STOP_EARLY: &str = "pause-before-switchover";
const STOPPED_EARLY: &str = "pre-switchover";

/// What is done at the instant of which the memory is.
pub(super) type Instantly<'a> = &'a mut dyn FnMut() -> Result<()>;

/// As fast as it goes: the largest whole number of MiB in 63 bits.
const BANDWIDTH: u64 = 9_223_372_036_853_727_232;

/// A memory file that is being made.
pub(super) struct NewMemory {
    path: PathBuf,
    file: File,
}

impl NewMemory {
    /// Makes the file, marked as partial. One that holds anything is refused (docs/differences.md,
    /// D15).
    pub fn create(path: &Path, definition: &str, was_running: bool) -> Result<NewMemory> {
        let file = create_empty(path).map_err(|error| memory(path, &error))?;
        let new = NewMemory {
            path: path.to_owned(),
            file,
        };
        let header = header(PARTIAL, definition, was_running);
        match (&new.file).write_all(&header) {
            Ok(()) => Ok(new),
            Err(error) => {
                let cause = memory(path, &error);
                Err(new.take_back(cause))
            }
        }
    }

    /// Lets the guest write its memory behind the header. The guest is paused afterwards.
    pub fn fill(&self, monitor: &dyn Commands, progress: &dyn Progress) -> Result<()> {
        let settings = Settings::prepare(monitor)?;
        let outcome = send(monitor, &self.file, progress, None);
        let restored = settings.restore(monitor);
        outcome.and(restored)
    }

    /// The same of a guest that runs until all but the last of its memory is written, with what must be
    /// done between its stop and the end, when it gives its images away.
    pub fn fill_around(
        &self,
        monitor: &dyn Commands,
        progress: &dyn Progress,
        instantly: Instantly<'_>,
    ) -> Result<()> {
        let settings = Settings::prepare(monitor)?;
        let outcome = set_capabilities(monitor, [STOP_EARLY], true)
            .and_then(|()| send(monitor, &self.file, progress, Some(instantly)));
        let reset = set_capabilities(monitor, [STOP_EARLY], false);
        let restored = settings.restore(monitor);
        outcome.and(reset).and(restored)
    }

    /// Marks the file as complete, once it is durable.
    pub fn complete(&self) -> Result<()> {
        let durable = || -> io::Result<()> {
            self.file.sync_all()?;
            self.file.write_all_at(COMPLETE, 0)?;
            self.file.sync_all()?;
            match self.path.parent() {
                Some(directory) => File::open(directory)?.sync_all(),
                None => Ok(()),
            }
        };
        durable().map_err(|error| memory(&self.path, &error))
    }

    /// Removes the file.
    pub fn take_back(self, cause: Error) -> Error {
        match remove(&self.path) {
            Ok(()) => cause,
            Err(error) => cause.with_failed_undo(&memory(&self.path, &error)),
        }
    }
}

fn memory(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::MemoryFile {
        file: path.to_owned(),
        reason: format!("cannot be used: {error}"),
    }
}

fn header(magic: &[u8; 16], definition: &str, was_running: bool) -> Vec<u8> {
    let length = u32::try_from(definition.len() + 1).unwrap_or(u32::MAX);
    let mut bytes = magic.to_vec();
    for number in [VERSION, length, u32::from(was_running)] {
        bytes.extend_from_slice(&number.to_ne_bytes());
    }
    bytes.resize(HEADER_BYTES, 0);
    bytes.extend_from_slice(definition.as_bytes());
    bytes.push(0);
    bytes
}

/// Hands the file to QEMU and waits until the memory is in it.
fn send(
    monitor: &dyn Commands,
    file: &File,
    progress: &dyn Progress,
    mut instantly: Option<Instantly<'_>>,
) -> Result<()> {
    let name = hand_over(monitor, file)?;
    monitor.execute("migrate", json!({ "uri": format!("fd:{name}") }))?;
    let mut is_told_to_stop = false;
    let mut failure = None;
    let ended = follow(monitor, |migration| {
        let wish = progress.report(migration.done, migration.total);
        if migration.status == STOPPED_EARLY
            && wish == Wish::GoOn
            && let Some(instantly) = instantly.take()
        {
            let done = instantly().and_then(|()| go_on_from(monitor, STOPPED_EARLY));
            failure = done.err();
        }
        if (wish == Wish::Stop || failure.is_some()) && !is_told_to_stop {
            is_told_to_stop = monitor.execute("migrate_cancel", Value::Null).is_ok();
        }
    });
    let ended = ended.or_else(|cause| abandon(monitor, cause));
    if let Some(cause) = failure {
        return Err(cause);
    }
    match ended? {
        // Somebody else let it go on, or it does not stop there: the disks are of another instant.
        Ended::Completed if instantly.is_some() => Err(Error::JobFailed {
            action: ACTION,
            job: "migrate".to_owned(),
            reason: format!("it went on from '{STOPPED_EARLY}' before the disks were taken"),
        }),
        Ended::Completed => Ok(()),
        Ended::Cancelled => Err(Error::Cancelled { action: ACTION }),
        Ended::Failed(reason) => Err(Error::JobFailed {
            action: ACTION,
            job: "migrate".to_owned(),
            reason,
        }),
    }
}

/// Lets a migration go on that waits for it.
fn go_on_from(monitor: &dyn Commands, status: &str) -> Result<()> {
    let arguments = json!({ "state": status });
    monitor.execute("migrate-continue", arguments).map(drop)
}

/// A migration that cannot be followed must not go on by itself: the guest could not be resumed.
fn abandon(monitor: &dyn Commands, cause: Error) -> Result<Ended> {
    let _ = monitor.execute("migrate_cancel", Value::Null);
    match follow(monitor, |_| ()) {
        Ok(_) => Err(cause),
        Err(undo) => Err(cause.with_failed_undo(&undo)),
    }
}

/// Ends a migration that was begun by an operation which was cut off.
pub fn stop_sending(monitor: &dyn Commands) -> Result<()> {
    follow(monitor, |_| {
        let _ = monitor.execute("migrate_cancel", Value::Null);
    })
    .map(drop)
}

/// Takes back what an operation has set that was cut off: another migration would stop before its end.
pub fn forget_stop(monitor: &dyn Commands) -> Result<()> {
    set_capabilities(monitor, [STOP_EARLY], false)
}

/// Gives QEMU a descriptor of the file, under a name.
fn hand_over(monitor: &dyn Commands, file: &File) -> Result<String> {
    let name = fresh_name("memory")?;
    monitor.execute_with("getfd", json!({ "fdname": name }), Some(file.as_fd()))?;
    Ok(name)
}

/// How a migration is.
struct Migration {
    status: String,
    done: u64,
    total: u64,
    reason: Option<String>,
}

enum Ended {
    Completed,
    Cancelled,
    Failed(String),
}

fn follow(monitor: &dyn Commands, mut look: impl FnMut(&Migration)) -> Result<Ended> {
    loop {
        let migration = Migration::of(monitor)?;
        match migration.status.as_str() {
            "completed" => return Ok(Ended::Completed),
            "cancelled" => return Ok(Ended::Cancelled),
            "failed" => {
                let reason = migration.reason.unwrap_or("no reason given".to_owned());
                return Ok(Ended::Failed(reason));
            }
            "" => return Ok(Ended::Failed("QEMU knows of no migration".to_owned())),
            // One that is cancelled at the moment at which it stops early waits for this, for ever:
            // QEMU (7.2) looks whether it is cancelled before it lets go of its lock and waits.
            "cancelling" => drop(go_on_from(monitor, "cancelling")),
            _ => look(&migration),
        }
        monitor.wait(limits::JOB_LOOK);
    }
}

impl Migration {
    fn of(monitor: &dyn Commands) -> Result<Migration> {
        let answer = monitor.execute("query-migrate", Value::Null)?;
        let text = |key| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |place| answer.pointer(place).and_then(Value::as_u64).unwrap_or(0);
        let (total, left) = (number("/ram/total"), number("/ram/remaining"));
        Ok(Migration {
            status: text("status").unwrap_or_default(),
            done: total.saturating_sub(left),
            total,
            reason: text("error-desc"),
        })
    }
}

/// The guest's migration settings that do not fit a plain file, to be put back afterwards.
struct Settings {
    bandwidth: Option<u64>,
    capabilities: Vec<String>,
}

impl Settings {
    fn prepare(monitor: &dyn Commands) -> Result<Settings> {
        let parameters = monitor.execute("query-migrate-parameters", Value::Null)?;
        let known = monitor.execute("query-migrate-capabilities", Value::Null)?;
        let settings = Settings {
            bandwidth: parameters.get("max-bandwidth").and_then(Value::as_u64),
            capabilities: switched_on(&known),
        };
        settings.apply(monitor, BANDWIDTH, false)?;
        Ok(settings)
    }

    fn restore(&self, monitor: &dyn Commands) -> Result<()> {
        self.apply(monitor, self.bandwidth.unwrap_or(BANDWIDTH), true)
    }

    fn apply(&self, monitor: &dyn Commands, bandwidth: u64, state: bool) -> Result<()> {
        monitor.execute(
            "migrate-set-parameters",
            json!({ "max-bandwidth": bandwidth }),
        )?;
        if self.capabilities.is_empty() {
            return Ok(());
        }
        set_capabilities(monitor, self.capabilities.iter().map(String::as_str), state)
    }
}

fn set_capabilities<'a>(
    monitor: &dyn Commands,
    names: impl IntoIterator<Item = &'a str>,
    state: bool,
) -> Result<()> {
    let names = names.into_iter();
    let capabilities: Vec<Value> = names
        .map(|name| json!({ "capability": name, "state": state }))
        .collect();
    let arguments = json!({ "capabilities": capabilities });
    monitor
        .execute("migrate-set-capabilities", arguments)
        .map(drop)
}

/// Capabilities that are on. Events change nothing in the stream.
fn switched_on(known: &Value) -> Vec<String> {
    let list = known.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .filter(|entry| entry.get("state").and_then(Value::as_bool) == Some(true))
        .filter_map(|entry| entry.get("capability")?.as_str())
        .filter(|name| *name != "events")
        .map(str::to_owned)
        .collect()
}

/// Whether the file begins as a memory file does, complete or not.
pub fn is_memory_file(path: &Path) -> bool {
    let mut magic = [0; COMPLETE.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && [COMPLETE, PARTIAL].contains(&&magic)
}

/// A complete memory file.
#[derive(Debug)]
pub struct KeptMemory {
    path: PathBuf,
    file: File,
    /// The definition that the guest had.
    pub definition: String,
    /// Whether the guest ran.
    pub was_running: bool,
}

impl KeptMemory {
    /// Opens and checks a memory file.
    pub fn open(path: &Path) -> Result<KeptMemory> {
        let bad = |reason: &str| Error::MemoryFile {
            file: path.to_owned(),
            reason: reason.to_owned(),
        };
        let io = |error: io::Error| memory(path, &error);
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(io)?;
        if !file.metadata().map_err(io)?.is_file() {
            return Err(bad("is no regular file"));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header)
            .map_err(|_| bad("is no memory file: it is too short"))?;
        let (magic, numbers) = header.split_at(COMPLETE.len());
        if magic == PARTIAL {
            return Err(bad("is incomplete: its making was cut off"));
        }
        if magic != COMPLETE {
            return Err(bad("is no memory file"));
        }
        let mut numbers = numbers
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| u32::from_ne_bytes(*bytes));
        let mut number = || numbers.next().unwrap_or_default();
        let (version, length, was_running, compression) = (number(), number(), number(), number());
        if version != VERSION || compression != 0 {
            return Err(bad("has another version or is compressed"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limits::MEMORY_HEADER_BYTES {
            return Err(bad("is damaged: its definition is too long"));
        }
        let mut text = vec![0; length];
        file.read_exact(&mut text)
            .map_err(|_| bad("is cut off in its definition"))?;
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let definition = String::from_utf8(text.to_vec())
            .map_err(|_| bad("is damaged: its definition is not UTF-8"))?;
        Ok(KeptMemory {
            path: path.to_owned(),
            file,
            definition,
            was_running: was_running != 0,
        })
    }

    /// Lets a guest that waits for incoming state have the memory. It is paused afterwards.
    pub fn load(self, monitor: &dyn Commands, progress: &dyn Progress) -> Result<()> {
        if !Status::of(monitor)?.is_incoming() {
            return Err(Error::GuestState {
                detail: format!(
                    "the guest was not started to wait for the memory in '{}'",
                    self.path.display()
                ),
            });
        }
        // The descriptor's position goes with it: QEMU reads on behind the definition.
        let name = hand_over(monitor, &self.file)?;
        let uri = json!({ "uri": format!("fd:{name}") });
        monitor.execute("migrate-incoming", uri)?;
        let ended = follow(monitor, |migration| {
            // What was begun here cannot be cancelled; the guest's process is stopped instead.
            progress.report(migration.done, migration.total);
        })?;
        if let Ended::Completed = ended {
            let is_there = job::wait_until(monitor, limits::MONITOR_REPLY, || {
                Ok(!Status::of(monitor)?.is_incoming())
            })?;
            if is_there {
                return Ok(());
            }
        }
        Err(Error::MemoryFile {
            file: self.path,
            reason: "could not be loaded by the guest".to_owned(),
        })
    }
}
