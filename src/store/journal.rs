//! The journal of one domain: an intent, or a committed change that is being carried out.
//!
//! A journal file is `virsnap-journal 1 KIND LENGTH CHECKSUM`, a newline and LENGTH bytes; what
//! follows them is not looked at, so that a reserved file can be written over in place. The bytes of
//! an intent are its text. Those of a commit are one line a step: `write STAGED LENGTH NAME`,
//! `remove LENGTH NAME`, `define STAGED`, `undefine`, `migration STAGED`, `no-migration`, `then STAGED`, where STAGED
//! is the number of the staged file that has the new text, and LENGTH counts the name's bytes because a
//! name may hold a newline.

/// What a journal file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Journal {
    /// There is none.
    Absent,
    /// Guest data may be half-changed.
    Intent(String),
    /// This change is in force, whether or not its files show it.
    Commit(Vec<Step>),
    /// No journal was ever completed there.
    Garbled,
    /// Made by a later version of this library.
    Foreign,
}

/// One file of a change. Carrying a step out twice is the same as once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A staged file becomes the snapshot's document.
    Write {
        /// Number of the staged file.
        staged: usize,
        /// The snapshot.
        name: String,
    },
    /// The snapshot's document goes.
    Remove {
        /// The snapshot.
        name: String,
    },
    /// A staged file becomes the domain's definition.
    Define {
        /// Number of the staged file.
        staged: usize,
    },
    /// The domain's definition goes, and its directory if it is empty.
    Undefine,
    /// A staged file becomes what is kept about a migration.
    Migration {
        /// Number of the staged file.
        staged: usize,
    },
    /// What is kept about a migration goes.
    NoMigration,
    /// A staged file becomes the journal, in place of this change: an intent that follows from it.
    Then {
        /// Number of the staged file.
        staged: usize,
    },
}

impl Step {
    /// The number of the staged intent that follows the change, if this step is that.
    pub(super) fn follow_up(&self) -> Option<usize> {
        match self {
            Step::Then { staged } => Some(*staged),
            _ => None,
        }
    }
}

const MAGIC: &str = "virsnap-journal";
const VERSION: &str = "1";

/// The bytes of an intent's journal file.
pub(super) fn intent(text: &str) -> Vec<u8> {
    sealed("intent", text.as_bytes())
}

/// The bytes of a committed change's journal file.
pub(super) fn commit(steps: &[Step]) -> Vec<u8> {
    let mut body = String::new();
    for step in steps {
        let line = match step {
            Step::Write { staged, name } => format!("write {staged} {} {name}\n", name.len()),
            Step::Remove { name } => format!("remove {} {name}\n", name.len()),
            Step::Define { staged } => format!("define {staged}\n"),
            Step::Undefine => "undefine\n".to_owned(),
            Step::Migration { staged } => format!("migration {staged}\n"),
            Step::NoMigration => "no-migration\n".to_owned(),
            Step::Then { staged } => format!("then {staged}\n"),
        };
        body.push_str(&line);
    }
    sealed("commit", body.as_bytes())
}

/// Reads a journal file.
pub(super) fn parse(bytes: &[u8]) -> Journal {
    let Some((header, rest)) = split_at_byte(bytes, b'\n') else {
        return Journal::Garbled;
    };
    let Ok(header) = std::str::from_utf8(header) else {
        return Journal::Garbled;
    };
    let mut words = header.split(' ');
    if words.next() != Some(MAGIC) {
        return Journal::Garbled;
    }
    match words.next() {
        Some(VERSION) => {}
        Some(other) if other.parse::<u32>().is_ok() => return Journal::Foreign,
        _ => return Journal::Garbled,
    }
    parse_body(words, rest).unwrap_or(Journal::Garbled)
}

fn parse_body<'a>(mut words: impl Iterator<Item = &'a str>, rest: &[u8]) -> Option<Journal> {
    let kind = words.next()?;
    let length: usize = words.next()?.parse().ok()?;
    let sum = words.next()?;
    let body = rest.get(..length)?;
    if words.next().is_some() || checksum(kind, body) != sum {
        return None;
    }
    let body = std::str::from_utf8(body).ok()?;
    match kind {
        "intent" => Some(Journal::Intent(body.to_owned())),
        "commit" => Some(Journal::Commit(parse_steps(body)?)),
        _ => None,
    }
}

fn parse_steps(mut body: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while !body.is_empty() {
        let (step, rest) = parse_step(body)?;
        steps.push(step);
        body = rest;
    }
    Some(steps)
}

fn parse_step(body: &str) -> Option<(Step, &str)> {
    if let Some(rest) = body.strip_prefix("undefine\n") {
        return Some((Step::Undefine, rest));
    }
    if let Some(rest) = body.strip_prefix("no-migration\n") {
        return Some((Step::NoMigration, rest));
    }
    let (verb, rest) = body.split_once(' ')?;
    match verb {
        "write" => {
            let (staged, rest) = rest.split_once(' ')?;
            let (name, rest) = parse_name(rest)?;
            Some((
                Step::Write {
                    staged: staged.parse().ok()?,
                    name,
                },
                rest,
            ))
        }
        "remove" => {
            let (name, rest) = parse_name(rest)?;
            Some((Step::Remove { name }, rest))
        }
        "define" | "migration" => {
            let (staged, rest) = rest.split_once('\n')?;
            let staged = staged.parse().ok()?;
            let step = match verb {
                "define" => Step::Define { staged },
                _ => Step::Migration { staged },
            };
            Some((step, rest))
        }
        "then" => {
            let (staged, rest) = rest.split_once('\n')?;
            Some((
                Step::Then {
                    staged: staged.parse().ok()?,
                },
                rest,
            ))
        }
        _ => None,
    }
}

fn parse_name(text: &str) -> Option<(String, &str)> {
    let (length, rest) = text.split_once(' ')?;
    let (name, rest) = rest.split_at_checked(length.parse().ok()?)?;
    // A name of the journal becomes a file name again.
    super::check_name(name, crate::limits::SNAPSHOT_NAME_BYTES).ok()?;
    Some((name.to_owned(), rest.strip_prefix('\n')?))
}

/// A journal file that is whole, whatever its body says.
pub(crate) fn sealed(kind: &str, body: &[u8]) -> Vec<u8> {
    let sum = checksum(kind, body);
    let mut bytes = format!("{MAGIC} {VERSION} {kind} {} {sum}\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Against torn and lost writes, not against an enemy, who could not write here.
fn checksum(kind: &str, body: &[u8]) -> String {
    let sum = fnv(kind.bytes().chain(body.iter().copied()));
    format!("{sum:016x}")
}

/// FNV-1a, 64 bits.
pub(super) fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn split_at_byte(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Vec<Step> {
        vec![
            Step::Write {
                staged: 0,
                name: "a b\nundefine".into(),
            },
            Step::Write {
                staged: 17,
                name: "ä".into(),
            },
            Step::Remove { name: "7 x".into() },
            Step::Define { staged: 3 },
            Step::Undefine,
            Step::Migration { staged: 4 },
            Step::NoMigration,
            Step::Then { staged: 5 },
        ]
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(parse(&commit(&steps())), Journal::Commit(steps()));
        assert_eq!(parse(&intent("<x>\n\n")), Journal::Intent("<x>\n\n".into()));
        assert_eq!(parse(&intent("")), Journal::Intent(String::new()));
    }

    #[test]
    fn no_prefix_and_no_flipped_bit_is_a_journal() {
        let whole = commit(&steps());
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), Journal::Garbled, "cut at {end}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bent = whole.clone();
                bent[at] ^= 1 << bit;
                let read = parse(&bent);
                assert!(
                    matches!(read, Journal::Garbled | Journal::Foreign),
                    "byte {at} bit {bit}"
                );
            }
        }
        assert_eq!(parse(&[0; 4096]), Journal::Garbled);
    }

    #[test]
    fn what_follows_is_not_looked_at() {
        let mut longer = commit(&steps());
        longer.extend_from_slice(&[0; 100]);
        assert_eq!(parse(&longer), Journal::Commit(steps()));
    }

    #[test]
    fn a_later_version_is_not_taken_for_rubbish() {
        assert_eq!(parse(b"virsnap-journal 2 whatever\n"), Journal::Foreign);
    }

    #[test]
    fn words_that_nobody_writes_are_garbled() {
        assert_eq!(parse(&sealed("promise", b"x")), Journal::Garbled);
        assert_eq!(parse(b"virsnap-journal next x\n"), Journal::Garbled);
        assert_eq!(parse(&sealed("commit", b"forget 1\n")), Journal::Garbled);
        assert_eq!(parse(&sealed("intent", b"\xff")), Journal::Garbled);
    }

    #[test]
    fn a_journal_cannot_name_files_elsewhere() {
        let step = Step::Remove {
            name: "../x".into(),
        };
        assert_eq!(parse(&commit(&[step])), Journal::Garbled);
    }
}
