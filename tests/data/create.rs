//! External and mixed snapshots of shut-off domains: overlays made, switched to, or nothing done.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use virsnap::error::Number;

use crate::guest::{
    DISK_ONLY, Guest, NO_METADATA, REUSE_EXT, check, format_of, image, qemu_img, refusal, source_of,
};

fn external(target: &str) -> String {
    format!("<disk name='{target}' snapshot='external'/>")
}

fn left_out(target: &str) -> String {
    format!("<disk name='{target}' snapshot='no'/>")
}

#[test]
fn d23_the_guest_goes_on_in_an_overlay() {
    let guest = Guest::new(&[("vda", "qcow2"), ("vdb", "raw")]);
    guest.write("vda", 1, 3);
    guest.write("vdb", 2, 3);
    guest.create("s", "", DISK_ONLY).unwrap();
    for (target, before, format) in [("vda", 1, "qcow2"), ("vdb", 2, "raw")] {
        let overlay = guest.path(&format!("{target}.s"));
        let definition = guest.domain.definition(true).unwrap();
        assert_eq!(source_of(&definition, target), overlay);
        assert_eq!(format_of(&definition, target), "qcow2");
        let info = crate::guest::qemu("qemu-img", &["info", "--output=json", &overlay]);
        let info = String::from_utf8(info.stdout).unwrap();
        assert!(
            info.contains(&format!("\"backing-filename-format\": \"{format}\"")),
            "{info}"
        );
        assert!(
            info.contains(&format!(
                "\"full-backing-filename\": \"{}\"",
                guest.path(&format!("{target}.img"))
            )),
            "{info}"
        );
        // D23: nobody else may read it.
        let mode = fs::metadata(&overlay).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(guest.content(target), [before; 3]);
        guest.write(target, 9, 2);
        assert_eq!(guest.content(target), [9, 9, before]);
        assert_eq!(guest.content_of("s", target), [before; 3]);
    }
    let document = guest.xml("s");
    assert!(document.contains("<state>shutoff</state>"), "{document}");
    assert!(document.contains("cache='none'"), "{document}");
    assert_eq!(guest.differences(None), [""; 0]);
}

#[test]
fn d79_modes_are_mixed_as_the_caller_says() {
    let guest = Guest::new(&[
        ("vda", "qcow2"),
        ("vdb", "raw"),
        ("vdc", "qcow2"),
        ("vdd", "raw"),
    ]);
    let disks = "<disk name='vda' snapshot='internal'/>".to_owned()
        + &external("vdb")
        + &left_out("vdc")
        + "<disk name='vdd' snapshot='manual'/>";
    guest.write("vda", 1, 3);
    guest.write("vdb", 2, 3);
    guest.create("s", &disks, DISK_ONLY).unwrap();
    assert_eq!(guest.active("vda"), guest.path("vda.img"));
    assert_eq!(guest.active("vdb"), guest.path("vdb.s"));
    assert_eq!(guest.active("vdc"), guest.path("vdc.img"));
    assert_eq!(guest.active("vdd"), guest.path("vdd.img"));
    guest.write("vda", 8, 3);
    guest.write("vdb", 9, 3);
    assert_eq!(guest.content_of("s", "vda"), [1; 3]);
    assert_eq!(guest.content_of("s", "vdb"), [2; 3]);
    guest.revert("s").unwrap();
    assert_eq!(guest.content("vda"), [1; 3]);
    assert_eq!(guest.content("vdb"), [2; 3]);
    guest.delete("s", 0).unwrap();
    assert_eq!(guest.content("vda"), [1; 3]);
    assert_eq!(guest.content("vdb"), [2; 3]);
    assert_eq!(guest.active("vdb"), guest.path("vdb.img"));
    assert_eq!(guest.files(), ["vda.img", "vdb.img", "vdc.img", "vdd.img"]);
}

#[test]
fn read_only_disks_and_empty_drives_are_left_out() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = |file: &str| directory.path().join(file).to_str().unwrap().to_owned();
    for file in ["a.qcow2", "ro.qcow2"] {
        qemu_img(&["create", "-q", "-f", "qcow2", &path(file), "8M"]);
    }
    qemu_img(&["create", "-q", "-f", "raw", &path("cd.iso"), "8M"]);
    let devices = format!(
        "<disk type='file'><driver type='qcow2'/><source file='{}'/><target dev='vda'/></disk>\
         <disk type='file'><driver type='qcow2'/><source file='{}'/><target dev='vdb'/><readonly/></disk>\
         <disk type='file' device='cdrom'><source file='{}'/><target dev='sda'/></disk>\
         <disk type='file' device='cdrom'><target dev='sdb'/></disk>",
        path("a.qcow2"),
        path("ro.qcow2"),
        path("cd.iso"),
    );
    let guest = Guest::with_devices(directory, &devices);
    guest.create("s", "", DISK_ONLY).unwrap();
    assert_eq!(guest.active("vda"), guest.path("a.s"));
    assert_eq!(guest.active("vdb"), guest.path("ro.qcow2"));
    assert_eq!(guest.active("sda"), guest.path("cd.iso"));
    guest.revert("s").unwrap();
    assert_eq!(guest.active("sda"), guest.path("cd.iso"));
    guest.delete("s", 0).unwrap();
    assert_eq!(guest.active("vda"), guest.path("a.qcow2"));
    assert_eq!(guest.files(), ["a.qcow2", "cd.iso", "ro.qcow2"]);
}

#[test]
fn paths_and_drivers_may_be_given() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    fs::create_dir(guest.path("odd dir, é")).unwrap();
    let path = guest.path("odd dir, é/a,b=c'&amp;.over");
    let disk = format!(
        "<disk name='vda' snapshot='external'><driver type='qcow2'/><source file=\"{path}\"/></disk>"
    );
    guest.write("vda", 1, 3);
    guest.create("s", &disk, DISK_ONLY).unwrap();
    let real = path.replace("&amp;", "&");
    assert!(image(&real).exists());
    assert!(
        guest
            .domain
            .definition(true)
            .unwrap()
            .contains("a,b=c&apos;&amp;.over")
    );
    assert_eq!(guest.differences(None), [""; 0]);
    // The overlay is a base itself.
    let other = format!(
        "<disk name='vda'><source file='{}'/></disk>",
        guest.path("t")
    );
    guest.create("t", &other, DISK_ONLY).unwrap();
    guest.write("vda", 2, 1);
    assert_eq!(guest.differences(None), [""; 0]);
    assert_eq!(guest.content("vda"), [2, 1, 1]);
    guest.delete("s", 0).unwrap();
    guest.delete("t", 0).unwrap();
    assert_eq!(guest.content("vda"), [2, 1, 1]);
    assert!(!image(&real).exists());
}

#[test]
fn a_block_of_what_stands_there_is_never_overwritten() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    fs::write(guest.path("vda.s"), "somebody's").unwrap();
    let error = guest.create("s", "", DISK_ONLY).unwrap_err();
    assert_eq!(error.number(), Number::ConfigUnsupported);
    assert_eq!(
        error.to_string(),
        format!(
            "external snapshot file for disk vda already exists and is not a block device: {}",
            guest.path("vda.s")
        )
    );
    assert_eq!(fs::read(guest.path("vda.s")).unwrap(), b"somebody's");
    fs::remove_file(guest.path("vda.s")).unwrap();
    fs::create_dir(guest.path("vda.s")).unwrap();
    assert!(refusal(guest.create("s", "", DISK_ONLY)).starts_with("mismatch between"));
    fs::remove_dir(guest.path("vda.s")).unwrap();
    // An empty one is taken.
    fs::write(guest.path("vda.s"), "").unwrap();
    guest.create("s", "", DISK_ONLY).unwrap();
    assert_eq!(guest.differences(None), [""; 0]);
    assert_eq!(guest.names(), ["s"]);
}

#[test]
fn a_failing_disk_undoes_the_others() {
    let guest = Guest::new(&[("vda", "qcow2"), ("vdb", "qcow2")]);
    let definition = guest.domain.definition(true).unwrap();
    let missing = guest.path("no/dir/over");
    let disks = external("vda")
        + &format!("<disk name='vdb' snapshot='external'><source file='{missing}'/></disk>");
    let message = refusal(guest.create("s", &disks, DISK_ONLY));
    assert!(
        message.contains("disk 'vdb'") && message.contains("No such file"),
        "{message}"
    );
    assert_eq!(guest.files(), ["vda.img", "vdb.img"]);
    assert_eq!(guest.names(), [""; 0]);
    assert_eq!(guest.domain.definition(true).unwrap(), definition);
    // The internal half of a mixture goes too.
    let mixed = "<disk name='vda' snapshot='internal'/>".to_owned()
        + &format!("<disk name='vdb' snapshot='external'><source file='{missing}'/></disk>");
    guest.create("s", &mixed, DISK_ONLY).unwrap_err();
    let list = crate::guest::qemu("qemu-img", &["snapshot", "-l", &guest.path("vda.img")]);
    assert!(list.stdout.is_empty(), "{list:?}");
}

#[test]
fn an_existing_overlay_must_be_one_of_the_disk() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    let over = guest.path("vda.s");
    let create = |name: &str| guest.create(name, &external("vda"), DISK_ONLY | REUSE_EXT);
    let missing = create("s").unwrap_err();
    assert_eq!(missing.number(), Number::SystemError);
    assert_eq!(
        missing.to_string(),
        format!(
            "missing existing file for disk vda: {over}: No such file or directory (os error 2)"
        )
    );
    qemu_img(&["create", "-q", "-f", "qcow2", &over, "8M"]);
    assert!(refusal(create("s")).contains("it has no backing file"));
    qemu_img(&[
        "rebase",
        "-u",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        &guest.path("vda.img"),
        &over,
    ]);
    assert!(refusal(create("s")).contains("it reads its backing file as 'raw'"));
    qemu_img(&[
        "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "vda.img", &over,
    ]);
    assert!(image(&over).exists());
    create("s").unwrap();
    assert_eq!(guest.active("vda"), over);
    assert_eq!(guest.differences(None), [""; 0]);
}

#[test]
fn without_metadata_only_the_definition_changes() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    guest.write("vda", 1, 3);
    guest
        .create(
            "a/b",
            &format!(
                "<disk name='vda'><source file='{}'/></disk>",
                guest.path("o")
            ),
            DISK_ONLY | NO_METADATA,
        )
        .unwrap();
    assert_eq!(guest.names(), [""; 0]);
    assert_eq!(guest.active("vda"), guest.path("o"));
    assert_eq!(guest.content("vda"), [1; 3]);
}

#[test]
fn a_chain_has_an_end() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    let mut below = guest.path("vda.img");
    for layer in 0..199 {
        let above = guest.path(&format!("l{layer}"));
        qemu_img(&[
            "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", &below, &above, "8M",
        ]);
        below = above;
    }
    let definition = guest.domain.definition(true).unwrap();
    let deep = definition.replace(&guest.path("vda.img"), &below);
    guest.connection.define(&deep).unwrap();
    let error = guest.create("s", &external("vda"), DISK_ONLY).unwrap_err();
    assert_eq!(error.number(), Number::OperationUnsupported);
    assert_eq!(
        error.to_string(),
        "backing chains more than 200 layers deep are not supported for disk 'vda'"
    );
    let shorter = definition.replace(&guest.path("vda.img"), &guest.path("l197"));
    guest.connection.define(&shorter).unwrap();
    guest.create("s", &external("vda"), DISK_ONLY).unwrap();
    check(&image(&guest.active("vda")));
}

#[test]
fn what_libvirt_refuses_is_refused_in_its_words() {
    let guest = Guest::new(&[("vda", "qcow2"), ("vdb", "qcow2")]);
    let twice = format!(
        "<disk name='vda'><source file='{0}'/></disk><disk name='vdb'><source file='{0}'/></disk>",
        guest.path("x")
    );
    for (disks, message) in [
        (
            "<disk name='vda' snapshot='external'><driver type='raw'/></disk>".to_owned(),
            "external snapshot format for disk vda is unsupported: raw".to_owned(),
        ),
        (
            left_out("vda") + &left_out("vdb"),
            "nothing selected for snapshot".to_owned(),
        ),
        (
            format!(
                "<disk name='vda' type='network'><source protocol='nbd' name='e'><host name='h'/></source></disk>{}",
                left_out("vdb")
            ),
            "external inactive snapshots are not supported on 'network' disks".to_owned(),
        ),
        (
            "<disk name='vda' type='block'><source dev='/dev/virsnap-none'/></disk>".to_owned(),
            "block device snapshot target '/dev/virsnap-none' doesn't exist".to_owned(),
        ),
        (
            twice,
            format!(
                "disks 'vda' and 'vdb' cannot both have the image '{}'",
                guest.path("x")
            ),
        ),
    ] {
        assert_eq!(refusal(guest.create("s", &disks, DISK_ONLY)), message);
    }
    assert_eq!(guest.files(), ["vda.img", "vdb.img"]);
}

#[test]
fn a_format_is_never_guessed_for_a_guest() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    let definition = guest.domain.definition(true).unwrap();
    let unsaid = definition.replace(" type='qcow2' cache", " cache");
    assert_ne!(unsaid, definition);
    guest.connection.define(&unsaid).unwrap();
    let message = refusal(guest.create("s", &external("vda"), DISK_ONLY));
    assert!(
        message.contains("its definition has no <driver type>"),
        "{message}"
    );
}
