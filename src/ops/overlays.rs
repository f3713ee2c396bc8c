//! The overlays of a new external snapshot of a shut-off domain: what may be one, and the definition
//! that has them.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::flags::CreateFlags;
use super::point;
use super::refusals::Refusals;
use crate::data::chain::{self, QCOW2};
use crate::data::check::names_base;
use crate::data::{Layer, OverlayFile, Place};
use crate::error::{Error, Result};
use crate::limits;
use crate::snapshot::{Disk, DiskMode, ExternalImage, Snapshot};
use crate::xml::{self, DomainDisk, DomainFacts, NewSource};

/// Formats of an image that has another below it, and that libvirt takes for a snapshot.
const FORMATS: [&str; 2] = [QCOW2, "qed"];

/// Checks each external disk as libvirt's QEMU driver does, gives it its format, and tells what
/// stands at the overlays' paths where that is not nothing.
pub(super) fn check(
    snapshot: &mut Snapshot,
    facts: &DomainFacts,
    flags: CreateFlags,
    refusals: &mut Refusals,
) -> Result<Vec<(String, OverlayFile)>> {
    let mut found = Vec::new();
    let mut taken: BTreeMap<PathBuf, String> = BTreeMap::new();
    let disks = Arc::make_mut(&mut snapshot.disks);
    for (disk, domain_disk) in disks.iter_mut().zip(&facts.disks) {
        if disk.mode != Some(DiskMode::External) {
            continue;
        }
        let checked = check_disk(disk, domain_disk, flags, &mut taken);
        match refusals.check(checked)? {
            Some(file) if file != OverlayFile::New => {
                found.push((domain_disk.target.clone(), file));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// What stands at the path of one disk's overlay. `taken` are the paths of the others.
fn check_disk(
    disk: &mut Disk,
    domain_disk: &DomainDisk,
    flags: CreateFlags,
    taken: &mut BTreeMap<PathBuf, String>,
) -> Result<OverlayFile> {
    let base = base(domain_disk)?;
    let overlay = overlay(disk, domain_disk)?;
    if let Some(first) = taken.insert(overlay.path.clone(), disk.name.to_string()) {
        return Err(Error::OverlayTwice {
            first,
            second: disk.name.to_string(),
            path: overlay.path,
        });
    }
    let file = check_target(disk, &overlay.path, flags)?;
    check_chain(disk, domain_disk, &base, &overlay, file)?;
    Ok(file)
}

/// The image that the overlay is put on.
fn base(disk: &DomainDisk) -> Result<Layer> {
    match point::source_place(disk) {
        Place::Local(layer) => Ok(layer),
        Place::Elsewhere(kind) => Err(Error::ExternalOnType { kind }),
        Place::Nowhere => Err(Error::DiskWithoutSource {
            disk: disk.target.clone(),
        }),
    }
}

/// The overlay, its format chosen.
fn overlay(disk: &mut Disk, domain_disk: &DomainDisk) -> Result<Layer> {
    let name = disk.name.to_string();
    let image = disk.image.get_or_insert_default();
    let format = image.format.get_or_insert_with(|| QCOW2.into()).to_string();
    if !FORMATS.contains(&format.as_str()) {
        return Err(Error::ExternalFormat { disk: name, format });
    }
    if image.cache_bytes.is_some() && format != QCOW2 {
        return Err(Error::CacheWithoutQcow2);
    }
    let kind = image.source_type.to_string();
    if !matches!(kind.as_str(), "" | "file" | "block") {
        return Err(Error::ExternalOnType { kind });
    }
    if domain_disk.shareable && !domain_disk.read_only {
        return Err(Error::SharedOverlay { disk: name });
    }
    match &image.path {
        Some(path) => Ok(Layer {
            path: Path::new(&**path).to_owned(),
            format: Some(format),
        }),
        None => Err(Error::GenerateWithoutSource { disk: name }),
    }
}

/// What stands at the overlay's path, if that may be used.
fn check_target(disk: &Disk, path: &Path, flags: CreateFlags) -> Result<OverlayFile> {
    let name = || disk.name.to_string();
    let is_block = is_block(disk);
    let reused = flags.has(CreateFlags::REUSE_EXT);
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            return match (reused, is_block) {
                (true, _) => Err(Error::OverlayMissing {
                    disk: name(),
                    path: path.to_owned(),
                    source,
                }),
                (false, true) => Err(Error::OverlayDeviceMissing {
                    path: path.to_owned(),
                }),
                (false, false) => Ok(OverlayFile::New),
            };
        }
        Err(source) => {
            return Err(Error::OverlayStat {
                disk: name(),
                path: path.to_owned(),
                source,
            });
        }
    };
    let is_as_said = if is_block {
        found.file_type().is_block_device()
    } else {
        found.file_type().is_file()
    };
    if !is_as_said {
        return Err(Error::OverlayKind {
            disk: name(),
            path: path.to_owned(),
        });
    }
    if reused {
        return Ok(OverlayFile::Reused);
    }
    if !is_block && found.len() > 0 {
        return Err(Error::OverlayExists {
            disk: name(),
            path: path.to_owned(),
        });
    }
    Ok(OverlayFile::Empty)
}

/// The chain below must be whole and leave room for one more; an overlay that is there must name it.
fn check_chain(
    disk: &Disk,
    domain_disk: &DomainDisk,
    base: &Layer,
    overlay: &Layer,
    file: OverlayFile,
) -> Result<()> {
    let name = || disk.name.to_string();
    let unusable = |image: PathBuf, reason: String| Error::ImageUnusable {
        disk: name(),
        image,
        reason,
    };
    let links = chain::resolve(base).map_err(|broken| match broken.cause {
        chain::Cause::TooDeep(limit) => Error::ChainTooDeep {
            disk: name(),
            limit,
        },
        cause => unusable(broken.image, cause.to_string()),
    })?;
    if links.len() >= limits::BACKING_CHAIN {
        return Err(Error::ChainTooDeep {
            disk: name(),
            limit: limits::BACKING_CHAIN,
        });
    }
    let Some(first) = links.first() else {
        return Ok(());
    };
    // Probed, a guest could write itself a header that names any file of the host (CVE-2008-2004).
    if domain_disk.format.is_none() && first.format == QCOW2 {
        let reason = "its definition has no <driver type>, and its first bytes are those of qcow2";
        return Err(unusable(base.path.clone(), reason.to_owned()));
    }
    if file != OverlayFile::Reused {
        return Ok(());
    }
    let link =
        chain::open(overlay).map_err(|cause| unusable(overlay.path.clone(), cause.to_string()))?;
    if link.facts.is_none() {
        return Ok(());
    }
    names_base(&link, first).map_err(|found| Error::OverlayForeign {
        disk: name(),
        path: overlay.path.clone(),
        found,
    })
}

fn is_block(disk: &Disk) -> bool {
    disk.image
        .as_ref()
        .is_some_and(|image| &*image.source_type == "block")
}

/// The definition with the overlays for the disks that have one.
pub(super) fn switched(definition: &str, snapshot: &Snapshot) -> Result<String> {
    let sources: Vec<NewSource> = snapshot
        .disks
        .iter()
        .filter(|disk| disk.mode == Some(DiskMode::External))
        .filter_map(|disk| new_source(disk, disk.image.as_deref()?))
        .collect();
    xml::with_sources(definition, &sources)
}

fn new_source(disk: &Disk, image: &ExternalImage) -> Option<NewSource> {
    Some(NewSource {
        target: disk.name.to_string(),
        kind: if is_block(disk) { "block" } else { "file" },
        path: image.path.as_ref()?.to_string(),
        format: image.format.as_ref().map(|format| format.to_string()),
        source: image.source.as_ref().map(|source| source.to_string()),
    })
}
