//! Variables of UEFI firmware and the state of an emulated TPM go with the disks: back with a revert, away
//! with a delete.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use virsnap::ops::{CreateFlags, RevertFlags};

use crate::guest::{
    CHILDREN, DISK_ONLY, Guest, METADATA_ONLY, NO_METADATA, REDEFINE, qemu_img, refusal,
};

const RESET_NVRAM: u32 = 8;

/// A guest with one qcow2 disk, firmware and TPM; each snapshot is of another byte, and so are guest,
/// variables and TPM in the end.
fn furnished(flags: u32) -> Guest {
    let guest = Guest::with_firmware(&[("vda", "qcow2")], "");
    for (byte, name) in (1..).zip(["s1", "s2", "s3"]) {
        mark(&guest, byte);
        guest.create(name, "", flags).unwrap();
    }
    mark(&guest, 9);
    guest
}

fn mark(guest: &Guest, byte: u8) {
    guest.write("vda", byte, 3);
    guest.remember(byte);
}

/// That disk, variables and TPM are all of that byte.
fn assert_shows(guest: &Guest, byte: u8) {
    assert_eq!(guest.content("vda"), [byte; 3]);
    assert_eq!(guest.remembered(), byte);
}

fn copies(guest: &Guest) -> Vec<String> {
    let mut files = guest.files();
    files.retain(|name| name.starts_with("vars.fd."));
    files
}

fn revert_with(guest: &Guest, name: &str, flags: u32) -> virsnap::error::Result<()> {
    let flags = RevertFlags::new(flags, "test").unwrap();
    guest.domain.revert(name, flags)
}

#[test]
fn they_go_back_with_each_kind_of_snapshot() {
    for flags in [0, DISK_ONLY] {
        let guest = furnished(flags);
        for (name, byte) in [("s1", 1), ("s3", 3), ("s2", 2), ("s1", 1)] {
            guest.revert(name).unwrap();
            assert_shows(&guest, byte);
            mark(&guest, 8);
        }
        assert_eq!(guest.differences(None), [""; 0]);
    }
}

#[test]
fn a_tree_grows_and_is_felled() {
    for flags in [0, DISK_ONLY] {
        let guest = furnished(flags);
        guest.revert("s2").unwrap();
        mark(&guest, 4);
        guest.create("s4", "", flags).unwrap();
        assert_eq!(
            copies(&guest),
            ["vars.fd.s1", "vars.fd.s2", "vars.fd.s3", "vars.fd.s4"]
        );
        guest.delete("s2", 0).unwrap();
        assert_eq!(copies(&guest), ["vars.fd.s1", "vars.fd.s3", "vars.fd.s4"]);
        for (name, byte) in [("s3", 3), ("s4", 4), ("s1", 1)] {
            guest.revert(name).unwrap();
            assert_shows(&guest, byte);
        }
        guest.delete("s1", CHILDREN).unwrap();
        assert_eq!(copies(&guest), [""; 0]);
        assert_shows(&guest, 1);
    }
}

#[test]
fn the_copy_is_its_owners_alone_and_a_tar_archive() {
    let guest = furnished(0);
    let copy = guest.path("vars.fd.s1");
    let mode = fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let listed = std::process::Command::new("tar")
        .args(["-tf", &copy])
        .output()
        .unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(names, "virsnap-firmware\nnvram\ntpm/tpm2-00.permall\n");
}

#[test]
fn metadata_alone_touches_nothing() {
    let guest = furnished(0);
    guest.delete("s3", METADATA_ONLY).unwrap();
    assert_eq!(copies(&guest).len(), 3);
    guest.create("s4", "", NO_METADATA | DISK_ONLY).unwrap();
    assert_eq!(copies(&guest).len(), 3);
    let error = refusal(guest.create("s5", "", NO_METADATA));
    assert!(error.contains("pflash"), "{error}");
}

#[test]
fn what_stands_in_the_place_of_the_copy_stays() {
    let guest = Guest::with_firmware(&[("vda", "qcow2")], "");
    fs::write(guest.path("vars.fd.s1"), "somebody's").unwrap();
    guest.create("s1", "", 0).unwrap();
    assert_eq!(copies(&guest), ["vars.fd.s1", "vars.fd.s1.2"]);
    mark(&guest, 5);
    guest.revert("s1").unwrap();
    assert_eq!(guest.remembered(), 0);
    guest.delete("s1", 0).unwrap();
    assert_eq!(fs::read(guest.path("vars.fd.s1")).unwrap(), b"somebody's");
    assert_eq!(copies(&guest), ["vars.fd.s1"]);
}

#[test]
fn a_long_name_gets_a_copy_too() {
    let guest = Guest::with_firmware(&[("vda", "qcow2")], "");
    let name = "n".repeat(247);
    guest.create(&name, "", 0).unwrap();
    mark(&guest, 5);
    guest.revert(&name).unwrap();
    assert_shows(&guest, 0);
}

#[test]
fn a_snapshot_without_its_copy_is_refused_and_reported() {
    let guest = furnished(0);
    let document = guest.xml("s1");
    fs::remove_file(guest.path("vars.fd.s1")).unwrap();
    assert_eq!(
        guest.differences(None),
        ["s1 Differs \"firmware\" vars.fd.s1: there is no such file"]
    );
    let error = refusal(guest.revert("s1"));
    assert!(error.contains("vars.fd.s1' is missing"), "{error}");
    assert_shows(&guest, 9);
    guest.delete("s1", METADATA_ONLY).unwrap();
    let error = refusal(guest.create_xml(&document, REDEFINE));
    assert!(
        error.contains("vars.fd.s1': there is no such file"),
        "{error}"
    );
}

#[test]
fn a_document_cannot_claim_a_copy() {
    let mut guest = Guest::with_firmware(&[("vda", "qcow2")], "");
    fs::write(guest.path("precious"), "precious").unwrap();
    let claim = format!(
        "<firmware xmlns='https://virsnap.org/xmlns/firmware/1' copy='{}'/>",
        guest.path("precious")
    );
    let xml = format!("<domainsnapshot><name>s1</name>{claim}</domainsnapshot>");
    guest.create_xml(&xml, 0).unwrap();
    assert!(guest.xml("s1").contains("vars.fd.s1'"));
    guest.create("s2", "", 0).unwrap();
    guest.reopened("?redefine_check=trust");
    let document = guest.xml("s2");
    let redefined = document.replace(&guest.path("vars.fd.s2"), &guest.path("precious"));
    assert_ne!(document, redefined);
    guest.create_xml(&redefined, REDEFINE).unwrap();
    guest.delete("s2", 0).unwrap();
    assert_eq!(fs::read(guest.path("precious")).unwrap(), b"precious");
}

#[test]
fn a_copy_that_another_domain_names_stays() {
    let guest = furnished(0);
    let definition = guest.domain.definition(true).unwrap();
    let document = guest.xml("s1");
    let (start, end) = (definition.find("<uuid>"), definition.find("</uuid>"));
    let uuid = &definition[start.unwrap()..end.unwrap()];
    let other = |text: &str| {
        let uuid_of_other = "<uuid>11111111-2222-3333-4444-555555555555";
        let text = text.replace(uuid, uuid_of_other);
        text.replace("<name>guest<", "<name>other<")
    };
    let domain = guest.connection.define(&other(&definition)).unwrap();
    let flags = CreateFlags::new(REDEFINE, "test").unwrap();
    domain
        .create(&other(&document), flags, guest.connection.redefine_rules())
        .unwrap();
    guest.delete("s1", 0).unwrap();
    guest.delete("s2", 0).unwrap();
    assert_eq!(copies(&guest), ["vars.fd.s1", "vars.fd.s3"]);
}

#[test]
fn variables_are_made_anew_of_their_template() {
    let guest = furnished(0);
    let error = refusal(revert_with(&guest, "s1", RESET_NVRAM));
    assert!(error.contains("names no template"), "{error}");
    assert_shows(&guest, 9);

    let template = tempfile::NamedTempFile::new().unwrap();
    fs::write(template.path(), "factory").unwrap();
    let attribute = format!("template='{}'", template.path().display());
    let guest = Guest::with_firmware(&[("vda", "qcow2")], &attribute);
    mark(&guest, 1);
    guest.create("s1", "", 0).unwrap();
    mark(&guest, 2);
    revert_with(&guest, "s1", RESET_NVRAM).unwrap();
    assert_eq!(guest.content("vda"), [1; 3]);
    assert_eq!(fs::read(guest.path("vars.fd")).unwrap(), b"factory");
    assert_eq!(
        fs::read(guest.path("tpm/tpm2-00.permall")).unwrap(),
        [1; 700]
    );
    fs::remove_file(template.path()).unwrap();
    let error = refusal(revert_with(&guest, "s1", RESET_NVRAM));
    assert!(error.contains("is missing"), "{error}");
    // Nothing to reset is no error, as in libvirt.
    let plain = Guest::new(&[("vda", "qcow2")]);
    plain.create("s1", "", 0).unwrap();
    revert_with(&plain, "s1", RESET_NVRAM).unwrap();
}

#[test]
fn variables_in_a_qcow2_image_are_one_more_image() {
    let guest = Guest::with_firmware(&[("vda", "qcow2")], "format='qcow2'");
    let vars = guest.path("vars.fd");
    let put = |byte: u8| {
        guest.write("vda", byte, 3);
        fs::write(guest.path("tpm/tpm2-00.permall"), [byte]).unwrap();
        let write = format!("write -q -P {byte} 0 64k");
        let output = crate::guest::qemu("qemu-io", &["-f", "qcow2", "-c", &write, &vars]);
        assert!(output.status.success(), "{output:?}");
    };
    let shows = |byte: u8| {
        let read = format!("read -q -P {byte} 0 64k");
        let output = crate::guest::qemu("qemu-io", &["-f", "qcow2", "-c", &read, &vars]);
        let tpm = fs::read(guest.path("tpm/tpm2-00.permall")).unwrap();
        output.status.success() && guest.content("vda") == [byte; 3] && tpm == [byte]
    };
    let inside = || {
        let listed = crate::guest::qemu("qemu-img", &["snapshot", "-l", &vars]);
        let text = String::from_utf8(listed.stdout).unwrap();
        ["s1", "s2"].map(|name| text.contains(name))
    };
    qemu_img(&["create", "-q", "-f", "qcow2", &vars, "1M"]);
    for (byte, name) in [(1, "s1"), (2, "s2")] {
        put(byte);
        guest.create(name, "", 0).unwrap();
    }
    assert_eq!(inside(), [true, true]);
    put(9);
    for (name, byte) in [("s1", 1), ("s2", 2)] {
        guest.revert(name).unwrap();
        assert!(shows(byte), "{name}");
    }
    let error = refusal(revert_with(&guest, "s1", RESET_NVRAM));
    assert!(error.contains("qcow2 image is not supported"), "{error}");
    guest.delete("s1", 0).unwrap();
    assert_eq!(inside(), [false, true]);
    // A snapshot with overlays keeps a copy of the image: nothing stands on it.
    put(3);
    guest.create("s3", "", DISK_ONLY).unwrap();
    put(4);
    guest.revert("s3").unwrap();
    assert!(shows(3));
}

#[test]
fn hostile_state_is_refused_before_anything_is_done() {
    let guest = Guest::with_firmware(&[("vda", "qcow2")], "");
    let before = guest.files();
    fs::create_dir(guest.path("tpm/below")).unwrap();
    let error = refusal(guest.create("s1", "", 0));
    assert!(error.contains("holds 'below'"), "{error}");
    fs::remove_dir(guest.path("tpm/below")).unwrap();
    fs::rename(guest.path("vars.fd"), guest.path("aside")).unwrap();
    std::os::unix::fs::symlink(guest.path("aside"), guest.path("vars.fd")).unwrap();
    let error = refusal(guest.create("s1", "", 0));
    assert!(error.contains("no regular file"), "{error}");
    fs::rename(guest.path("aside"), guest.path("vars.fd")).unwrap();
    assert_eq!(guest.files(), before);
    guest.create("s1", "", 0).unwrap();
}
