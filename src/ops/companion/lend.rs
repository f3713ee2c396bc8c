//! Snapshots as libvirt is to keep them while it works on their data.

use crate::error::Result;
use crate::ops::point::OwnedPoint;
use crate::ops::redefine::is_external;
use crate::snapshot::{Disk, DiskMode, Snapshot};
use crate::xml;

/// The snapshot alone: libvirt does not know its parent.
pub(super) fn alone(snapshot: &Snapshot) -> Snapshot {
    Snapshot {
        parent: None,
        ..acceptable(snapshot)
    }
}

/// The snapshot as libvirt takes it. Where every disk has to take part it refuses one that does
/// not, also in its own output: an empty drive, say. Unlisted disks get their old modes again.
pub(super) fn acceptable(snapshot: &Snapshot) -> Snapshot {
    let mut acceptable = snapshot.clone();
    if !is_external(snapshot) {
        let takes_part = |disk: &&Disk| disk.mode == Some(DiskMode::Internal);
        acceptable.disks = snapshot.disks.iter().filter(takes_part).cloned().collect();
    }
    acceptable
}

/// What libvirt is told of the snapshot.
pub(super) fn document(snapshot: &Snapshot) -> String {
    xml::format(snapshot, xml::Form::Public { secure: true })
}

/// The snapshot alone, with the images that can be looked into.
pub(super) fn point(snapshot: &Snapshot) -> Result<OwnedPoint> {
    OwnedPoint::local(&alone(snapshot))
}
