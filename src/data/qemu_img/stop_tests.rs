//! Work that is stopped halfway: a `qemu-img commit` that has to be slow.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;
use crate::data::Layer;
use crate::data::progress::Wish;

const DISK_BYTES: u64 = 64 << 20;

/// Limits the rate, so that 48 MiB take some seconds; QEMU copies up to 16 MiB at once.
const SLOW: &str = "#!/bin/sh\n\
    if [ \"$1\" = commit ]; then shift; exec qemu-img commit -r 8M \"$@\"; fi\n\
    exec qemu-img \"$@\"\n";

/// Stops as soon as something is done, and keeps what it was told.
#[derive(Default)]
struct StopHalfway(Mutex<Vec<(u64, u64)>>);

impl Progress for StopHalfway {
    fn report(&self, done: u64, total: u64) -> Wish {
        self.0.lock().push((done, total));
        if done > 0 { Wish::Stop } else { Wish::GoOn }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.expect("this test needs qemu-img and qemu-io");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

fn assert_shows(image: &Path) {
    let read = ["-r", "-c", "read -P 0x22 0 48M", "-c", "read -P 0 48M 16M"];
    let arguments = ["-f", "qcow2"].into_iter().chain(read);
    let arguments: Vec<&str> = arguments.chain([image.to_str().unwrap()]).collect();
    run("qemu-io", &arguments);
}

#[test]
fn a_commit_that_is_stopped_halfway_is_finished_by_the_next() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let layer = |name: &str| Layer {
        path: path(name),
        format: Some("qcow2".to_owned()),
    };
    let (base, top) = (path("base"), path("top"));
    let (base, top) = (base.to_str().unwrap(), top.to_str().unwrap());
    run("qemu-img", &["create", "-q", "-f", "qcow2", base, "64M"]);
    let overlay = [
        "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, top,
    ];
    run("qemu-img", &overlay);
    run(
        "qemu-io",
        &["-f", "qcow2", "-c", "write -P 0x22 0 48M", top],
    );
    let slow = path("slow");
    fs::write(&slow, SLOW).unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o700)).unwrap();

    let watch = Arc::new(StopHalfway::default());
    let watched = QemuImg::new(slow).watched(Arc::clone(&watch) as _).unwrap();
    let step = [Merge::Commit {
        disk: "vda".to_owned(),
        top: layer("top"),
        base: layer("base"),
    }];
    let stopped = watched.merge(&step, None, Beside::default()).unwrap_err();
    assert!(
        matches!(stopped, Merged::Partly(Error::Cancelled { .. })),
        "{stopped:?}"
    );
    let told = watch.0.lock().clone();
    assert_eq!(told.first(), Some(&(0, DISK_BYTES)));
    let last = told.last().unwrap();
    assert!(0 < last.0 && last.0 < DISK_BYTES, "{told:?}");
    assert!(told.iter().all(|(_, total)| *total == DISK_BYTES));
    assert_shows(Path::new(top));

    QemuImg::new("qemu-img")
        .merge(&step, None, Beside::default())
        .unwrap();
    assert_shows(Path::new(base));
    assert_shows(Path::new(top));
}
