//! Reverting several images as one.
//!
//! The images' present content is captured first, under [`BEFORE`]; then the snapshot is applied to
//! each; if that fails, the former content is applied again; at last it is dropped. No record
//! beside the images is needed to go on after a crash, because the images tell where it struck:
//!
//! * Some images lack `BEFORE`: none was touched yet, or all were. The content is consistent.
//! * All hold it, and all show the snapshot: only the dropping was cut off.
//! * All hold it, and each shows a part of it or of the snapshot: the applying was cut off, and
//!   `BEFORE` is what a failure must go back to.
//! * All hold it, and one shows something else: it was written to since. `BEFORE` is stale.

use super::step::Step;
use super::target::{Target, only};
use super::{Work, check_holds_once, failure, failures, undo_notes};
use crate::data::BEFORE;
use crate::data::qcow2::Facts;
use crate::error::Result;

/// Bytes that a disk writes whole or not at all: one sector.
const SECTOR_BYTES: u64 = 512;

/// What an earlier revert left in the images.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leftover {
    Nothing,
    /// The snapshot is applied everywhere.
    Done,
    /// The content to go back to if this revert fails.
    Former,
    /// Of no use any more.
    Stale,
}

impl Work<'_> {
    pub(super) fn revert_targets(&self, name: &str, targets: &[&Target<'_>]) -> Result<()> {
        let facts = facts_of_holders(name, targets)?;
        match leftover(name, targets, &facts)? {
            Leftover::Done => {
                self.drop_everywhere(BEFORE, targets);
                return Ok(());
            }
            Leftover::Former => {}
            Leftover::Nothing if is_one_write(name, &facts) => {
                return match failures(targets, self.take(Step::Apply(name), targets)).pop() {
                    None => Ok(()),
                    Some((target, reason)) => {
                        Err(failure("revert", name, target, reason, Vec::new()))
                    }
                };
            }
            Leftover::Nothing | Leftover::Stale => self.keep_content(name, targets)?,
        }
        self.apply_everywhere(name, targets)
    }

    /// Captures the present content of each image, or leaves all as they were.
    fn keep_content(&self, name: &str, targets: &[&Target<'_>]) -> Result<()> {
        let mut failed = self.drop_everywhere(BEFORE, targets);
        if failed.is_empty() {
            failed = failures(targets, self.take(Step::Capture(BEFORE), targets));
        }
        let Some((target, reason)) = failed.into_iter().next() else {
            return Ok(());
        };
        let undo = undo_notes(&self.drop_everywhere(BEFORE, targets));
        Err(failure("revert", name, target, reason, undo))
    }

    /// Makes the content that the images have kept what they show again.
    pub(super) fn go_back(&self, name: &str, targets: &[&Target<'_>]) -> Result<()> {
        let failed = failures(targets, self.take(Step::Apply(BEFORE), targets));
        if let Some((target, reason)) = failed.into_iter().next() {
            return Err(failure("undo the revert", name, target, reason, Vec::new()));
        }
        // Of no use any more, and the next revert drops it.
        self.drop_everywhere(BEFORE, targets);
        Ok(())
    }

    fn apply_everywhere(&self, name: &str, targets: &[&Target<'_>]) -> Result<()> {
        let failed = failures(targets, self.take(Step::Apply(name), targets));
        let Some((target, reason)) = failed.into_iter().next() else {
            // The content is the snapshot's everywhere. Former content that cannot be dropped
            // costs space, not truth: the next revert drops it.
            self.drop_everywhere(BEFORE, targets);
            return Ok(());
        };
        let mut back = failures(targets, self.take(Step::Apply(BEFORE), targets));
        if !back.is_empty() {
            let again: Vec<&Target<'_>> = back.iter().map(|(target, _)| *target).collect();
            back = failures(&again, self.take(Step::Apply(BEFORE), &again));
        }
        // As long as one image has not gone back, all keep their former content, so that another
        // revert finds them as a crash would have left them.
        let undo = if back.is_empty() {
            undo_notes(&self.drop_everywhere(BEFORE, targets))
        } else {
            undo_notes(&back)
        };
        Err(failure("revert", name, target, reason, undo))
    }
}

/// Whether the images show the snapshot, or a part of it and a part of what was kept of before, and
/// nothing else.
pub(super) fn has_begun(name: &str, targets: &[&Target<'_>]) -> Result<bool> {
    let facts = facts_of_holders(name, targets)?;
    if facts.is_empty() {
        return Ok(false);
    }
    match leftover(name, targets, &facts)? {
        Leftover::Done | Leftover::Former => return Ok(true),
        Leftover::Nothing | Leftover::Stale => {}
    }
    for (target, facts) in targets.iter().zip(&facts) {
        let snapshot = only(facts, name);
        if !snapshot.map_or(Ok(false), |snapshot| target.shows(facts, snapshot))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The facts of the images, each of which can be written and holds the snapshot once.
pub(super) fn facts_of_holders(name: &str, targets: &[&Target<'_>]) -> Result<Vec<Facts>> {
    let facts = targets.iter().map(|target| {
        let facts = target.writable_facts()?;
        check_holds_once("revert", name, target, &facts)?;
        Ok(facts)
    });
    facts.collect()
}

fn leftover(name: &str, targets: &[&Target<'_>], facts: &[Facts]) -> Result<Leftover> {
    let holders = facts
        .iter()
        .filter(|facts| facts.named(BEFORE).next().is_some())
        .count();
    if holders == 0 {
        return Ok(Leftover::Nothing);
    }
    if holders < facts.len() {
        return Ok(Leftover::Stale);
    }
    let mut done = true;
    for (target, facts) in targets.iter().zip(facts) {
        let (Some(before), Some(snapshot)) = (only(facts, BEFORE), only(facts, name)) else {
            return Ok(Leftover::Stale);
        };
        if !target.is_made_of(facts, &[before, snapshot])? {
            return Ok(Leftover::Stale);
        }
        done &= target.shows(facts, snapshot)?;
    }
    Ok(if done {
        Leftover::Done
    } else {
        Leftover::Former
    })
}

/// Whether applying the snapshot takes effect by a single write that cannot be torn.
///
/// QEMU raises refcounts, overwrites the active L1 table in place, then lowers refcounts. With
/// one image, whose size stays and whose table fits a sector (32 GiB at the usual 64 KiB clusters), each
/// point before that write leaves the former content and each point after it the snapshot's; what
/// a failure can leave besides is unused clusters. Everything else needs the former content kept:
/// a longer table can be half written, and a changed size cuts the disk before the table.
fn is_one_write(name: &str, facts: &[Facts]) -> bool {
    let [facts] = facts else {
        return false;
    };
    facts.l1_bytes() <= SECTOR_BYTES
        && only(facts, name).is_some_and(|entry| entry.disk_size == facts.virtual_size)
}
