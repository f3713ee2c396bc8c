//! What depends on where the output goes: colours, progress, messages by the way.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::args::When;
use crate::failure::{Failure, Outcome};
use crate::ffi::Domain;

/// Colours on standard output, and messages on standard error.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    colors: bool,
    quiet: bool,
}

impl Terminal {
    pub fn new(when: When, quiet: bool) -> Terminal {
        let colors = match when {
            When::Always => true,
            When::Never => false,
            // https://no-color.org: set, and not empty.
            When::Auto => {
                stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
            }
        };
        Terminal { colors, quiet }
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        if self.colors {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    /// Headings and names.
    pub fn bold(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    /// Where the guest is, and what is well.
    pub fn good(self, text: impl Display) -> String {
        self.paint("1;32", text)
    }

    /// What is wrong, or goes away.
    pub fn bad(self, text: impl Display) -> String {
        self.paint("31", text)
    }

    /// What matters less.
    pub fn dim(self, text: impl Display) -> String {
        self.paint("2", text)
    }

    /// Says what was done, unless that was not wanted.
    pub fn say(self, text: impl Display) -> Outcome {
        if self.quiet {
            Ok(())
        } else {
            put(&format!("{text}\n"))
        }
    }

    /// Says something by the way, on standard error.
    pub fn note(self, text: impl Display) {
        if !self.quiet {
            eprintln!("virsnap: {text}");
        }
    }

    /// A bar of so many steps; hidden where nobody sees it.
    pub fn bar(self, total: u64, what: &str) -> ProgressBar {
        if self.quiet || !stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent} % {eta}") {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar
    }

    /// Shows how far long operations on a domain are. They stay as they are if that cannot be had: a
    /// domain of libvirt's has no such call.
    pub fn watch(self, domain: &Domain, what: &str) {
        if self.quiet || !stderr().is_terminal() {
            return;
        }
        let bar = self.bar(0, what);
        let _ = domain.watch(Box::new(move |done, total| {
            bar.set_length(total);
            bar.set_position(done);
            if done >= total {
                bar.finish_and_clear();
            }
            true
        }));
    }
}

/// Writes to standard output what was asked for.
pub fn put(text: &str) -> Outcome {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Other(format!("standard output: {error}")))
}

/// The same, of a JSON value.
pub fn put_json(value: &Value) -> Outcome {
    put(&format!("{value:#}\n"))
}

/// Columns with a heading, each as wide as it has to be. The last has no end of its own.
pub fn table(terminal: Terminal, heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        longest.max(heading.get(column).map_or(0, |name| name.len()))
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| {
                let missing = width.saturating_sub(cell.chars().count());
                format!("{cell}{}", " ".repeat(missing))
            })
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    let names: Vec<String> = heading.iter().map(|name| (*name).to_owned()).collect();
    let mut out = terminal.bold(line(&names)) + "\n";
    for row in rows {
        out += &line(row);
        out.push('\n');
    }
    out
}
