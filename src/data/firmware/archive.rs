//! Several files in one: a tar archive of regular files (POSIX.1-2008, pax, "ustar Interchange
//! Format"), so that what is kept can be had with `tar` alone.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::files;

/// Bytes of a header, and what content is filled up to.
const BLOCK: u64 = 512;
/// Bytes of the longest name, NUL included.
const NAME_BYTES: usize = 100;
/// What the header has before its checksum: name, mode, owner, group, size, time.
const SIZE_AT: usize = NAME_BYTES + 8 + 8 + 8;

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Bytes of its content.
    pub size: u64,
    /// Where its content begins in the archive.
    start: u64,
}

impl Entry {
    /// Its content.
    pub fn content<'a>(&self, archive: &'a File) -> io::Result<io::Take<&'a File>> {
        let mut archive = archive;
        archive.seek(SeekFrom::Start(self.start))?;
        Ok(archive.take(self.size))
    }
}

/// Whether a name can be an entry's.
pub fn fits(name: &str) -> bool {
    name.len() < NAME_BYTES
}

/// Writes a file into an archive. An error if it has not just that many bytes.
pub fn append(archive: &mut File, name: &str, size: u64, content: impl Read) -> io::Result<()> {
    archive.write_all(&header(name, size))?;
    let copied = files::copy(&mut content.take(size.saturating_add(1)), archive)?;
    if copied != size {
        return Err(io::Error::other("changed while it was read"));
    }
    let rest = usize::try_from(filled(size).saturating_sub(size)).unwrap_or_default();
    archive.write_all(&vec![0; rest])
}

/// Writes the end of an archive: two blocks of zeros.
pub fn end(archive: &mut File) -> io::Result<()> {
    archive.write_all(&vec![0; block_bytes() * 2])
}

/// The files of an archive that is whole, and is one that was made here.
pub fn entries(archive: &File, most: usize) -> io::Result<Vec<Entry>> {
    let mut reader = archive;
    let bytes = archive.metadata()?.len();
    let mut entries = Vec::new();
    let mut start = 0;
    loop {
        reader.seek(SeekFrom::Start(start))?;
        let block = read_block(reader)?;
        start += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            return match read_block(reader)?.iter().all(|byte| *byte == 0) {
                true => Ok(entries),
                false => Err(damaged()),
            };
        }
        let (name, size) = fields(&block).ok_or_else(damaged)?;
        // So a header's checksum, and everything else in it, is right.
        if header(&name, size) != block || entries.len() >= most {
            return Err(damaged());
        }
        entries.push(Entry { name, size, start });
        start = filled(size)
            .checked_add(start)
            .filter(|next| *next <= bytes)
            .ok_or_else(damaged)?;
    }
}

/// The header of a regular file that is its owner's alone.
pub fn header(name: &str, size: u64) -> Vec<u8> {
    let octal = |value: u64, bytes: usize| {
        let digits = bytes.saturating_sub(1);
        format!("{value:0digits$o}\0").into_bytes()
    };
    let mut before = name.as_bytes().to_vec();
    before.resize(NAME_BYTES, 0);
    for (value, bytes) in [(0o600, 8), (0, 8), (0, 8), (size, 12), (0, 12)] {
        before.extend(octal(value, bytes));
    }
    let mut after = vec![b'0'];
    after.resize(1 + NAME_BYTES, 0);
    after.extend(b"ustar\x0000");
    let blank_checksum = 8 * u64::from(b' ');
    let bytes = before.iter().chain(&after);
    let sum = bytes.map(|byte| u64::from(*byte)).sum::<u64>() + blank_checksum;
    before.extend(format!("{sum:06o}\0 ").into_bytes());
    before.extend(after);
    before.resize(block_bytes(), 0);
    before
}

/// Name and size that a header tells.
fn fields(block: &[u8]) -> Option<(String, u64)> {
    let name = block.get(..NAME_BYTES)?.split(|byte| *byte == 0).next()?;
    let size = block.get(SIZE_AT..SIZE_AT + 11)?;
    let size = u64::from_str_radix(std::str::from_utf8(size).ok()?, 8).ok()?;
    Some((std::str::from_utf8(name).ok()?.to_owned(), size))
}

fn read_block(mut archive: &File) -> io::Result<Vec<u8>> {
    let mut block = vec![0; block_bytes()];
    archive.read_exact(&mut block).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            damaged()
        } else {
            error
        }
    })?;
    Ok(block)
}

/// The size with what fills its last block.
fn filled(size: u64) -> u64 {
    size.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX)
}

fn block_bytes() -> usize {
    usize::try_from(BLOCK).unwrap_or_default()
}

fn damaged() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "is not whole, or is no copy that a snapshot has made",
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> File {
        let mut archive = tempfile::tempfile().unwrap();
        for (name, content) in files {
            append(&mut archive, name, content.len() as u64, *content).unwrap();
        }
        end(&mut archive).unwrap();
        archive
    }

    fn bytes(mut archive: &File) -> Vec<u8> {
        let mut bytes = Vec::new();
        archive.rewind().unwrap();
        archive.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let long = vec![7; 1025];
        let files: [(&str, &[u8]); 4] = [
            ("a", b""),
            ("b/c d", b"x"),
            ("e", &long),
            ("f", &long[..512]),
        ];
        let archive = archive(&files);
        let entries = entries(&archive, 4).unwrap();
        for ((name, content), entry) in files.iter().zip(&entries) {
            let mut read = Vec::new();
            let mut from = entry.content(&archive).unwrap();
            from.read_to_end(&mut read).unwrap();
            assert_eq!((entry.name.as_str(), read.as_slice()), (*name, *content));
        }
        assert_eq!(entries.len(), 4);
        assert!(super::entries(&archive, 3).is_err());
    }

    #[test]
    fn tar_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("archive");
        std::fs::write(&path, bytes(&archive(&[("a", b"1"), ("b/c", b"23")]))).unwrap();
        let tar = |arguments: &[&str]| {
            let mut tar = Command::new("tar");
            let output = tar.args(arguments).arg("-f").arg(&path).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            assert_eq!(output.stderr, b"", "{output:?}");
            output.stdout
        };
        assert_eq!(tar(&["-t"]), b"a\nb/c\n");
        assert_eq!(tar(&["-x", "-O"]), b"123");
    }

    #[test]
    fn one_that_is_cut_off_or_changed_is_refused() {
        let whole = bytes(&archive(&[("a", b"1"), ("b", b"2")]));
        let refused = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            entries(&file, 9).is_err()
        };
        assert!(!refused(&whole));
        for length in 0..whole.len() {
            assert!(refused(&whole[..length]), "{length}");
        }
        for at in (0..512).chain(1024..1536) {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            assert!(refused(&changed), "{at}");
        }
        let mut huge = header("a", 0o77_777_777_777);
        huge.resize(4096, 0);
        assert!(refused(&huge));
    }

    #[test]
    fn a_file_of_another_size_than_was_said_is_refused() {
        let mut file = tempfile::tempfile().unwrap();
        for size in [1, 3] {
            assert!(append(&mut file, "a", size, &b"12"[..]).is_err());
        }
    }
}
