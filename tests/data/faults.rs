//! Every `qemu-img` that an operation starts fails, or the process dies before or after it: then the
//! operation is done or not done, on every image, in the definition and in the tree.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use tempfile::TempDir;
use virsnap::error::Result;
use virsnap::ops::{Access, Connection, CreateFlags, DeleteFlags, Domain, RevertFlags};

use crate::guest::{CHILDREN, DISK_ONLY, Guest, everything, qemu};

const TARGETS: [&str; 2] = ["vda", "vdb"];

/// Stands in front of `qemu-img` in the PATH. Counts its calls in the directory $VIRSNAP_CALLS, in which
/// two that run side by side cannot make the same name; does what $VIRSNAP_FAULT says at call $VIRSNAP_AT.
const WRAPPER: &str = r#"#!/bin/sh
call=1
until mkdir "$VIRSNAP_CALLS/$call" 2>/dev/null; do
    [ -d "$VIRSNAP_CALLS" ] || exit 1
    call=$((call + 1))
done
if [ "$VIRSNAP_FAULT" = refuse-all ] && [ "$call" -ge "$VIRSNAP_AT" ]; then
    echo "qemu-img: refused" >&2
    exit 1
elif [ "$call" -eq "$VIRSNAP_AT" ]; then
    case $VIRSNAP_FAULT in
        refuse) echo "qemu-img: refused" >&2; exit 1;;
        die) kill -9 $PPID; exit 1;;
        die-late) "$VIRSNAP_QEMU_IMG" "$@"; kill -9 $PPID; exit 1;;
    esac
fi
exec "$VIRSNAP_QEMU_IMG" "$@"
"#;

/// What can be seen of a guest: its snapshots, what each of them and the guest show, how many files
/// there are.
#[derive(Debug, PartialEq, Eq)]
struct View {
    names: Vec<String>,
    current: Option<String>,
    contents: BTreeMap<(String, String), Vec<u8>>,
    /// How many internal snapshots each of the guest's images holds.
    tables: Vec<usize>,
    files: usize,
    differences: Vec<String>,
}

impl View {
    fn of(guest: &Guest) -> View {
        View {
            names: guest.names(),
            current: guest.domain.current().unwrap().map(|name| name.to_string()),
            contents: everything(guest, &TARGETS).into_iter().collect(),
            tables: TARGETS
                .iter()
                .map(|target| held(&guest.active(target)))
                .collect(),
            files: guest.files().len(),
            differences: guest.differences(None),
        }
    }
}

/// A guest's directory, and what was in it at first.
struct World {
    directory: Arc<TempDir>,
    first: TempDir,
}

impl World {
    fn new(directory: Arc<TempDir>) -> World {
        let first = TempDir::new().unwrap();
        copy(directory.path(), first.path());
        World { directory, first }
    }

    /// Everything is as at first: the paths, too, which images have in them.
    fn restore(&self) {
        for entry in fs::read_dir(self.directory.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        copy(self.first.path(), self.directory.path());
    }

    /// What the domain is like once it has been opened anew and somebody has become its writer.
    fn settled(&self) -> View {
        let guest = Guest::of(&self.directory);
        // Refused, but a writer's first act is to finish or undo what was cut off.
        let refused = guest.delete("no such snapshot", 0).unwrap_err();
        assert!(
            refused.to_string().contains("no such snapshot"),
            "{refused}"
        );
        View::of(&guest)
    }
}

/// How many internal snapshots an image holds, by QEMU's own count.
fn held(image: &str) -> usize {
    let output = qemu("qemu-img", &["snapshot", "-l", "-U", image]);
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    // A title and a line of headings, if there is any.
    table.lines().count().saturating_sub(2)
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// s1 (internal on vda, external on vdb), s2 and s3 (external), and a guest that went on.
fn layered() -> Arc<TempDir> {
    let guest = Guest::new(&[("vda", "qcow2"), ("vdb", "raw")]);
    let mixed = "<disk name='vda' snapshot='internal'/><disk name='vdb' snapshot='external'/>";
    for (name, disks, pattern) in [("s1", mixed, 1), ("s2", "", 2), ("s3", "", 3)] {
        for target in TARGETS {
            guest.write(target, pattern, 3);
        }
        guest.create(name, disks, DISK_ONLY).unwrap();
    }
    guest.write("vda", 4, 2);
    guest.write("vdb", 4, 1);
    Arc::clone(&guest.directory)
}

/// s1 and s2, internal on both disks, and a guest that went on.
fn internal() -> Arc<TempDir> {
    let guest = Guest::new(&[("vda", "qcow2"), ("vdb", "qcow2")]);
    for (name, pattern) in [("s1", 1), ("s2", 2)] {
        for target in TARGETS {
            guest.write(target, pattern, 3);
        }
        guest.create(name, "", 0).unwrap();
    }
    guest.write("vda", 4, 2);
    guest.write("vdb", 4, 1);
    Arc::clone(&guest.directory)
}

/// The operations, by name.
fn perform(domain: &Domain, connection: &Connection, operation: &str) -> Result<()> {
    let create = |disks: &str| {
        let xml = format!("<domainsnapshot><name>new</name>{disks}</domainsnapshot>");
        let flags = CreateFlags::new(DISK_ONLY, "test").unwrap();
        let created = domain.create(&xml, flags, connection.redefine_rules());
        created.map(drop)
    };
    let revert = |name| domain.revert(name, RevertFlags::new(0, "test").unwrap());
    let delete = |name, flags| domain.delete(name, DeleteFlags::new(flags, "test").unwrap());
    match operation {
        "create" => create(
            "<disks><disk name='vda' snapshot='internal'/><disk name='vdb' snapshot='external'/></disks>",
        ),
        "create external" => create(""),
        "revert to a copy" => revert("s1"),
        "revert" => revert("s2"),
        "delete" => delete("s2", 0),
        "delete the current" => delete("s3", 0),
        "delete all" => delete("s1", CHILDREN),
        other => panic!("no operation '{other}'"),
    }
}

/// The other process. As a test of its own it has nothing to do.
#[test]
fn child() {
    let (Ok(operation), Ok(directory)) = (
        std::env::var("VIRSNAP_OPERATION"),
        std::env::var("VIRSNAP_DIRECTORY"),
    ) else {
        return;
    };
    let uri = format!("virsnap://{directory}/state");
    let connection = Connection::open(&uri, Access::ReadWrite).unwrap();
    let domain = connection.domain_by_name("guest").unwrap();
    let done = perform(&domain, &connection, &operation);
    println!("outcome: {}", if done.is_ok() { "done" } else { "refused" });
}

/// `qemu-img` as it is without the wrapper.
fn real_qemu_img() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|directory| directory.join("qemu-img"))
        .find(|file| file.is_file())
        .expect("these tests need qemu-img")
}

/// Runs an operation in a process of its own. Gives what it said and how many programs it started.
fn run(operation: &str, fault: &str, at: usize, directory: &Path, tools: &Path) -> (Output, usize) {
    // A program may outlive the process that started it, and count itself after that.
    let calls = TempDir::new_in(tools).unwrap().keep();
    let wrapped = std::env::join_paths(
        std::iter::once(tools.to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::child", "--nocapture"])
        .env("PATH", wrapped.unwrap())
        .env("VIRSNAP_OPERATION", operation)
        .env("VIRSNAP_DIRECTORY", directory)
        .env("VIRSNAP_CALLS", &calls)
        .env("VIRSNAP_AT", at.to_string())
        .env("VIRSNAP_FAULT", fault)
        .env("VIRSNAP_QEMU_IMG", real_qemu_img())
        .output()
        .unwrap();
    (output, fs::read_dir(calls).unwrap().count())
}

fn sweep(furnished: fn() -> Arc<TempDir>, operation: &str) {
    let tools = TempDir::new().unwrap();
    let wrapper = tools.path().join("qemu-img");
    fs::write(&wrapper, WRAPPER).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let world = World::new(furnished());
    let directory = world.directory.path();
    let before = world.settled();
    world.restore();
    let (output, calls) = run(operation, "none", 0, directory, tools.path());
    assert!(output.status.success(), "{operation}: {output:?}");
    assert!(calls > 0, "{operation} starts no program");
    let after = world.settled();
    assert_ne!(before, after, "{operation}");
    for fault in ["refuse", "refuse-all", "die", "die-late"] {
        for at in 1..=calls {
            world.restore();
            let (output, _) = run(operation, fault, at, directory, tools.path());
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let view = world.settled();
            let what = format!("{operation}: {fault} at call {at} of {calls}: {said}");
            assert!(view == before || view == after, "{what}{view:#?}");
            if said.contains("outcome: done") {
                assert_eq!(view, after, "{what}");
            }
            if fault.starts_with("die") {
                assert!(!output.status.success(), "{what}");
            }
        }
    }
}

#[test]
fn creating_is_done_or_not_done() {
    sweep(layered, "create");
    sweep(layered, "create external");
}

#[test]
fn reverting_is_done_or_not_done() {
    sweep(layered, "revert to a copy");
    sweep(layered, "revert");
}

#[test]
fn reverting_inside_of_images_is_done_or_not_done() {
    sweep(internal, "revert");
}

#[test]
fn deleting_inside_of_images_is_done_or_not_done() {
    sweep(internal, "delete");
}

#[test]
fn d39_deleting_is_done_or_not_done() {
    sweep(layered, "delete");
    sweep(layered, "delete the current");
}

#[test]
fn deleting_all_is_done_or_not_done() {
    sweep(layered, "delete all");
}
