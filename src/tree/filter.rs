//! Which snapshots a list holds.

/// Where a list starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Every snapshot of the domain.
    All,
    /// Snapshots without parent.
    Roots,
    /// Direct children of the named snapshot.
    Children(&'a str),
    /// Everything below the named snapshot.
    Descendants(&'a str),
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
    /// Only snapshots without metadata: none.
    pub without_metadata: bool,
}

/// Classes of state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// State shutoff.
    pub inactive: bool,
    /// State disk-snapshot.
    pub disk_only: bool,
    /// Any other state.
    pub active: bool,
}
