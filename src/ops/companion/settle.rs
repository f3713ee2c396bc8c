//! What becomes of an operation that was cut off.

use std::path::Path;

use super::create::requested;
use super::lend;
use crate::data::Executor;
use crate::error::Result;
use crate::ops::create::is_regular_file;
use crate::ops::domain::Domain;
use crate::ops::intent::Intent;
use crate::snapshot::{DiskMode, Memory, Snapshot, State};
use crate::tree::{Plan, Tree};
use crate::xml::{self, Participation};

/// Settles guest data as far as that can be done without risk to what the guest has written since,
/// and answers what becomes of the metadata. libvirt forgets what it still keeps when it is
/// adopted.
pub(in crate::ops) fn settled(
    domain: &Domain,
    executor: &dyn Executor,
    tree: &Tree,
    intent: &Intent,
) -> Result<Plan> {
    match intent {
        Intent::Create { document, .. } => {
            let request = requested(document)?;
            let kept = executor.kept()?;
            // libvirt keeps it once its data is whole: then it is adopted.
            if !kept.iter().any(|name| **name == *request.name) {
                // Data that cannot be dropped now is in the way of no other snapshot.
                let _ = drop_leftovers(domain, request);
            }
            Ok(tree.plan_keep())
        }
        Intent::Delete { name, deletion, .. } => {
            let plan = tree.plan_delete(name, *deletion)?;
            let is_gone = plan.drop.iter().all(|snapshot| is_gone(domain, snapshot));
            Ok(if is_gone { plan } else { tree.plan_keep() })
        }
        // libvirt leaves nothing of that kind, and renames by itself.
        Intent::Tidy(_) | Intent::Rename { .. } => Ok(tree.plan_keep()),
        // Not done again: the guest may have run since.
        Intent::Revert { name, .. } => {
            if executor.kept_current()?.as_deref() == Some(name) {
                tree.plan_current(name)
            } else {
                Ok(tree.plan_keep())
            }
        }
    }
}

/// Drops what an unfinished internal snapshot left in the images of a shut-off guest.
fn drop_leftovers(domain: &Domain, mut request: Snapshot) -> Result<()> {
    if domain.host.state()? != State::Shutoff {
        return Ok(());
    }
    let definition = domain.host.definition()?;
    let facts = xml::domain_facts(&definition)?;
    request.memory = Some(Memory::None);
    request.domain = Some(xml::nested(&definition).into());
    xml::align(
        &mut request,
        &facts,
        DiskMode::Internal,
        Participation::Uniform,
        &is_regular_file,
    )?;
    let point = lend::point(&request)?;
    if domain.data.count(&point.borrow(None))? == 0 {
        return Ok(());
    }
    domain.data.delete(&point.borrow(None))
}

/// Whether a snapshot has no data any more. To delete internal data again does no harm.
fn is_gone(domain: &Domain, snapshot: &Snapshot) -> bool {
    if snapshot.is_external() {
        let mut images = snapshot.disks.iter().filter_map(|disk| {
            let image = disk.image.as_deref()?;
            image.path.as_deref()
        });
        return images.all(|path| !Path::new(path).exists());
    }
    lend::point(snapshot)
        .and_then(|point| domain.data.delete(&point.borrow(None)))
        .is_ok()
}
