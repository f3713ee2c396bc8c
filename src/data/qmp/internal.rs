//! Internal snapshots of a running guest: its memory in the first image, its disks each in their
//! own.
//!
//! QEMU is told which nodes take part and which holds the memory, and what it did is looked up in
//! the images' own tables: neither a monitor's answer nor a name is trusted (docs/differences.md,
//! D12, D19).

use serde_json::{Value, json};

use super::nodes::{self, Node, Opened};
use super::status::{self, Status};
use super::{Commands, job};
use crate::data::progress::{Progress, Unwatched};
use crate::data::qcow2::{Entry, Facts, ImageFile};
use crate::data::{BEFORE, Beside, Image};
use crate::error::{Error, Result};

/// An image, to be looked into.
struct Held<'a> {
    image: &'a Image,
    file: ImageFile,
}

/// An image of the running guest.
struct Target<'a> {
    held: Held<'a>,
    node: Node,
}

/// The images' nodes; the first holds the memory.
struct Targets<'a> {
    monitor: &'a dyn Commands,
    list: Vec<Target<'a>>,
}

/// Whether the images can take the snapshot. Nothing is touched.
pub fn check_capture(monitor: &dyn Commands, name: &str, images: &[Image]) -> Result<()> {
    Targets::free(monitor, name, images).map(drop)
}

/// Captures memory and disks, while the caller does its own work. The guest goes on afterwards as it
/// was before.
pub fn capture(
    monitor: &dyn Commands,
    name: &str,
    images: &[Image],
    progress: &dyn Progress,
    work: Beside<'_>,
) -> Result<()> {
    let targets = Targets::free(monitor, name, images)?;
    let outcome = targets
        .save(name, progress, work)
        .and_then(|()| targets.verify_held("create", name));
    outcome.map_err(|cause| match targets.drop_from_all(name) {
        Ok(()) => cause,
        Err(undo) => cause.with_failed_undo(&undo),
    })
}

/// A revert that did not come to its end.
#[derive(Debug)]
pub enum Interrupted {
    /// The images show what they did.
    Before(Error),
    /// Each image has kept what it showed before, and may show the snapshot.
    Loading(Error),
}

/// Whether the images hold the snapshot once each, the first one with memory. Neither they nor a
/// guest are touched.
pub fn check_held(name: &str, images: &[Image]) -> Result<()> {
    verify_held(&held(images)?, "revert", name)
}

/// As [`check_held`], of disks alone.
pub fn check_held_disks(name: &str, images: &[Image]) -> Result<()> {
    held(images)?
        .iter()
        .try_for_each(|held| held.only("create", name).map(drop))
}

/// Whether QEMU will find the snapshot by its name in each image: it takes the first one whose ID
/// the name is, before it looks for names.
pub fn check_unambiguous(name: &str, images: &[Image]) -> Result<()> {
    for held in held(images)? {
        let facts = held.facts()?;
        let has_id = |entry: &&Entry| &*entry.id == name.as_bytes();
        let mut others = facts.snapshots.iter().filter(has_id);
        if others.any(|entry| &*entry.name != name.as_bytes()) {
            let reason =
                "the name is the ID of another snapshot of the image, which QEMU would take";
            return Err(held.contradiction("revert", name, reason.to_owned()));
        }
    }
    Ok(())
}

fn held(images: &[Image]) -> Result<Vec<Held<'_>>> {
    images.iter().map(Held::open).collect()
}

/// Brings memory and disks back. The guest is paused afterwards. Its former state is kept until
/// that has worked, and comes back if it has not. Images that are copies, of the snapshot alone,
/// hold it no more afterwards.
pub fn restore(
    monitor: &dyn Commands,
    name: &str,
    images: &[Image],
    copies: &[Image],
    progress: &dyn Progress,
) -> std::result::Result<(), Interrupted> {
    let before = Interrupted::Before;
    let targets = Targets::find(monitor, images).map_err(before)?;
    let copies = Targets::find(monitor, copies).map_err(before)?;
    check_held(name, images).map_err(before)?;
    check_unambiguous(name, images).map_err(before)?;
    let now = Status::of(monitor).map_err(before)?;
    now.check_has_images().map_err(before)?;
    let was_running = now.is_running();
    if was_running {
        status::pause(monitor).map_err(before)?;
    }
    let saved = targets
        .drop_from_all(BEFORE)
        .and_then(|()| targets.save(BEFORE, &Unwatched, Beside::default()));
    if let Err(cause) = saved {
        return Err(before(take_back(cause, || targets.resume(was_running))));
    }
    let loaded = targets
        .load(name, progress)
        .and_then(|()| copies.drop_from_all(name));
    if let Err(cause) = loaded {
        return Err(Interrupted::Loading(take_back(cause, || {
            targets.load(BEFORE, &Unwatched)?;
            targets.drop_from_all(BEFORE)?;
            targets.resume(was_running)
        })));
    }
    // The guest has what was asked for. If this fails the next revert does it.
    let dropped = targets.drop_from_all(BEFORE);
    let _ = dropped.or_else(|_| targets.drop_from_all(BEFORE));
    Ok(())
}

/// Images by what the guest does with them.
#[derive(Debug, Default)]
pub struct Uses {
    /// It writes to them.
    pub written: Vec<Image>,
    /// Its own stand on them.
    pub below: Vec<Image>,
    /// It has not opened them.
    pub unused: Vec<Image>,
}

/// What the guest does with images.
pub fn uses(monitor: &dyn Commands, images: &[Image]) -> Result<Uses> {
    let nodes = nodes::images(monitor)?;
    let mut uses = Uses::default();
    for image in images {
        let list = if nodes::writable(&nodes, &image.path).is_ok() {
            &mut uses.written
        } else if nodes::any(&nodes, &image.path).is_ok() {
            &mut uses.below
        } else {
            &mut uses.unused
        };
        list.push(image.clone());
    }
    Ok(uses)
}

/// Drops the snapshot from all images that hold it, while the caller does its own work.
pub fn discard(
    monitor: &dyn Commands,
    name: &str,
    images: &[Image],
    work: Beside<'_>,
) -> Result<()> {
    Targets::find(monitor, images)?.drop_beside(name, work)
}

/// As [`discard`], from images on which the guest's own stand: QEMU has them open for reading.
pub fn discard_below(monitor: &dyn Commands, name: &str, images: &[Image]) -> Result<()> {
    for image in images {
        let held = Held::open(image)?;
        if held.facts()?.named(name).next().is_none() {
            continue;
        }
        Status::of(monitor)?.check_has_images()?;
        let known = nodes::images(monitor)?;
        let node = &nodes::any(&known, &image.path)?.name;
        let dropped = nodes::reopen(monitor, node, Opened::ForWriting)
            .and_then(|()| Targets::find(monitor, std::slice::from_ref(image)))
            .and_then(|targets| targets.drop_from_all(name));
        let close = || nodes::reopen(monitor, node, Opened::ForReading);
        match (dropped, close().or_else(|_| close())) {
            (done, Ok(())) => done?,
            (Ok(()), Err(cause)) => return Err(cause),
            (Err(cause), Err(undo)) => return Err(cause.with_failed_undo(&undo)),
        }
    }
    Ok(())
}

fn take_back(cause: Error, undo: impl FnOnce() -> Result<()>) -> Error {
    match undo() {
        Ok(()) => cause,
        Err(undo) => cause.with_failed_undo(&undo),
    }
}

impl<'a> Held<'a> {
    fn open(image: &'a Image) -> Result<Held<'a>> {
        let file = ImageFile::open(&image.path).map_err(|error| Error::ImageUnusable {
            disk: image.disk.clone(),
            image: image.path.clone(),
            reason: error.to_string(),
        })?;
        Ok(Held { image, file })
    }

    fn facts(&self) -> Result<Facts> {
        self.file
            .facts()
            .map_err(|error| self.unusable(&error.to_string()))
    }

    /// The one snapshot of that name.
    fn only(&self, action: &'static str, name: &str) -> Result<Entry> {
        let facts = self.facts()?;
        let entries: Vec<&Entry> = facts.named(name).collect();
        match entries.as_slice() {
            [] => Err(self.image.lacks(name)),
            [entry] => Ok(Entry::clone(entry)),
            several => {
                let reason = format!("the image holds {} snapshots of that name", several.len());
                Err(self.contradiction(action, name, reason))
            }
        }
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
            let held = Held::open(image)?;
            let node = nodes::writable(&nodes, &image.path)?.clone();
            list.push(Target { held, node });
        }
        Ok(Targets { monitor, list })
    }

    /// The images, if they can take a snapshot of that name.
    fn free(monitor: &'a dyn Commands, name: &str, images: &'a [Image]) -> Result<Targets<'a>> {
        Status::of(monitor)?.check_has_images()?;
        let targets = Targets::find(monitor, images)?;
        for target in &targets.list {
            target.held.image.check_free(name, &target.held.facts()?)?;
        }
        Ok(targets)
    }

    fn save(&self, name: &str, progress: &dyn Progress, work: Beside<'_>) -> Result<()> {
        let arguments = self.arguments(name, true);
        let command = "snapshot-save";
        job::run_beside(self.monitor, "create", command, arguments, progress, work)
    }

    /// The guest is paused before, so it is paused afterwards.
    fn load(&self, name: &str, progress: &dyn Progress) -> Result<()> {
        let arguments = self.arguments(name, true);
        job::run(self.monitor, "revert", "snapshot-load", arguments, progress)
    }

    fn arguments(&self, name: &str, with_memory: bool) -> Value {
        let nodes: Vec<&str> = self.list.iter().map(|target| &*target.node.name).collect();
        let mut arguments = json!({ "tag": name, "devices": nodes });
        if let (true, Some(first), Some(map)) =
            (with_memory, nodes.first(), arguments.as_object_mut())
        {
            map.insert("vmstate".to_owned(), Value::from(*first));
        }
        arguments
    }

    fn drop_from_all(&self, name: &str) -> Result<()> {
        self.drop_beside(name, Beside::default())
    }

    fn drop_beside(&self, name: &str, work: Beside<'_>) -> Result<()> {
        let mut is_held = false;
        for target in &self.list {
            is_held |= target.held.facts()?.named(name).next().is_some();
        }
        if !is_held {
            return Ok(());
        }
        Status::of(self.monitor)?.check_has_images()?;
        let arguments = self.arguments(name, false);
        let command = "snapshot-delete";
        job::run_beside(self.monitor, "delete", command, arguments, &Unwatched, work)?;
        for target in &self.list {
            if target.held.facts()?.named(name).next().is_some() {
                let reason = "the monitor reported success, but the snapshot is still in the image";
                return Err(target.held.contradiction("delete", name, reason.to_owned()));
            }
        }
        Ok(())
    }

    /// Each image holds it once, the first one with memory.
    fn verify_held(&self, action: &'static str, name: &str) -> Result<()> {
        verify_held(self.list.iter().map(|target| &target.held), action, name)
    }

    fn resume(&self, was_running: bool) -> Result<()> {
        if was_running {
            status::resume(self.monitor)?;
        }
        Ok(())
    }
}

/// Each image holds it once, the first one with memory.
fn verify_held<'h, 'i: 'h>(
    images: impl IntoIterator<Item = &'h Held<'i>>,
    action: &'static str,
    name: &str,
) -> Result<()> {
    for (place, held) in images.into_iter().enumerate() {
        if held.only(action, name)?.vm_state_size == 0 && place == 0 {
            let reason = "the image holds the snapshot without the guest's memory";
            return Err(held.contradiction(action, name, reason.to_owned()));
        }
    }
    Ok(())
}
