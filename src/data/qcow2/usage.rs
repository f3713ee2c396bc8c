//! What internal snapshots take: the clusters that they use, and those that nobody else uses.
//!
//! Each L1 table that leads to a cluster counts in its refcount (docs/interop/qcow2.txt, "Host cluster
//! management"). So a cluster goes with some snapshots if they are all that its refcount counts. A
//! cluster stands for one place of the guest's disk only, so it is enough to look at the same place of
//! all their tables at once; but for compressed data, which shares host clusters.

use std::cell::Cell;

use super::entries::{Mapping, l2_offsets, mappings};
use super::meter::{self, Metered};
use super::refcounts::Refcounts;
use super::{Entry, Facts, L1Table, ReadAt, Result, Unreadable};
use crate::data::blocks::Blocks;
use crate::limits;

/// Bytes that snapshots take in an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All that they use, also with others.
    pub held: u64,
    /// What goes with them.
    pub alone: u64,
    /// Of `held`: memory of the guest.
    pub memory: u64,
}

/// L1 entries that are read at once, of each snapshot.
const L1_WINDOW: u64 = 512;
/// L2 entries that are read at once: of few tables, and of many.
const L2_WINDOW: u64 = 8192;
const L2_WINDOW_OF_MANY: u64 = 512;
const FEW: usize = 16;

/// A cluster that tables lead to: where it is, and whether it has memory of the guest.
type Found = (u64, bool);

/// What the snapshots take together. `clusters` is how many the file has: a table that is there more than
/// once would be read for ever. `budget` is how many bytes may be read.
pub(super) fn usage<S: ReadAt + ?Sized>(
    source: &S,
    facts: &Facts,
    snapshots: &[&Entry],
    blocks: &mut Blocks<'_>,
    clusters: u64,
    budget: u64,
) -> Result<Usage> {
    if snapshots.len() > limits::MEASURED_TOGETHER {
        return Err(meter::beyond().into());
    }
    let left = Cell::new(budget);
    let source = &Metered::of(source, &left);
    let mut counting = Counting {
        clusters,
        tables: 0,
        source,
        left: &left,
        facts,
        refcounts: Refcounts::of(source, facts),
        blocks,
        usage: Usage::default(),
        compressed: Compressed::default(),
    };
    for entry in snapshots {
        counting.l1_table(entry.l1)?;
    }
    counting.walk(snapshots)?;
    while counting.next_compressed()? {
        counting.walk(snapshots)?;
    }
    Ok(counting.usage)
}

/// Compressed data is counted in host clusters of one range after the other, so that the memory for it
/// is bounded; the tables are walked once for each range.
#[derive(Default)]
struct Compressed {
    /// Uses of each host cluster of the range, if there are any.
    uses: Vec<u32>,
    /// The first host cluster of the range.
    first: u64,
    /// The lowest host cluster behind the range that was seen.
    next: Option<u64>,
}

struct Counting<'a, 'b, S: ?Sized> {
    source: &'a S,
    left: &'a Cell<u64>,
    facts: &'a Facts,
    refcounts: Refcounts<'a, S>,
    blocks: &'a mut Blocks<'b>,
    usage: Usage,
    compressed: Compressed,
    clusters: u64,
    /// L2 tables that were seen on this walk.
    tables: u64,
}

impl<S: ReadAt + ?Sized> Counting<'_, '_, S> {
    fn walk(&mut self, snapshots: &[&Entry]) -> Result<()> {
        self.tables = 0;
        let longest = snapshots.iter().map(|entry| entry.l1.entries).max();
        let longest = u64::from(longest.unwrap_or(0));
        let mut from = 0;
        while from < longest {
            let count = L1_WINDOW.min(longest - from);
            let windows = snapshots
                .iter()
                .map(|entry| l2_offsets(self.source, entry.l1, from, count))
                .collect::<Result<Vec<_>>>()?;
            for (place, index) in (from..from + count).zip(0..) {
                let first_cluster = place.saturating_mul(self.facts.l2_entries());
                let here = windows
                    .iter()
                    .zip(snapshots)
                    .filter_map(|(offsets, entry)| {
                        let offset: u64 = offsets.get::<usize>(index).copied()?;
                        let disk = entry.disk_size.div_ceil(self.facts.cluster());
                        (offset != 0).then_some((offset, first_cluster >= disk))
                    });
                let tables = grouped(here.collect());
                self.l2_tables(&tables)?;
            }
            from += count;
        }
        Ok(())
    }

    /// The L2 tables of one place, each with how many of the snapshots have it.
    fn l2_tables(&mut self, tables: &[(Found, u64)]) -> Result<()> {
        let window = match tables.len() <= FEW {
            true => L2_WINDOW,
            false => L2_WINDOW_OF_MANY,
        };
        for ((offset, _), uses) in tables {
            if !offset.is_multiple_of(self.facts.cluster()) {
                return Err(Unreadable::Invalid("L2 table's offset"));
            }
            self.cluster((*offset, false), *uses)?;
            self.tables += 1;
        }
        if self.tables > self.clusters {
            return Err(Unreadable::Invalid("number of L2 tables"));
        }
        let entries = if tables.is_empty() {
            0
        } else {
            self.facts.l2_entries()
        };
        let mut from = 0;
        while from < entries {
            let count = window.min(entries - from);
            let slices = tables
                .iter()
                .map(|((offset, _), _)| mappings(self.source, self.facts, *offset, from, count))
                .collect::<Result<Vec<_>>>()?;
            for index in 0..usize::try_from(count).unwrap_or(0) {
                self.place(tables, &slices, index)?;
            }
            from += count;
        }
        Ok(())
    }

    /// One guest cluster, as each of the tables has it.
    fn place(
        &mut self,
        tables: &[(Found, u64)],
        slices: &[Vec<Mapping>],
        index: usize,
    ) -> Result<()> {
        if let ([((_, is_memory), uses)], [slice]) = (tables, slices) {
            return match slice.get(index) {
                Some(Mapping::Cluster(offset) | Mapping::Zeros(Some(offset))) => {
                    self.cluster((*offset, *is_memory), *uses)
                }
                Some(Mapping::Compressed(start, bytes)) => {
                    self.compressed(*start, *bytes, *uses);
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        let mut found = Vec::new();
        for (((_, is_memory), uses), slice) in tables.iter().zip(slices) {
            match slice.get(index) {
                Some(Mapping::Cluster(offset) | Mapping::Zeros(Some(offset))) => {
                    found.push(((*offset, *is_memory), *uses));
                }
                Some(Mapping::Compressed(start, bytes)) => self.compressed(*start, *bytes, *uses),
                _ => {}
            }
        }
        found.sort_unstable();
        let mut rest = found.into_iter().peekable();
        while let Some((cluster, mut uses)) = rest.next() {
            while let Some((_, more)) = rest.next_if(|(next, _)| next.0 == cluster.0) {
                uses += more;
            }
            self.cluster(cluster, uses)?;
        }
        Ok(())
    }

    /// A cluster that so many of the snapshots use. In later rounds only compressed data counts.
    fn cluster(&mut self, (offset, is_memory): Found, uses: u64) -> Result<()> {
        if self.compressed.first > 0 {
            return Ok(());
        }
        let is_alone = self.refcounts.get(offset)? <= uses;
        self.add(offset, is_alone, is_memory)
    }

    fn add(&mut self, offset: u64, is_alone: bool, is_memory: bool) -> Result<()> {
        let (all, own) = count(self.blocks, offset, self.facts.cluster(), self.left)?;
        self.usage.held += all;
        self.usage.alone += if is_alone { own } else { 0 };
        self.usage.memory += if is_memory { all } else { 0 };
        Ok(())
    }

    /// A snapshot's L1 table is its own.
    fn l1_table(&mut self, table: L1Table) -> Result<()> {
        if table.entries == 0 {
            return Ok(());
        }
        let length = table.bytes().next_multiple_of(self.facts.cluster());
        let (all, own) = self.blocks.count(table.offset, length)?;
        self.usage.held += all;
        self.usage.alone += own;
        Ok(())
    }

    /// Compressed data that so many of the snapshots use: each use of it counts in each host cluster
    /// that it touches.
    fn compressed(&mut self, start: u64, bytes: u64, uses: u64) {
        let bits = self.facts.cluster_bits;
        let last = start.saturating_add(bytes.saturating_sub(1)) >> bits;
        let last = last.min(self.clusters);
        let compressed = &mut self.compressed;
        for cluster in start >> bits..=last {
            let Some(index) = cluster.checked_sub(compressed.first) else {
                continue;
            };
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            if index >= limits::COMPRESSED_CLUSTERS {
                let next = compressed.next.map_or(cluster, |next| next.min(cluster));
                compressed.next = Some(next);
                continue;
            }
            if compressed.uses.len() <= index {
                compressed.uses.resize(index + 1, 0);
            }
            if let Some(counted) = compressed.uses.get_mut(index) {
                *counted = counted.saturating_add(u32::try_from(uses).unwrap_or(u32::MAX));
            }
        }
    }

    /// Counts what was found in a range. Whether there is another one to look at: it begins where something is.
    fn next_compressed(&mut self) -> Result<bool> {
        let uses = std::mem::take(&mut self.compressed.uses);
        for (cluster, uses) in (self.compressed.first..).zip(uses) {
            if uses > 0 {
                let offset = cluster << self.facts.cluster_bits;
                let is_alone = self.refcounts.get(offset)? <= u64::from(uses);
                self.add(offset, is_alone, false)?;
            }
        }
        let next = self.compressed.next.take();
        self.compressed.first = next.unwrap_or(u64::MAX);
        Ok(next.is_some())
    }
}

/// Counts blocks; each question to the file system costs as much as a read of some KiB.
pub(super) fn count(
    blocks: &mut Blocks<'_>,
    start: u64,
    length: u64,
    left: &Cell<u64>,
) -> Result<(u64, u64)> {
    const LOOK: u64 = 4096;
    let before = blocks.looks();
    let found = blocks.count(start, length)?;
    meter::spend(left, (blocks.looks() - before) * LOOK)?;
    Ok(found)
}

/// Equal ones together, with how often each was there.
fn grouped(mut found: Vec<Found>) -> Vec<(Found, u64)> {
    found.sort_unstable();
    let mut groups: Vec<(Found, u64)> = Vec::new();
    for cluster in found {
        match groups.last_mut() {
            Some((last, uses)) if last.0 == cluster.0 => *uses += 1,
            _ => groups.push((cluster, 1)),
        }
    }
    groups
}
