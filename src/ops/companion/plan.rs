//! Plans of operations that libvirt carries out: what becomes of the hierarchy, and of internal
//! snapshots. What libvirt does with images besides is its own affair.

use std::sync::Arc;

use crate::data::Executor;
use crate::error::Result;
use crate::ops::delete::{Deletion, dropped_points};
use crate::ops::domain::Domain;
use crate::ops::flags::{CreateFlags, DeleteFlags};
use crate::ops::refusals::Refusals;
use crate::snapshot::Snapshot;
use crate::tree::Plan;
use crate::xml;

impl Domain {
    /// What having snapshots deleted would do.
    pub(in crate::ops) fn deletion_elsewhere(
        &self,
        executor: &dyn Executor,
        name: &str,
        flags: DeleteFlags,
        refusals: &mut Refusals,
    ) -> Result<Deletion> {
        refusals.check(self.check_name(name))?;
        let plan = self.tree()?.plan_delete(name, flags.deletion())?;
        let mut deletion = Deletion::default();
        if executor.has_data() && !flags.has(DeleteFlags::METADATA_ONLY) {
            if self.images_at_hand(executor)?.is_none() {
                refusals.check(self.check_kinds(name, executor.driver(), flags))?;
                refusals.check(self.check_disks(executor, &plan))?;
            }
            deletion.points = refusals.check(dropped_points(&plan))?.unwrap_or_default();
        }
        deletion.plan = plan;
        Ok(deletion)
    }

    /// What having the guest reverted would do with the hierarchy.
    pub(in crate::ops) fn reversion_elsewhere(
        &self,
        executor: &dyn Executor,
        snapshot: &Arc<Snapshot>,
        refusals: &mut Refusals,
    ) -> Result<Plan> {
        refusals.check(self.check_name(&snapshot.name))?;
        if self.images_at_hand(executor)?.is_none() {
            refusals.check(self.check_alone(executor, snapshot))?;
        }
        self.tree()?.plan_current(&snapshot.name)
    }

    /// What having a snapshot taken would do with the hierarchy; `None` where that is refused.
    pub(in crate::ops) fn creation_elsewhere(
        &self,
        xml: &str,
        flags: CreateFlags,
        refusals: &mut Refusals,
    ) -> Result<Option<Plan>> {
        let snapshot = xml::parse(xml, self.mode_of(flags)?)?.snapshot;
        refusals.check(self.check_name(&snapshot.name))?;
        refusals.check(self.check_current())?;
        let tree = self.tree()?;
        match flags.has(CreateFlags::NO_METADATA) {
            true => Ok(Some(tree.plan_keep())),
            false => refusals.check(tree.plan_create(snapshot)),
        }
    }
}
