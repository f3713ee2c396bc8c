//! The library, by its C functions alone: their declarations, and owning types around them. Nothing
//! else in this program is unsafe.
#![allow(unsafe_code, reason = "the library is called through its C ABI")]
#![allow(
    non_camel_case_types,
    non_snake_case,
    reason = "these are the names in virsnap.h"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{null, null_mut};

#[cfg(feature = "static")]
extern crate virsnap as _;

/// An opaque object of the library's.
macro_rules! objects {
    ($($object:ident $pointer:ident),*) => {$(
        #[repr(C)]
        pub struct $object {
            _private: [u8; 0],
        }
        type $pointer = *mut $object;
    )*};
}

objects! {
    _virConnect virConnectPtr,
    _virDomain virDomainPtr,
    _virDomainSnapshot virDomainSnapshotPtr,
    _virError virErrorPtr
}

type virErrorFunc = Option<unsafe extern "C" fn(*mut c_void, virErrorPtr)>;

/// One thing that is wrong with stored state.
#[repr(C)]
struct virSnapProblem {
    kind: c_int,
    name: *mut c_char,
    file: *mut c_char,
    text: *mut c_char,
}

type virSnapProblemPtr = *mut virSnapProblem;

/// A directory or file of the source, and what it is called on this host.
#[repr(C)]
struct virSnapMigratePath {
    from: *const c_char,
    to: *const c_char,
}

/// How much a snapshot takes, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct virSnapSize {
    size: std::ffi::c_ulong,
    pub occupied: c_ulonglong,
    pub freed: c_ulonglong,
    pub memory: c_ulonglong,
    pub unknown: c_int,
}

type virSnapSizePtr = *mut virSnapSize;

/// One step of a plan.
#[repr(C)]
struct virSnapPlanStep {
    kind: c_int,
    name: *mut c_char,
    parent: *mut c_char,
    file: *mut c_char,
    disk: *mut c_char,
    bytes: c_ulonglong,
    text: *mut c_char,
}

type virSnapPlanStepPtr = *mut virSnapPlanStep;

/// What an operation would do, or why it would be refused.
#[repr(C)]
struct virSnapPlan {
    nsteps: c_int,
    steps: *mut virSnapPlanStepPtr,
    nrefusals: c_int,
    refusals: *mut *mut c_char,
    freed: c_ulonglong,
    needed: c_ulonglong,
    pause_ms: c_ulonglong,
    text: *mut c_char,
}

type virSnapPlanPtr = *mut virSnapPlan;

/// What a program does for a domain with its own hands; here it only watches.
#[repr(C)]
struct virSnapDomainCallbacks {
    size: std::ffi::c_ulong,
    getState: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    getDefinition: Option<unsafe extern "C" fn(*mut c_void) -> *mut c_char>,
    setDefinition: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int>,
    start: Option<unsafe extern "C" fn(*mut c_void, *const c_char, c_uint) -> c_int>,
    stop: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    pause: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    resume: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    monitorCommand: Option<unsafe extern "C" fn(*mut c_void, *const c_char, c_int) -> *mut c_char>,
    agentCommand: Option<unsafe extern "C" fn(*mut c_void, *const c_char, c_int) -> *mut c_char>,
    createData: Option<unsafe extern "C" fn(*mut c_void, *const c_char, c_uint) -> c_int>,
    revertData: Option<unsafe extern "C" fn(*mut c_void, *const c_char, c_uint) -> c_int>,
    deleteData: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int>,
    progress: Option<unsafe extern "C" fn(*mut c_void, c_ulonglong, c_ulonglong) -> c_int>,
    release: Option<unsafe extern "C" fn(*mut c_void)>,
}

unsafe extern "C" {
    fn virSetErrorFunc(userData: *mut c_void, handler: virErrorFunc);
    fn virGetLastErrorCode() -> c_int;
    fn virGetLastErrorMessage() -> *const c_char;

    fn virConnectOpen(name: *const c_char) -> virConnectPtr;
    fn virConnectOpenReadOnly(name: *const c_char) -> virConnectPtr;
    fn virConnectClose(conn: virConnectPtr) -> c_int;
    fn virConnectListAllDomains(
        conn: virConnectPtr,
        domains: *mut *mut virDomainPtr,
        flags: c_uint,
    ) -> c_int;
    fn virSnapConnectListProblems(
        conn: virConnectPtr,
        problems: *mut *mut virSnapProblemPtr,
        flags: c_uint,
    ) -> c_int;
    fn virSnapConnectMigratePrepare(
        conn: virConnectPtr,
        xml: *const c_char,
        paths: *const virSnapMigratePath,
        npaths: c_uint,
        flags: c_uint,
    ) -> virDomainPtr;

    fn virDomainLookupByName(conn: virConnectPtr, name: *const c_char) -> virDomainPtr;
    fn virDomainLookupByUUIDString(conn: virConnectPtr, uuid: *const c_char) -> virDomainPtr;
    fn virDomainDefineXML(conn: virConnectPtr, xml: *const c_char) -> virDomainPtr;
    fn virDomainFree(domain: virDomainPtr) -> c_int;
    fn virDomainGetName(domain: virDomainPtr) -> *const c_char;
    fn virDomainGetUUIDString(domain: virDomainPtr, buf: *mut c_char) -> c_int;
    fn virDomainGetXMLDesc(domain: virDomainPtr, flags: c_uint) -> *mut c_char;
    fn virDomainGetState(
        domain: virDomainPtr,
        state: *mut c_int,
        reason: *mut c_int,
        flags: c_uint,
    ) -> c_int;
    fn virDomainUndefineFlags(domain: virDomainPtr, flags: c_uint) -> c_int;
    fn virSnapDomainSetMonitor(
        domain: virDomainPtr,
        monitor: *const c_char,
        agent: *const c_char,
        flags: c_uint,
    ) -> c_int;
    fn virSnapDomainSetCallbacks(
        domain: virDomainPtr,
        callbacks: *const virSnapDomainCallbacks,
        opaque: *mut c_void,
        flags: c_uint,
    ) -> c_int;
    fn virSnapDomainListDifferences(
        domain: virDomainPtr,
        xmlDesc: *const c_char,
        differences: *mut *mut *mut c_char,
        flags: c_uint,
    ) -> c_int;
    fn virSnapDomainListProblems(
        domain: virDomainPtr,
        problems: *mut *mut virSnapProblemPtr,
        flags: c_uint,
    ) -> c_int;
    fn virSnapDomainRepair(
        domain: virDomainPtr,
        mended: *mut *mut virSnapProblemPtr,
        flags: c_uint,
    ) -> c_int;
    fn virSnapProblemFree(problem: virSnapProblemPtr);

    fn virSnapDomainSnapshotGetSize(
        snapshot: virDomainSnapshotPtr,
        size: virSnapSizePtr,
        flags: c_uint,
    ) -> c_int;
    fn virSnapDomainPlanCreate(
        domain: virDomainPtr,
        xmlDesc: *const c_char,
        flags: c_uint,
    ) -> virSnapPlanPtr;
    fn virSnapDomainSnapshotPlanDelete(
        snapshot: virDomainSnapshotPtr,
        flags: c_uint,
    ) -> virSnapPlanPtr;
    fn virSnapDomainSnapshotPlanRevert(
        snapshot: virDomainSnapshotPtr,
        flags: c_uint,
    ) -> virSnapPlanPtr;
    fn virSnapDomainPlanUndefine(domain: virDomainPtr, flags: c_uint) -> virSnapPlanPtr;
    fn virSnapDomainPlanMigrate(domain: virDomainPtr, flags: c_uint) -> virSnapPlanPtr;
    fn virSnapPlanFree(plan: virSnapPlanPtr);

    fn virSnapDomainMigrateBegin(
        domain: virDomainPtr,
        cookie: *mut *mut c_char,
        flags: c_uint,
    ) -> c_int;
    fn virSnapDomainMigrateExportFD(domain: virDomainPtr, fd: c_int, flags: c_uint) -> c_int;
    fn virSnapDomainMigrateImportFD(
        domain: virDomainPtr,
        fd: c_int,
        paths: *const virSnapMigratePath,
        npaths: c_uint,
        flags: c_uint,
    ) -> c_int;
    fn virSnapDomainMigrateFinish(
        domain: virDomainPtr,
        cookie: *const c_char,
        flags: c_uint,
    ) -> c_int;
    fn virSnapDomainMigrateConfirm(
        domain: virDomainPtr,
        cookie: *const c_char,
        cancelled: c_int,
        flags: c_uint,
    ) -> c_int;
    fn virSnapDomainMigrateCancel(domain: virDomainPtr, flags: c_uint) -> c_int;
    fn virSnapDomainMigrateGetState(
        domain: virDomainPtr,
        id: *mut *mut c_char,
        flags: c_uint,
    ) -> c_int;
    fn virSnapDomainMigrateAdopt(
        domain: virDomainPtr,
        source: virDomainPtr,
        flags: c_uint,
    ) -> c_int;

    fn virDomainListAllSnapshots(
        domain: virDomainPtr,
        snaps: *mut *mut virDomainSnapshotPtr,
        flags: c_uint,
    ) -> c_int;
    fn virDomainSnapshotLookupByName(
        domain: virDomainPtr,
        name: *const c_char,
        flags: c_uint,
    ) -> virDomainSnapshotPtr;
    fn virDomainSnapshotCurrent(domain: virDomainPtr, flags: c_uint) -> virDomainSnapshotPtr;
    fn virDomainHasCurrentSnapshot(domain: virDomainPtr, flags: c_uint) -> c_int;
    fn virDomainSnapshotCreateXML(
        domain: virDomainPtr,
        xmlDesc: *const c_char,
        flags: c_uint,
    ) -> virDomainSnapshotPtr;
    fn virDomainRevertToSnapshot(snapshot: virDomainSnapshotPtr, flags: c_uint) -> c_int;
    fn virDomainSnapshotDelete(snapshot: virDomainSnapshotPtr, flags: c_uint) -> c_int;
    fn virDomainSnapshotFree(snapshot: virDomainSnapshotPtr) -> c_int;
    fn virDomainSnapshotGetName(snapshot: virDomainSnapshotPtr) -> *const c_char;
    fn virDomainSnapshotGetXMLDesc(snapshot: virDomainSnapshotPtr, flags: c_uint) -> *mut c_char;
}

pub const VIR_UUID_STRING_BUFLEN: usize = 37;
pub const VIR_DOMAIN_RUNNING: c_int = 1;
pub const VIR_DOMAIN_PAUSED: c_int = 3;
pub const VIR_DOMAIN_SHUTOFF: c_int = 5;
pub const VIR_DOMAIN_XML_SECURE: c_uint = 1;
pub const VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA: c_uint = 2;
pub const VIR_DOMAIN_SNAPSHOT_XML_SECURE: c_uint = 1;
pub const VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL: c_uint = 1024;
pub const VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE: c_uint = 1;
pub const VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT: c_uint = 2;
pub const VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA: c_uint = 4;
pub const VIR_DOMAIN_SNAPSHOT_CREATE_HALT: c_uint = 8;
pub const VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY: c_uint = 16;
pub const VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT: c_uint = 32;
pub const VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE: c_uint = 64;
pub const VIR_DOMAIN_SNAPSHOT_CREATE_LIVE: c_uint = 256;
pub const VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE: c_uint = 512;
pub const VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING: c_uint = 1;
pub const VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED: c_uint = 2;
pub const VIR_DOMAIN_SNAPSHOT_REVERT_FORCE: c_uint = 4;
pub const VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM: c_uint = 8;
pub const VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN: c_uint = 1;
pub const VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY: c_uint = 2;
pub const VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY: c_uint = 4;
pub const VIR_ERR_NO_SUPPORT: c_int = 3;
pub const VIR_ERR_OPERATION_DENIED: c_int = 29;
pub const VIR_ERR_NO_DOMAIN: c_int = 42;
pub const VIR_ERR_OPERATION_INVALID: c_int = 55;
pub const VIR_ERR_CONFIG_UNSUPPORTED: c_int = 67;
pub const VIR_ERR_NO_DOMAIN_SNAPSHOT: c_int = 72;
pub const VIR_ERR_ARGUMENT_UNSUPPORTED: c_int = 74;
pub const VIR_ERR_SNAPSHOT_REVERT_RISKY: c_int = 77;
pub const VIR_ERR_OPERATION_UNSUPPORTED: c_int = 84;
pub const VIR_SNAP_PROBLEM_UNREADABLE: c_int = 1;
pub const VIR_SNAP_PROBLEM_PARENT_MISSING: c_int = 2;
pub const VIR_SNAP_PROBLEM_CYCLE: c_int = 3;
pub const VIR_SNAP_PROBLEM_SEVERAL_CURRENT: c_int = 4;
pub const VIR_SNAP_PROBLEM_INTERRUPTED: c_int = 5;
pub const VIR_SNAP_PLAN_ADD: c_int = 1;
pub const VIR_SNAP_PLAN_REDEFINE: c_int = 2;
pub const VIR_SNAP_PLAN_DROP: c_int = 3;
pub const VIR_SNAP_PLAN_REPARENT: c_int = 4;
pub const VIR_SNAP_PLAN_CURRENT: c_int = 5;
pub const VIR_SNAP_PLAN_CREATE_FILE: c_int = 6;
pub const VIR_SNAP_PLAN_WRITE_FILE: c_int = 7;
pub const VIR_SNAP_PLAN_RELINK_FILE: c_int = 8;
pub const VIR_SNAP_PLAN_REMOVE_FILE: c_int = 9;
pub const VIR_SNAP_PLAN_TAKE_DATA: c_int = 10;
pub const VIR_SNAP_PLAN_RESTORE_DATA: c_int = 11;
pub const VIR_SNAP_PLAN_DROP_DATA: c_int = 12;
pub const VIR_SNAP_PLAN_SWITCH_DISK: c_int = 13;
pub const VIR_SNAP_PLAN_PAUSE: c_int = 14;
pub const VIR_SNAP_PLAN_RESUME: c_int = 15;
pub const VIR_SNAP_PLAN_STOP: c_int = 16;
pub const VIR_SNAP_PLAN_START: c_int = 17;
pub const VIR_SNAP_PLAN_UNDEFINE: c_int = 18;
pub const VIR_SNAP_PLAN_FREEZE: c_int = 19;
pub const VIR_SNAP_PLAN_ELSEWHERE: c_int = 20;
pub const VIR_SNAP_REPAIR_DRY_RUN: c_uint = 1;
pub const VIR_SNAP_REPAIR_SET_ASIDE: c_uint = 2;
pub const VIR_SNAP_REPAIR_REROOT: c_uint = 4;
pub const VIR_SNAP_REPAIR_ONE_CURRENT: c_uint = 8;
pub const VIR_SNAP_MIGRATE_METADATA: c_uint = 1;
pub const VIR_SNAP_MIGRATE_STATE_NONE: c_int = 0;
pub const VIR_SNAP_MIGRATE_STATE_OUTGOING: c_int = 1;
pub const VIR_SNAP_MIGRATE_STATE_INCOMING: c_int = 2;
pub const VIR_SNAP_MIGRATE_STATE_FINISHED: c_int = 3;
pub const VIR_SNAP_MIGRATE_STATE_CONFIRMED: c_int = 4;
pub const VIR_SNAP_MIGRATE_STATE_CANCELLED: c_int = 5;
pub const VIR_SNAP_MIGRATE_ADOPT_FORGET: c_uint = 1;
pub const VIR_SNAP_MIGRATE_IMPORT_UNCHECKED: c_uint = 1;
pub const VIR_SNAP_LIST_DIFFERENCES_DIFFERING: c_uint = 1;
pub const VIR_SNAP_LIST_DIFFERENCES_UNCHECKED: c_uint = 2;

/// What the library says of a call that failed.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: c_int,
    pub message: String,
}

type Answer<T> = Result<T, Refusal>;

/// One thing that is wrong with stored state.
#[derive(Clone, Debug)]
pub struct Problem {
    pub kind: c_int,
    pub name: String,
    pub file: String,
    pub text: String,
}

fn refusal() -> Refusal {
    // SAFETY: reads this thread's last error.
    let code = unsafe { virGetLastErrorCode() };
    // SAFETY: as above; the text is the library's until the thread's next call.
    let message = unsafe { virGetLastErrorMessage() };
    let message = match message.is_null() {
        true => String::from("unknown error"),
        // SAFETY: not NULL, NUL-terminated, and there is no call between.
        false => text(unsafe { CStr::from_ptr(message) }),
    };
    Refusal { code, message }
}

fn text(bytes: &CStr) -> String {
    bytes.to_string_lossy().into_owned()
}

/// A text for the library.
fn c_text(text: &str) -> Answer<CString> {
    CString::new(text).map_err(|_| Refusal {
        code: 0,
        message: format!("'{}' has a NUL inside", text.escape_default()),
    })
}

fn done(answer: c_int) -> Answer<()> {
    if answer < 0 { Err(refusal()) } else { Ok(()) }
}

fn object<T>(answer: *mut T) -> Answer<*mut T> {
    if answer.is_null() {
        Err(refusal())
    } else {
        Ok(answer)
    }
}

/// Takes over a text that the library gives away.
///
/// # Safety
///
/// `given` is NULL or a text from the library that nobody frees otherwise.
unsafe fn owned(given: *mut c_char) -> Option<String> {
    if given.is_null() {
        return None;
    }
    // SAFETY: not NULL, and NUL-terminated by the caller's word.
    let copy = text(unsafe { CStr::from_ptr(given) });
    // SAFETY: the library's texts come from malloc(), and this one is ours.
    unsafe { free(given.cast()) };
    Some(copy)
}

/// Takes over an array that the library gives away, and each of its elements.
///
/// # Safety
///
/// `given` is an array from malloc() with `count` elements.
unsafe fn elements<T: Copy>(given: *mut T, count: c_int) -> Vec<T> {
    let count = usize::try_from(count).unwrap_or(0);
    if given.is_null() {
        return Vec::new();
    }
    // SAFETY: so many there are, by the caller's word.
    let copy = unsafe { std::slice::from_raw_parts(given, count) }.to_vec();
    // SAFETY: the array is ours.
    unsafe { free(given.cast()) };
    copy
}

unsafe extern "C" {
    /// libc's.
    #[link_name = "free"]
    fn free(memory: *mut c_void);
}

/// What becomes of an error in the library's hands.
///
/// # Safety
///
/// May be called with anything.
unsafe extern "C" fn say_nothing(_: *mut c_void, _: virErrorPtr) {}

/// Keeps the library from telling errors on standard error: this program tells them.
pub fn silence() {
    // SAFETY: the function does nothing.
    unsafe { virSetErrorFunc(null_mut(), Some(say_nothing)) };
}

fn problems(answer: c_int, list: *mut virSnapProblemPtr) -> Answer<Vec<Problem>> {
    done(answer)?;
    // SAFETY: the call has succeeded, so the array has `answer` problems and is ours.
    let list = unsafe { elements(list, answer) };
    let read = |problem: virSnapProblemPtr| {
        let word = |text_of: *mut c_char| match text_of.is_null() {
            true => String::new(),
            // SAFETY: NUL-terminated, as long as the problem is there.
            false => text(unsafe { CStr::from_ptr(text_of) }),
        };
        // SAFETY: a problem of the array.
        let found = unsafe { &*problem };
        let copy = Problem {
            kind: found.kind,
            name: word(found.name),
            file: word(found.file),
            text: word(found.text),
        };
        // SAFETY: as above, and not used again.
        unsafe { virSnapProblemFree(problem) };
        copy
    };
    Ok(list.into_iter().map(read).collect())
}

/// What an operation would do, or why it would be refused.
#[derive(Clone, Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub refusals: Vec<String>,
    pub freed: u64,
    pub needed: u64,
    pub pause_ms: u64,
    pub text: String,
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub struct Step {
    pub kind: c_int,
    pub name: Option<String>,
    pub parent: Option<String>,
    pub file: Option<String>,
    pub disk: Option<String>,
    pub bytes: u64,
    pub text: String,
}

/// A text that stays the library's.
///
/// # Safety
///
/// `theirs` is NULL or a text from the library that lives during this call.
unsafe fn lent(theirs: *const c_char) -> Option<String> {
    // SAFETY: NUL-terminated if it is not NULL, by the caller's word.
    (!theirs.is_null()).then(|| text(unsafe { CStr::from_ptr(theirs) }))
}

/// The elements of an array that stays the library's.
///
/// # Safety
///
/// `theirs` is NULL or has `count` elements, and lives during this call.
unsafe fn lent_elements<T: Copy>(theirs: *const T, count: c_int) -> Vec<T> {
    if theirs.is_null() {
        return Vec::new();
    }
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: so many there are, by the caller's word.
    unsafe { std::slice::from_raw_parts(theirs, count) }.to_vec()
}

/// Takes a plan over.
fn plan(answer: virSnapPlanPtr) -> Answer<Plan> {
    let answer = object(answer)?;
    // SAFETY: the call has succeeded, and the plan is ours until it is freed below.
    let found = unsafe { &*answer };
    // SAFETY: as many as the plan says.
    let steps = unsafe { lent_elements(found.steps, found.nsteps) };
    // SAFETY: as above.
    let refusals = unsafe { lent_elements(found.refusals, found.nrefusals) };
    // SAFETY: a text of the plan, as are all below.
    let word = |theirs: *mut c_char| unsafe { lent(theirs) };
    let copy = Plan {
        steps: steps
            .into_iter()
            .map(|step| {
                // SAFETY: a step of the plan.
                let step = unsafe { &*step };
                Step {
                    kind: step.kind,
                    name: word(step.name),
                    parent: word(step.parent),
                    file: word(step.file),
                    disk: word(step.disk),
                    bytes: step.bytes,
                    text: word(step.text).unwrap_or_default(),
                }
            })
            .collect(),
        refusals: refusals.into_iter().filter_map(word).collect(),
        freed: found.freed,
        needed: found.needed,
        pause_ms: found.pause_ms,
        text: word(found.text).unwrap_or_default(),
    };
    // SAFETY: ours, and not used again.
    unsafe { virSnapPlanFree(answer) };
    Ok(copy)
}

/// Paths as the library wants them.
struct Paths {
    table: Vec<virSnapMigratePath>,
    _texts: Vec<(CString, CString)>,
}

impl Paths {
    fn new(paths: &[(String, String)]) -> Answer<Paths> {
        let texts = paths
            .iter()
            .map(|(from, to)| Ok((c_text(from)?, c_text(to)?)))
            .collect::<Answer<Vec<_>>>()?;
        let table = texts
            .iter()
            .map(|(from, to)| virSnapMigratePath {
                from: from.as_ptr(),
                to: to.as_ptr(),
            })
            .collect();
        Ok(Paths {
            table,
            _texts: texts,
        })
    }

    fn first(&self) -> *const virSnapMigratePath {
        if self.table.is_empty() {
            null()
        } else {
            self.table.as_ptr()
        }
    }

    fn count(&self) -> c_uint {
        c_uint::try_from(self.table.len()).unwrap_or(c_uint::MAX)
    }
}

/// Whether a connection may change anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    Read,
    Write,
}

/// A connection.
pub struct Connection(virConnectPtr);

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: this is its one reference.
        unsafe { virConnectClose(self.0) };
    }
}

impl Connection {
    pub fn open(uri: &str, access: Access) -> Answer<Connection> {
        let uri = c_text(uri)?;
        let open = match access {
            Access::Read => virConnectOpenReadOnly,
            Access::Write => virConnectOpen,
        };
        // SAFETY: NUL-terminated.
        object(unsafe { open(uri.as_ptr()) }).map(Connection)
    }

    /// All domains, by name.
    pub fn domains(&self) -> Answer<Vec<Domain>> {
        let mut list = null_mut();
        // SAFETY: the place is writable.
        let count = unsafe { virConnectListAllDomains(self.0, &raw mut list, 0) };
        done(count)?;
        // SAFETY: the call has succeeded.
        let list = unsafe { elements(list, count) };
        let mut domains: Vec<Domain> = list.into_iter().map(Domain).collect();
        domains.sort_by_key(Domain::name);
        Ok(domains)
    }

    /// Definitions that cannot be read.
    pub fn problems(&self) -> Answer<Vec<Problem>> {
        let mut list = null_mut();
        // SAFETY: the place is writable.
        let answer = unsafe { virSnapConnectListProblems(self.0, &raw mut list, 0) };
        problems(answer, list)
    }

    pub fn domain(&self, name: &str) -> Answer<Domain> {
        let name = c_text(name)?;
        // SAFETY: NUL-terminated.
        object(unsafe { virDomainLookupByName(self.0, name.as_ptr()) }).map(Domain)
    }

    pub fn domain_of_uuid(&self, uuid: &str) -> Answer<Domain> {
        let uuid = c_text(uuid)?;
        // SAFETY: NUL-terminated.
        object(unsafe { virDomainLookupByUUIDString(self.0, uuid.as_ptr()) }).map(Domain)
    }

    pub fn define(&self, xml: &str) -> Answer<Domain> {
        let xml = c_text(xml)?;
        // SAFETY: NUL-terminated.
        object(unsafe { virDomainDefineXML(self.0, xml.as_ptr()) }).map(Domain)
    }

    /// Defines a domain of another host, with the paths of this one.
    pub fn prepare(&self, xml: &str, paths: &[(String, String)]) -> Answer<Domain> {
        let xml = c_text(xml)?;
        let paths = Paths::new(paths)?;
        let (first, count) = (paths.first(), paths.count());
        // SAFETY: NUL-terminated, and a table of so many that lives until the call is over.
        let domain = unsafe { virSnapConnectMigratePrepare(self.0, xml.as_ptr(), first, count, 0) };
        object(domain).map(Domain)
    }
}

/// A domain.
pub struct Domain(virDomainPtr);

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: this is its one reference.
        unsafe { virDomainFree(self.0) };
    }
}

impl Domain {
    pub fn name(&self) -> String {
        // SAFETY: a live handle.
        let name = unsafe { virDomainGetName(self.0) };
        // SAFETY: NUL-terminated, and the handle's as long as that lives.
        text(unsafe { CStr::from_ptr(name) })
    }

    pub fn uuid(&self) -> Answer<String> {
        let mut buffer = [0u8; VIR_UUID_STRING_BUFLEN];
        // SAFETY: as large as the call demands.
        done(unsafe { virDomainGetUUIDString(self.0, buffer.as_mut_ptr().cast()) })?;
        Ok(CStr::from_bytes_until_nul(&buffer)
            .map(text)
            .unwrap_or_default())
    }

    pub fn xml(&self, flags: c_uint) -> Answer<String> {
        // SAFETY: a live handle.
        let xml = unsafe { virDomainGetXMLDesc(self.0, flags) };
        // SAFETY: the text is ours.
        unsafe { owned(xml) }.ok_or_else(refusal)
    }

    /// A virDomainState.
    pub fn state(&self) -> Answer<c_int> {
        let mut state = 0;
        // SAFETY: the place is writable, and the reason is not asked for.
        done(unsafe { virDomainGetState(self.0, &raw mut state, null_mut(), 0) })?;
        Ok(state)
    }

    pub fn undefine(&self, flags: c_uint) -> Answer<()> {
        // SAFETY: a live handle.
        done(unsafe { virDomainUndefineFlags(self.0, flags) })
    }

    /// Attaches a guest that runs.
    pub fn attach(&self, monitor: &str, agent: Option<&str>) -> Answer<()> {
        let monitor = c_text(monitor)?;
        let agent = agent.map(c_text).transpose()?;
        let agent = agent.as_deref().map_or(null(), CStr::as_ptr);
        // SAFETY: NULL or NUL-terminated.
        done(unsafe { virSnapDomainSetMonitor(self.0, monitor.as_ptr(), agent, 0) })
    }

    /// Has a function told how far long operations are: so many bytes of so many.
    pub fn watch(&self, watcher: Watcher) -> Answer<()> {
        let callbacks = virSnapDomainCallbacks {
            size: std::mem::size_of::<virSnapDomainCallbacks>() as std::ffi::c_ulong,
            progress: Some(tell_watcher),
            release: Some(release_watcher),
            getState: None,
            getDefinition: None,
            setDefinition: None,
            start: None,
            stop: None,
            pause: None,
            resume: None,
            monitorCommand: None,
            agentCommand: None,
            createData: None,
            revertData: None,
            deleteData: None,
        };
        let opaque = Box::into_raw(Box::new(watcher));
        // SAFETY: the structure says its size, and its functions take what is handed over here.
        let answer =
            unsafe { virSnapDomainSetCallbacks(self.0, &raw const callbacks, opaque.cast(), 0) };
        if answer < 0 {
            let refusal = refusal();
            // SAFETY: refused, so the library does not release it.
            drop(unsafe { Box::from_raw(opaque) });
            return Err(refusal);
        }
        Ok(())
    }

    pub fn differences(&self, flags: c_uint) -> Answer<Vec<String>> {
        let mut list = null_mut();
        // SAFETY: the place is writable; no document is given.
        let count = unsafe { virSnapDomainListDifferences(self.0, null(), &raw mut list, flags) };
        done(count)?;
        // SAFETY: the call has succeeded.
        let list = unsafe { elements(list, count) };
        // SAFETY: each text is ours.
        Ok(list
            .into_iter()
            .filter_map(|text| unsafe { owned(text) })
            .collect())
    }

    pub fn problems(&self) -> Answer<Vec<Problem>> {
        let mut list = null_mut();
        // SAFETY: the place is writable.
        let answer = unsafe { virSnapDomainListProblems(self.0, &raw mut list, 0) };
        problems(answer, list)
    }

    pub fn repair(&self, flags: c_uint) -> Answer<Vec<Problem>> {
        let mut list = null_mut();
        // SAFETY: the place is writable.
        let answer = unsafe { virSnapDomainRepair(self.0, &raw mut list, flags) };
        problems(answer, list)
    }

    pub fn plan_create(&self, xml: &str, flags: c_uint) -> Answer<Plan> {
        let xml = c_text(xml)?;
        // SAFETY: NUL-terminated.
        plan(unsafe { virSnapDomainPlanCreate(self.0, xml.as_ptr(), flags) })
    }

    pub fn plan_undefine(&self, flags: c_uint) -> Answer<Plan> {
        // SAFETY: a live handle.
        plan(unsafe { virSnapDomainPlanUndefine(self.0, flags) })
    }

    /// What beginning a move would do.
    pub fn plan_migrate(&self) -> Answer<Plan> {
        // SAFETY: a live handle.
        plan(unsafe { virSnapDomainPlanMigrate(self.0, VIR_SNAP_MIGRATE_METADATA) })
    }

    /// Begins a move, and gives its cookie.
    pub fn migrate_begin(&self) -> Answer<String> {
        let mut cookie = null_mut();
        // SAFETY: the place is writable.
        done(unsafe {
            virSnapDomainMigrateBegin(self.0, &raw mut cookie, VIR_SNAP_MIGRATE_METADATA)
        })?;
        // SAFETY: the call has succeeded, so the text is ours.
        unsafe { owned(cookie) }.ok_or_else(refusal)
    }

    pub fn migrate_export(&self, to: impl AsFd) -> Answer<()> {
        // SAFETY: the descriptor stays open meanwhile.
        done(unsafe { virSnapDomainMigrateExportFD(self.0, to.as_fd().as_raw_fd(), 0) })
    }

    pub fn migrate_import(
        &self,
        from: impl AsFd,
        paths: &[(String, String)],
        flags: c_uint,
    ) -> Answer<()> {
        let paths = Paths::new(paths)?;
        let (first, count) = (paths.first(), paths.count());
        let from = from.as_fd().as_raw_fd();
        // SAFETY: the descriptor stays open meanwhile, and the table lives as long.
        done(unsafe { virSnapDomainMigrateImportFD(self.0, from, first, count, flags) })
    }

    pub fn migrate_finish(&self, cookie: &str) -> Answer<()> {
        let cookie = c_text(cookie)?;
        // SAFETY: NUL-terminated.
        done(unsafe { virSnapDomainMigrateFinish(self.0, cookie.as_ptr(), 0) })
    }

    /// Forgets the snapshots of the last move, which has arrived.
    pub fn migrate_confirm(&self) -> Answer<()> {
        // SAFETY: no cookie is given.
        done(unsafe { virSnapDomainMigrateConfirm(self.0, null(), 0, 0) })
    }

    pub fn migrate_cancel(&self) -> Answer<()> {
        // SAFETY: a live handle.
        done(unsafe { virSnapDomainMigrateCancel(self.0, 0) })
    }

    /// A virSnapMigrateState, and which move it is.
    pub fn migrate_state(&self) -> Answer<(c_int, Option<String>)> {
        let mut id = null_mut();
        // SAFETY: the place is writable.
        let state = unsafe { virSnapDomainMigrateGetState(self.0, &raw mut id, 0) };
        done(state)?;
        // SAFETY: the call has succeeded, so the text is ours.
        Ok((state, unsafe { owned(id) }))
    }

    /// Adopts what libvirt keeps of the same domain.
    pub fn adopt(&self, source: &Domain, flags: c_uint) -> Answer<()> {
        // SAFETY: live handles.
        done(unsafe { virSnapDomainMigrateAdopt(self.0, source.0, flags) })
    }

    /// All snapshots, parents before their children.
    pub fn snapshots(&self) -> Answer<Vec<Snapshot>> {
        let mut list = null_mut();
        // SAFETY: the place is writable.
        let count = unsafe {
            virDomainListAllSnapshots(self.0, &raw mut list, VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL)
        };
        done(count)?;
        // SAFETY: the call has succeeded.
        Ok(unsafe { elements(list, count) }
            .into_iter()
            .map(Snapshot)
            .collect())
    }

    pub fn snapshot(&self, name: &str) -> Answer<Snapshot> {
        let name = c_text(name)?;
        // SAFETY: NUL-terminated.
        object(unsafe { virDomainSnapshotLookupByName(self.0, name.as_ptr(), 0) }).map(Snapshot)
    }

    pub fn current(&self) -> Answer<Option<Snapshot>> {
        // SAFETY: a live handle.
        let has = unsafe { virDomainHasCurrentSnapshot(self.0, 0) };
        done(has)?;
        if has == 0 {
            return Ok(None);
        }
        // SAFETY: a live handle.
        object(unsafe { virDomainSnapshotCurrent(self.0, 0) }).map(|found| Some(Snapshot(found)))
    }

    pub fn create(&self, xml: &str, flags: c_uint) -> Answer<Snapshot> {
        let xml = c_text(xml)?;
        // SAFETY: NUL-terminated.
        object(unsafe { virDomainSnapshotCreateXML(self.0, xml.as_ptr(), flags) }).map(Snapshot)
    }
}

/// Is told how far an operation is; answers whether it shall go on.
pub type Watcher = Box<dyn Fn(u64, u64) -> bool + Send + Sync>;

/// # Safety
///
/// `opaque` is what `Domain::watch` handed over.
unsafe extern "C" fn tell_watcher(
    opaque: *mut c_void,
    done: c_ulonglong,
    total: c_ulonglong,
) -> c_int {
    // SAFETY: what `watch` handed over, until it is released.
    let watcher = unsafe { &*opaque.cast::<Watcher>() };
    c_int::from(!watcher(done, total))
}

/// # Safety
///
/// `opaque` is what `Domain::watch` handed over, and nobody uses it again.
unsafe extern "C" fn release_watcher(opaque: *mut c_void) {
    // SAFETY: what `watch` handed over; the library calls this once and uses it no more.
    drop(unsafe { Box::from_raw(opaque.cast::<Watcher>()) });
}

/// A snapshot.
pub struct Snapshot(virDomainSnapshotPtr);

impl Drop for Snapshot {
    fn drop(&mut self) {
        // SAFETY: this is its one reference.
        unsafe { virDomainSnapshotFree(self.0) };
    }
}

impl Snapshot {
    pub fn name(&self) -> String {
        // SAFETY: a live handle.
        let name = unsafe { virDomainSnapshotGetName(self.0) };
        // SAFETY: NUL-terminated, and the handle's as long as that lives.
        text(unsafe { CStr::from_ptr(name) })
    }

    pub fn xml(&self, flags: c_uint) -> Answer<String> {
        // SAFETY: a live handle.
        let xml = unsafe { virDomainSnapshotGetXMLDesc(self.0, flags) };
        // SAFETY: the text is ours.
        unsafe { owned(xml) }.ok_or_else(refusal)
    }

    pub fn size(&self) -> Answer<virSnapSize> {
        let mut size = virSnapSize {
            size: std::mem::size_of::<virSnapSize>() as std::ffi::c_ulong,
            ..virSnapSize::default()
        };
        // SAFETY: a live handle, and the place says its size and is writable.
        done(unsafe { virSnapDomainSnapshotGetSize(self.0, &raw mut size, 0) })?;
        Ok(size)
    }

    pub fn plan_revert(&self, flags: c_uint) -> Answer<Plan> {
        // SAFETY: a live handle.
        plan(unsafe { virSnapDomainSnapshotPlanRevert(self.0, flags) })
    }

    pub fn plan_delete(&self, flags: c_uint) -> Answer<Plan> {
        // SAFETY: a live handle.
        plan(unsafe { virSnapDomainSnapshotPlanDelete(self.0, flags) })
    }

    pub fn revert(&self, flags: c_uint) -> Answer<()> {
        // SAFETY: a live handle.
        done(unsafe { virDomainRevertToSnapshot(self.0, flags) })
    }

    pub fn delete(&self, flags: c_uint) -> Answer<()> {
        // SAFETY: a live handle.
        done(unsafe { virDomainSnapshotDelete(self.0, flags) })
    }
}

#[cfg(test)]
mod tests {
    //! What is declared here is what virsnap.h declares.

    use std::collections::BTreeMap;

    const HEADER: &str = include_str!("../../include/virsnap.h");
    const HERE: &str = include_str!("ffi.rs");

    /// In one line, without comments, with single spaces.
    fn flat(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, comment)) = rest.split_once("/*") {
            out += before;
            rest = comment.split_once("*/").unwrap().1;
        }
        out += rest;
        let lines = out.lines().map(|line| line.split("//").next().unwrap());
        lines
            .flat_map(str::split_whitespace)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// A type in C of a type in Rust.
    fn in_c(rust: &str) -> String {
        if let Some(target) = rust.strip_prefix("*const ") {
            return match in_c(target) {
                plain if plain.ends_with('*') => format!("{plain}const *"),
                plain => format!("const {plain} *"),
            };
        }
        if let Some(target) = rust.strip_prefix("*mut ") {
            let target = in_c(target);
            return if target.ends_with('*') {
                format!("{target}*")
            } else {
                format!("{target} *")
            };
        }
        let plain = match rust {
            "c_char" => "char",
            "c_int" => "int",
            "c_uint" => "unsigned int",
            "c_ulonglong" => "unsigned long long",
            "std::ffi::c_ulong" => "unsigned long",
            "c_void" => "void",
            own => own,
        };
        plain.to_owned()
    }

    /// A C parameter or member without its name.
    fn nameless(parameter: &str) -> String {
        let name = parameter
            .rsplit(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next()
            .unwrap();
        parameter.strip_suffix(name).unwrap().trim().to_owned()
    }

    /// Of each function of the header: what it answers and takes.
    fn prototypes() -> BTreeMap<String, String> {
        let header = flat(HEADER);
        let declarations = header.split([';', '}', '{']);
        let calls = declarations.filter_map(|text| text.trim().strip_suffix(')'));
        calls
            .filter_map(|text| text.split_once('('))
            .filter(|(before, _)| !before.contains("typedef") && !before.contains('#'))
            .map(|(before, parameters)| {
                let name = before.rsplit([' ', '*']).next().unwrap().to_owned();
                let answer = nameless(before);
                let parameters: Vec<String> = parameters.split(", ").map(nameless).collect();
                (name, format!("{answer}({})", parameters.join(", ")))
            })
            .collect()
    }

    #[test]
    fn functions_are_the_header_s() {
        let prototypes = prototypes();
        let block = HERE.split("unsafe extern \"C\" {").nth(1).unwrap();
        let block = flat(block.split("\n}").next().unwrap());
        let mut compared = 0;
        for declaration in block
            .split(';')
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            let declaration = declaration.strip_prefix("fn ").unwrap();
            let (name, rest) = declaration.split_once('(').unwrap();
            let (parameters, answer) = rest.rsplit_once(')').unwrap();
            let answer = answer
                .trim()
                .strip_prefix("-> ")
                .map_or("void".to_owned(), in_c);
            let parameters: Vec<String> = parameters
                .split(',')
                .filter_map(|parameter| parameter.split_once(": "))
                .map(|(_, kind)| in_c(kind.trim()))
                .collect();
            let here = format!("{answer}({})", parameters.join(", "));
            assert_eq!(Some(&here), prototypes.get(name), "{name}");
            compared += 1;
        }
        assert!(compared > 40, "{compared}");
    }

    #[test]
    fn constants_are_the_header_s() {
        let header = flat(HEADER).replace("#define", ",");
        let values: BTreeMap<&str, &str> = header
            .split([',', '{', '}'])
            .map(str::trim)
            .filter_map(|text| text.split_once(" = ").or_else(|| text.split_once(' ')))
            .collect();
        let mut compared = 0;
        for line in HERE
            .lines()
            .filter_map(|line| line.strip_prefix("pub const "))
        {
            let (name, rest) = line.split_once(": ").unwrap();
            let value = rest.split_once(" = ").unwrap().1.trim_end_matches(';');
            let there = values
                .get(name)
                .map(|there| there.split(' ').next().unwrap());
            assert_eq!(there, Some(value), "{name}");
            compared += 1;
        }
        assert!(compared > 40, "{compared}");
    }

    /// The members of a structure in the header, in their order.
    fn members_there(name: &str) -> Vec<String> {
        let header = flat(HEADER);
        let body = header.split(&format!("struct _{name} {{")).nth(1).unwrap();
        let body = body.split('}').next().unwrap();
        let members = body
            .split(';')
            .map(str::trim)
            .filter(|text| !text.is_empty());
        members
            .map(|member| match member.split_once("(*") {
                Some((answer, rest)) => {
                    let (name, parameters) = rest.split_once(")(").unwrap();
                    let parameters = parameters.trim_end_matches(')').split(", ").map(nameless);
                    let parameters: Vec<String> = parameters.collect();
                    format!("{name}: {}({})", answer.trim(), parameters.join(", "))
                }
                None => {
                    let kind = nameless(member);
                    let name = member.strip_prefix(&*kind).unwrap().trim();
                    format!("{name}: {kind}")
                }
            })
            .collect()
    }

    /// The same, as declared here.
    fn members_here(name: &str) -> Vec<String> {
        let body = HERE.split(&format!("struct {name} {{")).nth(1).unwrap();
        let body = body.split("\n}").next().unwrap();
        let members = flat(body).replace(" ,", ",");
        let mut found: Vec<String> = Vec::new();
        for member in members.split_inclusive(',').map(str::trim) {
            // A comma inside of a function's parameters belongs to them.
            match found.last_mut() {
                Some(last) if last.matches('(').count() > last.matches(')').count() => {
                    last.push(' ');
                    last.push_str(member);
                }
                _ => found.push(member.to_owned()),
            }
        }
        found
            .iter()
            .map(|member| member.trim_end_matches(','))
            .map(|member| {
                let (name, kind) = member.trim_start_matches("pub ").split_once(": ").unwrap();
                let Some(call) = kind.strip_prefix("Option<unsafe extern \"C\" fn(") else {
                    return format!("{name}: {}", in_c(kind));
                };
                let call = call.trim_end_matches('>');
                let (parameters, answer) = call.rsplit_once(')').unwrap();
                let answer = answer
                    .trim()
                    .strip_prefix("-> ")
                    .map_or("void".to_owned(), in_c);
                let parameters: Vec<String> = parameters
                    .split(',')
                    .map(str::trim)
                    .filter(|it| !it.is_empty())
                    .map(in_c)
                    .collect();
                format!("{name}: {answer}({})", parameters.join(", "))
            })
            .collect()
    }

    #[test]
    fn structures_are_the_header_s() {
        for name in [
            "virSnapProblem",
            "virSnapMigratePath",
            "virSnapDomainCallbacks",
        ] {
            let there = members_there(name);
            assert!(there.len() > 1, "{name}");
            assert_eq!(members_here(name), there, "{name}");
        }
    }
}
