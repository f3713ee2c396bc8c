//! Creates snapshots: capture the guest's data, then keep the metadata.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::change::Writing;
use super::domain::Domain;
use super::flags::CreateFlags;
use super::intent::{Intent, Leftovers};
use super::point::OwnedPoint;
use super::refusals::Refusals;
use super::uri::RedefineRules;
use super::{firmware, overlays, records, stored};
use crate::data::{Beside, Guest, OverlayFile, Point};
use crate::error::{Error, Result};
use crate::limits;
use crate::snapshot::{DiskMode, Memory, Snapshot, State};
use crate::store::{Change, check_name};
use crate::tree::Plan;
use crate::xml::{self, DomainDisk, DomainFacts, FirmwareRecord, Participation};

impl Domain {
    /// Creates a snapshot, or with REDEFINE takes its metadata in; answers its name.
    pub fn create(&self, xml: &str, flags: CreateFlags, rules: RedefineRules) -> Result<Arc<str>> {
        if let Some(executor) = self.data.executor() {
            return self.create_elsewhere(executor, xml, flags, rules);
        }
        flags.check_driver()?;
        if flags.has(CreateFlags::VALIDATE) {
            xml::validate(xml)?;
        }
        if flags.has(CreateFlags::REDEFINE) {
            return self.redefine(xml, flags, rules);
        }
        let writing = self.write()?;
        let Some(Creation {
            prepared,
            point,
            plan,
        }) = self.creation(xml, flags, &mut Refusals::First)?
        else {
            return Err(Error::DefinitionMissing);
        };
        let name = Arc::clone(&prepared.snapshot.name);
        let change =
            writing.change_with(&plan, prepared.definition.as_deref(), &Leftovers::default())?;
        let is_active = prepared.snapshot.state != State::Shutoff;
        self.capture(&writing, prepared, &point, &change, flags)?;
        let halted = match flags.has(CreateFlags::HALT) && is_active {
            true => self.host.stop(),
            false => Ok(()),
        };
        halted
            .and_then(|()| writing.commit_change(&plan, &change))
            .map_err(|cause| writing.take_back_create(&point, cause))?;
        Ok(name)
    }

    /// What creating would do; `None` where a reason to refuse leaves nothing to look at.
    pub(super) fn creation(
        &self,
        xml: &str,
        flags: CreateFlags,
        refusals: &mut Refusals,
    ) -> Result<Option<Creation>> {
        let Some(prepared) = self.prepared(xml, flags, refusals)? else {
            return Ok(None);
        };
        refusals.check(self.check_name(&prepared.snapshot.name))?;
        refusals.check(self.check_current())?;
        let point = OwnedPoint::with_overlays(&prepared.snapshot, &prepared.found)?;
        let point = point.taken_of(prepared.guest);
        let plan = refusals.check(self.plan_new(&prepared.snapshot, flags))?;
        // Before the intent: undoing it drops that name from the images. After the plan: of a
        // name that snapshot and image have, libvirt's error is about the snapshot.
        if prepared.snapshot.state == State::Shutoff {
            refusals.check(self.check_nobody_writes(refusals.patience()))?;
        }
        refusals.check(self.data.check_create(&point.borrow(None)))?;
        Ok(plan.map(|plan| Creation {
            prepared,
            point,
            plan,
        }))
    }

    /// How a document is to be read.
    pub(super) fn mode_of(&self, flags: CreateFlags) -> Result<xml::Mode> {
        match flags.has(CreateFlags::REDEFINE) {
            true => Ok(xml::Mode::Redefine),
            false => Ok(mode_of_new(self.host.state()?, flags)),
        }
    }

    fn plan_new(&self, snapshot: &Snapshot, flags: CreateFlags) -> Result<Plan> {
        let tree = self.tree()?;
        if flags.has(CreateFlags::NO_METADATA) {
            return Ok(tree.plan_keep());
        }
        let mut plan = tree.plan_create(snapshot.clone())?;
        records::end_revert(&tree, &mut plan)?;
        Ok(plan)
    }

    /// The snapshot that a document asks for, complete and checked, before anything is done.
    fn prepared(
        &self,
        xml: &str,
        flags: CreateFlags,
        refusals: &mut Refusals,
    ) -> Result<Option<Prepared>> {
        let state = self.host.state()?;
        let is_active = state != State::Shutoff;
        let disk_only = flags.has(CreateFlags::DISK_ONLY);
        let mut snapshot = xml::parse(xml, mode_of_new(state, flags))?.snapshot;
        if !flags.has(CreateFlags::NO_METADATA) {
            refusals.check(check_snapshot_name(&snapshot.name))?;
        }
        let external_memory = matches!(snapshot.memory, Some(Memory::External { .. }));
        if flags.has(CreateFlags::LIVE) && !(is_active && external_memory) {
            refusals.check::<()>(Err(Error::LiveWithoutMemory))?;
        }
        let kind = Kind::of(state, snapshot.memory.take(), disk_only);
        let Some(kind) = refusals.check(kind)? else {
            return Ok(None);
        };
        let has_memory_file = matches!(kind.memory, Memory::External { .. });
        (snapshot.state, snapshot.memory) = (kind.state, Some(kind.memory));
        let definition = self.host.definition()?;
        let facts = xml::domain_facts(&definition)?;
        snapshot.domain = Some(xml::nested(&definition).into());
        let (default, participation) = if disk_only || has_memory_file {
            (DiskMode::External, Participation::Individual)
        } else if is_active {
            (DiskMode::Internal, Participation::Listed)
        } else {
            (DiskMode::Internal, Participation::Uniform)
        };
        let aligned = xml::align(
            &mut snapshot,
            &facts,
            default,
            participation,
            &is_regular_file,
        );
        if refusals.check(aligned)?.is_none() {
            return Ok(None);
        }
        check_internal_disks(&snapshot, &facts, refusals)?;
        let found = overlays::check(&mut snapshot, &facts, flags, refusals)?;
        if self.has_own_data() {
            xml::set_firmware_record(&mut snapshot.other, &FirmwareRecord::default());
        } else {
            firmware::choose(&mut snapshot, &facts, flags);
        }
        refusals.check(check_as_a_whole(&snapshot, &facts, flags))?;
        refusals.check(stored::check_room(&snapshot))?;
        let switched = overlays::switched(&definition, &snapshot)?;
        self.definitions().share_disks(&mut snapshot);
        Ok(Some(Prepared {
            snapshot,
            found,
            guest: match state {
                State::Running => Guest::Running,
                _ => Guest::Waiting,
            },
            definition: (switched != *definition).then_some(switched),
        }))
    }

    /// Captures guest data, the intent recorded before, the change prepared meanwhile.
    fn capture(
        &self,
        writing: &Writing<'_>,
        prepared: Prepared,
        point: &OwnedPoint,
        change: &Change,
        flags: CreateFlags,
    ) -> Result<()> {
        let document = stored::document(&prepared.snapshot, false, &self.definitions())?;
        writing.intend(&Intent::Create {
            document,
            found: prepared.found,
            guest: prepared.guest,
        })?;
        let prepare = || writing.prepare(change);
        let captured = Point {
            beside: Beside::of(&prepare),
            ..writing.point(point)
        };
        self.data
            .create(&captured, flags.bits())
            .map_err(|cause| writing.take_back_create(point, cause))
    }
}

/// How the document of a new snapshot is to be read.
fn mode_of_new(state: State, flags: CreateFlags) -> xml::Mode {
    xml::Mode::Create {
        now: now(),
        offline: flags.has(CreateFlags::DISK_ONLY) || state == State::Shutoff,
    }
}

/// Which state a snapshot keeps, and where the memory goes.
struct Kind {
    state: State,
    memory: Memory,
}

impl Kind {
    /// As libvirt's QEMU driver chooses it.
    fn of(now: State, asked: Option<Memory>, disk_only: bool) -> Result<Kind> {
        let (state, memory) = match (now, asked) {
            (State::Shutoff, _) => (now, Memory::None),
            (State::PmSuspended, _) => return Err(Error::StatePmSuspended),
            (_, _) if disk_only => (State::DiskSnapshot, Memory::None),
            (_, Some(Memory::None)) => return Err(Error::MemoryRequired),
            (_, Some(external @ Memory::External { .. })) => (now, external),
            (_, _) => (now, Memory::Internal),
        };
        Ok(Kind { state, memory })
    }
}

/// A new snapshot, prepared. What taking it does is all in here.
pub(super) struct Creation {
    pub prepared: Prepared,
    /// The data that is captured.
    pub point: OwnedPoint,
    /// What becomes of the hierarchy.
    pub plan: Plan,
}

/// A snapshot that can be taken.
pub(super) struct Prepared {
    pub snapshot: Snapshot,
    /// What stands at the overlays' paths, by disk, where that is not nothing.
    found: Vec<(String, OverlayFile)>,
    /// What the guest does now.
    guest: Guest,
    /// The domain's definition afterwards, if it is another.
    pub definition: Option<String>,
}

/// The name rules of libvirt's QEMU driver, and the length that its file name allows.
pub(super) fn check_snapshot_name(name: &str) -> Result<()> {
    check_name(name, limits::SNAPSHOT_NAME_BYTES).map_err(|reason| Error::SnapshotName {
        name: name.to_owned(),
        reason,
    })
}

/// Whether a generated external name may stand beside that path.
pub(super) fn is_regular_file(path: &str) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Seconds since 1970-01-01 UTC.
pub(super) fn now() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

/// What libvirt's QEMU driver checks of an inactive domain's internal disks, each by itself.
fn check_internal_disks(
    snapshot: &Snapshot,
    facts: &DomainFacts,
    refusals: &mut Refusals,
) -> Result<()> {
    for (disk, domain_disk) in snapshot.disks.iter().zip(&facts.disks) {
        if disk.mode == Some(DiskMode::Internal) {
            refusals.check(check_internal(domain_disk))?;
        }
    }
    Ok(())
}

/// What it checks of all disks together. Where it knows no mixture of modes, this library does
/// (docs/differences.md, D79): of a guest that is on, or with DISK_ONLY, each disk is as the caller
/// says.
fn check_as_a_whole(snapshot: &Snapshot, facts: &DomainFacts, flags: CreateFlags) -> Result<()> {
    let has = |mode| snapshot.disks.iter().any(|disk| disk.mode == Some(mode));
    let has_memory_file = matches!(snapshot.memory, Some(Memory::External { .. }));
    if !has(DiskMode::Internal) && !has(DiskMode::External) && !has_memory_file {
        return Err(Error::NothingSelected);
    }
    if snapshot.state != State::Shutoff {
        // Memory inside has no place but in an image.
        if matches!(snapshot.memory, Some(Memory::Internal)) && !has(DiskMode::Internal) {
            return Err(Error::DisksLeftOut);
        }
        // The agent of a paused guest does not answer.
        if flags.has(CreateFlags::QUIESCE) && has(DiskMode::Manual) {
            return Err(Error::Unsupported {
                what: "quiescing a guest that waits for its caller's own snapshot is",
            });
        }
    }
    if !has(DiskMode::Internal) {
        return Ok(());
    }
    if !flags.has(CreateFlags::DISK_ONLY) && leaves_a_writable_disk_out(snapshot, facts) {
        return Err(Error::DisksLeftOut);
    }
    // Such a guest would go back to its disks and not boot from them.
    if facts.pflash && !firmware::keeps_variables(snapshot, facts) {
        return Err(Error::InternalWithPflash);
    }
    Ok(())
}

fn check_internal(disk: &DomainDisk) -> Result<()> {
    if !matches!(disk.source_type.as_str(), "file" | "block") {
        return Err(match &disk.protocol {
            Some(protocol) => Error::InternalOnNetwork {
                protocol: protocol.clone(),
            },
            None => Error::InternalOnType {
                kind: disk.source_type.clone(),
            },
        });
    }
    match &disk.format {
        Some(format) if format != "qcow2" => Err(Error::FormatWithoutSnapshots {
            disk: disk.target.clone(),
            format: format.clone(),
        }),
        _ => Ok(()),
    }
}

fn leaves_a_writable_disk_out(snapshot: &Snapshot, facts: &DomainFacts) -> bool {
    snapshot
        .disks
        .iter()
        .zip(&facts.disks)
        .any(|(disk, domain_disk)| match disk.mode {
            Some(DiskMode::Manual) => true,
            Some(DiskMode::No) => !domain_disk.read_only && domain_disk.source.is_some(),
            _ => false,
        })
}
