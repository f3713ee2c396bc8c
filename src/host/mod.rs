//! The first seam: who is the domain, what is its state and its definition.

use std::sync::Arc;

use crate::error::Result;
use crate::snapshot::State;

mod embedded;
mod libvirt;
pub use embedded::Embedded;
pub use libvirt::Libvirt;

/// One domain, as the world around its snapshots knows it.
pub trait Host: Send + Sync {
    /// The domain's state now.
    fn state(&self) -> Result<State>;

    /// The definition that a snapshot keeps: inactive, with secrets, as `<domain>` text.
    fn definition(&self) -> Result<Arc<str>>;

    /// Replaces the definition that [`Host::definition`] answers. The store has made it durable.
    fn set_definition(&self, definition: Arc<str>);
}
