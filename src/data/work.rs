//! Steps on image files that ops plans and the Data room takes.

use std::path::PathBuf;

use super::Layer;

/// What becomes of one disk when the guest goes back to a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// The internal snapshot becomes what its image shows.
    Apply {
        /// The disk's target.
        disk: String,
    },
    /// The guest gets a new overlay.
    Overlay {
        /// The disk's target.
        disk: String,
        /// What the overlay shows at first, and nobody writes to.
        base: Layer,
        /// The new file.
        path: PathBuf,
    },
    /// The guest gets a copy of the internal snapshot: others need what its image shows.
    Copy {
        /// The disk's target.
        disk: String,
        /// The image that holds the snapshot.
        from: PathBuf,
        /// The new file.
        path: PathBuf,
    },
}

impl Restore {
    /// The disk's target.
    pub fn disk(&self) -> &str {
        match self {
            Restore::Apply { disk }
            | Restore::Overlay { disk, .. }
            | Restore::Copy { disk, .. } => disk,
        }
    }

    /// Whether it changes nothing that a running guest has open.
    pub fn is_beside_the_guest(&self) -> bool {
        matches!(self, Restore::Overlay { .. })
    }

    /// The file that it makes.
    pub fn new_file(&self) -> Option<&PathBuf> {
        match self {
            Restore::Apply { .. } => None,
            Restore::Overlay { path, .. } | Restore::Copy { path, .. } => Some(path),
        }
    }
}

/// One step of bringing two layers together. Each may be taken again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// What `top` shows is written to `base`, somewhere below it. `top` stays as it is.
    Commit {
        /// The disk's target, for messages.
        disk: String,
        /// The upper layer.
        top: Layer,
        /// The lower layer.
        base: Layer,
    },
    /// The image names another backing file, which shows the same.
    Relink {
        /// The disk's target, for messages.
        disk: String,
        /// The image.
        image: Layer,
        /// What it names from then on.
        backing: Layer,
    },
}
