//! Files that are moved out of the way: to `damaged/DOMAIN/`, never deleted.

use std::ffi::OsStr;

use rustix::io::Errno;

use super::fs::FileSystem;
use super::rooms::{Room, Rooms, check_domain, make_dir};
use crate::error::{Error, Result};

/// Names that are tried for a file that has been set aside before.
const ATTEMPTS: u32 = 10_000;

impl<F: FileSystem + 'static> Rooms<F> {
    /// [`super::Store::set_aside`].
    pub(super) fn set_aside(&self, domain: &str, file: &OsStr) -> Result<()> {
        check_domain(domain)?;
        let Some(folder) = self.folder(domain)? else {
            return Ok(());
        };
        let damaged = self.make_room(&self.root, "damaged")?;
        let aside = self.make_room(&damaged, domain)?;
        let failed = |errno| Error::io("set aside", folder.path.join(file), errno);
        for attempt in 0..ATTEMPTS {
            let mut name = file.to_owned();
            if attempt > 0 {
                name.push(format!(".{attempt}"));
            }
            match self.fs.move_new(&folder.dir, file, &aside.dir, &name) {
                Ok(()) => {
                    // There first: a power cut leaves the file here, there or in both.
                    for room in [&aside, &folder] {
                        self.fs
                            .sync_dir(&room.dir)
                            .map_err(room.failed_here("sync directory"))?;
                    }
                    self.tell(domain, false);
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Err(failed(Errno::EXIST))
    }

    fn make_room(&self, parent: &Room<F::Dir>, name: &str) -> Result<Room<F::Dir>> {
        let path = parent.path.join(name);
        let failed = |errno| Error::io("create directory", path.clone(), errno);
        let dir = make_dir(&self.fs, &parent.dir, name).map_err(failed)?;
        self.fs
            .sync_dir(&parent.dir)
            .map_err(parent.failed_here("sync directory"))?;
        Ok(Room { dir, path })
    }
}
