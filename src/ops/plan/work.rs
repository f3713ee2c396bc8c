//! The plans, one for each kind of operation.

use std::sync::Arc;

use super::{Planned, Step, StepKind};
use crate::data::{Restore, space};
use crate::error::Result;
use crate::ops::create::Creation;
use crate::ops::delete::Deletion;
use crate::ops::domain::Domain;
use crate::ops::driver::Undefine;
use crate::ops::flags::{CreateFlags, DeleteFlags, RevertFlags};
use crate::ops::migrate::Carry;
use crate::ops::power::Way;
use crate::ops::refusals::Refusals;
use crate::ops::revert::Reversion;
use crate::ops::uri::RedefineRules;
use crate::snapshot::{DiskMode, Memory, Snapshot, State};
use crate::{limits, xml};

impl Domain {
    /// What [`Domain::delete`] would do.
    pub fn plan_delete(&self, name: &str, flags: DeleteFlags) -> Result<Planned> {
        let mut refusals = Refusals::all();
        flags.check_driver_of(self.driver())?;
        refusals.check(self.check_not_migrating())?;
        self.tree()?.get(name)?;
        let deletion = match self.data.executor() {
            Some(executor) => self.deletion_elsewhere(executor, name, flags, &mut refusals),
            None => self.deletion(name, flags, &mut refusals),
        };
        let mut planned = Planned::default();
        if let Some(deletion) = refusals.check(deletion)? {
            refusals.check(self.change_of(&deletion.plan))?;
            self.put_deletion(&mut planned, &deletion, flags)?;
        }
        Ok(planned.summed(refusals))
    }

    fn put_deletion(
        &self,
        planned: &mut Planned,
        deletion: &Deletion,
        flags: DeleteFlags,
    ) -> Result<()> {
        let has_data = !flags.has(DeleteFlags::METADATA_ONLY) && !deletion.plan.drop.is_empty();
        if has_data && (self.has_own_data() || self.data.executor().is_some()) {
            planned.add(Step::new(StepKind::Elsewhere));
        }
        let dropped = match self.has_own_data() {
            true => super::data::Dropped::default(),
            false => planned.dropped(&deletion.points),
        };
        planned.merges(&deletion.work.merges);
        planned.tree(&*self.tree()?, &deletion.plan);
        if let Some(definition) = &deletion.definition {
            planned.switches(&self.host.definition()?, definition)?;
        }
        planned.removals(&deletion.work, &dropped);
        Ok(())
    }

    /// What [`Domain::revert`] would do.
    pub fn plan_revert(&self, name: &str, flags: RevertFlags) -> Result<Planned> {
        let mut refusals = Refusals::all();
        flags.check_driver_of(self.driver())?;
        refusals.check(self.check_not_migrating())?;
        let snapshot = Arc::clone(self.tree()?.get(name)?);
        let mut planned = Planned::default();
        if let Some(executor) = self.data.executor() {
            let plan = self.reversion_elsewhere(executor, &snapshot, &mut refusals);
            planned.elsewhere(&*self.tree()?, refusals.check(plan)?);
            return Ok(planned.summed(refusals));
        }
        let reversion = self.reversion(&snapshot, flags, &mut refusals);
        if let Some(reversion) = refusals.check(reversion)? {
            refusals.check(self.change_of(&reversion.plan))?;
            self.put_reversion(&mut planned, &snapshot, &reversion)?;
        }
        Ok(planned.summed(refusals))
    }

    fn put_reversion(
        &self,
        planned: &mut Planned,
        snapshot: &Snapshot,
        reversion: &Reversion<'_>,
    ) -> Result<()> {
        let prepared = &reversion.prepared;
        let way = reversion.way;
        if self.has_own_data() {
            planned.add(Step::new(StepKind::Elsewhere));
        }
        let made = prepared
            .restores
            .iter()
            .map(|restore| restored(snapshot, reversion, restore));
        let made: Vec<Step> = made.collect();
        let is_beside = prepared.restores.iter().all(Restore::is_beside_the_guest);
        let is_before = is_beside && !matches!(way, Some(Way::InPlace(_) | Way::Restart { .. }));
        if is_before {
            planned.extend(made.iter().cloned());
        }
        match way {
            Some(Way::InPlace(_)) => planned.add(Step::new(StepKind::Pause)),
            Some(way) if way.stops() => planned.add(Step::new(StepKind::Stop)),
            _ => {}
        }
        if let Some(Way::Restart { .. }) = way {
            planned.add(Step::new(StepKind::Start));
        }
        if !is_before {
            planned.extend(made);
        }
        let firmware = &reversion.point.firmware;
        if firmware.is_replaced()
            && let Some(nvram) = &firmware.nvram
        {
            planned.add(Step::file(StepKind::WriteFile, &nvram.path, 0));
        }
        planned.tree(&*self.tree()?, &reversion.plan);
        planned.switches(&self.host.definition()?, &prepared.definition)?;
        planned.removals(&prepared.work, &super::data::Dropped::default());
        if let Some(Way::Off { end: Some(_), .. } | Way::FromFile { .. }) = way {
            planned.add(Step::new(StepKind::Start));
        }
        if way.is_some_and(Way::runs_afterwards) {
            planned.add(Step::new(StepKind::Resume));
        }
        if matches!(way, Some(Way::InPlace(_))) {
            planned.pause_ms = pause_ms(memory_bytes(snapshot, &reversion.point));
        }
        Ok(())
    }
}

impl Domain {
    /// What [`Domain::create`] would do. A document that cannot be read is an error.
    pub fn plan_create(
        &self,
        xml: &str,
        flags: CreateFlags,
        rules: RedefineRules,
    ) -> Result<Planned> {
        let mut refusals = Refusals::all();
        flags.check_driver_of(self.driver())?;
        if flags.has(CreateFlags::VALIDATE) {
            refusals.check(xml::validate(xml))?;
        }
        xml::parse(xml, self.mode_of(flags)?)?;
        refusals.check(self.check_not_migrating())?;
        let mut planned = Planned::default();
        if flags.has(CreateFlags::REDEFINE) {
            let plan = self.redefinition(xml, flags, rules, &mut refusals);
            if let Some(plan) = refusals.check(plan)? {
                refusals.check(self.change_of(&plan))?;
                planned.tree(&*self.tree()?, &plan);
            }
            return Ok(planned.summed(refusals));
        }
        if self.data.executor().is_some() {
            let plan = self.creation_elsewhere(xml, flags, &mut refusals);
            planned.elsewhere(&*self.tree()?, refusals.check(plan)?.flatten());
            return Ok(planned.summed(refusals));
        }
        let creation = self.creation(xml, flags, &mut refusals);
        if let Some(Some(creation)) = refusals.check(creation)? {
            refusals.check(self.change_of(&creation.plan))?;
            self.put_creation(&mut planned, &creation, flags)?;
        }
        Ok(planned.summed(refusals))
    }

    fn put_creation(
        &self,
        planned: &mut Planned,
        creation: &Creation,
        flags: CreateFlags,
    ) -> Result<()> {
        let Creation {
            prepared,
            point,
            plan,
        } = creation;
        let snapshot = &prepared.snapshot;
        let is_active = snapshot.state != State::Shutoff;
        let has_memory = !matches!(snapshot.memory, Some(Memory::None) | None);
        let memory = match has_memory {
            true => xml::capacity(&self.host.definition()?)?
                .memory_kib
                .saturating_mul(1024),
            false => 0,
        };
        let is_live = flags.has(CreateFlags::LIVE);
        if self.has_own_data() {
            planned.add(Step::new(StepKind::Elsewhere));
        }
        if is_active && !is_live {
            planned.add(Step::new(StepKind::Pause));
            planned.pause_ms = pause_ms(memory);
        }
        planned.taken(snapshot, point, memory);
        planned.tree(&*self.tree()?, plan);
        if let Some(definition) = &prepared.definition {
            planned.switches(&self.host.definition()?, definition)?;
        }
        if is_active && flags.has(CreateFlags::HALT) {
            planned.add(Step::new(StepKind::Stop));
        } else if is_active && !is_live && self.host.state()? == State::Running {
            planned.add(Step::new(StepKind::Resume));
        }
        Ok(())
    }

    /// What undefining the domain would do.
    pub fn plan_undefine(&self, snapshots: Undefine) -> Result<Planned> {
        let mut refusals = Refusals::all();
        refusals.check(self.check_not_migrating())?;
        let mut planned = Planned::default();
        // libvirt's own goes on without a definition, and keeps its snapshots meanwhile.
        if self.data.executor().is_some()
            && snapshots == Undefine::RefuseSnapshots
            && self.host.state()? != State::Shutoff
        {
            planned.add(Step::new(StepKind::Undefine));
            return Ok(planned.summed(refusals));
        }
        let plan = self.undefinition(snapshots, &mut refusals);
        if let Some(plan) = refusals.check(plan)? {
            planned.tree(&*self.tree()?, &plan);
            planned.add(Step::new(StepKind::Undefine));
        }
        Ok(planned.summed(refusals))
    }

    /// What a migration would do here, at its source.
    pub fn plan_migrate(&self, carry: Carry) -> Result<Planned> {
        let mut refusals = Refusals::all();
        // One that has begun answers its cookie again.
        let has_begun = carry == Carry::Metadata && self.has_begun_migrating()?;
        if !has_begun {
            self.check_can_begin(carry, &mut refusals)?;
        }
        let mut planned = Planned::default();
        if carry == Carry::Metadata {
            if !has_begun {
                planned.add(Step::new(StepKind::Freeze));
            }
            let tree = self.tree()?;
            planned.tree(&tree, &tree.plan_clear());
        }
        Ok(planned.summed(refusals))
    }
}

/// What becomes of one disk.
fn restored(snapshot: &Snapshot, reversion: &Reversion<'_>, restore: &Restore) -> Step {
    match restore {
        Restore::Apply { disk } => {
            let mut disks = reversion.point.disks.iter();
            let found = disks.find(|known| known.target == *disk);
            let image = found.and_then(|found| found.base.local());
            let bytes = image.map(|layer| space::overwritten(&layer.path).unwrap_or(0));
            Step {
                file: image.map(|layer| layer.path.clone()),
                bytes: bytes.unwrap_or(0),
                ..Step::of(StepKind::RestoreData, &snapshot.name).on(disk)
            }
        }
        Restore::Overlay { disk, base, path } => {
            let step = Step::file(StepKind::CreateFile, path, space::overlay(base));
            step.with(&base.path).on(disk)
        }
        Restore::Copy { disk, from, path } => {
            let bytes = space::copy(from, &snapshot.name).unwrap_or(0);
            let step = Step::file(StepKind::CreateFile, path, bytes);
            step.with(from).on(disk)
        }
    }
}

/// Bytes of the guest's memory that a snapshot keeps.
fn memory_bytes(snapshot: &Snapshot, point: &crate::ops::point::OwnedPoint) -> u64 {
    match &snapshot.memory {
        Some(Memory::External { file }) => {
            space::file(std::path::Path::new(&**file)).map_or(0, |taken| taken.bytes)
        }
        Some(Memory::Internal) if snapshot.state != State::Shutoff => {
            let mut inside = point.disks.iter();
            let first = inside.find(|disk| disk.mode == DiskMode::Internal);
            let image = first.and_then(|disk| disk.base.local());
            image.map_or(0, |layer| {
                space::memory(&layer.path, &point.name).unwrap_or(0)
            })
        }
        _ => 0,
    }
}

/// How long a guest waits at least while so many bytes are read or written.
fn pause_ms(bytes: u64) -> u64 {
    bytes.div_ceil(limits::FASTEST_STORAGE_BYTES_A_MS)
}
