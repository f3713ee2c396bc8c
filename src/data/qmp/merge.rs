//! Overlays of a running guest merged with what is below them.
//!
//! Both ways leave the guest what it sees. A commit changes the image below, so nothing else may
//! have that as its backing file; a stream changes the image above.

use std::path::Path;

use serde_json::json;

use super::{Commands, job, nodes};
use crate::data::progress::Progress;
use crate::error::Result;

/// Writes the content of `top` into `base`, which then takes its place in the chain that ends with
/// `active`, the image that the guest writes to. The file of `top` is of no use afterwards; the
/// guest has let go of it, it is not removed.
pub fn commit(
    monitor: &dyn Commands,
    active: &Path,
    top: &Path,
    base: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let known = nodes::images(monitor)?;
    let upper = nodes::any(&known, top)?;
    let lower = nodes::any(&known, base)?;
    let root = nodes::writable(&known, active)?;
    let mut arguments = json!({
        "device": root.name,
        "top-node": upper.name,
        "base-node": lower.name,
        "auto-dismiss": false,
    });
    if let (Some(arguments), Some(path)) = (arguments.as_object_mut(), base.to_str()) {
        // What the overlays above shall name as their backing file.
        if root.name != upper.name {
            arguments.insert("backing-file".to_owned(), path.into());
        }
    }
    job::run(monitor, "merge", "block-commit", arguments, progress)?;
    forget(monitor, top)
}

/// Lets the guest close an image that no disk needs. One that it does not know is closed.
pub fn forget(monitor: &dyn Commands, image: &Path) -> Result<()> {
    for name in nodes::upper_first(monitor, image)? {
        nodes::remove(monitor, &name)?;
    }
    Ok(())
}

/// Fills `top` with all content between it and `base`, which becomes its backing file; without
/// `base` it needs none any more.
pub fn stream(
    monitor: &dyn Commands,
    top: &Path,
    base: Option<&Path>,
    progress: &dyn Progress,
) -> Result<()> {
    let known = nodes::images(monitor)?;
    let upper = nodes::any(&known, top)?;
    let mut arguments = json!({ "device": upper.name, "auto-dismiss": false });
    if let (Some(base), Some(arguments)) = (base, arguments.as_object_mut()) {
        let lower = nodes::any(&known, base)?;
        arguments.insert("base-node".to_owned(), lower.name.clone().into());
        if let Some(path) = base.to_str() {
            arguments.insert("backing-file".to_owned(), path.into());
        }
    }
    job::run(monitor, "merge", "block-stream", arguments, progress)
}
