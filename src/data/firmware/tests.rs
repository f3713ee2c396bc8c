//! Copies of what firmware and TPM remember: what goes into one comes back, and nothing else does.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use std::fs::File;

use tempfile::TempDir;

use super::kept::MANIFEST;
use super::*;
use crate::data::{Beside, Guest};

/// A directory with variables and a TPM's state.
struct World {
    directory: TempDir,
    firmware: Firmware,
}

impl World {
    fn new() -> World {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("vars.fd"), vec![1; 1000]).unwrap();
        std::fs::create_dir(path("tpm")).unwrap();
        std::fs::write(path("tpm/tpm2-00.permall"), "permanent").unwrap();
        std::fs::write(path("tpm/.lock"), "").unwrap();
        let firmware = Firmware {
            nvram: Some(Nvram {
                path: path("vars.fd"),
                template: None,
            }),
            tpm: Some(Tpm::Directory(path("tpm"))),
            copy: Some(path("vars.fd.s")),
            is_reset: false,
        };
        World {
            directory,
            firmware,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn point(&self) -> Point<'_> {
        Point {
            name: "s",
            document: "",
            disks: &[],
            memory: None,
            firmware: &self.firmware,
            has_memory_inside: false,
            is_of_guest: false,
            guest: Guest::Waiting,
            lock: None,
            beside: Beside::default(),
        }
    }

    fn restore(&self) -> Result<()> {
        check_restore(&self.point())?;
        stage(&self.point())?;
        replace(&self.point())
    }

    /// Path and content of every regular file.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for directory in ["", "tpm/"] {
            let Ok(entries) = std::fs::read_dir(self.path(directory)) else {
                continue;
            };
            for entry in entries {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let path = self.path(directory).join(&name);
                if std::fs::symlink_metadata(&path).unwrap().is_file() {
                    files.push((format!("{directory}{name}"), std::fs::read(path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

fn refusal<T>(result: Result<T>) -> String {
    result.map(drop).unwrap_err().to_string()
}

#[test]
fn everything_comes_back_and_what_came_later_goes() {
    let world = World::new();
    capture(&world.point()).unwrap();
    let mode = std::fs::metadata(world.path("vars.fd.s"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = world.files();
    std::fs::write(world.path("vars.fd"), "changed").unwrap();
    std::fs::set_permissions(
        world.path("vars.fd"),
        std::fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    std::fs::remove_file(world.path("tpm/tpm2-00.permall")).unwrap();
    std::fs::write(world.path("tpm/tpm2-00.volatilestate"), "later").unwrap();
    let _socket = UnixListener::bind(world.path("tpm/socket")).unwrap();
    world.restore().unwrap();
    assert_eq!(world.files(), before);
    assert!(world.path("tpm/socket").exists());
    let mode = std::fs::metadata(world.path("vars.fd"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn what_was_not_there_is_not_there_again() {
    let world = World::new();
    std::fs::remove_file(world.path("vars.fd")).unwrap();
    std::fs::remove_dir_all(world.path("tpm")).unwrap();
    capture(&world.point()).unwrap();
    let before = world.files();
    std::fs::write(world.path("vars.fd"), "later").unwrap();
    std::fs::create_dir(world.path("tpm")).unwrap();
    std::fs::write(world.path("tpm/tpm2-00.permall"), "later").unwrap();
    world.restore().unwrap();
    assert_eq!(world.files(), before);
}

#[test]
fn a_tpm_whose_directory_is_gone_gets_one() {
    let world = World::new();
    capture(&world.point()).unwrap();
    let mut before = world.files();
    before.retain(|(name, _)| name != "tpm/.lock");
    std::fs::remove_dir_all(world.path("tpm")).unwrap();
    world.restore().unwrap();
    assert_eq!(world.files(), before);
}

#[test]
fn a_tpm_in_one_file_is_kept() {
    let mut world = World::new();
    world.firmware.tpm = Some(Tpm::File(world.path("tpm.state")));
    std::fs::write(world.path("tpm.state"), "state").unwrap();
    capture(&world.point()).unwrap();
    let before = world.files();
    std::fs::write(world.path("tpm.state"), "changed").unwrap();
    world.restore().unwrap();
    assert_eq!(world.files(), before);
    world.firmware.tpm = Some(Tpm::Directory(world.path("tpm")));
    let error = refusal(check_restore(&world.point()));
    assert!(error.contains("in another form"), "{error}");
}

fn fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

fn sparse(path: &Path, bytes: u64) {
    std::fs::File::create(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn what_is_no_file_or_too_much_is_refused_and_nothing_is_left() {
    type Make = fn(&Path);
    let hostile: [(Make, &str); 4] = [
        (
            |path| symlink("/etc/hostname", path).unwrap(),
            "no regular file",
        ),
        (fifo, "no regular file"),
        (|path| std::fs::create_dir(path).unwrap(), "no regular file"),
        (
            |path| sparse(path, limits::FIRMWARE_FILE_BYTES + 1),
            "is larger than 67108864 bytes",
        ),
    ];
    for (make, expected) in hostile {
        for place in ["vars.fd", "tpm/tpm2-00.permall", "tpm/another"] {
            let world = World::new();
            let _ = std::fs::remove_file(world.path(place));
            make(&world.path(place));
            let error = refusal(check_capture(&world.point()));
            assert!(error.contains(expected), "{place}: {error}");
            refusal(capture(&world.point()));
            assert!(!world.path("vars.fd.s").exists(), "{place}");
        }
    }
    let world = World::new();
    for number in 0..limits::FIRMWARE_FILES {
        std::fs::write(world.path(&format!("tpm/{number}")), "").unwrap();
    }
    let error = refusal(capture(&world.point()));
    assert!(error.contains("holds more than 64 files"), "{error}");
}

#[test]
fn what_is_no_file_is_not_replaced() {
    for place in ["vars.fd", "tpm/tpm2-00.permall"] {
        let world = World::new();
        capture(&world.point()).unwrap();
        std::fs::remove_file(world.path(place)).unwrap();
        std::fs::write(world.path("elsewhere"), "untouched").unwrap();
        symlink(world.path("elsewhere"), world.path(place)).unwrap();
        let before = world.files();
        let error = refusal(check_restore(&world.point()));
        assert!(error.contains("no regular file"), "{place}: {error}");
        refusal(stage(&world.point()).and_then(|()| {
            assert_ne!(place, "tpm/tpm2-00.permall");
            check_restore(&world.point())
        }));
        unstage(&world.point());
        assert_eq!(world.files(), before);
    }
}

#[test]
fn a_link_in_the_place_of_a_new_file_is_not_followed() {
    let world = World::new();
    capture(&world.point()).unwrap();
    std::fs::write(world.path("elsewhere"), "untouched").unwrap();
    let before = world.files();
    symlink(world.path("elsewhere"), world.path("vars.fd.virsnap-new")).unwrap();
    world.restore().unwrap();
    assert_eq!(world.files(), before);
}

#[test]
fn a_file_in_the_place_of_the_copy_stays() {
    let world = World::new();
    std::fs::write(world.path("vars.fd.s"), "somebody's").unwrap();
    let before = world.files();
    let error = refusal(check_capture(&world.point()));
    assert!(error.contains("exists already"), "{error}");
    refusal(capture(&world.point()));
    take_back(&world.point()).unwrap();
    assert_eq!(world.files(), before);
}

#[test]
fn the_beginning_of_a_copy_is_taken_back() {
    let world = World::new();
    let before = world.files();
    capture(&world.point()).unwrap();
    let whole = std::fs::read(world.path("vars.fd.s")).unwrap();
    let zeros = vec![0; 4096];
    for begin in [&whole[..0], &whole[..3], &whole[..512], &whole, &zeros] {
        std::fs::write(world.path("vars.fd.s"), begin).unwrap();
        take_back(&world.point()).unwrap();
        assert_eq!(world.files(), before);
    }
    take_back(&world.point()).unwrap();
}

/// A copy with such entries behind a manifest.
fn forged(path: &Path, manifest: &str, entries: &[&str]) {
    let mut file = File::create(path).unwrap();
    let mut append = |name: &str, content: &str| {
        let size = content.len() as u64;
        archive::append(&mut file, name, size, content.as_bytes()).unwrap();
    };
    append(MANIFEST, manifest);
    for entry in entries {
        append(entry, "forged");
    }
    archive::end(&mut file).unwrap();
}

#[test]
fn a_copy_leads_nowhere_else() {
    let manifest = r#"{"snapshot":"s","parts":["nvram","tpm"]}"#;
    for entries in [
        &["../x"][..],
        &["/x"],
        &["tpm/"],
        &["tpm/."],
        &["tpm/.."],
        &["tpm/../../x"],
        &["tpm/a/b"],
        &["nvram", "nvram"],
        &["other"],
    ] {
        let world = World::new();
        forged(&world.path("vars.fd.s"), manifest, entries);
        let before = world.files();
        let error = refusal(check_restore(&world.point()));
        assert!(error.contains("is no copy"), "{entries:?}: {error}");
        refusal(stage(&world.point()));
        refusal(replace(&world.point()));
        assert_eq!(world.files(), before);
    }
}

#[test]
fn another_snapshots_copy_is_not_taken_for_ones_own() {
    let world = World::new();
    forged(
        &world.path("vars.fd.s"),
        r#"{"snapshot":"t","parts":[]}"#,
        &[],
    );
    let error = refusal(check_restore(&world.point()));
    assert!(error.contains("of another snapshot, 't'"), "{error}");
    assert!(!is_copy_of(&world.path("vars.fd.s"), "s"));
    assert!(is_copy_of(&world.path("vars.fd.s"), "t"));
    assert!(!is_copy_of(&world.path("vars.fd"), "s"));
}

#[test]
fn a_part_that_the_copy_lacks_stays_as_it_is() {
    let world = World::new();
    forged(
        &world.path("vars.fd.s"),
        r#"{"snapshot":"s","parts":["tpm"]}"#,
        &["tpm/tpm2-00.permall"],
    );
    world.restore().unwrap();
    let content = |name: &str| std::fs::read(world.path(name)).unwrap();
    assert_eq!(content("vars.fd"), vec![1; 1000]);
    assert_eq!(content("tpm/tpm2-00.permall"), b"forged");
}

#[test]
fn a_reset_takes_the_template_and_says_so_when_there_is_none() {
    let mut world = World::new();
    capture(&world.point()).unwrap();
    world.firmware.is_reset = true;
    let error = refusal(check_restore(&world.point()));
    assert!(error.contains("names no template"), "{error}");
    let template = Some(world.path("template"));
    let path = world.path("vars.fd");
    world.firmware.nvram = Some(Nvram { path, template });
    let error = refusal(check_restore(&world.point()));
    assert!(error.contains("template' is missing"), "{error}");
    std::fs::write(world.path("template"), "new").unwrap();
    std::fs::write(world.path("tpm/tpm2-00.permall"), "changed").unwrap();
    world.restore().unwrap();
    let content = |name: &str| std::fs::read(world.path(name)).unwrap();
    assert_eq!(content("vars.fd"), b"new");
    assert_eq!(content("tpm/tpm2-00.permall"), b"permanent");
}

#[test]
fn a_copy_that_is_missing_or_cut_off_is_a_difference() {
    let mut world = World::new();
    capture(&world.point()).unwrap();
    assert_eq!(difference(&world.point()), None);
    let copy = world.path("vars.fd.s");
    let whole = std::fs::read(&copy).unwrap();
    std::fs::write(&copy, &whole[..whole.len() - 1]).unwrap();
    let found = |world: &World| {
        let difference = difference(&world.point()).unwrap();
        (difference.verdict, difference.found)
    };
    let (verdict, text) = found(&world);
    assert_eq!(verdict, Verdict::Differs);
    assert!(text.contains("is not whole"), "{text}");
    std::fs::remove_file(&copy).unwrap();
    assert_eq!(
        found(&world),
        (Verdict::Differs, "there is no such file".to_owned())
    );
    world.firmware.copy = Some(world.path("no/directory"));
    assert_eq!(found(&world).0, Verdict::Unchecked);
}
