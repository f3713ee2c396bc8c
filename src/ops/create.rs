//! Creates snapshots: capture the guest's data, then keep the metadata.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::change::Writing;
use super::domain::Domain;
use super::flags::CreateFlags;
use super::intent::Intent;
use super::point::OwnedPoint;
use super::stored;
use super::uri::RedefineRules;
use crate::error::{Error, Result};
use crate::limits;
use crate::snapshot::{Disk, DiskMode, Memory, Snapshot, State};
use crate::store::check_name;
use crate::xml::{self, DomainDisk, DomainFacts, NewSource, Participation};

impl Domain {
    /// Creates a snapshot, or with REDEFINE takes its metadata in; answers its name.
    pub fn create(&self, xml: &str, flags: CreateFlags, rules: RedefineRules) -> Result<Arc<str>> {
        flags.check_driver()?;
        if flags.has(CreateFlags::REDEFINE) {
            return self.redefine(xml, flags, rules);
        }
        let writing = self.write()?;
        let snapshot = self.prepared(xml, flags)?;
        let name = Arc::clone(&snapshot.name);
        writing.check_name(&name)?;
        writing.check_current()?;
        let point = OwnedPoint::of(&snapshot)?;
        let is_kept = !flags.has(CreateFlags::NO_METADATA);
        let plan = if is_kept {
            self.tree()?.plan_create(snapshot.clone())?
        } else {
            self.tree()?.plan_keep()
        };
        let change = match self.switched_definition(&snapshot)? {
            Some(definition) => Some(writing.change_with_definition(&plan, &definition)?),
            None if is_kept => Some(writing.change(&plan)?),
            None => None,
        };
        // Before the intent: undoing it drops that name from the images. After the plan: of a
        // name that snapshot and image have, libvirt's error is about the snapshot.
        self.data.check_create(&writing.point(&point))?;
        self.host.begin();
        self.capture(&writing, &snapshot, &point, flags)?;
        if flags.has(CreateFlags::HALT) && snapshot.state != State::Shutoff {
            self.host
                .stop()
                .map_err(|cause| writing.take_back_create(&point, cause))?;
        }
        match &change {
            Some(change) => writing.commit_change(&plan, change),
            None => writing.withdraw(),
        }
        .map_err(|cause| writing.take_back_create(&point, cause))?;
        Ok(name)
    }

    /// The snapshot that a document asks for, complete and checked, before anything is done.
    fn prepared(&self, xml: &str, flags: CreateFlags) -> Result<Snapshot> {
        let state = self.host.state()?;
        let is_active = state != State::Shutoff;
        let disk_only = flags.has(CreateFlags::DISK_ONLY);
        let mode = xml::Mode::Create {
            now: now(),
            offline: disk_only || !is_active,
        };
        let mut snapshot = xml::parse(xml, mode)?.snapshot;
        if !flags.has(CreateFlags::NO_METADATA) {
            check_snapshot_name(&snapshot.name)?;
        }
        let external_memory = matches!(snapshot.memory, Some(Memory::External { .. }));
        if flags.has(CreateFlags::LIVE) && !(is_active && external_memory) {
            return Err(Error::LiveWithoutMemory);
        }
        let external_memory = is_active && external_memory;
        (snapshot.state, snapshot.memory) = match (state, snapshot.memory) {
            (State::Shutoff, _) => (state, Some(Memory::None)),
            (State::PmSuspended, _) => return Err(Error::StatePmSuspended),
            (_, _) if disk_only => (State::DiskSnapshot, Some(Memory::None)),
            (_, Some(Memory::None)) => return Err(Error::MemoryRequired),
            (_, Some(external @ Memory::External { .. })) => (state, Some(external)),
            (_, _) => (state, Some(Memory::Internal)),
        };
        let definition = self.host.definition()?;
        let facts = xml::domain_facts(&definition)?;
        snapshot.domain = Some(xml::nested(&definition).into());
        let (default, participation) = if disk_only || external_memory {
            (DiskMode::External, Participation::Individual)
        } else {
            (DiskMode::Internal, Participation::Uniform)
        };
        xml::align(
            &mut snapshot,
            &facts,
            default,
            participation,
            &is_regular_file,
        )?;
        check_disks(&snapshot, &facts, flags)?;
        stored::check_room(&snapshot)?;
        Ok(snapshot)
    }

    /// The definition with the overlays that a running guest writes to afterwards; `None` if it
    /// stays as it is.
    fn switched_definition(&self, snapshot: &Snapshot) -> Result<Option<String>> {
        let sources: Vec<NewSource> = snapshot.disks.iter().filter_map(new_source).collect();
        if sources.is_empty() {
            return Ok(None);
        }
        let definition = self.host.definition()?;
        xml::with_sources(&definition, &sources).map(Some)
    }

    /// Captures guest data, the intent recorded before.
    fn capture(
        &self,
        writing: &Writing<'_>,
        snapshot: &Snapshot,
        point: &OwnedPoint,
        flags: CreateFlags,
    ) -> Result<()> {
        let document = stored::document(snapshot, false)?;
        writing.intend(&Intent::Create { document })?;
        self.data
            .create(&writing.point(point), flags.bits())
            .map_err(|cause| writing.take_back_create(point, cause))
    }
}

fn new_source(disk: &Disk) -> Option<NewSource> {
    let image = disk
        .image
        .as_ref()
        .filter(|_| disk.mode == Some(DiskMode::External))?;
    Some(NewSource {
        target: disk.name.to_string(),
        file: image.path.as_deref()?.to_owned(),
        format: image.format.as_deref().unwrap_or("qcow2").to_owned(),
    })
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
fn now() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

/// What libvirt's QEMU driver checks of an inactive domain's disks, each and as a whole.
fn check_disks(snapshot: &Snapshot, facts: &DomainFacts, flags: CreateFlags) -> Result<()> {
    for (disk, domain_disk) in snapshot.disks.iter().zip(&facts.disks) {
        if disk.mode == Some(DiskMode::Internal) {
            check_internal(domain_disk)?;
        }
    }
    let has = |mode| snapshot.disks.iter().any(|disk| disk.mode == Some(mode));
    let memory_is_external = matches!(snapshot.memory, Some(Memory::External { .. }));
    let memory_is_internal = snapshot.memory == Some(Memory::Internal);
    let (internal, external) = (has(DiskMode::Internal), has(DiskMode::External));
    if !internal && !external && !memory_is_external && !memory_is_internal {
        return Err(Error::NothingSelected);
    }
    if internal && (external || memory_is_external) || external && memory_is_internal {
        return Err(Error::MixedTargets);
    }
    if external || memory_is_external {
        return check_external(snapshot, flags);
    }
    if !internal || leaves_a_writable_disk_out(snapshot, facts) {
        return Err(Error::DisksLeftOut);
    }
    if facts.pflash {
        return Err(Error::InternalWithPflash);
    }
    Ok(())
}

/// External snapshots are taken of running guests only, into new files.
fn check_external(snapshot: &Snapshot, flags: CreateFlags) -> Result<()> {
    let unsupported = |what| Err(Error::Unsupported { what });
    if snapshot.state == State::Shutoff {
        return unsupported("external snapshots of a guest that is off are");
    }
    if flags.has(CreateFlags::REUSE_EXT) {
        return unsupported("external snapshots of a running guest into files that exist are");
    }
    let is_manual = |disk: &Disk| disk.mode == Some(DiskMode::Manual);
    if snapshot.disks.iter().any(is_manual) {
        return unsupported("disks of a running guest that the caller snapshots are");
    }
    Ok(())
}

fn check_internal(disk: &DomainDisk) -> Result<()> {
    if !matches!(disk.source_type.as_str(), "file" | "block") {
        return Err(Error::InternalOnType {
            kind: disk.source_type.clone(),
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
