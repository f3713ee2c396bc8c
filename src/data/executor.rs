//! A driver that carries whole requests out: it prepares, captures and describes a snapshot in one
//! step, and while it does so keeps metadata of its own.

use super::{Data, Point};
use crate::error::Result;
use crate::libvirt::Driver;

/// Whether a document has passwords in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// As the state directory needs it.
    Shown,
    /// As a connection that reads only may see it.
    Hidden,
}

/// Such a driver, for one domain.
///
/// What it *keeps* is its own metadata of a snapshot. Between operations it keeps nothing, unless
/// somebody uses the driver without this library.
pub trait Executor: Send + Sync {
    /// What kind of driver it is: flags and error domains depend on it.
    fn driver(&self) -> Driver;

    /// Whether a snapshot has data beside its metadata.
    fn has_data(&self) -> bool;

    /// Names of the snapshots that it keeps, in no order. Fails if the domain is gone.
    fn kept(&self) -> Result<Vec<String>>;

    /// The document of a snapshot that it keeps.
    fn kept_document(&self, name: &str, secrets: Secrets) -> Result<String>;

    /// Name of the snapshot that is current for it, if one is.
    fn kept_current(&self) -> Result<Option<String>>;

    /// Whether its connection allows changes, as far as that is known.
    fn may_change(&self) -> bool;

    /// Whether the images that can be looked into hold what was just captured.
    fn check_taken(&self, point: &Point<'_>) -> Result<()>;

    /// Takes the snapshot that a document asks for and answers its full document. It keeps it
    /// afterwards, unless the flags say NO_METADATA: then there is no full document.
    fn take(&self, request: &str, flags: u32) -> Result<Option<String>>;

    /// Makes it keep a snapshot that exists. Guest data is not touched.
    fn lend(&self, document: &str) -> Result<()>;

    /// Reverts to a snapshot that it keeps.
    fn revert_kept(&self, name: &str, flags: u32) -> Result<()>;

    /// Deletes a snapshot that it keeps, with its data.
    fn delete_kept(&self, name: &str) -> Result<()>;

    /// Makes it keep a snapshot no longer. Guest data is not touched.
    fn forget(&self, name: &str) -> Result<()>;

    /// What works on the images of a guest that is off, where they are within reach: for what the
    /// driver itself cannot do.
    fn images(&self) -> Option<&dyn Data>;

    /// Gives the domain another definition. A guest that runs goes on with the one it has.
    fn define(&self, definition: &str) -> Result<()>;

    /// The definition that the guest runs with; `None` if it is off.
    fn running_definition(&self) -> Result<Option<String>>;

    /// Whether the driver has the guest's memory in a file of its own, for the next start.
    fn has_managed_save(&self) -> Result<bool>;

    /// Starts the guest.
    fn start(&self, start: Start) -> Result<()>;

    /// The other domains that the driver has.
    fn others(&self) -> Result<Vec<Neighbour>>;
}

/// How a guest is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// With its CPUs stopped.
    pub is_paused: bool,
    /// With its firmware's variables as they were at first.
    pub resets_nvram: bool,
}

/// Another domain, that may have images in common with this one.
#[derive(Debug)]
pub struct Neighbour {
    /// Its UUID.
    pub uuid: [u8; 16],
    /// All definitions it has.
    pub definitions: Vec<String>,
    /// The documents of the snapshots that the driver keeps of it.
    pub snapshots: Vec<String>,
}
