//! The domains of an embedded connection: defined from XML, and running if a guest is attached.

use std::sync::Arc;

use parking_lot::RwLock;

use super::{Attachment, Host, Start};
use crate::error::{Error, Result};
use crate::snapshot::State;

/// A domain that exists by its definition in the state directory.
pub struct Embedded {
    definition: RwLock<Arc<str>>,
    attachment: Arc<Attachment>,
}

impl Embedded {
    /// A domain with that definition, and with what will be attached to it.
    pub fn new(definition: Arc<str>, attachment: Arc<Attachment>) -> Embedded {
        Embedded {
            definition: RwLock::new(definition),
            attachment,
        }
    }
}

impl Host for Embedded {
    fn state(&self) -> Result<State> {
        self.attachment.state()
    }

    fn definition(&self) -> Result<Arc<str>> {
        let hooks = self.attachment.hooks();
        match hooks.and_then(|hooks| hooks.definition()) {
            Some(definition) => definition,
            None => Ok(Arc::clone(&self.definition.read())),
        }
    }

    fn set_definition(&self, definition: Arc<str>) {
        if let Some(hooks) = self.attachment.hooks() {
            // It is stored already: a program that fails to take it in finds it there.
            let _ = hooks.set_definition(&definition);
        }
        *self.definition.write() = definition;
    }

    fn can_start(&self) -> bool {
        self.attachment
            .hooks()
            .is_some_and(|hooks| hooks.can_start())
    }

    fn start(&self, definition: &str, start: Start) -> Result<()> {
        let hooks = self.attachment.hooks();
        match hooks.and_then(|hooks| hooks.start(definition, start)) {
            Some(started) => started,
            None => Err(Error::Unsupported {
                what: "starting the guest without a callback for it is",
            }),
        }
    }

    fn stop(&self) -> Result<()> {
        self.attachment.stop()
    }

    fn resume(&self) -> Result<()> {
        self.attachment.resume()
    }

    fn begin(&self) {
        self.attachment.begin();
    }
}
