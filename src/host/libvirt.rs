//! The domains of the real libvirt, asked through its public functions.

use std::sync::Arc;

use super::Host;
use crate::error::Result;
use crate::libvirt::Domain;
use crate::snapshot::State;

/// A domain of libvirt's.
pub struct Libvirt {
    domain: Arc<Domain>,
}

impl Libvirt {
    /// That domain.
    pub fn new(domain: Arc<Domain>) -> Libvirt {
        Libvirt { domain }
    }
}

impl Host for Libvirt {
    fn state(&self) -> Result<State> {
        self.domain.state()
    }

    fn definition(&self) -> Result<Arc<str>> {
        self.domain.definition().map(Into::into)
    }

    /// libvirt has changed its own definition already; that is the one that counts.
    fn set_definition(&self, _: Arc<str>) {}
}
