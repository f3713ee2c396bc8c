//! Starts a program and learns how it ended, also in a process that reaps all children itself.
//!
//! std starts the child with no signal blocked and SIGPIPE at its default, whatever the caller's
//! threads have. Nothing that is opened here survives an exec except the child's three streams.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus};

use crate::data::progress::{Progress, Wish};
use crate::limits;
use crate::memory;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With exit status 0.
    Success,
    /// With that exit status.
    Status(i32),
    /// By that signal.
    Signal(i32),
    /// Somebody else took the exit status.
    Unknown,
    /// It was killed, as the one who watches wants.
    Stopped,
}

/// What a program left.
#[derive(Debug)]
pub(super) struct Outcome {
    pub ending: Ending,
    /// The beginning of what it wrote to stdout and stderr.
    pub output: String,
    /// How its error lines begin: its name and a colon.
    prefix: String,
}

impl Outcome {
    /// What the program gave as the cause, or how it ended, fit for an error message.
    pub fn reason(&self) -> String {
        const LONGEST: usize = 500;
        // QEMU's programs put their name before an error, and hints without it below.
        let mut lines = self
            .output
            .split(['\n', '\r'])
            .rev()
            .filter(|line| !line.trim().is_empty() && percent(line).is_none());
        let last = lines.clone().next();
        let cause = lines.find(|line| line.starts_with(&self.prefix)).or(last);
        match (cause, self.ending) {
            (Some(line), _) => line
                .trim()
                .chars()
                .map(|character| {
                    if character.is_control() {
                        '?'
                    } else {
                        character
                    }
                })
                .take(LONGEST)
                .collect(),
            (None, Ending::Success) => "exit status 0".to_owned(),
            (None, Ending::Status(status)) => format!("exit status {status}"),
            (None, Ending::Signal(signal)) => format!("killed by signal {signal}"),
            (None, Ending::Unknown) => "exit status taken by another thread".to_owned(),
            (None, Ending::Stopped) => "stopped on request".to_owned(),
        }
    }
}

/// A program at work. It must be given to [`Running::finish`], or it stays as a zombie.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    process: Result<OwnedFd, Errno>,
    output: File,
    prefix: String,
}

/// Starts a program by its argument vector.
///
/// `lock` becomes its standard input: a descriptor that it has as long as it lives, and that only it
/// gets, whatever other threads start meanwhile.
pub(super) fn start<'a>(
    program: &Path,
    arguments: impl IntoIterator<Item = &'a OsStr>,
    lock: Option<BorrowedFd<'_>>,
) -> io::Result<Running> {
    let output = output_file()?;
    let stdin = match lock {
        Some(lock) => Stdio::from(lock.try_clone_to_owned()?),
        None => Stdio::null(),
    };
    let child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(stdin)
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .spawn()
        .inspect_err(|error| {
            // The C library allocates for it, too.
            if error.kind() == io::ErrorKind::OutOfMemory {
                memory::note_refusal();
            }
        })?;
    let process = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    let prefix = format!("{}: ", program.file_name().unwrap_or_default().display());
    Ok(Running {
        child,
        process,
        output,
        prefix,
    })
}

/// A file in memory, with a fixed size: what is written beyond it is refused to the program.
///
/// Not a pipe: nobody has to read it for the program to go on, and a child that another thread of
/// the caller forks meanwhile cannot keep its end open.
fn output_file() -> io::Result<File> {
    let file = rustix::fs::memfd_create(
        "virsnap-program-output",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?;
    rustix::fs::ftruncate(&file, u64::from(limits::PROGRAM_OUTPUT_BYTES))?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK)?;
    Ok(File::from(file))
}

impl Running {
    /// As [`Running::finish`], of a program that was asked to show how far it is (`-p`) in work on so
    /// many bytes. It is killed when it is to stop.
    pub fn finish_watched(self, bytes: u64, watch: &dyn Progress) -> Outcome {
        let mut is_stopped = false;
        while let Ok(process) = &self.process
            && !is_stopped
            && is_running(process)
        {
            let done = latest_percent(&written(&self.output)).map_or(0, |part| share(bytes, part));
            is_stopped = watch.report(done, bytes) == Wish::Stop
                && rustix::process::pidfd_send_signal(process, Signal::KILL).is_ok();
        }
        let mut outcome = self.finish();
        if is_stopped && matches!(outcome.ending, Ending::Signal(_) | Ending::Unknown) {
            outcome.ending = Ending::Stopped;
        }
        outcome
    }

    /// Waits until the program has ended.
    pub fn finish(mut self) -> Outcome {
        let ending = match &self.process {
            Ok(process) => wait(process),
            // Gone and reaped already.
            Err(Errno::SRCH) => Ending::Unknown,
            // Linux before 5.3. ECHILD has the same meaning here, but a process id that was
            // reaped and given to another child cannot be told from ours.
            Err(_) => self
                .child
                .wait()
                .map_or(Ending::Unknown, Ending::from_status),
        };
        Outcome {
            ending,
            output: written(&self.output),
            prefix: self.prefix,
        }
    }
}

/// Waits a moment, and answers whether the program has not ended yet.
fn is_running(process: &OwnedFd) -> bool {
    let mut ends = [PollFd::new(process, PollFlags::IN)];
    let moment = Timespec::try_from(limits::JOB_LOOK).ok();
    matches!(
        rustix::event::poll(&mut ends, moment.as_ref()),
        Ok(0) | Err(Errno::INTR)
    )
}

/// The last `(12.34/100%)` in what a program says, in hundredths of a percent.
fn latest_percent(output: &str) -> Option<u64> {
    output.split(['\n', '\r']).rev().find_map(percent)
}

fn percent(line: &str) -> Option<u64> {
    let inside = line.trim().strip_prefix('(')?;
    let (whole, hundredths) = inside.strip_suffix("/100%)")?.split_once('.')?;
    let hundredths = hundredths
        .parse::<u64>()
        .ok()
        .filter(|_| hundredths.len() == 2)?;
    Some(whole.parse::<u64>().ok()?.min(100) * 100 + hundredths)
}

/// So many hundredths of a percent of a number.
fn share(number: u64, part: u64) -> u64 {
    let share = u128::from(number) * u128::from(part) / 10_000;
    u64::try_from(share).unwrap_or(number).min(number)
}

/// Waits for the child behind a descriptor.
fn wait(process: &OwnedFd) -> Ending {
    loop {
        match rustix::process::waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) => return Ending::from_wait(&status),
            Ok(None) | Err(Errno::INTR) => {}
            // ECHILD: waitid blocks as long as the child lives, even if SIGCHLD is ignored or
            // another thread waits too. So it has ended, and its status went elsewhere.
            Err(_) => return Ending::Unknown,
        }
    }
}

impl Ending {
    fn from_wait(status: &WaitIdStatus) -> Ending {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(0), _) => Ending::Success,
            (Some(code), _) => Ending::Status(code),
            (None, Some(signal)) => Ending::Signal(signal),
            (None, None) => Ending::Unknown,
        }
    }

    fn from_status(status: ExitStatus) -> Ending {
        match (status.code(), status.signal()) {
            (Some(0), _) => Ending::Success,
            (Some(code), _) => Ending::Status(code),
            (None, Some(signal)) => Ending::Signal(signal),
            (None, None) => Ending::Unknown,
        }
    }
}

/// What the program wrote: the file up to the zeros that it was made of.
fn written(output: &File) -> String {
    let mut bytes = vec![0; limits::PROGRAM_OUTPUT_BYTES as usize];
    let length = output.read_at(&mut bytes, 0).unwrap_or(0);
    bytes.truncate(length);
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Outcome {
        start(
            Path::new("sh"),
            [OsStr::new("-c"), OsStr::new(script)],
            None,
        )
        .unwrap()
        .finish()
    }

    #[test]
    fn endings_are_told_apart() {
        assert_eq!(shell("exit 0").ending, Ending::Success);
        assert_eq!(shell("exit 7").ending, Ending::Status(7));
        assert_eq!(shell("kill -9 $$").ending, Ending::Signal(9));
    }

    #[test]
    fn reason_is_the_last_line_without_control_characters() {
        let outcome = shell("echo first; printf 'se\\033cond\\n\\n' >&2; exit 1");
        assert_eq!(outcome.reason(), "se?cond");
        assert_eq!(shell("exit 3").reason(), "exit status 3");
    }

    #[test]
    fn reason_is_the_error_and_not_the_hint_below() {
        let outcome = shell("echo 'sh: no lock'; echo 'Is another process using it?'; exit 1");
        assert_eq!(outcome.reason(), "sh: no lock");
    }

    #[test]
    fn what_is_done_is_told_and_is_no_reason() {
        for (line, part) in [
            ("    (0.00/100%)", Some(0)),
            ("(12.34/100%)", Some(1234)),
            ("    (100.00/100%)", Some(10_000)),
            ("(999.99/100%)", Some(10_099)),
            ("(1.5/100%)", None),
            ("(x.00/100%)", None),
            ("12.34/100%", None),
            ("", None),
        ] {
            assert_eq!(percent(line), part, "{line}");
        }
        assert_eq!(share(u64::MAX, 10_099), u64::MAX);
        assert_eq!(share(8_000, 1_234), 987);
        let failing = "printf '  (0.00/100%%)\r  (33.10/100%%)\rsh: no space\n'; exit 1";
        let outcome = shell(failing);
        assert_eq!(outcome.reason(), "sh: no space");
        assert_eq!(latest_percent(&outcome.output), Some(3310));
    }

    #[test]
    fn a_program_that_is_to_stop_is_killed() {
        struct Stop;
        impl Progress for Stop {
            fn report(&self, _done: u64, _total: u64) -> Wish {
                Wish::Stop
            }
        }
        let arguments = [OsStr::new("100")];
        let running = start(Path::new("sleep"), arguments, None).unwrap();
        assert_eq!(running.finish_watched(1, &Stop).ending, Ending::Stopped);
        let running = start(Path::new("true"), [], None).unwrap();
        assert_eq!(running.finish_watched(1, &Stop).ending, Ending::Success);
    }

    #[test]
    fn endless_output_is_bounded() {
        let outcome = shell("yes 12345678 2>/dev/null | head -c 10000000 || true; exit 0");
        assert_eq!(outcome.output.len(), limits::PROGRAM_OUTPUT_BYTES as usize);
    }

    #[test]
    fn locale_is_c_and_stdin_is_empty() {
        assert_eq!(shell("cat; echo $LC_ALL").output, "C\n");
    }

    #[test]
    fn missing_program_is_not_found() {
        let error = start(Path::new("virsnap-no-such-program"), [], None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
