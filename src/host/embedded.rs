//! The domains of an embedded connection: defined from XML, shut off, owned by this library.

use std::sync::Arc;

use parking_lot::RwLock;

use super::Host;
use crate::error::Result;
use crate::snapshot::State;

/// A domain that exists by its definition in the state directory.
#[derive(Debug)]
pub struct Embedded {
    definition: RwLock<Arc<str>>,
}

impl Embedded {
    /// A shut-off domain with that definition.
    pub fn new(definition: Arc<str>) -> Embedded {
        Embedded {
            definition: RwLock::new(definition),
        }
    }
}

impl Host for Embedded {
    fn state(&self) -> Result<State> {
        Ok(State::Shutoff)
    }

    fn definition(&self) -> Result<Arc<str>> {
        Ok(Arc::clone(&self.definition.read()))
    }

    fn set_definition(&self, definition: Arc<str>) {
        *self.definition.write() = definition;
    }
}
