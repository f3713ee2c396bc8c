//! REDEFINE is checked against the data (docs/differences.md, D24).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use virsnap::error::{Number, Origin};

use crate::guest::{Guest, METADATA_ONLY, REDEFINE, qemu_img, refusal};

/// A guest with one disk, the document of its snapshot `s`, which is gone from the metadata.
fn with_document() -> (Guest, String) {
    let guest = Guest::new(&[("vda", "qcow2"), ("vdb", "qcow2")]);
    guest.create("s", "", 0).unwrap();
    let document = guest.xml("s");
    guest.delete("s", METADATA_ONLY).unwrap();
    (guest, document)
}

#[test]
fn data_that_is_there_is_taken() {
    let (guest, document) = with_document();
    assert_eq!(guest.differences(Some(&document)), [""; 0]);
    guest.create_xml(&document, REDEFINE).unwrap();
    assert_eq!(guest.names(), ["s"]);
    assert_eq!(guest.differences(None), [""; 0]);
}

#[test]
fn d24_an_image_that_lacks_the_snapshot_is_named_and_nothing_is_defined() {
    let (guest, document) = with_document();
    qemu_img(&["snapshot", "-d", "s", &guest.path("vdb.img")]);
    let error = guest.create_xml(&document, REDEFINE).unwrap_err();
    assert_eq!(
        (error.number(), error.origin()),
        (Number::ConfigUnsupported, Origin::Driver)
    );
    assert_eq!(
        error.to_string(),
        format!(
            "snapshot 's' of domain 'guest' does not agree with its data: disk 'vdb', image '{}': \
             it holds no snapshot named 's'",
            guest.path("vdb.img")
        )
    );
    assert_eq!(guest.names(), [""; 0]);
}

#[test]
fn every_difference_is_listed() {
    let (guest, document) = with_document();
    qemu_img(&["snapshot", "-c", "s", &guest.path("vda.img")]);
    fs::remove_file(guest.path("vdb.img")).unwrap();
    let expected = [
        "s Differs \"vda\" vda.img: it holds 2 snapshots named 's'",
        "s Differs \"vdb\" vdb.img: there is no such file",
    ];
    assert_eq!(guest.differences(Some(&document)), expected);
    let message = refusal(guest.create_xml(&document, REDEFINE));
    assert!(
        message.ends_with("it holds 2 snapshots named 's' (1 more)"),
        "{message}"
    );
}

#[test]
fn what_cannot_be_reached_is_defined_and_reported() {
    let (guest, document) = with_document();
    let document = document.replace(&guest.path("vdb.img"), "/no/such/directory/vdb.img");
    let expected =
        ["s Unchecked \"vdb\" vdb.img: cannot be reached from here: its directory is missing"];
    assert_eq!(guest.differences(Some(&document)), expected);
    guest.create_xml(&document, REDEFINE).unwrap();
    assert_eq!(guest.differences(None), expected);
}

#[test]
fn disks_that_are_no_files_are_reported() {
    let (guest, document) = with_document();
    let from = format!(
        "<disk type='file'><driver name='qemu' type='qcow2' cache='none'/><source file='{}'/>",
        guest.path("vdb.img")
    );
    assert!(document.contains(&from), "{document}");
    let document = document.replace(
        &from,
        "<disk type='network'><source protocol='nbd' name='e'><host name='h'/></source>",
    );
    let expected = ["s Unchecked \"vdb\" : cannot be reached from here: a disk of type 'network'"];
    assert_eq!(guest.differences(Some(&document)), expected);
    guest.create_xml(&document, REDEFINE).unwrap();
}

#[test]
fn a_file_that_is_no_qcow2_is_a_difference() {
    let (guest, document) = with_document();
    fs::write(guest.path("vda.img"), [0; 4096]).unwrap();
    assert_eq!(
        guest.differences(Some(&document)),
        ["s Differs \"vda\" vda.img: not a qcow2 image"]
    );
}

#[test]
fn the_uri_says_how_strict() {
    for parameters in ["?redefine_check=warn", "?redefine_check=trust"] {
        let (mut guest, document) = with_document();
        qemu_img(&["snapshot", "-d", "s", &guest.path("vda.img")]);
        guest.reopened(parameters);
        guest.create_xml(&document, REDEFINE).unwrap();
        assert_eq!(guest.names(), ["s"]);
        assert_eq!(
            guest.differences(None),
            ["s Differs \"vda\" vda.img: it holds no snapshot named 's'"]
        );
    }
}

/// A redefinable document of an external snapshot of `base.img` with its overlay `over.img`.
fn external(guest: &Guest) -> String {
    let definition = guest.domain.definition(true).unwrap();
    format!(
        "<domainsnapshot><name>e</name><state>shutoff</state><creationTime>5</creationTime>\
         <disks><disk name='vda' snapshot='external'><driver type='qcow2'/><source file='{}'/>\
         </disk></disks>{definition}</domainsnapshot>",
        guest.path("over.img")
    )
}

fn overlay(guest: &Guest, backing: &str, format: &str) {
    let arguments = ["create", "-q", "-f", "qcow2", "-F", format, "-u", "-b"];
    let path = guest.path("over.img");
    qemu_img(&[&arguments[..], &[backing, &path, "8M"]].concat());
}

#[test]
fn an_overlay_must_name_its_base() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    let document = external(&guest);
    let found = |guest: &Guest| guest.differences(Some(&document));
    assert_eq!(
        found(&guest),
        ["e Differs \"vda\" over.img: there is no such file"]
    );
    overlay(&guest, "/elsewhere.img", "qcow2");
    assert_eq!(
        found(&guest),
        [
            "e Differs \"vda\" over.img: its backing file is '/elsewhere.img', '/vda.img' is expected"
        ]
    );
    overlay(&guest, "vda.img", "raw");
    assert_eq!(
        found(&guest),
        ["e Differs \"vda\" over.img: it reads its backing file as 'raw', 'qcow2' is expected"]
    );
    overlay(&guest, "nbd://host/e", "raw");
    assert_eq!(
        found(&guest),
        ["e Differs \"vda\" over.img: its backing file is 'nbd://host/e', '/vda.img' is expected"]
    );
    qemu_img(&["create", "-q", "-f", "qcow2", &guest.path("over.img"), "8M"]);
    assert_eq!(
        found(&guest),
        ["e Differs \"vda\" over.img: it has no backing file, '/vda.img' is expected"]
    );
    // Relative names are taken from the overlay's own directory.
    overlay(&guest, "vda.img", "qcow2");
    assert_eq!(found(&guest), [""; 0]);
    guest.create_xml(&document, REDEFINE).unwrap();
}

#[test]
fn the_chain_below_is_followed_to_its_end() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    let (base, below) = (guest.path("vda.img"), guest.path("below.raw"));
    overlay(&guest, &base, "qcow2");
    qemu_img(&[
        "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", &below, &base,
    ]);
    let document = external(&guest);
    assert_eq!(
        guest.differences(Some(&document)),
        ["e Differs \"vda\" below.raw: there is no such file"]
    );
    qemu_img(&[
        "rebase",
        "-u",
        "-f",
        "qcow2",
        "-F",
        "qcow2",
        "-b",
        &guest.path("over.img"),
        &base,
    ]);
    assert_eq!(
        guest.differences(Some(&document)),
        ["e Differs \"vda\" vda.img: the backing chain comes back to it"]
    );
    fs::write(&below, [0; 512]).unwrap();
    qemu_img(&[
        "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", &below, &base,
    ]);
    guest.create_xml(&document, REDEFINE).unwrap();
}

#[test]
fn a_memory_file_must_be_there() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    let file = guest.path("memory");
    let document = external(&guest).replace("shutoff", "running").replace(
        "<disks>",
        &format!("<memory snapshot='external' file='{file}'/><disks>"),
    );
    overlay(&guest, "vda.img", "qcow2");
    let found = || guest.differences(Some(&document));
    assert_eq!(
        found(),
        ["e Differs \"memory\" memory: there is no such file"]
    );
    fs::write(&file, "").unwrap();
    assert_eq!(found(), ["e Differs \"memory\" memory: the file is empty"]);
    fs::write(&file, "LibvirtQemudSave").unwrap();
    assert_eq!(found(), [""; 0]);
}

// docs/differences.md, D4: libvirt 9.0 crashes.
#[test]
fn a_document_without_definition_and_path_is_no_crash() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    overlay(&guest, "vda.img", "qcow2");
    guest.create_xml(&external(&guest), REDEFINE).unwrap();
    let bare = "<domainsnapshot><name>e</name><state>shutoff</state><creationTime>5</creationTime>\
                <disks><disk name='vda' snapshot='external'/></disks></domainsnapshot>";
    guest.create_xml(bare, REDEFINE).unwrap();
    assert!(guest.xml("e").contains("<domain "));
}

#[test]
fn an_image_that_another_process_has_open_is_read() {
    let (guest, document) = with_document();
    let path = guest.path("vda.img");
    let mut writer = std::process::Command::new("qemu-io")
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Its prompt: the image is open, and locked.
    let mut prompt = [0; 7];
    std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut prompt).unwrap();
    let locked = std::process::Command::new("qemu-img")
        .args(["snapshot", "-l", &path])
        .output();
    assert!(!locked.unwrap().status.success());
    let defined = guest.create_xml(&document, REDEFINE);
    drop(writer.stdin.take());
    writer.wait().unwrap();
    defined.unwrap();
}

#[test]
fn an_image_that_may_not_be_read_is_unchecked() {
    let (guest, document) = with_document();
    let path = guest.path("vda.img");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let found = guest.differences(Some(&document));
    // Root reads everything.
    if rustix::process::geteuid().is_root() {
        assert_eq!(found, [""; 0]);
    } else {
        assert_eq!(
            found,
            [
                "s Unchecked \"vda\" vda.img: cannot be reached from here: Permission denied (os error 13)"
            ]
        );
    }
}
