//! Brings a domain's stored snapshots into memory, and resolves what a crash cut off.

use std::path::Path;
use std::sync::Arc;

use super::change;
use super::domain::{Domain, Hierarchy};
use super::problem::{Problem, ProblemKind};
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::store::Damage;
use crate::tree::Tree;
use crate::xml;

/// Loads a domain's snapshots as they were last committed. Every sound document is there; the
/// others are problems.
pub(super) fn hierarchy(domain: &Domain) -> Result<Hierarchy> {
    // Before anything is read: what changes from then on is noticed by the next call.
    let generation = domain.store().generation(domain.name());
    // Only when nobody is at work on the domain is a recorded intent one that was cut off. A
    // reader does not wait to find out.
    if domain.store().pending(domain.name())?.is_some()
        && let Some(lock) = domain.store().try_lock(domain.name())?
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
        file: domain.store().journal_path(domain.name()),
        text: format!("an operation was cut off and cannot be finished or undone now: {cause}"),
    }
}

fn read(domain: &Domain, generation: Option<u64>) -> Result<Hierarchy> {
    let listing = domain.store().snapshots(domain.name())?;
    let mut damaged = listing.damaged;
    let mut snapshots = Vec::with_capacity(listing.documents.len());
    let mut active: Vec<Arc<Snapshot>> = Vec::new();
    for (name, text) in listing.documents {
        let file = domain.store().document_path(domain.name(), &name);
        match parse(domain, &name, &file, &text) {
            Ok(parsed) => {
                let snapshot = Arc::new(parsed.snapshot);
                if parsed.active {
                    active.push(Arc::clone(&snapshot));
                }
                snapshots.push(snapshot);
            }
            Err(cause) => damaged.push(Damage { name, file, cause }),
        }
    }
    let current = active.iter().cloned().reduce(newest);
    let mut problems: Vec<Problem> = damaged.into_iter().map(Problem::unreadable).collect();
    let problem = |kind, snapshot: &Snapshot, text| Problem {
        kind,
        name: snapshot.name.to_string(),
        file: domain.store().document_path(domain.name(), &snapshot.name),
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
fn parse(domain: &Domain, name: &str, file: &Path, text: &str) -> Result<xml::Parsed> {
    let parsed = xml::parse(text, xml::Mode::Load)?;
    let damaged = |reason: String| Error::Damaged {
        path: file.to_owned(),
        reason,
    };
    if parsed.snapshot.name.as_ref() != name {
        return Err(damaged(format!(
            "it holds a snapshot named '{}'",
            parsed.snapshot.name
        )));
    }
    if let Some(definition) = &parsed.snapshot.domain {
        let uuid = xml::domain_facts(definition)?.uuid;
        if uuid.is_some_and(|uuid| uuid != *domain.uuid()) {
            return Err(damaged(
                "it belongs to a domain with another uuid".to_owned(),
            ));
        }
    }
    Ok(parsed)
}
