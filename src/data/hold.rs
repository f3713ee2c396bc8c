//! Images kept from being opened by a guest, by the locks that QEMU itself uses.
//!
//! QEMU locks single bytes of an image (block/file-posix.c, since 2.10): byte 100 + n says "I do this",
//! byte 200 + n says "nobody may do this"; n is 1 for writing and 3 for changing the size. Who
//! wants to do something first looks whether anybody forbids it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;

use super::qcow2::ImageFile;
use crate::error::{Error, Result};
use crate::sys;

const DOES: i64 = 100;
const FORBIDS: i64 = 200;
const WRITING: i64 = 1;
const RESIZING: i64 = 3;

/// Images that nobody can open for writing, as long as this value lives: neither a guest nor
/// `qemu-img`.
#[derive(Debug, Default)]
pub struct Hold {
    files: Vec<File>,
    stamps: Stamps,
}

/// The state in which images were when they were held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

/// What changes whenever somebody writes to a file.
pub(super) type Stamp = (i64, i64, u64);

impl Hold {
    /// Takes hold of images, each with the disk it is of. Fails if somebody has one open for writing.
    /// An image that is not there, or on a file system without such locks, is in nobody's hands.
    pub fn take(images: &[(String, PathBuf)]) -> Result<Hold> {
        let mut hold = Hold::default();
        for (disk, path) in images {
            if let Ok(file) = ImageFile::open(path).map(ImageFile::into_file) {
                match forbid(&file) {
                    Ok(true) => hold.files.push(file),
                    // There are file systems without locks: QEMU goes without, too.
                    Err(_) => {}
                    Ok(false) => return Err(in_use(disk, path)),
                }
            }
            hold.stamps.0.push((path.clone(), stamp(path)));
        }
        Ok(hold)
    }

    /// How the images are.
    pub fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// Lets go of them.
    pub fn release(self) -> Stamps {
        drop(self.files);
        self.stamps
    }
}

/// Why an image could not be written to. Asked with access(2): opening a block device for writing
/// and closing it makes udev look at it anew.
pub fn write_refused(path: &Path) -> Option<Errno> {
    let access = Access::READ_OK | Access::WRITE_OK;
    rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS).err()
}

fn in_use(disk: &str, path: &Path) -> Error {
    Error::ImageUnusable {
        disk: disk.to_owned(),
        image: path.to_owned(),
        reason: "a program has it open for writing: the guest was started".to_owned(),
    }
}

/// Forbids writing; `false` if somebody does.
fn forbid(file: &File) -> std::result::Result<bool, Errno> {
    for what in [WRITING, RESIZING] {
        sys::share_byte(file, FORBIDS + what)?;
    }
    // Afterwards, as QEMU: of two who come at once, one at least sees the other.
    for what in [WRITING, RESIZING] {
        if sys::is_byte_locked(file, DOES + what)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A file's stamp now; `None` if there is no such file.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.len()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn write(image: &Path) -> bool {
        let done = Command::new("qemu-io")
            .args(["-f", "raw", "-c", "write 0 512"])
            .arg(image)
            .output()
            .unwrap();
        done.status.success()
    }

    #[test]
    fn qemu_cannot_write_to_what_is_held() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("a.raw");
        std::fs::write(&image, [0; 4096]).unwrap();
        let images = [("vda".to_owned(), image.clone())];
        let hold = Hold::take(&images).unwrap();
        assert!(!write(&image));
        // Several may hold it.
        let again = Hold::take(&images).unwrap();
        assert_eq!(again.stamps(), hold.stamps());
        drop((hold, again));
        assert!(write(&image));
    }

    #[test]
    fn what_qemu_writes_to_cannot_be_held() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("a.raw");
        std::fs::write(&image, [0; 4096]).unwrap();
        let images = [("vda".to_owned(), image.clone())];
        let mut writer = Command::new("qemu-io")
            .args(["-f", "raw", "-c", "write -P 7 0 512", "-c", "sleep 600000"])
            .arg(&image)
            .spawn()
            .unwrap();
        let has_written = (0..600).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            std::fs::read(&image).unwrap().first() == Some(&7)
        });
        let refused = Hold::take(&images);
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert!(has_written);
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("has it open for writing"), "{told}");
        assert!(Hold::take(&images).is_ok());
    }

    #[test]
    fn what_was_written_between_two_holds_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("a.raw");
        std::fs::write(&image, [0; 4096]).unwrap();
        let images = [("vda".to_owned(), image.clone())];
        let before = Hold::take(&images).unwrap().release();
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(&image, [1; 4096]).unwrap();
        assert_ne!(*Hold::take(&images).unwrap().stamps(), before);
    }
}
