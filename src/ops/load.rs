//! Brings a domain's stored snapshots into memory, and resolves what a crash cut off.

use std::path::PathBuf;
use std::sync::Arc;

use super::change;
use super::domain::{Domain, Hierarchy};
use super::problem::{Problem, ProblemKind};
use super::summary::{self, Loaded, Summary};
use crate::error::{Error, Result};
use crate::limits;
use crate::memory;
use crate::snapshot::Snapshot;
use crate::store::{Damage, Documents, Mark};
use crate::tree::Tree;
use crate::xml;

/// What a load believes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Believe {
    /// A summary, of documents whose files are as they were.
    Summary,
    /// What stands in each file.
    Documents,
}

/// Loads a domain's snapshots as they were last committed. Every sound document is there; the
/// others are problems.
pub(super) fn hierarchy(domain: &Domain, believe: Believe) -> Result<Hierarchy> {
    // Before anything is read: what changes from then on is noticed by the next call.
    let generation = domain.generation();
    // Only when nobody is at work on the domain is a recorded intent one that was cut off. A
    // reader does not wait to find out.
    if domain.may_settle()
        && domain.store().pending(domain.key())?.is_some()
        && let Some(lock) = domain.store().try_lock(domain.key())?
    {
        let mut loaded = read(domain, generation, believe)?;
        if let Err(cause) = change::resolve(domain, &mut loaded, &*lock) {
            if let Some(plan) = change::decided(domain, &loaded.tree) {
                loaded.tree.apply(&plan);
            }
            // To be tried again by the next call.
            loaded.generation = None;
            loaded.problems.push(interrupted(domain, &cause));
        }
        return Ok(loaded);
    }
    read(domain, generation, believe)
}

fn interrupted(domain: &Domain, cause: &Error) -> Problem {
    Problem {
        kind: ProblemKind::Interrupted,
        name: domain.name().to_string(),
        file: domain.store().journal_path(domain.key()),
        text: format!("an operation was cut off and cannot be finished or undone now: {cause}"),
    }
}

fn read(domain: &Domain, generation: Option<u64>, believe: Believe) -> Result<Hierarchy> {
    let mut read = Read {
        domain,
        summary: match believe {
            Believe::Summary => Known::NotAsked,
            Believe::Documents => Known::Summary(None),
        },
        loaded: Vec::new(),
        found: 0,
        damaged: Vec::new(),
    };
    let mut damaged = domain.store().read_snapshots(domain.key(), &mut read)?;
    // What was not read for want of memory is neither damaged nor gone.
    memory::check()?;
    if domain.may_keep_summary() {
        let is_sound = damaged.is_empty() && read.damaged.is_empty();
        match believe {
            Believe::Summary if read.is_worth_keeping() => {
                let pack = || summary::pack(domain.uuid(), &read.loaded);
                domain.store().keep_summary(domain.key(), &pack);
            }
            // It may have what is gone, secrets included, and nobody will look.
            Believe::Summary if matches!(read.summary, Known::NotAsked) => {
                domain.store().drop_summary(domain.key());
            }
            // It may still have what is damaged now.
            Believe::Documents if !is_sound => domain.store().drop_summary(domain.key()),
            Believe::Summary | Believe::Documents => {}
        }
    }
    let Read {
        summary,
        loaded,
        found,
        damaged: refused,
        ..
    } = read;
    drop(summary);
    damaged.extend(refused);
    let active: Vec<_> = loaded
        .iter()
        .filter(|loaded| loaded.active)
        .map(|loaded| Arc::clone(&loaded.snapshot))
        .collect();
    let current = active.iter().cloned().reduce(newest);
    let mut problems: Vec<Problem> = damaged.into_iter().map(Problem::unreadable).collect();
    let problem = |kind, snapshot: &Snapshot, text| Problem {
        kind,
        name: snapshot.name.to_string(),
        file: file_of(domain, &snapshot.name),
        text,
    };
    // What is of no use any more makes room for the tree.
    let snapshots = loaded.iter().map(|loaded| Arc::clone(&loaded.snapshot));
    let snapshots: Vec<_> = snapshots.collect();
    drop(loaded);
    let tree = Tree::load(snapshots, current.as_ref().map(|current| &*current.name));
    for (root, parent) in tree.orphans() {
        problems.push(if tree.contains(parent) {
            let text = format!("the snapshot is its own ancestor, by its parent '{parent}'");
            problem(ProblemKind::Cycle, root, text)
        } else {
            let text = format!("the snapshot's parent '{parent}' is not there");
            problem(ProblemKind::ParentMissing, root, text)
        });
    }
    for other in &active {
        if let Some(current) = current
            .as_ref()
            .filter(|current| current.name != other.name)
        {
            let text = format!(
                "it claims to be the current snapshot, and so does '{}'",
                current.name
            );
            problems.push(problem(ProblemKind::SeveralCurrent, other, text));
        }
    }
    Ok(Hierarchy {
        tree,
        problems,
        generation,
        is_summarized: found > 0,
    })
}

/// What the documents say that were read so far.
struct Read<'a> {
    domain: &'a Domain,
    summary: Known,
    loaded: Vec<Loaded>,
    /// How many of those were found in the summary.
    found: usize,
    damaged: Vec<Damage>,
}

/// The summary, once there are enough documents to ask for it.
enum Known {
    NotAsked,
    Summary(Option<Summary>),
}

impl Read<'_> {
    /// Whether there is no room for one more.
    fn lacks_memory(&mut self) -> bool {
        memory::was_refused() || self.loaded.try_reserve(1).is_err()
    }

    /// Whether the next load is faster by more than it takes to write a summary.
    fn is_worth_keeping(&self) -> bool {
        let marked = self.loaded.iter().filter(|loaded| loaded.mark.is_some());
        let new = marked.count().saturating_sub(self.found);
        let old = match &self.summary {
            Known::Summary(Some(summary)) => summary.count().saturating_sub(self.found),
            _ => 0,
        };
        // Entries of documents that are gone, or have changed, are read for nothing.
        let is_new = new >= limits::SUMMARY_DOCUMENTS.max(self.loaded.len() / 16);
        is_new || old >= limits::SUMMARY_DOCUMENTS.max(self.found)
    }
}

impl Documents for Read<'_> {
    fn restart(&mut self) {
        self.loaded.clear();
        self.damaged.clear();
        self.found = 0;
        if let Known::Summary(Some(summary)) = &mut self.summary {
            summary.restart();
        }
    }

    fn expect(&mut self, count: usize) {
        // Where that cannot be had, each asks for its own.
        let _ = self.loaded.try_reserve(count);
        if matches!(self.summary, Known::NotAsked) && count >= limits::SUMMARY_DOCUMENTS {
            let (domain, store) = (self.domain, self.domain.store());
            let kept = store.summary(domain.key());
            let open = |bytes| Summary::open(bytes, domain.uuid(), &mut domain.definitions());
            self.summary = Known::Summary(kept.and_then(open));
        }
    }

    fn knows(&mut self, name: &str, mark: &dyn Fn() -> Option<Mark>) -> bool {
        if self.lacks_memory() {
            return false;
        }
        let Known::Summary(Some(summary)) = &mut self.summary else {
            return false;
        };
        let Some(mut loaded) = summary.find(name, mark) else {
            return false;
        };
        // Nobody else has it yet.
        if let Some(snapshot) = Arc::get_mut(&mut loaded.snapshot) {
            self.domain.definitions().share_disks(snapshot);
        }
        self.loaded.push(loaded);
        self.found += 1;
        true
    }

    fn document(&mut self, name: &str, text: &str, mark: Option<Mark>) {
        if self.lacks_memory() {
            return;
        }
        match parse(self.domain, name, text) {
            Ok(parsed) => self.loaded.push(Loaded {
                snapshot: Arc::new(parsed.snapshot),
                active: parsed.active,
                mark,
            }),
            Err(cause) => self.damaged.push(Damage {
                name: name.to_owned(),
                file: file_of(self.domain, name),
                cause,
            }),
        }
    }
}

fn file_of(domain: &Domain, name: &str) -> PathBuf {
    domain.store().document_path(domain.key(), name)
}

/// Several documents that claim to be current can only come from elsewhere: libvirt leaves the
/// deleted snapshot and its parent so. The newest is the one the others lead to.
fn newest(one: Arc<Snapshot>, other: Arc<Snapshot>) -> Arc<Snapshot> {
    if (one.creation_time, &one.name) > (other.creation_time, &other.name) {
        one
    } else {
        other
    }
}

/// Reads one document and refuses what would lead writes astray: a name that is not the file's,
/// another domain's definition.
fn parse(domain: &Domain, name: &str, text: &str) -> Result<xml::Parsed> {
    let mut definitions = domain.definitions();
    let mut parsed = xml::parse_with(text, xml::Mode::Load, &definitions)?;
    let damaged = |reason: String| Error::Damaged {
        path: file_of(domain, name),
        reason,
    };
    if parsed.snapshot.name.as_ref() != name {
        return Err(damaged(format!(
            "it holds a snapshot named '{}'",
            parsed.snapshot.name
        )));
    }
    if let Some(definition) = &parsed.snapshot.domain {
        let uuid = definitions.facts(definition)?.uuid;
        if uuid.is_some_and(|uuid| uuid != *domain.uuid()) {
            return Err(damaged(
                "it belongs to a domain with another uuid".to_owned(),
            ));
        }
    }
    definitions.share_disks(&mut parsed.snapshot);
    Ok(parsed)
}
