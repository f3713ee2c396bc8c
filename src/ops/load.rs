//! Brings a domain's stored snapshots into memory, and resolves what a crash cut off.

use std::path::PathBuf;
use std::sync::Arc;

use super::change;
use super::domain::{Domain, Hierarchy};
use super::problem::{Problem, ProblemKind};
use crate::error::{Error, Result};
use crate::memory;
use crate::snapshot::Snapshot;
use crate::store::{Damage, Documents};
use crate::tree::Tree;
use crate::xml;

/// Loads a domain's snapshots as they were last committed. Every sound document is there; the
/// others are problems.
pub(super) fn hierarchy(domain: &Domain) -> Result<Hierarchy> {
    // Before anything is read: what changes from then on is noticed by the next call.
    let generation = domain.generation();
    // Only when nobody is at work on the domain is a recorded intent one that was cut off. A
    // reader does not wait to find out.
    if domain.may_settle()
        && domain.store().pending(domain.key())?.is_some()
        && let Some(lock) = domain.store().try_lock(domain.key())?
    {
        let mut loaded = read(domain, generation)?;
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
    read(domain, generation)
}

fn interrupted(domain: &Domain, cause: &Error) -> Problem {
    Problem {
        kind: ProblemKind::Interrupted,
        name: domain.name().to_string(),
        file: domain.store().journal_path(domain.key()),
        text: format!("an operation was cut off and cannot be finished or undone now: {cause}"),
    }
}

fn read(domain: &Domain, generation: Option<u64>) -> Result<Hierarchy> {
    let mut read = Read {
        domain,
        snapshots: Vec::new(),
        active: Vec::new(),
        damaged: Vec::new(),
    };
    let mut damaged = domain.store().read_snapshots(domain.key(), &mut read)?;
    // What was not read for want of memory is neither damaged nor gone.
    memory::check()?;
    let Read {
        snapshots,
        active,
        damaged: refused,
        ..
    } = read;
    damaged.extend(refused);
    let current = active.iter().cloned().reduce(newest);
    let mut problems: Vec<Problem> = damaged.into_iter().map(Problem::unreadable).collect();
    let problem = |kind, snapshot: &Snapshot, text| Problem {
        kind,
        name: snapshot.name.to_string(),
        file: file_of(domain, &snapshot.name),
        text,
    };
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
    })
}

/// What the documents say that were read so far.
struct Read<'a> {
    domain: &'a Domain,
    snapshots: Vec<Arc<Snapshot>>,
    /// Those that claim to be the current one.
    active: Vec<Arc<Snapshot>>,
    damaged: Vec<Damage>,
}

impl Documents for Read<'_> {
    fn restart(&mut self) {
        self.snapshots.clear();
        self.active.clear();
        self.damaged.clear();
    }

    fn document(&mut self, name: &str, text: &str) {
        if memory::was_refused() {
            return;
        }
        match parse(self.domain, name, text) {
            Ok(parsed) => {
                let snapshot = Arc::new(parsed.snapshot);
                if parsed.active {
                    self.active.push(Arc::clone(&snapshot));
                }
                self.snapshots.push(snapshot);
            }
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
    let parsed = xml::parse_with(text, xml::Mode::Load, &definitions)?;
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
    Ok(parsed)
}
