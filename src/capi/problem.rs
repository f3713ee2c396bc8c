//! What is wrong with stored state: asked for, told of, mended. Not libvirt's: it drops such files
//! without a word.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use super::boundary::{self, Call, count};
use super::strings::{MallocString, malloc_array};
use super::types::{virConnectPtr, virDomainPtr};
use crate::error::{Family, Result};
use crate::ops::{self, Problem, ProblemKind, Repairs};

/// Kinds of problems with stored state.
#[repr(C)]
pub enum virSnapProblemKind {
    /// A file that cannot be read, or is no document of this domain.
    VIR_SNAP_PROBLEM_UNREADABLE = 1,
    /// A snapshot whose parent is missing. It is listed as a root.
    VIR_SNAP_PROBLEM_PARENT_MISSING = 2,
    /// A snapshot that is its own ancestor. It is listed as a root.
    VIR_SNAP_PROBLEM_CYCLE = 3,
    /// A document that claims to be the current snapshot's, while another one counts.
    VIR_SNAP_PROBLEM_SEVERAL_CURRENT = 4,
    /// An operation that was cut off and can be neither finished nor undone now.
    VIR_SNAP_PROBLEM_INTERRUPTED = 5,
}

/// Flags of virSnapDomainRepair(). Without any nothing is mended.
#[repr(C)]
pub enum virSnapRepairFlags {
    /// Tell what the other flags would mend, and change nothing.
    VIR_SNAP_REPAIR_DRY_RUN = 1,
    /// Move files that cannot be read to STATE_DIR/damaged/DOMAIN/.
    VIR_SNAP_REPAIR_SET_ASIDE = 2,
    /// Make roots of snapshots whose parent is missing or that are their own ancestors.
    VIR_SNAP_REPAIR_REROOT = 4,
    /// Take the mark of the current snapshot from all but the one that counts.
    VIR_SNAP_REPAIR_ONE_CURRENT = 8,
}

/// One thing that is wrong with stored state.
#[repr(C)]
pub struct _virSnapProblem {
    /// A virSnapProblemKind.
    pub kind: c_int,
    /// The snapshot; of a definition or a journal, the domain.
    pub name: *mut c_char,
    /// The file.
    pub file: *mut c_char,
    /// What is wrong, for people.
    pub text: *mut c_char,
}
/// One thing that is wrong with stored state.
pub type virSnapProblem = _virSnapProblem;
/// A pointer to it; give it back with virSnapProblemFree().
pub type virSnapProblemPtr = *mut virSnapProblem;

/// Is told of a problem at the end of the call that found it, in that call's thread.
///
/// @opaque: what was registered with it
/// @problem: the problem, valid during the call
pub type virSnapProblemFunc =
    Option<unsafe extern "C" fn(opaque: *mut c_void, problem: *const virSnapProblem)>;

/// Lists what is wrong with the stored snapshots of a domain. They are read anew if anything was, or if a
/// document was not read because its file had not changed since a summary of it was made.
///
/// @domain: a domain
/// @problems: where to store the array of problems; NULL to count them only
/// @flags: not used; 0
///
/// Snapshots that can be read work in spite of it. What stands against a problem is refused with
/// VIR_ERR_INTERNAL_ERROR and a message that names the file: changes of a snapshot that cannot be
/// read, a new snapshot while the current one may be among these, undefining the domain.
///
/// Returns the number of problems, or -1 in case of error. The array has a NULL behind the last.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees each problem with virSnapProblemFree(), then the array
/// with free().
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// problems is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainListProblems(
    domain: virDomainPtr,
    problems: *mut *mut virSnapProblemPtr,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainListProblems";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.snapshot_domain(domain)?;
        call.known_flags(flags, 0)?;
        let found = domain.to_change()?.problems()?;
        // SAFETY: NULL or writable by this function's contract.
        unsafe { give(call, &found, problems) }
    })
}

/// Lists the definitions of domains that cannot be read. A domain of such a name cannot be defined.
///
/// @conn: a connection
/// @problems: where to store the array of problems; NULL to count them only
/// @flags: not used; 0
///
/// Returns the number of problems, or -1 in case of error. The array has a NULL behind the last.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: the caller frees each problem with virSnapProblemFree(), then the array
/// with free().
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// problems is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapConnectListProblems(
    conn: virConnectPtr,
    problems: *mut *mut virSnapProblemPtr,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapConnectListProblems";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        let conn = call.connection(conn)?;
        call.known_flags(flags, 0)?;
        let found = conn.connection.problems()?;
        // SAFETY: NULL or writable by this function's contract.
        unsafe { give(call, &found, problems) }
    })
}

/// Mends stored state of a domain as the flags say. Nothing is ever deleted.
///
/// @domain: a domain
/// @mended: where to store the array of problems that were mended, or with DRY_RUN would be; NULL
/// to count them only
/// @flags: bitwise-OR of virSnapRepairFlags
///
/// Returns the number of problems that were mended, or -1 in case of error. The array has a NULL
/// behind the last.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
/// VIR_ERR_INVALID_ARG (unknown flag), VIR_ERR_SYSTEM_ERROR (a file cannot be moved or written; what
/// was mended before stays so), VIR_ERR_NO_MEMORY (it is mended all the same).
/// Threads: any. Ownership: the caller frees each problem with virSnapProblemFree(), then the array
/// with free().
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// mended is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainRepair(
    domain: virDomainPtr,
    mended: *mut *mut virSnapProblemPtr,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainRepair";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.snapshot_domain(domain)?;
        call.may_change(&domain)?;
        let done = domain.to_change()?.repair(Repairs::new(flags, FUNCTION)?)?;
        // SAFETY: NULL or writable by this function's contract.
        unsafe { give(call, &done, mended) }
    })
}

/// Frees a problem. NULL is allowed.
///
/// @problem: a problem of one of the lists above
///
/// Errors: none. Threads: any. Ownership: the problem is gone.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// problem is NULL or comes from this library and was not freed before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapProblemFree(problem: virSnapProblemPtr) {
    let Some(problem) = NonNull::new(problem) else {
        return;
    };
    // SAFETY: from `OwnedProblem::into_raw`, by this function's contract.
    drop(unsafe { OwnedProblem::from_raw(problem) });
}

/// Sets who is told of problems with stored state from now on, in the whole process. Each is told
/// once, at the end of the call that found it. Without a function nobody is told; the lists above have
/// them in any case.
///
/// @func: the function, or NULL. It may call this library; only where libvirt migrates a domain
/// (VIRSNAP_MIGRATE=carry) that domain's snapshots cannot be changed by it
/// @opaque: handed to it
///
/// A call that one of the program's functions makes belongs to the one that called that function: it is
/// the end of that one. When this returns, another thread may still be in the function from before.
///
/// Errors: none. Threads: any; the function is called in the thread that found the problem.
/// Ownership: opaque stays the caller's.
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapSetProblemFunc(func: virSnapProblemFunc, opaque: *mut c_void) {
    boundary::enter_quietly((), || {
        let Some(function) = func else {
            ops::set_log(None);
            return Some(());
        };
        let listener = Listener { function, opaque };
        ops::set_log(Some(Arc::new(move |problem| listener.tell(problem))));
        Some(())
    });
}

/// A program's function for problems, with what it wants to be given.
struct Listener {
    function: unsafe extern "C" fn(opaque: *mut c_void, problem: *const virSnapProblem),
    opaque: *mut c_void,
}

// SAFETY: the pointer is only handed back to the program, never followed; that the function may be
// called in any thread is what its registration says.
unsafe impl Send for Listener {}
// SAFETY: as above.
unsafe impl Sync for Listener {}

impl Listener {
    fn tell(&self, problem: &Problem) {
        if let Some(problem) = OwnedProblem::new(problem) {
            // SAFETY: the program's own function; the problem lives until the call is over.
            unsafe { (self.function)(self.opaque, problem.0.as_ptr()) };
        }
    }
}

/// A problem in memory from `malloc`, ours until it is handed to C.
struct OwnedProblem(NonNull<virSnapProblem>);

impl OwnedProblem {
    /// `None` if memory cannot be had.
    fn new(problem: &Problem) -> Option<OwnedProblem> {
        let name = MallocString::new(&problem.name)?;
        let file = MallocString::new(&problem.file.to_string_lossy())?;
        let text = MallocString::new(&problem.text)?;
        // SAFETY: malloc may be called with any size; this one is not zero.
        let memory = unsafe { libc::malloc(size_of::<virSnapProblem>()) };
        let place = NonNull::new(memory.cast::<virSnapProblem>())?;
        let value = virSnapProblem {
            kind: kind(problem.kind) as c_int,
            name: name.into_raw(),
            file: file.into_raw(),
            text: text.into_raw(),
        };
        // SAFETY: new memory of that size, and malloc aligns for any type.
        unsafe { place.write(value) };
        Some(OwnedProblem(place))
    }

    fn into_raw(self) -> virSnapProblemPtr {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// # Safety
    ///
    /// From [`OwnedProblem::into_raw`], and not taken back before.
    unsafe fn from_raw(problem: NonNull<virSnapProblem>) -> OwnedProblem {
        OwnedProblem(problem)
    }
}

impl Drop for OwnedProblem {
    fn drop(&mut self) {
        // SAFETY: written in `new`, and freed only here.
        let problem = unsafe { self.0.read() };
        for text in [problem.name, problem.file, problem.text] {
            // SAFETY: from malloc in `new`, and freed only here.
            unsafe { libc::free(text.cast()) };
        }
        // SAFETY: as above.
        unsafe { libc::free(self.0.as_ptr().cast()) };
    }
}

fn kind(kind: ProblemKind) -> virSnapProblemKind {
    match kind {
        ProblemKind::Unreadable => virSnapProblemKind::VIR_SNAP_PROBLEM_UNREADABLE,
        ProblemKind::ParentMissing => virSnapProblemKind::VIR_SNAP_PROBLEM_PARENT_MISSING,
        ProblemKind::Cycle => virSnapProblemKind::VIR_SNAP_PROBLEM_CYCLE,
        ProblemKind::SeveralCurrent => virSnapProblemKind::VIR_SNAP_PROBLEM_SEVERAL_CURRENT,
        ProblemKind::Interrupted => virSnapProblemKind::VIR_SNAP_PROBLEM_INTERRUPTED,
    }
}

/// Hands problems to C, and answers how many.
///
/// # Safety
///
/// `to` is NULL or writable.
unsafe fn give(call: &Call, found: &[Problem], to: *mut *mut virSnapProblemPtr) -> Result<c_int> {
    if to.is_null() {
        return Ok(count(found.len()));
    }
    let owned: Option<Vec<OwnedProblem>> = found.iter().map(OwnedProblem::new).collect();
    let owned = owned.ok_or_else(|| call.out_of_memory())?;
    let pointers: Vec<virSnapProblemPtr> = owned.iter().map(|one| one.0.as_ptr()).collect();
    let array = malloc_array(&pointers).ok_or_else(|| call.out_of_memory())?;
    for one in owned {
        one.into_raw();
    }
    // SAFETY: not NULL, and so writable by this contract.
    unsafe { to.write(array.as_ptr()) };
    Ok(count(found.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_operation() {
        use virSnapRepairFlags as Flags;
        let pairs = [
            (Flags::VIR_SNAP_REPAIR_DRY_RUN, Repairs::DRY_RUN),
            (Flags::VIR_SNAP_REPAIR_SET_ASIDE, Repairs::SET_ASIDE),
            (Flags::VIR_SNAP_REPAIR_REROOT, Repairs::REROOT),
            (Flags::VIR_SNAP_REPAIR_ONE_CURRENT, Repairs::ONE_CURRENT),
        ];
        for (flag, bit) in pairs {
            assert_eq!(flag as c_uint, bit);
        }
    }
}
