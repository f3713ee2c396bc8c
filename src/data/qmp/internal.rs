//! Internal snapshots of a running guest: its memory in the first image, its disks each in their
//! own.
//!
//! QEMU is told which nodes take part and which holds the memory, and what it did is looked up in
//! the images' own tables: neither a monitor's answer nor a name is trusted (docs/differences.md,
//! D12, D19).

use serde_json::{Value, json};

use super::nodes::{self, Node};
use super::status::{self, Status};
use super::{Commands, job};
use crate::data::progress::{Progress, Unwatched};
use crate::data::qcow2::{Facts, ImageFile};
use crate::data::{BEFORE, Image};
use crate::error::{Error, Result};

/// An image of the running guest.
struct Target<'a> {
    image: &'a Image,
    file: ImageFile,
    node: Node,
}

/// The images' nodes; the first holds the memory.
struct Targets<'a> {
    monitor: &'a dyn Commands,
    list: Vec<Target<'a>>,
}

/// Whether the images can take the snapshot. Nothing is touched.
pub fn check_capture(monitor: &dyn Commands, name: &str, images: &[Image]) -> Result<()> {
    Status::of(monitor)?.check_has_images()?;
    let targets = Targets::find(monitor, images)?.list;
    targets
        .iter()
        .try_for_each(|target| target.image.check_free(name, &target.facts()?))
}

/// Captures memory and disks. The guest goes on afterwards as it was before.
pub fn capture(
    monitor: &dyn Commands,
    name: &str,
    images: &[Image],
    progress: &dyn Progress,
) -> Result<()> {
    check_capture(monitor, name, images)?;
    let targets = Targets::find(monitor, images)?;
    let outcome = targets
        .save(name, progress)
        .and_then(|()| targets.verify_held("create", name));
    outcome.map_err(|cause| match targets.drop_from_all(name) {
        Ok(()) => cause,
        Err(undo) => cause.with_failed_undo(&undo),
    })
}

/// Brings memory and disks back. The guest is paused afterwards. Its former state is kept until
/// that has worked, and comes back if it has not.
pub fn restore(
    monitor: &dyn Commands,
    name: &str,
    images: &[Image],
    progress: &dyn Progress,
) -> Result<()> {
    let targets = Targets::find(monitor, images)?;
    targets.verify_held("revert", name)?;
    targets.verify_unambiguous(name)?;
    let now = Status::of(monitor)?;
    now.check_has_images()?;
    let was_running = now.is_running();
    if was_running {
        status::pause(monitor)?;
    }
    let saved = targets
        .drop_from_all(BEFORE)
        .and_then(|()| targets.save(BEFORE, &Unwatched));
    if let Err(cause) = saved {
        return Err(take_back(cause, || targets.resume(was_running)));
    }
    if let Err(cause) = targets.load(name, progress) {
        return Err(take_back(cause, || {
            targets.load(BEFORE, &Unwatched)?;
            targets.drop_from_all(BEFORE)?;
            targets.resume(was_running)
        }));
    }
    // The guest has what was asked for. If this fails the next revert does it.
    let dropped = targets.drop_from_all(BEFORE);
    let _ = dropped.or_else(|_| targets.drop_from_all(BEFORE));
    Ok(())
}

/// The images that the guest writes to, and the others.
pub fn in_use(monitor: &dyn Commands, images: &[Image]) -> Result<(Vec<Image>, Vec<Image>)> {
    let nodes = nodes::images(monitor)?;
    let is_in_use = |image: &Image| nodes::writable(&nodes, &image.path).is_ok();
    Ok(images.iter().cloned().partition(is_in_use))
}

/// Drops the snapshot from all images that hold it.
pub fn discard(monitor: &dyn Commands, name: &str, images: &[Image]) -> Result<()> {
    Targets::find(monitor, images)?.drop_from_all(name)
}

fn take_back(cause: Error, undo: impl FnOnce() -> Result<()>) -> Error {
    match undo() {
        Ok(()) => cause,
        Err(undo) => cause.with_failed_undo(&undo),
    }
}

impl Target<'_> {
    fn facts(&self) -> Result<Facts> {
        self.file
            .facts()
            .map_err(|error| self.unusable(&error.to_string()))
    }

    fn unusable(&self, reason: &str) -> Error {
        Error::ImageUnusable {
            disk: self.image.disk.clone(),
            image: self.image.path.clone(),
            reason: reason.to_owned(),
        }
    }

    fn contradiction(&self, action: &'static str, name: &str, reason: String) -> Error {
        Error::ImageOperation {
            action,
            snapshot: name.to_owned(),
            disk: self.image.disk.clone(),
            image: self.image.path.clone(),
            reason,
            undo: Vec::new(),
        }
    }
}

impl<'a> Targets<'a> {
    fn find(monitor: &'a dyn Commands, images: &'a [Image]) -> Result<Targets<'a>> {
        let nodes = nodes::images(monitor)?;
        let mut list = Vec::with_capacity(images.len());
        for image in images {
            let file = ImageFile::open(&image.path).map_err(|error| Error::ImageUnusable {
                disk: image.disk.clone(),
                image: image.path.clone(),
                reason: error.to_string(),
            })?;
            let node = nodes::writable(&nodes, &image.path)?.clone();
            list.push(Target { image, file, node });
        }
        Ok(Targets { monitor, list })
    }

    fn save(&self, name: &str, progress: &dyn Progress) -> Result<()> {
        self.run("create", "snapshot-save", name, true, progress)
    }

    /// The guest is paused before, so it is paused afterwards.
    fn load(&self, name: &str, progress: &dyn Progress) -> Result<()> {
        self.run("revert", "snapshot-load", name, true, progress)
    }

    fn run(
        &self,
        action: &'static str,
        command: &str,
        name: &str,
        with_memory: bool,
        progress: &dyn Progress,
    ) -> Result<()> {
        let nodes: Vec<&str> = self.list.iter().map(|target| &*target.node.name).collect();
        let mut arguments = json!({ "tag": name, "devices": nodes });
        if let (true, Some(first), Some(map)) =
            (with_memory, nodes.first(), arguments.as_object_mut())
        {
            map.insert("vmstate".to_owned(), Value::from(*first));
        }
        job::run(self.monitor, action, command, arguments, progress)
    }

    fn drop_from_all(&self, name: &str) -> Result<()> {
        let mut is_held = false;
        for target in &self.list {
            is_held |= target.facts()?.named(name).next().is_some();
        }
        if !is_held {
            return Ok(());
        }
        self.run("delete", "snapshot-delete", name, false, &Unwatched)?;
        for target in &self.list {
            if target.facts()?.named(name).next().is_some() {
                let reason = "the monitor reported success, but the snapshot is still in the image";
                return Err(target.contradiction("delete", name, reason.to_owned()));
            }
        }
        Ok(())
    }

    /// Each image holds it once, the first one with memory.
    fn verify_held(&self, action: &'static str, name: &str) -> Result<()> {
        for (place, target) in self.list.iter().enumerate() {
            let facts = target.facts()?;
            let held: Vec<_> = facts.named(name).collect();
            match held.as_slice() {
                [] => return Err(target.image.lacks(name)),
                [entry] if place > 0 || entry.vm_state_size > 0 => {}
                [_] => {
                    let reason = "the image holds the snapshot without the guest's memory";
                    return Err(target.contradiction(action, name, reason.to_owned()));
                }
                several => {
                    let reason =
                        format!("the image holds {} snapshots of that name", several.len());
                    return Err(target.contradiction(action, name, reason));
                }
            }
        }
        Ok(())
    }

    /// `snapshot-load` takes the first snapshot whose ID the name is, before it looks for names.
    fn verify_unambiguous(&self, name: &str) -> Result<()> {
        for target in &self.list {
            let facts = target.facts()?;
            let has_id = |entry: &&crate::data::qcow2::Entry| &*entry.id == name.as_bytes();
            let mut others = facts.snapshots.iter().filter(has_id);
            if others.any(|entry| &*entry.name != name.as_bytes()) {
                let reason =
                    "the name is the ID of another snapshot of the image, which QEMU would take";
                return Err(target.contradiction("revert", name, reason.to_owned()));
            }
        }
        Ok(())
    }

    fn resume(&self, was_running: bool) -> Result<()> {
        if was_running {
            status::resume(self.monitor)?;
        }
        Ok(())
    }
}
