//! The first seam: who is the domain, what is its state and its definition.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::snapshot::State;

mod attachment;
mod embedded;
mod hooks;
mod libvirt;
pub use attachment::Attachment;
pub use embedded::Embedded;
pub use hooks::{Hooks, Start};
pub use libvirt::Libvirt;

/// One domain, as the world around its snapshots knows it.
pub trait Host: Send + Sync {
    /// The domain's state now.
    fn state(&self) -> Result<State>;

    /// The definition that a snapshot keeps: inactive, with secrets, as `<domain>` text.
    fn definition(&self) -> Result<Arc<str>>;

    /// Replaces the definition that [`Host::definition`] answers. The store has made it durable.
    fn set_definition(&self, definition: Arc<str>);

    /// Whether [`Host::start`] can work.
    fn can_start(&self) -> bool {
        false
    }

    /// Starts the guest.
    fn start(&self, _definition: &str, _start: Start) -> Result<()> {
        Err(Error::Unsupported {
            what: "starting the guest is",
        })
    }

    /// Ends the guest's process.
    fn stop(&self) -> Result<()> {
        Err(Error::Unsupported {
            what: "stopping the guest is",
        })
    }

    /// Lets the guest's CPUs run.
    fn resume(&self) -> Result<()> {
        Err(Error::Unsupported {
            what: "resuming the guest is",
        })
    }

    /// A long operation begins: what was asked of an earlier one counts no more.
    fn begin(&self) {}
}
