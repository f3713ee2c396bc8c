//! Taking, listing, reverting to and deleting snapshots, and what the exit code says.
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

use std::io::Write;
use std::process::Stdio;

use common::{UUID, World, qemu_img};
use serde_json::json;

mod common;

fn pairs(tree: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    tree.iter()
        .map(|(name, parent)| ((*name).to_owned(), parent.map(str::to_owned)))
        .collect()
}

#[test]
fn a_tree_grows_and_the_data_goes_back() {
    let world = World::with_domain();
    world.write("vda.qcow2", 1);
    world.done(&["create", "vm", "one", "--description", "first & <best>"]);
    world.write("vda.qcow2", 2);
    world.done(&["create", "vm", "two"]);
    world.done(&["revert", "vm", "one"]);
    world.reads("vda.qcow2", 1);
    world.done(&["create", "vm", "three"]);
    let (tree, current) = world.tree("state");
    assert_eq!(
        tree,
        pairs(&[("one", None), ("three", Some("one")), ("two", Some("one"))])
    );
    assert_eq!(current.as_deref(), Some("three"));
    // What qemu-img finds inside of the image is the oracle.
    let inside = qemu_img(&["snapshot", "-l", &world.text("vda.qcow2")]);
    for name in ["one", "two", "three"] {
        assert!(inside.contains(&format!(" {name} ")), "{inside}");
    }
    world.done(&["delete", "vm", "one"]);
    assert_eq!(
        world.tree("state").0,
        pairs(&[("three", None), ("two", None)])
    );
    let inside = qemu_img(&["snapshot", "-l", &world.text("vda.qcow2")]);
    assert!(!inside.contains(" one "), "{inside}");
}

#[test]
fn what_list_and_show_tell() {
    let world = World::with_domain();
    world.done(&["create", "vm", "one", "--description", "first & <best>"]);
    world.done(&["create", "vm", "two", "--disk-only"]);
    let list = world.json(&["list", "vm", "--json"]);
    assert_eq!(list["domain"], "vm");
    assert_eq!(list["uuid"], UUID);
    let (one, two) = (&list["snapshots"][0], &list["snapshots"][1]);
    assert_eq!(one["description"], "first & <best>");
    assert_eq!(one["kind"], "internal");
    assert_eq!(one["current"], false);
    assert_eq!(two["kind"], "external");
    assert_eq!(two["current"], true);
    let disks = json!([{"target": "vda", "snapshot": "external", "file": world.text("vda.two")}]);
    assert_eq!(two["disks"], disks);
    assert_eq!(world.json(&["show", "vm", "--json"])["name"], "two");
    assert_eq!(world.done(&["list", "vm", "--names"]), "one\ntwo\n");
    assert_eq!(world.done(&["current", "vm"]), "two\n");
    let table = world.done(&["list", "vm"]);
    let marked: Vec<&str> = table.lines().filter(|line| line.starts_with('*')).collect();
    assert!(marked.len() == 1 && marked[0].contains("two"), "{table}");
    let shown = world.done(&["show", "vm", "one"]);
    assert!(
        shown.contains("first & <best>") && shown.contains("vda: internal"),
        "{shown}"
    );
    let xml = world.done(&["show", "vm", "one", "--xml"]);
    assert!(
        xml.contains("<description>first &amp; &lt;best&gt;</description>"),
        "{xml}"
    );
    let domains = world.json(&["domains", "--json"]);
    assert_eq!(domains[0]["snapshots"], 2);
    assert_eq!(domains[0]["state"], "shut off");
}

#[test]
fn the_tree_says_where_the_guest_is() {
    let world = World::with_domain();
    world.done(&["create", "vm", "a"]);
    world.done(&["create", "vm", "b"]);
    world.done(&["create", "vm", "c"]);
    world.done(&["revert", "vm", "a"]);
    let without_facts = |arguments: &[&str]| -> Vec<String> {
        let tree = world.done(arguments);
        let names = tree.lines().map(|line| line.split("  internal,").next());
        names.map(|name| name.unwrap().to_owned()).collect()
    };
    let expected = [
        "vm",
        "└─ a",
        "   ├─ b",
        "   │  └─ c",
        "   └─ ● you are here",
    ];
    assert_eq!(without_facts(&["tree", "vm"]), expected);
    assert_eq!(without_facts(&["list", "vm", "--tree"]), expected);
}

#[test]
fn exit_codes_are_as_documented() {
    let world = World::with_domain();
    world.done(&["create", "vm", "one"]);
    world.fails(&["frobnicate"], 2, "frobnicate");
    world.fails(&["list"], 2, "<DOMAIN>");
    world.fails(
        &["delete", "vm", "one", "--children", "--children-only"],
        2,
        "cannot be used",
    );
    world.fails(&["create", "vm", "--disk", "vda,snapshot"], 2, "is meant");
    world.fails(&["list", "nobody"], 3, "nobody");
    world.fails(&["show", "vm", "none"], 3, "none");
    world.fails(
        &["--state", &world.text("nowhere"), "domains"],
        3,
        "nowhere",
    );
    world.fails(&["undefine", "vm"], 4, "1 snapshots");
    world.fails(&["create", "vm", "one"], 1, "already exists");
    world.fails(
        &["redefine", "vm", &world.text("domain.xml")],
        1,
        "domainsnapshot",
    );
    assert_eq!(
        world.tree("state").0,
        pairs(&[("one", None)]),
        "nothing was changed"
    );
    let mut without = world.command(&["domains"]);
    let said = without.env_remove("VIRSNAP_STATE_DIR").output().unwrap();
    assert_eq!(said.status.code(), Some(2), "{said:?}");
    assert!(
        !world.path("nowhere").exists(),
        "looking makes no directory"
    );
}

#[test]
fn delete_takes_what_it_was_told_to() {
    let world = World::with_domain();
    for name in ["a", "b", "c", "d"] {
        world.done(&["create", "vm", name]);
    }
    world.done(&["delete", "vm", "c", "--children-only"]);
    assert_eq!(
        world.tree("state").0,
        pairs(&[("a", None), ("b", Some("a")), ("c", Some("b"))])
    );
    world.done(&["delete", "vm", "c", "--metadata"]);
    assert!(qemu_img(&["snapshot", "-l", &world.text("vda.qcow2")]).contains(" c "));
    world.done(&["delete", "vm", "b", "--children"]);
    assert_eq!(world.tree("state").0, pairs(&[("a", None)]));
    world.done(&["undefine", "vm", "--snapshots-metadata"]);
    assert_eq!(world.json(&["domains", "--json"]), json!([]));
    assert!(qemu_img(&["snapshot", "-l", &world.text("vda.qcow2")]).contains(" a "));
}

#[test]
fn metadata_comes_back_by_redefine_and_becomes_current() {
    let world = World::with_domain();
    world.done(&["create", "vm", "a"]);
    world.done(&["create", "vm", "b"]);
    let xml = world.done(&["show", "vm", "a", "--xml", "--secure"]);
    world.done(&["delete", "vm", "a", "--metadata"]);
    let mut command = world.command(&["redefine", "vm", "-"]);
    let mut running = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    running
        .stdin
        .take()
        .unwrap()
        .write_all(xml.as_bytes())
        .unwrap();
    assert!(running.wait().unwrap().success());
    assert_eq!(
        world.tree("state"),
        (pairs(&[("a", None), ("b", None)]), Some("b".to_owned()))
    );
    world.done(&["current", "vm", "a"]);
    assert_eq!(world.tree("state").1.as_deref(), Some("a"));
    world.done(&["current", "vm", "b"]);
    assert_eq!(world.tree("state").1.as_deref(), Some("b"));
}

#[test]
fn disks_go_their_own_ways() {
    let world = World::new();
    world.image("a.qcow2");
    world.image("b.qcow2");
    world.define("vm", UUID, &["a.qcow2", "b.qcow2"]);
    let overlay = format!("vdb,file={}", world.text("over.qcow2"));
    let arguments = [
        "create",
        "vm",
        "m",
        "--disk-only",
        "--disk",
        "vda,snapshot=internal",
    ];
    world.done(&[&arguments[..], &["--disk", &overlay]].concat());
    assert_eq!(world.json(&["show", "vm", "--json"])["kind"], "mixed");
    assert!(qemu_img(&["snapshot", "-l", &world.text("a.qcow2")]).contains(" m "));
    let info = qemu_img(&["info", "--output=json", &world.text("over.qcow2")]);
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["backing-filename"], world.text("b.qcow2"));
}

#[test]
fn quiet_and_colours() {
    let world = World::with_domain();
    assert_eq!(world.done(&["--quiet", "create", "vm", "one"]), "");
    assert!(
        !world.done(&["tree", "vm"]).contains('\x1b'),
        "no terminal, no colours"
    );
    assert!(
        world
            .done(&["tree", "vm", "--color", "always"])
            .contains("\x1b[")
    );
}

#[test]
fn pictures_have_every_snapshot_and_the_place() {
    let world = World::with_domain();
    world.done(&["create", "vm", "a&b\"<c>"]);
    world.done(&["create", "vm", "two", "--disk-only"]);
    let svg = world.done(&["tree", "vm", "--svg"]);
    let document = roxmltree::Document::parse(&svg).expect("it is no XML");
    let texts: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text())
        .collect();
    for text in ["a&b\"<c>", "two", "internal", "external", "● you are here"] {
        assert!(texts.contains(&text), "no {text} in {texts:?}");
    }
    let boxes = document
        .descendants()
        .filter(|node| node.has_tag_name("path"))
        .count();
    assert_eq!(
        boxes, 2,
        "one edge between the two, one to where the guest is"
    );
    let dot = world.done(&["tree", "vm", "--dot"]);
    assert!(dot.contains("\"a&b\\\"<c>\" -> \"two\";"), "{dot}");
    assert!(dot.contains("\"two\" -> \"/here\""), "{dot}");
}
