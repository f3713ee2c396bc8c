//! Completes a snapshot's disks against the domain's.

use super::domain::DomainFacts;
use crate::error::Result;
use crate::snapshot::{DiskMode, Snapshot};

/// Whether disks may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Participation {
    /// Every disk must take part with the default mode (libvirt's "uniform").
    Uniform,
    /// Each disk as it says.
    Individual,
}

/// Makes `snapshot.disks` one entry a domain disk, in the domain's order, by target, with a mode;
/// external disks without a path get a generated one.
///
/// `is_regular_file` says whether the path is one (links followed); it is asked for sources of
/// disks whose external name has to be generated.
pub fn align(
    _snapshot: &mut Snapshot,
    _domain: &DomainFacts,
    _default: DiskMode,
    _participation: Participation,
    _is_regular_file: &dyn Fn(&str) -> bool,
) -> Result<()> {
    todo!()
}
