//! Data of guests that may run: the program's own hooks first, then the guest's monitor, then the
//! images of a guest that is off.

use std::sync::Arc;

use super::chain::QCOW2;
use super::progress::Progress;
use super::qmp::{
    AgentCommands, Commands, External, Meanwhile, MemoryWanted, NewOverlay, Origin, external,
    internal,
};
use super::{Data, Difference, Image, Point, PointDisk};
use crate::error::{Error, Result};
use crate::snapshot::DiskMode;

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
        let (in_use, _) = internal::in_use(monitor, &point.internal_images()?)?;
        internal::discard(monitor, point.name, &in_use)?;
        let is_in_use = |disk: &PointDisk| in_use.iter().any(|image| image.disk == disk.target);
        let others: Vec<PointDisk> = point
            .disks
            .iter()
            .filter(|disk| disk.mode == DiskMode::Internal && !is_in_use(disk))
            .cloned()
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        self.offline.delete(&Point {
            disks: &others,
            ..*point
        })
    }

    /// The guest may have written to its overlays before it went: that goes into the images below,
    /// which the domain still has.
    fn take_back_without_guest(&self, point: &Point<'_>) -> Result<()> {
        let wanted = wanted(point, 0)?;
        for overlay in &wanted.overlays {
            if external::is_filled(overlay)? {
                let image = Image {
                    disk: overlay.disk.clone(),
                    path: overlay.overlay.clone(),
                };
                self.offline.fold(&image, point.lock)?;
            }
        }
        external::remove_files(&wanted)
    }
}

impl Data for Live {
    fn check_create(&self, point: &Point<'_>) -> Result<()> {
        if self.access.has_own_data() {
            return Ok(());
        }
        match self.access.commands()? {
            Some(monitor) if point.is_external() => {
                external::check_capture(&*monitor, &wanted(point, 0)?)
            }
            Some(monitor) => {
                internal::check_capture(&*monitor, point.name, &point.internal_images()?)
            }
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
        let progress = self.access.progress();
        if !point.is_external() {
            let images = point.internal_images()?;
            return internal::capture(&*monitor, point.name, &images, progress);
        }
        let agent = match flags & QUIESCE {
            0 => None,
            _ => Some(self.access.agent().ok_or(Error::AgentMissing)?),
        };
        external::capture(
            &*monitor,
            agent.as_deref(),
            &wanted(point, flags)?,
            progress,
        )
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
        let images = point.internal_images()?;
        internal::restore(&*monitor, point.name, &images, self.access.progress())
    }

    fn delete(&self, point: &Point<'_>) -> Result<()> {
        if let Some(done) = self.access.delete_data(point.document) {
            return done;
        }
        match self.access.commands()? {
            Some(monitor) if point.is_external() => {
                external::discard(&*monitor, &wanted(point, 0)?)
            }
            Some(monitor) => self.delete_from_guest(&*monitor, point),
            None if point.is_external() => self.take_back_without_guest(point),
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

    fn differences(&self, point: &Point<'_>) -> Vec<Difference> {
        self.offline.differences(point)
    }
}

/// VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE.
const QUIESCE: u32 = 64;
/// VIR_DOMAIN_SNAPSHOT_CREATE_LIVE.
const LIVE: u32 = 256;

/// An external snapshot, as the guest's process is asked for it.
fn wanted(point: &Point<'_>, flags: u32) -> Result<External> {
    let overlays = point
        .disks
        .iter()
        .filter(|disk| disk.mode == DiskMode::External)
        .map(|disk| match (disk.base.local(), disk.overlay.local()) {
            (Some(base), Some(overlay)) => Ok(NewOverlay {
                disk: disk.target.clone(),
                image: base.path.clone(),
                overlay: overlay.path.clone(),
                format: overlay.format.clone().unwrap_or_else(|| QCOW2.to_owned()),
                origin: if disk.reuse {
                    Origin::Callers
                } else {
                    Origin::Ours
                },
            }),
            _ => Err(Error::DiskWithoutSource {
                disk: disk.target.clone(),
            }),
        })
        .collect::<Result<_>>()?;
    let guest = match flags & LIVE {
        0 => Meanwhile::Paused,
        _ => Meanwhile::Runs,
    };
    let memory = point.memory.map(|file| MemoryWanted {
        file: file.to_owned(),
        definition: point.definition().to_owned(),
        guest,
    });
    Ok(External { overlays, memory })
}
