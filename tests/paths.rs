//! Names, paths and secrets: nothing leads out of the state directory, nothing that stands there is
//! followed, no name means anything to a program, and no password leaves unasked.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test may fail like a test"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use virsnap::error::Error;
use virsnap::ops::{
    Access, Connection, CreateFlags, DeleteFlags, Domain, ListFlags, RedefineRules, RevertFlags,
};

const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";

fn definition(name: &str, devices: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name><uuid>{UUID}</uuid><os><type>hvm</type></os>\
         <devices>{devices}</devices></domain>"
    )
}

fn document(name: &str) -> String {
    format!(
        "<domainsnapshot><name>{name}</name><state>shutoff</state>\
         <creationTime>5</creationTime>{}</domainsnapshot>",
        definition("d", "")
    )
}

fn connect(state: &Path, access: Access) -> Result<Arc<Connection>, Error> {
    Connection::open(&format!("virsnap://{}", state.display()), access)
}

fn domain(state: &Path) -> Arc<Domain> {
    let connection = connect(state, Access::ReadWrite).unwrap();
    connection.define(&definition("d", "")).unwrap()
}

fn create(domain: &Domain, xml: &str, bits: u32) -> Result<Arc<str>, Error> {
    let flags = CreateFlags::new(bits, "test").unwrap();
    domain.create(xml, flags, RedefineRules::default())
}

fn redefine(domain: &Domain, name: &str) -> Result<Arc<str>, Error> {
    create(domain, &document(name), 1)
}

fn delete(domain: &Domain, name: &str) -> Result<(), Error> {
    domain.delete(name, DeleteFlags::new(0, "test").unwrap())
}

fn names(domain: &Domain) -> Vec<Arc<str>> {
    let found = domain.list(ListFlags::new(0, "test").unwrap()).unwrap();
    found.into_iter().map(|found| found.name).collect()
}

/// Every path below a directory, with mode and content.
fn everything(base: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![base.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let bytes = if metadata.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            let mode = metadata.permissions().mode() & 0o7777;
            found.push((path.display().to_string(), mode, bytes));
            if metadata.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let base = tempfile::tempdir().unwrap();
    let state = base.path().join("state");
    let domain = domain(&state);
    for name in ["..", ".", "../../x", "a/b", "/etc/passwd", ".hidden"] {
        let error = redefine(&domain, name).unwrap_err();
        assert!(matches!(error, Error::SnapshotName { .. }), "{error}");
        let connection = connect(&state, Access::ReadWrite).unwrap();
        let xml = definition(name, "").replace(UUID, "00000000-edaf-9455-926a-d65c16db1809");
        let error = connection.define(&xml).err().unwrap();
        assert!(matches!(error, Error::DomainName { .. }), "{error}");
        assert!(domain.lookup(name).is_err());
        assert!(delete(&domain, name).is_err());
    }
    let outside = fs::read_dir(base.path()).unwrap().count();
    assert_eq!(outside, 1, "something was made beside the state directory");
}

/// libvirt has them, and a tree that it wrote must be taken over whole.
#[test]
fn odd_names_that_libvirt_takes_are_taken() {
    let base = tempfile::tempdir().unwrap();
    let state = base.path().join("state");
    let odd = [
        "a\nb",
        "a\tb",
        "   ",
        "--help",
        "-d",
        "S1",
        "s1",
        "1",
        "'\"`$(x)\\",
        "%s%n",
        "ä",
        "\u{9b}31m",
        "a,b=c",
        "x.xml",
        "~",
    ];
    let known = domain(&state);
    for name in odd {
        let escaped = name.replace('&', "&amp;");
        assert_eq!(redefine(&known, &escaped).unwrap().as_ref(), name);
        let file = state.join("snapshot/d").join(format!("{name}.xml"));
        assert_eq!(
            fs::metadata(file).unwrap().permissions().mode() & 0o7777,
            0o600
        );
    }
    drop(known);
    let loaded = domain(&state);
    assert_eq!(names(&loaded).len(), odd.len());
    for name in odd {
        delete(&loaded, name).unwrap();
    }
    assert!(names(&loaded).is_empty());
}

#[test]
fn files_are_0600_and_directories_0700_whatever_the_umask() {
    let base = tempfile::tempdir().unwrap();
    let state = base.path().join("state");
    // In a shell of its own, because a umask is the whole process's.
    let script = "umask 000; exec \"$0\" --exact child_that_writes --nocapture";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("VIRSNAP_TEST_STATE", &state)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let found = everything(&state);
    assert!(found.iter().any(|(path, _, _)| path.ends_with("/s.xml")));
    for (path, mode, _) in found {
        let expected = if Path::new(&path).is_dir() {
            0o700
        } else {
            0o600
        };
        assert_eq!(mode, expected, "{path}");
    }
}

/// The other half of the test above.
#[test]
fn child_that_writes() {
    if let Some(state) = std::env::var_os("VIRSNAP_TEST_STATE") {
        redefine(&domain(Path::new(&state)), "s").unwrap();
    }
}

/// A link in a place where the library reads or writes, and what it points to.
#[test]
fn links_that_were_planted_are_not_followed() {
    for place in [
        "snapshot",
        "snapshot/d",
        "snapshot/d/s.xml",
        "domain",
        "domain/d.xml",
        "journal",
        "journal/d",
        "stage",
        "stage/d.0",
        "stage/d.before",
        "stage/.reserve.0",
        "lock",
        "lock/d",
    ] {
        let base = tempfile::tempdir().unwrap();
        let (state, outside) = (base.path().join("state"), base.path().join("outside"));
        redefine(&domain(&state), "s").unwrap();
        let path = state.join(place);
        let kept = base.path().join("kept");
        let is_dir = path.is_dir();
        match fs::symlink_metadata(&path) {
            Ok(_) => fs::rename(&path, &kept).unwrap(),
            Err(_) => fs::write(&kept, "").unwrap(),
        }
        if is_dir {
            fs::create_dir(&outside).unwrap();
            fs::write(outside.join("d.xml"), definition("d", "")).unwrap();
        } else {
            fs::write(
                &outside,
                document("s").replace("</domainsnapshot>", "<active>1</active></domainsnapshot>"),
            )
            .unwrap();
        }
        symlink(&outside, &path).unwrap();
        let (before, before_of_dir) = (fs::read(&outside).ok(), everything_if(&outside));
        if let Ok(connection) = connect(&state, Access::ReadWrite) {
            let defined = connection.define(&definition("d", ""));
            if let Ok(domain) = defined {
                let _ = redefine(&domain, "s");
                let _ = redefine(&domain, "t");
                let _ = delete(&domain, "s");
            }
        }
        assert_eq!(fs::read(&outside).ok(), before, "{place}");
        assert_eq!(everything_if(&outside), before_of_dir, "{place}");
    }
}

fn everything_if(path: &Path) -> Vec<(String, u32, Vec<u8>)> {
    if path.is_dir() {
        everything(path)
    } else {
        Vec::new()
    }
}

#[test]
fn a_fifo_in_any_place_blocks_nobody() {
    for place in [
        "snapshot/d/x.xml",
        "domain/x.xml",
        "journal/d",
        "journal/x",
        "stage/d.0",
        "stage/d.before",
        "stage/.reserve.0",
        "lock/d",
        "lock/x",
    ] {
        let base = tempfile::tempdir().unwrap();
        let state = base.path().join("state");
        redefine(&domain(&state), "s").unwrap();
        let path = state.join(place);
        let _ = fs::remove_file(&path);
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        // A wait for the FIFO's other end would be for ever, and the test's time limit tells.
        let Ok(connection) = connect(&state, Access::ReadWrite) else {
            continue;
        };
        if let Ok(domain) = connection.domain_by_name("d") {
            let _ = domain.list(ListFlags::new(0, "test").unwrap());
            let _ = redefine(&domain, "t");
            let _ = delete(&domain, "t");
        }
    }
}

#[test]
fn directories_that_others_can_write_to_are_refused() {
    for place in ["", "snapshot", "domain", "journal", "stage", "lock"] {
        for mode in [0o770, 0o707, 0o1777] {
            let base = tempfile::tempdir().unwrap();
            let state = base.path().join("state");
            redefine(&domain(&state), "s").unwrap();
            let path = state.join(place);
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let error = connect(&state, Access::ReadOnly).err().unwrap();
            let told =
                matches!(&error, Error::StateDirectory { path: told, .. } if told.ends_with(place));
            assert!(told, "{place} {mode:o}: {error}");
        }
    }
    let base = tempfile::tempdir().unwrap();
    let state = base.path().join("state");
    redefine(&domain(&state), "s").unwrap();
    fs::set_permissions(state.join("snapshot/d"), PermissionsExt::from_mode(0o777)).unwrap();
    let domain = connect(&state, Access::ReadWrite)
        .unwrap()
        .domain_by_name("d")
        .unwrap();
    let error = domain.current().unwrap_err();
    assert!(matches!(error, Error::StateDirectory { .. }), "{error}");
}

fn qemu_img(arguments: &[&str]) -> String {
    let output = Command::new("qemu-img").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Options, IDs of other snapshots, quotes: to `qemu-img` each is a name and nothing else.
#[test]
fn names_and_paths_mean_nothing_to_qemu_img() {
    let base = tempfile::tempdir().unwrap();
    let image = base
        .path()
        .join("a,b=c 'x'\"y\"\\;$(touch z),file.filename=q.qcow2");
    let plain = image.to_str().unwrap();
    let disk_xml = format!(
        "<disk type='file'><driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vda'/></disk>",
        plain.replace('&', "&amp;").replace('\'', "&apos;")
    );
    qemu_img(&["create", "-q", "-f", "qcow2", "--", plain, "1M"]);
    let connection = connect(&base.path().join("state"), Access::ReadWrite).unwrap();
    let domain = connection.define(&definition("d", &disk_xml)).unwrap();
    let odd = [
        "first",
        "1",
        "2",
        "-d",
        "--help",
        "-c",
        "snapshot.id=1",
        "id=1,name=2",
        "'\"`$(x)\\",
        "a\nb",
        "%s",
    ];
    for name in odd {
        let xml = format!("<domainsnapshot><name>{name}</name></domainsnapshot>");
        create(&domain, &xml, 0).unwrap();
    }
    // The image's own names, as JSON: odd ones would be hard to tell in a table.
    let told = qemu_img(&[
        "info",
        "--output=json",
        "--image-opts",
        &format!(
            "driver=qcow2,file.driver=file,file.filename={}",
            plain.replace(',', ",,")
        ),
    ]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let held = |told: &serde_json::Value| -> Vec<String> {
        let all = told["snapshots"].as_array().cloned().unwrap_or_default();
        all.iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(held(&told), odd);
    for name in odd {
        domain
            .revert(name, RevertFlags::new(0, "test").unwrap())
            .unwrap();
        assert_eq!(domain.current().unwrap().as_deref(), Some(name));
    }
    for (number, name) in odd.iter().enumerate() {
        delete(&domain, name).unwrap();
        assert_eq!(names(&domain).len(), odd.len() - number - 1);
    }
    let beside: Vec<_> = fs::read_dir(base.path()).unwrap().collect();
    assert_eq!(beside.len(), 2, "{beside:?}");
}

/// Secrets in every place that this library knows of, within elements that it does not know too.
#[test]
fn passwords_leave_with_secure_only() {
    let base = tempfile::tempdir().unwrap();
    let connection = connect(base.path(), Access::ReadWrite).unwrap();
    let source = "<source protocol='https' name='x'><host name='h'/>\
                  <cookies><cookie name='t'>geheim</cookie></cookies></source>";
    let graphics = "<graphics type='vnc' passwd='geheim'/>";
    let disk =
        format!("<disk type='network'><driver type='raw'/>{source}<target dev='vda'/></disk>");
    let definition = definition("d", &(graphics.to_owned() + &disk));
    let domain = connection.define(&definition).unwrap();
    let xml = format!(
        "<domainsnapshot xmlns:o='urn:o'><name>s</name><state>disk-snapshot</state><creationTime>5</creationTime>\
         <disks><disk name='vda' snapshot='external' type='network'>{source}</disk></disks>\
         <revertDisks><disk name='vda' snapshot='external' type='network'>{source}</disk></revertDisks>\
         {definition}{}<o:other>{graphics}{source}</o:other><other><deep>{graphics}</deep></other></domainsnapshot>",
        definition
            .replace("<domain", "<inactiveDomain")
            .replace("</domain", "</inactiveDomain")
    );
    create(&domain, &xml, 1).unwrap();
    let told = domain.snapshot_xml("s", true).unwrap();
    assert!(told.matches("geheim").count() >= 9, "{told}");
    let told = domain.snapshot_xml("s", false).unwrap();
    assert!(!told.contains("geheim"), "{told}");
    assert!(!domain.definition(false).unwrap().contains("geheim"));
    assert!(domain.definition(true).unwrap().contains("geheim"));
}

/// A stored document that cannot be read is told of to readers, too.
#[test]
fn passwords_are_in_no_error() {
    let base = tempfile::tempdir().unwrap();
    let domain = domain(base.path());
    let broken = "<domainsnapshot><name>s</name><graphics passwd='geheim' passwd='geheim'/>";
    let error = create(&domain, broken, 1).unwrap_err().to_string();
    assert!(!error.contains("geheim"), "{error}");
    redefine(&domain, "good").unwrap();
    drop(domain);
    fs::write(base.path().join("snapshot/d/s.xml"), broken).unwrap();
    let connection = connect(base.path(), Access::ReadOnly).unwrap();
    let domain = connection.domain_by_name("d").unwrap();
    assert_eq!(domain.problems().unwrap().len(), 1);
    for problem in domain.problems().unwrap() {
        assert!(!problem.line().contains("geheim"), "{}", problem.line());
    }
}
