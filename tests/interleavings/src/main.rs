//! Goes through every order in which threads can come to the owners of a handle (src/capi/owners.rs, read
//! as it is), with every value that the memory model lets them see. `make loom`.

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;

/// loom's, in place of the machine's.
mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
}
#[path = "../../../src/capi/owners.rs"]
mod owners;

use owners::Owners;

/// A slot as in src/capi/handles.rs: loom ends the program if a use and a taking away of the object are not
/// one before the other.
struct Slot {
    owners: Owners,
    object: UnsafeCell<Option<u32>>,
    spare: Mutex<bool>,
}

impl Slot {
    fn with(object: u32) -> Arc<Slot> {
        let slot = Slot {
            owners: Owners::default(),
            object: UnsafeCell::new(None),
            spare: Mutex::new(false),
        };
        slot.fill(object);
        Arc::new(slot)
    }

    fn fill(&self, object: u32) {
        // SAFETY: without an owner nobody reads it; loom would say so.
        self.object
            .with_mut(|place| unsafe { *place = Some(object) });
        self.owners.begin();
    }

    fn read(&self) -> Option<u32> {
        // SAFETY: nobody takes it while there is an owner; loom would say so.
        self.object.with(|place| unsafe { *place })
    }

    fn empty(&self) {
        // SAFETY: the last owner has gone; loom would say so.
        let object = self.object.with_mut(|place| unsafe { (*place).take() });
        assert!(object.is_some(), "taken twice");
        *self.spare.lock().unwrap() = true;
    }

    /// A call of the library: what it finds.
    fn call(&self) -> Option<u32> {
        self.owners.hold()?;
        let found = self.read();
        assert!(found.is_some(), "held, and not there");
        self.let_go();
        found
    }

    fn let_go(&self) {
        if self.owners.let_go() {
            self.empty();
        }
    }

    /// C's free: whether it had a reference.
    fn free(&self) -> bool {
        match self.owners.release() {
            Some(0) => {
                self.empty();
                true
            }
            Some(_) => true,
            None => false,
        }
    }
}

/// Runs two at once.
fn both<A: 'static, B>(
    slot: &Arc<Slot>,
    one: impl FnOnce(&Slot) -> A + 'static,
    other: impl FnOnce(&Slot) -> B,
) -> (A, B) {
    let theirs = Arc::clone(slot);
    let one = thread::spawn(move || one(&theirs));
    let other = other(slot);
    (one.join().unwrap(), other)
}

fn assert_gone(slot: &Slot) {
    assert!(*slot.spare.lock().unwrap(), "nobody took it away");
    assert!(!slot.owners.has_any());
    assert_eq!((slot.call(), slot.free()), (None, false));
}

fn a_call_and_a_free() {
    let slot = Slot::with(1);
    let (found, freed) = both(&slot, Slot::call, Slot::free);
    assert!(freed && matches!(found, None | Some(1)));
    assert_gone(&slot);
}

fn two_calls_and_a_free() {
    let slot = Slot::with(1);
    let theirs = Arc::clone(&slot);
    let call = thread::spawn(move || theirs.call());
    let (_, freed) = both(&slot, Slot::call, Slot::free);
    call.join().unwrap();
    assert!(freed);
    assert_gone(&slot);
}

fn two_frees_of_one_reference() {
    let slot = Slot::with(1);
    let (one, other) = both(&slot, Slot::free, Slot::free);
    assert!(one != other, "freed twice, or not at all");
    assert_gone(&slot);
}

/// A call gives C a reference more while another thread frees the one that there is.
fn a_reference_more_and_a_free() {
    let slot = Slot::with(1);
    let more = |slot: &Slot| {
        let held = slot.owners.hold().is_some();
        if held {
            slot.owners.reference().unwrap();
            slot.let_go();
        }
        held
    };
    let (held, freed) = both(&slot, more, Slot::free);
    assert!(freed);
    if held {
        assert_eq!(slot.call(), Some(1));
        assert!(slot.free());
    }
    assert_gone(&slot);
}

/// Other handles are made that need this one, while it is freed and then they are.
fn handles_that_need_it_and_a_free() {
    let slot = Slot::with(1);
    let made = |slot: &Slot| {
        if slot.owners.hold().is_none() {
            return;
        }
        slot.owners.hold_times(2).unwrap();
        slot.let_go();
        assert_eq!(slot.read(), Some(1));
        slot.let_go();
        slot.let_go();
    };
    let ((), freed) = both(&slot, made, Slot::free);
    assert!(freed);
    assert_gone(&slot);
}

/// The slot is given to another object while somebody comes with the old address.
fn a_late_call_and_a_new_object() {
    let slot = Slot::with(1);
    let again = |slot: &Slot| {
        assert!(slot.free());
        let mut spare = slot.spare.lock().unwrap();
        if std::mem::take(&mut *spare) {
            slot.fill(2);
        }
    };
    let (found, ()) = both(&slot, Slot::call, again);
    assert!(matches!(found, None | Some(1 | 2)));
}

fn main() {
    for (name, model) in [
        ("a call and a free", a_call_and_a_free as fn()),
        ("two calls and a free", two_calls_and_a_free),
        ("two frees of one reference", two_frees_of_one_reference),
        ("a reference more and a free", a_reference_more_and_a_free),
        (
            "handles that need it and a free",
            handles_that_need_it_and_a_free,
        ),
        ("a late call and a new object", a_late_call_and_a_new_object),
    ] {
        let orders = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&orders);
        loom::model(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            model();
        });
        let orders = orders.load(std::sync::atomic::Ordering::Relaxed);
        assert!(orders > 1, "{name}: nothing was at once");
        println!("{name}: {orders} orders");
    }
}
