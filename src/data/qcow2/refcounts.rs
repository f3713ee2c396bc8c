//! How often each cluster is used.

use super::{Facts, Position, ReadAt, Result, fill};

/// Bytes of a refcount block that are read at once.
const WINDOW: u64 = 4096;
/// Source: docs/interop/qcow2.txt, "Reference count table entry": bits 9 to 63 are an offset.
const BLOCK_MASK: u64 = !0x1ff;

/// The refcounts of an image; what was read last is kept.
pub(super) struct Refcounts<'a, S: ?Sized> {
    source: &'a S,
    facts: &'a Facts,
    /// Number of the window, and its bytes; none where nothing is counted.
    known: Option<(u64, Vec<u8>)>,
}

impl<'a, S: ReadAt + ?Sized> Refcounts<'a, S> {
    pub(super) fn of(source: &'a S, facts: &'a Facts) -> Refcounts<'a, S> {
        Refcounts {
            source,
            facts,
            known: None,
        }
    }

    /// The refcount of the cluster at an offset.
    pub(super) fn get(&mut self, offset: u64) -> Result<u64> {
        let cluster = offset >> self.facts.cluster_bits;
        let order = self.facts.refcounts.order;
        // In bits, as a refcount may be less than a byte.
        let per_window = (WINDOW.min(self.facts.cluster()) * 8) >> order;
        let window = cluster / per_window;
        if self
            .known
            .as_ref()
            .is_none_or(|(known, _)| *known != window)
        {
            let bytes = self.read(window * per_window)?;
            self.known = Some((window, bytes));
        }
        let bytes = self.known.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        Ok(refcount(bytes, cluster % per_window, order))
    }

    /// The window of which that cluster's refcount is the first.
    fn read(&self, cluster: u64) -> Result<Vec<u8>> {
        let table = self.facts.refcounts;
        let per_block = (self.facts.cluster() * 8) >> table.order;
        let (block, within) = (cluster / per_block, cluster % per_block);
        if block >= (u64::from(table.clusters) << self.facts.cluster_bits) / 8 {
            return Ok(Vec::new());
        }
        let mut entry = [0; 8];
        let mut position = Position {
            source: self.source,
            offset: table.offset.saturating_add(block * 8),
        };
        fill(&mut position, &mut entry, "refcount table")?;
        let start = u64::from_be_bytes(entry) & BLOCK_MASK;
        if start == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; usize::try_from(WINDOW.min(self.facts.cluster())).unwrap_or(512)];
        let mut position = Position {
            source: self.source,
            offset: start.saturating_add((within << table.order) / 8),
        };
        fill(&mut position, &mut bytes, "refcount block")?;
        Ok(bytes)
    }
}

/// One refcount. Source: docs/interop/qcow2.txt, "Refcount block entry": less than a byte begins at the
/// lowest bit, more is big-endian.
fn refcount(bytes: &[u8], index: u64, order: u32) -> u64 {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    if order < 3 {
        let per_byte = 8 >> order;
        let byte = bytes.get(index / per_byte).copied().unwrap_or(0);
        let shift = (index % per_byte) << order;
        return u64::from(byte >> shift) & ((1 << (1 << order)) - 1);
    }
    let width = 1_usize << (order - 3);
    let start = index.saturating_mul(width);
    let found = bytes.get(start..).and_then(|rest| rest.get(..width));
    found
        .unwrap_or_default()
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}
