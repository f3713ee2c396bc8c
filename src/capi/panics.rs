//! Panics stop at the boundary, and nothing of them is printed.
//!
//! A caught panic becomes an error, but before that the *panic hook* runs, and the standard one
//! writes to stderr. The hook is process state, so there is a choice to make, and it is this: at
//! the first call a hook is put in front of the one that is there. It keeps quiet about
//! panics in threads that are inside one of our calls and hands all others on unchanged. In
//! libvirsnap.so.0 the standard library is linked in and private, so nobody else's panics come by
//! at all; in a Rust program that uses the crate, that program's own hook still sees its own.
//!
//! What cannot be caught still aborts: a panic while another one unwinds. A refused allocation is
//! none (`crate::memory`).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::thread;

thread_local! {
    /// How many of our calls this thread is in: a callback may call again.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Where this thread's last panic inside a call was raised.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `call`; if it panics, answers what the panic said and where.
pub(super) fn catch<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    quieten();
    let inside = Inside::enter();
    // Unwind safety: shared state is replaced whole under its lock, never edited in place, so a
    // call that panics half-way leaves nothing half-changed.
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    drop(inside);
    result.map_err(|payload| description(&*payload))
}

/// Whether this thread is in none of our calls.
pub(super) fn is_outside() -> bool {
    DEPTH.get() == 0
}

/// Puts the quiet hook in front, once.
fn quieten() {
    static HOOK: Once = Once::new();
    // `set_hook` panics in a thread that unwinds; the next call does it then.
    if HOOK.is_completed() || thread::panicking() {
        return;
    }
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if DEPTH.get() == 0 {
                others(info);
            } else {
                let place = info.location().map(ToString::to_string);
                // In a thread that is ending there may be nowhere left to note it.
                let _ = PLACE.try_with(|last| last.replace(place));
            }
        }));
    });
}

/// This thread is inside a call, until dropped.
struct Inside;

impl Inside {
    #[inline(always)]
    fn enter() -> Inside {
        // Each of `get` and `set` would look the thread's variable up, out of line.
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Inside
    }
}

impl Drop for Inside {
    #[inline(always)]
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}

fn description(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic without a message");
    match PLACE.try_with(RefCell::take) {
        Ok(Some(place)) => format!("{text} ({place})"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_panic_answers_its_words_and_place() {
        let said = catch(|| -> () { panic!("no {}", "luck") }).unwrap_err();
        assert!(said.starts_with("no luck (src/capi/panics.rs:"), "{said}");
        let said = catch(|| -> () { panic!("plain") }).unwrap_err();
        assert!(said.starts_with("plain (src/capi/panics.rs:"), "{said}");
        let said = catch(|| -> () { panic::panic_any(7) }).unwrap_err();
        assert!(said.starts_with("panic without a message (src/"), "{said}");
    }

    #[test]
    fn depth_is_back_to_none_after_a_panic() {
        let _ = catch(|| catch(|| -> () { panic!("inner") }).unwrap_err());
        assert_eq!(DEPTH.get(), 0);
    }

    /// Does the panics for `only_panics_of_others_are_printed`, in a process of its own.
    #[test]
    fn child_that_panics() {
        if env::var_os("VIRSNAP_TEST_PANIC").is_none() {
            return;
        }
        let _ = catch(|| -> () { panic!("ours") });
        let _ = panic::catch_unwind(|| panic!("theirs"));
    }

    #[test]
    fn only_panics_of_others_are_printed() {
        let output = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "capi::panics::tests::child_that_panics",
                "--nocapture",
            ])
            .env("VIRSNAP_TEST_PANIC", "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains("1 passed"), "{printed}");
        assert!(printed.contains("theirs"), "{printed}");
        assert!(!printed.contains("ours"), "{printed}");
    }
}
