//! The qcow2 snapshot table.

use std::io::{BufReader, Read};

use super::header::{Header, l1_table};
use super::{Fields, L1Table, Position, ReadAt, Result, Unreadable, fill};
use crate::limits;
use crate::memory;

/// The part of an entry that every version has.
const ENTRY_BYTES: usize = 40;
/// The extra data that the specification defines: large VM state size, disk size, icount.
const EXTRA_BYTES: usize = 24;
const PART: &str = "snapshot table";

/// One internal snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unique in the image; QEMU counts it up from 1. Bytes up to the first NUL, as QEMU sees it.
    pub id: Box<[u8]>,
    /// The user's name. Bytes up to the first NUL, as QEMU sees it. Not necessarily unique.
    pub name: Box<[u8]>,
    /// When it was taken: seconds since 1970.
    pub date_sec: u32,
    /// The nanoseconds of that time.
    pub date_nsec: u32,
    /// Nanoseconds that the guest had run.
    pub vm_clock_nsec: u64,
    /// Bytes of guest memory and device state; 0 for a snapshot of the disk alone.
    pub vm_state_size: u64,
    /// Virtual disk size in bytes at that time.
    pub disk_size: u64,
    /// Instructions executed, where the entry says so.
    pub icount: Option<u64>,
    pub(super) l1: L1Table,
}

impl Entry {
    /// What the guest sees now, as if it were a snapshot.
    pub(super) fn of_present(l1: L1Table, disk_size: u64) -> Entry {
        Entry {
            id: Box::default(),
            name: Box::default(),
            date_sec: 0,
            date_nsec: 0,
            vm_clock_nsec: 0,
            vm_state_size: 0,
            disk_size,
            icount: None,
            l1,
        }
    }
}

pub(super) fn read<S: ReadAt + ?Sized>(source: &S, header: &Header) -> Result<Vec<Entry>> {
    // The count is bounded, but a lying one must not reserve memory: entries are added as they
    // are found in the file.
    let mut entries = Vec::new();
    let position = Position {
        source,
        offset: header.snapshots_offset,
    };
    let mut reader = BufReader::new(position.take(limits::QCOW2_SNAPSHOT_TABLE_BYTES));
    for _ in 0..header.snapshot_count {
        let (entry, bytes) = read_entry(&mut reader, header)?;
        entries.push(entry);
        // The next entry starts at a multiple of 8; after the last one the file may end.
        if entries.len() < header.snapshot_count as usize {
            let mut padding = [0; 8];
            let odd = bytes.next_multiple_of(8) - bytes;
            fill(
                &mut reader,
                padding.get_mut(..odd).unwrap_or_default(),
                PART,
            )?;
        }
    }
    Ok(entries)
}

/// Reads an entry; also gives its length, padding excluded.
fn read_entry(reader: &mut impl Read, header: &Header) -> Result<(Entry, usize)> {
    let mut bytes = [0; ENTRY_BYTES];
    fill(reader, &mut bytes, PART)?;
    let fields = Fields(&bytes);
    let extra_bytes = fields.u32(36)?;
    if extra_bytes > limits::QCOW2_SNAPSHOT_EXTRA_BYTES {
        return Err(Unreadable::Invalid("snapshot's extra data"));
    }
    let extra = read_bytes(reader, extra_bytes as usize)?;
    let id = read_bytes(reader, usize::from(fields.u16(12)?))?;
    let name = read_bytes(reader, usize::from(fields.u16(14)?))?;
    let length = ENTRY_BYTES + extra.len() + id.len() + name.len();
    let small_vm_state = u64::from(fields.u32(32)?);
    let extra = Fields(extra.get(..EXTRA_BYTES).unwrap_or(&extra));
    let entry = Entry {
        id: c_string(id),
        name: c_string(name),
        date_sec: fields.u32(16)?,
        date_nsec: fields.u32(20)?,
        vm_clock_nsec: fields.u64(24)?,
        vm_state_size: extra.u64(0).unwrap_or(small_vm_state),
        // The specification: without this field the size is that of the image.
        disk_size: extra.u64(8).unwrap_or(header.virtual_size),
        // The specification: all ones where instructions were not counted.
        icount: extra.u64(16).ok().filter(|count| *count != u64::MAX),
        l1: l1_table(fields.u64(0)?, fields.u32(8)?, 1 << header.cluster_bits)?,
    };
    Ok((entry, length))
}

fn read_bytes(reader: &mut impl Read, length: usize) -> Result<Vec<u8>> {
    let mut bytes = memory::zeros(length)?;
    fill(reader, &mut bytes, PART)?;
    Ok(bytes)
}

/// QEMU keeps these as C strings.
fn c_string(mut bytes: Vec<u8>) -> Box<[u8]> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes.into_boxed_slice()
}
