//! New overlays over the active images of a running guest: prepared one by one, switched to at one
//! instant.
//!
//! Until the one `transaction` the guest does not know of them, and everything can be taken back.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::nodes::{self, Node};
use super::{Commands, Inside, fresh_name, internal, job};
use crate::data::Beside;
use crate::data::progress::Unwatched;
use crate::error::{Error, Result};

/// An overlay that a disk is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOverlay {
    /// The domain disk's target, for messages.
    pub disk: String,
    /// The image that the guest writes to now.
    pub image: PathBuf,
    /// The image that it shall write to then.
    pub overlay: PathBuf,
    /// Its format.
    pub format: String,
    /// Whether the caller has made it (`REUSE_EXT`).
    pub origin: Origin,
}

/// Who makes an overlay's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// We do.
    Ours,
    /// We do, in an empty file or on a block device that was there.
    Found,
    /// The caller did: it is used as it is, and never removed.
    Callers,
}

impl NewOverlay {
    /// Leaves what was there before: nothing, an empty file, or what the caller has made. A block
    /// device stays, without what makes it an image.
    pub(super) fn remove(&self) -> Result<()> {
        let path = &self.overlay;
        match self.origin {
            Origin::Found if is_device(path) => {
                blank(path).map_err(|cause| Error::io("clear", path, cause))
            }
            Origin::Ours => remove(path).map_err(|cause| Error::io("remove", path, cause)),
            Origin::Found => OpenOptions::new()
                .write(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
                .open(path)
                .and_then(|file| file.set_len(0))
                .map_err(|cause| Error::io("empty", path, cause)),
            Origin::Callers => Ok(()),
        }
    }
}

/// Overlays that wait for the switch.
pub(super) struct Overlays<'a> {
    monitor: &'a dyn Commands,
    /// Added nodes, in that order.
    nodes: Vec<String>,
    /// Files that we have made, or filled.
    files: Vec<NewOverlay>,
    /// The format node below and the overlay's, for each disk.
    switches: Vec<(String, String)>,
    /// What is captured inside of images at the same instant, and their nodes.
    inside: Option<(&'a Inside, Vec<String>)>,
    /// What the caller does while an overlay is formatted.
    work: Beside<'a>,
}

impl<'a> Overlays<'a> {
    /// Makes the overlays known to the guest's process; all of them or none.
    pub fn prepare(
        monitor: &'a dyn Commands,
        wanted: &[NewOverlay],
        inside: Option<&'a Inside>,
        work: Beside<'a>,
    ) -> Result<Overlays<'a>> {
        let known = nodes::images(monitor)?;
        let mut overlays = Overlays {
            monitor,
            nodes: Vec::new(),
            files: Vec::new(),
            switches: Vec::new(),
            inside: inside
                .map(|inside| inside_nodes(&known, inside))
                .transpose()?,
            work,
        };
        for overlay in wanted {
            if let Err(cause) = overlays.add(&known, overlay) {
                return Err(overlays.take_back(cause));
            }
        }
        Ok(overlays)
    }

    /// Captures what is to be inside of images, and lets all other disks write to their overlays
    /// from that instant on; all or none.
    pub fn switch(self) -> Result<()> {
        let inside = self.inside.iter().flat_map(|(inside, nodes)| {
            nodes.iter().map(|node| {
                json!({
                    "type": "blockdev-snapshot-internal-sync",
                    "data": { "device": node, "name": inside.name },
                })
            })
        });
        let overlays = self.switches.iter().map(|(node, overlay)| {
            json!({
                "type": "blockdev-snapshot",
                "data": { "node": node, "overlay": overlay },
            })
        });
        let actions: Vec<Value> = inside.chain(overlays).collect();
        match self
            .monitor
            .execute("transaction", json!({ "actions": actions }))
        {
            Ok(_) => Ok(()),
            // The answer may have come too late, but commands are carried out one after the other:
            // when the nodes are told, it is known what became of the transaction.
            Err(Error::MonitorSlow { .. }) if self.is_switched().unwrap_or(false) => Ok(()),
            Err(cause) => Err(self.take_back(cause)),
        }
    }

    /// Whether the guest writes to the overlays: what is below is read-only then. What is inside of
    /// images was captured with them.
    fn is_switched(&self) -> Result<bool> {
        if let Some((inside, _)) = &self.inside
            && internal::check_held_disks(&inside.name, &inside.images).is_err()
        {
            return Ok(false);
        }
        let known = nodes::images(self.monitor)?;
        Ok(self.switches.iter().all(|(below, _)| {
            known
                .iter()
                .any(|node| node.name == *below && node.is_read_only)
        }))
    }

    /// Forgets the overlays again.
    pub fn take_back(self, cause: Error) -> Error {
        let mut failed = Vec::new();
        for node in self.nodes.iter().rev() {
            if let Err(error) = nodes::remove(self.monitor, node) {
                failed.push(error.to_string());
            }
        }
        // A file that QEMU may still write to stays.
        if failed.is_empty() {
            for file in &self.files {
                if let Err(error) = file.remove() {
                    failed.push(error.to_string());
                }
            }
        }
        if failed.is_empty() {
            return cause;
        }
        Error::UndoFailed {
            cause: Box::new(cause),
            undo: failed.join("; "),
        }
    }

    fn add(&mut self, known: &[Node], wanted: &NewOverlay) -> Result<()> {
        let below = nodes::writable(known, &wanted.image)?;
        if wanted.origin != Origin::Callers {
            create(wanted)?;
            self.files.push(wanted.clone());
        }
        let storage = self.add_node(json!({
            "driver": if is_device(&wanted.overlay) { "host_device" } else { "file" },
            "filename": text(wanted)?,
            "auto-read-only": true,
            "discard": "unmap",
        }))?;
        if wanted.origin != Origin::Callers {
            self.format(&storage, below, wanted)?;
        }
        let overlay = self.add_node(json!({
            "driver": wanted.format,
            "file": storage,
            "backing": null,
            "read-only": false,
        }))?;
        self.switches.push((below.name.clone(), overlay));
        Ok(())
    }

    fn add_node(&mut self, mut options: Value) -> Result<String> {
        let name = fresh_name("node")?;
        if let Some(options) = options.as_object_mut() {
            options.insert("node-name".to_owned(), name.clone().into());
        }
        // Also if the answer is lost, there may be something to take back.
        self.nodes.push(name.clone());
        self.monitor.execute("blockdev-add", options)?;
        Ok(name)
    }

    /// Writes the header. Size and cluster size are the image's below.
    fn format(&mut self, storage: &str, below: &Node, wanted: &NewOverlay) -> Result<()> {
        let backing = wanted
            .image
            .to_str()
            .ok_or_else(|| not_utf8(&wanted.disk, &wanted.image))?;
        let mut options = json!({
            "driver": wanted.format,
            "file": storage,
            "size": below.size,
            "backing-file": backing,
            "backing-fmt": below.driver,
        });
        if let (Some(bytes), "qcow2", Some(options)) = (
            below.cluster_size,
            wanted.format.as_str(),
            options.as_object_mut(),
        ) && below.driver == "qcow2"
        {
            options.insert("cluster-size".to_owned(), bytes.into());
        }
        let arguments = json!({ "options": options });
        job::run_beside(
            self.monitor,
            "create overlay",
            "blockdev-create",
            arguments,
            &Unwatched,
            std::mem::take(&mut self.work),
        )
    }
}

fn inside_nodes<'i>(known: &[Node], inside: &'i Inside) -> Result<(&'i Inside, Vec<String>)> {
    let images = inside.images.iter();
    let nodes = images.map(|image| Ok(nodes::writable(known, &image.path)?.name.clone()));
    Ok((inside, nodes.collect::<Result<_>>()?))
}

/// Makes an empty file that only its owner may read (CVE-2025-13193), or takes an empty one, or a
/// block device.
fn create(wanted: &NewOverlay) -> Result<()> {
    if is_device(&wanted.overlay) {
        return Ok(());
    }
    create_empty(&wanted.overlay)
        .map(drop)
        .map_err(|error| Error::ImageUnusable {
            disk: wanted.disk.clone(),
            image: wanted.overlay.clone(),
            reason: error.to_string(),
        })
}

/// A file for writing that holds nothing yet: a new one, or an empty one that was there.
pub(super) fn create_empty(path: &Path) -> io::Result<File> {
    let new = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match new {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
                .open(path)?;
            let metadata = file.metadata()?;
            if !metadata.is_file() || metadata.len() > 0 {
                return Err(error);
            }
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            Ok(file)
        }
        other => other,
    }
}

/// Whether that is a block device, by whatever name.
pub(super) fn is_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device())
}

/// Takes the header away that a block device has of an image.
fn blank(device: &Path) -> io::Result<()> {
    const HEADER_BYTES: usize = 4096;
    let mut device = OpenOptions::new().write(true).open(device)?;
    device.write_all(&[0; HEADER_BYTES])?;
    device.sync_all()
}

/// Removes a file. One that is not there is removed already.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn text(wanted: &NewOverlay) -> Result<&str> {
    wanted
        .overlay
        .to_str()
        .ok_or_else(|| not_utf8(&wanted.disk, &wanted.overlay))
}

fn not_utf8(disk: &str, image: &Path) -> Error {
    Error::ImageUnusable {
        disk: disk.to_owned(),
        image: image.to_owned(),
        reason: "its path is not UTF-8".to_owned(),
    }
}
