//! What an operation means: the rules of the API.
//!
//! A [`Connection`] leads to the [`Domain`]s of one state directory. Every change goes the same
//! way: take the domain's lock, make a plan of the tree, refuse what the rules refuse, record the
//! intent, work on guest data, commit the plan as one transaction, change the tree.

mod at_end;
mod change;
mod collect;
pub mod companion;
mod connection;
mod create;
mod delete;
mod differences;
mod domain;
mod driver;
mod events;
mod firmware;
mod flags;
mod intent;
mod layers;
mod load;
mod migrate;
mod moves;
mod overlays;
mod plan;
mod point;
mod power;
mod problem;
mod record;
mod records;
mod redefine;
mod refusals;
mod rename;
mod repair;
mod revert;
#[cfg(test)]
mod simulation;
mod size;
mod stored;
mod summary;
mod uri;

pub use crate::data::Verdict;
pub use at_end::{at_end, deliver, has_to_deliver};
pub use connection::{Access, Connection};
pub use differences::NamedDifference;
pub use domain::Domain;
pub use driver::Undefine;
pub use events::{Detail, Event, EventKind, Function};
pub use flags::{CreateFlags, DeleteFlags, ListFlags, RevertFlags, no_flags};
pub use migrate::{Carry, Outcome, Phase, Receive, Send};
pub use plan::{Planned, Step, StepKind};
pub use problem::{Log, Problem, ProblemKind, set_log};
pub use repair::Repairs;
pub use size::Size;
pub use uri::{RedefineCheck, RedefineCurrent, RedefineRules};

pub use crate::data::progress::Wish;
pub use crate::host::{Hooks, Start};
pub use crate::tree::{Found, Named, Place};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing {
    pub(crate) use super::driver::Driver;
    pub(crate) use super::migrate::Sum;
}
