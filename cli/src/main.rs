//! `virsnap`: snapshots for the person at the host, over libvirsnap's C functions.
//!
//! | file | subject |
//! | --- | --- |
//! | args | what can be said |
//! | place | where the snapshots are; a real libvirt's directory is read into a copy |
//! | ffi | the library's functions |
//! | history, document, qcow2, claims | what is there: snapshots, documents, images, who knows of which file |
//! | list, picture, change, stream, check, adopt, prune | the commands |
//! | plan | what would be done, told |
//! | turn | who begins a move, among several processes |
//! | retention | which snapshots a rule keeps |
//! | terminal, words, failure | how it is told |

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
use failure::{Failure, Outcome};
use ffi::Domain;
use place::Purpose;
use terminal::{Terminal, put};

mod adopt;
mod args;
mod change;
mod check;
mod claims;
mod document;
mod failure;
mod ffi;
mod history;
mod list;
mod picture;
mod place;
mod plan;
mod prune;
mod qcow2;
mod retention;
mod stream;
mod terminal;
mod turn;
mod words;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let terminal = Terminal::new(arguments.color, arguments.quiet);
    ffi::silence();
    match run(&arguments, terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::FoundSomething) {
                eprintln!("virsnap: {failure}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// What a command is about to do.
fn purpose(command: &Command) -> Purpose {
    match command {
        // A connection that only reads shows no passwords.
        Command::Show(args) if args.secure => Purpose::CopyOut,
        Command::Domains { .. }
        | Command::List(_)
        | Command::Tree(_)
        | Command::Show(_)
        | Command::Check(_) => Purpose::Look,
        Command::Current(args) if args.snapshot.is_none() => Purpose::Look,
        Command::Create(args) if args.dry.dry_run => asking(&args.guest),
        Command::Delete(args) if args.dry.dry_run => asking(&args.guest),
        Command::Revert(args) if args.dry.dry_run => asking(&args.guest),
        Command::Undefine(args) if args.dry.dry_run => Purpose::Look,
        Command::Export(args) if args.dry.dry_run => Purpose::Look,
        Command::Export(args) if !args.moves => Purpose::CopyOut,
        Command::Define { .. } | Command::Import(_) => Purpose::Begin,
        Command::Adopt(args) if args.from_libvirt.is_some() => Purpose::Begin,
        _ => Purpose::Change,
    }
}

/// Asking for a plan changes nothing; attaching a guest is for connections that may.
fn asking(guest: &args::Guest) -> Purpose {
    match guest.monitor {
        Some(_) => Purpose::CopyOut,
        None => Purpose::Look,
    }
}

fn run(arguments: &Arguments, terminal: Terminal) -> Outcome {
    let place = place::open(&arguments.place, purpose(&arguments.command), terminal)?;
    let (connection, turns) = (&place.connection, &place.turns);
    let domain = |name: &str| -> Outcome<Domain> { Ok(connection.domain(name)?) };
    match &arguments.command {
        Command::Domains { json } => list::domains(connection, *json, terminal),
        Command::List(args) => list::list(&domain(&args.domain)?, args, terminal),
        Command::Tree(args) => tree(&domain(&args.domain)?, args, terminal),
        Command::Show(args) => list::show(&domain(&args.domain)?, args, terminal),
        Command::Current(args) => match &args.snapshot {
            None => list::current(&domain(&args.domain)?, terminal),
            Some(name) => list::make_current(&domain(&args.domain)?, name, terminal),
        },
        Command::Define { file } => change::define(connection, file, terminal),
        Command::Undefine(args) => change::undefine(&domain(&args.domain)?, args, terminal),
        Command::Create(args) => change::create(&domain(&args.domain)?, args, terminal),
        Command::Redefine(args) => change::redefine(&domain(&args.domain)?, args, terminal),
        Command::Delete(args) => change::delete(&domain(&args.domain)?, args, terminal),
        Command::Revert(args) => change::revert(&domain(&args.domain)?, args, terminal),
        Command::Export(args) => stream::export(&domain(&args.domain)?, args, turns, terminal),
        Command::Import(args) => stream::import(connection, args, turns, terminal),
        Command::Migration(args) => {
            stream::migration(&domain(&args.domain)?, args, turns, terminal)
        }
        Command::Check(args) => check::check(connection, args, terminal),
        Command::Repair(args) => check::repair(&domain(&args.domain)?, args, terminal),
        Command::Prune(args) => prune::prune(&domain(&args.domain)?, args, terminal),
        Command::Adopt(args) => match (&args.from_libvirt, &args.from, &args.domain) {
            (Some(directory), _, _) => {
                let definitions = arguments.place.definitions.as_deref();
                adopt::from_directory(&place, directory, args, definitions, terminal)
            }
            (None, Some(uri), Some(name)) => {
                adopt::from_connection(&domain(name)?, uri, args, terminal)
            }
            (None, None, Some(name)) => adopt::from_images(&domain(name)?, args, terminal),
            (None, _, None) => Err(Failure::Usage("which domain?".to_owned())),
        },
    }
}

fn tree(domain: &Domain, args: &args::Tree, terminal: Terminal) -> Outcome {
    let history = history::History::measured(domain)?;
    put(&match (args.svg, args.dot) {
        (true, _) => picture::svg(&history),
        (_, true) => picture::dot(&history),
        _ => list::tree(&history, terminal),
    })
}
