//! The hierarchy of one domain's snapshots: pure data, no I/O, no XML.

use std::sync::Arc;

use crate::snapshot::Snapshot;

mod filter;
pub use filter::{Filter, Scope};

/// Placeholder.
#[derive(Debug, Default)]
pub struct Tree {
    _nodes: Vec<Arc<Snapshot>>,
}
