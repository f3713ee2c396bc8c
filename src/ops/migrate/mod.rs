//! Migration: a domain's whole hierarchy goes to another host.
//!
//! Begin freezes it at the source and makes the cookie; Export sends it; Import takes it in at the
//! destination, where it stays invisible until Finish; Confirm drops it at the source. What was done
//! is kept durably at both ends, so each phase can be repeated, and after a crash of either end the
//! migration can be finished or cancelled.

use std::sync::Arc;

use super::change::Writing;
use super::domain::Domain;
use super::events::Cause;
use super::refusals::Refusals;
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::uuid;
use crate::xml::Cookie;

mod guest;
mod import;
mod record;
mod stream;
#[cfg(test)]
mod tests;

pub use record::Phase;
pub use stream::{Receive, Send};

use record::Kept;
#[cfg_attr(
    not(any(test, feature = "fuzzing")),
    allow(unused_imports, reason = "the fuzz target seals streams")
)]
pub(crate) use stream::Sum;
use stream::Writer;

/// What a migration does with snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carry {
    /// They stay behind, so there may be none.
    Nothing,
    /// They go with the domain.
    Metadata,
}

/// What the source is told about the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination has the domain.
    Success,
    /// The source keeps it.
    Failure,
}

/// Snapshots, and the name of the current one.
type Going = (Vec<Arc<Snapshot>>, Option<Arc<str>>);

impl Domain {
    /// Whether [`Domain::migrate_begin`] would be refused now, and why.
    pub fn migrate_check(&self, carry: Carry) -> Result<()> {
        self.check_can_begin(carry, &mut Refusals::First)
    }

    /// As [`Domain::migrate_check`], with all reasons if they are asked for.
    pub(super) fn check_can_begin(&self, carry: Carry, refusals: &mut Refusals) -> Result<()> {
        refusals.check(self.check_not_migrating())?;
        self.check_snapshots(carry, refusals)
    }

    /// Whether its snapshots are on their way to another host.
    pub(super) fn has_begun_migrating(&self) -> Result<bool> {
        Ok(self.kept()?.phase == Phase::Outgoing)
    }

    fn check_snapshots(&self, carry: Carry, refusals: &mut Refusals) -> Result<()> {
        let hierarchy = self.hierarchy()?;
        let count = hierarchy.tree.len();
        if carry == Carry::Nothing && count > 0 {
            refusals.check::<()>(Err(Error::MigrationLosesSnapshots { count }))?;
            return Ok(());
        }
        // Snapshots that cannot be read are not none, and would stay behind.
        for problem in &hierarchy.problems {
            refusals.check::<()>(Err(problem.refusal()))?;
        }
        Ok(())
    }

    /// Begins at the source. With METADATA, nothing changes the snapshots from now on until Confirm
    /// or Cancel; the cookie is for Finish. Repeated, it answers the same cookie.
    pub fn migrate_begin(&self, carry: Carry) -> Result<Option<String>> {
        if carry == Carry::Metadata && self.kept()?.phase != Phase::Outgoing {
            self.take_over()?;
        }
        let writing = self.write_migrating()?;
        let kept = self.kept()?;
        match (carry, kept.phase) {
            (Carry::Metadata, Phase::Outgoing) => return kept.cookie().map(Some),
            (_, Phase::Incoming | Phase::Outgoing) => return Err(self.migrating(kept.phase)),
            _ => {}
        }
        if carry == Carry::Nothing {
            self.check_snapshots(carry, &mut Refusals::First)?;
            return Ok(None);
        }
        self.check_snapshots(carry, &mut Refusals::First)?;
        let snapshots = self.everything()?;
        let id = uuid::random()?;
        let cookie = Cookie {
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            uuid: *self.uuid(),
            count: snapshots.len(),
            digest: sum_of(&snapshots),
            current: self.current()?.map(|name| name.to_string()),
        };
        writing.keep_only(record::outgoing(&cookie))?;
        Ok(Some(cookie.format()))
    }

    /// Sends the hierarchy, parents before their children, one document at a time.
    pub fn migrate_export(&self, send: Send<'_>) -> Result<()> {
        let kept = self.kept()?;
        if kept.phase != Phase::Outgoing {
            return Err(self.out_of_turn("export", "it was not begun here"));
        }
        let cookie = self.own_cookie(kept)?;
        let snapshots = self.everything()?;
        let mut stream = Writer::begin(send, &cookie.id, self.uuid(), snapshots.len())?;
        for snapshot in &snapshots {
            stream.document(&stream::document(snapshot))?;
        }
        let digest = stream.end()?;
        self.check_unchanged(&cookie, snapshots.len(), &digest)
    }

    /// What a migration that began here takes along, parents before their children, and the current
    /// one's name.
    pub(super) fn migrating_snapshots(&self) -> Result<Going> {
        let kept = self.kept()?;
        if kept.phase != Phase::Outgoing {
            return Err(self.out_of_turn("replay", "it was not begun here"));
        }
        let cookie = self.own_cookie(kept)?;
        let snapshots = self.everything()?;
        self.check_unchanged(&cookie, snapshots.len(), &sum_of(&snapshots))?;
        Ok((snapshots, self.current()?))
    }

    /// Ends it at the source: after success the metadata goes and all data stays, after failure the
    /// snapshots can be changed again.
    pub fn migrate_confirm(&self, cookie: Option<&str>, outcome: Outcome) -> Result<()> {
        let cookie = self.read_cookie(cookie)?;
        let writing = self.write_migrating()?;
        let kept = self.kept()?;
        let phase = kept.phase;
        let is_other = cookie.is_some_and(|cookie| cookie.id != kept.id);
        if is_other && !(phase == Phase::None && outcome == Outcome::Failure) {
            let reason = "its cookie is not that of the last migration here";
            return Err(self.out_of_turn("confirm", reason));
        }
        match (phase, outcome) {
            (Phase::Confirmed, Outcome::Success) => Ok(()),
            (Phase::None | Phase::Cancelled, Outcome::Failure) => Ok(()),
            (Phase::Outgoing, Outcome::Failure) => writing.keep_only(record::cancelled(&kept.id)),
            (Phase::Outgoing, Outcome::Success) => {
                self.check_whole()?;
                self.check_guest_gone()?;
                let snapshots = self.everything()?;
                let confirmed = record::confirmed(&kept.id);
                let cookie = self.own_cookie(kept)?;
                self.check_unchanged(&cookie, snapshots.len(), &sum_of(&snapshots))?;
                let plan = self.tree()?.plan_clear();
                let writing = writing.because(Cause::Left);
                writing.commit_migration(&plan, confirmed)?;
                self.forget_guest();
                Ok(())
            }
            (Phase::Confirmed, Outcome::Failure) => {
                Err(self.out_of_turn("confirm", "it was confirmed as successful before"))
            }
            (Phase::Cancelled, Outcome::Success) => {
                Err(self.out_of_turn("confirm", "it was cancelled"))
            }
            (Phase::None, Outcome::Success) | (Phase::Incoming | Phase::Finished, _) => {
                Err(self.out_of_turn("confirm", "it was not begun here"))
            }
        }
    }

    /// Ends it without success: at the source the snapshots can be changed again, at the destination
    /// what came in is dropped. Refused once it has succeeded.
    pub fn migrate_cancel(&self) -> Result<()> {
        let writing = self.write_migrating()?;
        // What is kept may be damaged. Neither end loses anything that the source does not have.
        let kept = self.kept().unwrap_or_else(|_| Kept::damaged());
        match kept.phase {
            Phase::None | Phase::Cancelled => Ok(()),
            Phase::Outgoing | Phase::Incoming => writing.keep_only(record::cancelled(&kept.id)),
            Phase::Finished => {
                Err(self.out_of_turn("cancel", "the domain's snapshots are here for good"))
            }
            Phase::Confirmed => {
                Err(self.out_of_turn("cancel", "the domain's snapshots are elsewhere for good"))
            }
        }
    }

    /// How far the last migration has come here, and its identifier: the same at both ends. What it
    /// answers is durable.
    pub fn migrate_state(&self) -> Result<(Phase, String)> {
        // Whoever gets the lock first proves what a process that died may have left unproven.
        let _lock = self.store().lock(self.key())?;
        let kept = self.kept()?;
        Ok((kept.phase, kept.id))
    }

    /// Refuses a change that a migration stands against.
    pub(super) fn check_not_migrating(&self) -> Result<()> {
        match self.kept()?.phase {
            phase @ (Phase::Outgoing | Phase::Incoming) => Err(self.migrating(phase)),
            Phase::None | Phase::Finished | Phase::Confirmed | Phase::Cancelled => Ok(()),
        }
    }

    fn migrating(&self, phase: Phase) -> Error {
        Error::Migrating {
            domain: self.name().to_string(),
            reason: match phase {
                Phase::Incoming => {
                    "its snapshots are coming from another host; finish or cancel that first"
                }
                _ => "its snapshots are going to another host; confirm or cancel that first",
            },
        }
    }

    fn out_of_turn(&self, phase: &'static str, reason: &str) -> Error {
        Error::MigrationPhase {
            domain: self.name().to_string(),
            phase,
            reason: reason.to_owned(),
        }
    }

    fn kept(&self) -> Result<Kept> {
        let kept = self.store().migration(self.key())?;
        let path = self.store().migration_path(self.key());
        kept.map_or_else(|| Ok(Kept::nothing()), |text| Kept::read(text, path))
    }

    fn read_cookie(&self, text: Option<&str>) -> Result<Option<Cookie>> {
        let refused = |reason| self.refused_cookie(reason);
        let Some(text) = text else {
            return Ok(None);
        };
        let cookie = Cookie::parse(text).map_err(refused)?;
        if cookie.uuid != *self.uuid() {
            let found = uuid::format(&cookie.uuid);
            return Err(refused(format!("it is of a domain with uuid {found}")));
        }
        Ok(Some(cookie))
    }

    fn refused_cookie(&self, reason: String) -> Error {
        Error::MigrationCookie {
            domain: self.name().to_string(),
            reason,
        }
    }

    /// The cookie that Begin made.
    fn own_cookie(&self, kept: Kept) -> Result<Cookie> {
        let path = self.store().migration_path(self.key());
        let text = kept.cookie()?;
        Cookie::parse(&text).map_err(|reason| Error::Damaged { path, reason })
    }

    /// Nothing of this library changes a frozen hierarchy; but libvirt may have been at its files.
    fn check_unchanged(&self, cookie: &Cookie, count: usize, digest: &str) -> Result<()> {
        if cookie.count == count && cookie.digest == digest {
            return Ok(());
        }
        let reason = "its stored snapshots have been changed since it began";
        Err(self.out_of_turn("go on with", reason))
    }
}

impl Writing<'_> {
    /// Keeps how far a migration has come, and changes nothing else.
    fn keep_only(&self, kept: String) -> Result<()> {
        self.commit_migration(&self.plan_keep()?, kept)
    }
}

fn sum_of(snapshots: &[Arc<Snapshot>]) -> String {
    let mut sum = Sum::default();
    for snapshot in snapshots {
        sum.add(&stream::document(snapshot));
    }
    sum.digest()
}
