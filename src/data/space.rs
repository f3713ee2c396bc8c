//! What snapshots take of the host's disks, and what work on images gives back or takes.

use std::path::Path;

use super::chain::{self, Link, QCOW2};
use super::qcow2::{self, Entry, Facts, ImageFile, Usage};
use super::{Firmware, Layer, Tpm, blocks};

/// What cannot be told; why does not matter to a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

/// The result of a measurement.
pub type Measured<T> = Result<T, Unknown>;

/// The blocks of a file.
pub fn file(path: &Path) -> Measured<blocks::Taken> {
    blocks::taken(path).map_err(|_| Unknown)
}

/// What the internal snapshots of those names take together in an image. Names that it does not hold take
/// nothing.
pub fn inside(image: &Path, names: &[&str]) -> Measured<Usage> {
    let (file, facts) = open(image)?;
    let is_meant = |entry: &&Entry| names.iter().any(|name| name.as_bytes() == &*entry.name);
    let entries: Vec<&Entry> = facts.snapshots.iter().filter(is_meant).collect();
    match facts.has_external_data() {
        true => Err(Unknown),
        false => file.usage(&facts, &entries).map_err(|_| Unknown),
    }
}

/// What the lower image takes more when the upper one, and all between them, are written down into it.
pub fn merge(top: &Layer, base: &Layer) -> Measured<u64> {
    let links = chain::resolve(top).map_err(|_| Unknown)?;
    let below = chain::open_file(&base.path).map_err(|_| Unknown)?;
    let above = |link: &&Link| link.identity != below.identity();
    let mut tops = Vec::new();
    for link in links.iter().take_while(above) {
        let facts = link.facts.as_ref().ok_or(Unknown)?;
        tops.push((chain::open_file(&link.path).map_err(|_| Unknown)?, facts));
    }
    let tops: Vec<(&ImageFile, &Facts)> = tops.iter().map(|(file, facts)| (file, *facts)).collect();
    let link = chain::open(base).map_err(|_| Unknown)?;
    qcow2::growth((&below, link.facts.as_ref()), &tops).map_err(|_| Unknown)
}

/// What a new overlay takes: its header, refcounts and L1 table. Source: what `qemu-img create` makes with
/// clusters of 64 KiB: three of them, and 8 bytes for each 512 MiB of the disk.
pub fn overlay(base: &Layer) -> u64 {
    const CLUSTER: u64 = 64 * 1024;
    const L2_BYTES: u64 = CLUSTER / 8 * CLUSTER;
    let size = chain::open(base).ok().and_then(|link| match link.facts {
        Some(facts) => Some(facts.virtual_size),
        None => std::fs::metadata(&link.path).ok().map(|found| found.len()),
    });
    3 * CLUSTER + (size.unwrap_or(0).div_ceil(L2_BYTES) * 8).next_multiple_of(4096)
}

/// What a new internal snapshot takes at once: a copy of the L1 table.
pub fn capture(image: &Path) -> u64 {
    open(image).map_or(0, |(_, facts)| facts.l1_bytes().next_multiple_of(4096))
}

/// What the copy of firmware and TPM takes: what there is of both.
pub fn firmware(firmware: &Firmware) -> u64 {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    let nvram = firmware
        .nvram
        .as_ref()
        .map_or(0, |nvram| length(&nvram.path));
    let tpm = match &firmware.tpm {
        Some(Tpm::File(path)) => length(path),
        Some(Tpm::Directory(path)) => std::fs::read_dir(path).map_or(0, |files| {
            files.flatten().map(|file| length(&file.path())).sum()
        }),
        None => 0,
    };
    (nvram + tpm).next_multiple_of(4096)
}

/// At most what a copy of an internal snapshot takes: what it uses, and what shows through from below, but
/// not more than its disk.
pub fn copy(image: &Path, name: &str) -> Measured<u64> {
    let (_, facts) = open(image)?;
    let entry = facts.named(name).next().ok_or(Unknown)?;
    let mut bytes = inside(image, &[name])?.held;
    let layer = Layer {
        path: image.to_owned(),
        format: Some(QCOW2.to_owned()),
    };
    for link in chain::resolve(&layer).map_err(|_| Unknown)?.iter().skip(1) {
        bytes = bytes.saturating_add(file(&link.path)?.bytes);
    }
    Ok(bytes.min(entry.disk_size.saturating_add(entry.vm_state_size)) + overlay(&layer))
}

fn open(image: &Path) -> Measured<(ImageFile, Facts)> {
    let file = chain::open_file(image).map_err(|_| Unknown)?;
    let facts = file.facts().map_err(|_| Unknown)?;
    Ok((file, facts))
}

/// What an image gives back when one of its internal snapshots becomes what it shows.
pub fn overwritten(image: &Path) -> Measured<u64> {
    let (file, facts) = open(image)?;
    let usage = file.usage_of_present(&facts).map_err(|_| Unknown)?;
    Ok(usage.alone)
}

/// Whether an image holds an internal snapshot of that name.
pub fn holds(image: &Path, name: &str) -> Measured<bool> {
    let (_, facts) = open(image)?;
    Ok(facts.named(name).next().is_some())
}

/// Bytes of the guest's memory that an internal snapshot has.
pub fn memory(image: &Path, name: &str) -> Measured<u64> {
    let (_, facts) = open(image)?;
    facts
        .named(name)
        .next()
        .map(|entry| entry.vm_state_size)
        .ok_or(Unknown)
}
