//! `export`, `import`, `migration`: a whole hierarchy as one file or pipe.
//!
//! | part | bytes |
//! | --- | --- |
//! | head | `virsnap-export 1` and a newline |
//! | definition | `definition LENGTH SHA256`, a newline, a `<domain>` document of LENGTH bytes |
//! | cookie | `cookie LENGTH SHA256`, a newline, what virSnapDomainMigrateFinish() wants |
//! | snapshots | what virSnapDomainMigrateExport() writes, which knows its own end |

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};
use sha2::{Digest, Sha256};

use crate::args;
use crate::document;
use crate::failure::{Failure, Outcome};
use crate::ffi::{self, Connection, Domain};
use crate::plan;
use crate::terminal::Terminal;
use crate::turn::{Turn, Turns};
use crate::words;

const MAGIC: &str = "virsnap-export 1";

/// A definition is some KiB; more than this is no definition.
const PART_BYTES: usize = 16 << 20;

/// The longest line of a head: a word, a length, a digest.
const LINE_BYTES: usize = 128;

/// Whether the snapshots stay where they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    Copy,
    Move,
}

pub fn export(domain: &Domain, args: &args::Export, turns: &Turns, terminal: Terminal) -> Outcome {
    if args.dry.dry_run {
        return plan::show(&domain.plan_migrate()?, &args.dry, terminal);
    }
    let manner = if args.moves {
        Manner::Move
    } else {
        Manner::Copy
    };
    // Before anything is frozen.
    let file = args.output.as_deref().map(new_file).transpose()?;
    if file.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "standard output is a terminal: say --output FILE, or lead it elsewhere".to_owned(),
        ));
    }
    let sent = whole_stream(domain, manner, turns, terminal).and_then(|whole| {
        send(&whole.stream, file.as_ref()).inspect_err(|_| {
            // What came over is no whole stream, so nobody can take it in.
            if whole.begun.is_some() {
                let _ = domain.migrate_cancel();
            }
        })
    });
    if let (Err(_), Some(path)) = (&sent, &args.output) {
        // Nobody shall take a part for the whole.
        let _ = std::fs::remove_file(path);
    }
    sent?;
    if manner == Manner::Move {
        terminal.note(format!(
            "the snapshots of '{0}' are frozen until `virsnap migration {0} --confirm` or --cancel",
            args.domain
        ));
    }
    Ok(())
}

fn send(mut stream: &File, file: Option<&File>) -> Outcome {
    match file {
        Some(mut file) => {
            std::io::copy(&mut stream, &mut file)?;
            file.sync_all()?;
        }
        None => {
            let mut out = std::io::stdout();
            std::io::copy(&mut stream, &mut out)?;
            out.flush()?;
        }
    }
    Ok(())
}

/// A hierarchy on its way.
pub struct Whole {
    pub stream: File,
    /// The turn of a move that began here: nobody joins it while it may be taken back.
    begun: Option<Turn>,
}

/// A file of its owner alone: the stream holds passwords.
fn new_file(path: &Path) -> Outcome<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Failure::file(path, &error))
}

/// The stream, in memory. It is read there first, so that a copy freezes the snapshots for as long as
/// reading them takes, however slow the pipe is.
pub fn whole_stream(
    domain: &Domain,
    manner: Manner,
    turns: &Turns,
    terminal: Terminal,
) -> Outcome<Whole> {
    let mut whole = File::from(
        memfd_create("virsnap-export", MemfdFlags::CLOEXEC).map_err(std::io::Error::from)?,
    );
    let turn = turns.take(domain, terminal)?;
    let (state, id) = domain.migrate_state()?;
    let definition = domain.xml(ffi::VIR_DOMAIN_XML_SECURE)?;
    let cookie = domain.migrate_begin()?;
    // Somebody may have cancelled it in between: then another one has begun.
    let is_moving =
        state == ffi::VIR_SNAP_MIGRATE_STATE_OUTGOING && is_cookie_of(&cookie, id.as_deref())?;
    let written = write_parts(domain, &definition, &cookie, &mut whole);
    if manner == Manner::Copy && is_moving {
        terminal.note(format!(
            "a move of '{}' goes on, and its snapshots stay frozen",
            domain.name()
        ));
    }
    if !is_moving && (manner == Manner::Copy || written.is_err()) {
        domain.migrate_cancel()?;
    }
    written?;
    whole.rewind()?;
    Ok(Whole {
        stream: whole,
        begun: (manner == Manner::Move && !is_moving).then_some(turn),
    })
}

fn is_cookie_of(cookie: &str, id: Option<&str>) -> Outcome<bool> {
    let document = document::parse(cookie)?;
    Ok(id.is_some() && id == document.root_element().attribute("id"))
}

fn write_parts(domain: &Domain, definition: &str, cookie: &str, out: &mut File) -> Outcome {
    out.write_all(format!("{MAGIC}\n").as_bytes())?;
    for (name, part) in [("definition", definition), ("cookie", cookie)] {
        let head = format!("{name} {} {}\n", part.len(), digest(part.as_bytes()));
        out.write_all(head.as_bytes())?;
        out.write_all(part.as_bytes())?;
    }
    domain.migrate_export(out.as_fd())?;
    Ok(())
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub fn import(
    connection: &Connection,
    args: &args::Import,
    turns: &Turns,
    terminal: Terminal,
) -> Outcome {
    let paths = args
        .paths
        .iter()
        .map(|path| mapped(path))
        .collect::<Outcome<Vec<_>>>()?;
    let from = match &args.file {
        Some(file) if file.as_os_str() != "-" => {
            File::open(file).map_err(|error| Failure::file(file, &error))?
        }
        // The descriptor itself: what the standard library keeps back would be missing later.
        _ => File::from(std::io::stdin().as_fd().try_clone_to_owned()?),
    };
    let flags = if args.unchecked {
        ffi::VIR_SNAP_MIGRATE_IMPORT_UNCHECKED
    } else {
        0
    };
    let domain = take_in(connection, &from, &paths, flags, turns, terminal)?;
    let count = domain.snapshots()?.len();
    terminal.say(format!(
        "domain '{}' has come in with {}",
        domain.name(),
        words::count(count, "snapshot")
    ))
}

fn mapped(path: &str) -> Outcome<(String, String)> {
    path.split_once('=')
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .ok_or_else(|| Failure::Usage(format!("--map {path}: FROM=TO is meant")))
}

/// Takes a stream in, all of it or nothing.
pub fn take_in(
    connection: &Connection,
    from: &File,
    paths: &[(String, String)],
    flags: std::ffi::c_uint,
    turns: &Turns,
    terminal: Terminal,
) -> Outcome<Domain> {
    if line(from)? != MAGIC {
        return Err(Failure::Other(
            "this is nothing that `virsnap export` wrote".to_owned(),
        ));
    }
    let definition = part(from, "definition")?;
    let cookie = part(from, "cookie")?;
    let uuid = document::text(document::parse(&definition)?.root_element(), "uuid")
        .ok_or_else(|| Failure::Other("the definition in the stream has no UUID".to_owned()))?;
    let (domain, is_new) = match connection.domain_of_uuid(&uuid) {
        Ok(domain) => (domain, false),
        Err(refusal) if refusal.code == ffi::VIR_ERR_NO_DOMAIN => {
            (connection.prepare(&definition, paths)?, true)
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let come_in = || {
        let turn = turns.take(&domain, terminal)?;
        forget_outcome(&domain, &cookie)?;
        drop(turn);
        come_in(&domain, from, &cookie, paths, flags)
    };
    match come_in() {
        Ok(()) => Ok(domain),
        Err(failure) => {
            if is_new {
                domain.undefine(0)?;
            }
            Err(failure)
        }
    }
}

fn come_in(
    domain: &Domain,
    from: &File,
    cookie: &str,
    paths: &[(String, String)],
    flags: std::ffi::c_uint,
) -> Outcome {
    domain.migrate_import(from.as_fd(), paths, flags)?;
    if let Err(refusal) = domain.migrate_finish(cookie) {
        // Refused, and with an error of its own, where it has finished after all.
        if domain.migrate_state()?.0 == ffi::VIR_SNAP_MIGRATE_STATE_FINISHED {
            return Ok(());
        }
        domain.migrate_cancel()?;
        return Err(refusal.into());
    }
    Ok(())
}

/// Lets a stream come in again that has come in before: a move of the domain to nowhere, begun and
/// cancelled, takes the place of that outcome. Otherwise a file could be taken in only once.
fn forget_outcome(domain: &Domain, cookie: &str) -> Outcome {
    let (state, id) = domain.migrate_state()?;
    let is_over = matches!(
        state,
        ffi::VIR_SNAP_MIGRATE_STATE_FINISHED | ffi::VIR_SNAP_MIGRATE_STATE_CANCELLED
    );
    if is_over && is_cookie_of(cookie, id.as_deref())? {
        domain.migrate_begin()?;
        domain.migrate_cancel()?;
    }
    Ok(())
}

/// A line of a head, without a byte behind it being read.
fn line(mut from: &File) -> Outcome<String> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        from.read_exact(&mut byte).map_err(|_| cut_off())?;
        match byte {
            [b'\n'] => break,
            [byte] if line.len() < LINE_BYTES => line.push(byte),
            _ => {
                return Err(Failure::Other(
                    "this is nothing that `virsnap export` wrote".to_owned(),
                ));
            }
        }
    }
    String::from_utf8(line).map_err(|_| damaged())
}

fn part(mut from: &File, name: &str) -> Outcome<String> {
    let head = line(from)?;
    let mut words = head.split(' ');
    let (Some(word), Some(length), Some(sum), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(damaged());
    };
    let length: usize = length.parse().map_err(|_| damaged())?;
    if word != name || length > PART_BYTES {
        return Err(damaged());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).map_err(|_| cut_off())?;
    if digest(&bytes) != sum {
        return Err(damaged());
    }
    String::from_utf8(bytes).map_err(|_| damaged())
}

fn damaged() -> Failure {
    Failure::Other("the stream is damaged; nothing was taken in".to_owned())
}

fn cut_off() -> Failure {
    Failure::Other("the stream ends too early; nothing was taken in".to_owned())
}

pub fn migration(
    domain: &Domain,
    args: &args::Migration,
    turns: &Turns,
    terminal: Terminal,
) -> Outcome {
    if args.confirm {
        // A copy's move is none that can have arrived.
        let _turn = turns.take(domain, terminal)?;
        domain.migrate_confirm()?;
        return terminal.say(format!(
            "the snapshots of '{}' have gone from here; their data stays",
            args.domain
        ));
    }
    if args.cancel {
        domain.migrate_cancel()?;
        return terminal.say(format!(
            "the snapshots of '{}' can be changed again",
            args.domain
        ));
    }
    let (state, id) = domain.migrate_state()?;
    let word = match state {
        ffi::VIR_SNAP_MIGRATE_STATE_NONE => "none",
        ffi::VIR_SNAP_MIGRATE_STATE_OUTGOING => "outgoing",
        ffi::VIR_SNAP_MIGRATE_STATE_INCOMING => "incoming",
        ffi::VIR_SNAP_MIGRATE_STATE_FINISHED => "finished",
        ffi::VIR_SNAP_MIGRATE_STATE_CONFIRMED => "confirmed",
        ffi::VIR_SNAP_MIGRATE_STATE_CANCELLED => "cancelled",
        _ => "unknown",
    };
    let id = id.map(|id| format!(" {id}")).unwrap_or_default();
    crate::terminal::put(&format!("{word}{id}\n"))
}
