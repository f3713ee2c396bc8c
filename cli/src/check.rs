//! `check` and `repair`: metadata against images.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::args;
use crate::claims::{Claims, all_claimed, unclaimed_files};
use crate::failure::{Failure, Outcome};
use crate::ffi::{self, Connection, Domain, Problem};
use crate::history::History;
use crate::terminal::{Terminal, put, put_json};
use crate::words;

/// One thing that was found.
struct Finding {
    /// A word for scripts.
    kind: &'static str,
    /// Whether something is wrong; otherwise it is only worth knowing.
    is_wrong: bool,
    file: Option<String>,
    text: String,
}

impl Finding {
    fn wrong(kind: &'static str, file: Option<&Path>, text: String) -> Finding {
        Finding {
            kind,
            is_wrong: true,
            file: file.map(|file| file.display().to_string()),
            text,
        }
    }

    fn note(kind: &'static str, file: Option<&Path>, text: String) -> Finding {
        Finding {
            is_wrong: false,
            ..Finding::wrong(kind, file, text)
        }
    }

    fn json(&self) -> Value {
        json!({"kind": self.kind, "wrong": self.is_wrong, "file": self.file, "text": self.text})
    }
}

pub fn check(connection: &Connection, args: &args::Check, terminal: Terminal) -> Outcome {
    let domains = match args.domains.as_slice() {
        [] => connection.domains()?,
        names => names
            .iter()
            .map(|name| connection.domain(name))
            .collect::<Result<Vec<_>, _>>()?,
    };
    let mut reports: Vec<(Option<String>, Vec<Finding>)> = Vec::new();
    if args.domains.is_empty() {
        let unreadable: Vec<Finding> = connection.problems()?.iter().map(of_problem).collect();
        if !unreadable.is_empty() {
            reports.push((None, unreadable));
        }
    }
    let everybody = connection
        .domains()?
        .iter()
        .map(Claims::of)
        .collect::<Outcome<Vec<Claims>>>()?;
    let claimed = all_claimed(everybody.iter());
    for domain in &domains {
        let found = findings(domain, &claimed, args.quick, terminal)?;
        reports.push((Some(domain.name()), found));
    }
    let is_wrong = reports
        .iter()
        .flat_map(|(_, found)| found)
        .any(|finding| finding.is_wrong);
    if args.json {
        let value: Vec<Value> = reports
            .iter()
            .map(|(domain, found)| {
                json!({
                    "domain": domain,
                    "findings": found.iter().map(Finding::json).collect::<Vec<_>>(),
                })
            })
            .collect();
        put_json(&json!(value))?;
    } else {
        for (domain, found) in &reports {
            put(&report(domain.as_deref(), found, terminal))?;
        }
    }
    if is_wrong {
        Err(Failure::FoundSomething)
    } else {
        Ok(())
    }
}

fn report(domain: Option<&str>, found: &[Finding], terminal: Terminal) -> String {
    let name = terminal.bold(domain.unwrap_or("(definitions)"));
    let wrong = found.iter().filter(|finding| finding.is_wrong).count();
    let verdict = match wrong {
        0 => terminal.good("nothing is wrong"),
        _ => terminal.bad(words::count(wrong, "finding")),
    };
    let mut out = format!("{name}: {verdict}\n");
    for finding in found {
        let kind = match finding.is_wrong {
            true => terminal.bad(finding.kind),
            false => terminal.dim(finding.kind),
        };
        out += &format!("  {kind}: {}\n", finding.text);
    }
    out
}

fn findings(
    domain: &Domain,
    claimed: &BTreeSet<PathBuf>,
    is_quick: bool,
    terminal: Terminal,
) -> Outcome<Vec<Finding>> {
    let mut found: Vec<Finding> = domain.problems()?.iter().map(of_problem).collect();
    for text in domain.differences(ffi::VIR_SNAP_LIST_DIFFERENCES_DIFFERING)? {
        found.push(Finding::wrong("differs", None, text));
    }
    for text in domain.differences(ffi::VIR_SNAP_LIST_DIFFERENCES_UNCHECKED)? {
        found.push(Finding::note("unchecked", None, text));
    }
    let claims = Claims::of(domain)?;
    for disk in &claims.disks {
        if let Some(image) = &disk.image
            && !Path::new(image).exists()
        {
            let text = format!("disk {}: {image} is not there", disk.target);
            found.push(Finding::wrong(
                "missing-image",
                Some(Path::new(image)),
                text,
            ));
        }
    }
    for (path, image) in &claims.images {
        if let Some(backing) = &image.backing
            && !backing.exists()
        {
            let text = format!(
                "{} stands on {}, which is not there",
                path.display(),
                backing.display()
            );
            found.push(Finding::wrong("broken-chain", Some(path), text));
        }
    }
    for (path, why) in &claims.unreadable {
        let text = format!("{}: {why}", path.display());
        found.push(Finding::wrong("damaged-image", Some(path), text));
    }
    for (image, inside) in claims.unclaimed_inside() {
        let text = format!(
            "{} has a snapshot '{}' of {} that no metadata tells of; `adopt` makes some",
            image.display(),
            inside.name,
            words::time(inside.time)
        );
        found.push(Finding::wrong("unclaimed-snapshot", Some(image), text));
    }
    for file in unclaimed_files(&claims, &domain.uuid()?, claimed) {
        let text = format!("no domain and no snapshot names {}", file.display());
        found.push(Finding::wrong("unclaimed-file", Some(&file), text));
    }
    for taken in History::measured(domain)?.in_order() {
        if let Some(size) = taken.size {
            let freed = words::size(size.freed);
            let text = format!(
                "{}: {}, {freed} if it is deleted",
                taken.name,
                taken.size_words()
            );
            found.push(Finding::note("space", None, text));
        }
    }
    if !is_quick {
        let bar = terminal.bar(claims.images.len() as u64, "looking through the images");
        for path in claims.images.keys() {
            found.extend(look_through(path));
            bar.inc(1);
        }
        bar.finish_and_clear();
    }
    Ok(found)
}

/// What is wrong with stored state, in a word for scripts.
fn of_problem(problem: &Problem) -> Finding {
    let kind = match problem.kind {
        ffi::VIR_SNAP_PROBLEM_UNREADABLE => "unreadable",
        ffi::VIR_SNAP_PROBLEM_PARENT_MISSING => "parent-missing",
        ffi::VIR_SNAP_PROBLEM_CYCLE => "cycle",
        ffi::VIR_SNAP_PROBLEM_SEVERAL_CURRENT => "several-current",
        ffi::VIR_SNAP_PROBLEM_INTERRUPTED => "interrupted",
        _ => "problem",
    };
    let text = format!("{}: {}", problem.name, problem.text);
    Finding::wrong(kind, Some(Path::new(&problem.file)), text)
}

/// Has qemu-img look through the tables of an image.
fn look_through(image: &Path) -> Option<Finding> {
    let not_checked = |why: &str| {
        let text = format!("{}: {why}", image.display());
        Finding::note("not-checked", Some(image), text)
    };
    let looked = match Looked::through(image, false) {
        Ok(Looked::NotAtAll(_)) => Looked::through(image, true).map(|looked| (looked, true)),
        looked => looked.map(|looked| (looked, false)),
    };
    match looked {
        Err(error) => Some(not_checked(&format!(
            "not looked through: qemu-img: {error}"
        ))),
        Ok((Looked::NotAtAll(why), _)) => {
            let text = format!("{}: {why}", image.display());
            Some(Finding::wrong("damaged-image", Some(image), text))
        }
        // Only its lock stood against it. What a guest is writing may look wrong for a moment.
        Ok((Looked::Corrupt(count), true)) => Some(not_checked(&format!(
            "it is in use; {} seen, which may be changing: look again when it is not",
            words::count(count, "corruption")
        ))),
        Ok((_, true)) => Some(not_checked(
            "it is in use; nothing wrong is seen, but it may be changing",
        )),
        Ok((Looked::Sound, false)) => None,
        Ok((Looked::Corrupt(count), false)) => {
            let what = words::count(count, "corruption");
            let text = format!("{}: {what} in its tables", image.display());
            Some(Finding::wrong("damaged-image", Some(image), text))
        }
        Ok((Looked::Leaking(count), false)) => {
            let what = words::count(count, "cluster");
            let text = format!("{}: {what} that nothing uses", image.display());
            Some(Finding::note("leak", Some(image), text))
        }
    }
}

/// What qemu-img says of an image.
enum Looked {
    Sound,
    Corrupt(usize),
    Leaking(usize),
    /// And why not.
    NotAtAll(String),
}

impl Looked {
    /// With `beside_others` also when somebody writes to it.
    fn through(image: &Path, beside_others: bool) -> std::io::Result<Looked> {
        let answer = Command::new("qemu-img")
            .args(["check", "-q", "-f", "qcow2", "--output=json"])
            .args(beside_others.then_some("--force-share"))
            .arg("--")
            .arg(image)
            .stdin(Stdio::null())
            .output()?;
        let value: Value = serde_json::from_slice(&answer.stdout).unwrap_or(Value::Null);
        let number = |name: &str| {
            let number = value.get(name).and_then(Value::as_u64).unwrap_or(0);
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        Ok(match answer.status.code() {
            Some(0) => Looked::Sound,
            Some(2) => Looked::Corrupt(number("corruptions")),
            Some(3) => Looked::Leaking(number("leaks")),
            _ => {
                let said = String::from_utf8_lossy(&answer.stderr);
                let line = said.lines().next().unwrap_or("it does not say why");
                Looked::NotAtAll(line.to_owned())
            }
        })
    }
}

pub fn repair(domain: &Domain, args: &args::Repair, terminal: Terminal) -> Outcome {
    let wanted = [
        (args.set_aside, ffi::VIR_SNAP_REPAIR_SET_ASIDE),
        (args.reroot, ffi::VIR_SNAP_REPAIR_REROOT),
        (args.one_current, ffi::VIR_SNAP_REPAIR_ONE_CURRENT),
    ];
    let is_asked = wanted.iter().any(|(is_wanted, _)| *is_wanted);
    let mut flags: std::ffi::c_uint = wanted
        .iter()
        .filter(|(is_wanted, _)| *is_wanted || !is_asked)
        .map(|(_, flag)| flag)
        .sum();
    let is_dry = args.dry_run || !is_asked;
    if is_dry {
        flags |= ffi::VIR_SNAP_REPAIR_DRY_RUN;
    }
    let mended = domain.repair(flags)?;
    for problem in &mended {
        let how = match problem.kind {
            ffi::VIR_SNAP_PROBLEM_UNREADABLE => "--set-aside",
            ffi::VIR_SNAP_PROBLEM_PARENT_MISSING | ffi::VIR_SNAP_PROBLEM_CYCLE => "--reroot",
            _ => "--one-current",
        };
        let done = if is_dry {
            format!("{how} would mend")
        } else {
            "mended".to_owned()
        };
        put(&format!(
            "{}: {}: {}\n",
            terminal.bold(done),
            problem.name,
            problem.text
        ))?;
    }
    let left = if is_dry { 0 } else { domain.problems()?.len() };
    match (mended.len(), left) {
        (0, 0) => terminal.say("nothing to mend"),
        (_, 0) => Ok(()),
        (_, left) => Err(Failure::Other(format!(
            "{} cannot be mended so; `check` tells",
            words::count(left, "problem")
        ))),
    }
}
