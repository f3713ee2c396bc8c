//! Mends a domain's stored state when asked to. Nothing is deleted.

use std::sync::Arc;

use super::domain::Domain;
use super::problem::{Problem, ProblemKind};
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::store::{Change, DefinitionChange};
use crate::xml;

/// What a repair may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repairs(u32);

impl Repairs {
    /// Says what would be done and does nothing.
    pub const DRY_RUN: u32 = 1;
    /// Moves files that cannot be read to `STATE_DIR/damaged/DOMAIN/`.
    pub const SET_ASIDE: u32 = 2;
    /// Makes roots of snapshots whose parent is missing, or that are their own ancestors.
    pub const REROOT: u32 = 4;
    /// Takes the mark of the current snapshot from all but one.
    pub const ONE_CURRENT: u32 = 8;
    const KNOWN: u32 = 15;

    /// Those of the API's flags; a flag that there is not is refused.
    pub fn new(flags: u32, function: &'static str) -> Result<Repairs> {
        match flags & !Repairs::KNOWN {
            0 => Ok(Repairs(flags)),
            bits => Err(Error::UnsupportedFlags { function, bits }),
        }
    }

    fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    fn mends(self, kind: ProblemKind) -> bool {
        match kind {
            ProblemKind::Unreadable => self.has(Repairs::SET_ASIDE),
            ProblemKind::ParentMissing | ProblemKind::Cycle => self.has(Repairs::REROOT),
            ProblemKind::SeveralCurrent => self.has(Repairs::ONE_CURRENT),
            // The next writer finishes it, and a repair is one.
            ProblemKind::Interrupted => false,
        }
    }
}

impl Domain {
    /// What is wrong with the domain's stored snapshots, read anew where something was, or where a document
    /// was not read because it had not changed.
    pub fn problems(&self) -> Result<Vec<Problem>> {
        let known = self.hierarchy()?;
        if known.problems.is_empty() && !known.is_summarized {
            return Ok(Vec::new());
        }
        let was_sound = known.problems.is_empty();
        drop(known);
        let problems = self.problems_of_documents()?;
        // While all is well what is known stays as it is: a change may be under way.
        if !(was_sound && problems.is_empty()) {
            self.forget();
        }
        Ok(problems)
    }

    /// Mends what the repairs say, and answers what it mended: with DRY_RUN, would mend.
    pub fn repair(&self, repairs: Repairs) -> Result<Vec<Problem>> {
        if repairs.has(Repairs::DRY_RUN) {
            let mut problems = self.problems()?;
            problems.retain(|problem| repairs.mends(problem.kind));
            return Ok(problems);
        }
        let writing = self.write()?;
        let mut mended = Vec::new();
        let mut change = Change::default();
        for problem in &self.problems()? {
            if !repairs.mends(problem.kind) {
                continue;
            }
            if problem.kind == ProblemKind::Unreadable {
                self.set_aside(problem)?;
            }
            mended.push(problem.clone());
        }
        self.rewrite(&mended, &mut change)?;
        if !change.write.is_empty() {
            self.store().commit(self.key(), &change)?;
        }
        self.forget();
        drop(writing);
        Ok(mended)
    }

    fn set_aside(&self, problem: &Problem) -> Result<()> {
        match problem.file.file_name() {
            Some(file) => self.store().set_aside(self.key(), file),
            None => Err(problem.refusal()),
        }
    }

    /// The documents that are to be written again, each once.
    fn rewrite(&self, mended: &[Problem], change: &mut Change) -> Result<()> {
        let tree = self.tree()?;
        for problem in mended {
            let is_written = change.write.iter().any(|(name, _)| *name == problem.name);
            if problem.kind == ProblemKind::Unreadable || is_written {
                continue;
            }
            let mut snapshot = Snapshot::clone(tree.get(&problem.name)?);
            let reroots = |other: &Problem| {
                other.name == problem.name
                    && matches!(other.kind, ProblemKind::ParentMissing | ProblemKind::Cycle)
            };
            if mended.iter().any(reroots) {
                snapshot.parent = None;
            }
            let active = tree.is_current(&problem.name)?;
            let text = xml::format(&Arc::new(snapshot), xml::Form::Stored { active });
            change.write.push((problem.name.clone(), text));
        }
        change.definition = DefinitionChange::Keep;
        Ok(())
    }
}
