//! What a call has to say to the program's functions when it has done its work: it holds no lock then, so
//! that they may call the library, whatever the call was.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::events::Telling;

/// Something to be said.
enum Waiting {
    /// This thread's events of a domain.
    Events(Arc<Telling>),
    /// Whatever this does.
    Call(Box<dyn FnOnce()>),
}

/// In the order in which it came up.
struct Queue(RefCell<VecDeque<Waiting>>);

thread_local! {
    static QUEUE: Queue = const { Queue(RefCell::new(VecDeque::new())) };
    /// Whether this thread is delivering.
    static IS_DELIVERING: Cell<bool> = const { Cell::new(false) };
}

/// How much is in the queues of all threads: where nothing is, no thread need look.
static REMEMBERED: AtomicUsize = AtomicUsize::new(0);

/// Remembers that this thread has events of a domain to deliver; false if it is ending, and has no place for
/// that any more.
pub(super) fn deliver_events(telling: &Arc<Telling>) -> bool {
    let remembered = QUEUE.try_with(|queue| {
        let is_known = |waiting: &Waiting| match waiting {
            Waiting::Events(known) => Arc::ptr_eq(known, telling),
            Waiting::Call(_) => false,
        };
        if !queue.0.borrow().iter().any(is_known) {
            queue.put(Waiting::Events(Arc::clone(telling)));
        }
    });
    remembered.is_ok()
}

/// Calls a function of the program's at the end of this thread's call; at once if the thread is ending.
pub fn at_end(call: impl FnOnce() + 'static) {
    let mut call: Option<Box<dyn FnOnce()>> = Some(Box::new(call));
    let _ = QUEUE.try_with(|queue| {
        if let Some(call) = call.take() {
            queue.put(Waiting::Call(call));
        }
    });
    if let Some(call) = call {
        call();
    }
}

/// Whether any thread has something to deliver; this one sees its own.
#[inline(always)]
pub fn has_to_deliver() -> bool {
    REMEMBERED.load(Ordering::Relaxed) > 0
}

/// Delivers what this thread has. Called when it holds no lock. Within another delivery it does nothing: that
/// goes on with it. Whether there was anything.
pub fn deliver() -> bool {
    let is_nested = IS_DELIVERING.try_with(|is_delivering| is_delivering.replace(true));
    if is_nested != Ok(false) {
        return false;
    }
    let _end = Delivery;
    let mut has_delivered = false;
    while let Some(waiting) = QUEUE.try_with(Queue::take).ok().flatten() {
        match waiting {
            Waiting::Events(telling) => telling.deliver(),
            Waiting::Call(call) => call(),
        }
        has_delivered = true;
    }
    has_delivered
}

impl Queue {
    fn put(&self, waiting: Waiting) {
        self.0.borrow_mut().push_back(waiting);
        REMEMBERED.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) -> Option<Waiting> {
        let waiting = self.0.borrow_mut().pop_front()?;
        REMEMBERED.fetch_sub(1, Ordering::Relaxed);
        Some(waiting)
    }
}

impl Drop for Queue {
    /// With a thread that ends without a call's end.
    fn drop(&mut self) {
        while let Some(waiting) = self.take() {
            match waiting {
                Waiting::Events(telling) => telling.leave_to_others(),
                Waiting::Call(call) => call(),
            }
        }
    }
}

/// The end of a delivery, also by a panic.
struct Delivery;

impl Drop for Delivery {
    fn drop(&mut self) {
        let _ = IS_DELIVERING.try_with(|is_delivering| is_delivering.set(false));
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn calls_wait_for_the_end_and_come_in_order() {
        let said = Rc::new(RefCell::new(Vec::new()));
        let say = |what: u8| {
            let said = Rc::clone(&said);
            move || said.borrow_mut().push(what)
        };
        at_end(say(1));
        let second = say(2);
        let third = say(3);
        at_end(move || {
            second();
            // What comes up meanwhile is said by the delivery that is under way.
            at_end(third);
            assert!(!deliver());
        });
        assert!(said.borrow().is_empty() && has_to_deliver());
        assert!(deliver());
        assert_eq!(*said.borrow(), [1, 2, 3]);
        assert!(!deliver());
    }

    #[test]
    fn a_thread_that_ends_leaves_no_call_behind() {
        static IS_CALLED: AtomicBool = AtomicBool::new(false);
        let thread = std::thread::spawn(|| at_end(|| IS_CALLED.store(true, Ordering::SeqCst)));
        thread.join().unwrap();
        assert!(IS_CALLED.load(Ordering::SeqCst));
    }

    #[test]
    fn a_panic_ends_the_delivery_alone() {
        at_end(|| panic!("of the program's"));
        let result = std::panic::catch_unwind(deliver);
        assert!(result.is_err());
        at_end(|| ());
        assert!(deliver());
    }
}
