//! What a change needs, what it leaves, and whom it tells.

use rustix::io::Errno;

use super::edges::{DOMAIN, Store, open, snapshots, texts, with_snapshots};
use crate::error::{Error, Result};
use crate::limits;
use crate::store::fs::FileSystem;
use crate::store::simulated::{Fault, World};
use crate::store::{Change, DefinitionChange, Made, MigrationChange};

const NO_FAULT: Fault = Fault::Once(usize::MAX, Errno::IO);

fn writing(names: &[&str]) -> Change {
    Change {
        write: texts(names, "new"),
        ..Change::default()
    }
}

fn migrating() -> Change {
    Change {
        migration: MigrationChange::Write("away".into()),
        ..Change::default()
    }
}

/// What a change answers under a fault at its n-th call, for each n.
fn answers(world: &World, change: &Change, fault: impl Fn(usize) -> Fault) -> Vec<Result<()>> {
    (0..calls_of(world, change))
        .map(|number| {
            let (store, simulated) = open(world.restarted());
            simulated.0.lock().set_fault(fault(number));
            store.commit(DOMAIN, change)
        })
        .collect()
}

fn calls_of(world: &World, change: &Change) -> usize {
    let (store, simulated) = open(world.restarted());
    simulated.0.lock().set_fault(NO_FAULT);
    store.commit(DOMAIN, change).unwrap();
    simulated.calls()
}

fn last_failure(answers: &[Result<()>]) -> usize {
    answers.iter().rposition(Result::is_err).unwrap()
}

/// Whether the domain has a directory for snapshots.
fn has_folder(world: &World) -> bool {
    let (store, _) = open(world.restarted());
    let snapshot = store.fs.open_dir(&0, "snapshot").unwrap();
    store.fs.open_dir(&snapshot, DOMAIN).is_ok()
}

/// One document that is made when it is written.
struct Late;

impl Made for Late {
    fn count(&self) -> usize {
        1
    }
    fn name(&self, _index: usize) -> String {
        "a".into()
    }
    fn text(&self, _index: usize) -> Result<String> {
        Ok("new".into())
    }
}

/// A directory as a process left it that made it, and could neither prove nor remove it.
fn with_unproved_folder() -> World {
    let defined = with_snapshots(&[]);
    let left_by = |number| {
        let (store, simulated) = open(defined.restarted());
        let fault = Fault::Several(number, 3, Errno::IO);
        simulated.0.lock().set_fault(fault);
        let failed = store.commit(DOMAIN, &writing(&["a"])).is_err();
        let world = simulated.0.lock().restarted();
        (failed && has_folder(&world)).then_some(world)
    };
    // The last of them has opened it, too.
    (0..20).rev().find_map(left_by).unwrap()
}

/// Else it goes with the power, and the document with it.
#[test]
fn a_directory_is_durable_before_a_document_is_kept_in_it() {
    let one = |store: &Store| store.commit(DOMAIN, &writing(&["a"]));
    let made = |store: &Store| store.commit_made(DOMAIN, &Change::default(), &Late);
    stays(&one);
    stays(&made);
}

fn stays(commit: &dyn Fn(&Store) -> Result<()>) {
    let (store, simulated) = open(with_unproved_folder());
    commit(&store).unwrap();
    // Whatever was not synced is lost.
    let world = simulated.0.lock().power_cut(|_| 0);
    assert_eq!(snapshots(&open(world).0), texts(&["a"], "new"));
}

/// A directory that was made for a change goes with it, but where it cannot even be opened: an empty one
/// means the same as none. For a change without documents none is made.
#[test]
fn a_change_that_failed_leaves_no_directory() {
    let defined = with_snapshots(&[]);
    for change in [writing(&["a"]), writing(&["a", "b"])] {
        let (mut failures, mut left) = (0, 0);
        for number in 0..calls_of(&defined, &change) {
            let (store, simulated) = open(defined.restarted());
            simulated
                .0
                .lock()
                .set_fault(Fault::Once(number, Errno::NOSPC));
            if store.commit(DOMAIN, &change).is_err() {
                failures += 1;
                left += usize::from(has_folder(&simulated.0.lock().restarted()));
            }
        }
        assert!(failures > 3 && left <= 1, "{left} of {failures}");
    }
    let (store, simulated) = open(defined);
    let change = Change {
        definition: DefinitionChange::Write("other".into()),
        ..migrating()
    };
    store.commit(DOMAIN, &change).unwrap();
    assert!(!has_folder(&simulated.0.lock().restarted()));
}

/// The other host would build on it.
#[test]
fn a_migration_that_is_not_proved_is_an_error() {
    let world = with_snapshots(&["a"]);
    let change = migrating();
    let mut unproved = 0;
    for number in 0..calls_of(&world, &change) {
        let (store, simulated) = open(world.restarted());
        // The sync and what would take the rename back, each of them twice.
        let fault = Fault::Several(number, 4, Errno::IO);
        simulated.0.lock().set_fault(fault);
        let answer = store.commit(DOMAIN, &change);
        let left = simulated.0.lock().file("/migration/d").is_some();
        if answer.is_err() && left {
            unproved += 1;
        }
    }
    assert_eq!(unproved, 1);
}

/// Guest data is worked on by it.
#[test]
fn an_intent_that_was_answered_does_not_go_with_the_power() {
    let world = with_snapshots(&["a"]);
    let mut answered = 0;
    for number in 0..20 {
        let (store, simulated) = open(world.restarted());
        simulated.0.lock().set_fault(Fault::From(number, Errno::IO));
        let _ = store.intend(DOMAIN, "x");
        let left = simulated.0.lock().restarted();
        let (store, simulated) = open(left);
        if store.pending(DOMAIN).unwrap().is_none() {
            continue;
        }
        answered += 1;
        let world = simulated.0.lock().power_cut(|_| 0);
        let (store, _) = open(world);
        assert_eq!(store.pending(DOMAIN).unwrap().as_deref(), Some("x"));
    }
    assert!(answered > 0);
}

/// It would be carried out again, over what has been done since.
#[test]
fn a_journal_whose_removal_was_not_durable_does_not_come_back() {
    let world = with_snapshots(&["a"]);
    let replacing = Change {
        remove: vec!["a".into()],
        ..writing(&["b"])
    };
    for number in 0..calls_of(&world, &replacing) {
        let (store, simulated) = open(world.restarted());
        let fault = Fault::Several(number, 2, Errno::IO);
        simulated.0.lock().set_fault(fault);
        if store.commit(DOMAIN, &replacing).is_err() {
            continue;
        }
        simulated.0.lock().set_fault(NO_FAULT);
        store.commit(DOMAIN, &writing(&["a"])).unwrap();
        let world = simulated.0.lock().power_cut(|_| 0);
        let found = snapshots(&open(world).0);
        assert_eq!(found, texts(&["a", "b"], "new"), "call {number}");
    }
}

/// A rename over another file is taken back as well: it has a second name until it is durable.
#[test]
fn a_replacement_that_is_not_durable_is_taken_back() {
    let world = with_snapshots(&["a"]);
    let change = writing(&["a"]);
    let once = answers(&world, &change, |number| Fault::Once(number, Errno::IO));
    let twice = answers(&world, &change, |number| {
        Fault::Several(number, 2, Errno::IO)
    });
    // The rename fails the last of all once, the sync behind it the second time.
    assert!(last_failure(&twice) > last_failure(&once));
}

/// Staged files are open together, as many as may be, and are synced when there is no descriptor left.
#[test]
fn few_descriptors_are_enough() {
    let world = with_snapshots(&["a"]);
    let change = writing(&["a", "b", "c"]);
    let io = answers(&world, &change, |number| Fault::Once(number, Errno::IO));
    for errno in [Errno::MFILE, Errno::NFILE] {
        let lacking = answers(&world, &change, |number| Fault::Once(number, errno));
        let both = io.iter().zip(&lacking);
        let saved = both.filter(|(io, lacking)| io.is_err() && lacking.is_ok());
        // Of two files the creation and the write: for the first there is nothing to close.
        assert_eq!(saved.count(), 4, "{errno:?}");
    }
}

#[test]
fn files_are_synced_together() {
    let names: Vec<String> = (0..limits::FILES_AT_ONCE + 2)
        .map(|number| format!("{number:04}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (store, simulated) = open(World::new());
    store.commit(DOMAIN, &writing(&names)).unwrap();
    assert_eq!(simulated.0.lock().most_synced, limits::FILES_AT_ONCE);
}

/// One file is one rename, and nothing is nothing: no journal is written for them.
#[test]
fn small_changes_need_few_calls() {
    let world = with_snapshots(&["a"]);
    let nothing = calls_of(&world, &Change::default());
    let one = calls_of(&world, &writing(&["a"]));
    let two = calls_of(&world, &writing(&["a", "b"]));
    assert!(nothing < 8, "{nothing}");
    assert!(one < 16 && one + 8 < two, "{one}, {two}");
}

#[test]
fn who_reads_definitions_is_told_of_those_alone() {
    let (store, _) = open(with_snapshots(&["a"]));
    let told = || {
        let definitions = store.definitions_generation().unwrap();
        (store.generation(DOMAIN).unwrap(), definitions)
    };
    let before = told();
    store.commit(DOMAIN, &writing(&["a"])).unwrap();
    let written = told();
    assert!(written.0 != before.0 && written.1 == before.1);
    let change = Change {
        definition: DefinitionChange::Write("other".into()),
        ..Change::default()
    };
    store.commit(DOMAIN, &change).unwrap();
    assert!(told().1 != written.1);
}

#[test]
fn what_is_as_large_as_its_bound_is_taken() {
    let (store, _) = open(with_snapshots(&[]));
    let largest = "x".repeat(limits::STATE_FILE_BYTES);
    let change = Change {
        write: vec![("a".into(), largest.clone())],
        definition: DefinitionChange::Write(largest.clone()),
        ..Change::default()
    };
    store.commit(DOMAIN, &change).unwrap();
    assert_eq!(snapshots(&store), [("a".to_owned(), largest.clone())]);
    let beyond = Change {
        write: vec![("a".into(), largest + "x")],
        ..Change::default()
    };
    let error = store.commit(DOMAIN, &beyond);
    assert!(matches!(error, Err(Error::TooLarge { .. })), "{error:?}");
}

/// An intent whose journal has so many bytes.
fn intent_of(bytes: usize) -> String {
    let around = |length: usize| crate::store::journal::intent(&"x".repeat(length)).len() - length;
    "x".repeat(bytes - around(bytes - around(bytes)))
}

#[test]
fn a_journal_as_large_as_its_bound_is_taken() {
    let text = intent_of(limits::JOURNAL_BYTES);
    let (store, _) = open(with_snapshots(&[]));
    store.intend(DOMAIN, &text).unwrap();
    assert!(store.pending(DOMAIN).unwrap() == Some(text));
}

#[test]
fn a_journal_as_large_as_the_reserve_is_taken_on_a_full_disk() {
    let text = intent_of(limits::JOURNAL_RESERVE_BYTES);
    let mut world = with_snapshots(&[]);
    world.is_full = true;
    let (store, _) = open(world);
    store.intend(DOMAIN, &text).unwrap();
    assert_eq!(store.pending(DOMAIN).unwrap(), Some(text));
}
