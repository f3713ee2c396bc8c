//! `define`, `undefine`, `create`, `redefine`, `delete`, `revert`: what changes something.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;

use crate::args;
use crate::document::escaped;
use crate::failure::{Failure, Outcome};
use crate::ffi::{self, Connection, Domain};
use crate::plan;
use crate::terminal::Terminal;

/// The text of a file, or of standard input if that is `-`.
pub fn text_of(file: &Path) -> Outcome<String> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().read_to_string(&mut text),
        false => fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|error| Failure::file(file, &error))?;
    Ok(text)
}

/// Attaches the guest that was named, if any, and shows how far its long operations are.
pub fn attach(domain: &Domain, guest: &args::Guest, what: &str, terminal: Terminal) -> Outcome {
    if let Some(monitor) = &guest.monitor {
        let agent = guest.agent.as_deref().map(path_text).transpose()?;
        domain.attach(path_text(monitor)?, agent)?;
    }
    terminal.watch(domain, what);
    Ok(())
}

fn path_text(path: &Path) -> Outcome<&str> {
    path.to_str()
        .ok_or_else(|| Failure::Usage(format!("{} is not UTF-8", path.display())))
}

/// The bits whose words were given.
fn bits(given: &[(bool, std::ffi::c_uint)]) -> std::ffi::c_uint {
    given
        .iter()
        .filter(|(is_given, _)| *is_given)
        .map(|(_, bit)| bit)
        .sum()
}

pub fn define(connection: &Connection, file: &Path, terminal: Terminal) -> Outcome {
    let domain = connection.define(&text_of(file)?)?;
    terminal.say(format!("domain '{}' is defined", domain.name()))
}

pub fn undefine(domain: &Domain, args: &args::Undefine, terminal: Terminal) -> Outcome {
    let flags = bits(&[(
        args.snapshots_metadata,
        ffi::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA,
    )]);
    if args.dry.dry_run {
        return plan::show(&domain.plan_undefine(flags)?, &args.dry, terminal);
    }
    domain.undefine(flags)?;
    terminal.say(format!("domain '{}' is undefined", args.domain))
}

pub fn create(domain: &Domain, args: &args::Create, terminal: Terminal) -> Outcome {
    let xml = match &args.xml {
        Some(file) => text_of(file)?,
        None => snapshot_document(args)?,
    };
    let flags = bits(&[
        (args.disk_only, ffi::VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY),
        (args.halt, ffi::VIR_DOMAIN_SNAPSHOT_CREATE_HALT),
        (args.live, ffi::VIR_DOMAIN_SNAPSHOT_CREATE_LIVE),
        (args.quiesce, ffi::VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE),
        (
            args.reuse_external,
            ffi::VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT,
        ),
        (
            args.no_metadata,
            ffi::VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA,
        ),
    ]);
    attach(domain, &args.guest, "taking the snapshot", terminal)?;
    if args.dry.dry_run {
        return plan::show(&domain.plan_create(&xml, flags)?, &args.dry, terminal);
    }
    let snapshot = domain.create(&xml, flags)?;
    terminal.say(format!(
        "snapshot '{}' of '{}' is taken",
        snapshot.name(),
        args.domain
    ))
}

/// The document that the arguments describe.
fn snapshot_document(args: &args::Create) -> Outcome<String> {
    let mut xml = String::from("<domainsnapshot>");
    if let Some(name) = &args.name {
        let _ = write!(xml, "<name>{}</name>", escaped(name));
    }
    if let Some(description) = &args.description {
        let _ = write!(xml, "<description>{}</description>", escaped(description));
    }
    if let Some(memory) = &args.memory {
        let file = escaped(path_text(memory)?);
        let _ = write!(xml, "<memory snapshot='external' file='{file}'/>");
    }
    if !args.disks.is_empty() {
        xml += "<disks>";
        for disk in &args.disks {
            xml += &disk_element(disk)?;
        }
        xml += "</disks>";
    }
    xml += "</domainsnapshot>";
    Ok(xml)
}

/// `vda,snapshot=external,file=PATH`, as virsh has it.
fn disk_element(spec: &str) -> Outcome<String> {
    let wrong = || {
        Failure::Usage(format!(
            "--disk {spec}: TARGET[,snapshot=internal|external|no|manual][,file=PATH] is meant"
        ))
    };
    let mut words = spec.split(',');
    let target = words
        .next()
        .filter(|target| !target.is_empty())
        .ok_or_else(wrong)?;
    let (mut how, mut file) = (None, None);
    for word in words {
        match word.split_once('=') {
            Some(("snapshot", value)) if how.is_none() => how = Some(value),
            Some(("file", value)) if file.is_none() => file = Some(value),
            _ => return Err(wrong()),
        }
    }
    let how = how.or(file.map(|_| "external"));
    let how = how
        .map(|how| format!(" snapshot='{}'", escaped(how)))
        .unwrap_or_default();
    let source = file
        .map(|file| format!("<source file='{}'/>", escaped(file)))
        .unwrap_or_default();
    Ok(format!(
        "<disk name='{}'{how}>{source}</disk>",
        escaped(target)
    ))
}

pub fn redefine(domain: &Domain, args: &args::Redefine, terminal: Terminal) -> Outcome {
    let flags = ffi::VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
        | bits(&[
            (args.current, ffi::VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT),
            (args.validate, ffi::VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE),
        ]);
    let snapshot = domain.create(&text_of(&args.file)?, flags)?;
    terminal.say(format!(
        "snapshot '{}' of '{}' is defined",
        snapshot.name(),
        args.domain
    ))
}

pub fn delete(domain: &Domain, args: &args::Delete, terminal: Terminal) -> Outcome {
    let flags = bits(&[
        (args.children, ffi::VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN),
        (
            args.children_only,
            ffi::VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY,
        ),
        (args.metadata, ffi::VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY),
    ]);
    let snapshot = domain.snapshot(&args.snapshot)?;
    attach(domain, &args.guest, "deleting", terminal)?;
    if args.dry.dry_run {
        return plan::show(&snapshot.plan_delete(flags)?, &args.dry, terminal);
    }
    snapshot.delete(flags)?;
    let what = match (args.children, args.children_only) {
        (true, _) => format!("snapshot '{}' with all that descend from it", args.snapshot),
        (_, true) => format!("all that descend from snapshot '{}'", args.snapshot),
        _ => format!("snapshot '{}'", args.snapshot),
    };
    let how = if args.metadata {
        "forgotten; its data stays"
    } else {
        "deleted"
    };
    terminal.say(format!("{what} of '{}': {how}", args.domain))
}

pub fn revert(domain: &Domain, args: &args::Revert, terminal: Terminal) -> Outcome {
    let flags = bits(&[
        (args.running, ffi::VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING),
        (args.paused, ffi::VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED),
        (args.force, ffi::VIR_DOMAIN_SNAPSHOT_REVERT_FORCE),
        (
            args.reset_nvram,
            ffi::VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM,
        ),
    ]);
    let snapshot = domain.snapshot(&args.snapshot)?;
    attach(domain, &args.guest, "reverting", terminal)?;
    if args.dry.dry_run {
        return plan::show(&snapshot.plan_revert(flags)?, &args.dry, terminal);
    }
    snapshot.revert(flags)?;
    terminal.say(format!(
        "'{}' is back at snapshot '{}'",
        args.domain, args.snapshot
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_as_the_command_line_says() {
        assert_eq!(disk_element("vda").unwrap(), "<disk name='vda'></disk>");
        assert_eq!(
            disk_element("vda,snapshot=internal").unwrap(),
            "<disk name='vda' snapshot='internal'></disk>"
        );
        assert_eq!(
            disk_element("vdb,file=/a&b").unwrap(),
            "<disk name='vdb' snapshot='external'><source file='/a&amp;b'/></disk>"
        );
        for wrong in [
            "",
            ",snapshot=no",
            "vda,what=1",
            "vda,file=/a,file=/b",
            "vda,internal",
        ] {
            assert!(disk_element(wrong).is_err(), "{wrong}");
        }
    }
}
