//! Programs of several images run at the same time, and the caller's own work beside them.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::tests::{names, new_image, qemu};
use super::*;
use crate::data::Layer;

/// For what must happen. A busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `qemu-img` that does this first. `$at` is the directory of [`present`], `count` tells how many
/// calls have come so far.
fn program(at: &Path, first: &str) -> QemuImg {
    let path = at.join("qemu-img");
    let script = format!(
        "#!/bin/sh\nat={}\ncount() {{ ls -d $at/call.* | wc -l; }}\n\
         are() {{ [ $(count) -ge $1 ]; }}\n\
         until_() {{ i=0; while ! \"$@\"; do sleep 0.05; i=$((i+1)); [ $i -lt 1200 ] || exit 1; done; }}\n\
         mkdir $at/call.$$\n{first}\nexec qemu-img \"$@\"\n",
        at.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    QemuImg::new(path)
}

/// How many calls have come so far.
fn present(at: &Path) -> usize {
    let entries = fs::read_dir(at).unwrap();
    let is_call = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("call.");
    entries
        .filter(|entry| is_call(&entry.as_ref().unwrap().file_name()))
        .count()
}

fn images(directory: &Path, count: usize) -> Vec<Image> {
    (0..count)
        .map(|number| new_image(directory, &format!("{number}.qcow2")))
        .collect()
}

/// Waits until so many programs are there, then lets them go. Says that it has done so.
fn release(at: &Path, wanted: usize, done: &Cell<usize>) {
    let begun = Instant::now();
    while present(at) < wanted && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(present(at), wanted, "not all at the same time");
    fs::write(at.join("go"), "").unwrap();
    done.set(done.get() + 1);
}

#[test]
fn three_images_are_captured_side_by_side_and_beside_the_callers_work() {
    let (at, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let images = images(directory.path(), 3);
    let program = program(at.path(), "until_ [ -e $at/go ]");
    let done = Cell::new(0);
    let work = || release(at.path(), 3, &done);
    let beside = Beside::of(&work);
    let operation = Work {
        beside,
        ..program.work(None)
    };
    operation.capture("s", &images).unwrap();
    assert_eq!(done.get(), 1);
    for image in &images {
        assert_eq!(names(image), ["s"]);
    }
}

/// Until the first image has dropped it all is as before, so the others wait for that.
#[test]
fn the_callers_work_is_done_beside_the_first_drop() {
    let (at, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let images = images(directory.path(), 3);
    QemuImg::new("qemu-img")
        .work(None)
        .capture("s", &images)
        .unwrap();
    let program = program(
        at.path(),
        "until_ [ -e $at/go ]; [ $(count) -eq 1 ] || until_ are 3",
    );
    let done = Cell::new(0);
    let work = || release(at.path(), 1, &done);
    let beside = Beside::of(&work);
    let operation = Work {
        beside,
        ..program.work(None)
    };
    operation.drop_data("s", &images).unwrap();
    assert_eq!(done.get(), 1);
    for image in &images {
        assert!(names(image).is_empty());
    }
}

/// An overlay on a base, and a step that brings them together.
fn overlay(directory: &Path) -> Merge {
    let base = new_image(directory, "base.qcow2");
    let top = directory.join("top.qcow2");
    let layer = |path: &Path| Layer {
        path: path.to_owned(),
        format: Some("qcow2".to_owned()),
    };
    let paths = [&base.path, &top].map(|path| path.to_str().unwrap());
    let arguments = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"];
    let made = qemu("qemu-img", &[&arguments[..], &paths].concat());
    assert!(made.status.success(), "{made:?}");
    Merge::Commit {
        disk: "vda".to_owned(),
        top: layer(&top),
        base: layer(&base.path),
    }
}

/// Whether they show the same is asked of the program where this library cannot tell.
#[test]
fn a_merged_overlay_is_compared_here_or_by_the_program() {
    for (write, calls) in [("write -q -P 7 0 64K", 1), ("write -q -c -P 7 0 64K", 2)] {
        let (at, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let merge = overlay(directory.path());
        let top = directory.path().join("top.qcow2");
        let written = qemu(
            "qemu-io",
            &["-f", "qcow2", "-c", write, top.to_str().unwrap()],
        );
        assert!(written.status.success(), "{written:?}");
        let program = program(at.path(), ":");
        program.work(None).merge_all(&[merge]).unwrap();
        assert_eq!(present(at.path()), calls, "{write}");
    }
}

#[test]
fn the_callers_work_is_done_beside_a_merge() {
    let (at, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let program = program(at.path(), "until_ [ -e $at/go ]");
    let done = Cell::new(0);
    let work = || release(at.path(), 1, &done);
    let operation = Work {
        beside: Beside::of(&work),
        ..program.work(None)
    };
    operation.merge_all(&[overlay(directory.path())]).unwrap();
    assert_eq!(done.get(), 1);
}

#[test]
fn not_more_than_the_limit_run_at_the_same_time() {
    const LIMIT: usize = limits::PROGRAMS_AT_ONCE;
    let (at, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let images = images(directory.path(), LIMIT + 2);
    // The first ones wait for each other, then some time for one too many.
    let program = program(
        at.path(),
        &format!(
            "if ! [ $(count) -gt {LIMIT} ]; then until_ are {LIMIT}; sleep 0.5; \
             [ $(count) -eq {LIMIT} ] || touch $at/too-many; fi"
        ),
    );
    program.work(None).capture("s", &images).unwrap();
    assert_eq!(present(at.path()), LIMIT + 2);
    assert!(!at.path().join("too-many").exists());
    for image in &images {
        assert_eq!(names(image), ["s"]);
    }
}
