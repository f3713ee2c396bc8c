//! Many files made durable at once: the disk takes several syncs in the time of one.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use parking_lot::Mutex;

use super::fs::{Answer, FileSystem, Machine};
use crate::limits;
use crate::memory;
use crate::sys::{SignalsBlocked, begin_write_back};

/// Fewer are not worth a thread.
const MANY: usize = 8;

/// What a thread needs that only calls fsync.
const STACK_BYTES: usize = 64 * 1024;

/// Syncs all files, by several threads that are gone when it returns. Where none can be had, the
/// caller's own does it.
pub(super) fn sync(files: &[OwnedFd]) -> Answer<()> {
    if files.len() > 1 {
        // All are on their way to the disk when the first is waited for. What the disk refuses meanwhile
        // is kept by the kernel for the file's fsync; what is refused at once is told here alone.
        files.iter().try_for_each(begin_write_back)?;
    }
    let next = AtomicUsize::new(0);
    let answer = Mutex::new(Ok(()));
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let synced = Machine.sync(file);
            if synced.is_err() {
                *answer.lock() = synced;
            }
        }
    };
    // Where memory is short already, a new thread may end the process: glibc does, if there is none
    // for the thread's destructors.
    if files.len() < MANY || memory::was_refused() {
        work();
        return answer.into_inner();
    }
    std::thread::scope(|scope| {
        let threads = start(scope, &work);
        work();
        // The scope waits until their work is done, not until they are gone.
        for thread in threads {
            let _ = thread.join();
        }
    });
    answer.into_inner()
}

/// As many threads as can be had.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: &'scope (impl Fn() + Sync),
) -> Vec<ScopedJoinHandle<'scope, ()>> {
    let Some(_quiet) = SignalsBlocked::begin() else {
        return Vec::new();
    };
    let new_thread = |_| {
        let thread = Builder::new().stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, work).ok()
    };
    (1..limits::SYNCS_AT_ONCE).map_while(new_thread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_fails_is_told_whichever_thread_made_it() {
        let file = || OwnedFd::from(tempfile::tempfile().unwrap());
        let mut files: Vec<OwnedFd> = (0..3 * MANY).map(|_| file()).collect();
        assert_eq!(sync(&files), Ok(()));
        assert_eq!(sync(&[]), Ok(()));
        // fsync(2): a pipe cannot be synced.
        for place in [0, MANY, 3 * MANY - 1] {
            let (end, _other) = std::io::pipe().unwrap();
            let sound = std::mem::replace(&mut files[place], end.into());
            assert_eq!(sync(&files), Err(rustix::io::Errno::INVAL), "{place}");
            files[place] = sound;
        }
    }
}
