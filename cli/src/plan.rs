//! What an operation would do, told.

use serde_json::{Value, json};

use crate::args;
use crate::failure::{Failure, Outcome};
use crate::ffi::{self, Plan, Step};
use crate::terminal::{Terminal, put, put_json};
use crate::words;

/// Shows a plan. One that would be refused ends as the operation itself would.
pub fn show(plan: &Plan, dry: &args::DryRun, terminal: Terminal) -> Outcome {
    if dry.json {
        put_json(&of(plan))?;
    } else {
        for step in &plan.steps {
            put(&format!("{}\n", step.text))?;
        }
        put(&format!("{}\n", terminal.dim(sums(plan))))?;
    }
    match plan.refusals.as_slice() {
        [] => Ok(()),
        reasons => Err(Failure::Refused(format!(
            "it would be refused: {}",
            reasons.join("; ")
        ))),
    }
}

/// What it takes and gives, in a line.
fn sums(plan: &Plan) -> String {
    let mut sums = vec![
        words::count(plan.steps.len(), "step"),
        format!("gives {} back", words::size(plan.freed)),
        format!("needs {} meanwhile", words::size(plan.needed)),
    ];
    if plan.pause_ms > 0 {
        sums.push(format!("the guest waits {} ms at least", plan.pause_ms));
    }
    sums.join(", ")
}

fn of(plan: &Plan) -> Value {
    json!({
        "refusals": plan.refusals,
        "freed": plan.freed,
        "needed": plan.needed,
        "pause_ms": plan.pause_ms,
        "text": plan.text,
        "steps": plan.steps.iter().map(of_step).collect::<Vec<_>>(),
    })
}

fn of_step(step: &Step) -> Value {
    json!({
        "kind": word(step.kind),
        "name": step.name,
        "parent": step.parent,
        "file": step.file,
        "disk": step.disk,
        "bytes": step.bytes,
        "text": step.text,
    })
}

/// A kind of step, in a word for scripts.
fn word(kind: std::ffi::c_int) -> &'static str {
    match kind {
        ffi::VIR_SNAP_PLAN_ADD => "add",
        ffi::VIR_SNAP_PLAN_REDEFINE => "redefine",
        ffi::VIR_SNAP_PLAN_DROP => "drop",
        ffi::VIR_SNAP_PLAN_REPARENT => "reparent",
        ffi::VIR_SNAP_PLAN_CURRENT => "current",
        ffi::VIR_SNAP_PLAN_CREATE_FILE => "create-file",
        ffi::VIR_SNAP_PLAN_WRITE_FILE => "write-file",
        ffi::VIR_SNAP_PLAN_RELINK_FILE => "relink-file",
        ffi::VIR_SNAP_PLAN_REMOVE_FILE => "remove-file",
        ffi::VIR_SNAP_PLAN_TAKE_DATA => "take-data",
        ffi::VIR_SNAP_PLAN_RESTORE_DATA => "restore-data",
        ffi::VIR_SNAP_PLAN_DROP_DATA => "drop-data",
        ffi::VIR_SNAP_PLAN_SWITCH_DISK => "switch-disk",
        ffi::VIR_SNAP_PLAN_PAUSE => "pause",
        ffi::VIR_SNAP_PLAN_RESUME => "resume",
        ffi::VIR_SNAP_PLAN_STOP => "stop",
        ffi::VIR_SNAP_PLAN_START => "start",
        ffi::VIR_SNAP_PLAN_UNDEFINE => "undefine",
        ffi::VIR_SNAP_PLAN_FREEZE => "freeze",
        ffi::VIR_SNAP_PLAN_ELSEWHERE => "elsewhere",
        _ => "other",
    }
}
