//! The way of every change: lock, intent, data, commit, tree.

use std::path::PathBuf;
use std::sync::Arc;

use super::domain::{Domain, Hierarchy};
use super::intent::Intent;
use super::point::OwnedPoint;
use super::{delete, revert};
use crate::data::Merged;
use crate::error::{Error, Result};
use crate::store::{Change, DefinitionChange, Lock};
use crate::tree::{Plan, Tree};
use crate::xml;

/// The one writer of a domain, for the length of one operation.
pub(super) struct Writing<'a> {
    domain: &'a Domain,
    _lock: Box<dyn Lock>,
}

impl Domain {
    /// Becomes the domain's writer. Work that a crash or an error cut off is finished or undone
    /// first.
    pub(super) fn write(&self) -> Result<Writing<'_>> {
        drop(self.tree()?);
        let lock = self.store().lock(self.name())?;
        let writing = Writing {
            domain: self,
            _lock: lock,
        };
        writing.resolve_pending()?;
        Ok(writing)
    }

    /// Stores another definition.
    pub(super) fn set_definition(&self, definition: Arc<str>) -> Result<()> {
        let _writing = self.write()?;
        let change = Change {
            definition: DefinitionChange::Write(definition.to_string()),
            ..Change::default()
        };
        self.store().commit(self.name(), &change)?;
        self.host.set_definition(definition);
        Ok(())
    }
}

impl Writing<'_> {
    /// Makes a plan durable, then true in memory.
    pub fn commit(&self, plan: &Plan) -> Result<()> {
        let change = documents(&*self.domain.tree()?, plan);
        self.commit_change(plan, &change)
    }

    /// As [`Writing::commit`], together with the domain's new definition, and with files that are of
    /// no use from then on.
    pub fn commit_with(
        &self,
        plan: &Plan,
        definition: Option<&str>,
        useless: Vec<PathBuf>,
    ) -> Result<()> {
        let mut change = documents(&*self.domain.tree()?, plan);
        if let Some(definition) = definition {
            change.definition = DefinitionChange::Write(definition.to_owned());
        }
        change.then = follow_up(&useless);
        self.commit_change(plan, &change)?;
        if let Some(definition) = definition {
            self.domain.host.set_definition(definition.into());
        }
        if !useless.is_empty() {
            // The change is made. What cannot be removed now is tried again by the next writer.
            let removed = self.domain.data.remove(&useless);
            let _ = removed.and_then(|()| self.withdraw());
        }
        Ok(())
    }

    /// Makes a change durable, then its plan true in memory.
    pub fn commit_change(&self, plan: &Plan, change: &Change) -> Result<()> {
        self.domain.store().commit(self.domain.name(), change)?;
        self.domain.change_tree(|tree| tree.apply(plan))
    }

    /// Records what is about to be done to guest data.
    pub fn intend(&self, intent: &Intent) -> Result<()> {
        self.domain
            .store()
            .intend(self.domain.name(), &intent.encode())
    }

    /// Guest data is as it was before the intent.
    pub fn withdraw(&self) -> Result<()> {
        self.domain.store().withdraw(self.domain.name())
    }

    /// Takes a captured snapshot back after a later step failed. If that fails too the intent
    /// stays, and the next writer tries again.
    pub fn take_back_create(&self, point: &OwnedPoint, cause: Error) -> Error {
        let undone = self.domain.data.take_back(&point.borrow());
        let undone = undone.and_then(|()| self.withdraw());
        match undone {
            Ok(()) => cause,
            Err(undo) => cause.with_failed_undo(&undo),
        }
    }

    fn resolve_pending(&self) -> Result<()> {
        let domain = self.domain;
        while let Some(text) = domain.store().pending(domain.name())? {
            let resolved = Resolved::of(domain, &*domain.tree()?, &text)?;
            domain.store().commit(domain.name(), &resolved.change)?;
            domain.change_tree(|tree| tree.apply(&resolved.plan))?;
            resolved.tell_host(domain);
        }
        Ok(())
    }
}

/// Finishes or undoes what a crash cut off, before anybody has seen the tree.
pub(super) fn resolve(domain: &Domain, loaded: Hierarchy) -> Result<Hierarchy> {
    while let Some(text) = domain.store().pending(domain.name())? {
        let resolved = Resolved::of(domain, &loaded.tree.read(), &text)?;
        domain.store().commit(domain.name(), &resolved.change)?;
        loaded.tree.write().apply(&resolved.plan);
        resolved.tell_host(domain);
    }
    Ok(loaded)
}

/// The end of an intent: guest data is settled, this is what becomes of the metadata.
struct Resolved {
    plan: Plan,
    change: Change,
}

impl Resolved {
    /// Settles guest data. An intent is undone while nothing is lost by that, else finished.
    fn of(domain: &Domain, tree: &Tree, text: &str) -> Result<Resolved> {
        let unreadable = || Error::Damaged {
            path: domain.name().as_ref().into(),
            reason: "its journal holds an intent that cannot be read".to_owned(),
        };
        match Intent::decode(text).ok_or_else(unreadable)? {
            Intent::Create { document, found } => {
                let snapshot = xml::parse(&document, xml::Mode::Load)?.snapshot;
                let point = OwnedPoint::with_overlays(&snapshot, &found)?;
                domain.data.take_back(&point.borrow())?;
                Ok(Resolved::unchanged(tree))
            }
            Intent::Delete {
                name,
                deletion,
                work,
            } => {
                let plan = tree.plan_delete(&name, deletion)?;
                for snapshot in &plan.drop {
                    domain.data.delete(&OwnedPoint::of(snapshot)?.borrow())?;
                }
                domain.data.merge(&work.merges).map_err(Merged::cause)?;
                let definition = domain.host.definition()?;
                let (plan, definition) = delete::rewritten(tree, plan, &work, &definition)?;
                Ok(Resolved::done(tree, plan, definition, &work.removals))
            }
            Intent::Revert {
                name,
                flags,
                definition,
                restores,
                work,
            } => {
                let point = OwnedPoint::of(tree.get(&name)?)?;
                // The names are of this revert alone, so what stands there is not finished.
                domain.data.discard(&restores)?;
                domain.data.revert(&point.borrow(), &restores, flags)?;
                let plan = revert::rewritten(tree, &name, &restores, &work)?;
                Ok(Resolved::done(tree, plan, Some(definition), &work.removals))
            }
            Intent::Remove { files } => {
                // Of no use, but in nobody's way either: a file that stays must not keep the
                // domain from working.
                let _ = domain.data.remove(&files);
                Ok(Resolved::unchanged(tree))
            }
        }
    }

    fn unchanged(tree: &Tree) -> Resolved {
        Resolved {
            plan: tree.plan_keep(),
            change: Change::default(),
        }
    }

    fn done(tree: &Tree, plan: Plan, definition: Option<String>, useless: &[PathBuf]) -> Resolved {
        let mut change = documents(tree, &plan);
        if let Some(definition) = definition {
            change.definition = DefinitionChange::Write(definition);
        }
        change.then = follow_up(useless);
        Resolved { plan, change }
    }

    fn tell_host(self, domain: &Domain) {
        if let DefinitionChange::Write(definition) = self.change.definition {
            domain.host.set_definition(definition.into());
        }
    }
}

/// The intent that is left once a change is made.
fn follow_up(useless: &[PathBuf]) -> Option<String> {
    let files = useless.to_vec();
    (!files.is_empty()).then(|| Intent::Remove { files }.encode())
}

/// The stored form of a plan.
fn documents(tree: &Tree, plan: &Plan) -> Change {
    let change = tree.change(plan);
    Change {
        write: change
            .write
            .iter()
            .map(|(snapshot, active)| {
                let text = xml::format(snapshot, xml::Form::Stored { active: *active });
                (snapshot.name.to_string(), text)
            })
            .collect(),
        remove: change.remove.iter().map(|name| name.to_string()).collect(),
        ..Change::default()
    }
}
