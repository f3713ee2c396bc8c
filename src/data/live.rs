//! Data of guests that may run: the program's own hooks first, then the guest's monitor, then the
//! images of a guest that is off.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::QCOW2;
use super::progress::Progress;
use super::qmp::internal::Interrupted;
use super::qmp::{
    Afterwards, AgentCommands, Commands, External, Inside, KeptMemory, Meanwhile, MemoryWanted,
    NewOverlay, Origin, end_orphans, external, internal, layers, status,
};
use super::{
    Beside, Data, Difference, Image, Layer, Merge, Merged, OverlayFile, Point, PointDisk, Restore,
    firmware,
};
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
    /// What firmware and TPM remember is copied while the guest waits, at the instant of the rest.
    fn create_of_guest(&self, monitor: &dyn Commands, point: &Point<'_>, flags: u32) -> Result<()> {
        let progress = self.access.progress();
        let copy = || firmware::capture(point);
        let beside: Option<&status::Beside<'_>> = match point.firmware.copy {
            Some(_) => Some(&copy),
            None => None,
        };
        if is_inside(point) {
            let images = point.internal_images()?;
            // While firmware is copied the guest waits: it must not wait for documents too.
            let work = match beside {
                Some(_) => Beside::default(),
                None => point.beside,
            };
            return status::waiting_for(monitor, beside, || {
                internal::capture(monitor, point.name, &images, progress, work)
            });
        }
        let agent = match flags & QUIESCE {
            0 => None,
            _ => Some(self.access.agent().ok_or(Error::AgentMissing)?),
        };
        let wanted = wanted(point, flags)?;
        let work = point.beside;
        external::capture(monitor, agent.as_deref(), &wanted, beside, progress, work)
    }

    /// Where commands of a change go. What an operation that was cut off has begun in the guest is
    /// ended before.
    fn commands_of_change(&self) -> Result<Option<Arc<dyn Commands>>> {
        let commands = self.access.commands()?;
        if let Some(monitor) = &commands {
            end_orphans(&**monitor)?;
        }
        Ok(commands)
    }

    /// A running guest may have only some of the images by now: disks come and go.
    fn delete_from_guest(&self, monitor: &dyn Commands, point: &Point<'_>) -> Result<()> {
        let uses = internal::uses(monitor, &point.internal_images()?)?;
        internal::discard(monitor, point.name, &uses.written, point.beside)?;
        internal::discard_below(monitor, point.name, &uses.below)?;
        let is_unused =
            |disk: &PointDisk| uses.unused.iter().any(|image| image.disk == disk.target);
        let others: Vec<PointDisk> = point
            .disks
            .iter()
            .filter(|disk| disk.mode == DiskMode::Internal && is_unused(disk))
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

    /// A guest that ends meanwhile cannot take anything back itself.
    fn restore(
        &self,
        monitor: &dyn Commands,
        point: &Point<'_>,
        restores: &[Restore],
    ) -> Result<()> {
        let (images, copies) = loaded(point, restores)?;
        let progress = self.access.progress();
        match internal::restore(monitor, point.name, &images, &copies, progress) {
            Ok(()) => Ok(()),
            Err(Interrupted::Before(cause)) => {
                if let Ok(None) = self.access.commands() {
                    // What they kept is what they show. If this fails it is told to be there.
                    let _ = self.offline.tidy(point);
                }
                Err(cause)
            }
            Err(Interrupted::Loading(cause)) => Err(match self.access.commands() {
                Ok(None) => match self.offline.go_back(point, restores) {
                    Ok(()) => cause,
                    Err(undo) => cause.with_failed_undo(&undo),
                },
                // It has taken it back, or has said why not.
                _ => cause,
            }),
        }
    }

    /// The guest may have written to its overlays before it went: that goes into the images below,
    /// which the domain still has.
    fn take_back_without_guest(&self, point: &Point<'_>) -> Result<()> {
        let wanted = wanted(point, 0)?;
        for (overlay, base) in overlays(point) {
            let made = wanted
                .overlays
                .iter()
                .find(|made| made.overlay == overlay.path);
            if !made.map_or(Ok(false), external::is_filled)? {
                continue;
            }
            let disk = made.map_or(String::new(), |made| made.disk.clone());
            let step = Merge::Commit {
                disk,
                top: overlay.clone(),
                base: base.clone(),
            };
            let merged = self.offline.merge(&[step], point.lock, point.beside);
            merged.map_err(Merged::cause)?;
        }
        external::remove_files(&wanted)?;
        self.offline.take_back(point)
    }
}

impl Data for Live {
    fn check_create(&self, point: &Point<'_>) -> Result<()> {
        if self.access.has_own_data() {
            return Ok(());
        }
        let Some(monitor) = self.access.commands()? else {
            return match point.is_of_guest {
                true => Err(ended("captured")),
                false => self.offline.check_create(point),
            };
        };
        if is_inside(point) {
            internal::check_capture(&*monitor, point.name, &point.internal_images()?)?;
        } else {
            external::check_capture(&*monitor, &wanted(point, 0)?)?;
        }
        firmware::check_capture(point)
    }

    fn create(&self, point: &Point<'_>, flags: u32) -> Result<()> {
        if let Some(done) = self.access.create_data(point.document, flags) {
            return done.and_then(|()| firmware::capture(point));
        }
        let Some(monitor) = self.commands_of_change()? else {
            return match point.is_of_guest {
                true => Err(ended("captured")),
                false => self.offline.create(point, flags),
            };
        };
        let captured = self.create_of_guest(&*monitor, point, flags);
        captured.map_err(|cause| match firmware::take_back(point) {
            Ok(()) => cause,
            Err(undo) => cause.with_failed_undo(&undo),
        })
    }

    fn take_back(&self, point: &Point<'_>) -> Result<()> {
        if let Some(done) = self.access.delete_data(point.document) {
            return done;
        }
        match self.commands_of_change()? {
            Some(monitor) if is_inside(point) => {
                status::go_on(&*monitor, point.guest)?;
                self.delete_from_guest(&*monitor, point)?;
            }
            Some(monitor) => external::discard(&*monitor, &wanted(point, 0)?, point.guest)?,
            None if point.is_of_guest && point.is_external() => {
                self.take_back_without_guest(point)?;
            }
            None => return self.offline.take_back(point),
        }
        firmware::take_back(point)
    }

    fn check_revert(&self, point: &Point<'_>, restores: &[Restore]) -> Result<()> {
        if self.access.has_own_data() {
            return Ok(());
        }
        if let Some(file) = point.memory {
            KeptMemory::open(file)?;
        }
        // Images tell without a lock, also while a guest has them open.
        self.offline.check_revert(point, restores)
    }

    fn revert(&self, point: &Point<'_>, restores: &[Restore], flags: u32) -> Result<()> {
        if let Some(done) = self.access.revert_data(point.document, flags) {
            let is_ours = !self.access.has_own_data() && self.access.commands()?.is_none();
            return match is_ours {
                true => done.and_then(|()| firmware::stage(point)),
                false => done,
            };
        }
        let is_beside = restores.iter().all(Restore::is_beside_the_guest);
        let guest = self.commands_of_change()?.filter(|_| !is_beside);
        let Some(monitor) = guest else {
            return self.offline.revert(point, restores, flags);
        };
        self.restore(&*monitor, point, restores)
    }

    fn load(&self, point: &Point<'_>, restores: &[Restore]) -> Result<()> {
        let monitor = self.commands_of_change()?;
        let monitor = monitor.ok_or_else(|| ended("brought back"))?;
        self.restore(&*monitor, point, restores)
    }

    fn check_load(&self, point: &Point<'_>, restores: &[Restore]) -> Result<()> {
        internal::check_held(point.name, &point.internal_images()?)?;
        let (mut in_place, copies) = loaded(point, restores)?;
        // A copy has the snapshot alone.
        in_place.retain(|image| !copies.contains(image));
        internal::check_unambiguous(point.name, &in_place)?;
        self.offline.check_load(point, restores)
    }

    fn prepare_load(&self, point: &Point<'_>, restores: &[Restore]) -> Result<()> {
        self.offline.prepare_load(point, restores)
    }

    fn go_back(&self, point: &Point<'_>, restores: &[Restore]) -> Result<()> {
        self.offline.go_back(point, restores)
    }

    /// A guest that is on has got both with its memory: QEMU writes the variables to their file, and
    /// swtpm its state.
    fn replace_firmware(&self, point: &Point<'_>) -> Result<()> {
        if self.access.has_own_data() {
            return Ok(());
        }
        match self.access.commands()? {
            Some(_) => Ok(()),
            None => self.offline.replace_firmware(point),
        }
    }

    fn load_memory(&self, file: &Path) -> Result<()> {
        let monitor = self.access.commands()?;
        let monitor = monitor.ok_or_else(|| ended("given its memory"))?;
        KeptMemory::open(file)?.load(&*monitor, self.access.progress())
    }

    fn check_delete(&self, point: &Point<'_>) -> Result<()> {
        if self.access.has_own_data() {
            return Ok(());
        }
        match self.access.commands()? {
            // The guest itself writes to the images that it has.
            Some(_) => Ok(()),
            None => self.offline.check_delete(point),
        }
    }

    fn delete(&self, point: &Point<'_>) -> Result<()> {
        if let Some(done) = self.access.delete_data(point.document) {
            return done;
        }
        match self.commands_of_change()? {
            Some(monitor) => self.delete_from_guest(&*monitor, point),
            None => self.offline.delete(point),
        }
    }

    fn check_merge(&self, steps: &[Merge]) -> Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        match self.access.commands()? {
            Some(monitor) => layers::check(&*monitor, steps),
            None => self.offline.check_merge(steps),
        }
    }

    fn merge(
        &self,
        steps: &[Merge],
        lock: Option<BorrowedFd<'_>>,
        beside: Beside<'_>,
    ) -> std::result::Result<(), Merged> {
        if steps.is_empty() {
            return Ok(());
        }
        match self.commands_of_change().map_err(Merged::Untouched)? {
            Some(monitor) => {
                let progress = self.access.progress();
                layers::merge(&*monitor, steps, progress, |step| {
                    self.offline.merge(std::slice::from_ref(step), lock, beside)
                })
            }
            None => self.offline.merge(steps, lock, beside),
        }
    }

    fn discard(&self, restores: &[Restore]) -> Result<()> {
        let files = restores.iter().filter_map(Restore::new_file).cloned();
        let files: Vec<PathBuf> = files.collect();
        if files.is_empty() {
            return Ok(());
        }
        if let Some(monitor) = self.access.commands()? {
            layers::forget(&*monitor, &files)?;
        }
        self.offline.discard(restores)
    }

    fn remove(&self, files: &[PathBuf]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        if let Some(monitor) = self.access.commands()? {
            layers::forget(&*monitor, files)?;
        }
        self.offline.remove(files)
    }

    fn keeps_former(&self, point: &Point<'_>, restores: &[Restore]) -> bool {
        match self.access.commands() {
            Ok(None) => self.offline.keeps_former(point, restores),
            // What a running guest's images hold is told by the next tidying.
            Ok(Some(_)) | Err(_) => false,
        }
    }

    fn tidy(&self, point: &Point<'_>) -> Result<()> {
        if self.access.has_own_data() {
            return Ok(());
        }
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

fn ended(before: &str) -> Error {
    Error::GuestState {
        detail: format!("the guest ended before it was {before}"),
    }
}

/// The images that a guest loads a snapshot from, and those of them that are copies of its own.
fn loaded(point: &Point<'_>, restores: &[Restore]) -> Result<(Vec<Image>, Vec<Image>)> {
    let mut images = point.internal_images()?;
    let mut copies = Vec::new();
    for image in &mut images {
        let is_this = |restore: &&Restore| restore.disk() == image.disk;
        if let Some(copy) = restores.iter().find(is_this).and_then(Restore::new_file) {
            image.path.clone_from(copy);
            copies.push(image.clone());
        }
    }
    Ok((images, copies))
}

/// VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE.
const QUIESCE: u32 = 64;
/// VIR_DOMAIN_SNAPSHOT_CREATE_LIVE.
const LIVE: u32 = 256;

/// Whether all of a running guest is captured inside of its images, by one job.
fn is_inside(point: &Point<'_>) -> bool {
    point.has_memory_inside && !point.is_external()
}

/// A snapshot with external parts or without memory, as the guest's process is asked for it.
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
                origin: match disk.overlay_file {
                    OverlayFile::New => Origin::Ours,
                    OverlayFile::Empty => Origin::Found,
                    OverlayFile::Reused => Origin::Callers,
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
    let manual = point.disks.iter().any(|disk| disk.mode == DiskMode::Manual);
    let images = point.internal_images()?;
    let inside = (!images.is_empty()).then(|| Inside {
        name: point.name.to_owned(),
        images,
        has_memory: point.has_memory_inside,
    });
    Ok(External {
        overlays,
        inside,
        memory,
        afterwards: match manual {
            true => Afterwards::Paused,
            false => Afterwards::AsBefore,
        },
    })
}

/// Each overlay with the image below it.
fn overlays<'p>(point: &'p Point<'_>) -> impl Iterator<Item = (&'p Layer, &'p Layer)> {
    let external = point
        .disks
        .iter()
        .filter(|disk| disk.mode == DiskMode::External);
    external.filter_map(|disk| Some((disk.overlay.local()?, disk.base.local()?)))
}
