//! Reverting to external and mixed snapshots of shut-off domains.

use std::fs;

use virsnap::ops::RevertFlags;

use crate::guest::{DISK_ONLY, Guest, everything, image, refusal};

/// s1 <- s2 <- s3, each external, with content 1, 2, 3, and 4 after them.
fn chain() -> Guest {
    let guest = Guest::new(&[("vda", "qcow2")]);
    for (name, pattern) in [("s1", 1), ("s2", 2), ("s3", 3)] {
        guest.write("vda", pattern, 3);
        guest.create(name, "", DISK_ONLY).unwrap();
    }
    guest.write("vda", 4, 3);
    guest
}

#[test]
fn d71_the_snapshot_and_its_siblings_stay() {
    let guest = chain();
    let before = everything(&guest, &["vda"]);
    guest.revert("s1").unwrap();
    assert_eq!(guest.content("vda"), [1; 3]);
    assert_eq!(guest.domain.current().unwrap().as_deref(), Some("s1"));
    guest.write("vda", 5, 1);
    for name in ["s1", "s2", "s3"] {
        let key = (name.to_owned(), "vda".to_owned());
        assert_eq!(guest.content_of(name, "vda"), before[&key], "{name}");
    }
    // s3's own overlay was the guest's image and is of no use.
    assert!(!image(&guest.path("vda.s3")).exists());
    assert_eq!(guest.files().len(), 4);
    assert_eq!(guest.differences(None), [""; 0]);
    // As libvirt from 9.9 on: s1 has children, so its own overlay stays theirs.
    let document = guest.xml("s1");
    assert!(document.contains("<revertDisks>"), "{document}");
    assert!(document.contains(&guest.active("vda")), "{document}");
    assert!(document.contains(&guest.path("vda.s1")), "{document}");
    guest.revert("s3").unwrap();
    assert_eq!(guest.content("vda"), [3; 3]);
    guest.revert("s2").unwrap();
    assert_eq!(guest.content("vda"), [2; 3]);
    guest.revert("s2").unwrap();
    assert_eq!(guest.files().len(), 4);
    assert_eq!(guest.differences(None), [""; 0]);
}

#[test]
fn a_leaf_gets_a_new_overlay_of_its_own() {
    let guest = chain();
    guest.revert("s3").unwrap();
    let document = guest.xml("s3");
    assert!(!document.contains("<revertDisks>"), "{document}");
    assert!(document.contains(&guest.active("vda")), "{document}");
    assert!(!document.contains(&guest.path("vda.s3'")), "{document}");
    assert_eq!(guest.content("vda"), [3; 3]);
    assert_eq!(guest.files().len(), 4);
}

#[test]
fn d5_without_a_current_snapshot_there_is_a_way_back_all_the_same() {
    let guest = chain();
    guest.revert("s1").unwrap();
    guest.delete("s1", 0).unwrap();
    assert_eq!(guest.domain.current().unwrap(), None);
    guest.revert("s3").unwrap();
    assert_eq!(guest.domain.current().unwrap().as_deref(), Some("s3"));
    assert_eq!(guest.content("vda"), [3; 3]);
    assert_eq!(guest.content_of("s2", "vda"), [2; 3]);
}

// docs/differences.md, D13: libvirt rewrites the image below.
#[test]
fn d13_d14_internal_below_external_goes_to_a_copy() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    guest.write("vda", 1, 3);
    guest.create("inner", "", 0).unwrap();
    guest.write("vda", 2, 3);
    guest.create("outer", "", DISK_ONLY).unwrap();
    guest.write("vda", 3, 1);
    let before = everything(&guest, &["vda"]);
    guest.revert("inner").unwrap();
    assert_eq!(guest.content("vda"), [1; 3]);
    assert_ne!(guest.active("vda"), guest.path("vda.img"));
    guest.write("vda", 9, 3);
    for name in ["inner", "outer"] {
        let key = (name.to_owned(), "vda".to_owned());
        assert_eq!(guest.content_of(name, "vda"), before[&key], "{name}");
    }
    guest.revert("outer").unwrap();
    assert_eq!(guest.content("vda"), [2; 3]);
    // The copy is gone with the guest that used it.
    assert_eq!(guest.files().len(), 2);
    // D14: the image with the internal snapshot is never removed.
    guest.delete("outer", 0).unwrap();
    assert_eq!(guest.content("vda"), [2; 3]);
    assert_eq!(guest.content_of("inner", "vda"), [1; 3]);
    assert!(image(&guest.path("vda.img")).exists());
    guest.revert("inner").unwrap();
    assert_eq!(guest.content("vda"), [1; 3]);
    guest.delete("inner", 0).unwrap();
    assert_eq!(guest.files(), ["vda.img"]);
}

#[test]
fn an_internal_snapshot_that_nobody_is_above_is_applied() {
    let guest = chain();
    guest.create("inner", "", 0).unwrap();
    guest.write("vda", 7, 3);
    let image = guest.active("vda");
    guest.revert("inner").unwrap();
    assert_eq!(guest.active("vda"), image);
    assert_eq!(guest.content("vda"), [4; 3]);
    guest.revert("s1").unwrap();
    guest.revert("inner").unwrap();
    assert_eq!(guest.content("vda"), [4; 3]);
    assert_eq!(guest.files().len(), 4);
}

#[test]
fn a_disk_left_out_keeps_what_it_has() {
    let guest = Guest::new(&[("vda", "qcow2"), ("vdb", "qcow2")]);
    let without = "<disk name='vdb' snapshot='no'/>";
    guest.write("vda", 1, 3);
    guest.create("s1", without, DISK_ONLY).unwrap();
    guest.write("vda", 2, 3);
    guest.write("vdb", 2, 3);
    guest.create("s2", "", DISK_ONLY).unwrap();
    guest.write("vda", 3, 3);
    guest.write("vdb", 3, 3);
    guest.revert("s1").unwrap();
    assert_eq!(guest.content("vda"), [1; 3]);
    assert_eq!(guest.content("vdb"), [3; 3]);
    assert_eq!(guest.content_of("s2", "vdb"), [2; 3]);
    guest.write("vdb", 4, 3);
    guest.revert("s2").unwrap();
    assert_eq!(guest.content("vdb"), [2; 3]);
    guest.revert("s1").unwrap();
    assert_eq!(guest.content("vdb"), [2; 3]);
    assert_eq!(guest.content_of("s2", "vdb"), [2; 3]);
}

#[test]
fn a_missing_layer_is_found_before_anything_changes() {
    let guest = chain();
    let (definition, files) = (guest.domain.definition(true).unwrap(), guest.files());
    let moved = guest.path("moved");
    fs::rename(guest.path("vda.s1"), &moved).unwrap();
    let message = refusal(guest.revert("s3"));
    assert!(
        message.contains("vda.s1") && message.contains("no such file"),
        "{message}"
    );
    fs::rename(&moved, guest.path("vda.s1")).unwrap();
    assert_eq!(guest.domain.definition(true).unwrap(), definition);
    assert_eq!(guest.files(), files);
    assert_eq!(guest.domain.current().unwrap().as_deref(), Some("s3"));
}

// docs/differences.md, external-revert (D72).
#[test]
fn d72_disks_of_an_active_guest_are_reverted_to() {
    let guest = chain();
    let document = guest.xml("s2").replace("shutoff", "disk-snapshot");
    guest.delete("s2", crate::guest::METADATA_ONLY).unwrap();
    guest.create_xml(&document, crate::guest::REDEFINE).unwrap();
    guest.revert("s2").unwrap();
    assert_eq!(guest.content("vda"), [2; 3]);
}

/// An embedded connection has no hypervisor: who gives no function for it is told so, before anything is
/// touched.
#[test]
fn a_guest_that_nobody_can_start_is_not_reverted_to_running() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    guest.write("vda", 1, 3);
    guest.create("s", "", DISK_ONLY).unwrap();
    guest.write("vda", 2, 3);
    let seen = || (guest.files(), guest.active("vda"), guest.content("vda"));
    let before = seen();
    for flags in [1, 2] {
        let flags = RevertFlags::new(flags, "test").unwrap();
        let error = refusal(guest.domain.revert("s", flags));
        assert!(error.contains("without a callback"), "{error}");
        assert_eq!(seen(), before);
    }
    guest.revert("s").unwrap();
    assert_eq!(guest.content("vda"), [1; 3]);
}
