//! Jobs of QEMU: started, followed to their end, dismissed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Commands;
use crate::data::Beside;
use crate::data::progress::{Progress, Wish};
use crate::error::{Error, Result};
use crate::limits;

/// What names of jobs have.
const KIND: &str = "job";

/// A job that was started, under a name of its own.
pub(super) struct Job<'a> {
    monitor: &'a dyn Commands,
    action: &'static str,
    id: String,
}

/// What `query-jobs` tells of one job.
struct Seen {
    status: String,
    done: u64,
    total: u64,
    error: Option<String>,
}

impl<'a> Job<'a> {
    /// Starts a job. It stays until it is dismissed, whatever its command's defaults are.
    pub fn start(
        monitor: &'a dyn Commands,
        action: &'static str,
        command: &str,
        mut arguments: Value,
        work: Beside<'_>,
    ) -> Result<Job<'a>> {
        let id = super::fresh_name(KIND)?;
        if let Some(arguments) = arguments.as_object_mut() {
            arguments.insert("job-id".to_owned(), id.clone().into());
        }
        match monitor.execute_beside(command, arguments, work) {
            // It may have been started all the same: following it will tell.
            Ok(_) | Err(Error::MonitorSlow { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Job {
            monitor,
            action,
            id,
        })
    }

    /// Follows the job to its end. A job that was told to stop is followed too.
    ///
    /// A job may keep QEMU's main loop busy, and so the monitor silent, for as long as it takes to
    /// write the guest's memory.
    pub fn finish(&self, progress: &dyn Progress) -> Result<()> {
        let mut is_told_to_stop = false;
        let mut last_answer = Instant::now();
        loop {
            let seen = match self.look() {
                Ok(seen) => seen,
                Err(Error::MonitorSlow { .. }) if last_answer.elapsed() < limits::JOB_SILENCE => {
                    continue;
                }
                Err(error) => return Err(self.abandon(error)),
            };
            last_answer = Instant::now();
            let wish = progress.report(seen.done, seen.total);
            match seen.status.as_str() {
                "concluded" => return self.conclude(seen, is_told_to_stop),
                "null" => return Err(self.failed("it is gone")),
                // Its answer may be an error if the job has gone on meanwhile: the next look tells.
                "ready" if !is_told_to_stop => drop(self.tell("job-complete")),
                "pending" if !is_told_to_stop => drop(self.tell("job-finalize")),
                _ => {}
            }
            if wish == Wish::Stop && !is_told_to_stop {
                is_told_to_stop = self.tell("job-cancel").is_ok();
            }
            self.monitor.wait(limits::JOB_LOOK);
        }
    }

    /// A job that cannot be followed must not go on by itself.
    fn abandon(&self, cause: Error) -> Error {
        match self.stop() {
            Ok(()) => cause,
            Err(undo) => cause.with_failed_undo(&undo),
        }
    }

    fn stop(&self) -> Result<()> {
        let stopped = wait_until(self.monitor, limits::MONITOR_REPLY, || {
            let _ = self.tell("job-cancel");
            let _ = self.tell("job-dismiss");
            match self.look() {
                Ok(_) | Err(Error::MonitorSlow { .. }) => Ok(false),
                Err(Error::JobFailed { .. }) => Ok(true),
                // Without an answer nobody knows that it is gone.
                Err(error) => Err(error),
            }
        });
        match stopped {
            Ok(true) => Ok(()),
            _ => Err(self.failed("it goes on")),
        }
    }

    fn look(&self) -> Result<Seen> {
        let answer = self.monitor.execute("query-jobs", Value::Null)?;
        let mine = jobs(&answer)
            .find(|job| job.get("id").and_then(Value::as_str) == Some(&self.id))
            .ok_or_else(|| self.failed("it is gone"))?;
        let text = |key| mine.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key| mine.get(key).and_then(Value::as_u64).unwrap_or(0);
        Ok(Seen {
            status: text("status").unwrap_or_default(),
            done: number("current-progress"),
            total: number("total-progress"),
            error: text("error"),
        })
    }

    fn conclude(&self, seen: Seen, is_told_to_stop: bool) -> Result<()> {
        // A job that nobody dismisses blocks nothing but its name.
        let _ = self.tell("job-dismiss");
        match seen.error {
            None => Ok(()),
            Some(_) if is_told_to_stop => Err(Error::Cancelled {
                action: self.action,
            }),
            Some(reason) => Err(self.failed(&reason)),
        }
    }

    fn tell(&self, command: &str) -> Result<()> {
        self.monitor
            .execute(command, json!({ "id": self.id }))
            .map(drop)
    }

    fn failed(&self, reason: &str) -> Error {
        Error::JobFailed {
            action: self.action,
            job: self.id.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// Ends the jobs that an operation has left behind whose process died, or lost its monitor. Whoever
/// calls has the domain's lock: no other operation is under way.
pub fn end_orphans(monitor: &dyn Commands) -> Result<()> {
    let answer = monitor.execute("query-jobs", Value::Null)?;
    let ids = jobs(&answer).filter_map(|job| job.get("id")?.as_str());
    for id in ids.filter(|id| super::is_fresh_name(KIND, id)) {
        let orphan = Job {
            monitor,
            action: "end what was cut off",
            id: id.to_owned(),
        };
        orphan.stop()?;
    }
    Ok(())
}

fn jobs(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.as_array().into_iter().flatten()
}

/// Starts a job and follows it to its end.
pub(super) fn run(
    monitor: &dyn Commands,
    action: &'static str,
    command: &str,
    arguments: Value,
    progress: &dyn Progress,
) -> Result<()> {
    let nothing = Beside::default();
    run_beside(monitor, action, command, arguments, progress, nothing)
}

/// As [`run`]; the caller does its own work while the job does its.
pub(super) fn run_beside(
    monitor: &dyn Commands,
    action: &'static str,
    command: &str,
    arguments: Value,
    progress: &dyn Progress,
    work: Beside<'_>,
) -> Result<()> {
    Job::start(monitor, action, command, arguments, work)?.finish(progress)
}

/// Waits, until a condition holds, in the same steps as for a job.
pub(super) fn wait_until(
    monitor: &dyn Commands,
    time: Duration,
    mut is_over: impl FnMut() -> Result<bool>,
) -> Result<bool> {
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        if is_over()? {
            return Ok(true);
        }
        monitor.wait(limits::JOB_LOOK);
    }
    Ok(false)
}
