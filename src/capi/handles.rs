//! The table behind the pointers that C holds.
//!
//! A handle is the address of a slot in this table. It is *looked up*, never followed: an address
//! that is freed, foreign or made up is in no live slot and so an error. The slots stand in
//! chunks, each twice as large as the one before, which are never given back; a look-up is a
//! few comparisons and a division, without a lock over the table.
//!
//! C can read a slot but finds only its first word worth reading: it is zero, so that the real
//! libvirt refuses the handle politely (its type check follows the first word unless that is NULL).

use std::collections::VecDeque;
use std::sync::OnceLock;

use parking_lot::{Mutex, RwLock};

/// Slots of the first chunk.
const FIRST_CHUNK: usize = 64;

/// Chunks at most: their slots exceed any memory, so the table is full only when memory is.
const CHUNKS: usize = 32;

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

/// Whose reference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// C's, from the call that gave the handle out or from `Ref`.
    Caller,
    /// Another handle's, which needs this one: a domain its connection, a snapshot its domain.
    /// C cannot free it, so freeing a domain once too often does not break its snapshots.
    Handle,
}

/// Objects by address.
pub(super) struct Table<T> {
    chunks: Chunks<T>,
    spare: Mutex<Spare>,
}

type Chunks<T> = [OnceLock<Box<[Slot<T>]>>; CHUNKS];

#[repr(C)]
struct Slot<T> {
    /// Always zero, and first.
    null: u64,
    entry: RwLock<Option<Entry<T>>>,
}

struct Entry<T> {
    object: T,
    caller: usize,
    handle: usize,
}

/// Slots without an object.
struct Spare {
    /// Those that had one, oldest first.
    freed: VecDeque<Address>,
    /// How many slots were ever used.
    used: usize,
}

impl<T: Clone> Table<T> {
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

    /// Adds an object with one reference of the caller's. `None` if memory cannot be had.
    pub(super) fn insert(&self, object: T) -> Option<Address> {
        let slot = self.spare.lock().take(&self.chunks)?;
        Some(slot.fill(object))
    }

    /// As [`Table::insert`] for each of many: their addresses, in order. All of them or, if memory
    /// cannot be had, none.
    pub(super) fn insert_all(&self, objects: Vec<T>) -> Option<Vec<Address>> {
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
    pub(super) fn get(&self, address: Address) -> Option<T> {
        self.slot(address)?
            .entry
            .read()
            .as_ref()
            .map(|entry| entry.object.clone())
    }

    /// Adds a reference, if `is_meant` says that the object is the one that is meant.
    pub(super) fn reference(
        &self,
        address: Address,
        owner: Owner,
        is_meant: impl Fn(&T) -> bool,
    ) -> Option<()> {
        let mut guard = self.slot(address)?.entry.write();
        let entry = guard.as_mut().filter(|entry| is_meant(&entry.object))?;
        let count = entry.count_mut(owner);
        *count = count.checked_add(1)?;
        Some(())
    }

    /// Takes a reference away and answers how many are left, of both owners together. With the
    /// last one the object goes. `None` if the owner has none.
    pub(super) fn release(
        &self,
        address: Address,
        owner: Owner,
        is_meant: impl Fn(&T) -> bool,
    ) -> Option<usize> {
        let slot = self.slot(address)?;
        let mut guard = slot.entry.write();
        let entry = guard.as_mut().filter(|entry| is_meant(&entry.object))?;
        let count = entry.count_mut(owner);
        *count = count.checked_sub(1)?;
        let left = entry.caller + entry.handle;
        if left == 0 {
            let last = guard.take();
            drop(guard);
            // Not before the slot is unlocked: the object may release others in turn.
            drop(last);
            self.spare.lock().freed.push_back(address);
        }
        Some(left)
    }

    fn slot(&self, address: Address) -> Option<&Slot<T>> {
        slot_at(&self.chunks, address)
    }
}

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
        let (chunk, place) = position(self.used)?;
        let cell = chunks.get(chunk)?;
        if cell.get().is_none() {
            let slots = empty_slots(FIRST_CHUNK.checked_shl(u32::try_from(chunk).ok()?)?)?;
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

    /// Puts an object in, with one reference of the caller's.
    fn fill(&self, object: T) -> Address {
        *self.entry.write() = Some(Entry {
            object,
            caller: 1,
            handle: 0,
        });
        self.address()
    }
}

impl<T> Entry<T> {
    fn count_mut(&mut self, owner: Owner) -> &mut usize {
        match owner {
            Owner::Caller => &mut self.caller,
            Owner::Handle => &mut self.handle,
        }
    }
}

/// Chunk and place of the slot with that number, counted through all chunks.
fn position(number: usize) -> Option<(usize, usize)> {
    let chunk = (number / FIRST_CHUNK).checked_add(1)?.ilog2();
    let before = FIRST_CHUNK.checked_mul((1usize << chunk) - 1)?;
    Some((usize::try_from(chunk).ok()?, number - before))
}

fn empty_slots<T>(count: usize) -> Option<Box<[Slot<T>]>> {
    let mut slots = Vec::new();
    slots.try_reserve_exact(count).ok()?;
    slots.resize_with(count, || Slot {
        null: 0,
        entry: RwLock::new(None),
    });
    Some(slots.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn any<T>(_: &T) -> bool {
        true
    }

    #[test]
    fn positions_fill_one_chunk_after_the_other() {
        assert_eq!(position(0), Some((0, 0)));
        assert_eq!(position(63), Some((0, 63)));
        assert_eq!(position(64), Some((1, 0)));
        assert_eq!(position(64 + 127), Some((1, 127)));
        assert_eq!(position(64 + 128), Some((2, 0)));
    }

    #[test]
    fn an_object_is_found_by_its_address_alone() {
        let table = Table::new();
        let one = table.insert(1).unwrap();
        let two = table.insert(2).unwrap();
        assert_eq!(table.get(one), Some(1));
        assert_eq!(table.get(two), Some(2));
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
            assert_eq!(table.get(address), None, "{address:?}");
            assert_eq!(
                table.reference(address, Owner::Caller, any),
                None,
                "{address:?}"
            );
            assert_eq!(
                table.release(address, Owner::Caller, any),
                None,
                "{address:?}"
            );
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
        table.reference(address, Owner::Caller, any).unwrap();
        assert_eq!(table.release(address, Owner::Caller, any), Some(1));
        assert_eq!(Arc::strong_count(&object), 2);
        assert_eq!(table.release(address, Owner::Caller, any), Some(0));
        assert_eq!(Arc::strong_count(&object), 1);
        assert_eq!(table.get(address), None);
        assert_eq!(table.release(address, Owner::Caller, any), None);
    }

    #[test]
    fn the_caller_cannot_release_what_another_handle_needs() {
        let table = Table::new();
        let address = table.insert(1).unwrap();
        table.reference(address, Owner::Handle, any).unwrap();
        assert_eq!(table.release(address, Owner::Caller, any), Some(1));
        assert_eq!(table.release(address, Owner::Caller, any), None);
        assert_eq!(table.get(address), Some(1));
        table.reference(address, Owner::Caller, any).unwrap();
        assert_eq!(table.release(address, Owner::Caller, any), Some(1));
        assert_eq!(table.release(address, Owner::Handle, any), Some(0));
        assert_eq!(table.get(address), None);
    }

    #[test]
    fn only_the_object_that_is_meant_counts() {
        let table = Table::new();
        let address = table.insert(1).unwrap();
        assert_eq!(
            table.reference(address, Owner::Caller, |object| *object == 2),
            None
        );
        assert_eq!(
            table.release(address, Owner::Caller, |object| *object == 2),
            None
        );
        assert_eq!(
            table.release(address, Owner::Caller, |object| *object == 1),
            Some(0)
        );
    }

    #[test]
    fn a_freed_address_rests_and_then_returns() {
        let table = Table::new();
        let first = table.insert(0).unwrap();
        table.release(first, Owner::Caller, any).unwrap();
        for _ in 0..QUARANTINE {
            let next = table.insert(0).unwrap();
            assert_ne!(next, first);
            table.release(next, Owner::Caller, any).unwrap();
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
            assert_eq!(table.get(*address), Some(n));
        }
    }

    #[test]
    fn many_at_once_are_as_many_one_by_one() {
        let table = Table::new();
        let first = table.insert(0).unwrap();
        table.release(first, Owner::Caller, any).unwrap();
        let addresses = table.insert_all((0..2 * QUARANTINE).collect()).unwrap();
        assert!(!addresses.contains(&first));
        for (n, address) in addresses.iter().enumerate() {
            assert_eq!(table.get(*address), Some(n));
            assert_eq!(table.release(*address, Owner::Caller, any), Some(0));
        }
        let again = table.insert_all(vec![1, 2]).unwrap();
        assert_eq!(again.first(), Some(&first));
        assert!(table.insert_all(vec![]).unwrap().is_empty());
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
                        table.reference(shared, Owner::Caller, any).unwrap();
                        let own = table.insert(Arc::new(Counted(&drops))).unwrap();
                        assert!(table.get(own).is_some());
                        assert!(table.get(shared).is_some());
                        assert_eq!(table.release(own, Owner::Caller, any), Some(0));
                        assert!(table.release(shared, Owner::Caller, any).unwrap() >= 1);
                    }
                });
            }
        });
        assert_eq!(drops.load(Ordering::SeqCst), 4 * 2_000);
        assert_eq!(table.release(shared, Owner::Caller, any), Some(0));
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
                        if table.release(address, Owner::Caller, any).is_some() {
                            released.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            });
            assert_eq!(released.load(Ordering::SeqCst), 1);
        }
    }
}
