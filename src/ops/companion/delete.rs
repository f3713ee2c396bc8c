//! Deletes snapshots of libvirt's domains: libvirt gets each for as long as it takes.

use std::sync::Arc;

use super::{adopt, lend};
use crate::data::{Executor, Secrets};
use crate::error::{Error, Result};
use crate::libvirt::Driver;
use crate::ops::change::Writing;
use crate::ops::collect::Collected;
use crate::ops::domain::Domain;
use crate::ops::flags::DeleteFlags;
use crate::ops::intent::{Intent, Worker};
use crate::snapshot::Snapshot;
use crate::tree::{Deletion, Plan};
use crate::xml;

impl Domain {
    /// Has the snapshots deleted that the flags select.
    pub(in crate::ops) fn delete_elsewhere(
        &self,
        executor: &dyn Executor,
        name: &str,
        flags: DeleteFlags,
    ) -> Result<()> {
        flags.check_driver_of(executor.driver())?;
        let writing = self.write()?;
        adopt::adopt(self, executor, &writing)?;
        self.check_name(name)?;
        let mut plan = self.tree()?.plan_delete(name, flags.deletion())?;
        if flags.has(DeleteFlags::METADATA_ONLY) || !executor.has_data() {
            return writing.commit(&plan);
        }
        if let Some(images) = self.images_at_hand(executor)? {
            return self.delete_offline(executor, images, &writing, (name, flags), plan);
        }
        self.check_kinds(name, executor.driver(), flags)?;
        self.check_disks(executor, &plan)?;
        // What cannot be stored must not be done.
        writing.change(&plan)?;
        for snapshot in &plan.drop {
            adopt::check_free(self, executor, &snapshot.name)?;
        }
        writing.intend(&Intent::Delete {
            worker: Worker::Driver,
            name: name.to_owned(),
            deletion: flags.deletion(),
            // libvirt knows itself what becomes of its images.
            work: Collected::default(),
        })?;
        let merged = match plan.drop.as_slice() {
            [only] if only.is_external() => self.merge(executor, &mut plan),
            _ => self.delete_each(&writing, &plan).map(|()| Vec::new()),
        };
        match merged {
            Ok(lent) => {
                writing.commit(&plan)?;
                // What libvirt still keeps if this fails, the next change takes away.
                let _ = adopt::forget(executor, lent);
                Ok(())
            }
            Err(cause) => Err(match writing.withdraw() {
                Ok(()) => cause,
                Err(undo) => cause.with_failed_undo(&undo),
            }),
        }
    }

    /// What libvirt 9.0's QEMU driver does not do, in its words.
    pub(super) fn check_kinds(&self, name: &str, driver: Driver, flags: DeleteFlags) -> Result<()> {
        if driver != Driver::Qemu || flags.deletion() == Deletion::One {
            return Ok(());
        }
        let tree = self.tree()?;
        let below = tree.plan_delete(name, Deletion::DescendantsOnly)?.drop;
        let external = below.iter().filter(|each| each.is_external()).count();
        let what = if external > 0 && external < below.len() {
            "deletion of external and internal children disk snapshots"
        } else if external > 0 {
            "deletion of external children disk snapshots"
        } else if flags.has(DeleteFlags::CHILDREN) && tree.get(name)?.is_external() {
            "deletion of external disk snapshots with children"
        } else {
            return Ok(());
        };
        Err(Error::DeletionUnsupported { what })
    }

    /// libvirt 9.0 ends the process if a guest that runs lacks a disk of an internal snapshot
    /// (docs/differences.md, D6).
    pub(super) fn check_disks(&self, executor: &dyn Executor, plan: &Plan) -> Result<()> {
        let Some(running) = executor.running_definition()? else {
            return Ok(());
        };
        let has = xml::domain_facts(&running)?.disks;
        for snapshot in plan.drop.iter().filter(|each| !each.is_external()) {
            let mut disks = snapshot.disks.iter();
            let lost = disks.find(|disk| has.iter().all(|known| *known.target != *disk.name));
            if let Some(lost) = lost {
                return Err(Error::GuestState {
                    detail: format!(
                        "disk '{}' of internal snapshot '{}' is not in the running domain '{}'",
                        lost.name,
                        snapshot.name,
                        self.name()
                    ),
                });
            }
        }
        Ok(())
    }

    /// Deletes internal snapshots, children before their parents. After a failure those that are
    /// gone are gone from the hierarchy, too.
    fn delete_each(&self, writing: &Writing<'_>, plan: &Plan) -> Result<()> {
        for (place, snapshot) in plan.drop.iter().enumerate() {
            let deleted =
                lend::point(snapshot).and_then(|point| self.data.delete(&point.borrow(None)));
            if let Err(cause) = deleted {
                let gone = plan.drop.get(..place).unwrap_or_default();
                return Err(match self.drop_gone(writing, gone) {
                    Ok(()) => cause,
                    Err(undo) => cause.with_failed_undo(&undo),
                });
            }
        }
        Ok(())
    }

    fn drop_gone(&self, writing: &Writing<'_>, gone: &[Arc<Snapshot>]) -> Result<()> {
        for snapshot in gone {
            let plan = self.tree()?.plan_delete(&snapshot.name, Deletion::One)?;
            writing.commit(&plan)?;
        }
        Ok(())
    }

    /// Deletes one external snapshot: its overlay is merged into the image below. libvirt decides by
    /// its ancestors whether that can be done, and then describes its descendants anew. Answers
    /// what libvirt keeps.
    fn merge(&self, executor: &dyn Executor, plan: &mut Plan) -> Result<Vec<Arc<Snapshot>>> {
        let Some(target) = plan.drop.first().cloned() else {
            return Ok(Vec::new());
        };
        let below = self.descendants(&target)?;
        let mut lent = self.ancestors(&target)?;
        lent.push(Arc::clone(&target));
        lent.extend(below.iter().cloned());
        for (place, snapshot) in lent.iter().enumerate() {
            let document = lend::document(&lend::acceptable(snapshot));
            if let Err(cause) = executor.lend(&document) {
                return Err(take_back(executor, lent.get(..place), cause));
            }
        }
        if let Err(cause) = executor.delete_kept(&target.name) {
            return Err(take_back(executor, Some(&lent), cause));
        }
        for old in &below {
            // The data is merged: what libvirt cannot tell now must not keep that from being stored.
            if let Ok(new) = described(executor, &old.name) {
                redescribe(plan, old, new);
            }
        }
        lent.retain(|snapshot| snapshot.name != target.name);
        Ok(lent)
    }

    /// The ancestors of a snapshot, the oldest first.
    fn ancestors(&self, target: &Snapshot) -> Result<Vec<Arc<Snapshot>>> {
        let tree = self.tree()?;
        let mut above = Vec::new();
        let mut name = Arc::clone(&target.name);
        while let Ok(parent) = tree.parent(&name) {
            above.push(Arc::clone(tree.get(&parent.name)?));
            name = parent.name;
        }
        above.reverse();
        Ok(above)
    }

    /// The descendants of a snapshot, parents first.
    fn descendants(&self, target: &Snapshot) -> Result<Vec<Arc<Snapshot>>> {
        let tree = self.tree()?;
        let plan = tree.plan_delete(&target.name, Deletion::DescendantsOnly)?;
        Ok(plan.drop.into_iter().rev().collect())
    }
}

fn take_back(executor: &dyn Executor, lent: Option<&[Arc<Snapshot>]>, cause: Error) -> Error {
    match adopt::forget(executor, lent.unwrap_or_default().to_vec()) {
        Ok(()) => cause,
        Err(undo) => cause.with_failed_undo(&undo),
    }
}

/// A snapshot as libvirt describes it.
fn described(executor: &dyn Executor, name: &str) -> Result<Snapshot> {
    let document = executor.kept_document(name, Secrets::Shown)?;
    xml::parse(&document, xml::Mode::Redefine).map(|parsed| parsed.snapshot)
}

/// Puts libvirt's new description of a snapshot into the plan; its place in the hierarchy is ours.
fn redescribe(plan: &mut Plan, old: &Snapshot, new: Snapshot) {
    let planned = plan.put.iter_mut().find(|planned| planned.name == old.name);
    match planned {
        Some(planned) => {
            let parent = planned.parent.clone();
            *planned = Arc::new(Snapshot { parent, ..new });
        }
        None => {
            let parent = old.parent.clone();
            plan.put.push(Arc::new(Snapshot { parent, ..new }));
        }
    }
}
