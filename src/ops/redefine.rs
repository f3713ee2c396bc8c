//! REDEFINE: takes the metadata of a snapshot in that exists already. No guest is touched.

use std::sync::Arc;

use super::create::{check_snapshot_name, is_regular_file};
use super::differences::{forget_missing_overlays, given_paths};
use super::domain::Domain;
use super::events::Cause;
use super::flags::CreateFlags;
use super::refusals::Refusals;
use super::stored;
use super::uri::{RedefineCheck, RedefineCurrent, RedefineRules};
use crate::error::{Error, Result};
use crate::libvirt::Driver;
use crate::snapshot::{DiskMode, Memory, Snapshot, State};
use crate::tree::{Plan, Tree};
use crate::uuid;
use crate::xml::{self, Participation};

impl Domain {
    pub(super) fn redefine(
        &self,
        xml: &str,
        flags: CreateFlags,
        rules: RedefineRules,
    ) -> Result<Arc<str>> {
        let writing = self.write()?;
        let plan = self.redefinition(xml, flags, rules, &mut Refusals::First)?;
        let name = plan.put.first().map(|snapshot| Arc::clone(&snapshot.name));
        let name = name.ok_or(Error::NameMissing)?;
        let writing = writing.because(Cause::Redefined(Arc::clone(&name)));
        writing.commit(&plan)?;
        Ok(name)
    }

    /// What REDEFINE would do.
    pub(super) fn redefinition(
        &self,
        xml: &str,
        flags: CreateFlags,
        rules: RedefineRules,
        refusals: &mut Refusals,
    ) -> Result<Plan> {
        let parsed = xml::parse_with(xml, xml::Mode::Redefine, &self.definitions())?;
        let mut snapshot = parsed.snapshot;
        refusals.check(check_snapshot_name(&snapshot.name))?;
        if self.driver() == Driver::Qemu {
            refusals.check(check_state(snapshot.state))?;
        }
        refusals.check(self.check_name(&snapshot.name))?;
        if let Some(parent) = &snapshot.parent {
            refusals.check(self.check_name(parent))?;
        }
        let given = given_paths(&snapshot);
        let replaced = {
            let tree = self.tree()?;
            refusals.check(tree.check_parent(&snapshot))?;
            tree.get(&snapshot.name).ok().cloned()
        };
        self.complete(&mut snapshot, replaced.as_deref(), flags)?;
        if rules.check != RedefineCheck::Trust {
            forget_missing_overlays(&mut snapshot, &given);
        }
        if rules.check == RedefineCheck::Strict {
            refusals.check(self.check_data(&snapshot))?;
        }
        refusals.check(stored::check_room(&snapshot))?;
        let tree = self.tree()?;
        let becomes_current = flags.has(CreateFlags::CURRENT)
            || (replaced.is_none() && follows_current(&snapshot, &tree, rules.current));
        tree.plan_redefine(snapshot, becomes_current)
    }

    /// Checks a redefined snapshot and fills in what its document may leave out.
    pub(super) fn complete(
        &self,
        snapshot: &mut Snapshot,
        replaced: Option<&Snapshot>,
        flags: CreateFlags,
    ) -> Result<()> {
        let name = || snapshot.name.to_string();
        if flags.has(CreateFlags::DISK_ONLY) && snapshot.state != State::DiskSnapshot {
            return Err(Error::DiskOnlyState { name: name() });
        }
        if let Some(definition) = &snapshot.domain
            && self.definitions().facts(definition)?.uuid != Some(*self.uuid())
        {
            let uuid = uuid::format(self.uuid());
            return Err(Error::ForeignDefinition { name: name(), uuid });
        }
        if let Some(replaced) = replaced {
            check_replacement(snapshot, replaced)?;
            keep_definition(snapshot, replaced);
        }
        let definition = snapshot.domain.clone().ok_or(Error::DefinitionMissing)?;
        let (default, participation) = if is_external(snapshot) {
            (DiskMode::External, Participation::Individual)
        } else {
            (DiskMode::Internal, Participation::Uniform)
        };
        let facts = self.definitions().facts(&definition)?;
        xml::align(snapshot, &facts, default, participation, &is_regular_file)?;
        self.definitions().share_disks(snapshot);
        Ok(())
    }
}

/// A new snapshot below the current one may be what the running state descends from.
fn follows_current(snapshot: &Snapshot, tree: &Tree, rule: RedefineCurrent) -> bool {
    let current = tree.current().map(|current| &current.name);
    rule == RedefineCurrent::Parent && current.is_some() && snapshot.parent.as_ref() == current
}

/// States that libvirt's QEMU driver has no snapshots of.
fn check_state(state: State) -> Result<()> {
    match state {
        State::Blocked => Err(Error::StateInvalid { word: state.word() }),
        State::PmSuspended => Err(Error::StatePmSuspended),
        _ => Ok(()),
    }
}

fn check_replacement(snapshot: &Snapshot, replaced: &Snapshot) -> Result<()> {
    let name = || snapshot.name.to_string();
    if snapshot.state.is_online() != replaced.state.is_online() {
        return Err(Error::ChangesOnline { name: name() });
    }
    if (snapshot.state == State::DiskSnapshot) != (replaced.state == State::DiskSnapshot) {
        return Err(Error::ChangesDiskOnly { name: name() });
    }
    match (&snapshot.domain, &replaced.domain) {
        (Some(new), Some(old)) => xml::check_guest_abi(new, old),
        _ => Ok(()),
    }
}

/// Without a definition the old one stays. With the old one's public form, too: that was dumped
/// without XML_SECURE, and must not cost the passwords (docs/differences.md, D21).
fn keep_definition(snapshot: &mut Snapshot, replaced: &Snapshot) {
    let lost_only_secrets = |new: &Arc<str>, old: &Arc<str>| **new == *xml::without_secrets(old);
    for (new, old) in [
        (&mut snapshot.domain, &replaced.domain),
        (&mut snapshot.inactive_domain, &replaced.inactive_domain),
    ] {
        if let (Some(text), Some(old)) = (&*new, old)
            && lost_only_secrets(text, old)
        {
            *new = Some(Arc::clone(old));
        }
    }
    if snapshot.domain.is_none() {
        snapshot.domain.clone_from(&replaced.domain);
    }
}

/// Whether its disks need not all take part (libvirt's default mode is external then).
pub(super) fn is_external(snapshot: &Snapshot) -> bool {
    snapshot.state == State::DiskSnapshot
        || matches!(snapshot.memory, Some(Memory::External { .. }))
        || snapshot.is_external()
}
