//! The directory of a domain's snapshots.
//!
//! Those that were written to last stay open. One look at the name then says whether the directory is
//! still the one that was trusted and proved before: as long as it is open, its number cannot become
//! another's.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::fs::{FileSystem, Identity};
use super::rooms::{Room, Rooms, again, if_there, make_dir};
use crate::error::Result;
use crate::limits;

/// The directory of a domain's snapshots, for its writer.
pub(super) struct Folder<D> {
    room: Room<D>,
    domain: String,
    identity: Identity,
    /// Its name is durable.
    is_proved: AtomicBool,
}

impl<D> Deref for Folder<D> {
    type Target = Room<D>;

    fn deref(&self) -> &Room<D> {
        &self.room
    }
}

/// Those that stay open, the last used last.
pub(super) struct Folders<D>(Mutex<Vec<Arc<Folder<D>>>>);

impl<D> Default for Folders<D> {
    fn default() -> Folders<D> {
        Folders(Mutex::default())
    }
}

impl<D> Folders<D> {
    /// Takes the domain's out, if it is there.
    fn take(&self, domain: &str) -> Option<Arc<Folder<D>>> {
        let mut open = self.0.lock();
        let place = open.iter().rposition(|folder| folder.domain == domain)?;
        Some(open.remove(place))
    }

    fn put(&self, folder: &Arc<Folder<D>>) {
        let mut open = self.0.lock();
        if open.len() >= limits::FOLDERS_OPEN {
            open.remove(0);
        }
        open.push(Arc::clone(folder));
    }
}

impl<F: FileSystem> Rooms<F> {
    /// The directory, if there is one.
    pub(super) fn folder(&self, domain: &str) -> Result<Option<Room<F::Dir>>> {
        self.room_below(&self.snapshot, domain)
    }

    /// As [`Rooms::folder`], kept open. For the domain's writer.
    pub(super) fn open_folder(&self, domain: &str) -> Result<Option<Arc<Folder<F::Dir>>>> {
        if let Some(folder) = self.folders.take(domain) {
            let found = if_there(self.fs.identity(&self.snapshot.dir, domain));
            let found = found.map_err(self.snapshot.failed("look up directory", domain))?;
            if found == Some(folder.identity) && folder.identity.distrust.is_none() {
                self.folders.put(&folder);
                return Ok(Some(folder));
            }
        }
        let room = self.folder(domain)?;
        room.map(|room| self.keep_open(domain, room, false))
            .transpose()
    }

    fn keep_open(
        &self,
        domain: &str,
        room: Room<F::Dir>,
        is_proved: bool,
    ) -> Result<Arc<Folder<F::Dir>>> {
        let identity = self.fs.identity_of(&room.dir);
        let folder = Arc::new(Folder {
            identity: identity.map_err(room.failed_here("look up directory"))?,
            room,
            domain: domain.to_owned(),
            is_proved: AtomicBool::new(is_proved),
        });
        self.folders.put(&folder);
        Ok(folder)
    }

    /// Makes sure that the name of a domain's directory is durable before a document is kept in
    /// it. Whoever kept one there before has done so; a process that died may have left an empty one.
    pub(super) fn prove_folder(&self, folder: &Folder<F::Dir>) -> Result<()> {
        if folder.is_proved.load(Ordering::Acquire) {
            return Ok(());
        }
        let failed = folder.failed_here("read directory");
        if self.fs.is_empty(&folder.dir).map_err(failed)? {
            let failed = self.snapshot.failed_here("sync directory");
            self.fs.sync_dir(&self.snapshot.dir).map_err(failed)?;
        }
        folder.is_proved.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes the directory of a domain's snapshots.
    pub(super) fn make_folder(&self, domain: &str) -> Result<Arc<Folder<F::Dir>>> {
        let failed = self.snapshot.failed("create directory", domain);
        let dir = make_dir(&self.fs, &self.snapshot.dir, domain).map_err(failed)?;
        let room = Room {
            dir,
            path: self.snapshot.path.join(domain),
        };
        let synced = self.fs.sync_dir(&self.snapshot.dir);
        let synced = synced.map_err(self.snapshot.failed_here("sync directory"));
        synced
            .and_then(|()| self.keep_open(domain, room, true))
            .inspect_err(|_| self.remove_folder(domain))
    }

    /// Removes the directory of a domain's snapshots if it is empty. An empty one left behind means
    /// the same as none.
    pub(super) fn remove_folder(&self, domain: &str) {
        drop(self.folders.take(domain));
        let dir = &self.snapshot.dir;
        if again(|| self.fs.remove_dir(dir, domain)).is_ok() {
            let _ = again(|| self.fs.sync_dir(dir));
        }
    }
}
