//! What a snapshot needs to know of a `<domain>`.

use crate::error::Result;
use crate::snapshot::DiskMode;

/// The facts of a domain definition that snapshots depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainFacts {
    /// `<name>`.
    pub name: String,
    /// `<uuid>`; `None` if the definition has none yet.
    pub uuid: Option<[u8; 16]>,
    /// The disks, in document order.
    pub disks: Vec<DomainDisk>,
    /// The firmware keeps its variables in flash (`<os><loader type='pflash'>` or `firmware='efi'`).
    pub pflash: bool,
}

/// One `<disk>` of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainDisk {
    /// `target/@dev`.
    pub target: String,
    /// `@device`: `disk` (default), `cdrom`, `floppy`, `lun`.
    pub device: String,
    /// `@type`: `file` (default), `block`, `network`, ….
    pub source_type: String,
    /// Local path of the image; `None` for an empty drive or a disk without local path.
    pub source: Option<String>,
    /// `driver/@type`; `None` if not given.
    pub format: Option<String>,
    /// `<readonly/>` present, or a CD-ROM.
    pub read_only: bool,
    /// `<shareable/>` present.
    pub shareable: bool,
    /// `<transient/>` present.
    pub transient: bool,
    /// The disk's own `snapshot` attribute, or `No` where libvirt defaults to it
    /// (read-only and vhost-user disks).
    pub snapshot: Option<DiskMode>,
}

/// Reads the facts of a `<domain>` (or `<inactiveDomain>`) text.
pub fn domain_facts(_text: &str) -> Result<DomainFacts> {
    todo!()
}

/// The definition with that `<name>` and `<uuid>`: replaced where present, inserted where not.
/// Everything else stays verbatim.
pub fn named_and_identified(_text: &str, _name: &str, _uuid: &[u8; 16]) -> Result<String> {
    todo!()
}
