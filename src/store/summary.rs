//! What somebody read of a domain's documents, kept for who loads them next.
//!
//! It is a cache: nothing is lost with it, so only that it went is synced, and whatever goes wrong is as if
//! there were none. It stands in a room of its own, because libvirt reads every entry beside the documents.
//!
//! A document that has the mark of one that was read has its bytes, if that mark was old enough when it was
//! read: a change within the same tick of the file system's clock leaves the mark as it was. git calls such
//! entries of its index racily clean.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::Mark;
use super::fs::{Content, FileSystem};
use super::rooms::{
    Room, Rooms, again, check_domain, check_trust, document_file, if_there, is_there, make_dir,
    staged_summary,
};
use crate::error::Result;
use crate::limits;

/// The room, made by the first who keeps a summary.
const ROOM: &str = "summary";

/// How far the clock of the file system may be from ours: it may be another machine's.
const CLOCKS: Duration = Duration::from_secs(1);

/// How old a mark must be that no later change can leave: the coarsest stamps that Linux keeps (vfat's) are
/// two seconds apart, the kernel's clock may be a tick late, and the clocks may differ.
const SETTLED: Duration = Duration::from_millis(2_020).saturating_add(CLOCKS);

/// Which marks are old enough at that time.
pub(super) fn settled_before(now_ns: i128) -> impl Fn(&Mark) -> bool {
    move |mark| i128::from(mark.changed_ns) < now_ns - nanoseconds(SETTLED)
}

fn nanoseconds(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

impl<F: FileSystem + 'static> Rooms<F> {
    /// [`super::Store::summary`].
    pub(super) fn summary(&self, domain: &str) -> Result<Option<Vec<u8>>> {
        let Some(room) = self.summaries()? else {
            return Ok(None);
        };
        let failed = |errno| room.failed("read", domain)(errno);
        let found = if_there(self.fs.identity(&room.dir, domain)).map_err(failed)?;
        if found.is_none_or(|found| found.distrust.is_some()) {
            return Ok(None);
        }
        let read = self.fs.read(&room.dir, domain, limits::SUMMARY_BYTES);
        Ok(match if_there(read).map_err(failed)? {
            Some(Content::Bytes(bytes)) => Some(bytes),
            _ => None,
        })
    }

    /// [`super::Store::keep_summary`].
    pub(super) fn keep_summary(
        self: &Arc<Self>,
        domain: &str,
        make: &dyn Fn() -> Option<Vec<u8>>,
    ) -> Result<()> {
        check_domain(domain)?;
        let mut guard = None;
        if !self.is_held_here(domain) {
            guard = self.try_lock(domain)?;
            if guard.is_none() {
                return Ok(());
            }
        }
        if !is_there(&self.fs, &self.domain, &document_file(domain))? {
            // Somebody undefined it meanwhile: neither summary nor lock file stay.
            self.set_gone(domain, guard.is_some());
            return Ok(());
        }
        let Some(bytes) = make().filter(|bytes| bytes.len() <= limits::SUMMARY_BYTES) else {
            return Ok(());
        };
        let staged = staged_summary(domain);
        self.put_summary(domain, &staged, &bytes)
            .inspect_err(|_| self.unstage(&staged))
    }

    fn put_summary(&self, domain: &str, staged: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.path.join(ROOM);
        let failed = self.stage.failed("write", staged);
        self.stage_unsynced(staged, bytes).map_err(&failed)?;
        let now_ns = self.fs.now_ns();
        let mark = self.fs.mark(&self.stage.dir, staged).map_err(&failed)?;
        let apart = mark.map(|mark| (i128::from(mark.changed_ns) - now_ns).abs());
        if apart.is_none_or(|apart| apart > nanoseconds(CLOCKS)) {
            return Err(failed(Errno::TIME));
        }
        let failed = self.root.failed("create directory", ROOM);
        let dir = make_dir(&self.fs, &self.root.dir, ROOM).map_err(failed)?;
        check_trust(&self.fs, &dir, &path)?;
        let moved = self.fs.rename(&self.stage.dir, staged, &dir, domain);
        moved.map_err(Room { dir, path }.failed("write", domain))
    }

    /// [`super::Store::drop_summary`].
    pub(super) fn drop_summary(&self, domain: &str) {
        if let Ok(Some(room)) = self.summaries()
            && let Ok(Some(())) = again(|| if_there(self.fs.unlink(&room.dir, domain)))
        {
            // Durably: when the domain has gone nobody comes to look for it.
            let _ = again(|| self.fs.sync_dir(&room.dir));
        }
    }

    fn summaries(&self) -> Result<Option<Room<F::Dir>>> {
        self.room_below(&self.root, ROOM)
    }
}
