//! Operations on real images: names, paths, faults at every call, hostile surroundings.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::*;

const FORMER: u8 = 0x22;
const CAPTURED: u8 = 0x11;

/// Runs a QEMU program; a missing one fails the test.
pub(super) fn qemu(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .expect("these tests need qemu-img and qemu-io")
}

fn qemu_img(arguments: &[&str]) {
    let output = qemu("qemu-img", arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// The image as the programs' `--image-opts` for paths of every kind, independent of ours.
fn json(image: &Image) -> String {
    let path = image.path.to_str().unwrap();
    let path = path
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('\n', r"\n");
    format!(
        "json:{{\"driver\":\"qcow2\",\"file\":{{\"driver\":\"file\",\"filename\":\"{path}\"}}}}"
    )
}

fn io(image: &Image, command: &str) -> String {
    let output = qemu("qemu-io", &["-c", command, &json(image)]);
    assert!(
        output.status.success() || command.starts_with("read"),
        "{output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn write(image: &Image, pattern: u8) {
    io(image, &format!("write -P {pattern} 1M 64k"));
}

/// What the guest would read.
fn content(image: &Image) -> u8 {
    let shows = |pattern: &u8| {
        let output = io(image, &format!("read -P {pattern} 1M 64k"));
        assert!(output.contains("read 65536/65536 bytes"), "{output}");
        !output.contains("Pattern verification failed")
    };
    [FORMER, CAPTURED, 0x33, 0]
        .into_iter()
        .find(shows)
        .expect("an unknown pattern")
}

pub(super) fn names(image: &Image) -> Vec<String> {
    let facts = Target::open(image).unwrap().facts().unwrap();
    let text = |entry: &crate::data::qcow2::Entry| String::from_utf8(entry.name.to_vec()).unwrap();
    facts.snapshots.iter().map(text).collect()
}

pub(super) fn new_image(directory: &Path, file: &str) -> Image {
    let path = directory.join(file);
    let plain = directory.join("new.qcow2");
    qemu_img(&["create", "-q", "-f", "qcow2", plain.to_str().unwrap(), "8M"]);
    fs::rename(plain, &path).unwrap();
    Image {
        disk: format!("disk-{file}"),
        path,
    }
}

/// Two images that hold `s` and other content since.
fn pair(directory: &Path) -> Vec<Image> {
    let images: Vec<Image> = ["a.qcow2", "b.qcow2"]
        .map(|file| new_image(directory, file))
        .into();
    for image in &images {
        write(image, CAPTURED);
        qemu_img(&["snapshot", "-c", "s", image.path.to_str().unwrap()]);
        write(image, FORMER);
    }
    images
}

fn data() -> QemuImg {
    QemuImg::new("qemu-img")
}

#[test]
fn any_name_is_captured_applied_and_dropped() {
    let directory = TempDir::new().unwrap();
    let image = new_image(directory.path(), "a.qcow2");
    let images = std::slice::from_ref(&image);
    write(&image, 0x33);
    // Takes the ID 1, which a name below has too.
    data().work(None).capture("other", images).unwrap();
    let long = "é".repeat(123);
    for name in [
        "1",
        "--help",
        "-c",
        "a'b\"c\\d",
        " b  c ",
        "a,b=c",
        "ü€😀",
        "a\nb",
        "%s",
        &long,
    ] {
        write(&image, CAPTURED);
        data().work(None).capture(name, images).unwrap();
        assert_eq!(names(&image), ["other", name]);
        assert_eq!(count(name, images).unwrap(), 1);
        write(&image, FORMER);
        data().work(None).restore(name, images).unwrap();
        assert_eq!(content(&image), CAPTURED, "{name}");
        data().work(None).drop_data(name, images).unwrap();
        assert_eq!(names(&image), ["other"]);
    }
    data().work(None).restore("other", images).unwrap();
    assert_eq!(content(&image), 0x33);
}

#[test]
fn any_path_is_only_a_path() {
    let directory = TempDir::new().unwrap();
    let odd = directory.path().join("-d, e=f");
    fs::create_dir(&odd).unwrap();
    for file in [
        "a,b.qcow2",
        "-c",
        "nbd:x",
        "a'b\"c\\d",
        "a b",
        "ü",
        ",,",
        "json:{}",
        "a\nb",
    ] {
        let image = new_image(&odd, file);
        write(&image, CAPTURED);
        data()
            .work(None)
            .capture("s", std::slice::from_ref(&image))
            .unwrap();
        write(&image, FORMER);
        data()
            .work(None)
            .restore("s", std::slice::from_ref(&image))
            .unwrap();
        assert_eq!(content(&image), CAPTURED, "{file}");
    }
}

#[test]
fn names_that_qemu_would_change_are_refused() {
    let directory = TempDir::new().unwrap();
    let images = [new_image(directory.path(), "a.qcow2")];
    for name in ["", "a\0b", BEFORE, &"x".repeat(248)] {
        let error = data().work(None).capture(name, &images).unwrap_err();
        assert!(matches!(error, Error::SnapshotName { .. }), "{error}");
    }
    assert!(names(&images[0]).is_empty());
}

#[test]
fn held_name_is_refused_before_any_image_is_touched() {
    let directory = TempDir::new().unwrap();
    let images = ["a", "b"].map(|file| new_image(directory.path(), file));
    qemu_img(&["snapshot", "-c", "s", images[1].path.to_str().unwrap()]);
    let error = data().work(None).capture("s", &images).unwrap_err();
    assert!(
        matches!(error, Error::ImageHoldsName { count: 1, .. }),
        "{error}"
    );
    assert!(names(&images[0]).is_empty());
    assert_eq!(count("s", &images).unwrap(), 1);
}

#[test]
fn lacking_image_is_found_before_any_image_is_touched() {
    let directory = TempDir::new().unwrap();
    let mut images = pair(directory.path());
    images.push(new_image(directory.path(), "c.qcow2"));
    let error = data().work(None).restore("s", &images).unwrap_err();
    assert!(matches!(&error, Error::ImageLacksSnapshot { disk, .. } if disk == "disk-c.qcow2"));
    assert_eq!(content(&images[0]), FORMER);
    assert_eq!(names(&images[0]), ["s"]);
    data().work(None).drop_data("s", &images).unwrap();
    data().work(None).drop_data("s", &images).unwrap();
    assert_eq!(count("s", &images).unwrap(), 0);
}

#[test]
fn name_held_twice_is_never_guessed() {
    let directory = TempDir::new().unwrap();
    let images = [new_image(directory.path(), "a.qcow2")];
    for _ in 0..2 {
        qemu_img(&["snapshot", "-c", "s", images[0].path.to_str().unwrap()]);
    }
    let attempts = [
        data().work(None).restore("s", &images),
        data().work(None).drop_data("s", &images),
    ];
    for error in attempts.map(Result::unwrap_err) {
        assert!(
            error.to_string().contains("holds 2 snapshots of that name"),
            "{error}"
        );
    }
    assert_eq!(names(&images[0]), ["s", "s"]);
}

#[test]
fn unusable_images_are_refused_before_any_is_touched() {
    let directory = TempDir::new().unwrap();
    let good = new_image(directory.path(), "good.qcow2");
    let bad = directory.path().join("bad");
    let path = bad.to_str().unwrap();
    let refusals = |expected: &str| {
        let images = [
            good.clone(),
            Image {
                disk: "vdb".into(),
                path: bad.clone(),
            },
        ];
        let error = data().work(None).capture("s", &images).unwrap_err();
        assert!(
            matches!(&error, Error::ImageUnusable { disk, .. } if disk == "vdb"),
            "{error}"
        );
        assert!(error.to_string().contains(expected), "{error}");
        assert!(names(&good).is_empty());
    };
    refusals("No such file");
    qemu_img(&["create", "-q", "-f", "raw", path, "1M"]);
    refusals("not a qcow2 image");
    let external = format!("data_file={}", directory.path().join("data").display());
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", &external, path, "1M"]);
    refusals("external data file");
    fs::remove_file(&bad).unwrap();
    assert!(Command::new("mkfifo").arg(&bad).status().unwrap().success());
    refusals("neither a regular file");
}

#[test]
fn image_of_several_disks_is_worked_on_once() {
    let directory = TempDir::new().unwrap();
    let image = new_image(directory.path(), "a.qcow2");
    let link = directory.path().join("link");
    symlink(&image.path, &link).unwrap();
    let images = [
        image.clone(),
        image.clone(),
        Image {
            disk: "vdc".into(),
            path: link,
        },
    ];
    write(&image, CAPTURED);
    data().work(None).capture("s", &images).unwrap();
    assert_eq!(names(&image), ["s"]);
    assert_eq!(count("s", &images).unwrap(), 3);
    write(&image, FORMER);
    data().work(None).restore("s", &images).unwrap();
    assert_eq!(content(&image), CAPTURED);
    data().work(None).drop_data("s", &images).unwrap();
    assert!(names(&image).is_empty());
}

#[test]
fn image_that_a_guest_has_open_is_refused_unchanged() {
    let directory = TempDir::new().unwrap();
    let images = pair(directory.path());
    let mut guest = Command::new("qemu-io")
        .args(["-f", "qcow2", images[1].path.to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut prompt = [0; 8];
    std::io::Read::read_exact(guest.stdout.as_mut().unwrap(), &mut prompt).unwrap();
    let attempts = [
        data().work(None).capture("t", &images),
        data().work(None).restore("s", &images),
    ];
    for error in attempts.map(Result::unwrap_err) {
        assert!(error.to_string().contains("lock"), "{error}");
        assert!(
            matches!(&error, Error::ImageOperation { undo, .. } if undo.is_empty()),
            "{error}"
        );
    }
    assert_eq!(count("s", &images).unwrap(), 2);
    drop(guest.stdin.take());
    guest.wait().unwrap();
    for image in &images {
        assert_eq!(
            (content(image), names(image)),
            (FORMER, vec!["s".to_owned()])
        );
    }
}

#[test]
fn resized_image_goes_back_to_the_captured_size() {
    let directory = TempDir::new().unwrap();
    let images = pair(directory.path());
    qemu_img(&["resize", "-q", images[0].path.to_str().unwrap(), "64M"]);
    data().work(None).restore("s", &images).unwrap();
    let size = |image| Target::open(image).unwrap().facts().unwrap().virtual_size;
    assert_eq!((size(&images[0]), size(&images[1])), (8 << 20, 8 << 20));
    assert!(
        images
            .iter()
            .all(|image| content(image) == CAPTURED && names(image) == ["s"])
    );
}

#[test]
fn missing_program_is_named() {
    let directory = TempDir::new().unwrap();
    let images = pair(directory.path());
    let data = QemuImg::new("virsnap-no-such-program");
    for error in [
        data.work(None).capture("t", &images),
        data.work(None).restore("s", &images),
        data.work(None).drop_data("s", &images),
    ]
    .map(Result::unwrap_err)
    {
        let text = error.to_string();
        assert!(
            text.contains("cannot run 'virsnap-no-such-program': No such file"),
            "{text}"
        );
    }
}

/// More calls than any operation makes, within what every shell can count.
const CALLS: usize = 1_000_000;

/// A `qemu-img` that misbehaves from the call with that number on.
struct Faulty {
    directory: TempDir,
    program: std::path::PathBuf,
}

impl Faulty {
    /// `fault` is a shell command that runs instead of `qemu-img "$@"`.
    fn new(first: usize, last: usize, fault: &str) -> Faulty {
        let directory = TempDir::new().unwrap();
        let program = directory.path().join("qemu-img");
        // mkdir tells calls apart that run at the same time.
        let script = format!(
            "#!/bin/sh\nn=0\nwhile ! mkdir {0}/call.$n 2>/dev/null; do n=$((n+1)); done\n\
             if [ $n -ge {first} ] && [ $n -le {last} ]; then\n{fault}\nfi\nexec qemu-img \"$@\"\n",
            directory.path().display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Faulty { directory, program }
    }

    /// Whether the faulty call was reached.
    fn struck(&self, call: usize) -> bool {
        self.directory.path().join(format!("call.{call}")).exists()
    }
}

const FAULTS: [&str; 4] = [
    "echo 'qemu-img: injected' >&2; exit 1",
    "exit 0",
    "qemu-img \"$@\"; echo 'qemu-img: injected' >&2; exit 1",
    "kill -9 $$",
];

/// Runs an operation with each fault at each call, on fresh images each time. With
/// [`CALLS`] as the last call the images end as after a crash at the first.
fn with_every_fault(last: Option<usize>, trial: impl Fn(&QemuImg, &[Image], &str)) -> usize {
    let master = TempDir::new().unwrap();
    let originals = pair(master.path());
    let mut trials = 0;
    for fault in FAULTS {
        for call in 0.. {
            let directory = TempDir::new().unwrap();
            let images: Vec<Image> = originals
                .iter()
                .map(|image| {
                    let path = directory.path().join(image.path.file_name().unwrap());
                    fs::copy(&image.path, &path).unwrap();
                    Image {
                        disk: image.disk.clone(),
                        path,
                    }
                })
                .collect();
            let faulty = Faulty::new(call, last.unwrap_or(call), fault);
            trial(
                &QemuImg::new(&faulty.program),
                &images,
                &format!("{fault}, call {call}"),
            );
            for image in &images {
                // 3: leaked clusters only, which cost space and no data.
                let check = qemu("qemu-img", &["check", "-q", image.path.to_str().unwrap()]);
                assert!(
                    matches!(check.status.code(), Some(0 | 3)),
                    "{fault} {call}: {check:?}"
                );
            }
            if !faulty.struck(call) {
                break;
            }
            trials += 1;
        }
    }
    trials
}

fn contents(images: &[Image]) -> Vec<u8> {
    images.iter().map(content).collect()
}

fn tables(images: &[Image]) -> Vec<Vec<String>> {
    images.iter().map(names).collect()
}

#[test]
fn create_with_one_fault_is_done_or_not_done() {
    let trials = with_every_fault(None, |faulty, images, trial| {
        let result = faulty.work(None).capture("t", images);
        let expected = if result.is_ok() {
            vec!["s", "t"]
        } else {
            vec!["s"]
        };
        assert_eq!(
            tables(images),
            [expected.clone(), expected],
            "{trial}: {result:?}"
        );
        assert_eq!(contents(images), [FORMER, FORMER], "{trial}");
        if let Err(error) = result {
            assert!(matches!(&error, Error::ImageOperation { undo, .. } if undo.is_empty()));
        }
    });
    assert_eq!(trials, 4 * 2);
}

#[test]
fn create_cut_off_anywhere_is_undone() {
    with_every_fault(Some(CALLS), |faulty, images, trial| {
        let _ = faulty.work(None).capture("t", images);
        data().work(None).drop_data("t", images).unwrap();
        data().work(None).drop_data("t", images).unwrap();
        assert_eq!(tables(images), [["s"], ["s"]], "{trial}");
        assert_eq!(contents(images), [FORMER, FORMER], "{trial}");
        data().work(None).capture("t", images).unwrap();
    });
}

#[test]
fn revert_with_one_fault_is_done_or_not_done() {
    let trials = with_every_fault(None, |faulty, images, trial| {
        let result = faulty.work(None).restore("s", images);
        let expected = if result.is_ok() { CAPTURED } else { FORMER };
        assert_eq!(
            contents(images),
            [expected, expected],
            "{trial}: {result:?}"
        );
        if let Err(error) = &result {
            assert!(matches!(error, Error::ImageOperation { undo, .. } if undo.is_empty()));
            assert_eq!(tables(images), [["s"], ["s"]], "{trial}");
        }
        data().work(None).restore("s", images).unwrap();
        assert_eq!(contents(images), [CAPTURED, CAPTURED], "{trial}");
        assert_eq!(tables(images), [["s"], ["s"]], "{trial}");
    });
    // Two images: captured, applied, dropped; a single fault is tried at each.
    assert!(trials >= 4 * 6, "{trials}");
}

#[test]
fn revert_cut_off_anywhere_is_finished_by_the_next() {
    with_every_fault(Some(CALLS), |faulty, images, trial| {
        let _ = faulty.work(None).restore("s", images);
        data().work(None).restore("s", images).unwrap();
        assert_eq!(contents(images), [CAPTURED, CAPTURED], "{trial}");
        assert_eq!(tables(images), [["s"], ["s"]], "{trial}");
    });
}

#[test]
fn revert_cut_off_and_failing_again_goes_back_to_the_former_content() {
    with_every_fault(Some(CALLS), |faulty, images, trial| {
        if faulty.work(None).restore("s", images).is_ok() {
            return;
        }
        // Each of these fails at the second image's content only.
        let blocked = Faulty::new(
            0,
            CALLS,
            "case \"$*\" in *-a\\ 1*b.qcow2) echo 'qemu-img: injected' >&2; exit 1;; esac",
        );
        let shown = contents(images);
        let result = QemuImg::new(&blocked.program)
            .work(None)
            .restore("s", images);
        let expected = if result.is_ok() { CAPTURED } else { FORMER };
        assert_eq!(
            contents(images),
            [expected, expected],
            "{trial}, from {shown:?}: {result:?}"
        );
        assert_eq!(tables(images), [["s"], ["s"]], "{trial}");
    });
}

#[test]
fn content_written_after_a_cut_off_revert_is_not_lost_to_it() {
    let directory = TempDir::new().unwrap();
    let images = pair(directory.path());
    for image in &images {
        qemu_img(&["snapshot", "-c", BEFORE, image.path.to_str().unwrap()]);
        write(image, 0x33);
    }
    let fault = "case \"$*\" in *-a\\ 1*b.qcow2) exit 1;; esac";
    let blocked = Faulty::new(0, CALLS, fault);
    QemuImg::new(&blocked.program)
        .work(None)
        .restore("s", &images)
        .unwrap_err();
    assert_eq!(contents(&images), [0x33, 0x33]);
    data().work(None).restore("s", &images).unwrap();
    assert_eq!(contents(&images), [CAPTURED, CAPTURED]);
    assert_eq!(tables(&images), [["s"], ["s"]]);
}

#[test]
fn delete_with_one_fault_is_done_or_not_done() {
    let trials = with_every_fault(None, |faulty, images, trial| {
        let result = faulty.work(None).drop_data("s", images);
        let expected: &[&str] = if result.is_ok() { &[] } else { &["s"] };
        assert_eq!(tables(images), [expected, expected], "{trial}: {result:?}");
        assert_eq!(contents(images), [FORMER, FORMER], "{trial}");
    });
    assert!(trials >= 4 * 2, "{trials}");
}

#[test]
fn delete_cut_off_anywhere_is_finished() {
    with_every_fault(Some(CALLS), |faulty, images, trial| {
        if let Err(error) = faulty.work(None).drop_data("s", images) {
            let first_is_gone = names(&images[0]).is_empty();
            let text = error.to_string();
            assert_eq!(
                text.contains("data remains on disk-b.qcow2"),
                first_is_gone,
                "{text}"
            );
        }
        data().work(None).drop_data("s", images).unwrap();
        data().work(None).drop_data("s", images).unwrap();
        assert_eq!(count("s", images).unwrap(), 0, "{trial}");
        assert_eq!(contents(images), [FORMER, FORMER], "{trial}");
    });
}

#[test]
fn old_program_never_drops_another_snapshot_by_its_id() {
    let directory = TempDir::new().unwrap();
    let images = [new_image(directory.path(), "a.qcow2")];
    for name in ["other", "1"] {
        data().work(None).capture(name, &images).unwrap();
    }
    let version = "[ \"$1\" = --version ] && echo 'qemu-img version 3.1.0' && exit 0";
    let old = Faulty::new(0, CALLS, version);
    let error = QemuImg::new(&old.program)
        .work(None)
        .drop_data("1", &images)
        .unwrap_err();
    assert!(error.to_string().contains("too old"), "{error}");
    assert_eq!(names(&images[0]), ["other", "1"]);
    data().work(None).drop_data("1", &images).unwrap();
    assert_eq!(names(&images[0]), ["other"]);
}

/// Not a test by itself: the operations, in a process of the shape that the variable names.
#[test]
fn whole_life_in_odd_process() {
    // The tests below run it, in a process of its own.
    let Ok(shape) = std::env::var("VIRSNAP_TEST_PROCESS") else {
        return;
    };
    let path = std::env::var_os("VIRSNAP_TEST_IMAGE").unwrap();
    let images = [Image {
        disk: "vda".into(),
        path: path.into(),
    }];
    if shape == "reaper" {
        std::thread::spawn(|| {
            loop {
                if rustix::process::wait(rustix::process::WaitOptions::empty()).is_err() {
                    std::thread::yield_now();
                }
            }
        });
    }
    for round in 0..20 {
        data().work(None).capture("s", &images).unwrap();
        data().work(None).restore("s", &images).unwrap();
        data().work(None).drop_data("s", &images).unwrap();
        data().work(None).restore("s", &images).unwrap_err();
        let missing = QemuImg::new("virsnap-no-such-program")
            .work(None)
            .capture("s", &images);
        assert!(
            missing.unwrap_err().to_string().contains("cannot run"),
            "round {round}"
        );
    }
}

fn live_in(shape: &str, environment: &[&str]) {
    let directory = TempDir::new().unwrap();
    let image = new_image(directory.path(), "a.qcow2");
    let output = Command::new("env")
        .args(environment)
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "data::qemu_img::tests::whole_life_in_odd_process",
        ])
        .env("VIRSNAP_TEST_PROCESS", shape)
        .env("VIRSNAP_TEST_IMAGE", &image.path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{shape}: {output:?}"
    );
}

#[test]
fn works_where_sigchld_and_sigpipe_are_ignored() {
    live_in("ignored", &["--ignore-signal=CHLD", "--ignore-signal=PIPE"]);
}

#[test]
fn works_where_all_signals_are_blocked() {
    live_in("blocked", &["--block-signal"]);
}

#[test]
fn works_where_another_thread_reaps_all_children() {
    live_in("reaper", &[]);
}
