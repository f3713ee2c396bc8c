//! Entries of L1 and L2 tables, read in slices.

use super::{Facts, L1Table, Position, ReadAt, Result, fill};
use crate::memory;

/// Source: docs/interop/qcow2.txt, "Cluster mapping": bits 9 to 55 are an offset.
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// What an entry of an L2 table says of a guest cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    /// Nothing: the image below shows through.
    Nothing,
    /// It reads as zeros; a cluster may be kept for it.
    Zeros(Option<u64>),
    /// The cluster at that offset.
    Cluster(u64),
    /// Bytes that are compressed: where, and how many at most.
    Compressed(u64, u64),
}

impl Mapping {
    /// Of the first word of an entry.
    pub(super) fn of(word: u64, facts: &Facts) -> Mapping {
        let offset = word & OFFSET_MASK;
        if word & COMPRESSED != 0 {
            let bits = 62 - (facts.cluster_bits - 8);
            let start = word & ((1 << bits) - 1);
            let sectors = ((word & !(3 << 62)) >> bits) + 1;
            return Mapping::Compressed(start, sectors * 512 - (start & 511));
        }
        let reads_as_zeros = facts.version >= 3 && facts.l2_words() == 1 && word & ZERO != 0;
        match (reads_as_zeros, offset) {
            (true, 0) => Mapping::Zeros(None),
            (true, offset) => Mapping::Zeros(Some(offset)),
            (false, 0) => Mapping::Nothing,
            (false, offset) => Mapping::Cluster(offset),
        }
    }
}

/// The L2 tables that some entries of an L1 table name; 0 for none.
pub(super) fn l2_offsets<S: ReadAt + ?Sized>(
    source: &S,
    table: L1Table,
    from: u64,
    count: u64,
) -> Result<Vec<u64>> {
    let present = u64::from(table.entries).saturating_sub(from).min(count);
    let mut offsets = words(source, table.offset + from * 8, present, "L1 table")?;
    for offset in &mut offsets {
        *offset &= OFFSET_MASK;
    }
    offsets.resize(usize::try_from(count).unwrap_or(usize::MAX), 0);
    Ok(offsets)
}

/// The mappings of some guest clusters, in one L2 table.
pub(super) fn mappings<S: ReadAt + ?Sized>(
    source: &S,
    facts: &Facts,
    l2_offset: u64,
    from: u64,
    count: u64,
) -> Result<Vec<Mapping>> {
    let per_entry = facts.l2_words();
    let start = l2_offset + from * 8 * per_entry;
    let words = words(source, start, count * per_entry, "L2 table")?;
    let step = usize::try_from(per_entry).unwrap_or(1);
    let firsts = words.iter().step_by(step);
    Ok(firsts.map(|word| Mapping::of(*word, facts)).collect())
}

fn words<S: ReadAt + ?Sized>(
    source: &S,
    offset: u64,
    count: u64,
    part: &'static str,
) -> Result<Vec<u64>> {
    let bytes = usize::try_from(count.saturating_mul(8)).unwrap_or(usize::MAX);
    let mut bytes = memory::zeros(bytes)?;
    fill(&mut Position { source, offset }, &mut bytes, part)?;
    let (words, _) = bytes.as_chunks::<8>();
    Ok(words.iter().map(|word| u64::from_be_bytes(*word)).collect())
}
