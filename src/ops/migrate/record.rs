//! What is kept about a migration at each end.
//!
//! One line, `virsnap-migration 1 PHASE ID`. At the source the cookie follows while it goes on; at
//! the destination all that came in, until Finish.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::limits;
use crate::xml::Cookie;

const MAGIC: &str = "virsnap-migration 1";

/// Bytes of the first line, at most.
const LINE_BYTES: u64 = 128;

/// How far a migration has come at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There was none.
    None,
    /// The snapshots are being sent from here; they are frozen.
    Outgoing,
    /// Snapshots have come in here and are not visible yet; those that are here are frozen.
    Incoming,
    /// They have become visible here.
    Finished,
    /// They have gone from here.
    Confirmed,
    /// It was given up.
    Cancelled,
}

const WORDS: [(&str, Phase); 5] = [
    ("outgoing", Phase::Outgoing),
    ("incoming", Phase::Incoming),
    ("finished", Phase::Finished),
    ("confirmed", Phase::Confirmed),
    ("cancelled", Phase::Cancelled),
];

/// What was kept.
pub(super) struct Kept {
    /// How far it has come.
    pub phase: Phase,
    /// Which migration it is.
    pub id: String,
    /// What follows the first line.
    pub rest: Box<dyn Read + Send>,
    path: PathBuf,
}

impl Kept {
    /// There was no migration.
    pub fn nothing() -> Kept {
        Kept {
            phase: Phase::None,
            id: String::new(),
            rest: Box::new(std::io::empty()),
            path: PathBuf::new(),
        }
    }

    /// There was one, and nobody knows which.
    pub fn damaged() -> Kept {
        Kept {
            phase: Phase::Outgoing,
            id: "0".repeat(32),
            ..Kept::nothing()
        }
    }

    /// Reads the first line.
    pub fn read(text: Box<dyn Read + Send>, path: PathBuf) -> Result<Kept> {
        let mut rest = BufReader::new(text);
        let mut line = String::new();
        rest.by_ref()
            .take(LINE_BYTES)
            .read_line(&mut line)
            .map_err(|cause| Error::io("read", path.clone(), cause))?;
        let Some((phase, id)) = parse(&line) else {
            return Err(Error::Damaged {
                path,
                reason: "it does not say how far the migration has come".to_owned(),
            });
        };
        Ok(Kept {
            phase,
            id: id.to_owned(),
            rest: Box::new(rest),
            path,
        })
    }

    /// The cookie that stands in what the source keeps.
    pub fn cookie(self) -> Result<String> {
        let limit = u64::try_from(limits::STATE_FILE_BYTES).unwrap_or(u64::MAX);
        let mut text = String::new();
        let read = self.rest.take(limit).read_to_string(&mut text);
        read.map_err(|cause| Error::io("read", self.path, cause))?;
        text.truncate(text.trim_end().len());
        Ok(text)
    }
}

fn parse(line: &str) -> Option<(Phase, &str)> {
    let words = line.strip_prefix(MAGIC)?.strip_prefix(' ')?;
    let (word, id) = words.strip_suffix('\n')?.split_once(' ')?;
    let (_, phase) = WORDS.iter().find(|(known, _)| *known == word)?;
    Some((*phase, id))
}

fn first_line(phase: Phase, id: &str) -> String {
    let word = WORDS.iter().find(|(_, known)| *known == phase);
    let word = word.map_or("", |(word, _)| word);
    format!("{MAGIC} {word} {id}\n")
}

/// The source's, while the migration goes on.
pub(super) fn outgoing(cookie: &Cookie) -> String {
    let line = first_line(Phase::Outgoing, &cookie.id);
    format!("{line}{}\n", cookie.format())
}

/// The beginning of the destination's, until Finish.
pub(super) fn incoming(id: &str) -> String {
    first_line(Phase::Incoming, id)
}

/// The destination's afterwards.
pub(super) fn finished(id: &str) -> String {
    first_line(Phase::Finished, id)
}

/// The source's afterwards.
pub(super) fn confirmed(id: &str) -> String {
    first_line(Phase::Confirmed, id)
}

/// Of either, when it was given up.
pub(super) fn cancelled(id: &str) -> String {
    first_line(Phase::Cancelled, id)
}
