//! libvirt does the work. It keeps a snapshot's metadata while it works on its data, and no longer.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::executor::{Executor, Neighbour, Secrets, Start};
use super::qcow2::{Facts, ImageFile};
use super::{Beside, Data, Difference, Image, Merge, Merged, Point, QemuImg, Restore, check};
use crate::error::{Error, Result};
use crate::libvirt::{self, Driver, Rights};

/// virDomainSnapshotCreateFlags and virDomainSnapshotDeleteFlags.
const CREATE_REDEFINE: u32 = 1;
const CREATE_NO_METADATA: u32 = 4;
const DELETE_METADATA_ONLY: u32 = 2;

/// virDomainCreateFlags.
const START_PAUSED: u32 = 1;
const START_RESET_NVRAM: u32 = 32;

/// The data of one domain of libvirt's.
pub struct Libvirt {
    domain: Arc<libvirt::Domain>,
    driver: Driver,
    /// What works on images that are files of this host.
    images: Option<QemuImg>,
}

impl Libvirt {
    /// For that domain.
    pub fn new(domain: Arc<libvirt::Domain>, driver: Driver) -> Result<Libvirt> {
        let is_local = driver == Driver::Qemu && domain.is_local()?;
        Ok(Libvirt {
            domain,
            driver,
            images: is_local.then(|| QemuImg::new("qemu-img")),
        })
    }

    /// What an image says of itself; `None` where it cannot be looked into: it is elsewhere, may
    /// not be read, or is of another format.
    fn facts(&self, image: &Image) -> Option<Facts> {
        self.images.as_ref()?;
        ImageFile::open(&image.path).ok()?.facts().ok()
    }

    /// The images that hold data of that name.
    fn holders(&self, point: &Point<'_>) -> Vec<Image> {
        let mut images = point.reachable_images();
        images.retain(|image| {
            self.facts(image)
                .is_some_and(|facts| facts.named(point.name).next().is_some())
        });
        images
    }
}

impl Data for Libvirt {
    fn check_create(&self, point: &Point<'_>) -> Result<()> {
        for image in &point.reachable_images() {
            if let Some(facts) = self.facts(image) {
                image.check_free(point.name, &facts)?;
            }
        }
        Ok(())
    }

    fn create(&self, point: &Point<'_>, flags: u32) -> Result<()> {
        self.take(point.document, flags | CREATE_NO_METADATA)
            .map(|_| ())
    }

    fn take_back(&self, point: &Point<'_>) -> Result<()> {
        self.delete(point)
    }

    fn check_revert(&self, point: &Point<'_>, _restores: &[Restore]) -> Result<()> {
        for image in &point.internal_images()? {
            let Some(facts) = self.facts(image) else {
                continue;
            };
            let unusable = |reason: &str| Error::ImageUnusable {
                disk: image.disk.clone(),
                image: image.path.clone(),
                reason: reason.to_owned(),
            };
            check_holds(point, image, &facts)?;
            if facts.named(point.name).count() > 1 {
                return Err(unusable("it holds several snapshots of that name"));
            }
            // qemu-img takes a name for an id first (docs/differences.md, D10).
            let by_id = facts
                .snapshots
                .iter()
                .find(|entry| *entry.id == *point.name.as_bytes());
            if by_id.is_some_and(|entry| *entry.name != *point.name.as_bytes()) {
                return Err(unusable("the name is the id of another snapshot in it"));
            }
        }
        Ok(())
    }

    fn revert(&self, point: &Point<'_>, restores: &[Restore], flags: u32) -> Result<()> {
        self.check_revert(point, restores)?;
        self.lend(point.document)?;
        let reverted = self.revert_kept(point.name, flags);
        let forgotten = self.forget(point.name);
        reverted.and(forgotten)
    }

    fn delete(&self, point: &Point<'_>) -> Result<()> {
        self.lend(point.document)?;
        if let Err(cause) = self.delete_kept(point.name) {
            return Err(match self.forget(point.name) {
                Ok(()) => cause,
                Err(undo) => cause.with_failed_undo(&undo),
            });
        }
        // libvirt calls it a success, too, when no image could be changed (docs/differences.md, D19).
        match self.holders(point).first() {
            None => Ok(()),
            Some(image) => Err(Error::ImageOperation {
                action: "delete",
                snapshot: point.name.to_owned(),
                disk: image.disk.clone(),
                image: image.path.clone(),
                reason: "libvirt reports success, but the image still holds it".to_owned(),
                undo: Vec::new(),
            }),
        }
    }

    fn count(&self, point: &Point<'_>) -> Result<usize> {
        Ok(self.holders(point).len())
    }

    /// libvirt merges while it deletes.
    fn merge(
        &self,
        steps: &[Merge],
        _lock: Option<BorrowedFd<'_>>,
        _beside: Beside<'_>,
    ) -> std::result::Result<(), Merged> {
        if steps.is_empty() {
            return Ok(());
        }
        Err(Merged::Untouched(Error::Unsupported {
            what: "bringing images of libvirt's domains together is",
        }))
    }

    fn remove(&self, files: &[PathBuf]) -> Result<()> {
        self.images
            .as_ref()
            .map_or(Ok(()), |images| images.remove(files))
    }

    fn keeps_former(&self, point: &Point<'_>, restores: &[Restore]) -> bool {
        self.images
            .as_ref()
            .is_some_and(|images| images.keeps_former(point, restores))
    }

    fn tidy(&self, point: &Point<'_>) -> Result<()> {
        self.images
            .as_ref()
            .map_or(Ok(()), |images| images.tidy(point))
    }

    fn differences(&self, point: &Point<'_>) -> Vec<Difference> {
        if !self.has_data() {
            return Vec::new();
        }
        if self.images.is_some() {
            return check::differences(point);
        }
        check::unchecked(point, "its domain is of another host")
    }

    fn executor(&self) -> Option<&dyn Executor> {
        Some(self)
    }
}

impl Executor for Libvirt {
    fn driver(&self) -> Driver {
        self.driver
    }

    fn may_change(&self) -> bool {
        self.domain.rights() != Some(Rights::ReadOnly)
    }

    fn check_taken(&self, point: &Point<'_>) -> Result<()> {
        for image in &point.reachable_images() {
            if let Some(facts) = self.facts(image) {
                check_holds(point, image, &facts)?;
            }
        }
        Ok(())
    }

    fn has_data(&self) -> bool {
        self.driver != Driver::Test
    }

    fn kept(&self) -> Result<Vec<String>> {
        if self.domain.snapshot_count()? == 0 {
            return Ok(Vec::new());
        }
        self.domain
            .snapshots()?
            .iter()
            .map(libvirt::Snapshot::name)
            .collect()
    }

    fn kept_document(&self, name: &str, secrets: Secrets) -> Result<String> {
        self.domain.snapshot(name)?.xml(secrets == Secrets::Shown)
    }

    fn kept_current(&self) -> Result<Option<String>> {
        let current = self.domain.current_snapshot()?;
        current.map(|current| current.name()).transpose()
    }

    fn take(&self, request: &str, flags: u32) -> Result<Option<String>> {
        let snapshot = self.domain.create_snapshot(request, flags)?;
        if flags & CREATE_NO_METADATA != 0 {
            return Ok(None);
        }
        snapshot.xml(true).map(Some)
    }

    fn lend(&self, document: &str) -> Result<()> {
        self.domain
            .create_snapshot(document, CREATE_REDEFINE)
            .map(|_| ())
    }

    fn revert_kept(&self, name: &str, flags: u32) -> Result<()> {
        self.domain.snapshot(name)?.revert(flags)
    }

    fn delete_kept(&self, name: &str) -> Result<()> {
        self.domain.snapshot(name)?.delete(0)
    }

    fn forget(&self, name: &str) -> Result<()> {
        // The test driver has no data and does not know the flag.
        let flags = if self.has_data() {
            DELETE_METADATA_ONLY
        } else {
            0
        };
        self.domain.snapshot(name)?.delete(flags)
    }

    fn images(&self) -> Option<&dyn Data> {
        self.images.as_ref().map(|images| images as &dyn Data)
    }

    fn define(&self, definition: &str) -> Result<()> {
        self.domain.define(definition)
    }

    fn running_definition(&self) -> Result<Option<String>> {
        self.domain.running_definition()
    }

    fn has_managed_save(&self) -> Result<bool> {
        self.domain.has_managed_save()
    }

    fn start(&self, start: Start) -> Result<()> {
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        let paused = flag(start.is_paused, START_PAUSED);
        self.domain
            .start(paused | flag(start.resets_nvram, START_RESET_NVRAM))
    }

    fn others(&self) -> Result<Vec<Neighbour>> {
        let uuid = self.domain.uuid()?;
        let mut others = Vec::new();
        for domain in self.domain.all_of_connection()? {
            if domain.uuid()? == uuid {
                continue;
            }
            match neighbour(&domain) {
                Ok(neighbour) => others.push(neighbour),
                // It went meanwhile.
                Err(Error::Libvirt(saved)) if saved.is_no_domain() => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(others)
    }
}

fn neighbour(domain: &libvirt::Domain) -> Result<Neighbour> {
    let mut definitions = vec![domain.definition()?];
    definitions.extend(domain.running_definition()?);
    let snapshots = match domain.snapshot_count()? {
        0 => Vec::new(),
        _ => domain.snapshots()?,
    };
    Ok(Neighbour {
        uuid: domain.uuid()?,
        definitions,
        snapshots: snapshots
            .iter()
            .map(|snapshot| snapshot.xml(false))
            .collect::<Result<_>>()?,
    })
}

fn check_holds(point: &Point<'_>, image: &Image, facts: &Facts) -> Result<()> {
    if facts.named(point.name).next().is_some() {
        return Ok(());
    }
    Err(image.lacks(point.name))
}
