//! Whose turn it is to begin a domain's move, or to take that back.
//!
//! A copy begins a move and cancels it, and who begins one that goes on already joins it. So a copy must
//! not cancel what a move has joined meanwhile: else the destination has the domain, and so has the
//! source. Processes of this program have turns, from the question whether a move goes on to the
//! cancel: a `flock` on `lock/.export-UUID` in the state directory, which ends with its process.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::failure::{Failure, Outcome};
use crate::ffi::Domain;
use crate::terminal::Terminal;

/// Where turns are taken.
pub struct Turns {
    locks: PathBuf,
}

/// A turn. It ends when this goes, and the file goes with it.
pub struct Turn {
    path: PathBuf,
    _locked: File,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // While it is locked. One that stays only lies there.
        let _ = fs::remove_file(&self.path);
    }
}

impl Turns {
    /// Those of a state directory.
    pub fn of(directory: &Path) -> Turns {
        Turns {
            locks: directory.join("lock"),
        }
    }

    /// Waits for the turn.
    pub fn take(&self, domain: &Domain, terminal: Terminal) -> Outcome<Turn> {
        // Makes the directory, where nothing has been written yet.
        domain.migrate_state()?;
        let path = self.locks.join(format!(".export-{}", domain.uuid()?));
        let failed = |error: std::io::Error| Failure::file(&path, &error);
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => {
                    terminal.note(format!(
                        "waiting until another export of '{}' has ended",
                        domain.name()
                    ));
                    wait(&file).map_err(failed)?;
                }
                locked => locked.map_err(|error| failed(error.into()))?,
            }
            if is_at(&file, &path).map_err(failed)? {
                return Ok(Turn {
                    path,
                    _locked: file,
                });
            }
        }
    }
}

fn wait(file: &File) -> std::io::Result<()> {
    loop {
        match flock(file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            locked => return Ok(locked?),
        }
    }
}

/// Whether the file has not been removed by the one before.
fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
