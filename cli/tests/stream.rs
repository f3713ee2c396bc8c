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

use std::process::Stdio;

use common::{Said, World};

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
