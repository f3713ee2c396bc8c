//! Who wants to know of changes of snapshots is told: in the thread of the call that made the change,
//! when it is durable and no lock is held, in the order of a domain's changes.
//!
//! A change puts its events into the domain's queue while it is the domain's writer. The call that made it
//! delivers them at its end ([`deliver`]): each thread its own, and none before those in front of it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::tree::{Plan, Tree};

mod listeners;
mod telling;

pub use listeners::{Function, Listeners};
pub(super) use telling::Telling;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A snapshot is there that was not; with [`Detail::Redefined`] its metadata is new.
    Created,
    /// A snapshot is gone.
    Deleted,
    /// The domain is what it was when the snapshot was taken.
    Reverted,
    /// Another snapshot is the current one, or none.
    CurrentChanged,
    /// All snapshots have left with a migration, or have arrived.
    Migrated,
    /// How far a long operation is.
    Progress,
}

/// How it has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// As the word for the event says.
    Plain,
    /// By REDEFINE.
    Redefined,
    /// The metadata alone.
    Metadata,
    /// To another host.
    Left,
    /// From another host.
    Arrived,
    /// Found when the domain was loaded: another process, or what was cut off and is finished now.
    Found,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What has happened.
    pub kind: EventKind,
    /// How.
    pub detail: Detail,
    /// The domain's name.
    pub domain: Arc<str>,
    /// The domain's UUID.
    pub uuid: [u8; 16],
    /// The snapshot, if it is about one.
    pub snapshot: Option<Arc<str>>,
    /// Of progress: what is done, and what there is to do.
    pub progress: (u64, u64),
}

/// Why a domain's hierarchy changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// What the plan itself says.
    Plain,
    /// REDEFINE of that snapshot.
    Redefined(Arc<str>),
    /// Metadata goes, data stays.
    Metadata,
    /// Revert to that snapshot.
    Reverted(Arc<str>),
    /// They go to another host.
    Left,
    /// They come from another host.
    Arrived,
    /// Something that was cut off is finished.
    Found,
}

/// A part of an event that depends on the change alone.
type Happened = (EventKind, Detail, Option<Arc<str>>);

/// What a plan, carried out for that cause, is to those who are told.
fn happened(tree: &Tree, plan: &Plan, cause: &Cause) -> Vec<Happened> {
    let of_all = match cause {
        Cause::Left => Some(Detail::Left),
        Cause::Arrived => Some(Detail::Arrived),
        _ => None,
    };
    if let Some(detail) = of_all {
        return vec![(EventKind::Migrated, detail, None)];
    }
    let general = match cause {
        Cause::Found => Detail::Found,
        _ => Detail::Plain,
    };
    let mut all: Vec<Happened> = Vec::new();
    for new in &plan.put {
        let is_redefined = matches!(cause, Cause::Redefined(name) if *name == new.name);
        if is_redefined {
            all.push((
                EventKind::Created,
                Detail::Redefined,
                Some(Arc::clone(&new.name)),
            ));
        } else if !tree.contains(&new.name) {
            all.push((EventKind::Created, general, Some(Arc::clone(&new.name))));
        }
    }
    let gone = match cause {
        Cause::Metadata => Detail::Metadata,
        _ => general,
    };
    let dropped = plan.drop.iter();
    all.extend(dropped.map(|old| (EventKind::Deleted, gone, Some(Arc::clone(&old.name)))));
    if let Cause::Reverted(name) = cause {
        all.push((EventKind::Reverted, Detail::Plain, Some(Arc::clone(name))));
    }
    let before = tree.current().map(|current| &current.name);
    if before != plan.current.as_ref() {
        all.push((EventKind::CurrentChanged, general, plan.current.clone()));
    }
    all
}

thread_local! {
    /// Domains of which this thread has events to deliver.
    static PENDING: RefCell<Vec<Arc<Telling>>> = const { RefCell::new(Vec::new()) };
    /// Whether this thread is delivering.
    static IS_DELIVERING: Cell<bool> = const { Cell::new(false) };
}

/// How many domains all threads remember: with none, no thread need look. One that a thread did not come to
/// deliver before it ended stays counted, which costs the others a look.
static REMEMBERED: AtomicUsize = AtomicUsize::new(0);

/// Remembers that this thread has events of a domain to deliver.
fn remember(telling: &Arc<Telling>) {
    // A thread that is ending has no place for it any more; others deliver then.
    let _ = PENDING.try_with(|pending| {
        let mut pending = pending.borrow_mut();
        if !pending.iter().any(|known| Arc::ptr_eq(known, telling)) {
            pending.push(Arc::clone(telling));
            REMEMBERED.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// Whether any thread has events to deliver; this one sees its own.
#[inline(always)]
pub fn has_to_deliver() -> bool {
    REMEMBERED.load(Ordering::Relaxed) > 0
}

/// Delivers the events of the changes that this thread has made. Called when it holds no lock. Within the
/// delivery of another event it does nothing: that goes on with them. Whether there were any.
pub fn deliver() -> bool {
    let next = || {
        let pending = PENDING.try_with(|pending| pending.borrow_mut().pop());
        let telling = pending.ok().flatten()?;
        REMEMBERED.fetch_sub(1, Ordering::Relaxed);
        Some(telling)
    };
    let is_nested = IS_DELIVERING.try_with(|is_delivering| is_delivering.replace(true));
    if is_nested != Ok(false) {
        return false;
    }
    let _end = Delivery;
    let mut has_delivered = false;
    while let Some(telling) = next() {
        telling.deliver();
        has_delivered = true;
    }
    has_delivered
}

/// The end of a delivery, also by a panic.
struct Delivery;

impl Drop for Delivery {
    fn drop(&mut self) {
        let _ = IS_DELIVERING.try_with(|is_delivering| is_delivering.set(false));
    }
}
