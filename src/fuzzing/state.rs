//! State directories: whatever stands there, all that is sound is loaded and nothing is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::memory;
use crate::error::Result;
use crate::ops::{CreateFlags, Domain, ListFlags, ProblemKind, RedefineRules};
use crate::store::disk::Disk;
use crate::store::sealed_journal;

pub(super) const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";

pub(super) fn definition() -> String {
    format!(
        "<domain type='qemu'><name>d</name><uuid>{UUID}</uuid><os><type>hvm</type></os></domain>"
    )
}

fn document(name: &str) -> String {
    format!(
        "<domainsnapshot><name>{name}</name><state>shutoff</state><creationTime>9</creationTime>{}\
         <active>0</active></domainsnapshot>",
        definition()
    )
}

/// A directory's files: `PATH NUL CONTENT`, two NULs between one and the next. A summary, which has NULs in
/// it, may stand there in hexadecimal digits.
pub fn state_directory(input: &[u8]) {
    let disk = Disk::new();
    for file in split(input, b"\0\0") {
        let mut parts = file.splitn(2, |byte| *byte == 0);
        let path = parts.next().unwrap_or_default();
        if let Ok(path) = std::str::from_utf8(path)
            && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        {
            let content = parts.next().unwrap_or_default();
            match path.strip_prefix("summary/").and_then(|_| digits(content)) {
                Some(bytes) => disk.plant(path, &bytes),
                None => disk.plant(path, content),
            }
        }
    }
    disk.plant("domain/d.xml", definition().as_bytes());
    disk.plant("snapshot/d/sound.xml", document("sound").as_bytes());
    let planted = disk.files();
    load_and_change(&disk, &planted);
}

/// The bytes that hexadecimal digits stand for.
fn digits(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let byte = |pair: &[u8; 2]| Some(digit(&pair[0])? * 16 + digit(&pair[1])?);
    let (pairs, rest) = text.as_chunks();
    let bytes = pairs.iter().map(byte).collect();
    if rest.is_empty() { bytes } else { None }
}

/// A journal: bytes that begin as one does are taken as they are, others as the body of one that
/// is whole. An intent's is an object of JSON.
pub fn journal(input: &[u8]) {
    let bytes = match input.first() {
        _ if input.starts_with(b"virsnap-journal") => input.to_vec(),
        Some(b'{') => sealed_journal("intent", input),
        _ => sealed_journal("commit", input),
    };
    let disk = Disk::new();
    disk.plant("domain/d.xml", definition().as_bytes());
    for name in ["a", "b"] {
        disk.plant(&format!("snapshot/d/{name}.xml"), document(name).as_bytes());
    }
    disk.plant("stage/d.0", document("a").as_bytes());
    disk.plant("stage/d.1", document("c").as_bytes());
    disk.plant("journal/d", &bytes);
    disk.plant("elsewhere", b"untouched");
    load_and_change(&disk, &BTreeMap::new());
    let files = disk.files();
    assert_eq!(
        files.get("/elsewhere").map(Vec::as_slice),
        Some(b"untouched".as_slice())
    );
    for path in files.keys() {
        let room = path.split('/').nth(1);
        let is_ours = matches!(
            room,
            Some(
                "domain"
                    | "snapshot"
                    | "stage"
                    | "journal"
                    | "migration"
                    | "summary"
                    | "lock"
                    | "elsewhere"
            )
        );
        assert!(is_ours, "{path}");
    }
}

/// Loads again with the same result, also once what was read may be kept and when it was; keeps what cannot
/// be read, and writes one snapshot more.
fn load_and_change(disk: &Disk, planted: &BTreeMap<String, Vec<u8>>) {
    let Ok(domain) = domain(disk) else {
        return;
    };
    let Some((first, damaged)) = shown(&domain) else {
        return;
    };
    let first = Some((first, damaged.clone()));
    assert_eq!(loaded(disk), first);
    disk.pass_time();
    for _ in 0..2 {
        assert_eq!(loaded(disk), first);
    }
    for name in &damaged {
        for path in [
            format!("/snapshot/d/{name}.xml"),
            format!("/snapshot/d/{name}"),
        ] {
            if let Some(bytes) = planted.get(&path) {
                assert_eq!(disk.file(&path).as_ref(), Some(bytes), "{path}");
            }
        }
    }
    let flags = CreateFlags::new(1, "fuzzing").expect("REDEFINE");
    if domain
        .create(&document("added"), flags, RedefineRules::default())
        .is_ok()
    {
        let again = loaded(disk).expect("it loads as before");
        assert!(again.0.contains_key("added"));
    }
}

/// The domain of a state directory, as a process that has just started sees it.
pub(crate) fn domain(disk: &Disk) -> Result<Arc<Domain>> {
    memory::driver(disk)?.domain_by_name("d")
}

/// Documents by name, and the names of those that could not be read.
type Shown = (BTreeMap<String, String>, Vec<String>);

/// What a process that starts now shows.
fn loaded(disk: &Disk) -> Option<Shown> {
    shown(domain(disk).ok()?.as_ref())
}

fn shown(domain: &Domain) -> Option<Shown> {
    let names = domain.list(ListFlags::new(0, "fuzzing").ok()?).ok()?;
    // Where there are problems each call reads everything: one name stands for all.
    if let Some(name) = names.last() {
        let _ = (domain.parent(name), domain.is_current(name));
    }
    let mut documents = BTreeMap::new();
    for name in names {
        let text = domain.snapshot_xml(&name, true).expect("it is listed");
        documents.insert(name.to_string(), text);
    }
    let problems = domain.problems().ok()?;
    let names = problems
        .iter()
        .filter(|problem| problem.kind == ProblemKind::Unreadable)
        .map(|problem| problem.name.clone())
        .collect();
    Some((documents, names))
}

pub(super) fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest
        .windows(separator.len())
        .position(|window| window == separator)
    {
        parts.push(&rest[..at]);
        rest = &rest[at + separator.len()..];
    }
    parts.push(rest);
    parts
}
