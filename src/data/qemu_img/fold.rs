//! Folding an overlay into the image below it: `qemu-img commit`, then the file goes.

use std::ffi::OsStr;

use super::program::{self, Ending};
use super::target::Target;
use super::{Work, failure};
use crate::data::Image;
use crate::error::{Error, Result};

/// What the overlay holds goes into its backing file, and the overlay away. Nobody may have it
/// open: `qemu-img` takes QEMU's lock.
pub(super) fn fold(work: &Work<'_>, overlay: &Image) -> Result<()> {
    let target = Target::open(overlay)?;
    let options = target.options();
    let arguments = ["commit", "--image-opts", "-q"]
        .map(OsStr::new)
        .into_iter()
        .chain([options.as_os_str()]);
    let failed = |reason: String| failure("fold", "", &target, reason, Vec::new());
    let outcome = program::start(work.program, arguments, work.lock)
        .map_err(|error| failed(format!("cannot run '{}': {error}", work.program.display())))?
        .finish();
    // Without an exit status nothing proves that all was written: the overlay stays.
    if outcome.ending != Ending::Success {
        return Err(failed(outcome.reason()));
    }
    std::fs::remove_file(&overlay.path).map_err(|cause| Error::io("remove", &overlay.path, cause))
}
