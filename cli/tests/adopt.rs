//! `adopt`: snapshots inside of images, and a real libvirt's.
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

use std::process::Command;

use common::{UUID, World, qemu_img};

mod common;

#[test]
fn snapshots_inside_of_images_get_metadata() {
    let world = World::new();
    world.image("a.qcow2");
    world.image("b.qcow2");
    world.define("vm", UUID, &["a.qcow2", "b.qcow2"]);
    world.write("a.qcow2", 1);
    qemu_img(&["snapshot", "-c", "both", &world.text("a.qcow2")]);
    qemu_img(&["snapshot", "-c", "both", &world.text("b.qcow2")]);
    world.write("a.qcow2", 2);
    qemu_img(&["snapshot", "-c", "only a", &world.text("a.qcow2")]);
    world.write("a.qcow2", 3);
    let dry = world.done(&["adopt", "vm", "--dry-run"]);
    assert!(
        dry.contains("'both'") && dry.contains("on vda, vdb"),
        "{dry}"
    );
    assert_eq!(world.tree("state").0, []);
    world.done(&["adopt", "vm"]);
    let (tree, current) = world.tree("state");
    assert_eq!(
        tree,
        [("both".to_owned(), None), ("only a".to_owned(), None)]
    );
    assert_eq!(current, None);
    let shown = world.done(&["show", "vm", "only a"]);
    assert!(
        shown.contains("vda: internal") && shown.contains("vdb: no"),
        "{shown}"
    );
    assert_eq!(world.run(&["check"]).code, 0);
    world.done(&["revert", "vm", "both"]);
    world.reads("a.qcow2", 1);
    let again = world.done(&["adopt", "vm"]);
    assert_eq!(
        again,
        "no snapshot without metadata is inside of the images\n"
    );
}

#[test]
fn a_chain_by_time_when_asked() {
    let world = World::with_domain();
    // QEMU writes seconds; those of one second are in the order of their names.
    for name in ["1", "2", "3"] {
        qemu_img(&["snapshot", "-c", name, &world.text("vda.qcow2")]);
    }
    world.done(&["adopt", "vm", "--chain"]);
    let parents: Vec<Option<String>> = world
        .tree("state")
        .0
        .into_iter()
        .map(|(_, parent)| parent)
        .collect();
    assert_eq!(parents, [None, Some("1".to_owned()), Some("2".to_owned())]);
}

#[test]
fn a_name_that_cannot_be_is_told() {
    let world = World::with_domain();
    qemu_img(&["snapshot", "-c", "with/slash", &world.text("vda.qcow2")]);
    qemu_img(&["snapshot", "-c", "good", &world.text("vda.qcow2")]);
    // Code 4 would say that nothing was changed.
    world.fails(&["adopt", "vm"], 1, "'with/slash' is not adopted");
    assert_eq!(world.tree("state").0, [("good".to_owned(), None)]);
    world.fails(&["adopt", "vm"], 4, "'with/slash' is not adopted");
}

/// A real libvirt's directory, with `one`, its children `two` and `three`, and the guest at `three`. None
/// where there is no virsh, or no right to run its embedded driver.
fn libvirts(world: &World) -> Option<()> {
    if !rustix::process::geteuid().is_root() || Command::new("virsh").arg("-v").output().is_err() {
        eprintln!("SKIPPED: libvirt's embedded driver needs virsh and root");
        return None;
    }
    std::fs::create_dir_all(world.path("root/etc")).unwrap();
    let conf = "user=\"root\"\ngroup=\"root\"\ndynamic_ownership=0\nsecurity_driver=\"none\"\n\
                cgroup_controllers=[]\nnamespaces=[]\nstdio_handler=\"file\"\n";
    std::fs::write(world.path("root/etc/qemu.conf"), conf).unwrap();
    world.image("vda.qcow2");
    let xml = world.document("vm", UUID, &["vda.qcow2"]);
    std::fs::write(world.path("vm.xml"), xml).unwrap();
    world.write("vda.qcow2", 1);
    let commands = format!(
        "define {}; snapshot-create-as vm one; snapshot-create-as vm two; snapshot-revert vm one; \
         snapshot-create-as vm three --disk-only --diskspec vda,file={}",
        world.text("vm.xml"),
        world.text("vda.three")
    );
    let said = Command::new("virsh")
        .args([
            "-c",
            &format!("qemu:///embed?root={}", world.text("root")),
            &commands,
        ])
        .env("HOME", world.path(""))
        .env_remove("LD_PRELOAD")
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    Some(())
}

fn expected() -> (Vec<(String, Option<String>)>, Option<String>) {
    let name = |name: &str| name.to_owned();
    let tree = vec![
        (name("one"), None),
        (name("three"), Some(name("one"))),
        (name("two"), Some(name("one"))),
    ];
    (tree, Some(name("three")))
}

#[test]
fn a_libvirts_directory_is_read_and_never_written_to() {
    let world = World::new();
    let Some(()) = libvirts(&world) else { return };
    let before = world.files("root");
    let (tree, current) = world.tree("root/lib/qemu");
    assert_eq!((tree, current), expected());
    let theirs = world.text("root/lib/qemu");
    let there = |arguments: &[&str]| world.run(&[&["--state", &theirs], arguments].concat());
    for arguments in [
        &["tree", "vm"][..],
        &["domains"],
        &["show", "vm"],
        &["check"],
    ] {
        let said = there(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
    }
    let file = world.text("exported");
    assert_eq!(there(&["export", "vm", "-o", &file]).code, 0);
    for arguments in [
        &["create", "vm", "x"][..],
        &["delete", "vm", "one"],
        &["revert", "vm", "one"],
        &["export", "vm", "--move", "-o", "x"],
        &["repair", "vm", "--reroot"],
        &["undefine", "vm"],
        &["define", "vm.xml"],
        &["import", &file],
        &["adopt", "vm"],
        &["prune", "vm", "--keep-last", "1", "--yes"],
        &["migration", "vm"],
        &["current", "vm", "one"],
    ] {
        let said = there(arguments);
        assert_eq!(said.code, 4, "{arguments:?}: {said:?}");
        assert!(said.err.contains("only read"), "{said:?}");
    }
    assert!(before == world.files("root"), "something was written there");
    world.done(&["import", &file]);
    let (tree, current) = world.tree("state");
    assert_eq!((tree, current), expected());
}

#[test]
fn a_libvirts_directory_is_taken_over() {
    let world = World::new();
    let Some(()) = libvirts(&world) else { return };
    let before = world.files("root");
    let theirs = world.text("root/lib/qemu");
    let dry = world.done(&["adopt", "--from-libvirt", &theirs, "--dry-run"]);
    assert_eq!(dry, "would be taken over: domain 'vm' with 3 snapshots\n");
    let taken = world.done(&["adopt", "--from-libvirt", &theirs]);
    assert_eq!(taken, "taken over: domain 'vm' with 3 snapshots\n");
    assert!(before == world.files("root"), "something was written there");
    let (tree, current) = world.tree("state");
    assert_eq!((tree, current), expected());
    // Again, with nothing new.
    world.done(&["adopt", "--from-libvirt", &theirs, "vm"]);
    world.done(&["revert", "vm", "one"]);
    world.reads(&newest_image(&world), 1);
    assert_eq!(world.run(&["check", "vm"]).code, 0);
}

#[test]
fn what_was_taken_over_is_told_when_another_domain_is_refused() {
    let world = World::new();
    std::fs::create_dir_all(world.path("theirs/snapshot")).unwrap();
    for (name, uuid) in [("a", UUID), ("b", "5b7d3a3e-0f5b-4c0e-9d86-7c1f5d6b1a02")] {
        let xml = world.document(name, uuid, &["vda.qcow2"]);
        std::fs::write(world.path(&format!("theirs/{name}.xml")), xml).unwrap();
    }
    std::fs::create_dir(world.path("theirs/snapshot/b")).unwrap();
    std::fs::write(world.path("theirs/snapshot/b/bad.xml"), "<domainsnapshot>").unwrap();
    let arguments = ["adopt", "--from-libvirt", &world.text("theirs")];
    world.fails(&arguments, 1, "taken over before that: 'a'");
    assert_eq!(world.done(&["domains"]).matches("\na ").count(), 1);
    world.fails(
        &[&arguments[..], &["b"]].concat(),
        4,
        "'b' is not taken over",
    );
}

/// The image that the definition of `vm` names.
fn newest_image(world: &World) -> String {
    let xml = std::fs::read_to_string(world.path("state/domain/vm.xml")).unwrap();
    let source = xml
        .split("<source file='")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    source.rsplit('/').next().unwrap().to_owned()
}

#[test]
fn snapshots_come_over_a_libvirt_connection() {
    if Command::new("virsh").arg("-v").output().is_err() {
        eprintln!("SKIPPED: needs libvirt");
        return;
    }
    let world = World::new();
    let domain =
        format!("<name>vm</name><uuid>{UUID}</uuid><memory>8192</memory><os><type>hvm</type></os>");
    let snapshot = |name: &str, parent: &str, active: u8| {
        format!(
            "<test:domainsnapshot><name>{name}</name><state>shutoff</state>{parent}\
             <creationTime>1795000000</creationTime><disks/><domain type='test'>{domain}</domain>\
             <active>{active}</active></test:domainsnapshot>"
        )
    };
    let node = format!(
        "<node><domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>{domain}\
         <test:runstate>5</test:runstate>{}{}</domain></node>",
        snapshot("one", "", 0),
        snapshot("two", "<parent><name>one</name></parent>", 1),
    );
    std::fs::write(world.path("node.xml"), node).unwrap();
    let definition = format!("<domain type='test'>{domain}</domain>");
    std::fs::write(world.path("vm.xml"), definition).unwrap();
    world.done(&["define", &world.text("vm.xml")]);
    let uri = format!("test://{}", world.text("node.xml"));
    assert_eq!(
        world.done(&["adopt", "vm", "--from", &uri, "--dry-run"]),
        "would be taken over: 2 snapshots\n"
    );
    world.done(&["adopt", "vm", "--from", &uri]);
    let tree = vec![
        ("one".to_owned(), None),
        ("two".to_owned(), Some("one".to_owned())),
    ];
    assert_eq!(world.tree("state"), (tree, Some("two".to_owned())));
    // Or looked at where they are.
    let there = world.done(&["--connect", &uri, "list", "vm", "--names"]);
    assert_eq!(there, "one\ntwo\n");
}

#[test]
fn a_domain_without_a_definition_is_known_by_its_snapshots() {
    let world = World::new();
    let Some(()) = libvirts(&world) else { return };
    std::fs::remove_file(world.path("root/etc/qemu/vm.xml")).unwrap();
    let said = world.run(&[
        "--state",
        &world.text("root/lib/qemu"),
        "list",
        "vm",
        "--names",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(said.out.lines().count(), 3);
    assert!(
        said.err.contains("its newest snapshot's is taken"),
        "{said:?}"
    );
}
