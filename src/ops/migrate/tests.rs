//! Both ends in one process, on simulated disks.

use std::collections::BTreeMap;

use super::*;
use crate::fuzzing::simulated_domain;
use crate::ops::{
    CreateFlags, DeleteFlags, ListFlags, RedefineCheck, RedefineCurrent, RedefineRules, RevertFlags,
};
use crate::store::disk::Disk;
use crate::tree::Found;
use crate::xml::Mapping;

const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";

fn definition() -> String {
    format!(
        "<domain type='qemu'><name>d</name><uuid>{UUID}</uuid><os><type>hvm</type></os>\
         <devices><disk type='file'><driver name='qemu' type='qcow2'/>\
         <source file='/a/0.qcow2'/><target dev='vda'/></disk></devices></domain>"
    )
}

fn disk() -> Disk {
    let disk = Disk::new();
    disk.plant("domain/d.xml", definition().as_bytes());
    disk
}

fn redefine(domain: &Domain, name: &str, parent: Option<&str>, flags: u32) -> Result<Arc<str>> {
    let parent = parent.map_or(String::new(), |parent| {
        format!("<parent><name>{parent}</name></parent>")
    });
    let text = format!(
        "<domainsnapshot><name>{name}</name><description>of {name}</description>\
         <state>shutoff</state><creationTime>7</creationTime>{parent}{}</domainsnapshot>",
        definition()
    );
    let flags = CreateFlags::new(1 | flags, "test").unwrap();
    let rules = RedefineRules {
        current: RedefineCurrent::Flag,
        check: RedefineCheck::Trust,
    };
    domain.create(&text, flags, rules)
}

/// s1 - s2 - { s3 ; s4 - s5 }; s4 is current.
fn source() -> Disk {
    let disk = disk();
    let domain = simulated_domain(&disk).unwrap();
    let tree = [
        ("s1", None, 0),
        ("s2", Some("s1"), 0),
        ("s3", Some("s2"), 0),
        ("s4", Some("s2"), 2),
        ("s5", Some("s4"), 0),
    ];
    for (name, parent, flags) in tree {
        redefine(&domain, name, parent, flags).unwrap();
    }
    disk
}

type State = (BTreeMap<String, String>, Option<String>);

fn state(domain: &Domain) -> State {
    let found = domain.list(ListFlags::new(0, "test").unwrap()).unwrap();
    let text = |found: &Found| {
        let document = domain.snapshot_xml(found, true).unwrap();
        (found.name.to_string(), document)
    };
    let current = domain.current().unwrap();
    (
        found.iter().map(text).collect(),
        current.map(|name| name.to_string()),
    )
}

fn state_of(disk: &Disk) -> State {
    state(&simulated_domain(disk).unwrap())
}

fn export(domain: &Domain) -> Result<Vec<u8>> {
    let mut stream = Vec::new();
    domain.migrate_export(&mut |bytes| {
        stream.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(stream)
}

fn import_mapped(domain: &Domain, stream: &[u8], mapping: Mapping) -> Result<()> {
    let mut rest = stream;
    let mut receive = |bytes: &mut [u8]| {
        // In pieces, as a pipe gives them.
        let count = rest.len().min(bytes.len()).min(100);
        let (now, later) = rest.split_at(count);
        bytes[..count].copy_from_slice(now);
        rest = later;
        Ok(count)
    };
    domain.migrate_import(&mut receive, mapping, RedefineCheck::Trust)
}

fn import(domain: &Domain, stream: &[u8]) -> Result<()> {
    import_mapped(domain, stream, Mapping::default())
}

fn begin(domain: &Domain) -> Result<String> {
    let cookie = domain.migrate_begin(Carry::Metadata)?;
    Ok(cookie.expect("one with METADATA"))
}

#[test]
fn the_hierarchy_moves_with_its_current_snapshot() {
    let (from, to) = (source(), disk());
    let before = state_of(&from);
    let source = simulated_domain(&from).unwrap();
    let destination = simulated_domain(&to).unwrap();
    let cookie = begin(&source).unwrap();
    assert_eq!(begin(&source).unwrap(), cookie, "repeated");
    let stream = export(&source).unwrap();
    assert_eq!(export(&source).unwrap(), stream, "repeated");
    import(&destination, &stream).unwrap();
    assert_eq!(state(&destination).0.len(), 0, "invisible");
    import(&destination, &stream).unwrap();
    destination.migrate_finish(Some(&cookie)).unwrap();
    destination.migrate_finish(Some(&cookie)).unwrap();
    assert_eq!(state(&destination), before);
    assert_eq!(state_of(&to), before);
    assert_eq!(state(&source), before, "until Confirm the source has all");
    source
        .migrate_confirm(Some(&cookie), Outcome::Success)
        .unwrap();
    source
        .migrate_confirm(Some(&cookie), Outcome::Success)
        .unwrap();
    assert_eq!(state_of(&from), (BTreeMap::new(), None));
    assert_eq!(state(&source), (BTreeMap::new(), None));
    assert_eq!(source.migrate_state().unwrap().0, Phase::Confirmed);
    assert_eq!(destination.migrate_state().unwrap().0, Phase::Finished);
    // And back.
    let cookie = begin(&destination).unwrap();
    import(&source, &export(&destination).unwrap()).unwrap();
    source.migrate_finish(Some(&cookie)).unwrap();
    destination
        .migrate_confirm(Some(&cookie), Outcome::Success)
        .unwrap();
    assert_eq!(state_of(&from), before);
    assert_eq!(state_of(&to), (BTreeMap::new(), None));
}

#[test]
fn without_a_cookie_none_becomes_current() {
    let (from, to) = (source(), disk());
    let source = simulated_domain(&from).unwrap();
    let destination = simulated_domain(&to).unwrap();
    begin(&source).unwrap();
    import(&destination, &export(&source).unwrap()).unwrap();
    destination.migrate_finish(None).unwrap();
    assert_eq!(state(&destination), (state(&source).0, None));
}

#[test]
fn without_metadata_there_may_be_no_snapshots() {
    let from = source();
    let source = simulated_domain(&from).unwrap();
    for refused in [
        source.migrate_check(Carry::Nothing),
        source.migrate_begin(Carry::Nothing).map(|_| ()),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot migrate domain with 5 snapshots"
        );
        assert_eq!(refused.number() as i32, 55);
    }
    source.migrate_check(Carry::Metadata).unwrap();
    let empty = disk();
    let empty = simulated_domain(&empty).unwrap();
    empty.migrate_check(Carry::Nothing).unwrap();
    assert_eq!(empty.migrate_begin(Carry::Nothing).unwrap(), None);
    assert_eq!(empty.migrate_state().unwrap().0, Phase::None);
}

#[test]
fn both_ends_are_frozen_and_thaw() {
    let (from, to) = (source(), disk());
    let cookie = {
        let source = simulated_domain(&from).unwrap();
        let destination = simulated_domain(&to).unwrap();
        let cookie = begin(&source).unwrap();
        import(&destination, &export(&source).unwrap()).unwrap();
        cookie
    };
    for (disk, word) in [(&from, "going to"), (&to, "coming from")] {
        // Another process.
        let domain = simulated_domain(disk).unwrap();
        let before = state(&domain);
        let refusals = [
            redefine(&domain, "new", None, 0).map(|_| ()),
            domain.delete("s5", DeleteFlags::new(0, "test").unwrap()),
            domain.revert("s5", RevertFlags::new(0, "test").unwrap()),
            domain.migrate_check(Carry::Metadata),
        ];
        for refusal in refusals {
            let refusal = refusal.unwrap_err();
            assert!(refusal.to_string().contains(word), "{refusal}");
            assert_eq!(refusal.number() as i32, 55);
        }
        assert_eq!(state(&domain), before, "reading goes on");
        domain.migrate_cancel().unwrap();
        domain.migrate_cancel().unwrap();
        assert_eq!(state(&domain), before);
        redefine(&domain, "new", None, 0).unwrap();
    }
    // What was cancelled at either end cannot be finished at the other.
    let (source, destination) = (
        simulated_domain(&from).unwrap(),
        simulated_domain(&to).unwrap(),
    );
    destination.migrate_finish(Some(&cookie)).unwrap_err();
    source
        .migrate_confirm(Some(&cookie), Outcome::Success)
        .unwrap_err();
    source
        .migrate_confirm(Some(&cookie), Outcome::Failure)
        .unwrap();
    assert_eq!(state(&source).0.len(), 6);
}

#[test]
fn what_succeeded_cannot_be_cancelled() {
    let (from, to) = (source(), disk());
    let source = simulated_domain(&from).unwrap();
    let destination = simulated_domain(&to).unwrap();
    let cookie = begin(&source).unwrap();
    let stream = export(&source).unwrap();
    import(&destination, &stream).unwrap();
    destination.migrate_finish(Some(&cookie)).unwrap();
    destination.migrate_cancel().unwrap_err();
    import(&destination, &stream).unwrap_err();
    source
        .migrate_confirm(Some(&cookie), Outcome::Success)
        .unwrap();
    source.migrate_cancel().unwrap_err();
    source
        .migrate_confirm(Some(&cookie), Outcome::Failure)
        .unwrap_err();
    export(&source).unwrap_err();
    import(&source, &stream).unwrap_err();
}

#[test]
fn a_phase_of_another_migration_is_refused() {
    let (from, to) = (source(), disk());
    let source = simulated_domain(&from).unwrap();
    let destination = simulated_domain(&to).unwrap();
    source.migrate_confirm(None, Outcome::Failure).unwrap();
    source.migrate_confirm(None, Outcome::Success).unwrap_err();
    destination.migrate_finish(None).unwrap_err();
    export(&source).unwrap_err();
    let old = begin(&source).unwrap();
    source.migrate_cancel().unwrap();
    let new = begin(&source).unwrap();
    assert_ne!(old, new);
    source
        .migrate_confirm(Some(&old), Outcome::Success)
        .unwrap_err();
    import(&destination, &export(&source).unwrap()).unwrap();
    destination.migrate_finish(Some(&old)).unwrap_err();
    let foreign = new.replace(UUID, "c7a5fdbd-edaf-9455-926a-d65c16db1800");
    destination.migrate_finish(Some(&foreign)).unwrap_err();
    let other = new.replace("count='5'", "count='4'");
    destination.migrate_finish(Some(&other)).unwrap_err();
    let other = new.replace("current='s4'", "current='s9'");
    destination.migrate_finish(Some(&other)).unwrap_err();
    assert!(state(&destination).0.is_empty());
    destination.migrate_finish(Some(&new)).unwrap();
}

#[test]
fn what_is_there_already_must_be_equal() {
    let (from, to) = (source(), disk());
    let source = simulated_domain(&from).unwrap();
    let destination = simulated_domain(&to).unwrap();
    redefine(&destination, "own", None, 2).unwrap();
    redefine(&destination, "s1", None, 0).unwrap();
    let cookie = begin(&source).unwrap();
    let stream = export(&source).unwrap();
    import(&destination, &stream).unwrap();
    destination.migrate_finish(Some(&cookie)).unwrap();
    let (documents, current) = state(&destination);
    assert_eq!((documents.len(), current.as_deref()), (6, Some("s4")));

    let other = disk();
    let other = simulated_domain(&other).unwrap();
    redefine(&other, "s3", None, 0).unwrap();
    let before = state(&other);
    let refusal = import(&other, &stream).unwrap_err().to_string();
    assert!(refusal.contains("another snapshot named 's3'"), "{refusal}");
    assert_eq!(
        (state(&other), other.migrate_state().unwrap().0),
        (before, Phase::None)
    );
}

#[test]
fn paths_are_mapped_and_the_digest_is_that_of_the_source() {
    let (from, to) = (source(), disk());
    let source = simulated_domain(&from).unwrap();
    let destination = simulated_domain(&to).unwrap();
    let cookie = begin(&source).unwrap();
    let mapping = Mapping::new(vec![("/a".to_owned(), "/srv/b".to_owned())]);
    import_mapped(&destination, &export(&source).unwrap(), mapping).unwrap();
    destination.migrate_finish(Some(&cookie)).unwrap();
    let (documents, current) = state(&source);
    let mapped = documents
        .into_iter()
        .map(|(name, text)| (name, text.replace("'/a/0.qcow2'", "'/srv/b/0.qcow2'")))
        .collect();
    assert_eq!(state(&destination), (mapped, current));
}

#[test]
fn no_prefix_and_no_flipped_bit_arrives() {
    let from = source();
    let source = simulated_domain(&from).unwrap();
    let cookie = begin(&source).unwrap();
    let stream = export(&source).unwrap();
    let to = disk();
    let destination = simulated_domain(&to).unwrap();
    for end in (0..stream.len())
        .step_by(97)
        .chain(stream.len() - 80..stream.len())
    {
        import(&destination, &stream[..end]).unwrap_err();
        assert_eq!(destination.migrate_state().unwrap().0, Phase::None, "{end}");
    }
    for at in (0..150).chain((150..stream.len()).step_by(61)) {
        for bit in [0, 5] {
            let mut bent = stream.clone();
            bent[at] ^= 1 << bit;
            // With another identifier it is the stream of another migration.
            if import(&destination, &bent).is_ok() {
                destination.migrate_finish(Some(&cookie)).unwrap_err();
                destination.migrate_cancel().unwrap();
            }
            assert!(state(&destination).0.is_empty(), "byte {at} bit {bit}");
        }
    }
    import(&destination, &stream).unwrap();
}

#[test]
fn what_the_source_changes_behind_our_back_is_not_dropped() {
    let mut from = source();
    let cookie = begin(&simulated_domain(&from).unwrap()).unwrap();
    from.settle();
    let text = from.files()["/snapshot/d/s5.xml"].clone();
    let text = String::from_utf8(text).unwrap();
    let text = text.replace("<name>s5</name>", "<name>s6</name>");
    from.plant("snapshot/d/s6.xml", text.as_bytes());
    let source = simulated_domain(&from).unwrap();
    assert!(export(&source).is_err());
    source
        .migrate_confirm(Some(&cookie), Outcome::Success)
        .unwrap_err();
    assert_eq!(state(&source).0.len(), 6);
    source.migrate_cancel().unwrap();
}

#[test]
fn what_cannot_be_read_does_not_stay_behind_unseen() {
    let from = source();
    from.plant("snapshot/d/s6.xml", b"rubbish");
    let source = simulated_domain(&from).unwrap();
    source.migrate_check(Carry::Metadata).unwrap_err();
    begin(&source).unwrap_err();
    let alone = disk();
    alone.plant("snapshot/d/s6.xml", b"rubbish");
    let alone = simulated_domain(&alone).unwrap();
    alone.migrate_begin(Carry::Nothing).unwrap_err();
}

#[test]
fn a_damaged_record_stands_against_changes_and_can_be_cancelled() {
    let from = source();
    from.plant("migration/d", b"virsnap-migration 1 out");
    let source = simulated_domain(&from).unwrap();
    redefine(&source, "new", None, 0).unwrap_err();
    source.migrate_state().unwrap_err();
    source.migrate_cancel().unwrap();
    redefine(&source, "new", None, 0).unwrap();
}

/// What a manager does that may be cut off anywhere: every phase again, from the beginning.
fn move_all(from: &Disk, to: &Disk) -> Result<()> {
    let source = simulated_domain(from)?;
    if source.migrate_state()?.0 != Phase::Confirmed {
        let cookie = begin(&source)?;
        let destination = simulated_domain(to)?;
        if destination.migrate_state()?.0 != Phase::Finished {
            import(&destination, &export(&source)?)?;
            destination.migrate_finish(Some(&cookie))?;
        }
        source.migrate_confirm(Some(&cookie), Outcome::Success)?;
    }
    Ok(())
}

/// What becomes of a disk when its machine or process stops.
type Stop = fn(&mut Disk);

const STOPS: [Stop; 3] = [
    Disk::restart,
    |disk| disk.cut_power(|_| 0),
    |disk| disk.cut_power(|bound| bound - 1),
];

/// Runs one attempt that dies at a call of one end, and hands both disks to `check`.
fn at_every_call(check: impl Fn(&mut Disk, &mut Disk, &State)) {
    let before = state_of(&source());
    for stop in STOPS {
        for dies_at_source in [true, false] {
            for call in 0.. {
                let (mut from, mut to) = (source(), disk());
                // The first open makes the directories: not what this is about.
                drop(simulated_domain(&to).unwrap());
                from.settle();
                to.settle();
                let dying = if dies_at_source { &from } else { &to };
                dying.die_at(call);
                let moved = move_all(&from, &to);
                let is_over = !dying.is_dead();
                if is_over {
                    moved.unwrap();
                    break;
                }
                stop(&mut from);
                stop(&mut to);
                check(&mut from, &mut to, &before);
                assert!(call < 2000, "it never ends");
            }
        }
    }
}

#[test]
fn a_migration_that_died_anywhere_can_be_finished() {
    at_every_call(|from, to, before| {
        for disk in [&*from, &*to] {
            let seen = state_of(disk);
            assert!(seen == *before || seen.0.is_empty(), "{seen:?}");
        }
        let nowhere = state_of(from).0.is_empty() && state_of(to).0.is_empty();
        assert!(!nowhere, "owned by nobody");
        move_all(from, to).unwrap();
        assert_eq!(state_of(to), *before);
        assert_eq!(state_of(from), (BTreeMap::new(), None));
        let litter = |disk: &Disk| {
            let files = disk.files().into_keys();
            files
                .filter(|path| path.starts_with("/stage/") && !path.contains(".reserve"))
                .count()
        };
        assert_eq!((litter(from), litter(to)), (0, 0));
    });
}

#[test]
fn a_migration_that_died_anywhere_can_be_cancelled_until_it_is_finished() {
    at_every_call(|from, to, before| {
        let destination = simulated_domain(to).unwrap();
        if destination.migrate_cancel().is_err() {
            assert_eq!(state(&destination), *before);
            return;
        }
        let source = simulated_domain(from).unwrap();
        source.migrate_cancel().unwrap();
        assert_eq!(state(&source), *before);
        assert!(state(&destination).0.is_empty());
        redefine(&source, "new", Some("s5"), 0).unwrap();
        redefine(&destination, "new", None, 0).unwrap();
    });
}
