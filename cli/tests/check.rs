//! `check` finds each damage that is planted, and `repair` mends what can be mended.
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

use std::fs;
use std::os::unix::fs::FileExt;

use common::{UUID, World, qemu_img};
use serde_json::Value;

mod common;

/// The kinds of what is wrong, with their texts.
fn wrong(world: &World, arguments: &[&str]) -> Vec<(String, String)> {
    let said = world.run(&[&["check", "--json"], arguments].concat());
    let reports: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    let found: Vec<(String, String)> = reports
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|report| report["findings"].as_array().unwrap())
        .filter(|finding| finding["wrong"] == true)
        .map(|finding| {
            let text = |name: &str| finding[name].as_str().unwrap().to_owned();
            (text("kind"), text("text"))
        })
        .collect();
    assert_eq!(said.code, if found.is_empty() { 0 } else { 5 }, "{said:?}");
    found
}

/// Something of that kind is found, and its text names that.
fn finds(world: &World, kind: &str, text: &str) {
    let found = wrong(world, &[]);
    assert!(
        found
            .iter()
            .any(|(its, says)| its == kind && says.contains(text)),
        "no {kind} about {text} in {found:#?}"
    );
}

/// An internal snapshot `in` and an external one `out` on it.
fn grown() -> World {
    let world = World::with_domain();
    world.done(&["create", "vm", "in"]);
    world.done(&["create", "vm", "out", "--disk-only"]);
    world
}

#[test]
fn nothing_is_wrong_where_nothing_is() {
    let world = grown();
    assert_eq!(wrong(&world, &[]), []);
    world.done(&["revert", "vm", "in"]);
    world.done(&["create", "vm", "more", "--disk-only"]);
    world.done(&["revert", "vm", "out"]);
    assert_eq!(wrong(&world, &["vm"]), []);
    assert!(world.done(&["check"]).starts_with("vm: nothing is wrong\n"));
}

#[test]
fn data_of_a_snapshot_is_missing() {
    let world = grown();
    qemu_img(&["snapshot", "-d", "in", &world.text("vda.qcow2")]);
    finds(&world, "differs", "in");
}

#[test]
fn an_image_is_missing() {
    let world = grown();
    fs::remove_file(world.path("vda.out")).unwrap();
    finds(&world, "missing-image", "vda.out");
}

#[test]
fn a_chain_is_broken() {
    let world = grown();
    fs::rename(world.path("vda.qcow2"), world.path("elsewhere")).unwrap();
    finds(&world, "broken-chain", "vda.qcow2");
}

#[test]
fn an_image_has_a_snapshot_that_nobody_claims() {
    let world = World::with_domain();
    qemu_img(&["snapshot", "-c", "stray", &world.text("vda.qcow2")]);
    finds(&world, "unclaimed-snapshot", "'stray'");
}

#[test]
fn overlays_that_nobody_claims() {
    let world = grown();
    let create = |name: &str, on: &str| {
        let (name, on) = (world.text(name), world.text(on));
        qemu_img(&[
            "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &on, &name,
        ]);
    };
    create("stray", "vda.out");
    create("on-stray", "stray");
    world.image("other.qcow2");
    create("not-ours", "other.qcow2");
    finds(&world, "unclaimed-file", &world.text("stray"));
    finds(&world, "unclaimed-file", &world.text("on-stray"));
    assert_eq!(wrong(&world, &[]).len(), 2, "{:#?}", wrong(&world, &[]));
    // Another domain's is not a stray.
    let other = "5b7d3a3e-0f5b-4c0e-9d86-7c1f5d6b1a02";
    world.define("other", other, &["stray"]);
    world.define(
        "third",
        "5b7d3a3e-0f5b-4c0e-9d86-7c1f5d6b1a03",
        &["on-stray"],
    );
    assert_eq!(wrong(&world, &[]), []);
}

#[test]
fn memory_that_nobody_claims() {
    let world = grown();
    let head = |uuid: &str| format!("LibvirtQemudSave\0\0\0\0<domain><uuid>{uuid}</uuid></domain>");
    fs::write(world.path("memory"), head(UUID)).unwrap();
    fs::write(
        world.path("not-ours"),
        head("5b7d3a3e-0f5b-4c0e-9d86-7c1f5d6b1a02"),
    )
    .unwrap();
    let found = wrong(&world, &[]);
    assert!(
        found.len() == 1 && found[0].1.contains(&world.text("memory")),
        "{found:#?}"
    );
}

#[test]
fn an_image_is_damaged() {
    let world = World::with_domain();
    world.write("vda.qcow2", 7);
    // The specification: bytes 48 to 55 say where the table of reference counts is. An entry that leads
    // beyond the end of the file is a corruption.
    let image = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(world.path("vda.qcow2"))
        .unwrap();
    let mut place = [0; 8];
    image.read_exact_at(&mut place, 48).unwrap();
    image
        .write_all_at(&(1u64 << 40).to_be_bytes(), u64::from_be_bytes(place))
        .unwrap();
    finds(&world, "damaged-image", "vda.qcow2");
    assert_eq!(
        wrong(&world, &["--quick"]),
        [],
        "only qemu-img looks so far"
    );
}

#[test]
fn an_image_that_cannot_be_opened_is_damaged_whatever_it_is_called() {
    let world = World::new();
    world.image("block lock.qcow2");
    world.define("vm", UUID, &["block lock.qcow2"]);
    // The specification: bytes 20 to 23 are the bits of a cluster, at least 9.
    let image = fs::OpenOptions::new()
        .write(true)
        .open(world.path("block lock.qcow2"))
        .unwrap();
    image.write_all_at(&5u32.to_be_bytes(), 20).unwrap();
    finds(&world, "damaged-image", "block lock.qcow2");
}

#[test]
fn clusters_that_nothing_uses_are_told_and_not_wrong() {
    let world = World::with_domain();
    world.write("vda.qcow2", 7);
    // Forgetting the first level of the mapping leaves all data unused: bytes 40 to 47.
    let image = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(world.path("vda.qcow2"))
        .unwrap();
    let mut place = [0; 8];
    image.read_exact_at(&mut place, 40).unwrap();
    image
        .write_all_at(&[0; 8], u64::from_be_bytes(place))
        .unwrap();
    assert_eq!(wrong(&world, &[]), []);
    assert!(world.done(&["check"]).contains("leak: "));
}

#[test]
fn a_guest_has_the_image_open() {
    let world = World::with_domain();
    world.done(&["create", "vm", "in"]);
    let image = world.text("vda.qcow2");
    let mut guest = std::process::Command::new("qemu-io")
        .args(["-f", "qcow2", &image])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The prompt is there when the image is open.
    std::io::Read::read_exact(guest.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let said = world.run(&["check", "vm"]);
    // What only looks wrong while it is written to is not called wrong.
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&image)
        .unwrap();
    let mut place = [0; 8];
    file.read_exact_at(&mut place, 48).unwrap();
    let place = u64::from_be_bytes(place);
    let mut entry = [0; 8];
    file.read_exact_at(&mut entry, place).unwrap();
    file.write_all_at(&(1u64 << 40).to_be_bytes(), place)
        .unwrap();
    let torn = world.run(&["check", "vm"]);
    file.write_all_at(&entry, place).unwrap();
    assert_eq!(torn.code, 0, "{torn:?}");
    assert!(torn.out.contains("seen, which may be changing"), "{torn:?}");
    // One that nobody could open is damaged, whoever has it open still.
    file.write_all_at(&5u32.to_be_bytes(), 20).unwrap();
    finds(&world, "damaged-image", "vda.qcow2");
    drop(guest.stdin.take());
    guest.wait().unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.out
            .contains("it is in use; nothing wrong is seen, but it may be changing"),
        "{said:?}"
    );
}

#[test]
fn stored_state_is_damaged_and_mended() {
    let world = grown();
    world.done(&["create", "vm", "more"]);
    let stored = world.path("state/snapshot/vm");
    fs::write(stored.join("in.xml"), "<domainsnapshot><name>in</name>").unwrap();
    finds(&world, "unreadable", "in");
    finds(&world, "parent-missing", "out");
    let dry = world.done(&["repair", "vm"]);
    assert!(dry.contains("--set-aside would mend: in"), "{dry}");
    assert!(dry.contains("--reroot would mend: out"), "{dry}");
    let files = world.files("state/snapshot");
    world.done(&["repair", "vm", "--set-aside", "--reroot", "--dry-run"]);
    assert_eq!(
        files,
        world.files("state/snapshot"),
        "a dry run has changed something"
    );
    world.fails(&["repair", "vm", "--set-aside"], 1, "1 problem");
    world.done(&["repair", "vm", "--reroot"]);
    assert!(world.path("state/damaged/vm/in.xml").exists());
    let kinds: Vec<String> = wrong(&world, &[])
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(
        kinds,
        ["unclaimed-snapshot"],
        "its data is still in the image"
    );
    assert_eq!(world.done(&["repair", "vm"]), "nothing to mend\n");
}

#[test]
fn a_definition_cannot_be_read() {
    let world = World::with_domain();
    fs::write(world.path("state/domain/bad.xml"), "<domain>").unwrap();
    finds(&world, "unreadable", "bad");
}
