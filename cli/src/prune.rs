//! `prune`: old snapshots go by a rule.

use chrono::{DateTime, Local};
use serde_json::{Value, json};

use crate::args;
use crate::change;
use crate::failure::{Failure, Outcome};
use crate::ffi::{self, Domain};
use crate::history::{self, History};
use crate::retention::{self, Rule, When};
use crate::terminal::{Terminal, put, put_json, table};
use crate::words;

/// One snapshot, and what becomes of it.
struct Fate {
    name: String,
    time: i64,
    /// Why it is kept; nothing if it goes.
    kept: Vec<String>,
    /// How much that gives back, where that can be known.
    freed: Option<u64>,
    result: End,
}

/// What has become of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Stays,
    WouldGo,
    Gone,
    Failed,
    NotTried,
}

impl End {
    /// For scripts.
    fn word(self) -> &'static str {
        match self {
            End::Stays => "stays",
            End::WouldGo => "would go",
            End::Gone => "gone",
            End::Failed => "failed",
            End::NotTried => "not tried",
        }
    }
}

pub fn prune(domain: &Domain, args: &args::Prune, terminal: Terminal) -> Outcome {
    change::attach(domain, &args.guest, "deleting", terminal)?;
    let history = History::of(domain)?;
    let mut fates = fates(&history, args)?;
    for fate in fates.iter_mut().filter(|fate| fate.kept.is_empty()) {
        // What would be refused now stays; the operation itself is asked, not guessed.
        let plan = match domain.snapshot(&fate.name)?.plan_delete(0) {
            Ok(plan) => plan,
            Err(refusal) if refusal.code == ffi::VIR_ERR_NO_SUPPORT => continue,
            Err(refusal) => return Err(refusal.into()),
        };
        fate.kept = plan
            .refusals
            .iter()
            .map(|reason| format!("refused: {reason}"))
            .collect();
        fate.freed = plan.refusals.is_empty().then_some(plan.freed);
    }
    for fate in fates.iter_mut().filter(|fate| fate.kept.is_empty()) {
        fate.result = End::WouldGo;
    }
    if !args.json {
        put(&report(&fates, terminal))?;
    }
    let going = fates.iter().filter(|fate| fate.kept.is_empty()).count();
    let done = if args.yes {
        carry_out(domain, &mut fates, terminal)
    } else {
        if going > 0 {
            terminal.note(format!(
                "{} would go; --yes does it",
                words::count(going, "snapshot")
            ));
        }
        Ok(())
    };
    if args.json {
        let value: Vec<_> = fates.iter().map(Fate::json).collect();
        let is_done = args.yes && done.is_ok();
        put_json(&json!({"domain": history.domain, "done": is_done, "snapshots": value}))?;
    }
    done
}

/// Deletes one after the other, until one cannot be.
fn carry_out(domain: &Domain, fates: &mut [Fate], terminal: Terminal) -> Outcome {
    let going = fates.iter_mut().filter(|fate| fate.kept.is_empty());
    let mut going: Vec<&mut Fate> = going.collect();
    for fate in &mut going {
        fate.result = End::NotTried;
    }
    let count = words::count(going.len(), "snapshot");
    let mut gone = 0;
    for fate in going {
        match delete(domain, &fate.name) {
            Ok(true) => {
                fate.result = End::Gone;
                gone += 1;
            }
            Ok(false) => {
                fate.result = End::Stays;
                fate.kept.push("current".to_owned());
                fate.freed = None;
                terminal.note(format!("'{}' stays: it is the current one now", fate.name));
            }
            Err(failure) => {
                fate.result = End::Failed;
                return Err(match gone {
                    0 => failure,
                    _ => Failure::Other(format!(
                        "{gone} of {count} are gone; '{}' is not: {failure}",
                        fate.name
                    )),
                });
            }
        }
    }
    Ok(())
}

/// Deletes a snapshot, unless it has become the current one meanwhile, by a revert in another process.
fn delete(domain: &Domain, name: &str) -> Outcome<bool> {
    if domain.current()?.is_some_and(|it| it.name() == name) {
        return Ok(false);
    }
    domain.snapshot(name)?.delete(0)?;
    Ok(true)
}

impl Fate {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "time": self.time,
            "kept": self.kept,
            "freed": self.freed,
            "result": self.result.word(),
        })
    }
}

/// What becomes of each, newest first.
fn fates(history: &History, args: &args::Prune) -> Outcome<Vec<Fate>> {
    let rule = Rule {
        last: args.last,
        hourly: args.hourly,
        daily: args.daily,
        weekly: args.weekly,
        monthly: args.monthly,
        yearly: args.yearly,
    };
    let times = history
        .snapshots
        .iter()
        .map(|taken| Ok((&*taken.name, local(taken.time)?)))
        .collect::<Outcome<Vec<_>>>()?;
    let kept = retention::kept(&times, rule);
    let mut fates: Vec<Fate> = history
        .snapshots
        .iter()
        .map(|taken| {
            let reasons = kept.get(&*taken.name).into_iter().flatten();
            let current = history.is_current(&taken.name).then_some("current");
            Fate {
                name: taken.name.clone(),
                time: taken.time,
                kept: reasons.copied().chain(current).map(str::to_owned).collect(),
                freed: None,
                result: End::Stays,
            }
        })
        .collect();
    fates.reverse();
    fates.sort_by_key(|fate| std::cmp::Reverse(fate.time));
    Ok(fates)
}

fn local(seconds: i64) -> Outcome<When> {
    DateTime::from_timestamp(seconds, 0)
        .map(|time| time.with_timezone(&Local).fixed_offset())
        .ok_or_else(|| Failure::Refused(format!("{seconds} is no time")))
}

fn report(fates: &[Fate], terminal: Terminal) -> String {
    let now = history::now();
    let rows: Vec<Vec<String>> = fates
        .iter()
        .map(|fate| {
            vec![
                if fate.kept.is_empty() {
                    "goes"
                } else {
                    "stays"
                }
                .to_owned(),
                fate.name.clone(),
                words::time(fate.time),
                words::age(now.saturating_sub(fate.time)),
                fate.freed.map_or_else(|| "-".to_owned(), words::size),
                fate.kept.join(", "),
            ]
        })
        .collect();
    table(
        terminal,
        &["", "NAME", "TAKEN", "AGE", "GIVES BACK", "BECAUSE"],
        &rows,
    )
}
