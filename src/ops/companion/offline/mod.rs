//! What libvirt 9.0 does not do with external snapshots of a guest that is off: this library works on
//! the images itself, as on an embedded connection, and then gives libvirt the definition that names them.
//!
//! libvirt knows nothing of this work and may start the guest at any time. So the images that it
//! would start with are held by QEMU's own locks wherever `qemu-img` itself does not work on them;
//! the definition is switched last, while they are held; and whether the guest is off is
//! asked right before and right after.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::io::Errno;

use super::settle::Settled;
use crate::data::{Data, Executor, Place, write_refused};
use crate::error::{Error, Result};
use crate::ops::domain::Domain;
use crate::ops::intent::{Intent, Worker};
use crate::ops::layers::{has_layers, sources};
use crate::ops::point;
use crate::snapshot::State;
use crate::store::Lock;
use crate::tree::Tree;
use crate::xml;

mod delete;
mod revert;

impl Domain {
    /// What works on the images, where that is not left to libvirt: they are within reach, and some
    /// stand on others.
    pub(super) fn layered_images<'e>(
        &self,
        executor: &'e dyn Executor,
    ) -> Result<Option<&'e dyn Data>> {
        let images = executor.images();
        let may_be = images.is_some() && self.tree()?.may_have_files();
        match may_be && has_layers(&self.everything()?) {
            true => Ok(images),
            false => Ok(None),
        }
    }

    /// As [`Domain::layered_images`], of a guest that is off, if this process may write to what it
    /// would write to. Else libvirt may be another user, and is asked.
    pub(super) fn images_at_hand<'e>(
        &self,
        executor: &'e dyn Executor,
    ) -> Result<Option<&'e dyn Data>> {
        if self.host.state()? != State::Shutoff {
            return Ok(None);
        }
        let Some(images) = self.layered_images(executor)? else {
            return Ok(None);
        };
        let is_others = |(_, path): &(String, PathBuf)| {
            matches!(
                write_refused(path),
                Some(Errno::ACCESS | Errno::PERM | Errno::ROFS)
            )
        };
        let guests = writable(&self.host.definition()?)?;
        Ok((!guests.iter().any(is_others)).then_some(images))
    }

    fn check_off(&self) -> Result<()> {
        match self.host.state()? {
            State::Shutoff => Ok(()),
            _ => Err(self.started("while its images were worked on")),
        }
    }

    fn started(&self, when: &str) -> Error {
        Error::GuestState {
            detail: format!(
                "domain '{}' was started {when}: that goes on when it is off",
                self.name()
            ),
        }
    }

    /// Gives libvirt the definition, or leaves the one that it has.
    fn switch(&self, executor: &dyn Executor, definition: &str) -> Result<()> {
        self.check_off()?;
        let before = self.host.definition()?;
        executor.define(definition)?;
        self.check_switched(executor, definition)
            .map_err(|cause| match executor.define(&before) {
                Ok(()) => cause,
                Err(undo) => cause.with_failed_undo(&undo),
            })
    }

    /// Makes sure that libvirt has taken the images in, and that no guest has others.
    fn check_switched(&self, executor: &dyn Executor, definition: &str) -> Result<()> {
        if !self.has_images_of(definition)? {
            return Err(Error::GuestState {
                detail: format!(
                    "libvirt has not taken the images of domain '{}' over as it was told",
                    self.name()
                ),
            });
        }
        self.check_running(executor, &paths(definition)?)
    }

    fn has_images_of(&self, definition: &str) -> Result<bool> {
        Ok(paths(&self.host.definition()?)? == paths(definition)?)
    }

    /// Makes sure that the guest, if it runs, has those images.
    fn check_running(
        &self,
        executor: &dyn Executor,
        wanted: &BTreeMap<String, PathBuf>,
    ) -> Result<()> {
        match executor.running_definition()? {
            Some(running) if paths(&running)? != *wanted => {
                Err(self.started("with the images that it had before"))
            }
            _ => Ok(()),
        }
    }
}

/// The image of each disk that has one here.
fn paths(definition: &str) -> Result<BTreeMap<String, PathBuf>> {
    let places = sources(definition)?.into_iter();
    Ok(places
        .filter_map(|(disk, place)| Some((disk, place.local()?.path.clone())))
        .collect())
}

/// The images that a guest with that definition writes to, and no other guest with it.
fn writable(definition: &str) -> Result<Vec<(String, PathBuf)>> {
    let facts = xml::domain_facts(definition)?;
    let disks = facts.disks.iter();
    Ok(disks
        .filter(|disk| !disk.read_only && !disk.shareable)
        .filter_map(|disk| match point::source_place(disk) {
            Place::Local(layer) => Some((disk.target.clone(), layer.path)),
            Place::Elsewhere(_) | Place::Nowhere => None,
        })
        .collect())
}

/// Finishes or undoes what this library itself did; `None` if the intent is of something else.
pub(super) fn settled(
    domain: &Domain,
    executor: &dyn Executor,
    tree: &Tree,
    intent: &Intent,
    lock: &dyn Lock,
) -> Result<Option<Settled>> {
    let images = || {
        executor.images().ok_or(Error::Unsupported {
            what: "work on images that are not here is",
        })
    };
    match intent {
        Intent::Delete {
            worker: Worker::Library,
            name,
            deletion,
            work,
        } => {
            let plan = tree.plan_delete(name, *deletion)?;
            delete::settled(domain, executor, images()?, (tree, plan), work, lock).map(Some)
        }
        Intent::Revert {
            worker: Worker::Library,
            name,
            definition,
            restores,
            work,
            ..
        } => {
            let reverting = revert::CutOff {
                name,
                definition,
                restores,
                work,
            };
            reverting
                .settled(domain, executor, images()?, tree, lock)
                .map(Some)
        }
        _ => Ok(None),
    }
}
