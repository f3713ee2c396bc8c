//! What an operation would do, asked before it is done. No libvirt has this.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr::NonNull;

use super::boundary::{self, Call, count};
use super::domain::undefine_flags;
use super::migrate::carry;
use super::strings::{self, MallocString, malloc_array};
use super::types::{virDomainPtr, virDomainSnapshotPtr};
use crate::error::{Family, Result};
use crate::ops::{CreateFlags, DeleteFlags, Planned, RevertFlags, Step, StepKind};
use crate::xml::DocumentKind;

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
    /// Bytes that the step gives back (REMOVE_FILE, DROP_DATA, RESTORE_DATA) or takes (the others).
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
        let domain = call.snapshot_domain(domain)?;
        // SAFETY: NULL or NUL-terminated by this function's contract.
        let xml = unsafe { call.document(xmlDesc, "xmlDesc", DocumentKind::Snapshot) }?;
        let flags = CreateFlags::new(flags, FUNCTION)?;
        let rules = domain.redefine_rules()?;
        give(call, &domain.now()?.plan_create(&xml, flags, rules)?)
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
        let snapshot = call.snapshot(snapshot)?;
        let flags = DeleteFlags::new(flags, FUNCTION)?;
        let domain = snapshot.domain.now()?;
        give(call, &domain.plan_delete(snapshot.name(), flags)?)
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
        let snapshot = call.snapshot(snapshot)?;
        let flags = RevertFlags::new(flags, FUNCTION)?;
        let domain = snapshot.domain.now()?;
        give(call, &domain.plan_revert(snapshot.name(), flags)?)
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
        let domain = call.snapshot_domain(domain)?;
        let snapshots = undefine_flags(call, flags)?;
        give(call, &domain.now()?.plan_undefine(snapshots)?)
    })
}

/// Tells what a migration would do at its source, from virSnapDomainMigrateBegin() to
/// virSnapDomainMigrateConfirm().
///
/// @domain: a domain
/// @flags: bitwise-OR of virSnapMigrateFlags
///
/// Nothing is changed, and a read-only connection will do. What would be refused is no error of this
/// function: it is in the plan. Of a migration that has begun, what is left of it is planned.
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
        let domain = call.snapshot_domain(domain)?;
        let carry = carry(call, flags)?;
        give(call, &domain.now()?.plan_migrate(carry)?)
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
    let Some(plan) = NonNull::new(plan) else {
        return;
    };
    // SAFETY: from `OwnedPlan::into_raw`, by this function's contract.
    drop(unsafe { OwnedPlan::from_raw(plan) });
}

/// A step in memory from `malloc`, ours until its plan is.
struct OwnedStep(NonNull<virSnapPlanStep>);

impl OwnedStep {
    /// `None` if memory cannot be had.
    fn new(step: &Step) -> Option<OwnedStep> {
        let file = step.file.as_ref().map(|file| file.to_string_lossy());
        let name = optional(step.name.as_deref())?;
        let parent = optional(step.parent.as_deref())?;
        let file = optional(file.as_deref())?;
        let disk = optional(step.disk.as_deref())?;
        let text = MallocString::new(&step.to_string())?;
        let place = room::<virSnapPlanStep>()?;
        let value = virSnapPlanStep {
            kind: kind(step.kind) as c_int,
            name: raw(name),
            parent: raw(parent),
            file: raw(file),
            disk: raw(disk),
            bytes: step.bytes,
            text: text.into_raw(),
        };
        // SAFETY: new memory of that size, and malloc aligns for any type.
        unsafe { place.write(value) };
        Some(OwnedStep(place))
    }
}

impl Drop for OwnedStep {
    fn drop(&mut self) {
        // SAFETY: written in `new`, and freed only here.
        let step = unsafe { self.0.read() };
        for text in [step.name, step.parent, step.file, step.disk, step.text] {
            // SAFETY: NULL or from malloc in `new`, and freed only here.
            unsafe { libc::free(text.cast()) };
        }
        // SAFETY: as above.
        unsafe { libc::free(self.0.as_ptr().cast()) };
    }
}

/// A plan in memory from `malloc`, ours until it is handed to C.
struct OwnedPlan(NonNull<virSnapPlan>);

impl OwnedPlan {
    /// `None` if memory cannot be had.
    fn new(planned: &Planned) -> Option<OwnedPlan> {
        let steps: Vec<OwnedStep> = planned
            .steps
            .iter()
            .map(OwnedStep::new)
            .collect::<Option<_>>()?;
        let refusals: Vec<MallocString> = planned
            .refusals
            .iter()
            .map(|reason| MallocString::new(reason))
            .collect::<Option<_>>()?;
        let text = MallocString::new(&planned.text())?;
        let pointers: Vec<virSnapPlanStepPtr> = steps.iter().map(|step| step.0.as_ptr()).collect();
        let reasons = vec![std::ptr::null_mut::<c_char>(); refusals.len()];
        let place = room::<virSnapPlan>()?;
        let arrays = (malloc_array(&pointers), malloc_array(&reasons));
        let (Some(step_array), Some(refusal_array)) = arrays else {
            let array = arrays.0.or(arrays.1.map(NonNull::cast));
            let array = array.map_or(std::ptr::null_mut(), |array| array.as_ptr().cast());
            for memory in [place.as_ptr().cast(), array] {
                // SAFETY: NULL, or from malloc just now and nobody else's.
                unsafe { libc::free(memory) };
            }
            return None;
        };
        let value = virSnapPlan {
            nsteps: count(steps.len()),
            steps: step_array.as_ptr(),
            nrefusals: count(refusals.len()),
            refusals: refusal_array.as_ptr(),
            freed: planned.freed,
            needed: planned.needed,
            pause_ms: planned.pause_ms,
            text: text.into_raw(),
        };
        for step in steps {
            std::mem::forget(step);
        }
        // SAFETY: the new array has as many slots as there are reasons.
        unsafe { strings::fill(refusal_array.as_ptr(), refusals) };
        // SAFETY: new memory of that size, and malloc aligns for any type.
        unsafe { place.write(value) };
        Some(OwnedPlan(place))
    }

    fn into_raw(self) -> virSnapPlanPtr {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// # Safety
    ///
    /// From [`OwnedPlan::into_raw`], and not taken back before.
    unsafe fn from_raw(plan: NonNull<virSnapPlan>) -> OwnedPlan {
        OwnedPlan(plan)
    }
}

impl Drop for OwnedPlan {
    fn drop(&mut self) {
        // SAFETY: written in `new`, and freed only here.
        let plan = unsafe { self.0.read() };
        // SAFETY: as many steps as `new` has counted, each its own, and a NULL.
        for step in unsafe { until_null(plan.steps) } {
            drop(OwnedStep(step));
        }
        // SAFETY: as many texts as `new` has counted, each from malloc, and a NULL.
        for reason in unsafe { until_null(plan.refusals) } {
            // SAFETY: from malloc, and freed only here.
            unsafe { libc::free(reason.as_ptr().cast()) };
        }
        let rest: [*mut c_void; 4] = [
            plan.steps.cast(),
            plan.refusals.cast(),
            plan.text.cast(),
            self.0.as_ptr().cast(),
        ];
        for memory in rest {
            // SAFETY: from malloc in `new`, and freed only here.
            unsafe { libc::free(memory) };
        }
    }
}

/// What an array of pointers holds before its NULL.
///
/// # Safety
///
/// There is a NULL, and all before it can be read.
unsafe fn until_null<T>(array: *mut *mut T) -> Vec<NonNull<T>> {
    let mut found = Vec::new();
    let mut place = 0;
    loop {
        // SAFETY: not behind the NULL, by this contract.
        let slot = unsafe { array.add(place) };
        // SAFETY: as above.
        let Some(pointer) = NonNull::new(unsafe { slot.read() }) else {
            return found;
        };
        found.push(pointer);
        place += 1;
    }
}

/// Memory from `malloc` for one value.
fn room<T>() -> Option<NonNull<T>> {
    // SAFETY: malloc may be called with any size; this one is not zero.
    let memory = unsafe { libc::malloc(size_of::<T>()) };
    NonNull::new(memory.cast::<T>())
}

/// A copy of a text that may be missing; the outer `None`: memory cannot be had.
fn optional(text: Option<&str>) -> Option<Option<MallocString>> {
    match text {
        Some(text) => MallocString::new(text).map(Some),
        None => Some(None),
    }
}

fn raw(text: Option<MallocString>) -> *mut c_char {
    text.map_or(std::ptr::null_mut(), MallocString::into_raw)
}

/// Hands a plan to C.
fn give(call: &Call, planned: &Planned) -> Result<virSnapPlanPtr> {
    let plan = OwnedPlan::new(planned).ok_or_else(|| call.out_of_memory())?;
    Ok(plan.into_raw())
}

fn kind(kind: StepKind) -> virSnapPlanStepKind {
    use virSnapPlanStepKind as C;
    match kind {
        StepKind::Add => C::VIR_SNAP_PLAN_ADD,
        StepKind::Redefine => C::VIR_SNAP_PLAN_REDEFINE,
        StepKind::Drop => C::VIR_SNAP_PLAN_DROP,
        StepKind::Reparent => C::VIR_SNAP_PLAN_REPARENT,
        StepKind::Current => C::VIR_SNAP_PLAN_CURRENT,
        StepKind::CreateFile => C::VIR_SNAP_PLAN_CREATE_FILE,
        StepKind::WriteFile => C::VIR_SNAP_PLAN_WRITE_FILE,
        StepKind::RelinkFile => C::VIR_SNAP_PLAN_RELINK_FILE,
        StepKind::RemoveFile => C::VIR_SNAP_PLAN_REMOVE_FILE,
        StepKind::TakeData => C::VIR_SNAP_PLAN_TAKE_DATA,
        StepKind::RestoreData => C::VIR_SNAP_PLAN_RESTORE_DATA,
        StepKind::DropData => C::VIR_SNAP_PLAN_DROP_DATA,
        StepKind::SwitchDisk => C::VIR_SNAP_PLAN_SWITCH_DISK,
        StepKind::Pause => C::VIR_SNAP_PLAN_PAUSE,
        StepKind::Resume => C::VIR_SNAP_PLAN_RESUME,
        StepKind::Stop => C::VIR_SNAP_PLAN_STOP,
        StepKind::Start => C::VIR_SNAP_PLAN_START,
        StepKind::Undefine => C::VIR_SNAP_PLAN_UNDEFINE,
        StepKind::Freeze => C::VIR_SNAP_PLAN_FREEZE,
        StepKind::Elsewhere => C::VIR_SNAP_PLAN_ELSEWHERE,
    }
}
