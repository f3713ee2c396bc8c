//! Summaries on a real file system: whatever becomes of a document, a load by a summary sees what a load
//! without one sees.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test may fail like a test"
)]

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use virsnap::ops::{Access, Connection, CreateFlags, Domain, ListFlags, RedefineRules, Undefine};

const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";

/// More than are read without a thought of a summary.
const COUNT: usize = 100;

/// After that a file's stamps say whether it has changed since (src/store/summary.rs).
const SETTLED: Duration = Duration::from_millis(3_100);

fn definition() -> String {
    format!(
        "<domain type='qemu'><name>d</name><uuid>{UUID}</uuid><os><type>hvm</type></os></domain>"
    )
}

fn connect(state: &Path, access: Access) -> Arc<Connection> {
    Connection::open(&format!("virsnap://{}", state.display()), access).unwrap()
}

/// Documents s000, s001 …, each the child of the one before, long enough ago.
fn stored(state: &Path) {
    let connection = connect(state, Access::ReadWrite);
    let domain = connection.define(&definition()).unwrap();
    for number in 0..COUNT {
        let parent = match number {
            0 => String::new(),
            _ => format!("<parent><name>s{:03}</name></parent>", number - 1),
        };
        redefine(&domain, &format!("s{number:03}"), &parent);
    }
    drop((domain, connection));
    std::thread::sleep(SETTLED);
}

fn redefine(domain: &Domain, name: &str, parent: &str) {
    let text = format!(
        "<domainsnapshot><name>{name}</name><description>old</description><state>shutoff</state>\
         <creationTime>5</creationTime>{parent}{}</domainsnapshot>",
        definition()
    );
    let flags = CreateFlags::new(1, "test").unwrap();
    domain
        .create(&text, flags, RedefineRules::default())
        .unwrap();
}

/// Everything that can be asked for, by a process that begins now.
fn seen(state: &Path, access: Access) -> Vec<(String, String, String)> {
    let connection = connect(state, access);
    let domain = connection.domain_by_name("d").unwrap();
    let found = domain.list(ListFlags::new(0, "test").unwrap()).unwrap();
    let each = found.iter().map(|found| {
        let parent = domain
            .parent(found)
            .map_or_else(|error| error.to_string(), |parent| parent.name.to_string());
        let text = domain.snapshot_xml(found, true).unwrap();
        (found.name.to_string(), parent, text)
    });
    each.collect()
}

fn document(state: &Path, name: &str) -> PathBuf {
    state.join("snapshot/d").join(format!("{name}.xml"))
}

/// The document's text with another description, as long as it was.
fn changed(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let new = text.replace("<description>old<", "<description>new<");
    assert!(new != text && new.len() == text.len());
    new
}

/// Gives a file the times that another had.
fn as_old_as(path: &Path, times: &fs::Metadata) {
    let times = FileTimes::new().set_modified(times.modified().unwrap());
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_times(times)
        .unwrap();
}

#[test]
fn whatever_becomes_of_a_document_a_load_by_a_summary_sees_it() {
    let base = tempfile::tempdir().unwrap();
    let state = base.path().join("state");
    stored(&state);
    let kept = state.join("summary/d");
    let before = seen(&state, Access::ReadOnly);
    assert!(!kept.exists(), "who may only read keeps nothing");
    assert_eq!(seen(&state, Access::ReadWrite), before);
    assert_eq!(
        fs::metadata(&kept).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(seen(&state, Access::ReadWrite), before);

    // In its place, and the time that programs can set set back.
    let path = document(&state, "s001");
    let times = fs::metadata(&path).unwrap();
    fs::write(&path, changed(&path)).unwrap();
    as_old_as(&path, &times);
    assert_eq!(
        fs::metadata(&path).unwrap().modified().unwrap(),
        times.modified().unwrap()
    );
    // Another file of the same size and time.
    let path = document(&state, "s002");
    let (times, new) = (fs::metadata(&path).unwrap(), base.path().join("new"));
    fs::write(&new, changed(&path)).unwrap();
    fs::set_permissions(&new, PermissionsExt::from_mode(0o600)).unwrap();
    as_old_as(&new, &times);
    fs::rename(&new, &path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().modified().unwrap(),
        times.modified().unwrap()
    );
    // By another name that it has.
    let path = document(&state, "s003");
    let other = base.path().join("other");
    fs::hard_link(&path, &other).unwrap();
    fs::write(&other, changed(&path)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().nlink(), 2);
    // Gone; come; two that have changed places.
    fs::remove_file(document(&state, "s099")).unwrap();
    let text = fs::read_to_string(document(&state, "s004")).unwrap();
    fs::write(
        document(&state, "t"),
        text.replace("<name>s004<", "<name>t<"),
    )
    .unwrap();
    let (one, two) = (document(&state, "s005"), document(&state, "s006"));
    fs::rename(&one, base.path().join("swap")).unwrap();
    fs::rename(&two, &one).unwrap();
    fs::rename(base.path().join("swap"), &two).unwrap();
    // Not a file any more.
    let path = document(&state, "s007");
    fs::rename(&path, base.path().join("aside")).unwrap();
    std::os::unix::fs::symlink(base.path().join("aside"), &path).unwrap();

    let by_summary = seen(&state, Access::ReadOnly);
    let away = base.path().join("summary");
    fs::rename(state.join("summary"), &away).unwrap();
    assert_eq!(by_summary, seen(&state, Access::ReadOnly));
    let of = |name: &str| by_summary.iter().find(|(known, _, _)| known == name);
    for name in ["s001", "s002", "s003"] {
        assert!(of(name).unwrap().2.contains("<description>new<"), "{name}");
    }
    assert!(of("s004").is_some() && of("t").is_some());
    for gone in ["s005", "s006", "s007", "s099"] {
        assert!(of(gone).is_none(), "{gone}");
    }
}

#[test]
fn a_summary_goes_with_its_domain() {
    let base = tempfile::tempdir().unwrap();
    let state = base.path().join("state");
    stored(&state);
    let connection = connect(&state, Access::ReadWrite);
    let domain = connection.domain_by_name("d").unwrap();
    assert_eq!(
        domain.count(ListFlags::new(0, "test").unwrap()).unwrap(),
        COUNT
    );
    assert!(state.join("summary/d").exists());
    connection.rename(&domain, "c").unwrap();
    assert!(!state.join("summary/d").exists());
    drop((domain, connection));
    std::thread::sleep(SETTLED);
    let connection = connect(&state, Access::ReadWrite);
    let domain = connection.domain_by_name("c").unwrap();
    assert_eq!(
        domain.count(ListFlags::new(0, "test").unwrap()).unwrap(),
        COUNT
    );
    assert!(state.join("summary/c").exists());
    connection
        .undefine(&domain, Undefine::DropSnapshots)
        .unwrap();
    assert!(
        fs::read_dir(state.join("summary"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn what_is_deleted_does_not_stay_in_a_summary_that_nobody_needs() {
    let base = tempfile::tempdir().unwrap();
    let state = base.path().join("state");
    stored(&state);
    seen(&state, Access::ReadWrite);
    assert!(state.join("summary/d").exists());
    for number in 3..COUNT {
        fs::remove_file(document(&state, &format!("s{number:03}"))).unwrap();
    }
    assert_eq!(seen(&state, Access::ReadOnly).len(), 3);
    assert!(
        state.join("summary/d").exists(),
        "who may only read removes nothing"
    );
    assert_eq!(seen(&state, Access::ReadWrite).len(), 3);
    assert!(!state.join("summary/d").exists());
}
