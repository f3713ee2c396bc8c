//! Whether two states of an image are the same, told from their L1 tables.
//!
//! A captured snapshot shares all its clusters with the active state. A later write anywhere goes
//! to a new cluster, which needs a new L2 table, which changes an L1 entry. So equal L1 tables are
//! equal content, and the comparison costs 8 bytes for each L2 table instead of the disk's size.

use super::{L1Table, Position, ReadAt, Result, fill};
use crate::memory;

/// The specification, L1 table entry: bits 9 to 55 are the L2 table's offset. Bit 63 only says
/// that the refcount is exactly one, and differs between a snapshot and the active state.
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;

/// Entries that are compared at once.
const WINDOW: u32 = 4096;

/// Whether each entry of `active` is that of one of the sources. A table is followed by zeros for
/// ever: QEMU pads it when it applies a snapshot to an image that has grown.
pub(super) fn is_made_of<S: ReadAt + ?Sized>(
    source: &S,
    active: L1Table,
    sources: &[L1Table],
) -> Result<bool> {
    let entries = sources
        .iter()
        .map(|table| table.entries)
        .fold(active.entries, u32::max);
    let mut from = 0;
    while from < entries {
        let ours = window(source, active, from)?;
        let theirs = sources
            .iter()
            .map(|table| window(source, *table, from))
            .collect::<Result<Vec<_>>>()?;
        let all_found = ours
            .iter()
            .enumerate()
            .all(|(index, entry)| theirs.iter().any(|table| table.get(index) == Some(entry)));
        if !all_found {
            return Ok(false);
        }
        from += WINDOW;
    }
    Ok(true)
}

/// The L2 offsets of `WINDOW` entries, beginning with entry `from`.
fn window<S: ReadAt + ?Sized>(source: &S, table: L1Table, from: u32) -> Result<Vec<u64>> {
    let present = table.entries.saturating_sub(from).min(WINDOW);
    let mut bytes = memory::zeros(present as usize * 8)?;
    let mut position = Position {
        source,
        offset: table.offset + u64::from(from) * 8,
    };
    fill(&mut position, &mut bytes, "L1 table")?;
    let (entries, _) = bytes.as_chunks::<8>();
    let mut offsets: Vec<u64> = entries
        .iter()
        .map(|entry| u64::from_be_bytes(*entry) & OFFSET_MASK)
        .collect();
    offsets.resize(WINDOW as usize, 0);
    Ok(offsets)
}
