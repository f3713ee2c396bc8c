//! The file system as the store needs it: each operation once, relative to an open directory.
//!
//! Whatever is fsynced survives a power cut: of a file its bytes, of a directory its names. Nothing
//! here follows a symbolic link, blocks on a FIFO, depends on the umask or leaks a descriptor.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, Dir, FallocateFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat,
};
use rustix::io::{Errno, retry_on_intr};

use super::{Mark, together};
use crate::sys::Words;

/// What a system call answers.
pub type Answer<T> = Result<T, Errno>;

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A directory, symbolic link, FIFO, socket or device.
    Other,
    /// The file system does not say while listing.
    Unknown,
}

/// One name in a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name, in bytes: a file system knows no encoding.
    pub name: Vec<u8>,
    /// What stands there.
    pub kind: Kind,
}

/// What was found where a file was to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The whole content.
    Bytes(Vec<u8>),
    /// Not a regular file.
    NotRegular,
    /// More than the limit.
    TooLarge,
}

/// Changes whenever a name in a directory comes, goes or is given to another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which directory.
    pub inode: u64,
    /// When its names changed, in nanoseconds since 1970.
    pub changed_ns: i128,
    /// For how long it has been so. Within a tick of the clock two changes leave one stamp.
    pub age: Duration,
}

/// Which directory it is, and whether it can be trusted. While it is open, no other has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// On which file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Why what stands in it cannot be trusted, if it cannot.
    pub distrust: Option<&'static str>,
}

/// The operations of a file system.
pub trait FileSystem: Send + Sync {
    /// An open directory.
    type Dir: Send + Sync;
    /// A file open for writing.
    type File;
    /// Excludes others until dropped.
    type Locked: Send;
    /// A file of words that all processes see.
    type Words: Send + Sync;

    /// Opens a directory.
    fn open_dir(&self, parent: &Self::Dir, name: &str) -> Answer<Self::Dir>;
    /// Which directory an open one is.
    fn identity_of(&self, dir: &Self::Dir) -> Answer<Identity>;
    /// What stands under a name now.
    fn identity(&self, parent: &Self::Dir, name: &str) -> Answer<Identity>;
    /// Makes a directory, mode 0700.
    fn make_dir(&self, parent: &Self::Dir, name: &str) -> Answer<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, parent: &Self::Dir, name: &str) -> Answer<()>;
    /// Whether there are no names but `.` and `..`.
    fn is_empty(&self, dir: &Self::Dir) -> Answer<bool>;
    /// All names but `.` and `..`.
    fn entries(&self, dir: &Self::Dir) -> Answer<Vec<Entry>>;
    /// What stands under a name.
    fn kind(&self, dir: &Self::Dir, name: &str) -> Answer<Kind>;
    /// The directory's stamp.
    fn stamp(&self, dir: &Self::Dir) -> Answer<Stamp>;
    /// The mark of a regular file; `None` of anything else.
    fn mark(&self, dir: &Self::Dir, name: &str) -> Answer<Option<Mark>>;
    /// The clock, in nanoseconds since 1970.
    fn now_ns(&self) -> i128;
    /// Reads a file of at most `limit` bytes.
    fn read(&self, dir: &Self::Dir, name: &str, limit: usize) -> Answer<Content> {
        self.read_marked(dir, name, limit)
            .map(|(content, _)| content)
    }
    /// As [`FileSystem::read`], with the mark that the file had before its first byte was read.
    fn read_marked(
        &self,
        dir: &Self::Dir,
        name: &str,
        limit: usize,
    ) -> Answer<(Content, Option<Mark>)>;
    /// Opens a file, to read it piece by piece.
    fn reader(&self, dir: &Self::Dir, name: &str) -> Answer<Box<dyn Read + Send>>;
    /// Makes a file that was not there, mode 0600.
    fn create(&self, dir: &Self::Dir, name: &str) -> Answer<Self::File>;
    /// Opens a file that is there, to write over its bytes.
    fn overwrite(&self, dir: &Self::Dir, name: &str) -> Answer<Self::File>;
    /// Writes all bytes.
    fn write(&self, file: &Self::File, bytes: &[u8]) -> Answer<()>;
    /// Makes a file's bytes durable.
    fn sync(&self, file: &Self::File) -> Answer<()>;
    /// Makes the bytes of all those files durable.
    fn sync_all(&self, files: &[Self::File]) -> Answer<()> {
        files.iter().try_for_each(|file| self.sync(file))
    }
    /// Makes a directory's names durable.
    fn sync_dir(&self, dir: &Self::Dir) -> Answer<()>;
    /// Gives a second name to a file.
    fn link(&self, from: &Self::Dir, name: &str, to: &Self::Dir, new: &str) -> Answer<()>;
    /// Moves a file to another name, over what stands there.
    fn rename(&self, from: &Self::Dir, name: &str, to: &Self::Dir, new: &str) -> Answer<()>;
    /// Moves whatever stands under a name to another that is free, whatever bytes it has.
    fn move_new(&self, from: &Self::Dir, name: &OsStr, to: &Self::Dir, new: &OsStr) -> Answer<()>;
    /// Removes a name of a file.
    fn unlink(&self, dir: &Self::Dir, name: &str) -> Answer<()>;
    /// Locks a file, making it if it is missing; `None` while somebody else holds it. `owner` is
    /// written into it.
    fn try_lock(&self, dir: &Self::Dir, name: &str, owner: &str) -> Answer<Option<Self::Locked>>;
    /// Whether the file had an owner when it was locked: one that did not disown it.
    fn had_owner(&self, locked: &Self::Locked) -> bool;
    /// Takes the owner out of a lock file that is held.
    fn disown(&self, locked: &Self::Locked);
    /// What a child inherits so that the lock is held as long as it lives.
    fn descriptor<'a>(&self, locked: &'a Self::Locked) -> Option<BorrowedFd<'a>>;
    /// Opens a file of words, making it or making it longer.
    fn open_words(&self, dir: &Self::Dir, name: &str, count: usize) -> Answer<Self::Words>;
    /// A word, as it is now.
    fn word(&self, words: &Self::Words, index: usize) -> u64;
    /// Gives a word a value that it never had.
    fn renew_word(&self, words: &Self::Words, index: usize) -> Answer<()>;
    /// Lets time pass.
    fn pause(&self, time: Duration);
}

/// The machine's file system.
#[derive(Debug)]
pub struct Machine;

const CREATED: Mode = Mode::RUSR.union(Mode::WUSR);
const OPEN: OFlags = OFlags::CLOEXEC
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NOCTTY);

impl FileSystem for Machine {
    type Dir = OwnedFd;
    type File = OwnedFd;
    type Locked = FileLock;
    type Words = WordFile;

    fn open_dir(&self, parent: &OwnedFd, name: &str) -> Answer<OwnedFd> {
        let flags = OPEN | OFlags::RDONLY | OFlags::DIRECTORY;
        retry_on_intr(|| rustix::fs::openat(parent, name, flags, Mode::empty()))
    }

    fn identity_of(&self, dir: &OwnedFd) -> Answer<Identity> {
        rustix::fs::fstat(dir).map(|stat| identity(&stat))
    }

    fn identity(&self, parent: &OwnedFd, name: &str) -> Answer<Identity> {
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.map(|stat| identity(&stat))
    }

    fn make_dir(&self, parent: &OwnedFd, name: &str) -> Answer<()> {
        rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
        rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())
    }

    fn remove_dir(&self, parent: &OwnedFd, name: &str) -> Answer<()> {
        rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
    }

    fn is_empty(&self, dir: &OwnedFd) -> Answer<bool> {
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn entries(&self, dir: &OwnedFd) -> Answer<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::RegularFile => Kind::Regular,
                FileType::Unknown => Kind::Unknown,
                _ => Kind::Other,
            };
            entries.push(Entry {
                name: name.to_vec(),
                kind,
            });
        }
        Ok(entries)
    }

    fn kind(&self, dir: &OwnedFd, name: &str) -> Answer<Kind> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(kind_of(stat.st_mode))
    }

    fn stamp(&self, dir: &OwnedFd) -> Answer<Stamp> {
        let stat = rustix::fs::fstat(dir)?;
        let changed_ns = nanoseconds(i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec));
        let age = self.now_ns() - changed_ns;
        // A time in the future is as good as a change just now.
        let age = u64::try_from(age).map_or(Duration::ZERO, Duration::from_nanos);
        Ok(Stamp {
            inode: stat.st_ino,
            changed_ns,
            age,
        })
    }

    fn mark(&self, dir: &OwnedFd, name: &str) -> Answer<Option<Mark>> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_file = kind_of(stat.st_mode) == Kind::Regular;
        Ok(is_file.then(|| mark(&stat)).flatten())
    }

    fn now_ns(&self) -> i128 {
        // Not rustix's clock: it looks for the kernel's vDSO by itself, and a program that runs
        // under valgrind has none where rustix looks.
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i128::try_from(now.as_nanos()).unwrap_or(i128::MAX)
    }

    fn read_marked(
        &self,
        dir: &OwnedFd,
        name: &str,
        limit: usize,
    ) -> Answer<(Content, Option<Mark>)> {
        let flags = OPEN | OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match retry_on_intr(|| rustix::fs::openat(dir, name, flags, Mode::empty())) {
            Ok(file) => file,
            // A symbolic link; a socket.
            Err(Errno::LOOP | Errno::NXIO) => return Ok((Content::NotRegular, None)),
            Err(errno) => return Err(errno),
        };
        let stat = rustix::fs::fstat(&file)?;
        if kind_of(stat.st_mode) != Kind::Regular {
            return Ok((Content::NotRegular, None));
        }
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if size > limit {
            return Ok((Content::TooLarge, None));
        }
        // One byte more than is expected: a short read then says that this was the end.
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(size + 1)
            .map_err(|_| Errno::NOMEM)?;
        loop {
            let room = bytes.capacity() - bytes.len();
            let spare = rustix::buffer::spare_capacity(&mut bytes);
            let count = match rustix::io::read(&file, spare) {
                Err(Errno::INTR) => continue,
                answer => answer?,
            };
            if bytes.len() > limit {
                return Ok((Content::TooLarge, None));
            }
            if count < room {
                return Ok((Content::Bytes(bytes), mark(&stat)));
            }
            bytes.try_reserve(room + 1).map_err(|_| Errno::NOMEM)?;
        }
    }

    fn reader(&self, dir: &OwnedFd, name: &str) -> Answer<Box<dyn Read + Send>> {
        let flags = OPEN | OFlags::RDONLY | OFlags::NONBLOCK;
        let file = retry_on_intr(|| rustix::fs::openat(dir, name, flags, Mode::empty()))?;
        match kind_of(rustix::fs::fstat(&file)?.st_mode) {
            Kind::Regular => Ok(Box::new(File::from(file))),
            Kind::Other | Kind::Unknown => Err(Errno::INVAL),
        }
    }

    fn create(&self, dir: &OwnedFd, name: &str) -> Answer<OwnedFd> {
        let flags = OPEN | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = retry_on_intr(|| rustix::fs::openat(dir, name, flags, CREATED))?;
        rustix::fs::fchmod(&file, CREATED)?;
        Ok(file)
    }

    fn overwrite(&self, dir: &OwnedFd, name: &str) -> Answer<OwnedFd> {
        retry_on_intr(|| rustix::fs::openat(dir, name, OPEN | OFlags::WRONLY, Mode::empty()))
    }

    fn write(&self, file: &OwnedFd, mut bytes: &[u8]) -> Answer<()> {
        while !bytes.is_empty() {
            let count = retry_on_intr(|| rustix::io::write(file, bytes))?;
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    fn sync(&self, file: &OwnedFd) -> Answer<()> {
        retry_on_intr(|| rustix::fs::fsync(file))
    }

    fn sync_all(&self, files: &[OwnedFd]) -> Answer<()> {
        together::sync(files)
    }

    fn sync_dir(&self, dir: &OwnedFd) -> Answer<()> {
        retry_on_intr(|| rustix::fs::fsync(dir))
    }

    fn link(&self, from: &OwnedFd, name: &str, to: &OwnedFd, new: &str) -> Answer<()> {
        rustix::fs::linkat(from, name, to, new, AtFlags::empty())
    }

    fn rename(&self, from: &OwnedFd, name: &str, to: &OwnedFd, new: &str) -> Answer<()> {
        rustix::fs::renameat(from, name, to, new)
    }

    fn move_new(&self, from: &OwnedFd, name: &OsStr, to: &OwnedFd, new: &OsStr) -> Answer<()> {
        rustix::fs::renameat_with(from, name, to, new, RenameFlags::NOREPLACE)
    }

    fn unlink(&self, dir: &OwnedFd, name: &str) -> Answer<()> {
        rustix::fs::unlinkat(dir, name, AtFlags::empty())
    }

    fn try_lock(&self, dir: &OwnedFd, name: &str, owner: &str) -> Answer<Option<FileLock>> {
        loop {
            let file = open_lock(dir, name)?;
            match retry_on_intr(|| {
                rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            }) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(errno) => return Err(errno),
            }
            let mut lock = FileLock {
                file,
                had_owner: false,
            };
            let stat = rustix::fs::fstat(&lock.file)?;
            if stat.st_nlink == 0 {
                // Removed together with its domain while we waited.
                continue;
            }
            let mut before = [b' '; OWNER_BYTES];
            // What cannot be read may be an owner.
            lock.had_owner = rustix::io::pread(&lock.file, &mut before, 0).is_err()
                || !before.trim_ascii().is_empty();
            // A full disk must not keep anybody from deleting.
            write_owner(&lock, owner);
            return Ok(Some(lock));
        }
    }

    fn had_owner(&self, locked: &FileLock) -> bool {
        locked.had_owner
    }

    fn disown(&self, locked: &FileLock) {
        write_owner(locked, "");
    }

    fn descriptor<'a>(&self, locked: &'a FileLock) -> Option<BorrowedFd<'a>> {
        Some(locked.file.as_fd())
    }

    fn open_words(&self, dir: &OwnedFd, name: &str, count: usize) -> Answer<WordFile> {
        let file = open_lock(dir, name)?;
        let bytes = (count * size_of::<u64>()) as u64;
        if u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0) < bytes {
            // Two processes that do so at once do the same: nothing that is there is touched.
            rustix::fs::ftruncate(&file, bytes)?;
            // So that a full disk does not keep a word from being written later.
            let _ = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes);
        }
        let words = Words::map(&file, count)?;
        Ok(WordFile { file, words })
    }

    fn word(&self, words: &WordFile, index: usize) -> u64 {
        words.words.get(index)
    }

    fn renew_word(&self, words: &WordFile, index: usize) -> Answer<()> {
        let mut value = [0; size_of::<u64>()];
        rustix::rand::getrandom(&mut value, rustix::rand::GetRandomFlags::empty())?;
        let place = (index * value.len()) as u64;
        match retry_on_intr(|| rustix::io::pwrite(&words.file, &value, place))? {
            8 => Ok(()),
            _ => Err(Errno::IO),
        }
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Opens a lock file. Where nothing can be written any more, a lock for reading is as exclusive.
fn open_lock(dir: &OwnedFd, name: &str) -> Answer<OwnedFd> {
    let open = |flags| retry_on_intr(|| rustix::fs::openat(dir, name, OPEN | flags, CREATED));
    // Without O_CREAT first: on a full or read-only disk an existing file still opens.
    let file = match open(OFlags::RDWR | OFlags::NONBLOCK) {
        Err(Errno::NOENT) => {
            let file = open(OFlags::RDWR | OFlags::NONBLOCK | OFlags::CREATE)?;
            rustix::fs::fchmod(&file, CREATED)?;
            file
        }
        Err(Errno::ROFS | Errno::ACCESS) => open(OFlags::RDONLY | OFlags::NONBLOCK)?,
        answer => answer?,
    };
    Ok(file)
}

/// Bytes at the beginning of a lock file that hold its owner, padded with blanks.
const OWNER_BYTES: usize = 20;

fn write_owner(lock: &FileLock, owner: &str) {
    let _ = rustix::io::pwrite(&lock.file, format!("{owner:<OWNER_BYTES$}\n").as_bytes(), 0);
}

/// A file of words, mapped to be read and open to be written.
#[derive(Debug)]
pub struct WordFile {
    file: OwnedFd,
    words: Words,
}

/// A `flock` that ends with this value or its process.
#[derive(Debug)]
pub struct FileLock {
    file: OwnedFd,
    had_owner: bool,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing is not enough: a child forked meanwhile by another thread has the descriptor too.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn identity(stat: &Stat) -> Identity {
    let others = (Mode::WGRP | Mode::WOTH).as_raw_mode();
    let is_ours = stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw();
    Identity {
        device: stat.st_dev,
        inode: stat.st_ino,
        distrust: match (is_ours, stat.st_mode & others) {
            (true, 0) => None,
            (true, _) => Some("others may write to it"),
            (false, _) => Some("it belongs to another user"),
        },
    }
}

/// `None` of a file from after the year 2262, or before 1677.
fn mark(stat: &Stat) -> Option<Mark> {
    let time = |seconds, ns| i64::try_from(nanoseconds(seconds, ns)).ok();
    Some(Mark {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).ok()?,
        modified_ns: time(i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec))?,
        changed_ns: time(i128::from(stat.st_ctime), i128::from(stat.st_ctime_nsec))?,
    })
}

fn kind_of(mode: u32) -> Kind {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Kind::Regular,
        _ => Kind::Other,
    }
}

fn nanoseconds(seconds: i128, nanoseconds: i128) -> i128 {
    seconds * 1_000_000_000 + nanoseconds
}
