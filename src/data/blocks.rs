//! What files take of the host's disks.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::sys::{self, Extent};

/// Bytes of the blocks that `stat` counts. Source: stat(2), st_blocks.
const BLOCK: u64 = 512;

/// What a file takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Its blocks, in bytes; of a block device none.
    pub bytes: u64,
    /// What is given back when this name of it goes: nothing while it has another one.
    pub freed: u64,
}

/// What a file takes, whatever its kind.
pub fn taken(path: &Path) -> io::Result<Taken> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Ok(Taken::default());
    }
    let bytes = found.blocks().saturating_mul(BLOCK);
    let freed = if found.nlink() == 1 { bytes } else { 0 };
    Ok(Taken { bytes, freed })
}

/// Where a file has blocks. Asked for ranges in rising order it costs one system call for some dozens of
/// extents.
pub struct Blocks<'a> {
    /// `None`: of a block device, whose blocks are nobody's to give back.
    file: Option<&'a File>,
    /// Extents that follow each other, the last one's end being the beginning of the unknown.
    known: Vec<Extent>,
    /// Where what is known begins and ends.
    range: (u64, u64),
    /// The file system does not tell of extents.
    is_plain: bool,
    looks: u64,
}

impl<'a> Blocks<'a> {
    /// Of a file.
    pub fn of(file: &'a File) -> Blocks<'a> {
        Blocks {
            file: Some(file),
            known: Vec::new(),
            range: (0, 0),
            is_plain: false,
            looks: 0,
        }
    }

    /// Of a block device: it has them whatever it holds.
    pub fn of_device() -> Blocks<'a> {
        Blocks {
            file: None,
            known: Vec::new(),
            range: (0, 0),
            is_plain: false,
            looks: 0,
        }
    }

    /// How often the file system was asked.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// How many bytes of a range have blocks, and how many have blocks that are this file's alone.
    pub fn count(&mut self, start: u64, length: u64) -> io::Result<(u64, u64)> {
        let Some(file) = self.file else {
            return Ok((length, 0));
        };
        let end = start.saturating_add(length);
        let (mut all, mut own, mut at) = (0, 0, start);
        while at < end {
            if at < self.range.0 || at >= self.range.1 {
                self.look(file, at)?;
            }
            let stop = end.min(self.range.1);
            let first = self
                .known
                .partition_point(|extent| extent.start.saturating_add(extent.length) <= at);
            for extent in self.known.iter().skip(first) {
                if extent.start >= stop {
                    break;
                }
                let from = extent.start.max(at);
                let bytes = extent.start.saturating_add(extent.length).min(stop) - from;
                all += bytes;
                own += if extent.is_shared { 0 } else { bytes };
            }
            at = stop;
        }
        Ok((all, own))
    }

    /// Learns of what lies from an offset on; at least one byte.
    fn look(&mut self, file: &File, from: u64) -> io::Result<()> {
        self.looks += 1;
        if !self.is_plain {
            match sys::extents(file, from) {
                Ok(found) => {
                    self.take(from, found);
                    return Ok(());
                }
                Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::NOSYS) => {
                    self.is_plain = true;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        let next = |seek| match rustix::fs::seek(file, seek) {
            Ok(place) => Ok(place),
            Err(Errno::NXIO) => Ok(u64::MAX),
            Err(errno) => Err(io::Error::from(errno)),
        };
        let data = next(SeekFrom::Data(from))?;
        let (known, end) = if data > from {
            (Vec::new(), data)
        } else {
            let hole = next(SeekFrom::Hole(from))?.max(from.saturating_add(1));
            let extent = Extent {
                start: from,
                length: hole - from,
                is_shared: false,
            };
            (vec![extent], hole)
        };
        (self.known, self.range) = (known, (from, end));
        Ok(())
    }

    /// Takes extents in as the file system told them: all from an offset on, or as many as fitted.
    fn take(&mut self, from: u64, found: Vec<Extent>) {
        let end = match found.last() {
            Some(last) => last.start.saturating_add(last.length),
            None => u64::MAX,
        };
        self.range = (from, end.max(from.saturating_add(1)));
        self.known = found;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// Holes and blocks of a file, on the file system of temporary directories, and on tmpfs.
    #[test]
    fn blocks_are_counted_where_they_are() {
        const KIB: u64 = 1024;
        for directory in [std::env::temp_dir(), "/dev/shm".into()] {
            let file = tempfile::tempfile_in(&directory).unwrap();
            file.set_len(1024 * KIB).unwrap();
            for place in [64, 256, 257, 512] {
                file.write_all_at(&[1; 1024], place * KIB).unwrap();
            }
            file.write_all_at(&[1; 64 * 1024], 128 * KIB).unwrap();
            file.sync_all().unwrap();
            let mut blocks = Blocks::of(&file);
            // Blocks of 4 KiB: one at 64, sixteen at 128, one at 256, one at 512.
            assert_eq!(blocks.count(0, 1024 * KIB).unwrap(), (76 * KIB, 76 * KIB));
            assert_eq!(blocks.count(64 * KIB, 64 * KIB).unwrap().0, 4 * KIB);
            assert_eq!(blocks.count(160 * KIB, 64 * KIB).unwrap().0, 32 * KIB);
            assert_eq!(blocks.count(0, 64 * KIB).unwrap().0, 0);
            assert_eq!(blocks.count(600 * KIB, 9000 * KIB).unwrap().0, 0);
        }
    }
}
