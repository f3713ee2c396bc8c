//! The qcow2 header and its extensions.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::{
    Encryption, Fields, L1Table, Position, ReadAt, RefcountTable, Result, Unreadable, fill,
    fill_what_is_there,
};
use crate::limits;
use crate::memory;

const MAGIC: u32 = 0x5146_49fb;
const V2_BYTES: u32 = 72;
const V3_BYTES: u32 = 104;
/// The specification: 16 bits in version 2, at most 64.
const V2_REFCOUNT_ORDER: u32 = 4;
const REFCOUNT_ORDER_MOST: u32 = 6;
/// The specification's lower bound and QEMU's upper one (2 MiB clusters).
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// Bits 0 to 4: dirty, corrupt, external data, compression type, extended L2 entries.
const KNOWN_FEATURES: u64 = 0b1_1111;
const BACKING_FILE_BYTES: u32 = 1023;
const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;

/// The header, without what snapshots do not need.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub version: u32,
    pub virtual_size: u64,
    pub cluster_bits: u32,
    pub encryption: Encryption,
    pub incompatible_features: u64,
    pub backing_file: Option<OsString>,
    pub backing_format: Option<OsString>,
    pub data_file: Option<OsString>,
    pub l1: L1Table,
    pub refcounts: RefcountTable,
    pub snapshot_count: u32,
    pub snapshots_offset: u64,
}

pub(super) fn read<S: ReadAt + ?Sized>(source: &S) -> Result<Header> {
    let mut bytes = [0; V3_BYTES as usize];
    // A version 2 image may be shorter than the header of version 3.
    let length = fill_what_is_there(source, 0, &mut bytes)?;
    let fields = Fields(bytes.get(..length).unwrap_or_default());
    if fields.u32(0).ok() != Some(MAGIC) {
        return Err(Unreadable::NotQcow2);
    }
    let version = fields.u32(4)?;
    if !(2..=3).contains(&version) {
        return Err(Unreadable::Version(version));
    }
    let cluster_bits = fields.u32(20)?;
    if !CLUSTER_BITS.contains(&cluster_bits) {
        return Err(Unreadable::Invalid("cluster size"));
    }
    let cluster = 1_u64 << cluster_bits;
    let (header_bytes, incompatible_features, refcount_order) = if version == 2 {
        (V2_BYTES, 0, V2_REFCOUNT_ORDER)
    } else {
        (fields.u32(100)?, fields.u64(72)?, fields.u32(96)?)
    };
    if version == 3 && !(u64::from(V3_BYTES)..=cluster).contains(&u64::from(header_bytes)) {
        return Err(Unreadable::Invalid("header length"));
    }
    if incompatible_features & !KNOWN_FEATURES != 0 {
        return Err(Unreadable::Features(
            incompatible_features & !KNOWN_FEATURES,
        ));
    }
    let encryption = match fields.u32(32)? {
        0 => Encryption::None,
        1 => Encryption::Aes,
        2 => Encryption::Luks,
        _ => return Err(Unreadable::Invalid("encryption method")),
    };
    let snapshot_count = fields.u32(60)?;
    if snapshot_count > limits::QCOW2_SNAPSHOTS {
        return Err(Unreadable::Invalid("number of snapshots"));
    }
    let snapshots_offset = fields.u64(64)?;
    if snapshot_count > 0 && (snapshots_offset == 0 || !snapshots_offset.is_multiple_of(cluster)) {
        return Err(Unreadable::Invalid("snapshot table's offset"));
    }
    let l1 = l1_table(fields.u64(40)?, fields.u32(36)?, cluster)?;
    if refcount_order > REFCOUNT_ORDER_MOST {
        return Err(Unreadable::Invalid("width of refcounts"));
    }
    let refcounts = RefcountTable {
        offset: fields.u64(48)?,
        clusters: fields.u32(56)?,
        order: refcount_order,
    };
    let backing_offset = fields.u64(8)?;
    let backing_file = backing_file(source, backing_offset, fields.u32(16)?, cluster)?;
    let extensions_end = if backing_offset == 0 {
        cluster
    } else {
        backing_offset
    };
    let mut header = Header {
        version,
        virtual_size: fields.u64(24)?,
        cluster_bits,
        encryption,
        incompatible_features,
        backing_file,
        backing_format: None,
        data_file: None,
        l1,
        refcounts,
        snapshot_count,
        snapshots_offset,
    };
    extensions(source, u64::from(header_bytes), extensions_end, &mut header)?;
    Ok(header)
}

/// Where an L1 table is, if it can be one.
pub(super) fn l1_table(offset: u64, entries: u32, cluster: u64) -> Result<L1Table> {
    let table = L1Table { offset, entries };
    if table.bytes() > limits::QCOW2_L1_BYTES
        || !offset.is_multiple_of(cluster)
        || offset.checked_add(table.bytes()).is_none()
    {
        return Err(Unreadable::Invalid("L1 table"));
    }
    Ok(table)
}

fn backing_file<S: ReadAt + ?Sized>(
    source: &S,
    offset: u64,
    length: u32,
    cluster: u64,
) -> Result<Option<OsString>> {
    if offset == 0 {
        return Ok(None);
    }
    let room = cluster
        .checked_sub(offset)
        .ok_or(Unreadable::Invalid("backing file's offset"))?;
    if length > BACKING_FILE_BYTES || u64::from(length) > room {
        return Err(Unreadable::Invalid("backing file's length"));
    }
    string(source, offset, length, "backing file").map(Some)
}

/// Reads the extensions between the header and `end`.
fn extensions<S: ReadAt + ?Sized>(
    source: &S,
    start: u64,
    end: u64,
    header: &mut Header,
) -> Result<()> {
    let mut at = start;
    while end.checked_sub(at).is_some_and(|room| room >= 8) {
        let mut bytes = [0; 8];
        fill(
            &mut Position { source, offset: at },
            &mut bytes,
            "header extension",
        )?;
        let (kind, length) = (Fields(&bytes).u32(0)?, Fields(&bytes).u32(4)?);
        at += 8;
        if end
            .checked_sub(at)
            .is_none_or(|room| u64::from(length) > room)
        {
            return Err(Unreadable::Invalid("header extension"));
        }
        match kind {
            EXTENSION_END => return Ok(()),
            EXTENSION_BACKING_FORMAT => {
                header.backing_format = Some(string(source, at, length, "backing format")?);
            }
            EXTENSION_DATA_FILE => {
                header.data_file = Some(string(source, at, length, "data file")?);
            }
            _ => {}
        }
        at += u64::from(length).next_multiple_of(8);
    }
    Ok(())
}

/// A string that lies within the first cluster, so at most 2 MiB.
fn string<S: ReadAt + ?Sized>(
    source: &S,
    offset: u64,
    length: u32,
    part: &'static str,
) -> Result<OsString> {
    let length = usize::try_from(length).map_err(|_| Unreadable::Invalid(part))?;
    let mut bytes = memory::zeros(length)?;
    fill(&mut Position { source, offset }, &mut bytes, part)?;
    Ok(OsString::from_vec(bytes))
}
