//! Writes the man pages and the completions of `virsnap` into a directory.
//!
//! usage: pages DIRECTORY

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::{Shell, generate_to};

#[allow(dead_code, reason = "only clap looks at the fields here")]
#[path = "../src/args.rs"]
mod args;

fn main() -> std::io::Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    let directory = directory.ok_or_else(|| std::io::Error::other("usage: pages DIRECTORY"))?;
    std::fs::create_dir_all(&directory)?;
    let mut command = args::Arguments::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "virsnap", &directory)?;
    }
    // `virsnap help list` shows what virsnap-list(1) says: no page of its own.
    let command = args::Arguments::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, &directory)
}
