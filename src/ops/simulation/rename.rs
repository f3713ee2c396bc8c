//! A domain whose migration is over gets another name, on a disk that refuses a call, under a process
//! that dies, on a machine that loses its power.

use rustix::io::Errno;

use super::model::{Model, Operation};
use super::{DOMAIN, Machine, RENAMED, start};
use crate::ops::Phase;
use crate::store::disk::Disk;

const MIGRATION: &str = "00112233445566778899aabbccddeeff";

/// A domain with a snapshot that has come in.
fn arrived() -> Machine {
    let mut machine = Machine::new();
    machine.perform(&Operation::Define).unwrap();
    let create = Operation::Create {
        name: "a".to_owned(),
        metadata: true,
    };
    machine.perform(&create).unwrap();
    machine.disk.settle();
    let kept = format!("virsnap-migration 1 finished {MIGRATION}\n");
    let path = format!("migration/{DOMAIN}");
    machine.disk.plant(&path, kept.as_bytes());
    machine.driver = start(&machine.disk, &machine.contents).unwrap();
    machine
}

/// Whoever comes next sees one of these, and the migration as finished. One name keeps that.
fn assert_finished(machine: &mut Machine, expected: &[&Model], when: &str) {
    machine.driver = start(&machine.disk, &machine.contents).unwrap();
    let seen = machine.observe().unwrap();
    assert!(expected.contains(&&seen), "{when}: {seen:?}");
    let domain = machine.domain().unwrap();
    let (phase, id) = domain.migrate_state().unwrap();
    assert_eq!((phase, &*id), (Phase::Finished, MIGRATION), "{when}");
    domain.migrate_finish(None).unwrap();
    // The first writer removes what a rename has left.
    machine.driver.rename(&domain, "third").unwrap();
    let files = machine.disk.files();
    let kept: Vec<&String> = files
        .keys()
        .filter(|path| path.starts_with("/migration/"))
        .collect();
    assert_eq!(kept, ["/migration/third"], "{when}");
}

#[test]
fn a_rename_that_is_refused_a_call_keeps_a_finished_migration() {
    for call in 0..100 {
        let mut machine = arrived();
        let before = machine.observe().unwrap();
        let after = before.after(&Operation::Rename).unwrap();
        machine.disk.fail_at(call, Errno::DQUOT);
        let expected = match machine.perform(&Operation::Rename) {
            Ok(()) => &after,
            Err(_) => &before,
        };
        machine.disk.restart();
        assert_finished(&mut machine, &[expected], &format!("refused at {call}"));
    }
}

/// A transaction that can neither be proven durable nor be taken back needs more than one.
#[test]
fn a_rename_that_is_refused_several_calls_does_not_leave_two_domains() {
    for (call, count) in (0..100).flat_map(|call| (2..6).map(move |count| (call, count))) {
        let mut machine = arrived();
        let before = machine.observe().unwrap();
        let after = before.after(&Operation::Rename).unwrap();
        machine.disk.fail_several(call, count, Errno::IO);
        let expected: &[&Model] = match machine.perform(&Operation::Rename) {
            Ok(()) => &[&after],
            Err(_) => &[&before, &after],
        };
        machine.disk.restart();
        let when = format!("refused {count} from {call} on");
        assert_finished(&mut machine, expected, &when);
    }
}

#[test]
fn a_rename_that_dies_anywhere_keeps_a_finished_migration() {
    let stops: [fn(&mut Disk); 3] = [
        Disk::restart,
        |disk| disk.cut_power(|_| 0),
        |disk| disk.cut_power(|bound| bound - 1),
    ];
    for stop in stops {
        for call in 0.. {
            let mut machine = arrived();
            let before = machine.observe().unwrap();
            let after = before.after(&Operation::Rename).unwrap();
            machine.disk.die_at(call);
            let renamed = machine.perform(&Operation::Rename);
            if !machine.disk.is_dead() {
                renamed.unwrap();
                let domain = machine.domain().unwrap();
                assert_eq!(**domain.name(), *RENAMED);
                break;
            }
            stop(&mut machine.disk);
            assert_finished(&mut machine, &[&before, &after], &format!("died at {call}"));
            assert!(call < 500, "it never ends");
        }
    }
}
