//! `domains`, `list`, `show`, `current`: what is there.

use serde_json::json;

use crate::args;
use crate::failure::Outcome;
use crate::ffi::{self, Connection, Domain};
use crate::history::{self, History, Taken};
use crate::terminal::{Terminal, put, put_json, table};
use crate::{document, words};

/// What a domain is doing, in libvirt's word.
fn state_word(state: std::ffi::c_int) -> &'static str {
    match state {
        ffi::VIR_DOMAIN_RUNNING => "running",
        ffi::VIR_DOMAIN_PAUSED => "paused",
        ffi::VIR_DOMAIN_SHUTOFF => "shut off",
        _ => "other",
    }
}

pub fn domains(connection: &Connection, as_json: bool, terminal: Terminal) -> Outcome {
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for domain in connection.domains()? {
        let history = History::of(&domain)?;
        let state = state_word(domain.state()?);
        values.push(json!({
            "name": history.domain,
            "uuid": history.uuid,
            "state": state,
            "snapshots": history.snapshots.len(),
            "current": history.current,
        }));
        rows.push(vec![
            history.domain,
            state.to_owned(),
            history.snapshots.len().to_string(),
            history.current.unwrap_or_else(|| "-".to_owned()),
            history.uuid,
        ]);
    }
    if as_json {
        return put_json(&json!(values));
    }
    put(&table(
        terminal,
        &["DOMAIN", "STATE", "SNAPSHOTS", "CURRENT", "UUID"],
        &rows,
    ))
}

pub fn list(domain: &Domain, args: &args::List, terminal: Terminal) -> Outcome {
    let history = match args.names {
        true => History::of(domain)?,
        false => History::measured(domain)?,
    };
    if args.json {
        return put_json(&json!({
            "domain": history.domain,
            "uuid": history.uuid,
            "current": history.current,
            "snapshots": history.in_order().into_iter()
                .map(|taken| taken.json(history.is_current(&taken.name)))
                .collect::<Vec<_>>(),
        }));
    }
    if args.names {
        let names: String = history
            .in_order()
            .iter()
            .map(|taken| format!("{}\n", taken.name))
            .collect();
        return put(&names);
    }
    if args.tree {
        return put(&tree(&history, terminal));
    }
    let now = history::now();
    let rows: Vec<Vec<String>> = history
        .in_order()
        .into_iter()
        .map(|taken| {
            let mark = if history.is_current(&taken.name) {
                "*"
            } else {
                ""
            };
            vec![
                mark.to_owned(),
                taken.name.clone(),
                words::time(taken.time),
                words::age(now.saturating_sub(taken.time)),
                taken.state.clone(),
                taken.kind().to_owned(),
                taken.memory_word().to_owned(),
                taken.size_words(),
                taken.parent.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let heading = [
        "", "NAME", "TAKEN", "AGE", "STATE", "DISKS", "MEMORY", "SIZE", "PARENT",
    ];
    put(&table(terminal, &heading, &rows))
}

/// The tree as text, with the place where the guest is.
pub fn tree(history: &History, terminal: Terminal) -> String {
    let now = history::now();
    let mut out = terminal.bold(&history.domain) + "\n";
    for row in history.rows() {
        let (own, above) = row.lasts.split_last().unwrap_or((&true, &[]));
        let rails: String = above
            .iter()
            .map(|last| if *last { "   " } else { "│  " })
            .collect();
        let branch = if *own { "└─ " } else { "├─ " };
        let line = match row.taken {
            None => terminal.good("● you are here"),
            Some(taken) => format!("{}  {}", taken.name, terminal.dim(facts(taken, now))),
        };
        out += &format!("{}{line}\n", terminal.dim(rails + branch));
    }
    out
}

/// Kind and age, in a few words.
pub fn facts(taken: &Taken, now: i64) -> String {
    let memory = if taken.memory == history::Memory::None {
        ""
    } else {
        " with memory"
    };
    let age = words::age(now.saturating_sub(taken.time));
    let size = taken
        .size
        .map(|_| format!(", {}", taken.size_words()))
        .unwrap_or_default();
    format!("{}{memory}{size}, {age} ago", taken.kind())
}

pub fn show(domain: &Domain, args: &args::Show, terminal: Terminal) -> Outcome {
    let snapshot = match &args.snapshot {
        Some(name) => domain.snapshot(name)?,
        None => domain.current()?.ok_or_else(|| no_current(domain))?,
    };
    if args.xml {
        let flags = if args.secure {
            ffi::VIR_DOMAIN_SNAPSHOT_XML_SECURE
        } else {
            0
        };
        return put(&snapshot.xml(flags)?);
    }
    let history = History::measured(domain)?;
    let taken = history.find(&snapshot.name())?;
    let is_current = history.is_current(&taken.name);
    if args.json {
        return put_json(&taken.json(is_current));
    }
    let children: Vec<&str> = history
        .snapshots
        .iter()
        .filter(|other| other.parent.as_deref() == Some(&taken.name))
        .map(|other| &*other.name)
        .collect();
    let mut lines = vec![
        ("Name", taken.name.clone()),
        ("Domain", history.domain.clone()),
        ("Current", if is_current { "yes" } else { "no" }.to_owned()),
        (
            "Taken",
            format!(
                "{} ({} ago)",
                words::time(taken.time),
                words::age(history::now().saturating_sub(taken.time))
            ),
        ),
        ("State", taken.state.clone()),
        (
            "Parent",
            taken.parent.clone().unwrap_or_else(|| "-".to_owned()),
        ),
        (
            "Children",
            if children.is_empty() {
                "-".to_owned()
            } else {
                children.join(", ")
            },
        ),
    ];
    if let Some(description) = &taken.description {
        lines.push(("Description", description.clone()));
    }
    lines.push((
        "Memory",
        match &taken.memory {
            history::Memory::None => "-".to_owned(),
            history::Memory::Inside => "inside the first image".to_owned(),
            history::Memory::File(file) => file.clone(),
        },
    ));
    if let Some(size) = taken.size {
        let freed = words::size(size.freed);
        lines.push((
            "Size",
            format!("{}; deleting it gives {freed} back", taken.size_words()),
        ));
    }
    for disk in &taken.disks {
        let file = disk
            .file
            .as_ref()
            .map(|file| format!(", {file}"))
            .unwrap_or_default();
        lines.push(("Disk", format!("{}: {}{file}", disk.target, disk.how)));
    }
    let text: String = lines
        .iter()
        .map(|(name, value)| format!("{}  {value}\n", terminal.bold(format!("{name:<11}"))))
        .collect();
    put(&text)
}

fn no_current(domain: &Domain) -> crate::failure::Failure {
    crate::failure::Failure::NotFound(format!(
        "domain '{}' has no current snapshot",
        domain.name()
    ))
}

pub fn current(domain: &Domain, terminal: Terminal) -> Outcome {
    let current = domain.current()?.ok_or_else(|| no_current(domain))?;
    put(&format!("{}\n", terminal.bold(current.name())))
}

/// Makes a snapshot the current one: its own document redefined, with the mark.
pub fn make_current(domain: &Domain, name: &str, terminal: Terminal) -> Outcome {
    let xml = domain
        .snapshot(name)?
        .xml(ffi::VIR_DOMAIN_SNAPSHOT_XML_SECURE)?;
    document::parse(&xml)?;
    let flags = ffi::VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | ffi::VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT;
    domain.create(&xml, flags)?;
    terminal.say(format!(
        "'{name}' is the current snapshot of '{}'",
        domain.name()
    ))
}
