//! Migration streams: a hostile one changes nothing, a sound one arrives whole.

use std::sync::Arc;

use super::state::{UUID, definition, domain, split};
use crate::error::Result;
use crate::ops::fuzzing::Sum;
use crate::ops::{CreateFlags, Domain, ListFlags, Phase, RedefineCheck, RedefineRules};
use crate::store::disk::Disk;
use crate::tree::Found;
use crate::xml::Mapping;

const PRESENT: &str = "present";

/// The bytes as they are, and as a stream's documents (two NULs between one and the next).
pub fn migration_stream(input: &[u8]) {
    take(input);
    let documents: Vec<_> = split(input, b"\0\0");
    let head = format!(
        "virsnap-snapshots 1 {} {} {:08x}\n",
        "0".repeat(32),
        UUID,
        documents.len()
    );
    let mut stream = head.into_bytes();
    let mut sum = Sum::default();
    for document in &documents {
        stream.extend_from_slice(format!("document {:08x}\n", document.len()).as_bytes());
        stream.extend_from_slice(document);
        sum.add(&String::from_utf8_lossy(document));
    }
    let end = format!("complete {:08x} {}\n", documents.len(), sum.digest());
    stream.extend_from_slice(end.as_bytes());
    take(&stream);
}

fn take(stream: &[u8]) {
    let mut disk = Disk::new();
    disk.plant("domain/d.xml", definition().as_bytes());
    let domain = open(&disk);
    let flags = CreateFlags::new(1, "fuzzing").expect("REDEFINE");
    let document = format!(
        "<domainsnapshot><name>{PRESENT}</name><state>shutoff</state>\
         <creationTime>9</creationTime>{}</domainsnapshot>",
        definition()
    );
    domain
        .create(&document, flags, RedefineRules::default())
        .expect("it is sound");
    let before = contents(&domain);
    let mut rest = stream;
    let mut receive = |bytes: &mut [u8]| -> Result<usize> {
        let count = rest.len().min(bytes.len());
        let (now, later) = rest.split_at(count);
        bytes[..count].copy_from_slice(now);
        rest = later;
        Ok(count)
    };
    let mapping = Mapping::new(vec![("/a".to_owned(), "/b".to_owned())]);
    let taken = domain.migrate_import(&mut receive, mapping, RedefineCheck::Trust);
    assert_eq!(
        contents(&domain),
        before,
        "nothing is visible before Finish"
    );
    let phase = domain.migrate_state().expect("it is readable").0;
    if taken.is_err() {
        assert_eq!(phase, Phase::None);
        return;
    }
    assert_eq!(phase, Phase::Incoming);
    disk.restart();
    let domain = open(&disk);
    domain.migrate_finish(None).expect("it was taken");
    let after = contents(&domain);
    assert!(after.contains(&before[0]));
    assert_eq!(contents(&open(&disk)), after);
    assert!(domain.problems().expect("they are readable").is_empty());
    domain.migrate_finish(None).expect("repeating is harmless");
}

fn open(disk: &Disk) -> Arc<Domain> {
    domain(disk).expect("the disk is sound")
}

fn contents(domain: &Domain) -> Vec<String> {
    let found = domain.list(ListFlags::new(0, "fuzzing").expect("no flags"));
    let found = found.expect("they are readable");
    let text = |found: &Found| {
        let document = domain.snapshot_xml(found, true);
        document.expect("it is listed")
    };
    found.iter().map(text).collect()
}
