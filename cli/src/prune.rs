//! `prune`: old snapshots go by a rule.

use chrono::{DateTime, Local};
use serde_json::json;

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
    let going: Vec<&Fate> = fates.iter().filter(|fate| fate.kept.is_empty()).collect();
    if args.json {
        let value: Vec<_> = fates
            .iter()
            .map(|fate| {
                json!({
                    "name": fate.name,
                    "time": fate.time,
                    "kept": fate.kept,
                    "freed": fate.freed,
                })
            })
            .collect();
        put_json(&json!({"domain": history.domain, "done": args.yes, "snapshots": value}))?;
    } else {
        put(&report(&fates, terminal))?;
    }
    if !args.yes {
        if !going.is_empty() {
            terminal.note(format!(
                "{} would go; --yes does it",
                words::count(going.len(), "snapshot")
            ));
        }
        return Ok(());
    }
    for (index, fate) in going.iter().enumerate() {
        domain.snapshot(&fate.name)?.delete(0).map_err(|refusal| {
            terminal.note(format!(
                "{index} of {} are gone; '{}' is not",
                words::count(going.len(), "snapshot"),
                fate.name
            ));
            Failure::from(refusal)
        })?;
    }
    Ok(())
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
