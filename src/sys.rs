//! The system calls that neither std nor a crate wraps safely: a file's words, seen without a
//! system call, a thread's signal mask, locks on single bytes of a file, where a file has blocks, and
//! its way to the disk begun.

#![allow(
    unsafe_code,
    reason = "a mapping is raw memory, kept valid as long as it is used; libc's signal sets are raw"
)]

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

/// The 64-bit words at the beginning of a file, as they are now, whoever writes to it.
///
/// The file must not be cut shorter while it is mapped: reading beyond its end is SIGBUS. It is a
/// file that only this library makes, in a directory of mode 0700, and only ever grows.
#[derive(Debug)]
pub(crate) struct Words {
    start: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is only read, as atomics.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// Maps the words of a file that has at least that many.
    pub(crate) fn map(file: impl AsFd, count: usize) -> Result<Words, Errno> {
        let bytes = count
            .checked_mul(size_of::<u64>())
            .filter(|bytes| *bytes > 0)
            .ok_or(Errno::INVAL)?;
        let size = rustix::fs::fstat(&file)?.st_size;
        if u64::try_from(size).unwrap_or(0) < bytes as u64 {
            return Err(Errno::INVAL);
        }
        // SAFETY: no address is asked for, so no other mapping is touched.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ,
                MapFlags::SHARED,
                file,
                0,
            )
        }?;
        NonNull::new(start.cast())
            .map(|start| Words { start, count })
            .ok_or(Errno::NOMEM)
    }

    /// One word; 0 beyond the last.
    pub(crate) fn get(&self, index: usize) -> u64 {
        if index >= self.count {
            return 0;
        }
        // SAFETY: within the mapping, by the comparison above.
        let word = unsafe { self.start.add(index) };
        // SAFETY: mapped until drop, page-aligned at the start and so 8-aligned here; others
        // change it only as memory that is shared, which an atomic allows.
        unsafe { word.as_ref() }.load(Ordering::Acquire)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with that length, and nothing of it outlives this value.
        let _ = unsafe {
            rustix::mm::munmap(self.start.as_ptr().cast(), self.count * size_of::<u64>())
        };
    }
}

/// Keeps every signal from this thread, and from the threads that it starts meanwhile: a handler of
/// the program's must run in a thread of the program's.
pub(crate) struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    /// From now on until dropped; `None` if that cannot be.
    pub(crate) fn begin() -> Option<SignalsBlocked> {
        let mut all = MaybeUninit::uninit();
        // SAFETY: writes the set that it is given and nothing else.
        let filled = unsafe { libc::sigfillset(all.as_mut_ptr()) };
        if filled != 0 {
            return None;
        }
        let mut before = MaybeUninit::uninit();
        // SAFETY: the first set was filled above; the second is written.
        let answer =
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: written by the call if it answers 0.
        (answer == 0).then(|| SignalsBlocked(unsafe { before.assume_init() }))
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set was the thread's own mask; NULL asks for nothing.
        let _ = unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}

/// Locks one byte of a file for as long as it is open, together with all others who do so; nobody can
/// have the byte alone then. Open file description locks (fcntl(2)): other descriptors of this
/// process are others, too.
pub(crate) fn share_byte(file: impl AsFd, byte: i64) -> Result<(), Errno> {
    byte_lock(&file, libc::F_OFD_SETLK, libc::F_RDLCK, byte).map(drop)
}

/// Whether any other has locked that byte.
pub(crate) fn is_byte_locked(file: impl AsFd, byte: i64) -> Result<bool, Errno> {
    let found = byte_lock(&file, libc::F_OFD_GETLK, libc::F_WRLCK, byte)?;
    Ok(i32::from(found) != libc::F_UNLCK)
}

/// What the call leaves as the lock's type.
fn byte_lock(
    file: impl AsFd,
    command: libc::c_int,
    kind: libc::c_int,
    byte: i64,
) -> Result<libc::c_short, Errno> {
    let small = |value: libc::c_int| libc::c_short::try_from(value).map_err(|_| Errno::INVAL);
    let mut lock = libc::flock {
        l_type: small(kind)?,
        l_whence: small(libc::SEEK_SET)?,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: both commands read and write the one structure that they are given.
    let answer = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, &raw mut lock) };
    if answer == -1 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    }
    Ok(lock.l_type)
}

/// Begins to write a file's bytes to the disk, and waits for nothing: that is fsync's. Success where
/// the kernel or the file has no such way.
pub(crate) fn begin_write_back(file: impl AsFd) -> Result<(), Errno> {
    let flags = libc::SYNC_FILE_RANGE_WRITE;
    // SAFETY: the call is given numbers alone; the descriptor is open as long as it is borrowed.
    let answer = unsafe { libc::sync_file_range(file.as_fd().as_raw_fd(), 0, 0, flags) };
    if answer == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    match Errno::from_io_error(&error).unwrap_or(Errno::INVAL) {
        // PERM: a filter of system calls that does not know it.
        Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::SPIPE => Ok(()),
        errno => Err(errno),
    }
}

/// A part of a file that has blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where it begins in the file.
    pub(crate) start: u64,
    /// Its bytes.
    pub(crate) length: u64,
    /// Whether other files have the same blocks.
    pub(crate) is_shared: bool,
}

/// How many extents one call asks for.
const EXTENTS: u32 = 64;
/// ioctl_fiemap and its structures: Linux's include/uapi/linux/fiemap.h and fs.h.
const FS_IOC_FIEMAP: libc::c_ulong = 0xc020_660b;
const FIEMAP_EXTENT_SHARED: u32 = 0x2000;

#[repr(C)]
struct FileMap {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
    extents: [MappedExtent; EXTENTS as usize],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct MappedExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// The first parts of a file, from an offset on, that have blocks; an error where the file system does
/// not tell.
pub(crate) fn extents(file: impl AsFd, from: u64) -> Result<Vec<Extent>, Errno> {
    const NONE: MappedExtent = MappedExtent {
        logical: 0,
        physical: 0,
        length: 0,
        reserved64: [0; 2],
        flags: 0,
        reserved: [0; 3],
    };
    let mut map = FileMap {
        start: from,
        length: u64::MAX - from,
        flags: 0,
        mapped: 0,
        count: EXTENTS,
        reserved: 0,
        extents: [NONE; EXTENTS as usize],
    };
    // SAFETY: the call writes to the structure that it is given, of extents as many as `count` says.
    let answer = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), FS_IOC_FIEMAP, &raw mut map) };
    if answer == -1 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    }
    let found = map.extents.iter().take(map.mapped as usize);
    Ok(found
        .map(|extent| Extent {
            start: extent.logical,
            length: extent.length,
            is_shared: extent.flags & FIEMAP_EXTENT_SHARED != 0,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_is_written_to_the_file_is_seen_at_once() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Words::map(&file, 4).unwrap_err(), Errno::INVAL);
        file.set_len(4096).unwrap();
        let words = Words::map(&file, 4).unwrap();
        assert_eq!(words.get(3), 0);
        file.write_all_at(&7u64.to_ne_bytes(), 24).unwrap();
        assert_eq!((words.get(2), words.get(3), words.get(4)), (0, 7, 0));
        assert!(Words::map(&file, 0).is_err() && Words::map(&file, usize::MAX).is_err());
    }

    #[test]
    fn a_file_is_sent_on_its_way_and_a_pipe_has_none() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 5000], 0).unwrap();
        assert_eq!(begin_write_back(&file), Ok(()));
        assert_eq!(begin_write_back(std::io::pipe().unwrap().1), Ok(()));
        // open(2): a descriptor of O_PATH refuses what reads or writes.
        let flags = rustix::fs::OFlags::PATH;
        let path = rustix::fs::open("/", flags, rustix::fs::Mode::empty()).unwrap();
        assert_eq!(begin_write_back(path), Err(Errno::BADF));
    }

    #[test]
    fn locks_of_others_are_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let other = file.reopen().unwrap();
        assert_eq!(is_byte_locked(&other, 101), Ok(false));
        rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        assert_eq!(is_byte_locked(&other, 101), Ok(true));
        rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::Unlock).unwrap();
        assert_eq!(is_byte_locked(&other, 101), Ok(false));
    }

    fn blocked(signal: libc::c_int) -> bool {
        let mut mask = MaybeUninit::uninit();
        // SAFETY: a NULL set changes nothing; the mask is written.
        let answer = unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), mask.as_mut_ptr())
        };
        assert_eq!(answer, 0);
        // SAFETY: written above.
        unsafe { libc::sigismember(mask.as_ptr(), signal) == 1 }
    }

    #[test]
    fn signals_are_kept_from_threads_that_are_started_meanwhile() {
        assert!(!blocked(libc::SIGTERM));
        let quiet = SignalsBlocked::begin().unwrap();
        assert!(
            std::thread::spawn(|| blocked(libc::SIGTERM))
                .join()
                .unwrap()
        );
        drop(quiet);
        assert!(!blocked(libc::SIGTERM));
    }
}
