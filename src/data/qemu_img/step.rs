//! One `qemu-img snapshot` on one image, and the proof in the image that it did just that.

use std::ffi::{OsStr, OsString};
use std::mem;
use std::path::Path;

use super::Work;
use super::program::{self, Ending, Outcome, Running};
use super::target::{Target, only};
use crate::data::Beside;
use crate::data::qcow2::{Entry, Facts};
use crate::limits;

/// The first version whose `-d` looks for a name only. Older ones take the first snapshot whose
/// name *or ID* it is.
const DELETES_BY_NAME: u32 = 4;

/// What is done to an image. The text is the snapshot's name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// Captures the active state: `-c`.
    Capture(&'a str),
    /// Makes a snapshot's content the active state: `-a`.
    Apply(&'a str),
    /// Drops a snapshot: `-d`. One that is not there is dropped already.
    Drop(&'a str),
}

/// Why a step is not done.
pub(super) type Attempt = Result<(), String>;

/// Takes a step on each image, side by side; the answers are in the images' order. The caller does its
/// own work while the first programs do theirs.
///
/// No record says how far which image is: each tells by itself.
pub(super) fn take(
    work: &Work<'_>,
    step: Step<'_>,
    targets: &[&Target<'_>],
    mut beside: Beside<'_>,
) -> Vec<Attempt> {
    let mut attempts = Vec::with_capacity(targets.len());
    for group in targets.chunks(limits::PROGRAMS_AT_ONCE) {
        let begun: Vec<_> = group
            .iter()
            .map(|target| begin(work, step, target))
            .collect();
        mem::take(&mut beside).work();
        attempts.extend(
            group
                .iter()
                .zip(begun)
                .map(|(target, begun)| end(work, step, target, begun?)),
        );
    }
    attempts
}

/// A step that `qemu-img` is taking, with the image's facts before; or one that is done already.
type Begun = Option<(Running, Facts)>;

fn begin(work: &Work<'_>, step: Step<'_>, target: &Target<'_>) -> Result<Begun, String> {
    let before = target.facts().map_err(|error| error.to_string())?;
    let Some((option, snapshot)) = step.arguments(work.program, &before)? else {
        return Ok(None);
    };
    let options = target.options();
    let arguments = ["snapshot", "--image-opts", "-q", option]
        .map(OsStr::new)
        .into_iter()
        .chain([snapshot.as_os_str(), options.as_os_str()]);
    let running = program::start(work.program, arguments, work.lock)
        .map_err(|error| cannot_run(work.program, &error))?;
    Ok(Some((running, before)))
}

fn end(work: &Work<'_>, step: Step<'_>, target: &Target<'_>, begun: Begun) -> Attempt {
    let Some((running, before)) = begun else {
        return Ok(());
    };
    let outcome = running.finish();
    if outcome.ending != Ending::Success {
        let _ = target.restore_table(&before);
        // Only space is at stake: what is done stays done without it. Who has ended one program may
        // end the next.
        let _ = give_back(work, target).or_else(|_| give_back(work, target));
    }
    let after = target.facts().map_err(|error| error.to_string())?;
    let proof = step.prove(target, &before, &after);
    match (outcome.ending, proof) {
        (Ending::Success, Ok(())) => Ok(()),
        (Ending::Success | Ending::Unknown, Err(flaw)) => Err(contradiction(&outcome, &flaw)),
        (Ending::Unknown, Ok(())) => sync(target),
        // A capture can be undone, so both must agree. Content that is applied or dropped cannot
        // come back by itself: the image decides, once it is known to be durable.
        (Ending::Status(_) | Ending::Signal(_), Ok(())) if !matches!(step, Step::Capture(_)) => {
            sync(target)
        }
        (Ending::Status(_) | Ending::Signal(_) | Ending::Stopped, _) => Err(outcome.reason()),
    }
}

/// Gives back clusters that a program which failed or was killed has taken and that nothing uses.
/// `qemu-img check -r leaks` touches nothing else.
pub(super) fn give_back(work: &Work<'_>, target: &Target<'_>) -> Attempt {
    check(work, target, &["-r", "leaks"])
}

/// Makes sure that nothing is taken and not used. QEMU's repair succeeds, too, where it could not
/// write what it found out.
pub(super) fn check_given_back(work: &Work<'_>, target: &Target<'_>) -> Attempt {
    check(work, target, &[])
}

fn check(work: &Work<'_>, target: &Target<'_>, repairs: &[&str]) -> Attempt {
    let options = target.options();
    let arguments = ["check", "--image-opts", "-q"]
        .iter()
        .chain(repairs)
        .map(OsStr::new)
        .chain([options.as_os_str()]);
    let outcome = program::start(work.program, arguments, work.lock)
        .map_err(|error| cannot_run(work.program, &error))?
        .finish();
    match outcome.ending {
        Ending::Success | Ending::Unknown => Ok(()),
        Ending::Status(_) | Ending::Signal(_) | Ending::Stopped => Err(outcome.reason()),
    }
}

fn sync(target: &Target<'_>) -> Attempt {
    target
        .sync()
        .map_err(|error| format!("cannot be made durable: {error}"))
}

fn contradiction(outcome: &Outcome, flaw: &str) -> String {
    match outcome.ending {
        Ending::Success => format!("the program reported success, but {flaw}"),
        _ => format!("{flaw} ({})", outcome.reason()),
    }
}

fn cannot_run(program: &Path, error: &std::io::Error) -> String {
    format!("cannot run '{}': {error}", program.display())
}

impl Step<'_> {
    /// The option and its value that mean our snapshot and no other, or `None` if nothing is left
    /// to do.
    fn arguments(
        self,
        program: &Path,
        facts: &Facts,
    ) -> Result<Option<(&'static str, OsString)>, String> {
        match self {
            Step::Capture(name) => match facts.named(name).next() {
                None => Ok(Some(("-c", name.into()))),
                Some(_) => Err("the image already holds a snapshot of that name".to_owned()),
            },
            Step::Apply(name) => {
                let entry = only(facts, name).ok_or_else(|| not_once(facts, name))?;
                Ok(Some(("-a", unambiguous_id(facts, entry)?)))
            }
            Step::Drop(name) => match (facts.named(name).next(), only(facts, name)) {
                (None, _) => Ok(None),
                (Some(_), None) => Err(not_once(facts, name)),
                (Some(_), Some(_)) => {
                    check_drop_by_name(program, facts, name)?;
                    Ok(Some(("-d", name.into())))
                }
            },
        }
    }

    /// Compares the image before and after with what the step means.
    fn prove(self, target: &Target<'_>, before: &Facts, after: &Facts) -> Attempt {
        let shows = |name| -> Attempt {
            let entry = only(after, name).ok_or_else(|| not_once(after, name))?;
            match target.shows(after, entry) {
                Ok(true) => Ok(()),
                Ok(false) => Err("the image's content is not the snapshot's".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        };
        let untouched = match self {
            Step::Capture(name) => {
                shows(name)?;
                same_entries(without(after, name), without(before, name))
            }
            Step::Apply(name) => {
                shows(name)?;
                same_entries(after.snapshots.iter(), before.snapshots.iter())
            }
            Step::Drop(name) => {
                if after.named(name).next().is_some() {
                    return Err("the snapshot is still in the image".to_owned());
                }
                same_entries(after.snapshots.iter(), without(before, name))
            }
        };
        if untouched {
            Ok(())
        } else {
            Err("another snapshot was touched".to_owned())
        }
    }
}

/// The ID of a snapshot, if no other has it.
///
/// `-a` looks for an ID before it looks for a name, in every version of `qemu-img`; so an ID that
/// is unique is always ours, and a name is not (a snapshot may be named `1`).
fn unambiguous_id(facts: &Facts, entry: &Entry) -> Result<OsString, String> {
    use std::os::unix::ffi::OsStringExt;
    let holders = facts
        .snapshots
        .iter()
        .filter(|other| other.id == entry.id)
        .count();
    if entry.id.is_empty() || holders != 1 {
        return Err("the snapshot's ID in the image is not unique".to_owned());
    }
    Ok(OsString::from_vec(entry.id.to_vec()))
}

/// Makes sure that `-d name` cannot mean another snapshot.
fn check_drop_by_name(program: &Path, facts: &Facts, name: &str) -> Attempt {
    let mut candidates = facts
        .snapshots
        .iter()
        .filter(|entry| &*entry.name == name.as_bytes() || &*entry.id == name.as_bytes());
    let first_is_ours = candidates
        .next()
        .is_some_and(|entry| &*entry.name == name.as_bytes());
    if first_is_ours || major_version(program)? >= DELETES_BY_NAME {
        return Ok(());
    }
    Err(format!(
        "'{}' is too old to tell the snapshot's name from the ID of another one",
        program.display()
    ))
}

/// The major version that the program reports.
fn major_version(program: &Path) -> Result<u32, String> {
    let outcome = program::start(program, [OsStr::new("--version")], None)
        .map_err(|error| cannot_run(program, &error))?
        .finish();
    outcome
        .output
        .lines()
        .find_map(|line| {
            line.split_once(" version ")?
                .1
                .split('.')
                .next()?
                .parse()
                .ok()
        })
        .ok_or_else(|| format!("'{}' does not tell its version", program.display()))
}

fn not_once(facts: &Facts, name: &str) -> String {
    match facts.named(name).count() {
        0 => "the image does not hold the snapshot".to_owned(),
        count => format!("the image holds {count} snapshots of that name"),
    }
}

fn without<'f>(facts: &'f Facts, name: &'f str) -> impl Iterator<Item = &'f Entry> {
    facts
        .snapshots
        .iter()
        .filter(move |entry| &*entry.name != name.as_bytes())
}

/// Whether both are the same snapshots in the same order.
///
/// IDs and names only: QEMU adds the fields that an old image lacks when it writes the table.
fn same_entries<'f>(
    left: impl Iterator<Item = &'f Entry>,
    right: impl Iterator<Item = &'f Entry>,
) -> bool {
    left.map(|entry| (&entry.id, &entry.name))
        .eq(right.map(|entry| (&entry.id, &entry.name)))
}
