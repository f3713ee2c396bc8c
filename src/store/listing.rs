//! Reading: what stands in a state directory, seen through the journals.
//!
//! A change that is committed and not yet carried out counts as made. Readers take no lock: a writer
//! may keep it for as long as the guest's data takes. They look whether anything has changed while
//! they read, and read again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::fs::{Content, Entry, FileSystem, Kind};
use super::journal::{self, Journal, Step};
use super::rooms::{Room, Rooms, check_domain, document_file, if_there, staged_file};
use super::summary::settled_before;
use super::{Damage, Documents, Listing, Mark, check_name};
use crate::error::{Error, Result};
use crate::limits;

impl Documents for Vec<(String, String)> {
    fn restart(&mut self) {
        self.clear();
    }

    fn document(&mut self, name: &str, text: &str, _mark: Option<Mark>) {
        self.push((name.to_owned(), text.to_owned()));
    }
}

/// What a committed change does to the snapshots' documents.
#[derive(Default)]
struct Committed<'a> {
    /// The number of the staged file that a document becomes.
    written: HashMap<&'a str, usize>,
    removed: HashSet<&'a str>,
}

impl<'a> Committed<'a> {
    fn of(journal: &'a Journal) -> Committed<'a> {
        let mut committed = Committed::default();
        let steps = match journal {
            Journal::Commit(steps) => steps.as_slice(),
            _ => &[],
        };
        for step in steps {
            match step {
                Step::Write { staged, name } => {
                    committed.written.insert(name, *staged);
                }
                Step::Remove { name } => {
                    committed.removed.insert(name);
                }
                Step::Define { .. }
                | Step::Undefine
                | Step::Migration { .. }
                | Step::NoMigration
                | Step::Then { .. } => {}
            }
        }
        committed
    }
}

/// The text of a file, or why there is none, and the mark that it had.
type Document = (Result<String>, Option<Mark>);

/// Documents by name: the text, or why there is none. Names alone do not tell a document from a
/// stray file, so those are kept apart.
struct Found {
    /// The directory.
    path: PathBuf,
    documents: BTreeMap<String, Result<String>>,
    strays: Vec<Damage>,
}

/// A clock tick and more: 10 ms is the longest (`CONFIG_HZ=100`). Changes nearer to each other than
/// that may leave one time stamp.
const TICK: Duration = Duration::from_millis(20);

/// How often a reader tries without the lock.
const ATTEMPTS: usize = 16;

impl<F: FileSystem + 'static> Rooms<F> {
    /// [`super::Store::pending`].
    pub(super) fn pending(self: &Arc<Self>, domain: &str) -> Result<Option<String>> {
        check_domain(domain)?;
        match self.read_journal(domain)? {
            Journal::Intent(text) => {
                self.prove_journal()?;
                Ok(Some(text))
            }
            Journal::Absent => Ok(None),
            Journal::Commit(_) | Journal::Garbled | Journal::Foreign => {
                self.recover(Some(domain))?;
                // A change may leave an intent that follows from it.
                match self.read_journal(domain)? {
                    Journal::Intent(text) => Ok(Some(text)),
                    Journal::Commit(steps) => self.following(domain, &steps),
                    _ => Ok(None),
                }
            }
        }
    }

    /// The intent that a change leaves which cannot be carried out now.
    fn following(&self, domain: &str, steps: &[Step]) -> Result<Option<String>> {
        let Some(number) = steps.iter().find_map(Step::follow_up) else {
            return Ok(None);
        };
        let file = staged_file(domain, number);
        let read = self.fs.read(&self.stage.dir, &file, limits::JOURNAL_BYTES);
        let content = if_there(read).map_err(self.stage.failed("read", &file))?;
        let journal = match &content {
            Some(Content::Bytes(bytes)) => journal::parse(bytes),
            _ => Journal::Absent,
        };
        match journal {
            Journal::Intent(text) => Ok(Some(text)),
            _ => Ok(None),
        }
    }

    /// [`super::Store::domains`].
    pub(super) fn domains(self: &Arc<Self>) -> Result<Listing> {
        self.recover(None)?;
        let mut found = self.read_room(&self.domain, limits::DOMAIN_NAME_BYTES)?;
        for domain in self.journals()? {
            if let Ok(Journal::Commit(steps)) = self.read_journal(&domain) {
                for step in &steps {
                    match step {
                        Step::Define { staged } => {
                            self.see_staged(&domain, *staged, &domain, &mut found)?;
                        }
                        Step::Undefine => drop(found.documents.remove(&domain)),
                        Step::Write { .. }
                        | Step::Remove { .. }
                        | Step::Migration { .. }
                        | Step::NoMigration
                        | Step::Then { .. } => {}
                    }
                }
            }
        }
        Ok(found.into_listing())
    }

    /// [`super::Store::is_defined`].
    pub(super) fn is_defined(&self, domain: &str) -> Result<bool> {
        check_domain(domain)?;
        if let Journal::Commit(steps) = self.read_journal(domain)? {
            for step in &steps {
                match step {
                    Step::Define { .. } => return Ok(true),
                    Step::Undefine => return Ok(false),
                    Step::Write { .. }
                    | Step::Remove { .. }
                    | Step::Migration { .. }
                    | Step::NoMigration
                    | Step::Then { .. } => {}
                }
            }
        }
        let file = document_file(domain);
        let kind = if_there(self.fs.kind(&self.domain.dir, &file));
        kind.map(|kind| kind.is_some())
            .map_err(self.domain.failed("look up", &file))
    }

    /// [`super::Store::snapshots`].
    pub(super) fn snapshots(self: &Arc<Self>, domain: &str) -> Result<Listing> {
        let mut listing = Listing::default();
        listing.damaged = self.read_snapshots(domain, &mut listing.documents)?;
        Ok(listing)
    }

    /// [`super::Store::read_snapshots`].
    pub(super) fn read_snapshots(
        self: &Arc<Self>,
        domain: &str,
        documents: &mut dyn Documents,
    ) -> Result<Vec<Damage>> {
        check_domain(domain)?;
        self.recover(Some(domain))?;
        if self.is_held_here(domain) {
            return self.read_folder(domain, documents);
        }
        for _ in 0..ATTEMPTS {
            documents.restart();
            if let Some(damaged) = self.try_snapshots(domain, documents)? {
                return Ok(damaged);
            }
        }
        let _guard = self.wait_lock(domain)?;
        documents.restart();
        self.read_folder(domain, documents)
    }

    /// Reads while nobody else can change anything.
    fn read_folder(&self, domain: &str, documents: &mut dyn Documents) -> Result<Vec<Damage>> {
        let journal = self.read_journal(domain)?;
        let folder = self.folder(domain)?;
        self.read_documents(domain, folder.as_ref(), &journal, documents)
    }

    /// Reads without the lock; `None` if somebody changed something meanwhile, or may have.
    fn try_snapshots(
        &self,
        domain: &str,
        documents: &mut dyn Documents,
    ) -> Result<Option<Vec<Damage>>> {
        let journal = self.read_journal(domain)?;
        let folder = self.folder(domain)?;
        let stamp = |room: &Room<F::Dir>| {
            self.fs
                .stamp(&room.dir)
                .map_err(room.failed_here("look up directory"))
        };
        let Some(folder) = folder else {
            let damaged = self.read_documents(domain, None, &journal, documents)?;
            let is_same = self.folder(domain)?.is_none() && self.read_journal(domain)? == journal;
            return Ok(is_same.then_some(damaged));
        };
        let before = stamp(&folder)?;
        if before.age < TICK {
            self.fs.pause(TICK - before.age);
            return Ok(None);
        }
        let damaged = self.read_documents(domain, Some(&folder), &journal, documents)?;
        let after = stamp(&folder)?;
        let is_same = (before.inode, before.changed_ns) == (after.inode, after.changed_ns)
            && self.read_journal(domain)? == journal;
        Ok(is_same.then_some(damaged))
    }

    fn read_documents(
        &self,
        domain: &str,
        folder: Option<&Room<F::Dir>>,
        journal: &Journal,
        documents: &mut dyn Documents,
    ) -> Result<Vec<Damage>> {
        let (mut names, mut damaged) = match folder {
            Some(folder) => self.names(folder, limits::SNAPSHOT_NAME_BYTES)?,
            None => Default::default(),
        };
        let committed = Committed::of(journal);
        names.extend(committed.written.keys().map(|name| (*name).to_owned()));
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !committed.removed.contains(name.as_str()));
        documents.expect(names.len());
        let settled = settled_before(self.fs.now_ns());
        for name in names {
            let staged = committed.written.get(name.as_str());
            let in_place = folder.map(|folder| (folder, document_file(&name)));
            if let (None, Some((folder, file))) = (staged, &in_place) {
                let mark = || self.fs.mark(&folder.dir, file).ok().flatten();
                if documents.knows(&name, &mark) {
                    continue;
                }
            }
            let staged = match staged {
                Some(number) => self.read_document(&self.stage, &staged_file(domain, *number))?,
                None => None,
            };
            let document = match (staged, &in_place) {
                // One that is staged no more is in place already.
                (None, Some((folder, file))) => self.read_document(folder, file)?,
                (staged, _) => staged.map(|(text, _)| (text, None)),
            };
            match document {
                Some((Ok(text), mark)) => documents.document(&name, &text, mark.filter(&settled)),
                Some((Err(cause), _)) => {
                    let folder = self.snapshot.path.join(domain);
                    let file = folder.join(document_file(&name));
                    damaged.push(Damage { name, file, cause });
                }
                None => {}
            }
        }
        damaged.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(damaged)
    }

    /// The names of a room's documents, and what there is without such a name.
    fn names(&self, room: &Room<F::Dir>, limit: usize) -> Result<(Vec<String>, Vec<Damage>)> {
        let entries = self.fs.entries(&room.dir);
        let entries = entries.map_err(room.failed_here("read directory"))?;
        let mut names = Vec::with_capacity(entries.len());
        let mut strays = Vec::new();
        for entry in entries {
            match document_name(&entry, limit, &room.path) {
                Ok(name) => names.push(name),
                Err(stray) => strays.push(stray),
            }
        }
        Ok((names, strays))
    }

    /// Puts a committed text in its place; one that is staged no more is in place already.
    fn see_staged(&self, domain: &str, number: usize, name: &str, found: &mut Found) -> Result<()> {
        let staged = staged_file(domain, number);
        if let Some((document, _)) = self.read_document(&self.stage, &staged)? {
            found.documents.insert(name.to_owned(), document);
        }
        Ok(())
    }

    fn read_room(&self, room: &Room<F::Dir>, name_limit: usize) -> Result<Found> {
        let (names, strays) = self.names(room, name_limit)?;
        let mut found = Found {
            path: room.path.clone(),
            documents: BTreeMap::new(),
            strays,
        };
        for name in names {
            if let Some((document, _)) = self.read_document(room, &document_file(&name))? {
                found.documents.insert(name, document);
            }
        }
        Ok(found)
    }

    /// Reads one file; `None` if there is none. The outer error is not the file's fault.
    fn read_document(&self, room: &Room<F::Dir>, file: &str) -> Result<Option<Document>> {
        let limit = limits::STATE_FILE_BYTES;
        let answer = self.fs.read_marked(&room.dir, file, limit);
        let (content, mark) = match if_there(answer) {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(None),
            Err(errno) => {
                let error = room.failed("read", file)(errno);
                return if is_of_file(errno) {
                    Ok(Some((Err(error), None)))
                } else {
                    Err(error)
                };
            }
        };
        let damaged = |reason: &str| Err(damage(&room.path.join(file), reason));
        let text = match content {
            Content::NotRegular => damaged("it is not a regular file"),
            Content::TooLarge => damaged("it is larger than 1 MiB"),
            Content::Bytes(bytes) => {
                String::from_utf8(bytes).or_else(|_| damaged("it is not UTF-8"))
            }
        };
        Ok(Some((text, mark)))
    }
}

impl Found {
    fn into_listing(self) -> Listing {
        let mut listing = Listing {
            documents: Vec::new(),
            damaged: self.strays,
        };
        for (name, document) in self.documents {
            match document {
                Ok(text) => listing.documents.push((name, text)),
                Err(cause) => {
                    let file = self.path.join(document_file(&name));
                    listing.damaged.push(Damage { name, file, cause });
                }
            }
        }
        listing
            .damaged
            .sort_by(|one, other| one.name.cmp(&other.name));
        listing
    }
}

/// The name of the document that an entry is, or the damage that it is.
fn document_name(entry: &Entry, limit: usize, room: &Path) -> std::result::Result<String, Damage> {
    let file = String::from_utf8_lossy(&entry.name).into_owned();
    let stray = |name: &str, reason: &str| {
        Err(Damage {
            name: name.to_owned(),
            file: room.join(OsStr::from_bytes(&entry.name)),
            cause: damage(&room.join(&file), reason),
        })
    };
    let Some(name) = file.strip_suffix(".xml") else {
        return stray(&file, "its name does not end in .xml");
    };
    if std::str::from_utf8(&entry.name).is_err() {
        return stray(name, "its name is not UTF-8");
    }
    if let Err(reason) = check_name(name, limit) {
        return stray(name, reason);
    }
    if entry.kind == Kind::Other {
        return stray(name, "it is not a regular file");
    }
    Ok(name.to_owned())
}

fn damage(path: &Path, reason: &str) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Whether a failed read says something about the file, and not about this process or moment.
fn is_of_file(errno: Errno) -> bool {
    !matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}
