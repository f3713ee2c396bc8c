//! Sizes: what a snapshot takes, beside what `qemu-img` and the file system say.

use std::os::unix::fs::MetadataExt;

use virsnap::data::space;

use crate::guest::{DISK_ONLY, Guest, image, qemu, qemu_img};

const CLUSTER: u64 = 64 * 1024;

fn blocks(path: &str) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}

/// Runs `qemu-io` commands on a qcow2 image.
fn write(path: &str, commands: &[&str]) {
    let mut arguments = vec!["-f", "qcow2"];
    for command in commands {
        arguments.extend(["-c", command]);
    }
    arguments.push(path);
    let output = qemu("qemu-io", &arguments);
    assert!(output.status.success(), "{output:?}");
}

/// What dropping snapshots of those names really gives back.
fn given_back(path: &str, names: &[&str]) -> u64 {
    let before = blocks(path);
    for name in names {
        qemu_img(&["snapshot", "-d", name, path]);
    }
    before.saturating_sub(blocks(path))
}

/// What was measured is within a few blocks of what is given back: a snapshot table is written anew.
fn check_alone(path: &str, names: &[&str], what: &str) {
    let measured = space::inside(&image(path), names).unwrap().alone;
    let given = given_back(path, names);
    // Where clusters are smaller than the file system's blocks some of these stay for their neighbours.
    let slack = if what.starts_with("cluster_size=512") {
        given / 16
    } else {
        16 * 1024
    };
    assert!(
        measured.abs_diff(given) <= slack,
        "{what}: {measured} measured, {given} given back"
    );
}

/// Cluster sizes, versions, widths of refcounts, extended L2 entries; data of one snapshot, of two, of
/// one and the guest.
#[test]
fn clusters_of_one_snapshot_are_those_that_go_with_it() {
    for options in [
        "compat=1.1",
        "compat=0.10",
        "cluster_size=4k",
        "cluster_size=2M",
        "refcount_bits=8",
        "refcount_bits=4",
        "refcount_bits=64",
        "extended_l2=on,cluster_size=128k",
        "cluster_size=512",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image").to_str().unwrap().to_owned();
        let create = |path: &str| {
            qemu_img(&["create", "-q", "-f", "qcow2", "-o", options, path, "64M"]);
            write(path, &["write -P 1 0 4M", "write -P 1 16M 2M"]);
            qemu_img(&["snapshot", "-c", "one", path]);
            write(path, &["write -P 2 0 2M"]);
            qemu_img(&["snapshot", "-c", "two", path]);
            write(
                path,
                &["write -P 3 1M 2M", "discard 16M 1M", "write -P 3 40M 1M"],
            );
            qemu_img(&["snapshot", "-c", "three", path]);
            write(path, &["write -P 4 40M 512k"]);
        };
        for names in [&["one"][..], &["three"], &["two", "one"]] {
            let _ = std::fs::remove_file(&path);
            create(&path);
            check_alone(&path, names, &format!("{options}: {names:?}"));
            qemu_img(&["check", "-q", &path]);
        }
    }
}

/// Compressed clusters share host clusters, whose refcounts count each of them.
#[test]
fn compressed_clusters_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (raw, path) = (directory.path().join("raw"), directory.path().join("image"));
    let text: Vec<u8> = (0..2_u32 << 20)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 26).to_le_bytes()[0])
        .collect();
    std::fs::write(&raw, text).unwrap();
    let (raw, path) = (raw.to_str().unwrap(), path.to_str().unwrap());
    for (names, rewritten) in [
        (&["one"][..], "2M"),
        (&["two"], "1M"),
        (&["one", "two"], "1M"),
    ] {
        qemu_img(&["convert", "-q", "-c", "-f", "raw", "-O", "qcow2", raw, path]);
        qemu_img(&["snapshot", "-c", "one", path]);
        write(path, &["write -P 9 0 64k"]);
        qemu_img(&["snapshot", "-c", "two", path]);
        write(path, &[&format!("write -P 2 0 {rewritten}")]);
        check_alone(path, names, &format!("compressed {names:?}"));
        qemu_img(&["check", "-q", path]);
    }
}

/// What a snapshot holds, shared or not: the guest's data as `qemu-img map` has it, one L2 table, one L1
/// table.
#[test]
fn what_is_held_is_what_the_guest_had_written() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    guest.write("vda", 1, 2);
    guest.create("s", "", 0).unwrap();
    let size = guest.domain.size("s").unwrap();
    let map = qemu("qemu-img", &["map", "--output=json", &guest.active("vda")]);
    let map = String::from_utf8(map.stdout).unwrap();
    let mapped: u64 = map
        .lines()
        .filter(|line| line.contains("\"data\": true"))
        .map(|line| {
            let length = line.split("\"length\": ").nth(1).unwrap();
            length.split(',').next().unwrap().parse::<u64>().unwrap()
        })
        .sum();
    assert_eq!(mapped, 2 * CLUSTER);
    assert_eq!(size.occupied, mapped + CLUSTER + 4096);
    assert_eq!((size.memory, size.unknown), (0, 0));
    // Nothing of it is its own but its L1 table: the guest has the rest.
    assert_eq!(size.freed, 4096);
    guest.write("vda", 2, 2);
    let size = guest.domain.size("s").unwrap();
    // Now its data is, and its L2 table.
    assert_eq!(size.freed, mapped + CLUSTER + 4096);
    let before = blocks(&guest.active("vda"));
    guest.delete("s", 0).unwrap();
    let given = before - blocks(&guest.active("vda"));
    assert!(given.abs_diff(size.freed) <= 8192, "{given} {}", size.freed);
}

/// An external snapshot's content is in the file below the overlay; what cannot be looked at is counted.
#[test]
fn external_snapshots_take_their_file() {
    let guest = Guest::new(&[("vda", "qcow2"), ("vdb", "raw")]);
    guest.write("vda", 1, 3);
    guest.write("vdb", 1, 3);
    let (vda, vdb) = (guest.active("vda"), guest.active("vdb"));
    guest.create("e", "", DISK_ONLY).unwrap();
    let size = guest.domain.size("e").unwrap();
    assert_eq!(size.occupied, blocks(&vda) + blocks(&vdb));
    let overlays: u64 = ["vda", "vdb"]
        .iter()
        .map(|disk| blocks(&guest.active(disk)))
        .sum();
    assert_eq!(size.freed, overlays);
    std::fs::rename(&vdb, guest.path("elsewhere")).unwrap();
    let size = guest.domain.size("e").unwrap();
    assert_eq!((size.occupied, size.unknown), (blocks(&vda), 1));
}

/// A table that stands at every place of a hostile image would be read for ever.
#[test]
fn tables_that_repeat_are_no_tables() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image").to_str().unwrap().to_owned();
    let options = "cluster_size=512";
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", options, &path, "64M"]);
    write(&path, &["write -P 1 0 512"]);
    qemu_img(&["snapshot", "-c", "s", &path]);
    let mut bytes = std::fs::read(&path).unwrap();
    let number = |bytes: &[u8], at: usize| {
        let field = bytes[at..at + 8].try_into().unwrap();
        usize::try_from(u64::from_be_bytes(field)).unwrap()
    };
    // docs/interop/qcow2.txt: where the snapshot table is, and the first one's L1 table; of each 32 KiB of
    // the disk one entry.
    let table = number(&bytes, 64);
    let l1 = number(&bytes, table);
    let first = bytes[l1..l1 + 8].to_vec();
    assert_ne!(first, [0; 8]);
    for entry in bytes[l1..l1 + 2048 * 8].chunks_exact_mut(8) {
        entry.copy_from_slice(&first);
    }
    assert!(space::inside(&image(&path), &["s"]).is_ok());
    std::fs::write(&path, bytes).unwrap();
    assert!(space::inside(&image(&path), &["s"]).is_err());
}
