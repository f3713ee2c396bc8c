//! How much an image grows when what stands on it is written down into it.

use std::cell::Cell;

use super::entries::{Mapping, l2_offsets, mappings};
use super::meter::{self, Metered};
use super::refcounts::Refcounts;
use super::usage::count;
use super::{Facts, ImageFile, ReadAt, Result, Unreadable};
use crate::data::blocks::Blocks;
use crate::limits;

/// Units of the lower image that are looked at together.
const WINDOW: usize = 4096;
/// Entries of an L1 table that are looked through together.
const L1_WINDOW: u64 = 4096;
/// The unit of an image without structure: QEMU's own of a qcow2 image.
const RAW_UNIT: u64 = 64 * 1024;

/// The bytes that `base` takes more when the images on top of it are merged into it. `None` of the facts:
/// an image without structure. Clusters that only `base` itself uses are written to in place.
pub fn growth(base: (&ImageFile, Option<&Facts>), tops: &[(&ImageFile, &Facts)]) -> Result<u64> {
    let (file, facts) = base;
    let mut tables = tops.iter().map(|(file, facts)| file.clusters(facts));
    let clusters = tables.try_fold(0_u64, |sum, more| {
        Ok::<_, Unreadable>(sum.saturating_add(more?))
    })?;
    let tops: Vec<_> = tops
        .iter()
        .map(|(top, facts)| (&top.file, *facts))
        .collect();
    grown(
        (&file.file, facts, file.blocks()),
        &tops,
        clusters,
        limits::MEASURED_BYTES,
    )
}

/// As [`growth`]. There are at most so many tables, and so many bytes may be read.
pub(super) fn grown<S: ReadAt + ?Sized>(
    (source, facts, blocks): (&S, Option<&Facts>, Blocks<'_>),
    tops: &[(&S, &Facts)],
    mut tables: u64,
    budget: u64,
) -> Result<u64> {
    let left = Cell::new(budget);
    let unit = facts.map_or(RAW_UNIT, Facts::cluster);
    let size = tops.iter().map(|(_, facts)| shown(facts)).max();
    let metered = |source| Metered::of(source, &left);
    let tops: Vec<_> = tops
        .iter()
        .map(|(top, facts)| (metered(*top), *facts))
        .collect();
    let mut tops: Vec<Top<'_, _>> = tops
        .iter()
        .map(|(top, facts)| Top::of(top, facts))
        .collect();
    let source = &metered(source);
    let mut into = Into {
        source,
        facts,
        unit,
        refcounts: facts.map(|facts| Refcounts::of(source, facts)),
        blocks,
        left: &left,
        grown: 0,
    };
    let mut start = 0;
    while start < size.unwrap_or(0) {
        let mut nexts = tops.iter_mut().map(|top| top.next(start));
        let next = nexts.try_fold(u64::MAX, |least, next| {
            Ok::<_, Unreadable>(least.min(next?))
        })?;
        if next >= size.unwrap_or(0) {
            break;
        }
        start = start.max(next / unit * unit);
        meter::spend(&left, WINDOW as u64)?;
        let mut touched = vec![false; WINDOW];
        for top in &tops {
            touch(top, start, unit, (&mut touched, &mut tables))?;
        }
        into.window(start, &touched)?;
        start = start.saturating_add(WINDOW as u64 * unit);
    }
    Ok(into.grown)
}

/// An image that is merged.
struct Top<'a, S: ?Sized> {
    source: &'a S,
    facts: &'a Facts,
    /// The entry of its L1 table that was found last to name a table; `u64::MAX`: there is none any more.
    entry: Option<u64>,
}

impl<'a, S: ReadAt + ?Sized> Top<'a, S> {
    fn of(source: &'a S, facts: &'a Facts) -> Top<'a, S> {
        Top {
            source,
            facts,
            entry: None,
        }
    }

    /// The first place of the guest's disk, from one on, that has a table, or where its table begins;
    /// `u64::MAX`: there is none. The places asked for rise.
    fn next(&mut self, from: u64) -> Result<u64> {
        let covered = self.facts.l2_entries().saturating_mul(self.facts.cluster());
        let wanted = from / covered;
        let known = self.entry.filter(|entry| *entry >= wanted);
        let entry = match known {
            Some(entry) => entry,
            None => self.look(wanted)?,
        };
        self.entry = Some(entry);
        Ok(entry.saturating_mul(covered))
    }

    /// The first entry, from one on, that names a table.
    fn look(&self, mut from: u64) -> Result<u64> {
        let mut count = 64;
        while from < u64::from(self.facts.l1.entries) {
            let offsets = l2_offsets(self.source, self.facts.l1, from, count)?;
            if let Some(place) = offsets.iter().position(|offset| *offset != 0) {
                return Ok(from + place as u64);
            }
            from += count;
            count = L1_WINDOW.min(count * 2);
        }
        Ok(u64::MAX)
    }
}

/// Bytes of its disk that an image can have data of.
fn shown(facts: &Facts) -> u64 {
    let table = facts.l2_entries().saturating_mul(facts.cluster());
    let mapped = u64::from(facts.l1.entries).saturating_mul(table);
    facts.virtual_size.min(mapped)
}

/// Marks the units, from a place of the guest's disk on, in which an image has data of its own.
/// `left` is how many more tables there can be: one that is there more than once would be read for ever.
fn touch<S: ReadAt + ?Sized>(
    top: &Top<'_, S>,
    start: u64,
    unit: u64,
    (touched, left): (&mut [bool], &mut u64),
) -> Result<()> {
    let (source, facts) = (top.source, top.facts);
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
        let offset = l2_offsets(source, facts.l1, table, 1)?;
        let offset = offset.first().copied().unwrap_or(0);
        if offset != 0 {
            if within == 0 {
                let fewer = left.checked_sub(1);
                *left = fewer.ok_or(Unreadable::Invalid("number of L2 tables"))?;
            }
            let found = mappings(source, facts, offset, within, count)?;
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

struct Into<'a, S: ?Sized> {
    source: &'a S,
    facts: Option<&'a Facts>,
    unit: u64,
    refcounts: Option<Refcounts<'a, S>>,
    blocks: Blocks<'a>,
    left: &'a Cell<u64>,
    grown: u64,
}

impl<S: ReadAt + ?Sized> Into<'_, S> {
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
            let (present, _) = count(&mut self.blocks, place * self.unit, self.unit, self.left)?;
            return Ok(self.unit - present);
        };
        let (table, within) = (place / facts.l2_entries(), place % facts.l2_entries());
        let offset = l2_offsets(self.source, facts.l1, table, 1)?;
        let offset = offset.first().copied().unwrap_or(0);
        // The first cluster of a new table, or of one that a snapshot has too, takes the table along.
        let found = match offset {
            0 => None,
            offset => mappings(self.source, facts, offset, within, 1)?.pop(),
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
