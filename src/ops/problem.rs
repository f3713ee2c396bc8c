//! What is wrong with a domain's stored state, and who is told.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::at_end;
use crate::error::Error;
use crate::printable::printable;
use crate::store::Damage;

/// Kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// A file that cannot be read, or is no document of this domain.
    Unreadable,
    /// A snapshot whose parent is missing: it is listed as a root.
    ParentMissing,
    /// A snapshot that is its own ancestor: it is listed as a root.
    Cycle,
    /// A document that claims to be the current snapshot's, and another does too.
    SeveralCurrent,
    /// Work that was cut off and cannot be finished or undone now.
    Interrupted,
}

/// One thing that is wrong with the stored state. Nothing was changed because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// The snapshot, or the domain of a definition.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// What is wrong, in a sentence without its end.
    pub text: String,
}

impl Problem {
    /// A document that cannot be read.
    pub(super) fn unreadable(damage: Damage) -> Problem {
        let text = match damage.cause {
            Error::Damaged { reason, .. } => reason,
            cause => cause.to_string(),
        };
        Problem {
            kind: ProblemKind::Unreadable,
            name: damage.name,
            file: damage.file,
            text,
        }
    }

    /// What refuses a change that this problem stands against.
    pub(super) fn refusal(&self) -> Error {
        Error::Damaged {
            path: self.file.clone(),
            reason: self.text.clone(),
        }
    }

    /// For a log.
    pub fn line(&self) -> String {
        let line = format!("'{}' ('{}'): {}", self.file.display(), self.name, self.text);
        printable(&line, &[])
    }
}

/// Is told of each problem once, at the end of the call that found it.
pub type Log = Arc<dyn Fn(&Problem) + Send + Sync>;

static LOG: Mutex<Option<Log>> = Mutex::new(None);

/// Sets who is told of problems from now on, in the whole process; `None` for nobody. Who does not call
/// through the C API has it told by [`super::deliver`], or at the thread's end.
pub fn set_log(log: Option<Log>) {
    *LOG.lock() = log;
}

/// Tells of what was not known before: who is told when the call ends, not who was when it began.
pub(super) fn tell(found: &[Problem], known: &[Problem]) {
    let is_new = |problem: &&Problem| !known.contains(problem);
    let new: Vec<Problem> = found.iter().filter(is_new).cloned().collect();
    if new.is_empty() || LOG.lock().is_none() {
        return;
    }
    at_end(move || {
        for problem in &new {
            // The function may take itself away.
            let log = LOG.lock().clone();
            if let Some(log) = log {
                log(problem);
            }
        }
    });
}
