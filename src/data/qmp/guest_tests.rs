//! Captures, restores and merges on a real QEMU: contents, memory, and rollback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::external::{self, Afterwards, External, Meanwhile, MemoryWanted};
use super::guest::{Guest, Start, qemu_io};
use super::internal::Interrupted;
use super::overlay::{NewOverlay, Origin};
use super::{AgentCommands, Commands, KeptMemory, internal, merge};
use crate::data::live::{Access, Live};
use crate::data::progress::{Progress, Unwatched, Wish};
use crate::data::qcow2::ImageFile;
use crate::data::{Beside, Data, Image, Layer, OverlayFile, Place, Point, PointDisk, QemuImg};
use crate::error::{Error, Result};
use crate::snapshot::DiskMode;

const WAITING: crate::data::Guest = crate::data::Guest::Waiting;

fn capture_inside(monitor: &dyn Commands, name: &str, images: &[Image]) -> Result<()> {
    internal::capture(monitor, name, images, &Unwatched, Beside::default())
}

fn capture_outside(monitor: &dyn Commands, wanted: &External) -> Result<()> {
    external::capture(monitor, None, wanted, None, &Unwatched, Beside::default())
}

fn held(image: &Image) -> Vec<String> {
    let facts = ImageFile::open(&image.path).unwrap().facts().unwrap();
    let names = facts.snapshots.iter();
    names
        .map(|entry| String::from_utf8_lossy(&entry.name).into_owned())
        .collect()
}

fn overlay(guest: &Guest, disk: usize, name: &str) -> NewOverlay {
    NewOverlay {
        disk: guest.images[disk].disk.clone(),
        image: guest.images[disk].path.clone(),
        overlay: guest.path(name),
        format: "qcow2".to_owned(),
        origin: Origin::Ours,
    }
}

fn disks_only(overlays: Vec<NewOverlay>) -> External {
    External {
        overlays,
        inside: None,
        memory: None,
        afterwards: Afterwards::AsBefore,
    }
}

fn restore(monitor: &dyn Commands, name: &str, images: &[Image]) -> Result<()> {
    internal::restore(monitor, name, images, &[], &Unwatched).map_err(|failure| match failure {
        Interrupted::Before(cause) | Interrupted::Loading(cause) => cause,
    })
}

/// A guest whose n-th command is refused, lost or never answered.
struct Sabotaged<'a> {
    guest: &'a Guest,
    at: usize,
    count: AtomicUsize,
    how: Sabotage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    /// The command is not carried out, and an error comes.
    Refuse,
    /// The command is carried out, and an error comes.
    LoseAnswer,
}

impl Commands for Sabotaged<'_> {
    fn execute_with(
        &self,
        command: &str,
        arguments: Value,
        descriptor: Option<std::os::fd::BorrowedFd<'_>>,
    ) -> Result<Value> {
        let slow = || Error::MonitorSlow {
            socket: "qmp".into(),
            command: command.to_owned(),
            seconds: 0,
        };
        let refused = || Error::MonitorRefused {
            command: command.to_owned(),
            reason: "sabotage".to_owned(),
        };
        let is_it = self.count.fetch_add(1, Ordering::Relaxed) == self.at;
        if is_it && self.how == Sabotage::Refuse {
            return Err(refused());
        }
        let answer = self
            .guest
            .monitor
            .execute_with(command, arguments, descriptor);
        if is_it { Err(slow()) } else { answer }
    }

    fn wait(&self, time: Duration) {
        self.guest.monitor.wait(time);
    }
}

/// Runs an operation with each of its commands sabotaged in turn, until one run meets no sabotage.
/// A failed run must have left what `is_untouched` asks for; `reset` undoes a run that worked.
fn sabotage_each(
    guest: &Guest,
    how: Sabotage,
    operation: impl Fn(&dyn Commands) -> Result<()>,
    is_untouched: impl Fn(&str),
    reset: impl Fn(),
) -> usize {
    for at in 0.. {
        let monitor = Sabotaged {
            guest,
            at,
            count: AtomicUsize::new(0),
            how,
        };
        let outcome = operation(&monitor);
        let met = monitor.count.load(Ordering::Relaxed) > at;
        match &outcome {
            Ok(()) => reset(),
            Err(error) => is_untouched(&format!("{how:?} of command {at}: {error}")),
        }
        if !met {
            outcome.unwrap();
            return at;
        }
    }
    unreachable!()
}

#[test]
fn memory_and_disks_come_back() {
    let guest = Guest::new(2);
    guest.run_for(Duration::from_millis(500));
    guest.write(0, 0x11);
    guest.write(1, 0x22);
    let monitor = &*guest.monitor;
    capture_inside(monitor, "one", &guest.images).unwrap();
    let memory = guest.memory();
    assert!(memory.iter().any(|byte| *byte != 0));
    assert_eq!(held(&guest.images[0]), ["one"]);
    assert_eq!(held(&guest.images[1]), ["one"]);

    monitor.execute("cont", Value::Null).unwrap();
    guest.write(0, 0x33);
    guest.write(1, 0x44);
    std::thread::sleep(Duration::from_millis(300));
    restore(monitor, "one", &guest.images).unwrap();
    assert_eq!(guest.status(), "paused");
    assert!(guest.memory() == memory);
    assert!(guest.holds(0, 0x11) && guest.holds(1, 0x22));
    assert_eq!(held(&guest.images[0]), ["one"]);

    internal::discard(monitor, "one", &guest.images, Beside::default()).unwrap();
    assert!(held(&guest.images[0]).is_empty() && held(&guest.images[1]).is_empty());
    // Once more: nothing to do.
    internal::discard(monitor, "one", &guest.images, Beside::default()).unwrap();
}

#[test]
fn d12_names_that_a_monitor_line_would_twist_are_kept() {
    let guest = Guest::new(1);
    for name in ["a\"b", "c\\d", "e f", "1", "ü'`$(x)"] {
        capture_inside(&*guest.monitor, name, &guest.images).unwrap();
    }
    assert_eq!(
        held(&guest.images[0]),
        ["a\"b", "c\\d", "e f", "1", "ü'`$(x)"]
    );
    // "1" is the ID of a"b: QEMU would load that.
    let error = restore(&*guest.monitor, "1", &guest.images).unwrap_err();
    assert!(error.to_string().contains("ID of another"), "{error}");
    assert!(matches!(
        capture_inside(&*guest.monitor, "e f", &guest.images),
        Err(Error::ImageHoldsName { count: 1, .. })
    ));
}

#[test]
fn a_failed_capture_leaves_no_data_and_a_running_guest() {
    let guest = Guest::new(2);
    guest.monitor.execute("cont", Value::Null).unwrap();
    let untouched = |what: &str| {
        assert_eq!(guest.status(), "running", "{what}");
        assert!(held(&guest.images[0]).is_empty(), "{what}");
        assert!(held(&guest.images[1]).is_empty(), "{what}");
    };
    let commands = sabotage_each(
        &guest,
        Sabotage::Refuse,
        |monitor| capture_inside(monitor, "s", &guest.images),
        untouched,
        || internal::discard(&*guest.monitor, "s", &guest.images, Beside::default()).unwrap(),
    );
    assert!(commands >= 5, "{commands}");
}

#[test]
fn a_failed_restore_leaves_memory_disks_and_state_as_they_were() {
    let guest = Guest::new(2);
    guest.run_for(Duration::from_millis(300));
    guest.write(0, 0x11);
    capture_inside(&*guest.monitor, "s", &guest.images).unwrap();
    guest.run_for(Duration::from_millis(300));
    guest.write(0, 0x55);
    let memory = guest.memory();
    capture_inside(&*guest.monitor, "now", &guest.images).unwrap();
    sabotage_each(
        &guest,
        Sabotage::Refuse,
        |monitor| restore(monitor, "s", &guest.images),
        |what| {
            assert_eq!(guest.status(), "paused", "{what}");
            assert!(guest.memory() == memory, "{what}");
            assert!(guest.holds(0, 0x55), "{what}");
        },
        || {
            assert!(guest.holds(0, 0x11));
            restore(&*guest.monitor, "now", &guest.images).unwrap();
        },
    );
    assert_eq!(held(&guest.images[0]), ["s", "now"]);
}

#[test]
fn d18_an_image_that_lacks_the_snapshot_stops_a_restore_before_anything() {
    let guest = Guest::new(2);
    guest.monitor.execute("cont", Value::Null).unwrap();
    capture_inside(&*guest.monitor, "s", &guest.images[..1]).unwrap();
    let error = restore(&*guest.monitor, "s", &guest.images).unwrap_err();
    assert!(matches!(error, Error::ImageLacksSnapshot { .. }), "{error}");
    assert_eq!(guest.status(), "running");
    assert_eq!(held(&guest.images[0]), ["s"]);
}

#[test]
fn all_disks_get_their_overlay_at_one_instant() {
    let guest = Guest::new(2);
    guest.write(0, 0x11);
    guest.write(1, 0x22);
    let wanted = disks_only(vec![overlay(&guest, 0, "a.s"), overlay(&guest, 1, "b.s")]);
    capture_outside(&*guest.monitor, &wanted).unwrap();
    for (place, name) in [(0, "a.s"), (1, "b.s")] {
        let facts = ImageFile::open(&guest.path(name)).unwrap().facts().unwrap();
        assert_eq!(facts.backing_file.unwrap(), guest.images[place].path);
        assert_eq!(facts.backing_format.unwrap(), "qcow2");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(guest.path(name)).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(guest.holds(0, 0x11) && guest.holds(1, 0x22));
    // What the guest writes goes to the overlay, until that is taken back.
    guest.write(0, 0x33);
    let old = qemu_io(&guest.images[0].path, "read -P 0x11 0 64k");
    assert!(old, "the image below has changed");
    external::discard(&*guest.monitor, &wanted, WAITING).unwrap();
    assert!(!guest.path("a.s").exists() && !guest.path("b.s").exists());
    assert!(guest.holds(0, 0x33) && guest.holds(1, 0x22));
    guest.write(0, 0x44);
}

#[test]
fn a_failed_switch_leaves_no_file_and_no_node() {
    let guest = Guest::new(2);
    guest.monitor.execute("cont", Value::Null).unwrap();
    let nodes = guest.nodes();
    let wanted = disks_only(vec![overlay(&guest, 0, "a.s"), overlay(&guest, 1, "b.s")]);
    let gone = |what: &str| {
        assert_eq!(guest.nodes(), nodes, "{what}");
        assert!(
            !guest.path("a.s").exists() && !guest.path("b.s").exists(),
            "{what}"
        );
        assert_eq!(guest.status(), "running", "{what}");
    };
    let commands = sabotage_each(
        &guest,
        Sabotage::Refuse,
        |monitor| capture_outside(monitor, &wanted),
        gone,
        || {
            external::discard(&*guest.monitor, &wanted, WAITING).unwrap();
            gone("reset");
        },
    );
    assert!(commands >= 14, "{commands}");
}

#[test]
fn a_lost_answer_to_the_transaction_is_found_out() {
    let guest = Guest::new(1);
    let wanted = disks_only(vec![overlay(&guest, 0, "a.s")]);
    // Status, nodes, storage, create (start, look, dismiss), format, then the transaction.
    let find = |at| {
        let monitor = Sabotaged {
            guest: &guest,
            at,
            count: AtomicUsize::new(0),
            how: Sabotage::LoseAnswer,
        };
        capture_outside(&monitor, &wanted)
    };
    let mut survived = 0;
    for at in 0..12 {
        if find(at).is_ok() {
            survived += 1;
            external::discard(&*guest.monitor, &wanted, WAITING).unwrap();
        } else {
            // What a lost answer left behind is what the intent's undo is for.
            external::discard(&*guest.monitor, &wanted, WAITING).unwrap();
        }
        assert!(!guest.path("a.s").exists());
    }
    assert!(survived >= 1);
}

#[test]
fn d15_files_that_hold_something_are_never_overwritten() {
    let guest = Guest::new(1);
    std::fs::write(guest.path("a.s"), "precious").unwrap();
    let mut wanted = disks_only(vec![overlay(&guest, 0, "a.s")]);
    capture_outside(&*guest.monitor, &wanted).unwrap_err();
    wanted.overlays.clear();
    wanted.memory = Some(MemoryWanted {
        file: guest.path("a.s"),
        definition: "<domain/>".to_owned(),
        guest: Meanwhile::Paused,
    });
    capture_outside(&*guest.monitor, &wanted).unwrap_err();
    assert_eq!(std::fs::read(guest.path("a.s")).unwrap(), b"precious");
}

fn with_memory(guest: &Guest, meanwhile: Meanwhile) -> External {
    External {
        overlays: vec![overlay(guest, 0, "a.s")],
        inside: None,
        memory: Some(MemoryWanted {
            file: guest.path("memory.s"),
            definition: "<domain type='qemu'/>".to_owned(),
            guest: meanwhile,
        }),
        afterwards: Afterwards::AsBefore,
    }
}

#[test]
fn memory_in_a_file_and_disks_are_of_one_instant() {
    for meanwhile in [Meanwhile::Paused, Meanwhile::Runs] {
        let guest = Guest::new(1);
        guest.run_for(Duration::from_millis(500));
        guest.write(0, 0x11);
        guest.monitor.execute("cont", Value::Null).unwrap();
        let wanted = with_memory(&guest, meanwhile);
        capture_outside(&*guest.monitor, &wanted).unwrap();
        assert_eq!(guest.status(), "running");

        let Guest {
            directory, images, ..
        } = &guest;
        let (directory, images) = (Arc::clone(directory), images.clone());
        drop(guest);
        let kept = KeptMemory::open(&directory.path().join("memory.s")).unwrap();
        assert!(kept.was_running);
        assert_eq!(kept.definition, "<domain type='qemu'/>");
        let again = Guest::start(directory, images, Start::Incoming);
        kept.load(&*again.monitor, &Unwatched).unwrap();
        assert!(again.memory().iter().any(|byte| *byte != 0));
        assert!(again.holds(0, 0x11));
        again.monitor.execute("cont", Value::Null).unwrap();
        assert_eq!(again.status(), "running");
    }
}

#[test]
fn a_paused_guest_has_the_same_memory_in_the_file() {
    let guest = Guest::new(1);
    guest.run_for(Duration::from_millis(500));
    let memory = guest.memory();
    let wanted = with_memory(&guest, Meanwhile::Paused);
    capture_outside(&*guest.monitor, &wanted).unwrap();
    let (directory, images) = (Arc::clone(&guest.directory), guest.images.clone());
    drop(guest);
    let again = Guest::start(directory, images, Start::Incoming);
    let kept = KeptMemory::open(&again.path("memory.s")).unwrap();
    assert!(!kept.was_running);
    kept.load(&*again.monitor, &Unwatched).unwrap();
    assert!(again.memory() == memory);
}

/// A guest that does not stop before it gives its images away, as if somebody else let it go on.
struct Hasty<'a>(&'a Guest);

impl Commands for Hasty<'_> {
    fn execute_with(
        &self,
        command: &str,
        arguments: Value,
        descriptor: Option<std::os::fd::BorrowedFd<'_>>,
    ) -> Result<Value> {
        if arguments.to_string().contains("pause-before-switchover") {
            return Ok(Value::Null);
        }
        self.0.monitor.execute_with(command, arguments, descriptor)
    }

    fn wait(&self, time: Duration) {
        self.0.monitor.wait(time);
    }
}

#[test]
fn memory_that_was_saved_without_its_disks_is_no_snapshot() {
    let guest = Guest::new(1);
    guest.monitor.execute("cont", Value::Null).unwrap();
    let mut wanted = with_memory(&guest, Meanwhile::Runs);
    wanted.overlays.clear();
    wanted.inside = Some(external::Inside {
        name: "s".to_owned(),
        images: guest.images.clone(),
        has_memory: false,
    });
    let error = capture_outside(&Hasty(&guest), &wanted).unwrap_err();
    assert!(matches!(error, Error::JobFailed { .. }), "{error}");
    assert!(!guest.path("memory.s").exists());
    assert!(held(&guest.images[0]).is_empty());
    assert_eq!(guest.status(), "running");
}

#[test]
fn a_failed_memory_save_leaves_no_file_and_a_running_guest() {
    let guest = Guest::new(1);
    guest.monitor.execute("cont", Value::Null).unwrap();
    let wanted = with_memory(&guest, Meanwhile::Paused);
    let gone = |what: &str| {
        assert!(
            !guest.path("a.s").exists() && !guest.path("memory.s").exists(),
            "{what}"
        );
        // A resume that was refused is told as such.
        if !what.contains("'cont'") && !what.contains("the undo failed") {
            assert_eq!(guest.status(), "running", "{what}");
        }
        guest.monitor.execute("cont", Value::Null).unwrap();
    };
    sabotage_each(
        &guest,
        Sabotage::Refuse,
        |monitor| capture_outside(monitor, &wanted),
        gone,
        || external::discard(&*guest.monitor, &wanted, WAITING).unwrap(),
    );
}

struct StopAtOnce;

impl Progress for StopAtOnce {
    fn report(&self, _done: u64, _total: u64) -> Wish {
        Wish::Stop
    }
}

#[test]
fn a_cancelled_memory_save_is_taken_back() {
    let guest = Guest::new(1);
    guest.monitor.execute("cont", Value::Null).unwrap();
    let wanted = with_memory(&guest, Meanwhile::Runs);
    match external::capture(
        &*guest.monitor,
        None,
        &wanted,
        None,
        &StopAtOnce,
        Beside::default(),
    ) {
        Err(Error::Cancelled { .. }) => {
            assert!(!guest.path("a.s").exists() && !guest.path("memory.s").exists());
        }
        // A small guest may be saved before anybody looks.
        other => other.unwrap(),
    }
    assert_eq!(guest.status(), "running");
}

#[test]
fn commit_and_stream_keep_what_the_guest_sees() {
    let guest = Guest::new(1);
    guest.write(0, 0x11);
    let base = guest.images[0].path.clone();
    let first = overlay(&guest, 0, "e1");
    let capture = |overlay: NewOverlay| {
        capture_outside(&*guest.monitor, &disks_only(vec![overlay])).unwrap();
    };
    capture(first.clone());
    guest.write(0, 0x22);
    capture(NewOverlay {
        image: guest.path("e1"),
        overlay: guest.path("e2"),
        ..first
    });
    // Commit the middle one: the base takes its content.
    merge::commit(
        &*guest.monitor,
        &guest.path("e2"),
        &guest.path("e1"),
        &base,
        &Unwatched,
    )
    .unwrap();
    assert!(guest.holds(0, 0x22));
    let facts = ImageFile::open(&guest.path("e2")).unwrap().facts().unwrap();
    assert_eq!(facts.backing_file.unwrap(), base);
    // Stream everything: the top stands alone.
    merge::stream(&*guest.monitor, &guest.path("e2"), None, &Unwatched).unwrap();
    let facts = ImageFile::open(&guest.path("e2")).unwrap().facts().unwrap();
    assert_eq!(facts.backing_file, None);
    assert!(guest.holds(0, 0x22));
}

#[test]
fn a_guest_killed_in_the_middle_is_an_error() {
    let mut guest = Guest::new(1);
    guest.kill();
    for _ in 0..2 {
        let error = capture_inside(&*guest.monitor, "s", &guest.images).unwrap_err();
        assert!(matches!(error, Error::MonitorLost { .. }), "{error}");
    }
    assert!(held(&guest.images[0]).is_empty());
}

#[test]
fn memory_files_are_checked_before_use() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("m");
    let refusal = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        KeptMemory::open(&file).unwrap_err().to_string()
    };
    assert!(refusal(b"").ends_with("too short"));
    assert!(refusal(&[0; 200]).ends_with("is no memory file"));
    let mut partial = b"LibvirtQemudPart".to_vec();
    partial.resize(92, 0);
    assert!(refusal(&partial).ends_with("cut off"));
    let mut huge = b"LibvirtQemudSave".to_vec();
    huge.extend_from_slice(&2u32.to_ne_bytes());
    huge.extend_from_slice(&u32::MAX.to_ne_bytes());
    huge.resize(92, 0);
    assert!(refusal(&huge).ends_with("too long"));
    huge[20..24].copy_from_slice(&50u32.to_ne_bytes());
    assert!(refusal(&huge).ends_with("in its definition"));
    assert!(KeptMemory::open(directory.path()).is_err());
}

/// The way to a guest that nobody else has hands on.
struct Alone(Arc<super::Monitor>);

impl Access for Alone {
    fn commands(&self) -> Result<Option<Arc<dyn Commands>>> {
        Ok(Some(Arc::clone(&self.0) as Arc<dyn Commands>))
    }

    fn agent(&self) -> Option<Arc<dyn AgentCommands>> {
        None
    }

    fn progress(&self) -> &dyn Progress {
        &Unwatched
    }

    fn create_data(&self, _: &str, _: u32) -> Option<Result<()>> {
        None
    }

    fn revert_data(&self, _: &str, _: u32) -> Option<Result<()>> {
        None
    }

    fn delete_data(&self, _: &str) -> Option<Result<()>> {
        None
    }

    fn has_own_data(&self) -> bool {
        false
    }
}

fn inside(image: &Image) -> PointDisk {
    PointDisk {
        target: image.disk.clone(),
        is_read_only: false,
        mode: DiskMode::Internal,
        base: Place::Local(Layer {
            path: image.path.clone(),
            format: Some("qcow2".to_owned()),
        }),
        overlay: Place::Nowhere,
        reverted: Place::Nowhere,
        overlay_file: OverlayFile::New,
    }
}

#[test]
fn d6_what_a_disk_holds_that_the_guest_has_lost_is_dropped_too() {
    let mut guest = Guest::new(2);
    capture_inside(&*guest.monitor, "one", &guest.images).unwrap();
    guest.kill();
    let images = guest.images.clone();
    let directory = Arc::clone(&guest.directory);
    let guest = Guest::start(directory, images[..1].to_vec(), Start::Paused);
    let disks: Vec<PointDisk> = images.iter().map(inside).collect();
    let live = Live::new(
        Arc::new(Alone(Arc::clone(&guest.monitor))),
        Arc::new(QemuImg::new("qemu-img")),
    );
    live.delete(&Point {
        name: "one",
        document: "",
        disks: &disks,
        memory: None,
        firmware: &crate::data::Firmware::default(),
        has_memory_inside: true,
        is_of_guest: true,
        guest: crate::data::Guest::Waiting,
        lock: None,
        beside: Beside::default(),
    })
    .unwrap();
    assert_eq!(held(&images[0]), Vec::<String>::new());
    assert_eq!(held(&images[1]), Vec::<String>::new());
    assert_eq!(guest.status(), "prelaunch");
}
