//! What firmware and an emulated TPM remember: which snapshots keep it, and where.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::domain::Domain;
use super::flags::{CreateFlags, RevertFlags};
use crate::data::chain::QCOW2;
use crate::data::firmware::is_copy_of;
use crate::data::{Firmware, Layer, Nvram, OverlayFile, Place, PointDisk, Tpm};
use crate::error::{Error, Result};
use crate::limits;
use crate::snapshot::{DiskMode, Snapshot};
use crate::tree::Plan;
use crate::xml::{self, DomainFacts, FirmwareRecord, TpmState};

/// What stands for the variables among disks. No disk of a guest has such a target.
const NVRAM: &str = "nvram";

/// What a snapshot has of it: variables inside of their own image, as one more disk; the rest.
pub(super) fn of(snapshot: &Snapshot, facts: &DomainFacts) -> (Option<PointDisk>, Firmware) {
    let record = xml::firmware_record(&snapshot.other);
    let nvram = facts.nvram.as_ref();
    let inside = nvram.filter(|_| record.has_nvram_inside);
    let inside = inside.map(|nvram| PointDisk {
        target: NVRAM.to_owned(),
        is_read_only: false,
        mode: DiskMode::Internal,
        base: Place::Local(Layer {
            path: nvram.path.as_str().into(),
            format: Some(QCOW2.to_owned()),
        }),
        overlay: Place::Nowhere,
        reverted: Place::Nowhere,
        overlay_file: OverlayFile::New,
    });
    let nvram = nvram.filter(|_| !record.has_nvram_inside);
    let firmware = Firmware {
        nvram: nvram.map(|nvram| Nvram {
            path: nvram.path.as_str().into(),
            template: nvram.template.as_deref().map(PathBuf::from),
        }),
        tpm: facts.tpm.as_ref().map(|tpm| match tpm {
            TpmState::Directory(path) => Tpm::Directory(path.into()),
            TpmState::File(path) => Tpm::File(path.into()),
        }),
        copy: record.copy.map(PathBuf::from),
        is_reset: false,
    };
    (inside, firmware)
}

/// Chooses how a new snapshot keeps it, and writes that down. A record that the caller's document came
/// with is not ours.
pub(super) fn choose(snapshot: &mut Snapshot, facts: &DomainFacts, flags: CreateFlags) {
    let has_internal = |snapshot: &Snapshot| {
        let mut disks = snapshot.disks.iter();
        disks.any(|disk| disk.mode == Some(DiskMode::Internal))
    };
    let is_qcow2 = |nvram: &&xml::Nvram| nvram.format.as_deref() == Some(QCOW2);
    let has_nvram_inside =
        facts.nvram.as_ref().filter(is_qcow2).is_some() && has_internal(snapshot);
    let copied = facts.nvram.as_ref().filter(|_| !has_nvram_inside);
    let beside = match (copied, &facts.tpm) {
        (Some(nvram), _) => Some(nvram.path.as_str()),
        (None, Some(TpmState::Directory(path) | TpmState::File(path))) => Some(path.as_str()),
        (None, None) => None,
    };
    // Nobody would know of the copy.
    let beside = beside.filter(|_| !flags.has(CreateFlags::NO_METADATA));
    let record = FirmwareRecord {
        copy: beside.map(|path| new_path(path, snapshot)),
        has_nvram_inside,
    };
    xml::set_firmware_record(&mut snapshot.other, &record);
}

/// Whether a new snapshot keeps the variables of the firmware.
pub(super) fn keeps_variables(snapshot: &Snapshot, facts: &DomainFacts) -> bool {
    let record = xml::firmware_record(&snapshot.other);
    facts.nvram.is_some() && (record.has_nvram_inside || record.copy.is_some())
}

/// A path beside a file that nothing has: its name and the snapshot's, or the time if that is too long.
fn new_path(beside: &str, snapshot: &Snapshot) -> String {
    let beside = beside.trim_end_matches('/');
    let name = Path::new(beside).file_name().unwrap_or_default().len();
    let suffix = snapshot.name.to_string();
    let suffix = match name + suffix.len() + ROOM <= limits::FILE_NAME_BYTES {
        true => suffix,
        false => snapshot.creation_time.to_string(),
    };
    let mut path = format!("{beside}.{suffix}");
    let mut number = 1_u64;
    while std::fs::symlink_metadata(&path).is_ok() {
        number = number.saturating_add(1);
        path = format!("{beside}.{suffix}.{number}");
    }
    path
}

/// Bytes of a file's name for two dots and a number.
const ROOM: usize = 8;

impl Domain {
    /// The copies of snapshots that go. What another snapshot names, of whatever domain, or what is not
    /// that snapshot's, is somebody else's.
    pub(super) fn useless_copies(
        &self,
        snapshots: &[Arc<Snapshot>],
        plan: &Plan,
    ) -> Result<Vec<PathBuf>> {
        let copy = |snapshot: &Snapshot| xml::firmware_record(&snapshot.other).copy;
        let dropped = plan.drop.iter();
        let mut useless: Vec<(String, &str)> = dropped
            .filter_map(|snapshot| Some((copy(snapshot)?, &*snapshot.name)))
            .filter(|(file, name)| is_copy_of(Path::new(file), name))
            .collect();
        if useless.is_empty() {
            return Ok(Vec::new());
        }
        let gone = plan.gone();
        let staying = snapshots
            .iter()
            .filter(|snapshot| !gone.contains(&*snapshot.name));
        let mut kept: HashSet<String> = staying.filter_map(|snapshot| copy(snapshot)).collect();
        self.for_each_foreign(|_, snapshots| kept.extend(snapshots.iter().filter_map(copy)))?;
        useless.retain(|(file, _)| !kept.contains(file));
        Ok(useless.into_iter().map(|(file, _)| file.into()).collect())
    }
}

/// Refuses to make variables anew that the snapshot has inside: of its image, whose other snapshots would
/// go, or of the guest's memory, which is loaded over them.
pub(super) fn check_reset(snapshot: &Snapshot, definition: &str, flags: RevertFlags) -> Result<()> {
    if !flags.has(RevertFlags::RESET_NVRAM) {
        return Ok(());
    }
    let Some(nvram) = xml::domain_facts(definition)?.nvram else {
        return Ok(());
    };
    if nvram.format.as_deref() == Some(QCOW2) {
        return Err(Error::Unsupported {
            what: "resetting an NVRAM that is a qcow2 image is",
        });
    }
    if snapshot.state.is_online() {
        return Err(Error::Unsupported {
            what: "resetting the NVRAM of a guest that gets its memory back is",
        });
    }
    Ok(())
}
