//! The block nodes of a running guest, and which of them shows an image.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Commands;
use crate::data::qcow2::{Identity, ImageFile};
use crate::error::{Error, Result};

/// Nodes that read and write a file, and filters above those that do: none of them is an image.
const NO_IMAGES: [&str; 14] = [
    "file",
    "host_device",
    "host_cdrom",
    "throttle",
    "copy-on-read",
    "copy-before-write",
    "commit_top",
    "mirror_top",
    "preallocate",
    "blkdebug",
    "blklogwrites",
    "blkverify",
    "quorum",
    "replication",
];

/// One node of the block graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub name: String,
    pub driver: String,
    pub file: PathBuf,
    pub is_read_only: bool,
    /// Bytes that the guest sees.
    pub size: u64,
    pub cluster_size: Option<u64>,
}

/// All nodes that show an image.
pub(super) fn images(monitor: &dyn Commands) -> Result<Vec<Node>> {
    let mut nodes = all(monitor)?;
    nodes.retain(|node| !node.is_no_image());
    Ok(nodes)
}

/// The images that the guest's drives show.
pub(super) fn roots(monitor: &dyn Commands) -> Result<Vec<PathBuf>> {
    let answer = monitor.execute("query-block", Value::Null)?;
    let drives = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let files = drives.iter().filter_map(|drive| {
        let file = drive.pointer("/inserted/file")?.as_str()?;
        local_file(file)
    });
    Ok(files.collect())
}

/// The names of all nodes that an image has, those above first.
pub(super) fn upper_first(monitor: &dyn Commands, image: &Path) -> Result<Vec<String>> {
    let nodes = all(monitor)?;
    let mut found: Vec<&Node> = showing(&nodes, image).collect();
    found.sort_by_key(|node| node.is_no_image());
    Ok(found.into_iter().map(|node| node.name.clone()).collect())
}

/// Removes a node. One that is not there is removed already.
pub(super) fn remove(monitor: &dyn Commands, name: &str) -> Result<()> {
    let removed = monitor.execute("blockdev-del", json!({ "node-name": name }));
    let Err(cause) = removed else {
        return Ok(());
    };
    let answer = monitor.execute("query-named-block-nodes", json!({ "flat": true }))?;
    let nodes = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |node: &Value| node.get("node-name").and_then(Value::as_str) == Some(name);
    if nodes.iter().any(is_it) {
        return Err(cause);
    }
    Ok(())
}

/// Whether QEMU may write to a node's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    ForReading,
    ForWriting,
}

/// Opens a node's file in another way. `blockdev-reopen` would put all options to their defaults that
/// are not given with it, and not all can be asked for; `qemu-io` keeps them.
pub(super) fn reopen(monitor: &dyn Commands, node: &str, how: Opened) -> Result<()> {
    let option = match how {
        Opened::ForReading => "-r",
        Opened::ForWriting => "-w",
    };
    let line = format!("qemu-io {node} \"reopen {option}\"");
    let said = monitor.execute("human-monitor-command", json!({ "command-line": line }))?;
    let is_so =
        |known: &Node| known.name == node && known.is_read_only == (how == Opened::ForReading);
    if all(monitor)?.iter().any(is_so) {
        return Ok(());
    }
    Err(Error::MonitorRefused {
        command: line,
        reason: said.as_str().unwrap_or_default().trim().to_owned(),
    })
}

fn all(monitor: &dyn Commands) -> Result<Vec<Node>> {
    // Flat: a long chain nests no deeper than a short one.
    let answer = monitor.execute("query-named-block-nodes", json!({ "flat": true }))?;
    let nodes = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(nodes.iter().filter_map(node).collect())
}

impl Node {
    fn is_no_image(&self) -> bool {
        NO_IMAGES.contains(&self.driver.as_str())
    }
}

fn node(value: &Value) -> Option<Node> {
    let text = |key| value.get(key).and_then(Value::as_str);
    Some(Node {
        name: text("node-name")?.to_owned(),
        driver: text("drv")?.to_owned(),
        file: local_file(text("file")?)?,
        is_read_only: value.get("ro").and_then(Value::as_bool)?,
        size: value
            .pointer("/image/virtual-size")
            .and_then(Value::as_u64)?,
        cluster_size: value.pointer("/image/cluster-size").and_then(Value::as_u64),
    })
}

/// QEMU spells a file by its path, or where that does not tell all, by its options.
fn local_file(spelling: &str) -> Option<PathBuf> {
    let Some(options) = spelling.strip_prefix("json:") else {
        return Some(spelling.into());
    };
    let options: Value = serde_json::from_str(options).ok()?;
    ["/file/filename", "/filename"]
        .iter()
        .find_map(|place| options.pointer(place)?.as_str())
        .map(PathBuf::from)
}

/// The node of an image that the guest writes to.
pub(super) fn writable<'n>(nodes: &'n [Node], image: &Path) -> Result<&'n Node> {
    showing(nodes, image)
        .find(|node| !node.is_read_only)
        .ok_or_else(|| not_in_guest(image))
}

/// The node of an image, wherever in a chain.
pub(super) fn any<'n>(nodes: &'n [Node], image: &Path) -> Result<&'n Node> {
    showing(nodes, image)
        .next()
        .ok_or_else(|| not_in_guest(image))
}

fn showing<'n>(nodes: &'n [Node], image: &Path) -> impl Iterator<Item = &'n Node> {
    let wanted = identity(image);
    nodes
        .iter()
        .filter(move |node| wanted.is_some() && identity(&node.file) == wanted)
}

/// Two spellings of a path lead to one file.
fn identity(path: &Path) -> Option<Identity> {
    Some(ImageFile::open(path).ok()?.identity())
}

fn not_in_guest(image: &Path) -> Error {
    Error::ImageNotInGuest {
        image: image.to_owned(),
    }
}
