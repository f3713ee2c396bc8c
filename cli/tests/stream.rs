//! `export | import`: a hierarchy moves or is copied, whole or not at all.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says so by failing"
)]
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "as above"
)]

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Said, World};
use rustix::process::{Pid, Signal, kill_process};

mod common;

/// `one` with children `two` and `three`, the guest at `three`; each with a content of its own.
fn grown() -> World {
    let world = World::with_domain();
    world.write("vda.qcow2", 1);
    world.done(&["create", "vm", "one"]);
    world.write("vda.qcow2", 2);
    world.done(&["create", "vm", "two"]);
    world.done(&["revert", "vm", "one"]);
    world.write("vda.qcow2", 3);
    world.done(&["create", "vm", "three"]);
    world
}

/// `virsnap export vm | virsnap --state other import`
fn pipe(world: &World, export: &[&str], import: &[&str]) -> (bool, Said) {
    let mut source = world
        .command(export)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let other = world.text("other");
    let mut target = world.command(&[&["--state", &other, "import"], import].concat());
    let said = target
        .stdin(source.stdout.take().unwrap())
        .output()
        .unwrap();
    (source.wait().unwrap().success(), said.into())
}

#[test]
fn a_pipe_copies_a_whole_hierarchy() {
    let world = grown();
    let (sent, said) = pipe(&world, &["export", "vm"], &[]);
    assert!(sent && said.code == 0, "{said:?}");
    assert_eq!(said.out, "domain 'vm' has come in with 3 snapshots\n");
    assert_eq!(world.tree("other"), world.tree("state"));
    let other = world.text("other");
    for name in ["one", "two", "three"] {
        let arguments = ["show", "vm", name, "--xml", "--secure"];
        let theirs = world.done(&[&["--state", &other], &arguments[..]].concat());
        assert_eq!(theirs, world.done(&arguments));
    }
    // The copy is a whole domain: it can be reverted, and so can the source.
    world.done(&["--state", &other, "revert", "vm", "two"]);
    world.reads("vda.qcow2", 2);
    world.done(&["revert", "vm", "one"]);
    world.reads("vda.qcow2", 1);
    world.done(&["create", "vm", "four"]);
}

#[test]
fn a_move_freezes_the_source_until_it_is_confirmed() {
    let world = grown();
    let before = world.tree("state");
    let (sent, said) = pipe(&world, &["--quiet", "export", "vm", "--move"], &[]);
    assert!(sent && said.code == 0, "{said:?}");
    world.fails(&["create", "vm", "four"], 4, "migrat");
    assert!(world.done(&["migration", "vm"]).starts_with("outgoing "));
    world.done(&["migration", "vm", "--confirm"]);
    assert_eq!(world.tree("state"), (vec![], None));
    assert_eq!(world.tree("other"), before);
    let other = world.text("other");
    let id = |said: String| said.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(
        id(world.done(&["migration", "vm"])),
        id(world.done(&["--state", &other, "migration", "vm"]))
    );
    world.done(&["--state", &other, "revert", "vm", "two"]);
    world.reads("vda.qcow2", 2);
}

#[test]
fn a_move_can_be_cancelled() {
    let world = grown();
    world.done(&["-q", "export", "vm", "--move", "-o", &world.text("file")]);
    world.fails(&["delete", "vm", "two"], 4, "migrat");
    world.done(&["migration", "vm", "--cancel"]);
    world.done(&["delete", "vm", "two"]);
}

#[test]
fn a_move_that_cannot_be_written_has_not_begun() {
    let world = grown();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let said = world
        .command(&["export", "vm", "--move"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    world.done(&["create", "vm", "four"]);
    // One that had begun before goes on.
    world.done(&["-q", "export", "vm", "--move", "-o", &world.text("file")]);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let said = world
        .command(&["export", "vm", "--move"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    world.fails(&["create", "vm", "five"], 4, "migrat");
}

#[test]
fn a_copy_beside_a_move_leaves_the_move_alone() {
    let world = grown();
    world.done(&["-q", "export", "vm", "--move", "-o", &world.text("moved")]);
    let before = world.done(&["migration", "vm"]);
    world.done(&["-q", "export", "vm", "-o", &world.text("copied")]);
    assert_eq!(world.done(&["migration", "vm"]), before);
    assert_eq!(
        std::fs::read(world.path("moved")).unwrap(),
        std::fs::read(world.path("copied")).unwrap()
    );
}

#[test]
fn a_file_is_of_its_owner_and_replaces_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let world = grown();
    world.done(&["export", "vm", "-o", &world.text("file")]);
    let mode = world.path("file").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.fails(&["export", "vm", "-o", &world.text("file")], 1, "exists");
}

#[test]
fn a_file_comes_in_again_and_brings_back_what_was_lost() {
    let world = grown();
    let before = world.tree("state");
    world.done(&["export", "vm", "-o", &world.text("file")]);
    let import = [
        "--state",
        &world.text("other"),
        "import",
        &world.text("file"),
    ];
    world.done(&import);
    world.done(&import);
    world.done(&[
        "--state",
        &world.text("other"),
        "delete",
        "vm",
        "three",
        "--metadata",
    ]);
    world.done(&import);
    assert_eq!(world.tree("other"), before);
    // At the source itself, too.
    world.done(&["delete", "vm", "one", "--metadata", "--children"]);
    world.done(&["import", &world.text("file")]);
    assert_eq!(world.tree("state"), before);
}

#[test]
fn nothing_comes_in_of_a_stream_that_is_not_whole() {
    let world = grown();
    world.done(&["export", "vm", "-o", &world.text("file")]);
    let whole = std::fs::read(world.path("file")).unwrap();
    let other = world.text("other");
    let import = ["--state", &other, "import", &world.text("part")];
    // Every part of the head, and then every so often.
    let steps = (0..1200).chain((1200..whole.len()).step_by(97));
    let mut tried = 0;
    for length in steps.step_by(7).filter(|length| *length < whole.len()) {
        std::fs::write(world.path("part"), &whole[..length]).unwrap();
        let said = world.run(&import);
        assert!(said.code == 1 || said.code == 4, "{length} bytes: {said:?}");
        tried += 1;
    }
    assert!(tried > 150, "{tried}");
    // A bit that was turned over in what the library does not look at itself.
    for place in [3, 40, 120, 300] {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        std::fs::write(world.path("part"), damaged).unwrap();
        let said = world.run(&import);
        assert!(said.code != 0, "byte {place}: {said:?}");
    }
    let domains = world.json(&["--state", &other, "domains", "--json"]);
    assert_eq!(domains, serde_json::json!([]), "a domain was left behind");
    world.done(&["--state", &other, "import", &world.text("file")]);
}

#[test]
fn data_that_is_not_there_is_refused_unless_it_comes_later() {
    let world = grown();
    world.done(&["export", "vm", "-o", &world.text("file")]);
    std::fs::remove_file(world.path("vda.qcow2")).unwrap();
    let other = world.text("other");
    world.fails(
        &["--state", &other, "import", &world.text("file")],
        4,
        "vda.qcow2",
    );
    assert_eq!(
        world.json(&["--state", &other, "domains", "--json"]),
        serde_json::json!([])
    );
    world.done(&[
        "--state",
        &other,
        "import",
        "--unchecked",
        &world.text("file"),
    ]);
    assert_eq!(world.tree("other").0.len(), 3);
}

#[test]
fn paths_of_another_host() {
    let world = grown();
    std::fs::create_dir(world.path("moved")).unwrap();
    std::fs::copy(world.path("vda.qcow2"), world.path("moved/vda.qcow2")).unwrap();
    let map = format!(
        "{}={}",
        world.text("vda.qcow2"),
        world.text("moved/vda.qcow2")
    );
    let (sent, said) = pipe(&world, &["export", "vm"], &["--map", &map]);
    assert!(sent && said.code == 0, "{said:?}");
    world.done(&["--state", &world.text("other"), "revert", "vm", "two"]);
    world.reads("moved/vda.qcow2", 2);
    world.reads("vda.qcow2", 3);
}

fn phase(world: &World) -> String {
    let kept = std::fs::read_to_string(world.path("state/migration/vm")).unwrap_or_default();
    kept.split(' ').nth(2).unwrap_or_default().to_owned()
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id() as i32).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Whether it ends within half a second, which is many times as long as it takes.
fn ends_soon(child: &mut Child) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// A copy, stopped while it has the snapshots frozen.
fn stopped_copy(world: &World) -> Child {
    for number in 0..1000 {
        let file = world.text(&format!("copy {number}"));
        let mut copy = world
            .command(&["export", "vm", "-o", &file])
            .spawn()
            .unwrap();
        while copy.try_wait().unwrap().is_none() {
            if phase(world) == "outgoing" {
                signal(&copy, Signal::STOP);
                std::thread::sleep(Duration::from_millis(10));
                if phase(world) == "outgoing" {
                    return copy;
                }
                signal(&copy, Signal::CONT);
            }
        }
    }
    panic!("no copy was ever seen at it");
}

/// Many snapshots, so that a copy takes a moment.
fn large() -> World {
    let world = grown();
    let domain = world.document("vm", common::UUID, &["vda.qcow2"]);
    std::fs::create_dir_all(world.path("state/snapshot/vm")).unwrap();
    for number in 0..300 {
        let xml = format!(
            "<domainsnapshot><name>s{number}</name><state>shutoff</state>\
             <creationTime>1795000000</creationTime>\
             <disks><disk name='vda' snapshot='no'/></disks>{domain}\
             <active>0</active></domainsnapshot>"
        );
        let file = world.path(&format!("state/snapshot/vm/s{number}.xml"));
        std::fs::write(file, xml).unwrap();
    }
    world
}

#[test]
fn a_copy_never_cancels_a_move_of_another_process() {
    let world = large();
    let mut copy = stopped_copy(&world);
    let mut moving = world
        .command(&["-q", "export", "vm", "--move", "-o", &world.text("moved")])
        .spawn()
        .unwrap();
    let has_joined = ends_soon(&mut moving);
    signal(&copy, Signal::CONT);
    assert!(copy.wait().unwrap().success());
    assert!(moving.wait().unwrap().success());
    assert!(world.done(&["migration", "vm"]).starts_with("outgoing "));
    assert!(!has_joined, "the copy's move was joined");
    // Its stream is the one that is frozen now.
    arrive(&world);
    let locks = std::fs::read_dir(world.path("state/lock")).unwrap();
    let names = locks.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("export")).count(), 0);
}

/// What was exported into `moved` comes in elsewhere, and is confirmed here.
fn arrive(world: &World) {
    world.done(&[
        "--state",
        &world.text("other"),
        "import",
        &world.text("moved"),
    ]);
    world.done(&["migration", "vm", "--confirm"]);
}

#[test]
fn nobody_confirms_what_a_copy_began() {
    let world = large();
    let mut copy = stopped_copy(&world);
    let mut confirm = world
        .command(&["-q", "migration", "vm", "--confirm"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    ends_soon(&mut confirm);
    signal(&copy, Signal::CONT);
    assert!(copy.wait().unwrap().success());
    assert_eq!(confirm.wait().unwrap().code(), Some(4));
    assert_eq!(world.tree("state").0.len(), 303);
}

#[test]
fn a_move_goes_on_after_a_copy_was_killed_at_it() {
    let world = large();
    let mut copy = stopped_copy(&world);
    copy.kill().unwrap();
    copy.wait().unwrap();
    world.fails(&["create", "vm", "four"], 4, "migrat");
    world.done(&["-q", "export", "vm", "--move", "-o", &world.text("moved")]);
    arrive(&world);
    assert_eq!(world.tree("other").0.len(), 303);
}

#[test]
fn a_move_that_cannot_be_written_takes_no_other_back() {
    let world = grown();
    // More than a pipe holds.
    world.done(&[
        "create",
        "vm",
        "wordy",
        "--description",
        &"x".repeat(100_000),
    ]);
    let mut first = world
        .command(&["-q", "export", "vm", "--move"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while phase(&world) != "outgoing" {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut second = world
        .command(&["-q", "export", "vm", "--move", "-o", &world.text("moved")])
        .spawn()
        .unwrap();
    ends_soon(&mut second);
    drop(first.stdout.take());
    assert_eq!(first.wait().unwrap().code(), Some(1));
    assert!(second.wait().unwrap().success());
    assert!(world.done(&["migration", "vm"]).starts_with("outgoing "));
    arrive(&world);
}
