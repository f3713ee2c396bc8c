//! The domain's guest in a migration: whoever has its memory and its images.
//!
//! The manager moves the guest with QEMU's own migration. Each phase that decides looks first
//! whether the guest has gone the same way: else both hosts, or none, would have it.

use crate::data::qmp::Status;
use crate::error::Result;
use crate::ops::domain::Domain;
use crate::snapshot::State;

impl Domain {
    /// Refuses to give the snapshots up while the guest works on its images here.
    pub(super) fn check_guest_gone(&self) -> Result<()> {
        match self.guest_status()? {
            Some(status) if !status.is_outgone() => {
                Err(self.out_of_turn("confirm", "its guest is still here"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses to take the snapshots over while the guest's memory is still elsewhere.
    pub(super) fn check_guest_arrived(&self) -> Result<()> {
        match self.guest_status()? {
            Some(status) if status.is_incoming() => {
                Err(self.out_of_turn("finish", "its guest has not arrived"))
            }
            _ => Ok(()),
        }
    }

    /// Lets go of a guest that is elsewhere now.
    pub(super) fn forget_guest(&self) {
        if let Ok(attachment) = self.guest() {
            attachment.detach();
        }
    }

    /// What QEMU says of the guest; `None` where there is none to ask.
    fn guest_status(&self) -> Result<Option<Status>> {
        let Ok(attachment) = self.guest() else {
            return Ok(None);
        };
        if attachment.state()? == State::Shutoff {
            return Ok(None);
        }
        attachment
            .commands()
            .map(|commands| Status::of(&*commands))
            .transpose()
    }
}
