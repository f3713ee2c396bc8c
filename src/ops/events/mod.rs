//! Who wants to know of changes of snapshots is told: in the thread of the call that made the change,
//! when it is durable and no lock is held, in the order of a domain's changes.
//!
//! A change puts its events into the domain's queue while it is the domain's writer. The call that made it
//! delivers them at its end (`at_end`): each thread its own, and none before those in front of it.

use std::sync::Arc;

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
