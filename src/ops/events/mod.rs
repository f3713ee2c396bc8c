//! Who wants to know of changes of snapshots is told: in the thread of the call that made the change,
//! when it is durable and no lock is held, in the order of a domain's changes.
//!
//! A change puts its events into the domain's queue while it is the domain's writer. The call that made it
//! delivers them at its end (`at_end`): each thread its own, and none before those in front of it.

use std::sync::Arc;

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
