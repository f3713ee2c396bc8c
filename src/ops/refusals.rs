//! Reasons to refuse. An operation ends with the first; who only asks is told all of them.
//!
//! Both prepare by the same code: what an operation does is what a plan of it says.

use std::time::Duration;

use super::domain::Domain;
use super::problem::{Problem, ProblemKind};
use crate::error::{Error, Result};
use crate::{limits, memory};

/// What becomes of a reason.
pub(super) enum Refusals {
    /// It is the error that the operation ends with.
    First,
    /// It is remembered, and what else can be found out is.
    All(Vec<Error>),
}

impl Refusals {
    /// For who only asks.
    pub fn all() -> Refusals {
        Refusals::All(Vec::new())
    }

    /// Passes on what went well. `None`: it did not, and that is remembered.
    pub fn check<T>(&mut self, outcome: Result<T>) -> Result<Option<T>> {
        match (outcome, self) {
            (Ok(value), _) => Ok(Some(value)),
            (Err(cause), Refusals::All(causes))
                if !cause.lacks_memory() && !memory::was_refused() =>
            {
                causes.push(cause);
                Ok(None)
            }
            (Err(cause), _) => Err(cause),
        }
    }

    /// How long to wait for a program that may let go of an image: who only asks does not.
    pub fn patience(&self) -> Duration {
        match self {
            Refusals::First => limits::IMAGE_RELEASE,
            Refusals::All(_) => Duration::ZERO,
        }
    }

    /// What was remembered, each reason once.
    pub fn texts(self) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        if let Refusals::All(causes) = self {
            for cause in causes {
                let text = cause.to_string();
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
        }
        texts
    }
}

impl Domain {
    /// Refuses to touch a snapshot whose document cannot be read.
    pub(super) fn check_name(&self, name: &str) -> Result<()> {
        self.refuse(|problem| problem.name == name)
    }

    /// Refuses to make a current snapshot as long as a document that cannot be read may be the
    /// current one's: the new one would be a root for ever.
    pub(super) fn check_current(&self) -> Result<()> {
        if self.tree()?.current().is_some() {
            return Ok(());
        }
        self.check_whole()
    }

    /// Refuses to go on while any document cannot be read: "cannot read" is not "none".
    pub(super) fn check_whole(&self) -> Result<()> {
        self.refuse(|_| true)
    }

    fn refuse(&self, is_concerned: impl Fn(&Problem) -> bool) -> Result<()> {
        let hierarchy = self.hierarchy()?;
        let stands_against =
            |problem: &&Problem| problem.kind == ProblemKind::Unreadable && is_concerned(problem);
        match hierarchy.problems.iter().find(stands_against) {
            None => Ok(()),
            Some(problem) => Err(problem.refusal()),
        }
    }
}
