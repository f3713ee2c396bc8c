//! How much an image grows when what stands on it is written down into it.

use super::entries::{Mapping, l2_offsets, mappings};
use super::refcounts::Refcounts;
use super::{Facts, ImageFile, Result, Unreadable};
use crate::data::blocks::Blocks;

/// Units of the lower image that are looked at together.
const WINDOW: usize = 4096;
/// The unit of an image without structure: QEMU's own of a qcow2 image.
const RAW_UNIT: u64 = 64 * 1024;

/// The bytes that `base` takes more when the images on top of it are merged into it. `None` of the facts:
/// an image without structure. Clusters that only `base` itself uses are written to in place.
pub fn growth(base: (&ImageFile, Option<&Facts>), tops: &[(&ImageFile, &Facts)]) -> Result<u64> {
    let (file, facts) = base;
    let unit = facts.map_or(RAW_UNIT, Facts::cluster);
    let size = tops.iter().map(|(_, facts)| shown(facts)).max();
    let mut tables = tops.iter().map(|(file, facts)| file.clusters(facts));
    let mut left = tables.try_fold(0_u64, |sum, more| {
        Ok::<_, Unreadable>(sum.saturating_add(more?))
    })?;
    let mut into = Into {
        file,
        facts,
        unit,
        refcounts: facts.map(|facts| Refcounts::of(&file.file, facts)),
        blocks: file.blocks(),
        grown: 0,
    };
    let mut start = 0;
    while start < size.unwrap_or(0) {
        let mut touched = vec![false; WINDOW];
        for (file, facts) in tops {
            touch(file, facts, start, unit, (&mut touched, &mut left))?;
        }
        into.window(start, &touched)?;
        start = start.saturating_add(WINDOW as u64 * unit);
    }
    Ok(into.grown)
}

/// Bytes of its disk that an image can have data of.
fn shown(facts: &Facts) -> u64 {
    let table = facts.l2_entries().saturating_mul(facts.cluster());
    let mapped = u64::from(facts.l1.entries).saturating_mul(table);
    facts.virtual_size.min(mapped)
}

/// Marks the units, from a place of the guest's disk on, in which an image has data of its own.
/// `left` is how many more tables there can be: one that is there more than once would be read for ever.
fn touch(
    file: &ImageFile,
    facts: &Facts,
    start: u64,
    unit: u64,
    (touched, left): (&mut [bool], &mut u64),
) -> Result<()> {
    let cluster = facts.cluster();
    let end = start
        .saturating_add(touched.len() as u64 * unit)
        .min(facts.virtual_size);
    let per_table = facts.l2_entries();
    let mut guest = start / cluster;
    let last = end.div_ceil(cluster);
    while guest < last {
        let (table, within) = (guest / per_table, guest % per_table);
        let count = (per_table - within).min(last - guest);
        let offset = l2_offsets(&file.file, facts.l1, table, 1)?;
        let offset = offset.first().copied().unwrap_or(0);
        if offset != 0 {
            if within == 0 {
                let fewer = left.checked_sub(1);
                *left = fewer.ok_or(Unreadable::Invalid("number of L2 tables"))?;
            }
            let found = mappings(&file.file, facts, offset, within, count)?;
            for (place, mapping) in (guest..).zip(found) {
                if matches!(mapping, Mapping::Cluster(_) | Mapping::Compressed(..)) {
                    mark(
                        touched,
                        (place * cluster).saturating_sub(start) / unit,
                        cluster,
                        unit,
                    );
                }
            }
        }
        guest += count;
    }
    Ok(())
}

fn mark(touched: &mut [bool], first: u64, bytes: u64, unit: u64) {
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let count = usize::try_from(bytes.div_ceil(unit)).unwrap_or(1);
    for mark in touched.iter_mut().skip(first).take(count) {
        *mark = true;
    }
}

struct Into<'a> {
    file: &'a ImageFile,
    facts: Option<&'a Facts>,
    unit: u64,
    refcounts: Option<Refcounts<'a, std::fs::File>>,
    blocks: Blocks<'a>,
    grown: u64,
}

impl Into<'_> {
    fn window(&mut self, start: u64, touched: &[bool]) -> Result<()> {
        let first = start / self.unit;
        for (place, touched) in (first..).zip(touched) {
            if *touched {
                self.grown += self.of_unit(place)?;
            }
        }
        Ok(())
    }

    /// What one unit takes more.
    fn of_unit(&mut self, place: u64) -> Result<u64> {
        let Some(facts) = self.facts else {
            let (present, _) = self.blocks.count(place * self.unit, self.unit)?;
            return Ok(self.unit - present);
        };
        let (table, within) = (place / facts.l2_entries(), place % facts.l2_entries());
        let offset = l2_offsets(&self.file.file, facts.l1, table, 1)?;
        let offset = offset.first().copied().unwrap_or(0);
        // The first cluster of a new table, or of one that a snapshot has too, takes the table along.
        let found = match offset {
            0 => None,
            offset => mappings(&self.file.file, facts, offset, within, 1)?.pop(),
        };
        let is_own = match (found, &mut self.refcounts) {
            (Some(Mapping::Cluster(cluster) | Mapping::Zeros(Some(cluster))), Some(refcounts)) => {
                refcounts.get(cluster)? == 1
            }
            _ => false,
        };
        Ok(if is_own { 0 } else { self.unit })
    }
}
