//! Reverts a domain of libvirt's: libvirt gets the snapshot for as long as it takes.

use super::adopt;
use super::lend;
use crate::data::Executor;
use crate::error::Result;
use crate::ops::collect::Collected;
use crate::ops::domain::Domain;
use crate::ops::flags::RevertFlags;
use crate::ops::intent::{Intent, Worker};
use crate::ops::point::OwnedPoint;
use crate::snapshot::{Snapshot, State};

impl Domain {
    /// Has the domain made what it was when the snapshot was taken.
    pub(in crate::ops) fn revert_elsewhere(
        &self,
        executor: &dyn Executor,
        name: &str,
        flags: RevertFlags,
    ) -> Result<()> {
        flags.check_driver_of(executor.driver())?;
        let writing = self.write()?;
        adopt::adopt(self, executor, &writing)?;
        self.check_name(name)?;
        let snapshot = self.tree()?.get(name)?.clone();
        if !has_memory(&snapshot)
            && let Some(images) = self.images_at_hand(executor)?
        {
            return self.revert_offline(executor, images, &writing, &snapshot, flags);
        }
        self.check_alone(executor, &snapshot)?;
        let plan = self.tree()?.plan_current(name)?;
        let change = writing.change(&plan)?;
        if !snapshot.is_external() {
            // libvirt reverts a guest that is off disk by disk, and refuses those elsewhere.
            let point = if snapshot.state.is_online() || !executor.has_data() {
                lend::point(&snapshot)
            } else {
                OwnedPoint::of(&snapshot)
            };
            self.data.check_revert(&point?.borrow(None), &[])?;
        }
        adopt::check_free(self, executor, name)?;
        writing.intend(&Intent::Revert {
            worker: Worker::Driver,
            name: name.to_owned(),
            flags: flags.bits(),
            // libvirt's own definition is the one that counts.
            definition: String::new(),
            restores: Vec::new(),
            work: Collected::default(),
        })?;
        let reverted = executor
            .lend(&lend::document(&lend::alone(&snapshot)))
            .and_then(|()| match executor.revert_kept(name, flags.bits()) {
                Ok(()) => Ok(()),
                Err(cause) => Err(match executor.forget(name) {
                    Ok(()) => cause,
                    Err(undo) => cause.with_failed_undo(&undo),
                }),
            });
        if let Err(cause) = reverted {
            return Err(match writing.withdraw() {
                Ok(()) => cause,
                Err(undo) => cause.with_failed_undo(&undo),
            });
        }
        writing.commit_change(&plan, &change)?;
        // What libvirt still keeps if this fails, the next change takes away.
        let _ = executor.forget(name);
        Ok(())
    }
}

/// Whether the guest is to go on where it was.
fn has_memory(snapshot: &Snapshot) -> bool {
    !matches!(
        snapshot.state,
        State::Shutoff | State::Shutdown | State::Crashed | State::DiskSnapshot
    )
}
