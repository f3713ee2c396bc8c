//! `--dry-run` and sizes: what is told is what is then done.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever fails here is the test's own failure"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use common::{World, qemu_img};
use serde_json::Value;

mod common;

/// `a`, below it `b`, below it `c` and `d`, with contents 1 to 4; the guest at `d`, with 5.
fn grown() -> World {
    let world = World::with_domain();
    for (byte, name) in [(1, "a"), (2, "b"), (3, "c")] {
        world.write("vda.qcow2", byte);
        world.done(&["create", "vm", name]);
    }
    world.done(&["revert", "vm", "b"]);
    world.write("vda.qcow2", 4);
    world.done(&["create", "vm", "d"]);
    world.write("vda.qcow2", 5);
    world
}

type Tree = Vec<(String, Option<String>)>;

/// All that a change would change: the tree, the current one, what is inside of the image, files.
type State = (Tree, Option<String>, String, Vec<String>);

fn state(world: &World) -> State {
    let (tree, current) = world.tree("state");
    let mut files: Vec<String> = std::fs::read_dir(world.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let inside = qemu_img(&["snapshot", "-l", &world.text("vda.qcow2")]);
    (tree, current, inside, files)
}

/// The tree that comes out of a plan.
fn carried_out(tree: Tree, plan: &Value) -> Tree {
    let mut tree: BTreeMap<String, Option<String>> = tree.into_iter().collect();
    for step in plan["steps"].as_array().unwrap() {
        let text = |name: &str| step[name].as_str().map(str::to_owned);
        match step["kind"].as_str().unwrap() {
            "drop" => {
                tree.remove(&text("name").unwrap()).unwrap();
            }
            "add" | "reparent" => {
                tree.insert(text("name").unwrap(), text("parent"));
            }
            _ => {}
        }
    }
    tree.into_iter().collect()
}

/// Asks, sees that nothing has changed, does it, and compares.
fn asked_and_done(world: &World, arguments: &[&str]) -> Value {
    let before = state(world);
    let plan = world.json(&[arguments, &["--dry-run", "--json"]].concat());
    assert_eq!(plan["refusals"], serde_json::json!([]));
    assert_eq!(state(world), before, "a dry run has changed something");
    let shown = world.done(&[arguments, &["--dry-run"]].concat());
    // A new file has the second in its name, which may be over.
    let plain = |line: &str| line.replace(|c: char| c.is_ascii_digit(), "#");
    for step in plan["steps"].as_array().unwrap() {
        let text = step["text"].as_str().unwrap();
        assert!(
            !text.is_empty() && shown.lines().any(|line| plain(line) == plain(text)),
            "{text}: {shown}"
        );
    }
    assert_eq!(state(world), before, "a dry run has changed something");
    world.done(arguments);
    let after = world.tree("state").0;
    assert_eq!(after, carried_out(before.0, &plan), "{plan:#}");
    plan
}

#[test]
fn plans_of_every_change_come_true() {
    let world = grown();
    asked_and_done(&world, &["create", "vm", "e"]);
    asked_and_done(&world, &["create", "vm", "f", "--disk-only"]);
    let plan = asked_and_done(&world, &["revert", "vm", "c"]);
    let current = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["kind"] == "current");
    assert_eq!(current.unwrap()["name"], "c", "{plan:#}");
    assert_eq!(world.tree("state").1.as_deref(), Some("c"));
    asked_and_done(&world, &["delete", "vm", "b"]);
    asked_and_done(&world, &["delete", "vm", "d", "--children"]);
    asked_and_done(&world, &["delete", "vm", "a", "--metadata"]);
    asked_and_done(&world, &["delete", "vm", "c", "--children-only"]);
}

#[test]
fn what_would_be_refused_says_why_and_ends_so() {
    let world = grown();
    let before = state(&world);
    world.fails(&["undefine", "vm", "--dry-run"], 4, "4 snapshots");
    world.fails(&["create", "vm", "a", "--dry-run"], 4, "already exists");
    world.fails(&["delete", "vm", "nobody", "--dry-run"], 3, "nobody");
    world.fails(&["delete", "vm", "a", "--json"], 2, "--dry-run");
    world.done(&["-q", "export", "vm", "--move", "-o", &world.text("file")]);
    world.fails(&["delete", "vm", "a", "--dry-run"], 4, "migrat");
    std::fs::remove_file(world.path("file")).unwrap();
    world.done(&["migration", "vm", "--cancel"]);
    assert_eq!(state(&world), before);
}

#[test]
fn a_move_and_an_end_can_be_asked_for() {
    let world = grown();
    let before = state(&world);
    let plan = world.json(&["export", "vm", "--move", "--dry-run", "--json"]);
    assert!(
        plan["steps"]
            .as_array()
            .unwrap()
            .iter()
            .any(|step| step["kind"] == "freeze"),
        "{plan:#}"
    );
    world.done(&["create", "vm", "not-frozen"]);
    world.done(&["delete", "vm", "not-frozen"]);
    let plan = world.json(&[
        "undefine",
        "vm",
        "--snapshots-metadata",
        "--dry-run",
        "--json",
    ]);
    assert_eq!(carried_out(before.0.clone(), &plan), []);
    assert!(
        plan["steps"]
            .as_array()
            .unwrap()
            .iter()
            .any(|step| step["kind"] == "undefine"),
        "{plan:#}"
    );
    assert_eq!(state(&world).0, before.0);
}

#[test]
fn sizes_are_those_of_the_image() {
    let world = World::with_domain();
    world.write("vda.qcow2", 1);
    world.done(&["create", "vm", "full"]);
    world.done(&["create", "vm", "same"]);
    world.write("vda.qcow2", 2);
    let size = |name: &str, what: &str| {
        world.json(&["show", "vm", name, "--json"])["size"][what]
            .as_u64()
            .unwrap()
    };
    // Both use all 4 MiB, together with one another: deleting one alone gives back none of it.
    for name in ["full", "same"] {
        assert!(
            size(name, "occupied") >= 4 << 20,
            "{name}: {}",
            size(name, "occupied")
        );
        assert!(
            size(name, "freed") < 1 << 20,
            "{name}: {}",
            size(name, "freed")
        );
    }
    world.done(&["delete", "vm", "same"]);
    let freed = size("full", "freed");
    assert!(freed >= 4 << 20, "{freed}");
    let table = world.done(&["list", "vm"]);
    assert!(table.contains("4.") && table.contains("MiB"), "{table}");
    // What the plan gives back is what the size says.
    let plan = world.json(&["delete", "vm", "full", "--dry-run", "--json"]);
    assert_eq!(plan["freed"].as_u64(), Some(freed));
}

#[test]
fn the_file_of_an_external_snapshot_is_what_it_takes() {
    let world = World::with_domain();
    world.write("vda.qcow2", 1);
    world.done(&["create", "vm", "out", "--disk-only"]);
    let blocks = world.path("vda.qcow2").metadata().unwrap().blocks();
    let shown = world.json(&["show", "vm", "out", "--json"]);
    assert_eq!(shown["size"]["occupied"].as_u64(), Some(blocks * 512));
}

#[test]
fn prune_says_what_comes_back() {
    let world = grown();
    let plan = world.json(&["-q", "prune", "vm", "--keep-last", "1", "--json"]);
    for fate in plan["snapshots"].as_array().unwrap() {
        let name = fate["name"].as_str().unwrap();
        if name == "d" {
            assert_eq!(fate["freed"], Value::Null);
        } else {
            let asked = world.json(&["delete", "vm", name, "--dry-run", "--json"]);
            assert_eq!(fate["freed"], asked["freed"], "{name}");
        }
    }
    // What cannot go now stays, and says why.
    world.done(&["-q", "export", "vm", "--move", "-o", &world.text("file")]);
    let plan = world.json(&["-q", "prune", "vm", "--keep-last", "1", "--json"]);
    for fate in plan["snapshots"].as_array().unwrap() {
        assert!(!fate["kept"].as_array().unwrap().is_empty(), "{fate}");
    }
    assert!(plan.to_string().contains("refused: "), "{plan}");
}
