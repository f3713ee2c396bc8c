//! `adopt`: metadata for snapshots that have none here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::args;
use crate::claims::Claims;
use crate::document::{self, escaped};
use crate::failure::{Failure, Outcome};
use crate::ffi::{self, Access, Connection, Domain};
use crate::place::{self, Place};
use crate::qcow2::Inside;
use crate::stream::{self, Manner};
use crate::terminal::Terminal;
use crate::words;

/// Takes over what a real libvirt keeps in a directory, one domain after the other.
pub fn from_directory(
    ours: &Place,
    directory: &Path,
    args: &args::Adopt,
    definitions: Option<&Path>,
    terminal: Terminal,
) -> Outcome {
    let theirs = place::libvirts(directory, definitions, terminal)?;
    let domains = match &args.domain {
        Some(name) => vec![theirs.connection.domain(name)?],
        None => theirs.connection.domains()?,
    };
    let mut taken = Vec::new();
    for domain in domains {
        take_over(&domain, ours, &theirs, args, terminal).map_err(|failure| {
            if taken.is_empty() {
                return failure;
            }
            let taken = taken.join(", ");
            Failure::Other(format!("{failure}; taken over before that: {taken}"))
        })?;
        if !args.dry_run {
            taken.push(format!("'{}'", domain.name()));
        }
    }
    Ok(())
}

fn take_over(
    domain: &Domain,
    ours: &Place,
    theirs: &Place,
    args: &args::Adopt,
    terminal: Terminal,
) -> Outcome {
    if let Some(problem) = domain.problems()?.first() {
        return Err(Failure::Refused(format!(
            "domain '{}' is not taken over: {}: {}",
            domain.name(),
            problem.name,
            problem.text
        )));
    }
    let count = domain.snapshots()?.len();
    let what = format!(
        "domain '{}' with {}",
        domain.name(),
        words::count(count, "snapshot")
    );
    if args.dry_run {
        return terminal.say(format!("would be taken over: {what}"));
    }
    let whole = stream::whole_stream(domain, Manner::Copy, &theirs.turns, terminal)?;
    let (connection, turns) = (&ours.connection, &ours.turns);
    stream::take_in(connection, &whole.stream, &[], 0, turns, terminal)?;
    terminal.say(format!("taken over: {what}"))
}

/// Takes the snapshots over that a libvirt connection has of a domain.
pub fn from_connection(
    domain: &Domain,
    uri: &str,
    args: &args::Adopt,
    terminal: Terminal,
) -> Outcome {
    // One that only reads gives no passwords away, and so no whole document.
    let theirs = Connection::open(uri, Access::Write)?;
    let source = theirs.domain_of_uuid(&domain.uuid()?)?;
    if args.dry_run {
        let count = source.snapshots()?.len();
        return terminal.say(format!(
            "would be taken over: {}",
            words::count(count, "snapshot")
        ));
    }
    domain.adopt(
        &source,
        if args.forget {
            ffi::VIR_SNAP_MIGRATE_ADOPT_FORGET
        } else {
            0
        },
    )?;
    let count = domain.snapshots()?.len();
    terminal.say(format!(
        "domain '{}' has {}",
        domain.name(),
        words::count(count, "snapshot")
    ))
}

/// A snapshot that stands inside of one image or several.
struct Found {
    inside: Inside,
    targets: Vec<String>,
}

/// Makes metadata for the snapshots that stand inside of the domain's images.
pub fn from_images(domain: &Domain, args: &args::Adopt, terminal: Terminal) -> Outcome {
    let claims = Claims::of(domain)?;
    let definition = domain.xml(ffi::VIR_DOMAIN_XML_SECURE)?;
    let known: Vec<String> = domain
        .snapshots()?
        .iter()
        .map(ffi::Snapshot::name)
        .collect();
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for disk in claims.disks.iter().filter(|disk| !disk.is_readonly) {
        let path = disk
            .image
            .as_ref()
            .and_then(|image| Path::new(image).canonicalize().ok());
        let Some(image) = path.and_then(|path| claims.images.get(&path)) else {
            continue;
        };
        for inside in &image.snapshots {
            if !known.contains(&inside.name) {
                found
                    .entry(inside.name.clone())
                    .or_insert_with(|| Found {
                        inside: inside.clone(),
                        targets: Vec::new(),
                    })
                    .targets
                    .push(disk.target.clone());
            }
        }
    }
    if found.is_empty() {
        return terminal.say("no snapshot without metadata is inside of the images");
    }
    let mut in_time: Vec<Found> = found.into_values().collect();
    in_time.sort_by(|a, b| (a.inside.time, &a.inside.name).cmp(&(b.inside.time, &b.inside.name)));
    let mut parent: Option<String> = None;
    let (mut adopted, mut refused) = (0, 0);
    for found in in_time {
        let name = &found.inside.name;
        let when = words::time(found.inside.time);
        let on = found.targets.join(", ");
        if args.dry_run {
            terminal.say(format!("would be adopted: '{name}' of {when}, on {on}"))?;
            continue;
        }
        let xml = described(&found, &claims, &definition, parent.as_deref())?;
        match domain.create(&xml, ffi::VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE) {
            Ok(_) => {
                terminal.say(format!("adopted: '{name}' of {when}, on {on}"))?;
                adopted += 1;
                if args.chain {
                    parent = Some(name.clone());
                }
            }
            Err(refusal) => {
                refused += 1;
                terminal.note(format!("'{name}' is not adopted: {}", refusal.message));
            }
        }
    }
    let failed = format!("{} not adopted", words::count(refused, "snapshot"));
    match (refused, adopted) {
        (0, _) => Ok(()),
        (_, 0) => Err(Failure::Refused(failed)),
        _ => Err(Failure::Other(format!("{failed}, {adopted} adopted"))),
    }
}

/// The document of a snapshot inside of images. The definition is today's: that of then is not known.
fn described(
    found: &Found,
    claims: &Claims,
    definition: &str,
    parent: Option<&str>,
) -> Outcome<String> {
    let writable = claims.disks.iter().filter(|disk| !disk.is_readonly).count();
    let (state, memory) = match found.inside.has_memory {
        true => ("running", "internal"),
        false if found.targets.len() == writable => ("shutoff", "no"),
        // libvirt's rule: elsewhere each disk has to be inside.
        false => ("disk-snapshot", "no"),
    };
    let mut xml = format!(
        "<domainsnapshot><name>{}</name><state>{state}</state>",
        escaped(&found.inside.name)
    );
    if let Some(parent) = parent {
        let _ = write!(xml, "<parent><name>{}</name></parent>", escaped(parent));
    }
    let _ = write!(
        xml,
        "<creationTime>{}</creationTime><memory snapshot='{memory}'/><disks>",
        found.inside.time
    );
    for disk in &claims.disks {
        let how = if found.targets.contains(&disk.target) {
            "internal"
        } else {
            "no"
        };
        let _ = write!(
            xml,
            "<disk name='{}' snapshot='{how}'/>",
            escaped(&disk.target)
        );
    }
    let document = document::parse(definition)?;
    let domain = definition
        .get(document.root_element().range())
        .unwrap_or_default();
    let _ = write!(xml, "</disks>{domain}</domainsnapshot>");
    Ok(xml)
}
