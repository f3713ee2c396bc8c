//! What an image's header says of itself: its backing file, and the snapshots inside of it.
//!
//! Read without a lock, so a guest may have the image open. Source: QEMU, docs/interop/qcow2.txt,
//! "Header" and "Snapshots".

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 4] = b"QFI\xfb";
const HEADER_BYTES: usize = 72;

/// Bounds of the specification, and for the number of snapshots, of QEMU.
const BACKING_BYTES: u32 = 1023;
const SNAPSHOTS: u32 = 65_536;

/// A qcow2 image.
#[derive(Debug)]
pub struct Image {
    pub backing: Option<PathBuf>,
    pub snapshots: Vec<Inside>,
}

/// A snapshot inside of an image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Inside {
    pub name: String,
    /// Seconds since 1970.
    pub time: i64,
    pub has_memory: bool,
}

/// Reads an image; none if the file is no qcow2 image.
pub fn read(path: &Path) -> io::Result<Option<Image>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut header = [0; HEADER_BYTES];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    if header.get(..4) != Some(MAGIC) {
        return Ok(None);
    }
    let backing = match (u64_at(&header, 8)?, u32_at(&header, 16)?) {
        (0, _) => None,
        (_, length) if length > BACKING_BYTES => return Err(damaged("backing file name")),
        (offset, length) => {
            let name = text_at(&file, offset, length as usize)?;
            let name = name.strip_prefix("file:").unwrap_or(&name);
            // Relative to the directory of the image.
            Some(path.parent().unwrap_or(Path::new("/")).join(name))
        }
    };
    let count = u32_at(&header, 60)?;
    if count > SNAPSHOTS {
        return Err(damaged("number of snapshots"));
    }
    Ok(Some(Image {
        backing,
        snapshots: table(&file, u64_at(&header, 64)?, count)?,
    }))
}

fn table(file: &File, mut offset: u64, count: u32) -> io::Result<Vec<Inside>> {
    let mut found = Vec::new();
    for _ in 0..count {
        let mut entry = [0; 40];
        file.read_exact_at(&mut entry, offset)?;
        let (id_bytes, name_bytes) = (u16_at(&entry, 12)?, u16_at(&entry, 14)?);
        let extra_bytes = u64::from(u32_at(&entry, 36)?);
        let names = offset
            .checked_add(40 + extra_bytes)
            .ok_or_else(|| damaged("snapshot table"))?;
        // Version 3 has the size of the memory again, in 64 bits.
        let memory = if extra_bytes >= 8 {
            let mut extra = [0; 8];
            file.read_exact_at(&mut extra, offset + 40)?;
            u64::from_be_bytes(extra)
        } else {
            u64::from(u32_at(&entry, 32)?)
        };
        let name = text_at(file, names + u64::from(id_bytes), usize::from(name_bytes))?;
        found.push(Inside {
            name,
            time: i64::from(u32_at(&entry, 16)?),
            has_memory: memory > 0,
        });
        let end = names + u64::from(id_bytes) + u64::from(name_bytes);
        offset = end.next_multiple_of(8);
    }
    Ok(found)
}

fn text_at(file: &File, offset: u64, length: usize) -> io::Result<String> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> io::Result<[u8; N]> {
    bytes
        .get(at..at.saturating_add(N))
        .and_then(|part| part.try_into().ok())
        .ok_or_else(|| damaged("header"))
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    bytes_at(bytes, at).map(u16::from_be_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    bytes_at(bytes, at).map(u32::from_be_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> io::Result<u64> {
    bytes_at(bytes, at).map(u64::from_be_bytes)
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("bad {what} in the image"),
    )
}
