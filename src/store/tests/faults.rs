//! Each change, cut off or refused at each of its calls: afterwards it is made or not made.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use crate::error::Result;
use crate::store::rooms::Rooms;
use crate::store::simulated::{Fault, Simulated, World};
use crate::store::{Change, DefinitionChange, MigrationChange};

const DOMAIN: &str = "d";
const ERRNOS: [Errno; 5] = [
    Errno::NOSPC,
    Errno::IO,
    Errno::DQUOT,
    Errno::ROFS,
    Errno::MFILE,
];

#[derive(Clone, Debug)]
enum Call {
    Intend(&'static str),
    Withdraw,
    Commit(Change),
    Receive(&'static str),
    /// That change is prepared, and this call made.
    Prepared(Change, Box<Call>),
}

/// What a user of the store sees.
#[derive(Clone, Debug, PartialEq, Eq)]
struct View {
    snapshots: BTreeMap<String, String>,
    definition: Option<String>,
    intent: Option<String>,
    migration: Option<String>,
}

type Store = Arc<Rooms<Simulated>>;

fn open(world: World) -> Result<(Store, Simulated)> {
    let simulated = Simulated::new(world);
    let rooms = Rooms::open(simulated.clone(), 0, Path::new("/state"))?;
    Ok((Arc::new(rooms), simulated))
}

fn view(store: &Store) -> View {
    let domains = store.domains().unwrap();
    let snapshots = store.snapshots(DOMAIN).unwrap();
    assert!(domains.damaged.is_empty() && snapshots.damaged.is_empty());
    View {
        snapshots: snapshots.documents.into_iter().collect(),
        definition: domains
            .documents
            .into_iter()
            .find(|(name, _)| name == DOMAIN)
            .map(|d| d.1),
        intent: store.pending(DOMAIN).unwrap(),
        migration: store.migration(DOMAIN).unwrap().map(|mut kept| {
            let mut text = String::new();
            kept.read_to_string(&mut text).unwrap();
            text
        }),
    }
}

fn perform(store: &Store, call: &Call) -> Result<()> {
    match call {
        Call::Intend(text) => store.intend(DOMAIN, text),
        Call::Withdraw => store.withdraw(DOMAIN),
        Call::Commit(change) => store.commit(DOMAIN, change),
        Call::Receive(text) => store.receive(DOMAIN, &mut |out| {
            text.as_bytes().chunks(3).try_for_each(&mut *out)
        }),
        Call::Prepared(change, call) => {
            let _lock = store.wait_lock(DOMAIN)?;
            store.prepare(DOMAIN, change);
            perform(store, call)
        }
    }
}

/// What a call makes of a view, worked out without the store.
fn expected(before: &View, call: &Call) -> View {
    let mut view = before.clone();
    match call {
        Call::Intend(text) => view.intent = Some((*text).to_owned()),
        Call::Withdraw => view.intent = None,
        Call::Receive(text) => view.migration = Some((*text).to_owned()),
        Call::Prepared(_, call) => return expected(before, call),
        Call::Commit(change) => {
            view.intent.clone_from(&change.then);
            change
                .remove
                .iter()
                .for_each(|name| drop(view.snapshots.remove(name)));
            view.snapshots.extend(change.write.iter().cloned());
            match &change.definition {
                DefinitionChange::Keep => {}
                DefinitionChange::Write(text) => view.definition = Some(text.clone()),
                DefinitionChange::Remove => view.definition = None,
            }
            match &change.migration {
                MigrationChange::Keep => {}
                MigrationChange::Write(text) => view.migration = Some(text.clone()),
                MigrationChange::Remove => view.migration = None,
            }
        }
    }
    view
}

/// The files that there are for a view, and no others: a real libvirt reads each of them.
fn assert_files(world: &World, view: &View, what: &str) {
    let mut files = world.files();
    files.retain(|path, _| !path.starts_with("/stage/.reserve."));
    let mut wanted = BTreeMap::new();
    for (name, text) in &view.snapshots {
        wanted.insert(
            format!("/snapshot/{DOMAIN}/{name}.xml"),
            text.clone().into_bytes(),
        );
    }
    if let Some(text) = &view.definition {
        wanted.insert(format!("/domain/{DOMAIN}.xml"), text.clone().into_bytes());
    }
    if let Some(text) = &view.migration {
        wanted.insert(format!("/migration/{DOMAIN}"), text.clone().into_bytes());
    }
    if view.intent.is_some() {
        let journal = files.remove(&format!("/journal/{DOMAIN}"));
        assert!(journal.is_some(), "{what}: no intent");
    }
    assert_eq!(files, wanted, "{what}");
}

/// A domain with three snapshots, on disk.
fn furnished() -> (World, View) {
    let (store, simulated) = open(World::new()).unwrap();
    let write = ["a", "b", "c"].map(|name| (name.to_owned(), format!("old {name}")));
    let change = Change {
        write: write.to_vec(),
        definition: DefinitionChange::Write("old".into()),
        ..Change::default()
    };
    store.commit(DOMAIN, &change).unwrap();
    let view = view(&store);
    assert_eq!(view.snapshots.len(), 3);
    let world = simulated.0.lock().settled();
    (world, view)
}

fn bare() -> (World, View) {
    let (store, simulated) = open(World::new()).unwrap();
    let view = view(&store);
    let world = simulated.0.lock().settled();
    (world, view)
}

fn change(write: &[&str], remove: &[&str], definition: DefinitionChange) -> Call {
    Call::Commit(Change {
        write: write
            .iter()
            .map(|name| ((*name).to_owned(), format!("new {name}")))
            .collect(),
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
        definition,
        ..Change::default()
    })
}

/// Whether a call that is refused may have been made.
fn may_stand(call: &Call) -> bool {
    match call {
        Call::Intend(_) | Call::Receive(_) => true,
        Call::Commit(change) => change.migration != MigrationChange::Keep,
        Call::Withdraw => false,
        Call::Prepared(_, call) => may_stand(call),
    }
}

/// A call after a change was prepared: that change, or anything else.
fn prepared(change: &Call, call: Call) -> Call {
    match change {
        Call::Commit(change) => Call::Prepared(change.clone(), Box::new(call)),
        _ => call,
    }
}

/// A change of what is kept about a migration, with snapshots that come and go.
fn migration(write: &[&str], remove: &[&str], migration: MigrationChange) -> Call {
    match change(write, remove, DefinitionChange::Keep) {
        Call::Commit(change) => Call::Commit(Change {
            migration,
            ..change
        }),
        other => other,
    }
}

/// A change that leaves something to do.
fn followed(write: &[&str], definition: DefinitionChange) -> Call {
    match change(write, &["b"], definition) {
        Call::Commit(change) => Call::Commit(Change {
            then: Some("then".to_owned()),
            ..change
        }),
        other => other,
    }
}

fn histories() -> Vec<(&'static str, (World, View), Vec<Call>)> {
    use DefinitionChange::{Keep, Remove, Write};
    let write = || Write("new".to_owned());
    let one = || change(&["n"], &[], Keep);
    let kept = |text: &str| migration(&[], &[], MigrationChange::Write(text.into()));
    vec![
        ("first", bare(), vec![one()]),
        ("first two", bare(), vec![change(&["n", "m"], &[], Keep)]),
        ("define", bare(), vec![change(&[], &[], write())]),
        (
            "define with one",
            bare(),
            vec![change(&["n"], &[], write())],
        ),
        ("add", furnished(), vec![one()]),
        (
            "add with work left",
            furnished(),
            vec![
                Call::Intend("do"),
                followed(&["n"], write()),
                Call::Withdraw,
            ],
        ),
        ("work left", furnished(), vec![followed(&[], Keep)]),
        ("replace", furnished(), vec![change(&["a"], &[], Keep)]),
        (
            "move current",
            furnished(),
            vec![change(&["a", "n"], &[], Keep)],
        ),
        ("remove", furnished(), vec![change(&[], &["b"], Keep)]),
        (
            "remove all",
            furnished(),
            vec![change(&[], &["a", "b", "c"], Keep)],
        ),
        (
            "reparent",
            furnished(),
            vec![change(&["b", "c"], &["a"], Keep)],
        ),
        ("redefine", furnished(), vec![change(&[], &[], write())]),
        (
            "revert",
            furnished(),
            vec![change(&["a", "c"], &[], write())],
        ),
        (
            "undefine",
            furnished(),
            vec![change(&[], &["a", "b", "c"], Remove)],
        ),
        ("keep", furnished(), vec![change(&[], &[], Remove)]),
        (
            "freeze, thaw",
            furnished(),
            vec![
                kept("outgoing"),
                migration(&[], &[], MigrationChange::Remove),
            ],
        ),
        (
            "freeze, go",
            furnished(),
            vec![
                kept("outgoing"),
                migration(
                    &[],
                    &["a", "b", "c"],
                    MigrationChange::Write("confirmed".into()),
                ),
            ],
        ),
        (
            "receive, receive, finish",
            furnished(),
            vec![
                Call::Receive("many words"),
                Call::Receive("others"),
                migration(&["n", "m"], &[], MigrationChange::Write("finished".into())),
            ],
        ),
        (
            "receive, undefine",
            bare(),
            vec![
                change(&[], &[], write()),
                Call::Receive("many words"),
                Call::Commit(Change {
                    definition: Remove,
                    migration: MigrationChange::Remove,
                    ..Change::default()
                }),
            ],
        ),
        ("intend, add", furnished(), vec![Call::Intend("i"), one()]),
        (
            "intend, move",
            furnished(),
            vec![Call::Intend("i"), change(&["a", "n"], &[], Keep)],
        ),
        (
            "intend, remove",
            furnished(),
            vec![Call::Intend("i"), change(&[], &["a"], Keep)],
        ),
        (
            "intend, nothing",
            furnished(),
            vec![Call::Intend("i"), change(&[], &[], Keep)],
        ),
        (
            "intend, withdraw",
            furnished(),
            vec![Call::Intend("i"), Call::Withdraw],
        ),
        (
            "intend, prepare, add",
            furnished(),
            vec![Call::Intend("i"), prepared(&one(), one())],
        ),
        (
            "intend, prepare, add the first",
            bare(),
            vec![Call::Intend("i"), prepared(&one(), one())],
        ),
        (
            "intend, prepare, move with work left",
            furnished(),
            vec![
                Call::Intend("i"),
                prepared(
                    &followed(&["a", "n"], write()),
                    followed(&["a", "n"], write()),
                ),
                Call::Withdraw,
            ],
        ),
        (
            "intend, prepare, remove",
            furnished(),
            vec![
                Call::Intend("i"),
                prepared(&change(&[], &["a"], Keep), change(&[], &["a"], Keep)),
            ],
        ),
        (
            "intend, prepare, withdraw",
            furnished(),
            vec![Call::Intend("i"), prepared(&one(), Call::Withdraw)],
        ),
        (
            "intend, prepare, intend",
            furnished(),
            vec![
                Call::Intend("i"),
                prepared(&one(), Call::Intend("j")),
                one(),
            ],
        ),
        (
            "intend, prepare, add another",
            furnished(),
            vec![
                Call::Intend("i"),
                prepared(
                    &change(&["n", "m"], &[], write()),
                    change(&["m", "n"], &["a"], Keep),
                ),
            ],
        ),
        (
            "intend, prepare, nothing",
            furnished(),
            vec![
                Call::Intend("i"),
                prepared(&change(&["n", "m"], &[], Keep), change(&[], &[], Keep)),
            ],
        ),
        (
            "prepare, add without intent",
            furnished(),
            vec![prepared(&one(), one())],
        ),
        (
            "prepare, receive",
            furnished(),
            vec![prepared(&one(), Call::Receive("many words")), one()],
        ),
        (
            "intend twice",
            furnished(),
            vec![Call::Intend("i"), Call::Intend("j"), one()],
        ),
        (
            "one, one, many",
            furnished(),
            vec![one(), change(&[], &["n"], Keep), one()],
        ),
        (
            "journalled removal, then back",
            furnished(),
            vec![change(&[], &["a", "b"], Keep), change(&["a"], &[], Keep)],
        ),
    ]
}

/// Views before and after each call.
fn views(start: &View, calls: &[Call]) -> Vec<View> {
    let mut views = vec![start.clone()];
    for call in calls {
        views.push(expected(&views[views.len() - 1], call));
    }
    views
}

/// Performs calls until one fails; how many were done and whether one failed.
fn run(store: &Store, calls: &[Call]) -> (usize, bool) {
    let done = calls
        .iter()
        .take_while(|call| perform(store, call).is_ok())
        .count();
    (done, done < calls.len())
}

/// Opens the disk again, checks that it shows one of the allowed views and nothing else stands
/// there, and that the rest of the calls then succeeds.
fn check(world: World, allowed: &[(usize, &View)], calls: &[Call], last: &View, what: &str) {
    let (store, simulated) = open(world).unwrap();
    let seen = view(&store);
    let Some((done, _)) = allowed.iter().find(|(_, view)| **view == seen) else {
        panic!("{what}: {seen:?} is none of {allowed:?}");
    };
    assert_files(&simulated.0.lock(), &seen, what);
    let (_, failed) = run(&store, &calls[*done..]);
    assert!(!failed, "{what}: the retry fails");
    assert_eq!(view(&store), *last, "{what}: after the retry");
    assert_files(&simulated.0.lock(), last, what);
}

/// Runs a history with a fault and says how many calls of the file system it makes.
fn with_fault(world: &World, calls: &[Call], fault: Fault) -> (usize, bool, Store, Simulated) {
    let (store, simulated) = open(world.restarted()).unwrap();
    simulated.0.lock().set_fault(fault);
    let (done, failed) = run(&store, calls);
    (done, failed, store, simulated)
}

fn length(world: &World, calls: &[Call]) -> usize {
    let (_, failed, _, simulated) = with_fault(world, calls, Fault::Once(usize::MAX, Errno::IO));
    assert!(!failed);
    simulated.calls()
}

#[test]
fn without_faults_each_history_ends_as_expected() {
    for (name, (world, start), calls) in histories() {
        let (store, simulated) = open(world).unwrap();
        for (call, view_after) in calls.iter().zip(views(&start, &calls).iter().skip(1)) {
            perform(&store, call).unwrap();
            assert_eq!(view(&store), *view_after, "{name}");
            assert_files(&simulated.0.lock(), view_after, name);
        }
    }
}

#[test]
fn a_call_that_fails_once_changes_nothing_or_does_not_matter() {
    for (name, (world, start), calls) in histories() {
        let views = views(&start, &calls);
        let last = views.last().unwrap();
        for at in 0..length(&world, &calls) {
            for errno in ERRNOS {
                let what = format!("{name}: {errno:?} once at {at}");
                let (done, _, store, simulated) =
                    with_fault(&world, &calls, Fault::Once(at, errno));
                assert_eq!(
                    view(&store),
                    views[done],
                    "{what}: seen by the same process"
                );
                let world = simulated.0.lock().restarted();
                check(world, &[(done, &views[done])], &calls, last, &what);
            }
        }
    }
}

#[test]
fn when_every_call_fails_from_then_on_the_answer_is_still_true() {
    for (name, (world, start), calls) in histories() {
        let views = views(&start, &calls);
        let last = views.last().unwrap();
        for at in 0..length(&world, &calls) {
            for errno in ERRNOS {
                let what = format!("{name}: {errno:?} from {at}");
                let (done, failed, _, simulated) =
                    with_fault(&world, &calls, Fault::From(at, errno));
                let mut allowed = vec![(done, &views[done])];
                // What can be neither recorded durably nor taken back is refused and stands, if it is an
                // intent or of a migration.
                if failed && may_stand(&calls[done]) {
                    allowed.push((done + 1, &views[done + 1]));
                }
                let world = simulated.0.lock().restarted();
                check(world, &allowed, &calls, last, &what);
            }
        }
    }
}

#[test]
fn d30_a_killed_process_leaves_before_or_after() {
    for (name, (world, start), calls) in histories() {
        let views = views(&start, &calls);
        for at in 0..length(&world, &calls) {
            let what = format!("{name}: killed at {at}");
            let (_, _, _, simulated) = with_fault(&world, &calls, Fault::From(at, Errno::IO));
            let world = simulated.0.lock().restarted();
            let allowed: Vec<_> = views.iter().enumerate().collect();
            check(world, &allowed, &calls, &views[calls.len()], &what);
        }
    }
}

#[test]
fn d32_a_power_cut_leaves_what_was_reported_done() {
    let mut count = 0;
    for (name, (world, start), calls) in histories() {
        let views = views(&start, &calls);
        for at in 0..=length(&world, &calls) {
            let cut = Cut::at(&world, &calls, at);
            let next = (cut.done + 1).min(calls.len());
            let allowed = [(cut.done, &views[cut.done]), (next, &views[next])];
            for world in cut.world.power_cuts() {
                let what = format!("{name}: power cut at {at}");
                check(world, &allowed, &calls, &views[calls.len()], &what);
                count += 1;
            }
        }
    }
    assert!(count > 1_000, "only {count} disks");
}

#[test]
fn a_power_cut_during_recovery_is_recovered_from() {
    for (name, (world, start), calls) in histories() {
        let views = views(&start, &calls);
        for at in 0..=length(&world, &calls) {
            let cut = Cut::at(&world, &calls, at);
            let next = (cut.done + 1).min(calls.len());
            let allowed = [(cut.done, &views[cut.done]), (next, &views[next])];
            let mut seen = BTreeSet::new();
            for again in 0.. {
                let simulated = Simulated::new(cut.world.restarted());
                simulated.0.lock().set_fault(Fault::From(again, Errno::IO));
                let opened = Rooms::open(simulated.clone(), 0, Path::new("/state"));
                let is_whole = opened.is_ok_and(|rooms| {
                    let store = Arc::new(rooms);
                    store.domains().is_ok() && store.snapshots(DOMAIN).is_ok()
                });
                let mut worlds = simulated.0.lock().power_cuts();
                worlds.retain(|world| seen.insert(world.files()));
                for world in worlds {
                    let what = format!("{name}: power cut at {at}, again at {again}");
                    check(world, &allowed, &calls, &views[calls.len()], &what);
                }
                if is_whole && simulated.calls() <= again {
                    break;
                }
            }
        }
    }
}

/// A history in which the process has made a number of calls and stands still.
struct Cut {
    world: World,
    /// Calls of the store that had answered.
    done: usize,
}

impl Cut {
    fn at(world: &World, calls: &[Call], at: usize) -> Cut {
        // How many store calls end within the first `at` file system calls of the undisturbed run.
        let (store, simulated) = open(world.restarted()).unwrap();
        simulated
            .0
            .lock()
            .set_fault(Fault::Once(usize::MAX, Errno::IO));
        let mut done = 0;
        for call in calls {
            perform(&store, call).unwrap();
            if simulated.calls() > at {
                break;
            }
            done += 1;
        }
        let (_, _, _, simulated) = with_fault(world, calls, Fault::From(at, Errno::IO));
        let world = simulated.0.lock().clone();
        Cut { world, done }
    }
}

#[test]
fn removals_work_on_a_full_disk() {
    let (mut world, start) = furnished();
    world.is_full = true;
    for removed in [vec!["a"], vec!["a", "b"]] {
        let (store, _) = open(world.restarted()).unwrap();
        let call = change(&[], &removed, DefinitionChange::Keep);
        perform(&store, &Call::Intend("i")).unwrap();
        perform(&store, &call).unwrap();
        assert_eq!(view(&store), expected(&start, &call));
    }
    let (store, _) = open(world).unwrap();
    let call = change(&["n"], &[], DefinitionChange::Keep);
    perform(&store, &call).unwrap_err();
    assert_eq!(view(&store), start);
}
