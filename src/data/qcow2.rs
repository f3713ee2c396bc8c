//! The facts of a qcow2 image that snapshots need, read without starting a program.
//!
//! Source: QEMU's docs/interop/qcow2.txt, and where that leaves a bound open, the one of QEMU's
//! qcow2 driver. Reads, and takes no lock: a guest may have the image open meanwhile. What writes
//! is in `mend`.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::blocks::Blocks;
use crate::limits;

#[cfg(test)]
mod agreement;
mod below;
mod content;
mod entries;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod growth;
mod header;
#[cfg(test)]
mod hostile;
mod mend;
mod meter;
mod refcounts;
mod table;
#[cfg(test)]
mod tests;
mod usage;

use below::Below;
pub use growth::growth;
pub use table::Entry;
pub use usage::Usage;

/// Why a file cannot be read as qcow2.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A system call failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A directory, FIFO, socket or character device.
    #[error("neither a regular file nor a block device")]
    NotAFile,
    /// Another format.
    #[error("not a qcow2 image")]
    NotQcow2,
    /// A version that QEMU does not read either.
    #[error("qcow2 version {0} is not supported")]
    Version(u32),
    /// An incompatible feature bit that the specification does not know.
    #[error("unknown incompatible qcow2 features ({0:#x})")]
    Features(u64),
    /// A field with a value that it cannot have.
    #[error("the qcow2 {0} is invalid")]
    Invalid(&'static str),
    /// Something ends beyond the end of the file.
    #[error("the qcow2 {0} is cut off")]
    Truncated(&'static str),
    /// The snapshot table moved each time it was read.
    #[error("the qcow2 snapshot table keeps changing")]
    Unsteady,
}

impl Unreadable {
    /// Whether it may be the beginning of an image that was never finished.
    pub fn is_unfinished(&self) -> bool {
        matches!(
            self,
            Unreadable::NotQcow2 | Unreadable::Truncated(_) | Unreadable::Version(0)
        )
    }
}

/// The result of reading an image.
pub type Result<T> = std::result::Result<T, Unreadable>;

/// How the guest's clusters are encrypted (`crypt_method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    None,
    /// The AES of old images.
    Aes,
    /// LUKS.
    Luks,
}

/// What the header and the snapshot table say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// 2 (`compat=0.10`) or 3 (`compat=1.1`).
    pub version: u32,
    /// Virtual disk size in bytes.
    pub virtual_size: u64,
    /// A cluster has `1 << cluster_bits` bytes.
    pub cluster_bits: u32,
    /// How guest data is encrypted.
    pub encryption: Encryption,
    /// The bit mask `incompatible_features`; 0 in version 2.
    pub incompatible_features: u64,
    /// The backing file as the header spells it: a path, maybe relative to the image, or any
    /// other file name that QEMU takes.
    pub backing_file: Option<OsString>,
    /// The backing file's format, if the header names one.
    pub backing_format: Option<OsString>,
    /// The external data file's name, if the header gives one.
    pub data_file: Option<OsString>,
    /// The internal snapshots, in the table's order.
    pub snapshots: Vec<Entry>,
    l1: L1Table,
    refcounts: RefcountTable,
    /// Number of entries and place of the snapshot table.
    table: (u32, u64),
}

impl Facts {
    const DIRTY: u64 = 1;
    const CORRUPT: u64 = 1 << 1;
    const EXTERNAL_DATA: u64 = 1 << 2;
    const EXTENDED_L2: u64 = 1 << 4;

    /// Refcounts may be stale; QEMU repairs them at the next open for writing.
    pub fn is_dirty(&self) -> bool {
        self.incompatible_features & Self::DIRTY != 0
    }

    /// QEMU found damage and opens the image no more for writing.
    pub fn is_corrupt(&self) -> bool {
        self.incompatible_features & Self::CORRUPT != 0
    }

    /// Guest data is in another file: such images have no internal snapshots.
    pub fn has_external_data(&self) -> bool {
        self.incompatible_features & Self::EXTERNAL_DATA != 0
    }

    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// 64-bit words of an entry of an L2 table.
    fn l2_words(&self) -> u64 {
        match self.incompatible_features & Self::EXTENDED_L2 {
            0 => 1,
            _ => 2,
        }
    }

    /// Entries of an L2 table, which is one cluster.
    fn l2_entries(&self) -> u64 {
        self.cluster() / 8 / self.l2_words()
    }

    /// The snapshots of that name; the format does not forbid more than one.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.snapshots
            .iter()
            .filter(move |entry| &*entry.name == name.as_bytes())
    }

    /// Bytes of the active L1 table, which an applied snapshot's table overwrites in place.
    pub fn l1_bytes(&self) -> u64 {
        self.l1.bytes()
    }
}

/// Where an L1 table is: the root of the mapping from guest to host clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct L1Table {
    offset: u64,
    entries: u32,
}

impl L1Table {
    fn bytes(self) -> u64 {
        u64::from(self.entries) * 8
    }
}

/// Where the refcounts of the image's clusters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RefcountTable {
    offset: u64,
    clusters: u32,
    /// A refcount has `1 << order` bits.
    order: u32,
}

/// Which file an image is, under whatever name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A regular file: device and inode.
    File(u64, u64),
    /// A block device: its number.
    Device(u64),
}

/// An open image.
#[derive(Debug)]
pub struct ImageFile {
    file: File,
    identity: Identity,
}

impl ImageFile {
    /// Opens for reading. What is neither a regular file nor a block device is refused; a FIFO
    /// does not block.
    pub fn open(path: &Path) -> Result<ImageFile> {
        // std adds O_CLOEXEC. O_NONBLOCK: opening a FIFO without a writer returns at once.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        let metadata = file.metadata()?;
        let kind = metadata.file_type();
        let identity = if kind.is_file() {
            Identity::File(metadata.dev(), metadata.ino())
        } else if kind.is_block_device() {
            Identity::Device(metadata.rdev())
        } else {
            return Err(Unreadable::NotAFile);
        };
        Ok(ImageFile { file, identity })
    }

    /// The open file.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Which file this is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Bytes of the file; of a block device 0.
    pub fn length(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    /// Whether a QEMU process may write to it, a guest's or another. It tells by a lock on a byte for
    /// each thing that it may do; for writing that is byte 101 (QEMU's block/file-posix.c, since
    /// 2.10). Where there are no such locks nobody is seen.
    pub fn is_written_elsewhere(&self) -> bool {
        const WRITES: i64 = 101;
        crate::sys::is_byte_locked(&self.file, WRITES).unwrap_or(false)
    }

    /// What header and snapshot table say now.
    pub fn facts(&self) -> Result<Facts> {
        read(&self.file)
    }

    /// Whether the guest sees exactly what the snapshot holds, its size included.
    pub fn shows(&self, facts: &Facts, snapshot: &Entry) -> Result<bool> {
        Ok(snapshot.disk_size == facts.virtual_size
            && content::is_made_of(&self.file, facts.l1, &[snapshot.l1])?)
    }

    /// Whether an overlay shows just what an image shows that is directly below it: one whose facts are
    /// given, or a raw one. `None` where only QEMU can tell.
    pub fn is_shown_below(
        &self,
        facts: &Facts,
        other: &ImageFile,
        below: Option<&Facts>,
    ) -> Result<Option<bool>> {
        let below = match below {
            Some(below) => Below::Qcow2(&other.file, below),
            None if other.length()? == facts.virtual_size => Below::Raw(&other.file),
            None => return Ok(None),
        };
        below::is_shown_below(&self.file, facts, below, limits::COMPARED_BYTES)
    }

    /// What internal snapshots of the image take, together.
    pub fn usage(&self, facts: &Facts, snapshots: &[&Entry]) -> Result<Usage> {
        let clusters = self.clusters(facts)?;
        usage::usage(
            &self.file,
            facts,
            snapshots,
            &mut self.blocks(),
            clusters,
            limits::MEASURED_BYTES,
        )
    }

    /// How many clusters there are in the file or device, the last one maybe cut off.
    fn clusters(&self, facts: &Facts) -> Result<u64> {
        let end = rustix::fs::seek(&self.file, rustix::fs::SeekFrom::End(0));
        let end = end.map_err(io::Error::from)?;
        Ok(end.div_ceil(facts.cluster()))
    }

    /// What nobody but the guest's present state uses: it goes when a snapshot is applied.
    pub fn usage_of_present(&self, facts: &Facts) -> Result<Usage> {
        let present = Entry::of_present(facts.l1, facts.virtual_size);
        let usage = self.usage(facts, &[&present])?;
        // The table stays where it is.
        let (_, table) = self.blocks().count(
            facts.l1.offset,
            facts.l1.bytes().next_multiple_of(facts.cluster()),
        )?;
        Ok(Usage {
            alone: usage.alone.saturating_sub(table),
            ..usage
        })
    }

    /// Where the file has blocks.
    pub fn blocks(&self) -> Blocks<'_> {
        match self.identity {
            Identity::File(..) => Blocks::of(&self.file),
            Identity::Device(_) => Blocks::of_device(),
        }
    }

    /// Whether no guest data is in the image itself.
    pub fn is_blank(&self, facts: &Facts) -> Result<bool> {
        let nothing = L1Table {
            offset: 0,
            entries: 0,
        };
        content::is_made_of(&self.file, facts.l1, &[nothing])
    }

    /// Whether every part of what the guest sees comes from one of the snapshots: nothing was
    /// written since one of them was captured or applied.
    pub fn is_made_of(&self, facts: &Facts, snapshots: &[&Entry]) -> Result<bool> {
        let sources: Vec<L1Table> = snapshots.iter().map(|entry| entry.l1).collect();
        content::is_made_of(&self.file, facts.l1, &sources)
    }

    /// Whether the first kilobyte holds nothing: no header has been written.
    pub fn begins_with_zeros(&self) -> io::Result<bool> {
        let mut start = [0; 1024];
        let length = FileExt::read_at(&self.file, &mut start, 0)?;
        Ok(start.iter().take(length).all(|byte| *byte == 0))
    }

    /// Makes durable what any process has written, and learns of write errors since the open.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Where the bytes of an image come from.
trait ReadAt {
    /// As `pread`: 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..));
        let mut rest = rest.unwrap_or_default();
        io::Read::read(&mut rest, buffer)
    }
}

/// A place in an image, read from there on.
struct Position<'a, S: ?Sized> {
    source: &'a S,
    offset: u64,
}

impl<S: ReadAt + ?Sized> io::Read for Position<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read_at(buffer, self.offset)?;
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}

/// Fills the buffer from `reader`; the end of the file is an error that names the part.
fn fill(reader: &mut impl io::Read, buffer: &mut [u8], part: &'static str) -> Result<()> {
    reader
        .read_exact(buffer)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Unreadable::Truncated(part),
            _ => Unreadable::Io(error),
        })
}

/// Fills the buffer as far as the file goes; answers how far.
fn fill_what_is_there<S: ReadAt + ?Sized>(
    source: &S,
    offset: u64,
    buffer: &mut [u8],
) -> Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match source.read_at(rest, offset.saturating_add(length as u64)) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(length)
}

/// How often the table is read again when a guest changed it meanwhile.
const ATTEMPTS: usize = 5;

fn read<S: ReadAt + ?Sized>(source: &S) -> Result<Facts> {
    for _ in 0..ATTEMPTS {
        let header = header::read(source)?;
        let snapshots = table::read(source, &header);
        // QEMU writes a changed table to new clusters and then moves the header to it, so a
        // header that stayed proves that the table was whole.
        if header::read(source)? != header {
            continue;
        }
        return Ok(Facts {
            version: header.version,
            virtual_size: header.virtual_size,
            cluster_bits: header.cluster_bits,
            encryption: header.encryption,
            incompatible_features: header.incompatible_features,
            backing_file: header.backing_file,
            backing_format: header.backing_format,
            data_file: header.data_file,
            snapshots: snapshots?,
            l1: header.l1,
            refcounts: header.refcounts,
            table: (header.snapshot_count, header.snapshots_offset),
        });
    }
    Err(Unreadable::Unsteady)
}

/// Big-endian numbers at fixed places of a byte array.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        self.0
            .get(at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied()
            .ok_or(Unreadable::Truncated("header"))
    }

    fn u16(&self, at: usize) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array(at)?))
    }

    fn u32(&self, at: usize) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array(at)?))
    }

    fn u64(&self, at: usize) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array(at)?))
    }
}
