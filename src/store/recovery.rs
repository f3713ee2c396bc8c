//! What was cut off: finding it, carrying it out, sweeping what it left.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::fs::{Content, FileSystem};
use super::journal::{self, Journal, Step};
use super::rooms::{Room, Rooms, again, check_domain, document_file, if_there, staged_file};
use crate::error::{Error, Result};
use crate::limits;

impl<F: FileSystem> Rooms<F> {
    /// What the domain's journal says.
    pub(super) fn read_journal(&self, domain: &str) -> Result<Journal> {
        if self.knows_no_journal(domain) {
            return Ok(Journal::Absent);
        }
        let damaged = |reason: &str| {
            let path = self.journal.path.join(domain);
            Err(Error::Damaged {
                path,
                reason: reason.to_owned(),
            })
        };
        let content = if_there(
            self.fs
                .read(&self.journal.dir, domain, limits::JOURNAL_BYTES),
        )
        .map_err(self.journal.failed("read", domain))?;
        match content {
            None => {
                self.set_no_journal(domain, true);
                Ok(Journal::Absent)
            }
            Some(Content::NotRegular) => damaged("it is not a regular file"),
            Some(Content::TooLarge) => damaged("it is too large for a journal"),
            Some(Content::Bytes(bytes)) => match journal::parse(&bytes) {
                Journal::Foreign => damaged("it is of a later version"),
                journal => Ok(journal),
            },
        }
    }

    /// Carries out what was committed and cut off, and answers the intent if there is one. The
    /// domain is locked.
    pub(super) fn settle(&self, domain: &str) -> Result<Option<String>> {
        if self.journal_unsynced.load(Ordering::Acquire) {
            self.prove_journal()?;
            self.journal_unsynced.store(false, Ordering::Release);
        }
        match self.read_journal(domain)? {
            Journal::Absent => Ok(None),
            Journal::Intent(text) => Ok(Some(text)),
            Journal::Commit(steps) => {
                self.prove_journal()?;
                self.carry_out(domain, &steps)?;
                self.tell(domain, true);
                match self.read_journal(domain)? {
                    Journal::Intent(text) => Ok(Some(text)),
                    _ => Ok(None),
                }
            }
            Journal::Garbled | Journal::Foreign => self.clear_journal(domain).map(|()| None),
        }
    }

    /// Makes durable what the journals say: a process that was killed may have written it and no
    /// more, and nothing may be built on a journal that a power cut takes away.
    pub(super) fn prove_journal(&self) -> Result<()> {
        let failed = self.journal.failed_here("sync directory");
        self.fs.sync_dir(&self.journal.dir).map_err(failed)
    }

    /// Carries a committed change out and removes its journal, or puts the intent that follows in its
    /// place. Every part of it can be repeated.
    pub(super) fn carry_out(&self, domain: &str, steps: &[Step]) -> Result<()> {
        let is_snapshot = |step: &&Step| matches!(step, Step::Write { .. } | Step::Remove { .. });
        if steps.iter().any(|step| is_snapshot(&step)) {
            let folder = match self.open_folder(domain)? {
                Some(folder) => {
                    self.prove_folder(&folder)?;
                    folder
                }
                None => self.make_folder(domain)?,
            };
            for step in steps.iter().filter(is_snapshot) {
                self.carry_out_step(domain, step, &folder)?;
            }
            let failed = folder.failed_here("sync directory");
            again(|| self.fs.sync_dir(&folder.dir)).map_err(failed)?;
        }
        for step in steps
            .iter()
            .filter(|step| !is_snapshot(step) && step.follow_up().is_none())
        {
            let room = match step {
                Step::Migration { .. } | Step::NoMigration => &self.migration,
                _ => &self.domain,
            };
            self.carry_out_step(domain, step, room)?;
            let failed = room.failed_here("sync directory");
            again(|| self.fs.sync_dir(&room.dir)).map_err(failed)?;
        }
        if steps.contains(&Step::Undefine) {
            self.remove_folder(domain);
        }
        match steps.iter().find_map(Step::follow_up) {
            Some(staged) => self.follow_up(domain, staged),
            None => self.clear_journal(domain),
        }
    }

    /// Makes a staged intent the journal: the change before it is carried out.
    fn follow_up(&self, domain: &str, staged: usize) -> Result<()> {
        self.set_no_journal(domain, false);
        let (from, to) = (&self.stage.dir, &self.journal.dir);
        let file = staged_file(domain, staged);
        let moved = again(|| if_there(self.fs.rename(from, &file, to, domain)))
            .map_err(self.journal.failed("write", domain))?;
        if moved.is_none() {
            return self.clear_journal(domain);
        }
        if again(|| self.fs.sync_dir(to)).is_err() {
            self.distrust_journal(domain);
        }
        Ok(())
    }

    fn carry_out_step(&self, domain: &str, step: &Step, room: &Room<F::Dir>) -> Result<()> {
        let (file, staged) = match step {
            Step::Write { staged, name } => (document_file(name), Some(*staged)),
            Step::Remove { name } => (document_file(name), None),
            Step::Define { staged } => (document_file(domain), Some(*staged)),
            Step::Undefine => (document_file(domain), None),
            Step::Migration { staged } => (domain.to_owned(), Some(*staged)),
            Step::NoMigration => (domain.to_owned(), None),
            Step::Then { .. } => return Ok(()),
        };
        // "There is none" means that it was done before.
        let answer = match staged {
            Some(number) => {
                let staged = staged_file(domain, number);
                let (from, to) = (&self.stage.dir, &room.dir);
                again(|| if_there(self.fs.rename(from, &staged, to, &file)))
            }
            None => again(|| if_there(self.fs.unlink(&room.dir, &file))),
        };
        answer.map(|_| ()).map_err(room.failed("write", &file))
    }

    fn clear_journal(&self, domain: &str) -> Result<()> {
        let dir = &self.journal.dir;
        again(|| if_there(self.fs.unlink(dir, domain)))
            .map_err(self.journal.failed("remove", domain))?;
        if again(|| self.fs.sync_dir(dir)).is_err() {
            self.distrust_journal(domain);
        }
        Ok(())
    }

    /// Notes that a journal is gone, but perhaps not durably.
    pub(super) fn distrust_journal(&self, domain: &str) {
        self.set_owing(domain, true);
        self.journal_unsynced.store(true, Ordering::Release);
    }

    /// Staged files that have been left, by domain: of nobody, or of a writer at work.
    fn leftovers(&self) -> Result<HashMap<String, Vec<String>>> {
        let failed = self.stage.failed_here("read directory");
        let mut leftovers: HashMap<String, Vec<String>> = HashMap::new();
        for entry in self.fs.entries(&self.stage.dir).map_err(failed)? {
            let Ok(file) = String::from_utf8(entry.name) else {
                continue;
            };
            if let Some(domain) = staged_by(&file) {
                leftovers.entry(domain.to_owned()).or_default().push(file);
            }
        }
        Ok(leftovers)
    }

    fn sweep(&self, files: &[String]) {
        for file in files {
            self.unstage(file);
        }
    }
}

impl<F: FileSystem + 'static> Rooms<F> {
    /// Finishes what was cut off and sweeps what it left, of one domain or of all, where no writer
    /// is at work. What cannot be finished now stays as it is: readers see through it.
    pub(super) fn recover(self: &Arc<Self>, only: Option<&str>) -> Result<()> {
        let mut leftovers = self.leftovers()?;
        let domains: Vec<String> = match only {
            Some(domain) => {
                let is_cut_off = matches!(
                    self.read_journal(domain)?,
                    Journal::Commit(_) | Journal::Garbled
                );
                let is_needed =
                    is_cut_off || leftovers.contains_key(domain) || self.has_owner(domain);
                is_needed.then(|| domain.to_owned()).into_iter().collect()
            }
            None => {
                let mut domains = self.journals()?;
                domains.extend(leftovers.keys().cloned());
                domains
            }
        };
        for domain in domains {
            let mut guard = None;
            if !self.is_held_here(&domain) {
                guard = self.try_lock(&domain).unwrap_or_default();
                if guard.is_none() {
                    continue;
                }
                // Listed again: what stood there before may have been a writer's.
                leftovers = self.leftovers()?;
            }
            self.drop_prepared(&domain);
            if self.settle(&domain).is_ok() {
                self.sweep(leftovers.get(&domain).map_or(&[], Vec::as_slice));
            }
            drop(guard);
        }
        Ok(())
    }

    /// The domains that have a journal.
    pub(super) fn journals(&self) -> Result<Vec<String>> {
        let failed = self.journal.failed_here("read directory");
        let entries = self.fs.entries(&self.journal.dir).map_err(failed)?;
        let names = entries
            .into_iter()
            .filter_map(|entry| String::from_utf8(entry.name).ok());
        Ok(names.filter(|name| check_domain(name).is_ok()).collect())
    }
}

/// Whose staged file it is.
fn staged_by(file: &str) -> Option<&str> {
    let (domain, suffix) = file.rsplit_once('.')?;
    let is_ours = matches!(suffix, "journal" | "before" | "summary")
        || (!suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()));
    (is_ours && check_domain(domain).is_ok()).then_some(domain)
}
