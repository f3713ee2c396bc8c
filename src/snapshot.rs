//! What one snapshot is: the model that the tree links and the XML room reads and writes.
//!
//! Pure data. Texts that come from a document and that libvirt would hand back unchanged
//! (`<domain>`, `<inactiveDomain>`, `<cookie>`, unknown elements) are kept verbatim.

use std::sync::Arc;

/// A snapshot's metadata, as `<domainsnapshot>` carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Unique within the domain; also the file name, without `.xml`.
    pub name: Arc<str>,
    /// Free text of the user.
    pub description: Option<Box<str>>,
    /// The domain's state when the snapshot was taken.
    pub state: State,
    /// Name of the parent; `None` for a root.
    pub parent: Option<Arc<str>>,
    /// Seconds since 1970-01-01 UTC.
    pub creation_time: i64,
    /// How the guest's memory was kept. `None` only between parsing and defaulting on create.
    pub memory: Option<Memory>,
    /// How each disk was kept: after alignment one entry a domain disk, in the domain's order.
    /// Shared by snapshots of the same disks, as most of a domain's are.
    pub disks: Arc<[Disk]>,
    /// Overlays made by reverting to a non-leaf external snapshot (libvirt ≥ 9.9).
    pub revert_disks: Vec<Disk>,
    /// `<domain …>…</domain>` verbatim; `None` if the document had none or the uuid-only form.
    pub domain: Option<Arc<str>>,
    /// `<inactiveDomain …>…</inactiveDomain>` verbatim.
    pub inactive_domain: Option<Arc<str>>,
    /// `<cookie>…</cookie>` verbatim.
    pub cookie: Option<Arc<str>>,
    /// Elements of the document that this library does not know, verbatim, in document order.
    pub other: Vec<Box<str>>,
}

impl Snapshot {
    /// External as libvirt's list filter sees it: memory or at least one disk in a file of its own.
    pub fn is_external(&self) -> bool {
        matches!(self.memory, Some(Memory::External { .. }))
            || self
                .disks
                .iter()
                .any(|disk| disk.mode == Some(DiskMode::External))
    }

    /// Whether files of its own may belong to it: overlays, memory, or what elements tell of that are
    /// kept verbatim.
    pub fn may_have_files(&self) -> bool {
        self.is_external() || !self.revert_disks.is_empty() || !self.other.is_empty()
    }
}

/// Domain state words of `<state>` (virDomainState plus `disk-snapshot`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Guest CPUs ran.
    Running,
    /// Waiting for a resource. No snapshot may claim it.
    Blocked,
    /// Guest CPUs were stopped.
    Paused,
    /// Being shut down.
    Shutdown,
    /// Inactive.
    Shutoff,
    /// Crashed.
    Crashed,
    /// Suspended by the guest's power management. No snapshot may claim it.
    PmSuspended,
    /// Disks only, taken from an active domain: no memory belongs to it.
    DiskSnapshot,
}

impl State {
    const WORDS: [(&'static str, State); 8] = [
        ("running", State::Running),
        ("blocked", State::Blocked),
        ("paused", State::Paused),
        ("shutdown", State::Shutdown),
        ("shutoff", State::Shutoff),
        ("crashed", State::Crashed),
        ("pmsuspended", State::PmSuspended),
        ("disk-snapshot", State::DiskSnapshot),
    ];

    /// The state that a word of `<state>` names.
    pub fn from_word(word: &str) -> Option<State> {
        Self::WORDS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, state)| *state)
    }

    /// The word for `<state>`.
    pub fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Blocked => "blocked",
            State::Paused => "paused",
            State::Shutdown => "shutdown",
            State::Shutoff => "shutoff",
            State::Crashed => "crashed",
            State::PmSuspended => "pmsuspended",
            State::DiskSnapshot => "disk-snapshot",
        }
    }

    /// No guest memory can belong to a snapshot in this state.
    pub fn is_offline(self) -> bool {
        matches!(self, State::Shutoff | State::DiskSnapshot)
    }

    /// Guest CPUs existed: running or paused.
    pub fn is_online(self) -> bool {
        matches!(self, State::Running | State::Paused)
    }
}

/// Where the guest's memory went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Not kept.
    None,
    /// In the first internal disk, as QEMU's `savevm` does.
    Internal,
    /// In a file of its own.
    External {
        /// Absolute path.
        file: Box<str>,
    },
}

/// One `<disk>` of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Target (`vda`); before alignment possibly a source path.
    pub name: Box<str>,
    /// `None` until alignment chooses a default.
    pub mode: Option<DiskMode>,
    /// The new image of an external disk.
    pub image: Option<Box<ExternalImage>>,
    /// libvirt's marker of an external delete that was cut off.
    pub delete_in_progress: bool,
}

/// The disks of a list that are chosen, to be changed. A list of which none is stays shared.
pub fn chosen_disks(
    disks: &mut Arc<[Disk]>,
    is_chosen: impl Fn(&Disk) -> bool,
) -> impl Iterator<Item = &mut Disk> {
    let chosen: Vec<bool> = disks.iter().map(is_chosen).collect();
    let changed = match chosen.contains(&true) {
        true => Arc::make_mut(disks),
        false => &mut [],
    };
    let all = changed.iter_mut().zip(chosen);
    all.filter_map(|(disk, is_chosen)| is_chosen.then_some(disk))
}

/// How a disk takes part in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskMode {
    /// Left out.
    No,
    /// Inside the qcow2 image.
    Internal,
    /// In a new image that has the old one as backing file.
    External,
    /// Kept by the caller with means of its own.
    Manual,
}

impl DiskMode {
    /// The word of the `snapshot` attribute.
    pub fn word(self) -> &'static str {
        match self {
            DiskMode::No => "no",
            DiskMode::Internal => "internal",
            DiskMode::External => "external",
            DiskMode::Manual => "manual",
        }
    }

    /// The mode that a `snapshot` attribute names.
    pub fn from_word(word: &str) -> Option<DiskMode> {
        match word {
            "no" => Some(DiskMode::No),
            "internal" => Some(DiskMode::Internal),
            "external" => Some(DiskMode::External),
            "manual" => Some(DiskMode::Manual),
            _ => None,
        }
    }
}

/// The image that an external disk was given.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ExternalImage {
    /// `type` of the disk: `file`, `block`, `network`, …; empty means `file`.
    pub source_type: Box<str>,
    /// `driver/@type`: `qcow2`, …
    pub format: Option<Box<str>>,
    /// `driver/metadata_cache/max_size`, in bytes.
    pub cache_bytes: Option<u64>,
    /// Local path: `source/@file` or `source/@dev`.
    pub path: Option<Box<str>>,
    /// The whole `<source …>` element verbatim where it holds more than the local path.
    pub source: Option<Box<str>>,
}
