//! What an operation would do now, told before it is done.
//!
//! An operation and its plan are prepared by the same code ([`super::refusals`]); here what was prepared
//! is put into steps.

use std::fmt::Write;

mod data;
mod step;
mod work;

pub use step::{Step, StepKind};

use super::refusals::Refusals;

/// What an operation would do, or why it would be refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// In their order.
    pub steps: Vec<Step>,
    /// Every reason that is known, the operation's own error first.
    pub refusals: Vec<String>,
    /// Bytes that are given back in the end, those that are taken subtracted.
    pub freed: u64,
    /// Bytes that are taken meanwhile.
    pub needed: u64,
    /// How long a running guest waits at least.
    pub pause_ms: u64,
}

impl Planned {
    /// The whole for people, one line a step or a reason.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for reason in &self.refusals {
            let _ = writeln!(text, "refused: {reason}");
        }
        for step in &self.steps {
            let _ = writeln!(text, "{step}");
        }
        if self.freed > 0 {
            let _ = writeln!(text, "gives back {} bytes", self.freed);
        }
        if self.needed > 0 {
            let _ = writeln!(text, "takes {} bytes meanwhile", self.needed);
        }
        if self.pause_ms > 0 {
            let _ = writeln!(text, "the guest waits {} ms at least", self.pause_ms);
        }
        text
    }

    fn add(&mut self, step: Step) {
        self.steps.push(step);
    }

    fn extend(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.steps.extend(steps);
    }

    /// With what the steps give back and take together, and why it would be refused.
    fn summed(mut self, refusals: Refusals) -> Planned {
        let (mut back, mut taken) = (0_u64, 0_u64);
        for step in &self.steps {
            match step.kind {
                StepKind::RemoveFile | StepKind::DropData | StepKind::RestoreData => {
                    back += step.bytes
                }
                StepKind::CreateFile | StepKind::WriteFile | StepKind::TakeData => {
                    taken += step.bytes;
                }
                _ => {}
            }
        }
        self.freed = back.saturating_sub(taken);
        self.needed = taken;
        self.refusals = refusals.texts();
        self
    }
}
