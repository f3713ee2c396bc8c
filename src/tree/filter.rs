//! Which snapshots a list holds.

use super::Named;
use crate::snapshot::{Snapshot, State};

/// Where a list starts.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Every snapshot of the domain.
    All,
    /// Snapshots without parent.
    Roots,
    /// Direct children of the named snapshot.
    Children(Named<'a>),
    /// Everything below the named snapshot.
    Descendants(Named<'a>),
}

/// What a list leaves out. The default leaves out nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `Some(true)`: only leaves; `Some(false)`: only snapshots with children.
    pub leaves: Option<bool>,
    /// `Some(true)`: only external snapshots; `Some(false)`: only others.
    pub external: Option<bool>,
    /// Only these classes of state; `None`: all.
    pub states: Option<States>,
    /// Only snapshots without metadata: there are none here.
    pub without_metadata: bool,
}

/// Classes of state, as libvirt's list filter knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// State shutoff.
    pub inactive: bool,
    /// State disk-snapshot.
    pub disk_only: bool,
    /// Any other state.
    pub active: bool,
}

impl Filter {
    /// Whether a snapshot belongs into the list.
    pub(super) fn passes(self, snapshot: &Snapshot, is_leaf: bool) -> bool {
        !self.without_metadata
            && self.leaves.is_none_or(|wanted| wanted == is_leaf)
            && self.states.is_none_or(|states| states.hold(snapshot.state))
            && self
                .external
                .is_none_or(|wanted| wanted == snapshot.is_external())
    }
}

impl States {
    fn hold(self, state: State) -> bool {
        match state {
            State::Shutoff => self.inactive,
            State::DiskSnapshot => self.disk_only,
            _ => self.active,
        }
    }
}
