//! The rooms of a state directory, and the files in them.
//!
//! | room | what stands there |
//! | --- | --- |
//! | `snapshot/DOMAIN/` | `NAME.xml` each snapshot, and nothing else, as libvirt reads every entry |
//! | `domain/` | `DOMAIN.xml` each definition |
//! | `migration/` | `DOMAIN` what is kept about a migration: a few lines, or what has come in so far |
//! | `journal/` | `DOMAIN` the journal of a domain that has one |
//! | `summary/` | `DOMAIN` what was read of a domain's documents, for who loads them next; a cache |
//! | `damaged/DOMAIN/` | what a repair has moved out of the way |
//! | `stage/` | `DOMAIN.…` files on their way in or out; `.reserve.N` for journals on a full disk |
//! | `lock/` | `DOMAIN` held by its writer, with the process in it; `.changes` tells what has changed |

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use once_cell::sync::OnceCell;
use parking_lot::Mutex;
use rustix::io::Errno;

use super::check_name;
use super::folders::Folders;
use super::fs::{Answer, FileSystem, Kind};
use super::lock::Holder;
use crate::error::{Error, Result};
use crate::limits;

/// An open directory and where it is, for messages.
pub(super) struct Room<D> {
    /// The directory.
    pub dir: D,
    /// Its path.
    pub path: PathBuf,
}

impl<D> Room<D> {
    /// The error of a call on a file of this room.
    pub(super) fn failed(&self, action: &'static str, file: &str) -> impl Fn(Errno) -> Error {
        let path = self.path.join(file);
        move |errno| Error::io(action, path.clone(), errno)
    }

    /// The error of a call on the room itself.
    pub(super) fn failed_here(&self, action: &'static str) -> impl Fn(Errno) -> Error {
        let path = self.path.clone();
        move |errno| Error::io(action, path.clone(), errno)
    }
}

/// An open state directory.
pub(super) struct Rooms<F: FileSystem> {
    /// The file system it is on.
    pub fs: F,
    /// The directory itself.
    pub root: Room<F::Dir>,
    /// `snapshot/`
    pub snapshot: Room<F::Dir>,
    /// `domain/`
    pub domain: Room<F::Dir>,
    /// `migration/`
    pub migration: Room<F::Dir>,
    /// `journal/`
    pub journal: Room<F::Dir>,
    /// `stage/`
    pub stage: Room<F::Dir>,
    /// `lock/`
    pub lock: Room<F::Dir>,
    /// The directories of domains that a writer used last.
    pub folders: Folders<F::Dir>,
    /// Who of this process has which domain's lock.
    pub held: Mutex<HashMap<String, Holder>>,
    /// A journal was removed and the removal could not be made durable: a power cut may bring it
    /// back, so nothing may be changed until that has succeeded.
    pub journal_unsynced: AtomicBool,
    /// Who has changed what; opened by the first who asks.
    pub words: OnceCell<F::Words>,
}

/// The files that keep space for journals. Two: an intent, and the commit that replaces it.
pub(super) const RESERVES: [&str; 2] = [".reserve.0", ".reserve.1"];

/// A step that must not fail for a passing reason is tried twice.
pub(super) fn again<T>(call: impl Fn() -> Answer<T>) -> Answer<T> {
    call().or_else(|_| call())
}

/// Takes "there is none" as an answer.
pub(super) fn if_there<T>(answer: Answer<T>) -> Answer<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The file of a document.
pub(super) fn document_file(name: &str) -> String {
    format!("{name}.xml")
}

/// The name under which a domain's file number `number` is staged.
pub(super) fn staged_file(domain: &str, number: usize) -> String {
    format!("{domain}.{number}")
}

/// The name under which a domain's journal is staged.
pub(super) fn staged_journal(domain: &str) -> String {
    format!("{domain}.journal")
}

/// The name under which a domain's summary is staged.
pub(super) fn staged_summary(domain: &str) -> String {
    format!("{domain}.summary")
}

/// The name under which what a change replaces or removes waits until the change is durable.
pub(super) fn set_aside(domain: &str) -> String {
    format!("{domain}.before")
}

/// Refuses a domain name that cannot be a file name.
pub(super) fn check_domain(domain: &str) -> Result<()> {
    check_name(domain, limits::DOMAIN_NAME_BYTES).map_err(|reason| Error::DomainName {
        name: domain.to_owned(),
        reason,
    })
}

impl<F: FileSystem> Rooms<F> {
    /// Opens the rooms of a state directory, making those that are missing.
    pub(super) fn open(fs: F, root: F::Dir, path: &Path) -> Result<Rooms<F>> {
        let mut made = false;
        let mut open = |name: &str| -> Result<Room<F::Dir>> {
            let room = path.join(name);
            let dir = match if_there(fs.open_dir(&root, name)) {
                Ok(Some(dir)) => Ok(dir),
                Ok(None) => {
                    made = true;
                    make_dir(&fs, &root, name)
                }
                Err(errno) => Err(errno),
            };
            let dir = dir.map_err(|errno| Error::io("open directory", room.clone(), errno))?;
            check_trust(&fs, &dir, &room)?;
            Ok(Room { dir, path: room })
        };
        let (snapshot, domain) = (open("snapshot")?, open("domain")?);
        let (journal, stage, lock) = (open("journal")?, open("stage")?, open("lock")?);
        let migration = open("migration")?;
        // A process that died after it had made the rooms has not filled the reserves: until the
        // names of the rooms are durable nothing may be kept in them.
        if made || fs.kind(&stage.dir, RESERVES[0]).is_err() {
            fs.sync_dir(&root)
                .map_err(|errno| Error::io("sync directory", path, errno))?;
        }
        let held = Mutex::default();
        let journal_unsynced = AtomicBool::new(false);
        let rooms = Rooms {
            fs,
            root: Room {
                dir: root,
                path: path.to_owned(),
            },
            snapshot,
            domain,
            migration,
            journal,
            stage,
            lock,
            folders: Folders::default(),
            held,
            journal_unsynced,
            words: OnceCell::new(),
        };
        rooms.fill_reserves();
        Ok(rooms)
    }

    /// A directory in one of the rooms, if there is one.
    pub(super) fn room_below(
        &self,
        room: &Room<F::Dir>,
        name: &str,
    ) -> Result<Option<Room<F::Dir>>> {
        let dir = if_there(self.fs.open_dir(&room.dir, name))
            .map_err(room.failed("open directory", name))?;
        let Some(dir) = dir else {
            return Ok(None);
        };
        let path = room.path.join(name);
        check_trust(&self.fs, &dir, &path)?;
        Ok(Some(Room { dir, path }))
    }

    /// Keeps space for journals, as far as there is some.
    pub(super) fn fill_reserves(&self) {
        for file in RESERVES {
            if self.fs.kind(&self.stage.dir, file) == Err(Errno::NOENT) {
                let _ = self.stage(file, &vec![0; limits::JOURNAL_RESERVE_BYTES]);
            }
        }
    }

    /// Writes a file into `stage/`, durably but for its name; nothing is left of it on failure.
    pub(super) fn stage(&self, file: &str, bytes: &[u8]) -> Answer<()> {
        let write = || self.fs.sync(&self.stage_unsynced(file, bytes)?);
        write().inspect_err(|_| self.unstage(file))
    }

    /// As [`Rooms::stage`], not durable yet. On failure something may be left.
    pub(super) fn stage_unsynced(&self, file: &str, bytes: &[u8]) -> Answer<F::File> {
        let dir = &self.stage.dir;
        let open = match self.fs.create(dir, file) {
            // Written over, a file left from before could be one that has another name by now.
            Err(Errno::EXIST) => {
                self.fs.unlink(dir, file)?;
                self.fs.create(dir, file)
            }
            answer => answer,
        }?;
        self.fs.write(&open, bytes)?;
        Ok(open)
    }

    /// Removes all that is staged of a change: its texts and its journal.
    pub(super) fn unstage_change(&self, domain: &str, texts: usize) {
        for number in 0..texts {
            self.unstage(&staged_file(domain, number));
        }
        self.unstage(&staged_journal(domain));
    }

    /// Removes a staged file. If that fails, the next load of the domain does it.
    pub(super) fn unstage(&self, file: &str) {
        let _ = again(|| if_there(self.fs.unlink(&self.stage.dir, file)));
    }
}

/// Refuses a directory that others can plant files in. The open one is looked at, not its path:
/// nobody can put another in its place meanwhile.
pub(super) fn check_trust<F: FileSystem>(fs: &F, dir: &F::Dir, path: &Path) -> Result<()> {
    let failed = |errno| Error::io("look up directory", path, errno);
    match fs.identity_of(dir).map_err(failed)?.distrust {
        None => Ok(()),
        Some(reason) => Err(Error::StateDirectory {
            path: path.to_owned(),
            reason,
        }),
    }
}

/// Makes and opens a directory; another process may have made it meanwhile.
pub(super) fn make_dir<F: FileSystem>(fs: &F, parent: &F::Dir, name: &str) -> Answer<F::Dir> {
    match fs.make_dir(parent, name) {
        Ok(()) | Err(Errno::EXIST) => fs.open_dir(parent, name),
        Err(errno) => Err(errno),
    }
}

/// Refuses what is not a regular file where a document is to be written or removed.
pub(super) fn is_there<F: FileSystem>(fs: &F, room: &Room<F::Dir>, file: &str) -> Result<bool> {
    match if_there(fs.kind(&room.dir, file)).map_err(room.failed("look up", file))? {
        None => Ok(false),
        Some(Kind::Regular) => Ok(true),
        Some(Kind::Other | Kind::Unknown) => {
            let reason = "it is not a regular file".to_owned();
            Err(Error::Damaged {
                path: room.path.join(file),
                reason,
            })
        }
    }
}
