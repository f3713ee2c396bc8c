//! Deleting snapshots with their data: what stays keeps its content, what nobody needs goes.

use crate::guest::{
    CHILDREN, CHILDREN_ONLY, DISK_ONLY, Guest, METADATA_ONLY, everything, image, qemu_img,
};

/// Each of these external, below the one before, with content 1, 2, …; then one more.
fn chain(names: &[&str], format: &str) -> Guest {
    let guest = Guest::new(&[("vda", format)]);
    for (pattern, name) in (1..).zip(names) {
        guest.write("vda", pattern, 3);
        guest.create(name, "", DISK_ONLY).unwrap();
    }
    guest.write("vda", u8::try_from(names.len()).unwrap() + 1, 1);
    guest
}

/// Deletes, and compares the content of everything that stays.
fn delete(guest: &Guest, name: &str, flags: u32) {
    let before = everything(guest, &["vda"]);
    guest.delete(name, flags).unwrap();
    for (key, content) in everything(guest, &["vda"]) {
        assert_eq!(before[&key], content, "{key:?} after {name} went");
    }
    assert_eq!(guest.differences(None), [""; 0], "after {name} went");
}

#[test]
fn d70_any_node_of_a_chain_goes() {
    for format in ["qcow2", "raw"] {
        for name in ["s1", "s2", "s3"] {
            let guest = chain(&["s1", "s2", "s3"], format);
            delete(&guest, name, 0);
            assert_eq!(guest.files().len(), 3, "{name}");
            for rest in ["s1", "s2", "s3"].iter().filter(|rest| **rest != name) {
                delete(&guest, rest, 0);
            }
            // Everything is back in the user's own image, in its format.
            assert_eq!(guest.files(), ["vda.img"], "{name}");
            assert_eq!(guest.active("vda"), guest.path("vda.img"));
            assert_eq!(guest.content("vda"), [4, 3, 3]);
        }
    }
}

#[test]
fn d73_a_node_with_several_children_goes() {
    let guest = chain(&["s1", "s2", "s3"], "qcow2");
    for (name, pattern) in [("t1", 11), ("t2", 12), ("t3", 13)] {
        guest.revert("s2").unwrap();
        guest.write("vda", pattern, 1);
        guest.create(name, "", DISK_ONLY).unwrap();
        guest.write("vda", 20, 3);
    }
    delete(&guest, "s2", 0);
    delete(&guest, "s1", 0);
    delete(&guest, "t2", 0);
    delete(&guest, "s3", 0);
    delete(&guest, "t1", 0);
    delete(&guest, "t3", 0);
    assert_eq!(guest.files(), ["vda.img"]);
    assert_eq!(guest.content("vda"), [20; 3]);
}

#[test]
fn d73_subtrees_go() {
    let grown = || {
        let guest = chain(&["s1", "s2", "s3"], "qcow2");
        guest.revert("s2").unwrap();
        guest.write("vda", 7, 1);
        guest.create("t", "", DISK_ONLY).unwrap();
        guest.write("vda", 8, 3);
        guest
    };
    for (name, flags, left) in [
        ("s2", CHILDREN, vec!["s1"]),
        ("s2", CHILDREN_ONLY, vec!["s1", "s2"]),
        ("s1", CHILDREN, vec![]),
        ("s1", CHILDREN_ONLY, vec!["s1"]),
    ] {
        let guest = grown();
        delete(&guest, name, flags);
        assert_eq!(guest.names(), left);
        // One image for each snapshot that is left, and one for the guest.
        assert_eq!(guest.files().len(), left.len() + 1, "{name} {flags}");
        assert_eq!(guest.content("vda"), [8; 3]);
    }
}

#[test]
fn d74_internal_below_external_goes() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    guest.write("vda", 1, 3);
    guest.create("i1", "", 0).unwrap();
    guest.write("vda", 2, 3);
    guest.create("e1", "", DISK_ONLY).unwrap();
    guest.write("vda", 3, 2);
    guest.create("i2", "", 0).unwrap();
    guest.write("vda", 4, 2);
    guest.create("e2", "", DISK_ONLY).unwrap();
    guest.write("vda", 5, 1);
    // D74: libvirt refuses. The layer below i2 stays as long as i2 does.
    delete(&guest, "e1", 0);
    assert_eq!(guest.files().len(), 3);
    delete(&guest, "i1", 0);
    delete(&guest, "i2", 0);
    delete(&guest, "e2", 0);
    assert_eq!(guest.files(), ["vda.img"]);
    assert_eq!(guest.content("vda"), [5, 4, 2]);
}

// docs/differences.md, D17: libvirt rewrites paths as if the images had been merged.
#[test]
fn d17_metadata_only_touches_neither_images_nor_paths() {
    let guest = chain(&["s1", "s2", "s3"], "qcow2");
    let (files, s2, s3) = (guest.files(), guest.xml("s2"), guest.xml("s3"));
    let definition = guest.domain.definition(true).unwrap();
    guest.delete("s1", METADATA_ONLY).unwrap();
    assert_eq!(guest.files(), files);
    let root = "  <parent>\n    <name>s1</name>\n  </parent>\n";
    assert_eq!(guest.xml("s2"), s2.replace(root, ""));
    assert_eq!(guest.xml("s3"), s3);
    assert_eq!(guest.domain.definition(true).unwrap(), definition);
    assert_eq!(guest.differences(None), [""; 0]);
}

#[test]
fn d14_files_of_another_domain_are_not_touched() {
    let guest = chain(&["s1", "s2"], "qcow2");
    // A linked clone of the guest's first image.
    let clone = guest.path("clone.qcow2");
    let base = guest.path("vda.img");
    qemu_img(&[
        "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &base, &clone,
    ]);
    let definition = format!(
        "<domain type='qemu'><name>clone</name><os><type>hvm</type></os><devices>\
         <disk type='file'><driver type='qcow2'/><source file='{clone}'/><target dev='vda'/></disk>\
         </devices></domain>"
    );
    guest.connection.define(&definition).unwrap();
    let shown = || crate::guest::content(&image(&clone), "qcow2", None);
    delete(&guest, "s1", 0);
    assert_eq!(shown(), [1; 3]);
    delete(&guest, "s2", 0);
    assert_eq!(shown(), [1; 3]);
    assert_eq!(guest.content("vda"), [3, 2, 2]);
}

#[test]
fn overlays_without_metadata_are_the_users() {
    let guest = chain(&["s1"], "qcow2");
    let mine = format!(
        "<disk name='vda'><source file='{}'/></disk>",
        guest.path("mine")
    );
    guest
        .create("x", &mine, DISK_ONLY | crate::guest::NO_METADATA)
        .unwrap();
    guest.write("vda", 9, 1);
    guest.create("s2", "", DISK_ONLY).unwrap();
    delete(&guest, "s2", 0);
    assert!(image(&guest.path("mine")).exists());
    assert!(image(&guest.path("vda.s1")).exists());
    guest.revert("s1").unwrap();
    assert!(image(&guest.path("vda.s1")).exists());
}
