//! The store on the machine's own file system.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::limits;
use crate::store::{Change, DefinitionChange, Directory, Listing, Store};

fn write(names: &[&str]) -> Change {
    let text = |name: &&str| ((*name).to_owned(), format!("<{name}/>"));
    Change {
        write: names.iter().map(text).collect(),
        ..Change::default()
    }
}

fn names(listing: &Listing) -> Vec<&str> {
    listing
        .documents
        .iter()
        .map(|(name, _)| name.as_str())
        .collect()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_layout_is_libvirts() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().join("new/state");
    let store = Directory::open(&root).unwrap();
    store.commit("d", &write(&["s 1", "ä"])).unwrap();
    let definition = DefinitionChange::Write("<domain/>".into());
    store
        .commit(
            "d",
            &Change {
                definition,
                ..Change::default()
            },
        )
        .unwrap();

    assert_eq!(
        fs::read(root.join("snapshot/d/s 1.xml")).unwrap(),
        b"<s 1/>"
    );
    assert_eq!(fs::read(root.join("domain/d.xml")).unwrap(), b"<domain/>");
    for dir in [
        "",
        "snapshot",
        "snapshot/d",
        "journal",
        "stage",
        "lock",
        "domain",
    ] {
        assert_eq!(mode(&root.join(dir)), 0o700, "{dir}");
    }
    for file in ["snapshot/d/ä.xml", "domain/d.xml", "lock/d"] {
        assert_eq!(mode(&root.join(file)), 0o600, "{file}");
    }
    let again = Directory::open(&root).unwrap();
    assert_eq!(names(&again.snapshots("d").unwrap()), ["s 1", "ä"]);
    assert_eq!(names(&again.domains().unwrap()), ["d"]);
    assert!(again.snapshots("unknown").unwrap().documents.is_empty());
}

#[test]
fn what_is_no_document_is_reported_and_left() {
    let base = tempfile::tempdir().unwrap();
    let store = Directory::open(base.path()).unwrap();
    store.commit("d", &write(&["good"])).unwrap();
    let folder = base.path().join("snapshot/d");
    fs::write(folder.join("good.xml~"), "x").unwrap();
    fs::write(folder.join(".hidden.xml"), "x").unwrap();
    fs::write(folder.join("latin.xml"), b"\xe4").unwrap();
    fs::write(
        folder.join("large.xml"),
        vec![b' '; limits::STATE_FILE_BYTES + 1],
    )
    .unwrap();
    fs::write(
        folder.join("limit.xml"),
        vec![b' '; limits::STATE_FILE_BYTES],
    )
    .unwrap();
    fs::create_dir(folder.join("dir.xml")).unwrap();
    symlink("good.xml", folder.join("link.xml")).unwrap();
    symlink("/dev/zero", folder.join("zero.xml")).unwrap();
    let _socket = UnixListener::bind(folder.join("socket.xml")).unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(folder.join("fifo.xml"))
        .status();
    assert!(fifo.unwrap().success());

    let listing = store.snapshots("d").unwrap();
    assert_eq!(names(&listing), ["good", "limit"]);
    let damaged: Vec<&str> = listing
        .damaged
        .iter()
        .map(|damage| damage.name.as_str())
        .collect();
    let expected = [
        ".hidden",
        "dir",
        "fifo",
        "good.xml~",
        "large",
        "latin",
        "link",
        "socket",
        "zero",
    ];
    assert_eq!(damaged, expected);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2 + expected.len());

    for name in ["dir", "link", "fifo"] {
        let error = store.commit("d", &write(&[name])).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        let remove = Change {
            remove: vec![name.to_owned()],
            ..Change::default()
        };
        store.commit("d", &remove).unwrap_err();
    }
    assert_eq!(store.snapshots("d").unwrap().damaged.len(), expected.len());
}

#[test]
fn a_directory_that_cannot_be_read_is_not_an_empty_one() {
    let base = tempfile::tempdir().unwrap();
    let store = Directory::open(base.path()).unwrap();
    fs::write(base.path().join("snapshot/d"), "a file").unwrap();
    assert!(matches!(store.snapshots("d"), Err(Error::Io { .. })));
    symlink("/", base.path().join("snapshot/e")).unwrap();
    assert!(matches!(store.snapshots("e"), Err(Error::Io { .. })));
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let base = tempfile::tempdir().unwrap();
    let store = Directory::open(base.path()).unwrap();
    let mut change = write(&["a", "b"]);
    change.write[1].1 = " ".repeat(limits::STATE_FILE_BYTES + 1);
    assert!(matches!(
        store.commit("d", &change),
        Err(Error::TooLarge { .. })
    ));
    for name in ["", "../x", ".x", "a/b", "a\0b", &"x".repeat(248)] {
        let error = store.commit("d", &write(&[name])).unwrap_err();
        assert!(matches!(error, Error::SnapshotName { .. }), "{error}");
        let error = store.commit(name, &write(&["a"])).unwrap_err();
        assert!(matches!(error, Error::DomainName { .. }), "{error}");
    }
    let longest = "x".repeat(247);
    store.commit(&longest, &write(&[&longest, "b"])).unwrap();
    assert_eq!(names(&store.snapshots(&longest).unwrap()), ["b", &longest]);
}

#[test]
fn a_state_directory_that_others_can_write_is_refused() {
    assert!(matches!(
        Directory::open(Path::new("state")),
        Err(Error::StateDirectory { .. })
    ));
    let base = tempfile::tempdir().unwrap();
    let state = base.path().join("state");
    fs::create_dir(&state).unwrap();
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(&state, PermissionsExt::from_mode(mode)).unwrap();
        let error = Directory::open(&state).unwrap_err();
        assert!(
            matches!(error, Error::StateDirectory { .. }),
            "{mode:o}: {error}"
        );
    }
    fs::set_permissions(&state, PermissionsExt::from_mode(0o755)).unwrap();
    Directory::open(&state).unwrap();
}

#[test]
fn the_lock_excludes_threads_and_connections_and_names_its_holder() {
    let base = tempfile::tempdir().unwrap();
    let store = Directory::open(base.path()).unwrap();
    let other = Directory::open(base.path()).unwrap();
    let held = store.lock("d").unwrap();
    store.commit("d", &write(&["mine"])).unwrap();
    let text = fs::read_to_string(base.path().join("lock/d")).unwrap();
    assert_eq!(text.trim(), std::process::id().to_string());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let start = Instant::now();
            let _held = other.lock("d").unwrap();
            start.elapsed()
        });
        // A reader does not wait, and another domain is free.
        assert_eq!(names(&store.snapshots("d").unwrap()), ["mine"]);
        let reading = scope.spawn(|| store.snapshots("d").unwrap().documents.len());
        assert_eq!(reading.join().unwrap(), 1);
        drop(other.lock("e").unwrap());
        std::thread::sleep(Duration::from_millis(50));
        drop(held);
        assert!(waiting.join().unwrap() >= Duration::from_millis(50));
    });
}

#[test]
fn undefining_leaves_nothing_and_defining_adopts() {
    let base = tempfile::tempdir().unwrap();
    let store = Directory::open(base.path()).unwrap();
    store.commit("d", &write(&["a", "b"])).unwrap();
    let define = DefinitionChange::Write("<domain/>".into());
    store
        .commit(
            "d",
            &Change {
                definition: define,
                ..Change::default()
            },
        )
        .unwrap();
    assert_eq!(names(&store.snapshots("d").unwrap()), ["a", "b"]);

    let remove = vec!["a".to_owned(), "b".to_owned()];
    let definition = DefinitionChange::Remove;
    store
        .commit(
            "d",
            &Change {
                remove,
                definition,
                ..Change::default()
            },
        )
        .unwrap();
    for room in ["snapshot", "domain", "journal", "lock"] {
        let left = fs::read_dir(base.path().join(room)).unwrap();
        let left = left.filter(|entry| entry.as_ref().unwrap().file_name() != ".changes");
        assert_eq!(left.count(), 0, "{room}");
    }
}

#[test]
fn a_garbled_journal_is_swept_and_a_later_versions_is_not() {
    let base = tempfile::tempdir().unwrap();
    let store = Directory::open(base.path()).unwrap();
    store.commit("d", &write(&["a"])).unwrap();
    let journal = base.path().join("journal/d");
    fs::write(&journal, "virsnap-journal 1 commit 5").unwrap();
    fs::write(base.path().join("stage/d.0"), "left").unwrap();
    assert_eq!(names(&store.snapshots("d").unwrap()), ["a"]);
    assert!(!journal.exists() && !base.path().join("stage/d.0").exists());

    fs::write(&journal, "virsnap-journal 2 anything\n").unwrap();
    assert!(matches!(store.snapshots("d"), Err(Error::Damaged { .. })));
    assert!(matches!(
        store.commit("d", &write(&["b"])),
        Err(Error::Damaged { .. })
    ));
    assert!(journal.exists());
}

#[test]
fn what_a_live_writer_has_staged_is_not_swept() {
    let base = tempfile::tempdir().unwrap();
    let store = Directory::open(base.path()).unwrap();
    let writer = Directory::open(base.path()).unwrap();
    let staged = base.path().join("stage/d.0");
    let held = writer.lock("d").unwrap();
    fs::write(&staged, "being written").unwrap();
    store.snapshots("d").unwrap();
    store.domains().unwrap();
    assert!(staged.exists());
    drop(held);
    store.domains().unwrap();
    assert!(!staged.exists());
}

#[test]
fn a_staged_name_that_is_no_text_is_nobodys() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().join("state");
    Directory::open(&root).unwrap();
    let file = root.join("stage").join(OsStr::from_bytes(b"d\xff.0"));
    fs::write(&file, "x").unwrap();
    let store = Directory::open(&root).unwrap();
    store.commit("d", &write(&["s"])).unwrap();
    assert!(store.domains().unwrap().damaged.is_empty());
    assert_eq!(names(&store.snapshots("d").unwrap()), ["s"]);
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

#[test]
fn what_is_no_journal_is_damage_and_stays() {
    for is_directory in [true, false] {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("state");
        let store = Directory::open(&root).unwrap();
        let journal = root.join("journal/d");
        if is_directory {
            fs::create_dir(&journal).unwrap();
        } else {
            let file = fs::File::create(&journal).unwrap();
            file.set_len(limits::JOURNAL_BYTES as u64 + 1).unwrap();
        }
        let answer = store.commit("d", &write(&["s"]));
        assert!(matches!(answer, Err(Error::Damaged { .. })), "{answer:?}");
        assert!(journal.exists());
    }
}

#[test]
fn a_folder_that_took_the_place_of_an_open_one_is_written_to() {
    let base = tempfile::tempdir().unwrap();
    let store = Directory::open(base.path()).unwrap();
    store.commit("d", &write(&["before"])).unwrap();
    let (folder, elsewhere) = (
        base.path().join("snapshot/d"),
        base.path().join("elsewhere"),
    );
    fs::rename(&folder, &elsewhere).unwrap();
    store.commit("d", &write(&["new folder"])).unwrap();
    assert!(folder.join("new folder.xml").exists());
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
    fs::rename(&folder, base.path().join("other")).unwrap();
    fs::rename(&elsewhere, &folder).unwrap();
    store.commit("d", &write(&["old folder"])).unwrap();
    assert_eq!(
        names(&store.snapshots("d").unwrap()),
        ["before", "old folder"]
    );
    // Trusted once is not trusted for ever.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = store.commit("d", &write(&["more"]));
    assert!(matches!(refused, Err(Error::StateDirectory { .. })));
}

#[test]
fn few_folders_stay_open() {
    let base = tempfile::tempdir().unwrap();
    let store = Directory::open(base.path()).unwrap();
    let open_folders = || {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap();
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        let inside = base.path().join("snapshot");
        targets
            .filter(|target| target.parent() == Some(&inside))
            .count()
    };
    for round in 0..2 {
        for domain in 0..limits::FOLDERS_OPEN + 2 {
            let name = format!("s{round}");
            store
                .commit(&format!("d{domain}"), &write(&[&name]))
                .unwrap();
            assert!(open_folders() <= limits::FOLDERS_OPEN);
        }
    }
    assert_eq!(open_folders(), limits::FOLDERS_OPEN);
    drop(store);
    assert_eq!(open_folders(), 0);
}

/// What a store keeps is for its own eyes; a summary that others may have written is none.
#[test]
fn a_summary_that_others_can_write_or_that_is_no_file_is_none() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().join("state");
    let store = Directory::open(&root).unwrap();
    let file = root.join("summary/d");
    // Nobody keeps one of a domain that is not defined, nor a lock file.
    store.keep_summary("d", &|| unreachable!());
    assert!(!file.exists() && !root.join("lock/d").exists());
    let change = Change {
        definition: DefinitionChange::Write("text".to_owned()),
        ..Change::default()
    };
    store.commit("d", &change).unwrap();
    store.keep_summary("d", &|| Some(b"kept".to_vec()));
    assert_eq!(store.summary("d").as_deref(), Some(b"kept".as_slice()));
    assert_eq!((mode(&file), mode(&root.join("summary"))), (0o600, 0o700));
    // Its writer may keep one, another may not meanwhile.
    let lock = store.lock("d").unwrap();
    store.keep_summary("d", &|| Some(b"writer's".to_vec()));
    let (other, path) = (Directory::open(&root).unwrap(), &root);
    std::thread::scope(|scope| {
        scope.spawn(|| other.keep_summary("d", &|| unreachable!("{}", path.display())));
    });
    assert_eq!(store.summary("d").as_deref(), Some(b"writer's".as_slice()));
    drop(lock);
    for bits in [0o620, 0o602] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(bits)).unwrap();
        assert_eq!(store.summary("d"), None, "{bits:o}");
    }
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    assert!(store.summary("d").is_some());
    let room = root.join("summary");
    std::fs::set_permissions(&room, PermissionsExt::from_mode(0o770)).unwrap();
    assert_eq!(store.summary("d"), None);
    std::fs::set_permissions(&room, PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::rename(&file, root.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(root.join("elsewhere"), &file).unwrap();
    assert_eq!(store.summary("d"), None);
    // The link is replaced, and what it leads to is not touched.
    store.keep_summary("d", &|| Some(b"new".to_vec()));
    assert_eq!(store.summary("d").as_deref(), Some(b"new".as_slice()));
    assert_eq!(std::fs::read(root.join("elsewhere")).unwrap(), b"writer's");
    let change = Change {
        definition: DefinitionChange::Remove,
        ..Change::default()
    };
    store.commit("d", &change).unwrap();
    assert!(!file.exists());
}
