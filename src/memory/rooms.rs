//! Memory that is had before it is needed: for work that cannot give up half-way, and that may need more than
//! the reserve has.
//!
//! A thread that `malloc` refuses is served from the rooms that it has open. Nothing there is used twice, so a
//! room lasts for its work if it has the sum of all that the work asks for. What was served may outlive the
//! room: the memory goes back with the last part of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::spin::Spin;

/// All rooms of the process.
pub(super) struct Rooms {
    busy: Spin,
    /// Parts that are in use: nearly always none, so that giving memory back costs one look.
    served: AtomicUsize,
    first: UnsafeCell<*mut Header>,
}

/// Begins each room's memory.
struct Header {
    next: *mut Header,
    /// Bytes with this header, and how many of them are handed out or lost to alignment.
    bytes: usize,
    used: usize,
    parts: usize,
    /// The thread that has it open.
    opener: Option<libc::pthread_t>,
}

// SAFETY: the list and its headers are only touched under `busy`.
unsafe impl Sync for Rooms {}

impl Rooms {
    pub(super) const fn new() -> Rooms {
        Rooms {
            busy: Spin::new(),
            served: AtomicUsize::new(0),
            first: UnsafeCell::new(std::ptr::null_mut()),
        }
    }

    /// Opens a room of that many bytes for this thread; `None` if there is no memory for it.
    pub(super) fn open(&'static self, bytes: usize) -> Option<Room> {
        let bytes = bytes.checked_add(size_of::<Header>())?;
        let layout = Layout::from_size_align(bytes, align_of::<Header>()).ok()?;
        // SAFETY: not of size zero.
        let header = unsafe { System.alloc(layout) }.cast::<Header>();
        if header.is_null() {
            return None;
        }
        let _lock = self.busy.lock();
        let new = Header {
            // SAFETY: under the lock.
            next: unsafe { self.first.get().read() },
            bytes,
            used: size_of::<Header>(),
            parts: 0,
            opener: Some(this_thread()),
        };
        // SAFETY: just allocated for it.
        unsafe { header.write(new) };
        // SAFETY: under the lock.
        unsafe { self.first.get().write(header) };
        Some(Room {
            rooms: self,
            header,
        })
    }

    /// Memory for that layout from a room that this thread has open; NULL if there is none.
    pub(super) fn take(&self, layout: Layout) -> *mut u8 {
        let this_thread = this_thread();
        let _lock = self.busy.lock();
        // SAFETY: under the lock.
        let mut room = unsafe { self.first.get().read() };
        while !room.is_null() {
            // SAFETY: in the list, so it is there, and under the lock nobody else's.
            let header = unsafe { &mut *room };
            if header.opener == Some(this_thread) {
                let begin = room.addr() + header.used;
                let begin = begin.next_multiple_of(layout.align()) - room.addr();
                if let Some(end) = begin.checked_add(layout.size())
                    && end <= header.bytes
                {
                    header.used = end;
                    header.parts += 1;
                    self.served.fetch_add(1, Ordering::Relaxed);
                    return room.cast::<u8>().wrapping_add(begin);
                }
            }
            room = header.next;
        }
        std::ptr::null_mut()
    }

    /// Whether that memory is of a room.
    pub(super) fn hold(&self, memory: *const u8) -> bool {
        // Whoever has a part knows of it by what gave the part to this thread.
        if self.served.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let _lock = self.busy.lock();
        // SAFETY: under the lock.
        !unsafe { self.link_to(|room, bytes| memory.addr().wrapping_sub(room) < bytes) }.is_null()
    }

    /// Takes memory back that [`Rooms::take`] gave; false if it is not of a room.
    pub(super) fn give_back(&self, memory: *mut u8) -> bool {
        if self.served.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let _lock = self.busy.lock();
        // SAFETY: under the lock.
        let link = unsafe { self.link_to(|room, bytes| memory.addr().wrapping_sub(room) < bytes) };
        if link.is_null() {
            return false;
        }
        self.served.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: a link of the list, under the lock.
        unsafe { leave(link, |header| header.parts -= 1) };
        true
    }

    /// What points to the first room whose address and size are the ones wanted; NULL if none is.
    ///
    /// # Safety
    ///
    /// Under the lock, also as long as the answer is used.
    unsafe fn link_to(&self, is_wanted: impl Fn(usize, usize) -> bool) -> *mut *mut Header {
        let mut link = self.first.get();
        loop {
            // SAFETY: the first link, or one in a room of the list.
            let room = unsafe { link.read() };
            if room.is_null() {
                return std::ptr::null_mut();
            }
            // SAFETY: in the list, so it is there.
            let header = unsafe { &mut *room };
            if is_wanted(room.addr(), header.bytes) {
                return link;
            }
            link = &raw mut header.next;
        }
    }
}

/// Changes a room, and gives its memory back if nobody has it open or anything of it.
///
/// # Safety
///
/// A link of the list to a room; the list is locked.
unsafe fn leave(link: *mut *mut Header, change: impl FnOnce(&mut Header)) {
    // SAFETY: by this contract.
    let room = unsafe { link.read() };
    // SAFETY: in the list, so it is there, and nobody else's while that is locked.
    let header = unsafe { &mut *room };
    change(header);
    if header.opener.is_some() || header.parts > 0 {
        return;
    }
    let bytes = header.bytes;
    // SAFETY: by this contract.
    unsafe { link.write(header.next) };
    if let Ok(layout) = Layout::from_size_align(bytes, align_of::<Header>()) {
        // SAFETY: allocated in `open` with this layout; the list does not have it any more.
        unsafe { System.dealloc(room.cast(), layout) };
    }
}

/// A room that this thread has open, until dropped.
pub(crate) struct Room {
    rooms: &'static Rooms,
    header: *mut Header,
}

impl Drop for Room {
    fn drop(&mut self) {
        let _lock = self.rooms.busy.lock();
        // SAFETY: under the lock.
        let link = unsafe { self.rooms.link_to(|room, _| room == self.header.addr()) };
        if !link.is_null() {
            // SAFETY: a link of the list, under the lock.
            unsafe { leave(link, |header| header.opener = None) };
        }
    }
}

fn this_thread() -> libc::pthread_t {
    // SAFETY: has no contract.
    unsafe { libc::pthread_self() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn a_room_serves_what_it_has_and_no_more() {
        static ROOMS: Rooms = Rooms::new();
        assert!(ROOMS.take(layout(1, 1)).is_null());
        let room = ROOMS.open(1000).unwrap();
        let first = ROOMS.take(layout(100, 1));
        let second = ROOMS.take(layout(600, 64));
        assert!(ROOMS.hold(first) && ROOMS.hold(second.wrapping_add(599)));
        assert!(second.addr() - first.addr() >= 100 && second.addr().is_multiple_of(64));
        assert!(ROOMS.take(layout(400, 1)).is_null());
        assert!(!ROOMS.hold(std::ptr::null()) && !ROOMS.give_back(std::ptr::null_mut()));
        assert!(ROOMS.give_back(first) && ROOMS.give_back(second));
        drop(room);
        assert!(ROOMS.take(layout(1, 1)).is_null());
    }

    #[test]
    fn what_outlives_its_room_stays() {
        static ROOMS: Rooms = Rooms::new();
        let room = ROOMS.open(100).unwrap();
        let kept = ROOMS.take(layout(100, 1));
        drop(room);
        let other = ROOMS.open(100).unwrap();
        // SAFETY: handed out above.
        unsafe { kept.write_bytes(7, 100) };
        assert!(ROOMS.hold(kept) && ROOMS.give_back(kept));
        assert!(!ROOMS.hold(kept));
        drop(other);
        // SAFETY: nobody else has the list.
        assert!(unsafe { ROOMS.first.get().read() }.is_null());
    }

    #[test]
    fn a_room_is_its_threads_own() {
        static ROOMS: Rooms = Rooms::new();
        let room = ROOMS.open(100).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(ROOMS.take(layout(1, 1)).is_null()));
        });
        let part = ROOMS.take(layout(1, 1)).expose_provenance();
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(ROOMS.give_back(std::ptr::with_exposed_provenance_mut(part))));
        });
        drop(room);
    }

    #[test]
    fn what_no_machine_has_is_no_room() {
        static ROOMS: Rooms = Rooms::new();
        assert!(ROOMS.open(usize::MAX).is_none() && ROOMS.open(isize::MAX as usize / 2).is_none());
    }
}
