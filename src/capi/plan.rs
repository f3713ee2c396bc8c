//! What an operation would do, asked before it is done. No libvirt has this.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

use super::boundary;
use super::types::{virDomainPtr, virDomainSnapshotPtr};
use crate::error::{Error, Family};

/// What a step of a plan does.
#[repr(C)]
pub enum virSnapPlanStepKind {
    /// Snapshot `name` comes, below `parent`.
    VIR_SNAP_PLAN_ADD = 1,
    /// The metadata of snapshot `name` is replaced.
    VIR_SNAP_PLAN_REDEFINE = 2,
    /// Snapshot `name` goes.
    VIR_SNAP_PLAN_DROP = 3,
    /// Snapshot `name` gets another parent, `parent`; NULL: it becomes a root.
    VIR_SNAP_PLAN_REPARENT = 4,
    /// Snapshot `name` becomes the current one; NULL: there is none afterwards.
    VIR_SNAP_PLAN_CURRENT = 5,
    /// `file` is made.
    VIR_SNAP_PLAN_CREATE_FILE = 6,
    /// `file` is written to: another image is merged into it, or it is replaced.
    VIR_SNAP_PLAN_WRITE_FILE = 7,
    /// The image `file` names another one below it, which shows the same.
    VIR_SNAP_PLAN_RELINK_FILE = 8,
    /// `file` is removed.
    VIR_SNAP_PLAN_REMOVE_FILE = 9,
    /// The internal snapshot `name` is made in `file`.
    VIR_SNAP_PLAN_TAKE_DATA = 10,
    /// The internal snapshot `name` of `file` becomes what the image shows.
    VIR_SNAP_PLAN_RESTORE_DATA = 11,
    /// The internal snapshot `name` is dropped from `file`.
    VIR_SNAP_PLAN_DROP_DATA = 12,
    /// The domain's disk `disk` is in `file` from then on.
    VIR_SNAP_PLAN_SWITCH_DISK = 13,
    /// The guest waits.
    VIR_SNAP_PLAN_PAUSE = 14,
    /// The guest's CPUs run on.
    VIR_SNAP_PLAN_RESUME = 15,
    /// The guest is ended.
    VIR_SNAP_PLAN_STOP = 16,
    /// A guest is started.
    VIR_SNAP_PLAN_START = 17,
    /// The domain's definition is removed.
    VIR_SNAP_PLAN_UNDEFINE = 18,
    /// The snapshots cannot be changed until the migration ends.
    VIR_SNAP_PLAN_FREEZE = 19,
    /// What is to be done with data is done by somebody else, the program's callbacks or libvirt:
    /// this library cannot tell more.
    VIR_SNAP_PLAN_ELSEWHERE = 20,
}

/// One step of a plan. What a kind of step does not have is NULL or 0.
#[repr(C)]
pub struct _virSnapPlanStep {
    /// A virSnapPlanStepKind. Later versions may have more.
    pub kind: c_int,
    /// A snapshot.
    pub name: *mut c_char,
    /// A snapshot's parent.
    pub parent: *mut c_char,
    /// A file.
    pub file: *mut c_char,
    /// The target of a disk.
    pub disk: *mut c_char,
    /// Bytes that the step gives back (REMOVE_FILE, DROP_DATA) or takes (the others).
    pub bytes: c_ulonglong,
    /// The step for people, in one line.
    pub text: *mut c_char,
}
/// One step of a plan. What a kind of step does not have is NULL or 0.
pub type virSnapPlanStep = _virSnapPlanStep;
/// A pointer to it.
pub type virSnapPlanStepPtr = *mut virSnapPlanStep;

/// What an operation would do now, or why it would be refused.
#[repr(C)]
pub struct _virSnapPlan {
    /// Number of steps. There may be none beside refusals that leave nothing to plan.
    pub nsteps: c_int,
    /// The steps, in their order; a NULL behind the last.
    pub steps: *mut virSnapPlanStepPtr,
    /// Number of reasons; 0: the operation would be carried out.
    pub nrefusals: c_int,
    /// Every reason for which the operation would be refused now, as its error would say it, the
    /// operation's own error first; a NULL behind the last.
    pub refusals: *mut *mut c_char,
    /// Bytes of the host's disks that are given back in the end, those that are taken subtracted.
    pub freed: c_ulonglong,
    /// Bytes of the host's disks that the operation takes meanwhile.
    pub needed: c_ulonglong,
    /// How long a running guest waits at least, in milliseconds.
    pub pause_ms: c_ulonglong,
    /// The whole plan for people, one line a step, or a reason.
    pub text: *mut c_char,
}
/// What an operation would do now, or why it would be refused.
pub type virSnapPlan = _virSnapPlan;
/// A pointer to it; give it back with virSnapPlanFree().
pub type virSnapPlanPtr = *mut virSnapPlan;

/// Tells what virDomainSnapshotCreateXML() would do.
///
/// @domain: a domain
/// @xmlDesc: a `<domainsnapshot>` document
/// @flags: bitwise-OR of virDomainSnapshotCreateFlags
///
/// Nothing is changed, no program is started, and a read-only connection will do. What would be
/// refused is no error of this function: it is in the plan.
///
/// Returns a plan, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (xmlDesc is NULL, flags),
/// VIR_ERR_NO_DOMAIN (gone), VIR_ERR_XML_DETAIL, VIR_ERR_XML_ERROR (bad document), VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees the plan with virSnapPlanFree().
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// xmlDesc is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainPlanCreate(
    domain: virDomainPtr,
    xmlDesc: *const c_char,
    flags: c_uint,
) -> virSnapPlanPtr {
    const FUNCTION: &str = "virSnapDomainPlanCreate";
    boundary::enter(FUNCTION, Family::Snapshot, std::ptr::null_mut(), |call| {
        call.snapshot_domain(domain)?;
        call.not_null(xmlDesc, "xmlDesc")?;
        call.known_flags(flags, 0x3ff)?;
        Err(Error::NoSupport { function: FUNCTION })
    })
}

/// Tells what virDomainSnapshotDelete() would do.
///
/// @snapshot: a snapshot
/// @flags: bitwise-OR of virDomainSnapshotDeleteFlags
///
/// Nothing is changed, no program is started, and a read-only connection will do. What would be
/// refused is no error of this function: it is in the plan.
///
/// Returns a plan, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (flags),
/// VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone), VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees the plan with virSnapPlanFree().
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapDomainSnapshotPlanDelete(
    snapshot: virDomainSnapshotPtr,
    flags: c_uint,
) -> virSnapPlanPtr {
    const FUNCTION: &str = "virSnapDomainSnapshotPlanDelete";
    boundary::enter(FUNCTION, Family::Snapshot, std::ptr::null_mut(), |call| {
        call.snapshot(snapshot)?;
        call.known_flags(flags, 0x7)?;
        Err(Error::NoSupport { function: FUNCTION })
    })
}

/// Tells what virDomainRevertToSnapshot() would do.
///
/// @snapshot: a snapshot
/// @flags: bitwise-OR of virDomainSnapshotRevertFlags
///
/// Nothing is changed, no program is started, and a read-only connection will do. What would be
/// refused is no error of this function: it is in the plan.
///
/// Returns a plan, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (flags),
/// VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone), VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees the plan with virSnapPlanFree().
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapDomainSnapshotPlanRevert(
    snapshot: virDomainSnapshotPtr,
    flags: c_uint,
) -> virSnapPlanPtr {
    const FUNCTION: &str = "virSnapDomainSnapshotPlanRevert";
    boundary::enter(FUNCTION, Family::Snapshot, std::ptr::null_mut(), |call| {
        call.snapshot(snapshot)?;
        call.known_flags(flags, 0xf)?;
        Err(Error::NoSupport { function: FUNCTION })
    })
}

/// Tells what virDomainUndefineFlags() would do with a domain and its snapshots.
///
/// @domain: a domain
/// @flags: bitwise-OR of virDomainUndefineFlagsValues
///
/// Nothing is changed, and a read-only connection will do. What would be refused is no error of this
/// function: it is in the plan.
///
/// Returns a plan, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (flags), VIR_ERR_NO_DOMAIN
/// (gone), VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees the plan with virSnapPlanFree().
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapDomainPlanUndefine(domain: virDomainPtr, flags: c_uint) -> virSnapPlanPtr {
    const FUNCTION: &str = "virSnapDomainPlanUndefine";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null_mut(), |call| {
        call.snapshot_domain(domain)?;
        call.known_flags(flags, 0x7f)?;
        Err(Error::NoSupport { function: FUNCTION })
    })
}

/// Tells what a migration would do at its source, from virSnapDomainMigrateBegin() to
/// virSnapDomainMigrateConfirm().
///
/// @domain: a domain
/// @flags: bitwise-OR of virSnapMigrateFlags
///
/// Nothing is changed, and a read-only connection will do. What would be refused is no error of this
/// function: it is in the plan.
///
/// Returns a plan, or NULL in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (flags), VIR_ERR_NO_DOMAIN
/// (gone), VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees the plan with virSnapPlanFree().
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapDomainPlanMigrate(domain: virDomainPtr, flags: c_uint) -> virSnapPlanPtr {
    const FUNCTION: &str = "virSnapDomainPlanMigrate";
    boundary::enter(FUNCTION, Family::Domain, std::ptr::null_mut(), |call| {
        call.snapshot_domain(domain)?;
        call.known_flags(flags, 0x1)?;
        Err(Error::NoSupport { function: FUNCTION })
    })
}

/// Frees a plan. NULL is allowed.
///
/// @plan: a plan of one of the functions above
///
/// Errors: none. Threads: any. Ownership: the plan is gone, with all that it names.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// plan is NULL or comes from this library and was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapPlanFree(plan: virSnapPlanPtr) {
    let _ = plan;
}
