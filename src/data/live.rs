//! Data of guests that may run: the program's own hooks first, then the guest's monitor, then the
//! images of a guest that is off.

use std::sync::Arc;

use super::progress::Progress;
use super::qmp::{AgentCommands, Commands, internal};
use super::{Data, Point};
use crate::error::Result;

/// The way to a guest, asked anew for each operation: guests come and go.
pub trait Access: Send + Sync {
    /// Where monitor commands go; `None` while the guest is off.
    fn commands(&self) -> Result<Option<Arc<dyn Commands>>>;

    /// Where agent commands go.
    fn agent(&self) -> Option<Arc<dyn AgentCommands>>;

    /// Who watches.
    fn progress(&self) -> &dyn Progress;

    /// The program captures data itself; `None` if it does not.
    fn create_data(&self, document: &str, flags: u32) -> Option<Result<()>>;

    /// As [`Access::create_data`], for bringing data back.
    fn revert_data(&self, document: &str, flags: u32) -> Option<Result<()>>;

    /// As [`Access::create_data`], for dropping data.
    fn delete_data(&self, document: &str) -> Option<Result<()>>;

    /// Whether the program drops data itself, and so alone knows where there is any.
    fn has_own_data(&self) -> bool;
}

/// Chooses for each operation who does it.
pub struct Live {
    access: Arc<dyn Access>,
    offline: Arc<dyn Data>,
}

impl Live {
    /// With what works on the images of guests that are off.
    pub fn new(access: Arc<dyn Access>, offline: Arc<dyn Data>) -> Live {
        Live { access, offline }
    }
}

impl Live {
    /// A running guest may have only some of the images by now: disks come and go.
    fn delete_from_guest(&self, monitor: &dyn Commands, point: &Point<'_>) -> Result<()> {
        let (in_use, others) = internal::in_use(monitor, point.images)?;
        internal::discard(monitor, point.name, &in_use)?;
        if others.is_empty() {
            return Ok(());
        }
        self.offline.delete(&Point {
            images: &others,
            ..*point
        })
    }
}

impl Data for Live {
    fn check_create(&self, point: &Point<'_>) -> Result<()> {
        if self.access.has_own_data() {
            return Ok(());
        }
        match self.access.commands()? {
            Some(monitor) => internal::check_capture(&*monitor, point.name, point.images),
            None => self.offline.check_create(point),
        }
    }

    fn create(&self, point: &Point<'_>, flags: u32) -> Result<()> {
        if let Some(done) = self.access.create_data(point.document, flags) {
            return done;
        }
        let Some(monitor) = self.access.commands()? else {
            return self.offline.create(point, flags);
        };
        internal::capture(&*monitor, point.name, point.images, self.access.progress())
    }

    fn check_revert(&self, point: &Point<'_>) -> Result<()> {
        if self.access.has_own_data() {
            return Ok(());
        }
        // Images tell without a lock, also while a guest has them open.
        self.offline.check_revert(point)
    }

    fn revert(&self, point: &Point<'_>, flags: u32) -> Result<()> {
        if let Some(done) = self.access.revert_data(point.document, flags) {
            return done;
        }
        let Some(monitor) = self.access.commands()? else {
            return self.offline.revert(point, flags);
        };
        internal::restore(&*monitor, point.name, point.images, self.access.progress())
    }

    fn delete(&self, point: &Point<'_>) -> Result<()> {
        if let Some(done) = self.access.delete_data(point.document) {
            return done;
        }
        match self.access.commands()? {
            Some(monitor) => self.delete_from_guest(&*monitor, point),
            None => self.offline.delete(point),
        }
    }

    fn tidy(&self, point: &Point<'_>) -> Result<()> {
        match self.access.commands()? {
            // A running guest's images are in use: the next tidying finds them.
            Some(_) => Ok(()),
            None => self.offline.tidy(point),
        }
    }

    fn count(&self, point: &Point<'_>) -> Result<usize> {
        if self.access.has_own_data() {
            return Ok(1);
        }
        // Images tell without a lock, also while a guest has them open.
        self.offline.count(point)
    }
}
