//! The way of every change: lock, intent, data, commit, tree.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::companion;
use super::domain::{Domain, Hierarchy};
use super::events::Cause;
use super::flags::RevertFlags;
use super::intent::{Intent, Leftovers};
use super::point::OwnedPoint;
use super::{delete, rename, revert, stored};
use crate::data::{Beside, Merge, Merged, Point, Restore};
use crate::error::{Error, Result};
use crate::limits;
use crate::memory;
use crate::store::{Change, DefinitionChange, Lock, Made, MigrationChange};
use crate::tree::{self, Plan, Tree};
use crate::{uuid, xml};

/// The one writer of a domain, for the length of one operation.
pub(super) struct Writing<'a> {
    domain: &'a Domain,
    /// What those are told who want to know of the change.
    cause: Cause,
    lock: Box<dyn Lock>,
}

impl Domain {
    /// Becomes the domain's writer. Work that a crash or an error cut off is finished or undone
    /// first, and what could not be read is read again: it may have been a passing fault.
    pub(super) fn write(&self) -> Result<Writing<'_>> {
        let writing = self.write_migrating()?;
        self.check_not_migrating()?;
        Ok(writing)
    }

    /// As [`Domain::write`], also while a migration keeps all others from changing snapshots.
    pub(super) fn write_migrating(&self) -> Result<Writing<'_>> {
        let writing = self.write_undefined()?;
        // Whoever had the lock before may have undefined or renamed it, and has told so.
        let is_known = self.stands(self.store().definitions_generation());
        if !is_known && self.data.executor().is_none() && !self.store().is_defined(self.key())? {
            let nothing = Change {
                definition: DefinitionChange::Remove,
                ..Change::default()
            };
            self.store().commit(self.key(), &nothing)?;
            return Err(Error::DomainGone {
                uuid: uuid::format(self.uuid()),
                name: self.name().to_string(),
            });
        }
        Ok(writing)
    }

    /// As [`Domain::write_migrating`], for a domain that need not be defined yet.
    fn write_undefined(&self) -> Result<Writing<'_>> {
        let lock = self.store().lock(self.key())?;
        let writing = Writing {
            domain: self,
            cause: Cause::Plain,
            lock,
        };
        self.host.begin();
        if !self.hierarchy()?.problems.is_empty() {
            self.forget();
        }
        writing.resolve_pending()?;
        Ok(writing)
    }

    /// The stored form of a plan: whether there is one is a question before anything is done.
    pub(super) fn change_of(&self, plan: &Plan) -> Result<Change> {
        let change = documents(self, &*self.tree()?, plan)?;
        memory::check()?;
        Ok(change)
    }

    /// Makes a plan durable, then true in memory, and has those told who want to know.
    fn change_durably(
        &self,
        plan: &Plan,
        cause: &Cause,
        commit: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let before = self.generation();
        self.telling().prepare();
        let committed = commit();
        if committed.is_err() {
            self.telling().give_up();
            return committed;
        }
        self.change_tree(before, |tree| {
            self.telling().done(self.name(), tree, plan, cause);
            tree.apply(plan);
        });
        // Where the tree in memory was of no use, it is found out by who loads it.
        self.telling().give_up();
        Ok(())
    }

    /// Stores another definition.
    pub(super) fn set_definition(&self, definition: Arc<str>) -> Result<()> {
        let _writing = self.write_undefined()?;
        let change = Change {
            definition: DefinitionChange::Write(stored::definition(&definition)?),
            ..Change::default()
        };
        memory::check()?;
        self.store().commit(self.key(), &change)?;
        self.host.set_definition(definition);
        Ok(())
    }
}

impl<'a> Writing<'a> {
    /// The same, for that cause.
    pub fn because(self, cause: Cause) -> Writing<'a> {
        Writing { cause, ..self }
    }
}

impl Writing<'_> {
    /// A snapshot for the data room, with the lock that the programs there inherit.
    pub fn point<'p>(&'p self, point: &'p OwnedPoint) -> Point<'p> {
        point.borrow(self.lock.descriptor())
    }

    /// What a program inherits that works on guest data.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.lock.descriptor()
    }

    /// The stored form of a plan. It is made before guest data is touched: what cannot be stored
    /// must be refused while there is nothing to undo. So must what was made with memory from the
    /// reserve.
    pub fn change(&self, plan: &Plan) -> Result<Change> {
        self.domain.change_of(plan)
    }

    /// As [`Writing::change`], together with the domain's new definition, and with what is of no use
    /// from then on.
    pub fn change_with(
        &self,
        plan: &Plan,
        definition: Option<&str>,
        leftovers: &Leftovers,
    ) -> Result<Change> {
        with(self.change(plan)?, definition, leftovers)
    }

    /// Makes a plan durable, then true in memory.
    pub fn commit(&self, plan: &Plan) -> Result<()> {
        self.commit_change(plan, &self.change(plan)?)
    }

    /// Changes nothing.
    pub fn plan_keep(&self) -> Result<Plan> {
        Ok(self.domain.tree()?.plan_keep())
    }

    /// As [`Writing::commit`], together with what is kept about a migration. The documents are made
    /// one by one.
    pub fn commit_migration(&self, plan: &Plan, kept: String) -> Result<()> {
        let made = PlannedDocuments::of(self.domain, plan)?;
        let change = Change {
            remove: names(&made.change.remove),
            migration: MigrationChange::Write(kept),
            ..Change::default()
        };
        let commit = || {
            let store = self.domain.store();
            store
                .commit_made(self.domain.key(), &change, &made)
                // It may have been made all the same, and nobody can say for how long.
                .inspect_err(|_| self.domain.forget())
        };
        self.domain.change_durably(plan, &self.cause, commit)
    }

    /// Does what [`Writing::commit_change`] will have to wait for, while there is something else to
    /// wait for.
    pub fn prepare(&self, change: &Change) {
        self.domain.store().prepare(self.domain.key(), change);
    }

    /// Makes a change durable, then its plan true in memory.
    pub fn commit_change(&self, plan: &Plan, change: &Change) -> Result<()> {
        let commit = || self.domain.store().commit(self.domain.key(), change);
        self.domain.change_durably(plan, &self.cause, commit)?;
        if let DefinitionChange::Write(definition) = &change.definition {
            self.domain.host.set_definition(definition.as_str().into());
        }
        Ok(())
    }

    /// As [`Writing::commit_change`]; then does away with what is of no use any more.
    pub fn commit_and_tidy(
        &self,
        plan: &Plan,
        change: &Change,
        leftovers: &Leftovers,
    ) -> Result<()> {
        self.commit_change(plan, change)?;
        if change.then.is_some() {
            // The change is made. What stays now is tried again by the next writer.
            let removed = self.domain.data.remove(&leftovers.files);
            let points = kept_points(&*self.domain.tree()?, leftovers);
            let tidied = points.and_then(|points| tidy(self.domain, &points, &*self.lock));
            let _ = removed.and(tidied).and_then(|()| self.withdraw());
        }
        Ok(())
    }

    /// Brings layers together, with something that the caller does beside it.
    pub fn merge(&self, steps: &[Merge], beside: Beside<'_>) -> std::result::Result<(), Merged> {
        let data = &self.domain.data;
        data.merge(steps, self.lock.descriptor(), beside)
    }

    /// Records what is about to be done to guest data.
    pub fn intend(&self, intent: &Intent) -> Result<()> {
        let text = intent.encode();
        memory::check()?;
        self.record(&text)
    }

    fn record(&self, intent: &str) -> Result<()> {
        self.domain.store().intend(self.domain.key(), intent)
    }

    /// Guest data is as it was before the intent.
    pub fn withdraw(&self) -> Result<()> {
        self.domain.store().withdraw(self.domain.key())
    }

    /// Takes a captured snapshot back after a later step failed. If that fails too the intent
    /// stays, and the next writer tries again.
    pub fn take_back_create(&self, point: &OwnedPoint, cause: Error) -> Error {
        let undone = self
            .domain
            .data
            .take_back(&self.point(point))
            .and_then(|()| self.domain.data.tidy(&self.point(point)))
            .and_then(|()| self.withdraw());
        match undone {
            Ok(()) => cause,
            Err(undo) => cause.with_failed_undo(&undo),
        }
    }

    /// Ends an operation that can only be finished, because what is gone cannot be brought back. A
    /// failure may be a passing one, so it is finished once more. If that fails too the intent
    /// stays: what is shown from now on is how it will end, and the next writer, in this process or
    /// another, finishes it.
    pub fn finish(&self, outcome: Result<()>) -> Result<()> {
        outcome.or_else(|cause| {
            self.resolve_pending().map_err(|_| {
                self.domain.forget();
                cause
            })
        })
    }

    /// Closes the intent of an operation that failed and left guest data as it was. Space that it
    /// has taken and that cannot be given back now is remembered.
    pub fn give_up(&self, points: &[OwnedPoint]) -> Result<()> {
        let data = &self.domain.data;
        let tidied = points
            .iter()
            .try_for_each(|point| data.tidy(&self.point(point)));
        match tidied {
            Ok(()) => self.withdraw(),
            Err(_) => {
                let leftovers = Leftovers {
                    names: points.iter().map(|point| point.name.clone()).collect(),
                    files: Vec::new(),
                };
                self.record(&Intent::Tidy(leftovers).encode())
            }
        }
    }

    /// Ends a revert that failed: it is given up where no image is other than it was, but for new ones,
    /// and finished where one could not go back. New images that cannot be removed now are remembered.
    pub fn end_failed_revert(
        &self,
        point: OwnedPoint,
        restores: &[Restore],
        cause: Error,
    ) -> Result<()> {
        if self.keeps_former(&point, restores) {
            return self.finish(Err(cause));
        }
        let given_up = match self.domain.data.discard(restores) {
            Ok(()) => self.give_up(&[point]),
            Err(_) => self.intend(&Intent::Tidy(Leftovers {
                names: Vec::new(),
                files: restores
                    .iter()
                    .filter_map(Restore::new_file)
                    .cloned()
                    .collect(),
            })),
        };
        // A useless file is better than an intent that the next writer would carry out.
        match given_up.or_else(|_| self.withdraw()) {
            Ok(()) => Err(cause),
            Err(_) => self.finish(Err(cause)),
        }
    }

    /// What a revert that succeeded could not take away goes once the change is made.
    pub fn tidy_after_revert(
        &self,
        point: &OwnedPoint,
        restores: &[Restore],
        change: &mut Change,
        leftovers: &mut Leftovers,
    ) {
        if self.keeps_former(point, restores) {
            leftovers.names.push(point.name.clone());
            change.then = leftovers.intent();
        }
    }

    fn keeps_former(&self, point: &OwnedPoint, restores: &[Restore]) -> bool {
        self.domain.data.keeps_former(&self.point(point), restores)
    }

    fn resolve_pending(&self) -> Result<()> {
        let domain = self.domain;
        while let Some(text) = domain.store().pending(domain.key())? {
            // A copy: work on images takes long, and calls the program's functions, which may read.
            let tree = domain.tree()?.copy();
            let resolved = Resolved::of(domain, &tree, &text, &*self.lock)?;
            let commit = || domain.store().commit(domain.key(), &resolved.change);
            domain.change_durably(&resolved.plan, &Cause::Found, commit)?;
            resolved.tell_host(domain);
        }
        Ok(())
    }
}

/// Finishes or undoes what a crash cut off, before anybody has seen the tree.
pub(super) fn resolve(domain: &Domain, loaded: &mut Hierarchy, lock: &dyn Lock) -> Result<()> {
    while let Some(text) = domain.store().pending(domain.key())? {
        let resolved = Resolved::of(domain, &loaded.tree, &text, lock)?;
        domain.store().commit(domain.key(), &resolved.change)?;
        loaded.generation = domain.generation();
        loaded.tree.apply(&resolved.plan);
        resolved.tell_host(domain);
    }
    Ok(())
}

/// What an intent that cannot be resolved now will end in, if that is certain.
pub(super) fn decided(domain: &Domain, tree: &Tree) -> Option<Plan> {
    // What libvirt has done can only be asked of libvirt.
    if domain.data.executor().is_some() {
        return None;
    }
    let text = domain.store().pending(domain.key()).ok()??;
    match Intent::decode(&text)? {
        Intent::Delete {
            name,
            deletion,
            work,
            ..
        } => {
            let plan = tree.plan_delete(&name, deletion).ok()?;
            let definition = domain.host.definition().ok()?;
            let (plan, _) = delete::rewritten(tree, plan, &work, &definition).ok()?;
            Some(plan)
        }
        Intent::Revert {
            name,
            restores,
            work,
            ..
        } => revert::rewritten(tree, &name, &restores, &work).ok(),
        Intent::Create { .. } | Intent::Rename { .. } | Intent::Tidy(_) => None,
    }
}

/// The end of an intent: guest data is settled, this is what becomes of the metadata.
struct Resolved {
    plan: Plan,
    change: Change,
}

impl Resolved {
    /// Settles guest data. An intent is undone while nothing is lost by that, else finished.
    fn of(domain: &Domain, tree: &Tree, text: &str, lock: &dyn Lock) -> Result<Resolved> {
        let unreadable = || Error::Damaged {
            path: domain.store().journal_path(domain.key()),
            reason: "its journal holds an intent that cannot be read".to_owned(),
        };
        let intent = Intent::decode(text).ok_or_else(unreadable)?;
        if let Some(executor) = domain.data.executor() {
            let settled = companion::settled(domain, executor, tree, &intent, lock)?;
            return Resolved::done(domain, tree, settled.plan, None, &settled.leftovers);
        }
        if !matches!(intent, Intent::Rename { .. } | Intent::Tidy(_)) {
            domain.check_nobody_writes(limits::IMAGE_RELEASE)?;
        }
        match intent {
            Intent::Create {
                document,
                found,
                guest,
            } => {
                let snapshot = xml::parse(&document, xml::Mode::Load)?.snapshot;
                let point = OwnedPoint::with_overlays(&snapshot, &found)?.taken_of(guest);
                let point = point.borrow(lock.descriptor());
                domain.data.take_back(&point)?;
                domain.data.tidy(&point)?;
                Ok(Resolved::unchanged(tree))
            }
            Intent::Delete {
                name,
                deletion,
                work,
                ..
            } => {
                let plan = tree.plan_delete(&name, deletion)?;
                for snapshot in &plan.drop {
                    let point = OwnedPoint::to_delete(snapshot)?;
                    let point = point.borrow(lock.descriptor());
                    domain.data.delete(&point)?;
                    domain.data.tidy(&point)?;
                }
                let merged = domain
                    .data
                    .merge(&work.merges, lock.descriptor(), Beside::default());
                merged.map_err(Merged::cause)?;
                let definition = domain.host.definition()?;
                let (plan, definition) = delete::rewritten(tree, plan, &work, &definition)?;
                let leftovers = Leftovers::files(&work.removals);
                Resolved::done(domain, tree, plan, definition, &leftovers)
            }
            Intent::Rename { to } => {
                // The name that it has already is nobody's wish: leaving that would leave nothing.
                let is_other = *to != **domain.name();
                if is_other && rename::has_arrived(domain.store(), &to, domain.uuid())? {
                    return Ok(Resolved {
                        plan: tree.plan_clear(),
                        change: rename::departure(domain.store(), domain.key())?,
                    });
                }
                Ok(Resolved {
                    plan: tree.plan_keep(),
                    change: Change::default(),
                })
            }
            Intent::Tidy(leftovers) => {
                // Of no use, but in nobody's way either: a file that stays must not keep the
                // domain from working.
                let _ = domain.data.remove(&leftovers.files);
                tidy(domain, &kept_points(tree, &leftovers)?, lock)?;
                Ok(Resolved::unchanged(tree))
            }
            Intent::Revert {
                name,
                flags,
                definition,
                restores,
                work,
                ..
            } => {
                let snapshot = tree.get(&name)?;
                let asked = RevertFlags::recorded(flags);
                let point = OwnedPoint::to_revert(snapshot, asked)?;
                let point = point.borrow(lock.descriptor());
                domain.revert_again(snapshot, &definition, asked, || {
                    // The names are of this revert alone, so what stands there is not finished.
                    domain.data.discard(&restores)?;
                    domain.data.revert(&point, &restores, flags)?;
                    domain.data.replace_firmware(&point)
                })?;
                domain.data.tidy(&point)?;
                let plan = revert::rewritten(tree, &name, &restores, &work)?;
                let leftovers = Leftovers::files(&work.removals);
                Resolved::done(domain, tree, plan, Some(definition), &leftovers)
            }
        }
    }

    fn unchanged(tree: &Tree) -> Resolved {
        Resolved {
            plan: tree.plan_keep(),
            change: Change::default(),
        }
    }

    fn done(
        domain: &Domain,
        tree: &Tree,
        plan: Plan,
        definition: Option<String>,
        leftovers: &Leftovers,
    ) -> Result<Resolved> {
        let change = documents(domain, tree, &plan)?;
        let change = with(change, definition.as_deref(), leftovers)?;
        Ok(Resolved { plan, change })
    }

    fn tell_host(self, domain: &Domain) {
        if let DefinitionChange::Write(definition) = self.change.definition {
            domain.host.set_definition(definition.into());
        }
    }
}

/// Takes out of images what is of no use there.
fn tidy(domain: &Domain, points: &[OwnedPoint], lock: &dyn Lock) -> Result<()> {
    for point in points {
        domain.data.tidy(&point.borrow(lock.descriptor()))?;
    }
    Ok(())
}

/// The snapshots whose images have something of no use. Whoever has dropped one since had its
/// images in hand.
fn kept_points(tree: &Tree, leftovers: &Leftovers) -> Result<Vec<OwnedPoint>> {
    let snapshots = leftovers
        .names
        .iter()
        .filter_map(|name| tree.get(name).ok());
    snapshots.map(|snapshot| OwnedPoint::of(snapshot)).collect()
}

/// The change together with a new definition, and with the end of what is of no use after it.
fn with(change: Change, definition: Option<&str>, leftovers: &Leftovers) -> Result<Change> {
    Ok(Change {
        definition: match definition {
            Some(definition) => DefinitionChange::Write(stored::definition(definition)?),
            None => change.definition,
        },
        then: leftovers.intent(),
        ..change
    })
}

/// The stored form of a plan.
fn documents(domain: &Domain, tree: &Tree, plan: &Plan) -> Result<Change> {
    let change = tree.change(plan);
    let write = change.write.iter().map(|(snapshot, active)| {
        let text = stored::document(snapshot, *active, &domain.definitions())?;
        Ok((snapshot.name.to_string(), text))
    });
    Ok(Change {
        write: write.collect::<Result<_>>()?,
        remove: names(&change.remove),
        ..Change::default()
    })
}

fn names(names: &[Arc<str>]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// The documents of a plan, made when they are stored.
struct PlannedDocuments<'a> {
    domain: &'a Domain,
    change: tree::Change,
}

impl<'a> PlannedDocuments<'a> {
    fn of(domain: &'a Domain, plan: &Plan) -> Result<PlannedDocuments<'a>> {
        let change = domain.tree()?.change(plan);
        Ok(PlannedDocuments { domain, change })
    }
}

impl Made for PlannedDocuments<'_> {
    fn count(&self) -> usize {
        self.change.write.len()
    }

    fn name(&self, index: usize) -> String {
        let snapshot = self.change.write.get(index);
        snapshot.map_or_else(String::new, |(snapshot, _)| snapshot.name.to_string())
    }

    fn text(&self, index: usize) -> Result<String> {
        match self.change.write.get(index) {
            Some((snapshot, active)) => {
                stored::document(snapshot, *active, &self.domain.definitions())
            }
            None => Err(Error::NameMissing),
        }
    }
}
