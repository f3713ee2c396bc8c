//! The one writer of a domain.
//!
//! A `flock` on `lock/DOMAIN` excludes other processes and other threads alike, and ends with its
//! process. A thread that has it may call anything of the store.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::thread::Pid;

use super::Lock;
use super::fs::{Content, FileSystem};
use super::prepared::Prepared;
use super::rooms::{Room, Rooms};
use crate::error::{Error, Result};
use crate::limits;

/// Between two looks whether a lock is free.
const SHORTEST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// How long after so much waiting: those who wait for short work look often, so that the lock is not
/// free for long, and those who wait for long work do not.
fn pause_after(waited: Duration) -> Duration {
    (waited / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// Who of this process has a domain's lock.
pub(super) struct Holder {
    /// The kernel's number: asking std for its own would make an object for each of the caller's
    /// threads, which a leak check of the main thread's sees.
    thread: Pid,
    /// The domain went while it was held: its lock file goes too.
    domain_gone: bool,
    /// A change could not be made durable for certain, or not every process could be told of it:
    /// the next owner does it.
    pub owes_word: bool,
    /// The domain has no journal, and only the owner of the lock can give it one.
    no_journal: bool,
    /// The change that it has staged and not committed yet.
    prepared: Option<Prepared>,
}

impl Holder {
    fn is_this_thread(&self) -> bool {
        self.thread == rustix::thread::gettid()
    }
}

impl<F: FileSystem> Rooms<F> {
    /// Notes that the next owner of the lock has to prove and to tell what this one could not.
    pub(super) fn set_owing(&self, domain: &str, owing: bool) {
        if let Some(holder) = self.held.lock().get_mut(domain) {
            holder.owes_word = owing;
        }
    }

    /// Whether this thread has the domain's lock and has seen that there is no journal.
    pub(super) fn knows_no_journal(&self, domain: &str) -> bool {
        let held = self.held.lock();
        let holder = held.get(domain).filter(|holder| holder.no_journal);
        holder.is_some_and(Holder::is_this_thread)
    }

    /// Notes that there is no journal, or may be one, if this thread has the domain's lock.
    pub(super) fn set_no_journal(&self, domain: &str, no_journal: bool) {
        let mut held = self.held.lock();
        if let Some(holder) = held.get_mut(domain)
            && holder.is_this_thread()
        {
            holder.no_journal = no_journal;
        }
    }

    /// Notes what this thread has staged for the domain's next commit.
    pub(super) fn set_prepared(&self, domain: &str, prepared: Option<Prepared>) {
        let mut held = self.held.lock();
        if let Some(holder) = held.get_mut(domain)
            && holder.is_this_thread()
        {
            holder.prepared = prepared;
        }
    }

    /// Whether this thread has something staged for the domain's next commit.
    pub(super) fn has_prepared(&self, domain: &str) -> bool {
        let held = self.held.lock();
        let holder = held.get(domain).filter(|holder| holder.is_this_thread());
        holder.is_some_and(|holder| holder.prepared.is_some())
    }

    /// What this thread has staged for the domain's next commit; from then on it is nobody's.
    pub(super) fn take_prepared(&self, domain: &str) -> Option<Prepared> {
        let mut held = self.held.lock();
        let holder = held.get_mut(domain)?;
        holder.is_this_thread().then_some(holder)?.prepared.take()
    }
}

impl<F: FileSystem + 'static> Rooms<F> {
    /// Whether this thread has the domain's lock.
    pub(super) fn is_held_here(&self, domain: &str) -> bool {
        let held = self.held.lock();
        held.get(domain).is_some_and(Holder::is_this_thread)
    }

    /// Notes that the domain is gone, or there again, for the lock file's sake.
    pub(super) fn set_gone(&self, domain: &str, gone: bool) {
        if let Some(holder) = self.held.lock().get_mut(domain) {
            holder.domain_gone = gone;
        }
    }

    /// The lock, unless this thread has it already.
    pub(super) fn exclusive(self: &Arc<Self>, domain: &str) -> Result<Option<Held<F>>> {
        if self.is_held_here(domain) {
            Ok(None)
        } else {
            self.wait_lock(domain).map(Some)
        }
    }

    /// Waits for the lock, at most [`limits::LOCK_WAIT`].
    pub(super) fn wait_lock(self: &Arc<Self>, domain: &str) -> Result<Held<F>> {
        let begun = Instant::now();
        let mut waited = Duration::ZERO;
        loop {
            if let Some(held) = self.try_lock(domain)? {
                return Ok(held);
            }
            if waited >= limits::LOCK_WAIT {
                let holder = self.holder(domain);
                return Err(Error::DomainBusy {
                    domain: domain.to_owned(),
                    holder,
                });
            }
            let pause = pause_after(waited);
            self.fs.pause(pause);
            // On a busy machine a pause is longer than asked for; on a simulated one none passes.
            waited = (waited + pause).max(begun.elapsed());
        }
    }

    /// The lock, if nobody has it.
    pub(super) fn try_lock(self: &Arc<Self>, domain: &str) -> Result<Option<Held<F>>> {
        let owner = rustix::process::getpid().as_raw_nonzero().to_string();
        let locked = self
            .fs
            .try_lock(&self.lock.dir, domain, &owner)
            .map_err(self.lock.failed("lock", domain))?;
        let Some(locked) = locked else {
            return Ok(None);
        };
        let had_owner = self.fs.had_owner(&locked);
        let holder = Holder {
            thread: rustix::thread::gettid(),
            domain_gone: false,
            owes_word: had_owner,
            no_journal: false,
            prepared: None,
        };
        self.held.lock().insert(domain.to_owned(), holder);
        let held = Held {
            rooms: Arc::clone(self),
            domain: domain.to_owned(),
            locked: Some(locked),
        };
        if had_owner {
            // It died before it had made its last change durable, perhaps, or had told the others.
            self.prove(domain)?;
            self.set_owing(domain, false);
            self.tell(domain, true);
        }
        Ok(Some(held))
    }

    /// Makes durable whatever can be seen of a domain: names that came or went, and of a journal
    /// that it went, before anything is built on that. The journal last: its change comes first.
    fn prove(&self, domain: &str) -> Result<()> {
        let sync = |room: &Room<F::Dir>| {
            let failed = room.failed_here("sync directory");
            self.fs.sync_dir(&room.dir).map_err(failed)
        };
        if let Some(folder) = self.folder(domain)? {
            sync(&folder)?;
        }
        sync(&self.snapshot)?;
        sync(&self.domain)?;
        sync(&self.migration)?;
        sync(&self.journal)
    }

    /// Whether the last owner of a domain's lock died with it, or lives: nobody can say without
    /// trying to take it.
    pub(super) fn has_owner(&self, domain: &str) -> bool {
        matches!(
            self.fs.read(&self.lock.dir, domain, 64),
            Ok(Content::Bytes(bytes)) if !bytes.trim_ascii().is_empty()
        )
    }

    fn holder(&self, domain: &str) -> String {
        match self.fs.read(&self.lock.dir, domain, 64) {
            Ok(Content::Bytes(bytes)) => match String::from_utf8_lossy(&bytes).trim() {
                "" => "an unknown process".to_owned(),
                owner => format!("process {owner}"),
            },
            _ => "an unknown process".to_owned(),
        }
    }
}

/// A domain's lock.
pub(super) struct Held<F: FileSystem> {
    rooms: Arc<Rooms<F>>,
    domain: String,
    locked: Option<F::Locked>,
}

impl<F: FileSystem> Lock for Held<F> {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.rooms.fs.descriptor(self.locked.as_ref()?)
    }
}

impl<F: FileSystem> Drop for Held<F> {
    fn drop(&mut self) {
        let mut holder = self.rooms.held.lock().remove(&self.domain);
        if let Some(prepared) = holder.as_mut().and_then(|holder| holder.prepared.take()) {
            self.rooms.unstage_prepared(&self.domain, &prepared);
        }
        let Some(locked) = self.locked.take() else {
            return;
        };
        if holder.as_ref().is_some_and(|holder| holder.owes_word) {
            return;
        }
        self.rooms.fs.disown(&locked);
        if holder.is_some_and(|holder| holder.domain_gone) {
            // Before it is released, so that nobody can have locked a file that goes.
            let _ = self.rooms.fs.unlink(&self.rooms.lock.dir, &self.domain);
        }
        drop(locked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_an_eighth_of_the_waiting_and_looks_are_few() {
        let (mut waited, mut looks) = (Duration::ZERO, 0);
        while waited < limits::LOCK_WAIT {
            let pause = pause_after(waited);
            assert!(pause <= (waited / 8).max(Duration::from_micros(100)));
            waited += pause;
            looks += 1;
        }
        // 8 of the shortest, log 200 / log 1.125 until a pause is 20 ms, and 20 ms of what is left of 30 s.
        assert!((1530..1560).contains(&looks), "{looks}");
    }
}
