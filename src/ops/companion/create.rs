//! Creates snapshots: libvirt prepares, captures and describes them, and forgets them again once
//! they are stored here.

use std::sync::Arc;

use super::{adopt, lend};
use crate::data::{Executor, Guest};
use crate::error::{Error, Result};
use crate::libvirt::Driver;
use crate::ops::RedefineRules;
use crate::ops::change::Writing;
use crate::ops::create::{check_snapshot_name, now};
use crate::ops::domain::Domain;
use crate::ops::flags::CreateFlags;
use crate::ops::intent::Intent;
use crate::ops::point::OwnedPoint;
use crate::ops::records;
use crate::snapshot::{DiskMode, Memory, Snapshot, State};
use crate::xml;

impl Domain {
    /// Has a snapshot created, or takes its metadata in; answers its name.
    pub(in crate::ops) fn create_elsewhere(
        &self,
        executor: &dyn Executor,
        xml: &str,
        flags: CreateFlags,
        rules: RedefineRules,
    ) -> Result<Arc<str>> {
        flags.check_driver_of(executor.driver())?;
        match self.create_or_redefine(executor, xml, flags, rules) {
            // libvirt's parser says it in its own words. It has nothing to do for that.
            Err(cause @ Error::NotWellFormed { .. }) => {
                Err(executor.lend(xml).err().unwrap_or(cause))
            }
            done => done,
        }
    }

    fn create_or_redefine(
        &self,
        executor: &dyn Executor,
        xml: &str,
        flags: CreateFlags,
        rules: RedefineRules,
    ) -> Result<Arc<str>> {
        if flags.has(CreateFlags::VALIDATE) {
            xml::validate(xml)?;
        }
        if flags.has(CreateFlags::REDEFINE) {
            {
                let writing = self.write()?;
                adopt::adopt(self, executor, &writing)?;
            }
            return self.redefine(xml, flags, rules);
        }
        let offline = executor.driver() == Driver::Qemu
            && (flags.has(CreateFlags::DISK_ONLY) || self.host.state()? == State::Shutoff);
        let request = parsed(xml, offline)?;
        let document = xml::named_request(xml, &request.name)?;
        let writing = self.write()?;
        if flags.has(CreateFlags::NO_METADATA) {
            executor.take(&document, flags.bits())?;
            return Ok(request.name);
        }
        check_snapshot_name(&request.name)?;
        adopt::adopt(self, executor, &writing)?;
        self.check_name(&request.name)?;
        self.check_current()?;
        self.check_new(executor, &request, &document, flags)?;
        writing.intend(&Intent::Create {
            document: document.to_string(),
            found: Vec::new(),
            guest: Guest::Waiting,
        })?;
        match executor.take(&document, flags.bits()) {
            Ok(full) => self
                .keep(executor, &writing, &request.name, full.as_deref())
                .map(|()| request.name),
            Err(cause) => Err(match writing.withdraw() {
                Ok(()) => cause,
                Err(undo) => cause.with_failed_undo(&undo),
            }),
        }
    }

    /// Refuses a name that a snapshot has, here or in an image that would take the new one.
    fn check_new(
        &self,
        executor: &dyn Executor,
        request: &Snapshot,
        document: &str,
        flags: CreateFlags,
    ) -> Result<()> {
        let known = self.tree()?.get(&request.name).ok().cloned();
        if let Some(known) = known {
            return Err(refusal(executor, &known, document, flags));
        }
        if flags.has(CreateFlags::DISK_ONLY)
            || !executor.has_data()
            || is_external(request)
            || self.host.state()? != State::Shutoff
        {
            return Ok(());
        }
        let facts = xml::domain_facts(&self.host.definition()?)?;
        let point = OwnedPoint::inside(request, &facts.disks);
        self.data.check_create(&point.borrow(None))
    }

    /// Stores what libvirt has taken under that name; or libvirt drops it again.
    fn keep(
        &self,
        executor: &dyn Executor,
        writing: &Writing<'_>,
        name: &Arc<str>,
        full: Option<&str>,
    ) -> Result<()> {
        if let Err(cause) = self.store_taken(executor, writing, full.unwrap_or_default()) {
            let undone = executor.delete_kept(name).and_then(|()| writing.withdraw());
            return Err(match undone {
                Ok(()) => cause,
                Err(undo) => cause.with_failed_undo(&undo),
            });
        }
        // The snapshot is safe. What libvirt still keeps if this fails, the next change takes away.
        let _ = executor.forget(name);
        Ok(())
    }

    fn store_taken(
        &self,
        executor: &dyn Executor,
        writing: &Writing<'_>,
        full: &str,
    ) -> Result<()> {
        let snapshot = xml::parse(full, xml::Mode::Redefine)?.snapshot;
        executor.check_taken(&OwnedPoint::local(&snapshot)?.borrow(None))?;
        let plan = {
            let tree = self.tree()?;
            let mut plan = tree.plan_create(snapshot)?;
            records::end_revert(&tree, &mut plan)?;
            plan
        };
        writing.commit(&plan)
    }
}

/// The snapshot that a recorded document asks for, as far as that can be said without the domain.
pub(super) fn requested(xml: &str) -> Result<Snapshot> {
    parsed(xml, false)
}

fn parsed(xml: &str, offline: bool) -> Result<Snapshot> {
    let now = now();
    xml::parse(xml, xml::Mode::Create { now, offline }).map(|parsed| parsed.snapshot)
}

fn is_external(request: &Snapshot) -> bool {
    let is_external = |mode| mode == Some(DiskMode::External);
    matches!(request.memory, Some(Memory::External { .. }))
        || request.disks.iter().any(|disk| is_external(disk.mode))
}

/// What libvirt says to a name that is taken. It finds other faults of the request first, so it is
/// asked, with the snapshot of that name in its hands.
fn refusal(executor: &dyn Executor, known: &Snapshot, request: &str, flags: CreateFlags) -> Error {
    let exists = Error::SnapshotExists {
        name: known.name.to_string(),
    };
    if executor.lend(&lend::document(&lend::alone(known))).is_err() {
        return exists;
    }
    let refused = executor.take(request, flags.bits());
    let forgotten = executor.forget(&known.name);
    match (refused, forgotten) {
        (Ok(_), _) => exists,
        (Err(cause), Ok(())) => cause,
        (Err(cause), Err(undo)) => cause.with_failed_undo(&undo),
    }
}
