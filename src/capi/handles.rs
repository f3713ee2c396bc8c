//! The table behind the pointers that C holds.
//!
//! A handle is the address of a slot in this table. It is *looked up*, never followed: an address
//! that is freed, foreign or made up is in no live slot and so an error. The slots stand in
//! chunks, each four times as large as the one before, which are never given back; a look-up is a
//! few comparisons and a division, and one atomic operation on the slot's owners (owners.rs), which
//! holds the object for the call.
//!
//! C can read a slot but finds only its first word worth reading: it is zero, so that the real
//! libvirt refuses the handle politely (its type check follows the first word unless that is NULL).

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::owners::Owners;

/// Bytes of the first chunk: a page, so that a table with a few objects takes no more.
const FIRST_CHUNK: usize = 4096;

/// Chunks at most: the last has 4 TiB, so the table is full only when memory is.
const CHUNKS: usize = 16;

/// How many other handles are freed before the address of a freed one is given out again.
/// A program that uses a handle too late thus gets an error for a good while, and no other object.
const QUARANTINE: usize = 4096;

/// What C holds for an object: never NULL, unique among live objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address(usize);

impl Address {
    /// What C gave us. It may be anything.
    pub(super) fn of<T>(pointer: *const T) -> Address {
        Address(pointer.addr())
    }

    /// What C gets.
    pub(super) fn pointer<T>(self) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.0)
    }
}

/// Objects of one kind by address.
pub(super) struct Table<T> {
    chunks: Chunks<T>,
    spare: Mutex<Spare>,
}

type Chunks<T> = [OnceLock<Box<[Slot<T>]>>; CHUNKS];

/// All zero, it is empty: a chunk takes memory only where it is used.
#[repr(C)]
struct Slot<T> {
    /// Always zero, and first.
    null: u64,
    /// There is an object exactly as long as there are any.
    owners: Owners,
    object: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: all threads share the object only as `&T`, and the last owner drops it, whoever that is.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

/// Slots without an object.
struct Spare {
    /// Those that had one, oldest first.
    freed: VecDeque<Address>,
    /// How many slots were ever used.
    used: usize,
}

/// An object that stays as long as this does.
pub(super) struct Hold<'t, T> {
    table: &'t Table<T>,
    slot: &'t Slot<T>,
}

impl<T> Table<T> {
    /// An empty table.
    pub(super) const fn new() -> Table<T> {
        Table {
            chunks: [const { OnceLock::new() }; CHUNKS],
            spare: Mutex::new(Spare {
                freed: VecDeque::new(),
                used: 0,
            }),
        }
    }

    /// Adds an object with one reference of C's. `None` if memory cannot be had.
    pub(super) fn insert(&self, object: T) -> Option<Address> {
        let slot = self.spare.lock().take(&self.chunks)?;
        Some(slot.fill(object))
    }

    /// As [`Table::insert`] for each of many: their addresses, in order. All of them or, if memory
    /// cannot be had, none.
    pub(super) fn insert_all(
        &self,
        objects: impl ExactSizeIterator<Item = T>,
    ) -> Option<Vec<Address>> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(objects.len()).ok()?;
        let mut spare = self.spare.lock();
        for _ in 0..objects.len() {
            match spare.take(&self.chunks) {
                Some(slot) => slots.push(slot),
                None => {
                    let unused = slots.iter().map(|slot| slot.address());
                    spare.freed.extend(unused);
                    return None;
                }
            }
        }
        drop(spare);
        let filled = slots.into_iter().zip(objects);
        Some(filled.map(|(slot, object)| slot.fill(object)).collect())
    }

    /// Whether the address is one that this table gives out, has given out or will.
    pub(super) fn covers(&self, address: Address) -> bool {
        self.slot(address).is_some()
    }

    /// The object at an address.
    #[inline(always)]
    pub(super) fn get(&self, address: Address) -> Option<Hold<'_, T>> {
        let slot = self.slot(address)?;
        slot.owners.hold()?;
        Some(Hold { table: self, slot })
    }

    /// Takes a reference of C's away and answers how many owners are left. With the last one the
    /// object goes. `None` if C has none.
    pub(super) fn release(&self, address: Address) -> Option<usize> {
        let slot = self.slot(address)?;
        let left = slot.owners.release()?;
        if left == 0 {
            self.empty(slot);
        }
        Some(left)
    }

    fn empty(&self, slot: &Slot<T>) {
        // SAFETY: the last owner has gone, which only one thread sees, and the slot is not spare yet.
        let object = unsafe { slot.take() };
        // With no lock held: the object may release others in turn.
        drop(object);
        self.spare.lock().freed.push_back(slot.address());
    }

    #[inline(always)]
    fn slot(&self, address: Address) -> Option<&Slot<T>> {
        slot_at(&self.chunks, address)
    }
}

impl<'t, T> Hold<'t, T> {
    /// Where it is in the table.
    pub(super) fn address(&self) -> Address {
        self.slot.address()
    }

    /// Holds it once more; `None` if that is too often.
    pub(super) fn again(&self) -> Option<Hold<'t, T>> {
        self.slot.owners.hold()?;
        Some(Hold { ..*self })
    }

    /// Holds it that many times more, all at once; `None` if that is too often or memory cannot be had.
    pub(super) fn many(&self, count: usize) -> Option<Vec<Hold<'t, T>>> {
        let mut many = Vec::new();
        many.try_reserve_exact(count).ok()?;
        self.slot.owners.hold_times(count)?;
        many.resize_with(count, || Hold { ..*self });
        Some(many)
    }

    /// Adds a reference of C's; `None` if that is too often.
    pub(super) fn reference(&self) -> Option<()> {
        self.slot.owners.reference()
    }

    /// Takes a reference of C's away and answers how many owners are left but for this one. `None`
    /// if C has none.
    pub(super) fn release(&self) -> Option<usize> {
        Some(self.slot.owners.release()?.saturating_sub(1))
    }
}

impl<T> Deref for Hold<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the slot's owners count this hold, so there is an object, and nobody takes it.
        unsafe { self.slot.object() }
    }
}

impl<T> Drop for Hold<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.slot.owners.let_go() {
            self.table.empty(self.slot);
        }
    }
}

#[inline(always)]
fn slot_at<T>(chunks: &Chunks<T>, address: Address) -> Option<&Slot<T>> {
    chunks.iter().map_while(OnceLock::get).find_map(|chunk| {
        let offset = address.0.checked_sub(chunk.as_ptr().addr())?;
        let place = chunk.get(offset / size_of::<Slot<T>>())?;
        offset.is_multiple_of(size_of::<Slot<T>>()).then_some(place)
    })
}

impl Spare {
    /// An empty slot, not given to anybody else.
    fn take<'t, T>(&mut self, chunks: &'t Chunks<T>) -> Option<&'t Slot<T>> {
        if self.freed.len() > QUARANTINE {
            return slot_at(chunks, self.freed.pop_front()?);
        }
        let (chunk, place) = position(self.used, first_slots::<T>())?;
        let cell = chunks.get(chunk)?;
        if cell.get().is_none() {
            let slots =
                empty_slots(first_slots::<T>().checked_shl(2 * u32::try_from(chunk).ok()?)?)?;
            // The lock on `spare` makes this the only place that sets it.
            let _ = cell.set(slots);
        }
        let slot = cell.get()?.get(place)?;
        self.used += 1;
        Some(slot)
    }
}

impl<T> Slot<T> {
    fn address(&self) -> Address {
        Address(std::ptr::from_ref(self).expose_provenance())
    }

    /// Puts an object into a spare slot, with one reference of C's.
    fn fill(&self, object: T) -> Address {
        // SAFETY: without an owner nobody reads it, and a spare slot is given to one thread only.
        let place = unsafe { &mut *self.object.get() };
        place.write(object);
        self.owners.begin();
        self.address()
    }

    /// The object.
    ///
    /// # Safety
    ///
    /// There is an owner as long as the answer is used.
    unsafe fn object(&self) -> &T {
        // SAFETY: as long as there is an owner, nobody has it for writing.
        let place = unsafe { &*self.object.get() };
        // SAFETY: written before the first owner was counted.
        unsafe { place.assume_init_ref() }
    }

    /// Takes the object out.
    ///
    /// # Safety
    ///
    /// This thread has taken the last owner away.
    unsafe fn take(&self) -> T {
        // SAFETY: nobody else has it any more, nor gets it before the slot is spare.
        let place = unsafe { &*self.object.get() };
        // SAFETY: written before the first owner was counted, and not read again.
        unsafe { place.assume_init_read() }
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if self.owners.has_any() {
            // SAFETY: nobody shares a slot that is dropped, and its owners say that there is an object.
            unsafe { self.object.get_mut().assume_init_drop() };
        }
    }
}

/// Slots of the first chunk.
const fn first_slots<T>() -> usize {
    const { assert!(size_of::<Slot<T>>() <= FIRST_CHUNK) };
    FIRST_CHUNK / size_of::<Slot<T>>()
}

/// Chunk and place of the slot with that number, counted through all chunks, the first of which has `first`.
fn position(number: usize, first: usize) -> Option<(usize, usize)> {
    // Before the chunk c there are first * (4^c - 1) / 3.
    let chunk = (number / first).checked_mul(3)?.checked_add(1)?.ilog2() / 2;
    let before = first.checked_mul((1usize << (2 * chunk)) - 1)? / 3;
    Some((usize::try_from(chunk).ok()?, number - before))
}

fn empty_slots<T>(count: usize) -> Option<Box<[Slot<T>]>> {
    const { assert!(size_of::<Slot<T>>() > 0) };
    let layout = Layout::array::<Slot<T>>(count).ok().filter(|_| count > 0)?;
    // SAFETY: of a size that is not zero.
    let memory = unsafe { std::alloc::alloc_zeroed(layout) }.cast::<Slot<T>>();
    if memory.is_null() {
        return None;
    }
    let slots = std::ptr::slice_from_raw_parts_mut(memory, count);
    // SAFETY: from the global allocator with the layout of that slice, and a slot may be all zero.
    Some(unsafe { Box::from_raw(slots) })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// What stands there.
    fn seen<T: Copy>(table: &Table<T>, address: Address) -> Option<T> {
        table.get(address).map(|held| *held)
    }

    #[test]
    fn positions_fill_one_chunk_after_the_other() {
        for first in [1, 30, 64] {
            assert_eq!(position(0, first), Some((0, 0)));
            assert_eq!(position(first - 1, first), Some((0, first - 1)));
            assert_eq!(position(first, first), Some((1, 0)));
            assert_eq!(position(5 * first - 1, first), Some((1, 4 * first - 1)));
            assert_eq!(position(5 * first, first), Some((2, 0)));
            assert_eq!(position(21 * first, first), Some((3, 0)));
        }
    }

    #[test]
    fn an_object_is_found_by_its_address_alone() {
        let table = Table::new();
        let one = table.insert(1).unwrap();
        let two = table.insert(2).unwrap();
        assert_eq!(seen(&table, one), Some(1));
        assert_eq!(seen(&table, two), Some(2));
    }

    #[test]
    fn foreign_addresses_are_in_no_slot() {
        let table = Table::new();
        let here = table.insert(1).unwrap();
        let stack = 0u64;
        for address in [
            Address(0),
            Address(1),
            Address(usize::MAX),
            Address(here.0 + 1),
            Address(here.0 + 8),
            Address(here.0 - 1),
            Address(here.0 - size_of::<Slot<i32>>()),
            Address(here.0 + size_of::<Slot<i32>>()),
            Address::of(&raw const stack),
        ] {
            assert_eq!(seen(&table, address), None, "{address:?}");
            assert_eq!(table.release(address), None, "{address:?}");
        }
    }

    #[test]
    fn the_first_word_is_null() {
        let table = Table::new();
        let address = table.insert(Arc::new(7)).unwrap();
        let word: *const u64 = address.pointer();
        // SAFETY: the address is that of a slot, which begins with a u64 and lives as long as `table`.
        assert_eq!(unsafe { word.read() }, 0);
        assert_eq!(table.slot(address).unwrap().null, 0);
    }

    #[test]
    fn the_last_reference_takes_the_object_along() {
        let table = Table::new();
        let object = Arc::new(());
        let address = table.insert(Arc::clone(&object)).unwrap();
        table.get(address).unwrap().reference().unwrap();
        assert_eq!(table.release(address), Some(1));
        assert_eq!(Arc::strong_count(&object), 2);
        assert_eq!(table.release(address), Some(0));
        assert_eq!(Arc::strong_count(&object), 1);
        assert!(table.get(address).is_none());
        assert_eq!(table.release(address), None);
    }

    #[test]
    fn the_caller_cannot_release_what_another_handle_needs() {
        let table = Table::new();
        let address = table.insert(1).unwrap();
        let held = table.get(address).unwrap().again().unwrap();
        assert_eq!(table.release(address), Some(1));
        assert_eq!(table.release(address), None);
        assert_eq!((seen(&table, address), *held), (Some(1), 1));
        held.reference().unwrap();
        assert_eq!(held.release(), Some(0));
        assert_eq!(held.release(), None);
        drop(held);
        assert_eq!(seen(&table, address), None);
    }

    #[test]
    fn an_object_stays_as_long_as_a_call_has_it() {
        let table = Table::new();
        let object = Arc::new(());
        let address = table.insert(Arc::clone(&object)).unwrap();
        let held = table.get(address).unwrap();
        assert_eq!(table.release(address), Some(1));
        assert_eq!(Arc::strong_count(&held), 2);
        drop(held);
        assert_eq!(Arc::strong_count(&object), 1);
    }

    #[test]
    fn many_holds_at_once_are_as_many_one_by_one() {
        let table = Table::new();
        let address = table.insert(1).unwrap();
        let held = table.get(address).unwrap();
        let many = held.many(3).unwrap();
        assert_eq!(held.release(), Some(3));
        drop(held);
        assert!(many.iter().all(|held| **held == 1));
        drop(many);
        assert_eq!(seen(&table, address), None);
    }

    #[test]
    fn a_table_that_goes_takes_its_objects_along() {
        let object = Arc::new(());
        let table = Table::new();
        table.insert(Arc::clone(&object)).unwrap();
        drop(table);
        assert_eq!(Arc::strong_count(&object), 1);
    }

    #[test]
    fn a_freed_address_rests_and_then_returns() {
        let table = Table::new();
        let first = table.insert(0).unwrap();
        table.release(first).unwrap();
        for _ in 0..QUARANTINE {
            let next = table.insert(0).unwrap();
            assert_ne!(next, first);
            table.release(next).unwrap();
        }
        assert_eq!(table.insert(0), Some(first));
        assert!(table.spare.lock().used <= QUARANTINE + 1);
    }

    #[test]
    fn ten_thousand_objects_have_ten_thousand_addresses() {
        let table = Table::new();
        let addresses: Vec<_> = (0..10_000).map(|n| table.insert(n).unwrap()).collect();
        assert_eq!(
            addresses.iter().map(|a| a.0).collect::<HashSet<_>>().len(),
            10_000
        );
        for (n, address) in addresses.iter().enumerate() {
            assert_eq!(seen(&table, *address), Some(n));
        }
    }

    #[test]
    fn many_at_once_are_as_many_one_by_one() {
        let table = Table::new();
        let first = table.insert(0).unwrap();
        table.release(first).unwrap();
        let addresses = table.insert_all(0..2 * QUARANTINE).unwrap();
        assert!(!addresses.contains(&first));
        for (n, address) in addresses.iter().enumerate() {
            assert_eq!(seen(&table, *address), Some(n));
            assert_eq!(table.release(*address), Some(0));
        }
        let again = table.insert_all([1, 2].into_iter()).unwrap();
        assert_eq!(again.first(), Some(&first));
        assert!(table.insert_all([].into_iter()).unwrap().is_empty());
    }

    #[test]
    fn threads_share_an_object_until_the_last_lets_go() {
        struct Counted<'a>(&'a AtomicUsize);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let drops = AtomicUsize::new(0);
        let table = Table::new();
        let shared = table.insert(Arc::new(Counted(&drops))).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        table.get(shared).unwrap().reference().unwrap();
                        let own = table.insert(Arc::new(Counted(&drops))).unwrap();
                        assert!(table.get(own).is_some());
                        assert!(table.get(shared).is_some());
                        assert_eq!(table.release(own), Some(0));
                        assert!(table.release(shared).unwrap() >= 1);
                    }
                });
            }
        });
        assert_eq!(drops.load(Ordering::SeqCst), 4 * 2_000);
        assert_eq!(table.release(shared), Some(0));
        assert_eq!(drops.load(Ordering::SeqCst), 4 * 2_000 + 1);
    }

    #[test]
    fn racing_frees_release_once() {
        let table = Table::new();
        for _ in 0..500 {
            let address = table.insert(()).unwrap();
            let released = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        if table.release(address).is_some() {
                            released.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            });
            assert_eq!(released.load(Ordering::SeqCst), 1);
        }
    }
}
