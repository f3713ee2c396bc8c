//! What the sweeps do not come by: the far sides of bounds, and files that nobody made.

use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::limits;
use crate::store::journal;
use crate::store::rooms::Rooms;
use crate::store::simulated::{Fault, Simulated, World};
use crate::store::{Change, DefinitionChange};

pub(super) const DOMAIN: &str = "d";

pub(super) type Store = Arc<Rooms<Simulated>>;

pub(super) fn open(world: World) -> (Store, Simulated) {
    let simulated = Simulated::new(world);
    let rooms = Rooms::open(simulated.clone(), 0, Path::new("/state")).unwrap();
    (Arc::new(rooms), simulated)
}

/// A domain with these snapshots, on disk.
pub(super) fn with_snapshots(names: &[&str]) -> World {
    let (store, simulated) = open(World::new());
    let change = Change {
        write: texts(names, "old"),
        definition: DefinitionChange::Write("definition".into()),
        ..Change::default()
    };
    store.commit(DOMAIN, &change).unwrap();
    simulated.0.lock().settled()
}

pub(super) fn texts(names: &[&str], text: &str) -> Vec<(String, String)> {
    let of = |name: &&str| ((*name).to_owned(), text.to_owned());
    names.iter().map(of).collect()
}

pub(super) fn snapshots(store: &Store) -> Vec<(String, String)> {
    let mut listing = store.snapshots(DOMAIN).unwrap();
    assert!(listing.damaged.is_empty());
    listing.documents.sort();
    listing.documents
}

fn removal() -> Change {
    Change {
        remove: vec!["a".into()],
        ..Change::default()
    }
}

#[test]
fn nothing_is_withdrawn_where_there_is_no_intent() {
    let (store, simulated) = open(with_snapshots(&["a"]));
    let before = simulated.0.lock().files();
    store.withdraw(DOMAIN).unwrap();
    assert_eq!(store.pending(DOMAIN).unwrap(), None);
    assert_eq!(simulated.0.lock().files(), before);
}

#[test]
fn what_is_left_to_do_may_be_all_there_is_of_a_change() {
    let (store, _) = open(World::new());
    let change = Change {
        then: Some("later".into()),
        ..Change::default()
    };
    store.commit(DOMAIN, &change).unwrap();
    assert_eq!(store.pending(DOMAIN).unwrap().as_deref(), Some("later"));
}

#[test]
fn what_is_written_is_not_removed_and_what_is_not_there_neither() {
    let (store, _) = open(with_snapshots(&["a", "b"]));
    let change = Change {
        write: texts(&["a"], "new"),
        remove: ["a", "b", "missing"].map(str::to_owned).into(),
        ..Change::default()
    };
    store.commit(DOMAIN, &change).unwrap();
    assert_eq!(snapshots(&store), texts(&["a"], "new"));
}

#[test]
fn more_files_than_are_open_at_once_are_one_change() {
    let names: Vec<String> = (0..limits::FILES_AT_ONCE + 2)
        .map(|number| format!("{number:04}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (store, _) = open(with_snapshots(&names));
    assert_eq!(snapshots(&store), texts(&names, "old"));
}

#[test]
fn a_journal_beyond_its_bound_is_refused() {
    let (store, _) = open(World::new());
    let error = store.intend(DOMAIN, &"x".repeat(limits::JOURNAL_BYTES));
    assert!(matches!(error, Err(Error::TooLarge { .. })), "{error:?}");
    assert_eq!(store.pending(DOMAIN).unwrap(), None);
}

#[test]
fn on_a_full_disk_a_journal_is_as_large_as_its_reserve() {
    let mut world = with_snapshots(&["a"]);
    world.is_full = true;
    let (store, simulated) = open(world);
    let before = simulated.0.lock().files();
    let error = store.intend(DOMAIN, &"x".repeat(limits::JOURNAL_RESERVE_BYTES));
    error.unwrap_err();
    assert_eq!(simulated.0.lock().files(), before);
    store.intend(DOMAIN, "x").unwrap();
    store.commit(DOMAIN, &removal()).unwrap();
    assert!(snapshots(&store).is_empty());
}

/// What becomes of a change of the snapshot under faults at the n-th call, for each n: what it answers, and
/// whether a restart finds it made.
fn under(change: &Change, faults: impl Fn(usize) -> Fault) -> Vec<(Result<()>, bool)> {
    let world = with_snapshots(&["a"]);
    let (store, simulated) = open(world.restarted());
    let before = snapshots(&store);
    let never = Fault::Once(usize::MAX, Errno::IO);
    simulated.0.lock().set_fault(never);
    store.commit(DOMAIN, change).unwrap();
    let length = simulated.calls();
    let after = snapshots(&store);
    let trial = |number| {
        let (store, simulated) = open(world.restarted());
        simulated.0.lock().set_fault(faults(number));
        let answer = store.commit(DOMAIN, change);
        let disk = simulated.0.lock().restarted();
        let found = snapshots(&open(disk).0);
        let is_made = found == after;
        assert!(is_made || found == before, "call {number}: {found:?}");
        assert_eq!(answer.is_ok(), is_made, "call {number}: {answer:?}");
        (answer, is_made)
    };
    (0..length).map(trial).collect()
}

fn rewriting() -> Change {
    Change {
        write: texts(&["a"], "new"),
        ..Change::default()
    }
}

/// A rename that could not be made durable is taken back.
#[test]
fn a_removal_that_is_not_durable_is_taken_back() {
    let outcomes = under(&removal(), |number| Fault::Several(number, 2, Errno::IO));
    assert!(outcomes.iter().any(|(_, is_made)| !is_made));
}

/// Without a second name for it there is no way back: it is done, though nothing proves it.
#[test]
fn a_removal_on_a_full_disk_that_is_not_durable_stands() {
    let outcomes = under(&removal(), |number| {
        Fault::These([
            (number, Errno::NOSPC),
            (number + 2, Errno::IO),
            (number + 3, Errno::IO),
        ])
    });
    assert!(outcomes.iter().any(|(answer, _)| answer.is_ok()));
}

/// Nor is there one where the file system has no second names.
#[test]
fn a_write_without_second_names_that_is_not_durable_stands() {
    let outcomes = under(&rewriting(), |number| {
        Fault::These([
            (number, Errno::PERM),
            (number + 2, Errno::IO),
            (number + 3, Errno::IO),
        ])
    });
    assert!(outcomes.iter().any(|(answer, _)| answer.is_ok()));
}

#[test]
fn a_second_name_that_was_left_is_in_nobodys_way() {
    let mut world = with_snapshots(&["a"]);
    world.plant(&format!("stage/{DOMAIN}.before"), b"left");
    let (store, simulated) = open(world);
    store.commit(DOMAIN, &rewriting()).unwrap();
    assert_eq!(snapshots(&store), texts(&["a"], "new"));
    let left = format!("/stage/{DOMAIN}.before");
    assert_eq!(simulated.0.lock().file(&left), None);
}

/// Its change is done, and it is not: so it was carried out before.
#[test]
fn a_follow_up_that_is_gone_leaves_nothing_to_do() {
    let mut world = with_snapshots(&["a"]);
    let steps = [
        journal::Step::Remove { name: "a".into() },
        journal::Step::Then { staged: 0 },
    ];
    world.plant(&format!("journal/{DOMAIN}"), &journal::commit(&steps));
    let (store, simulated) = open(world);
    assert_eq!(store.pending(DOMAIN).unwrap(), None);
    assert!(snapshots(&store).is_empty());
    store.withdraw(DOMAIN).unwrap();
    assert_eq!(simulated.0.lock().file(&format!("/journal/{DOMAIN}")), None);
}

/// Others may write to the folder from some look at it on, between any two: what stays open was looked
/// at, and what was looked at later counts.
#[test]
fn a_folder_that_others_may_write_to_is_never_kept_open() {
    let mut refused_first = 0;
    for looks in 0..8 {
        let (store, simulated) = open(with_snapshots(&["a"]));
        simulated.0.lock().trusted_looks = Some(looks);
        if store.commit(DOMAIN, &rewriting()).is_err() {
            refused_first += 1;
        }
        if simulated.0.lock().trusted_looks != Some(0) {
            continue;
        }
        let error = store.commit(DOMAIN, &removal()).unwrap_err();
        assert!(matches!(error, Error::StateDirectory { .. }), "{error}");
        simulated.0.lock().trusted_looks = None;
        assert_eq!(snapshots(&store).len(), 1, "after {looks} looks");
    }
    assert!((1..8).contains(&refused_first), "{refused_first}");
}

#[test]
fn staged_files_of_nobody_stay() {
    let mut world = with_snapshots(&["a"]);
    let foreign = ["note", "d.txt", "d.", "d.1x", ".d.1", "..before"];
    let ours = ["d.0", "d.17", "d.journal", "d.before"];
    for file in foreign.iter().chain(&ours) {
        world.plant(&format!("stage/{file}"), b"x");
    }
    let (store, simulated) = open(world);
    store.domains().unwrap();
    store.commit(DOMAIN, &removal()).unwrap();
    let world = simulated.0.lock();
    for file in foreign {
        assert!(world.file(&format!("/stage/{file}")).is_some(), "{file}");
    }
    for file in ours {
        assert!(world.file(&format!("/stage/{file}")).is_none(), "{file}");
    }
}

/// How many calls of the file system a commit takes after its change was prepared, or was not.
fn calls_of_a_commit(prepare: impl Fn(&Store, &Change)) -> usize {
    let (store, simulated) = open(with_snapshots(&["a"]));
    store.intend(DOMAIN, "i").unwrap();
    let change = Change {
        write: texts(&["a", "b"], "new"),
        ..Change::default()
    };
    let _lock = store.wait_lock(DOMAIN).unwrap();
    prepare(&store, &change);
    simulated
        .0
        .lock()
        .set_fault(Fault::Once(usize::MAX, Errno::IO));
    store.commit(DOMAIN, &change).unwrap();
    assert_eq!(snapshots(&store), texts(&["a", "b"], "new"));
    simulated.calls()
}

#[test]
fn what_was_prepared_is_not_done_again_by_the_commit() {
    let plain = calls_of_a_commit(|_, _| {});
    let prepared = calls_of_a_commit(|store, change| store.prepare(DOMAIN, change));
    // Two texts and the journal, each made, written and synced, and the directory's sync.
    assert_eq!(prepared + 3 * 3 + 1, plain);
}

#[test]
fn what_another_change_would_write_is_not_committed() {
    let other = calls_of_a_commit(|store, change| {
        let change = Change {
            write: texts(&["a", "b"], "other"),
            ..change.clone()
        };
        store.prepare(DOMAIN, &change);
    });
    assert!(other >= calls_of_a_commit(|_, _| {}));
}

#[test]
fn what_is_prepared_and_swept_by_a_load_is_written_again() {
    calls_of_a_commit(|store, change| {
        store.prepare(DOMAIN, change);
        assert_eq!(snapshots(store), texts(&["a"], "old"));
    });
}

#[test]
fn without_the_lock_nothing_is_prepared() {
    let (store, simulated) = open(with_snapshots(&["a"]));
    let before = simulated.0.lock().files();
    store.prepare(DOMAIN, &removal());
    assert_eq!(simulated.0.lock().files(), before);
}

#[test]
fn what_is_too_much_to_keep_is_not_prepared() {
    let (store, simulated) = open(with_snapshots(&["a"]));
    let lock = store.wait_lock(DOMAIN).unwrap();
    let before = simulated.0.lock().files();
    let half = "x".repeat(limits::PREPARED_BYTES / 2);
    let change = |names: &[&str]| Change {
        write: texts(names, &half),
        ..Change::default()
    };
    store.prepare(DOMAIN, &change(&["a", "b"]));
    assert!(simulated.0.lock().files() == before);
    // What came to nothing is not tried for each snapshot of a change.
    store.prepare(DOMAIN, &change(&["a"]));
    assert!(simulated.0.lock().files() == before);
    drop(lock);
    let _lock = store.wait_lock(DOMAIN).unwrap();
    store.prepare(DOMAIN, &change(&["a"]));
    assert!(simulated.0.lock().files() != before);
}
