//! State directories: whatever stands there, all that is sound is loaded and nothing is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::data::{Data, Point};
use crate::error::Result;
use crate::ops::fuzzing::Driver;
use crate::ops::{CreateFlags, Domain, ListFlags, ProblemKind, RedefineRules};
use crate::store::disk::Disk;
use crate::store::sealed_journal;

const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";

/// No guest has any data.
struct NoData;

impl Data for NoData {
    fn check_create(&self, _point: &Point<'_>) -> Result<()> {
        Ok(())
    }
    fn create(&self, _point: &Point<'_>, _flags: u32) -> Result<()> {
        Ok(())
    }
    fn check_revert(&self, _point: &Point<'_>) -> Result<()> {
        Ok(())
    }
    fn revert(&self, _point: &Point<'_>, _flags: u32) -> Result<()> {
        Ok(())
    }
    fn delete(&self, _point: &Point<'_>) -> Result<()> {
        Ok(())
    }
    fn count(&self, _point: &Point<'_>) -> Result<usize> {
        Ok(0)
    }
}

fn definition() -> String {
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

/// A directory's files: `PATH NUL CONTENT`, two NULs between one and the next.
pub fn state_directory(input: &[u8]) {
    let disk = Disk::new();
    for file in split(input, b"\0\0") {
        let mut parts = file.splitn(2, |byte| *byte == 0);
        let path = parts.next().unwrap_or_default();
        if let Ok(path) = std::str::from_utf8(path) {
            disk.plant(path, parts.next().unwrap_or_default());
        }
    }
    disk.plant("domain/d.xml", definition().as_bytes());
    disk.plant("snapshot/d/sound.xml", document("sound").as_bytes());
    let planted = disk.files();
    load_and_change(&disk, &planted);
}

/// A journal: the bytes as they are, and as the body of a journal that is whole.
pub fn journal(input: &[u8]) {
    let kinds = ["intent", "commit"].map(|kind| sealed_journal(kind, input));
    for bytes in [input].into_iter().chain(kinds.iter().map(Vec::as_slice)) {
        let disk = Disk::new();
        disk.plant("domain/d.xml", definition().as_bytes());
        for name in ["a", "b"] {
            disk.plant(&format!("snapshot/d/{name}.xml"), document(name).as_bytes());
        }
        disk.plant("stage/d.0", document("a").as_bytes());
        disk.plant("stage/d.1", document("c").as_bytes());
        disk.plant("journal/d", bytes);
        disk.plant("elsewhere", b"untouched");
        load_and_change(&disk, &BTreeMap::new());
        assert_eq!(
            disk.files().get("/elsewhere").map(Vec::as_slice),
            Some(b"untouched".as_slice())
        );
        for path in disk.files().keys() {
            let room = path.split('/').nth(1);
            let is_ours = matches!(
                room,
                Some("domain" | "snapshot" | "stage" | "journal" | "lock" | "elsewhere")
            );
            assert!(is_ours, "{path}");
        }
    }
}

/// Loads twice with the same result, keeps what cannot be read, and writes one snapshot more.
fn load_and_change(disk: &Disk, planted: &BTreeMap<String, Vec<u8>>) {
    let Some((first, damaged)) = loaded(disk) else {
        return;
    };
    assert_eq!(loaded(disk), Some((first, damaged.clone())));
    let files = disk.files();
    for name in &damaged {
        for path in [
            format!("/snapshot/d/{name}.xml"),
            format!("/snapshot/d/{name}"),
        ] {
            if let Some(bytes) = planted.get(&path) {
                assert_eq!(files.get(&path), Some(bytes), "{path}");
            }
        }
    }
    let domain = domain(disk);
    let created = domain.and_then(|domain| {
        let flags = CreateFlags::new(1, "fuzzing").ok()?;
        domain
            .create(&document("added"), flags, RedefineRules::default())
            .ok()
    });
    if created.is_some() {
        let again = loaded(disk).expect("it loads as before");
        assert!(again.0.contains_key("added"));
    }
}

fn domain(disk: &Disk) -> Option<Arc<Domain>> {
    let store = disk.open().ok()?;
    let driver = Driver::new(store, Arc::new(NoData)).ok()?;
    driver.domain_by_name("d").ok()
}

/// Documents by name, and the names of those that could not be read.
fn loaded(disk: &Disk) -> Option<(BTreeMap<String, String>, Vec<String>)> {
    let domain = domain(disk)?;
    let mut documents = BTreeMap::new();
    for name in domain.list(ListFlags::new(0, "fuzzing").ok()?).ok()? {
        let _ = (domain.parent(&name), domain.is_current(&name));
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

fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
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
