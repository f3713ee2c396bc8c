//! A change that is staged before it is committed, so that the commit has less to wait for.
//!
//! A writer has it staged while programs work on the guest's images. Nothing of it counts until a
//! commit of the same change renames it into place. Whoever dies before that leaves staged files, as
//! one who dies in a commit before the call that decides; they are swept in the same way.

use std::borrow::Cow;
use std::sync::Arc;

use super::Change;
use super::commit::{NothingMade, Plan, Text, check_change};
use super::fs::FileSystem;
use super::rooms::{Rooms, check_domain, staged_journal};
use crate::error::Result;
use crate::limits;

/// What is staged, durably. Without a record it is of no change.
#[derive(Default)]
pub(super) struct Prepared {
    /// The staged texts, by number.
    texts: Vec<Vec<u8>>,
    /// The journal that makes them the change.
    record: Vec<u8>,
}

impl Prepared {
    fn is_of(&self, plan: &Plan<'_>) -> bool {
        self.record == plan.record()
            && self.texts.len() == plan.texts.len()
            && self
                .texts
                .iter()
                .zip(&plan.texts)
                .all(|(staged, text)| text.is(staged))
    }
}

impl<F: FileSystem> Rooms<F> {
    /// Removes what this thread has prepared of a domain's change, if that is not to be made.
    pub(super) fn drop_prepared(&self, domain: &str) {
        if let Some(prepared) = self.take_prepared(domain) {
            self.unstage_prepared(domain, &prepared);
        }
    }

    /// Removes what is staged of it.
    pub(super) fn unstage_prepared(&self, domain: &str, prepared: &Prepared) {
        self.unstage_change(domain, prepared.texts.len());
    }
}

impl<F: FileSystem + 'static> Rooms<F> {
    /// [`super::Store::prepare`].
    pub(super) fn prepare(self: &Arc<Self>, domain: &str, change: &Change) {
        // Without the lock somebody else may sweep it away before it is committed.
        if self.is_held_here(domain) && !self.has_prepared(domain) {
            // The commit meets the same obstacle, and tells it; nobody tries again before.
            let prepared = self.stage_change(domain, change).ok().flatten();
            self.set_prepared(domain, Some(prepared.unwrap_or_default()));
        }
    }

    fn stage_change(&self, domain: &str, change: &Change) -> Result<Option<Prepared>> {
        check_domain(domain)?;
        check_change(change, &NothingMade)?;
        let folder = self.open_folder(domain)?;
        let plan = self.plan(domain, change, &NothingMade, folder.as_deref())?;
        let record = plan.record();
        let texts = plan.texts.iter().map(Text::get);
        let texts = texts.collect::<Result<Vec<_>>>()?;
        let bytes = texts.iter().map(|text| text.len()).sum::<usize>() + record.len();
        if plan.steps.is_empty() || bytes > limits::PREPARED_BYTES {
            return Ok(None);
        }
        let prepared = Prepared {
            texts: texts.into_iter().map(Cow::into_owned).collect(),
            record,
        };
        let staged = staged_journal(domain);
        // Not from the reserve: that is for whoever has no other way.
        self.stage_texts(domain, &plan.texts)
            .and_then(|()| {
                let failed = self.stage.failed("write", &staged);
                self.stage(&staged, &prepared.record).map_err(failed)
            })
            .inspect_err(|_| self.unstage_prepared(domain, &prepared))?;
        Ok(Some(prepared))
    }

    /// Whether all that a commit by a journal needs is staged already. What is staged for another
    /// change goes.
    pub(super) fn is_prepared(&self, domain: &str, plan: &Plan<'_>, has_intent: bool) -> bool {
        let Some(prepared) = self.take_prepared(domain) else {
            return false;
        };
        let is_of_it = has_intent && prepared.is_of(plan);
        if !is_of_it {
            self.unstage_prepared(domain, &prepared);
        }
        is_of_it
    }
}
