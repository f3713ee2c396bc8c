//! Files that a guest's programs write: read and replaced without following a link, waiting for a FIFO
//! or believing a size.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Uid};

use crate::limits;

/// What ends the name of a file that is about to take another's place.
const NEW: &str = ".virsnap-new";

/// Why something cannot be done with a file; it goes behind the file's name.
pub(super) type Attempt<T> = Result<T, String>;

/// A regular file that is to be read.
pub(super) struct Readable {
    pub file: File,
    pub size: u64,
}

/// Opens a regular file of at most that many bytes; `None` if there is none in a directory that is
/// there.
pub(super) fn open(path: &Path, most_bytes: u64) -> Attempt<Option<Readable>> {
    match inspect(path)? {
        None => return Ok(None),
        Some(found) => check_regular(&found, most_bytes)?,
    }
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path)
        .and_then(|file| Ok((file.metadata()?, file)));
    let (found, file) = opened.map_err(|error| format!("cannot be opened: {error}"))?;
    // It may have become another one meanwhile.
    check_regular(&found, most_bytes)?;
    Ok(Some(Readable {
        file,
        size: found.len(),
    }))
}

/// What stands at a path; `None` if nothing does, in a directory that is there.
pub(super) fn inspect(path: &Path) -> Attempt<Option<Metadata>> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match path.parent().map(Path::try_exists) {
                Some(Ok(true)) => Ok(None),
                _ => Err("cannot be reached: its directory is missing".to_owned()),
            }
        }
        Err(error) => Err(format!("cannot be looked at: {error}")),
    }
}

fn check_regular(found: &Metadata, most_bytes: u64) -> Attempt<()> {
    if !found.is_file() {
        return Err("is no regular file".to_owned());
    }
    if found.len() > most_bytes {
        return Err(format!("is larger than {most_bytes} bytes"));
    }
    Ok(())
}

/// Refuses what a file could not take the place of.
pub(super) fn check_replaceable(path: &Path) -> Attempt<()> {
    match inspect(path)? {
        Some(found) if !found.is_file() => Err("is no regular file".to_owned()),
        _ => Ok(()),
    }
}

/// Names of the files in a directory, in order, without locks and sockets, which are no state; none if
/// there is no directory. Links, FIFOs, devices and directories are refused: what they hold would not
/// be kept.
pub(super) fn names(directory: &Path) -> Attempt<Vec<String>> {
    match inspect(directory)? {
        None => return Ok(Vec::new()),
        Some(found) if !found.is_dir() => return Err("is no directory".to_owned()),
        Some(_) => {}
    }
    let failed = |error: io::Error| format!("cannot be read: {error}");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| format!("has a file whose name is not UTF-8: {name:?}"))?;
        if kind.is_socket() || name == LOCK || name.ends_with(NEW) {
            continue;
        }
        if !kind.is_file() {
            return Err(format!("holds '{name}', which is no regular file"));
        }
        names.push(name);
        if names.len() > limits::FIRMWARE_FILES {
            let limit = limits::FIRMWARE_FILES;
            return Err(format!("holds more than {limit} files"));
        }
    }
    names.sort();
    Ok(names)
}

/// What swtpm locks in its directory.
const LOCK: &str = ".lock";

/// The file that is about to take a file's place.
pub(super) fn staged(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned().into_vec();
    name.extend(NEW.bytes());
    OsString::from_vec(name).into()
}

/// Writes a file beside the one whose place it is about to take, with its owner and its mode.
pub(super) fn stage(path: &Path, mut content: impl Read) -> Attempt<()> {
    let new = staged(path);
    remove(&new)?;
    let written = create(&new).and_then(|mut file| {
        copy(&mut content, &mut file)?;
        take_after(path, &file)?;
        file.sync_all()
    });
    written.map_err(|error| {
        // What is left is told, or overwritten, by the next attempt.
        let _ = std::fs::remove_file(&new);
        format!("cannot be written anew: {error}")
    })
}

/// Bytes that are copied at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Copies by writing. What the kernel copies by itself may share blocks with the original, which then
/// needs space when its owner writes to it.
pub(super) fn copy(from: &mut impl Read, to: &mut File) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut copied = 0_u64;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(buffer.get(..count).unwrap_or_default())?;
        copied = copied.saturating_add(count as u64);
    }
}

/// A new file, its owner's alone.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

/// Gives a file the owner and mode of another, or of its directory and its owner's alone.
fn take_after(path: &Path, file: &File) -> io::Result<()> {
    let own = file.metadata()?;
    let (model, mode) = match std::fs::symlink_metadata(path) {
        Ok(found) => {
            let mode = found.mode() & 0o777;
            (found, mode)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(Path::new("/"));
            (std::fs::metadata(directory)?, 0o600)
        }
        Err(error) => return Err(error),
    };
    if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
        let (owner, group) = (Uid::from_raw(model.uid()), Gid::from_raw(model.gid()));
        rustix::fs::fchown(file, Some(owner), Some(group))?;
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
    Ok(())
}

/// Puts a file that was staged in its place.
pub(super) fn replace(path: &Path) -> Attempt<()> {
    std::fs::rename(staged(path), path).map_err(|error| format!("cannot be replaced: {error}"))
}

/// Removes a file; one that is gone is no error.
pub(super) fn remove(path: &Path) -> Attempt<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot be removed: {error}"))
        }
        _ => Ok(()),
    }
}

/// Makes a directory that is its owner's alone, if it is not there.
pub(super) fn make_directory(path: &Path) -> Attempt<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(format!("cannot be made: {error}"))
        }
        _ => Ok(()),
    }
}

/// Makes the names in a file's directory durable.
pub(super) fn sync_directory_of(path: &Path) -> Attempt<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| format!("cannot be made durable: {error}"))
}
