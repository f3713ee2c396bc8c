//! A program's own hands on its guest, as C hands them over.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int, c_uint, c_ulong, c_ulonglong, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::constants::virDomainState;
use super::strings;
use crate::error::{Error, Result};
use crate::ops::{Hooks, Start, Wish, at_end};
use crate::snapshot::State;

/// How the start callback is to start a guest. Its CPUs are stopped in any case (QEMU's `-S`).
#[repr(C)]
pub enum virSnapStartFlags {
    /// The guest waits for its memory (QEMU's `-incoming defer`).
    VIR_SNAP_START_INCOMING = 1,
}

/// What a program does for a domain with its own hands. Any function may be NULL: then the library
/// does it itself, through the domain's monitor and images.
///
/// Each function gets `opaque` as it was registered. Those that answer int answer 0, or a negative
/// number for failure; those that answer a text answer one from malloc(), which the library frees,
/// or NULL for failure. Before it fails, a callback may tell the cause with
/// virSnapSetCallbackError(). Callbacks are called in the thread of the operation, and may call the
/// library; they must not change snapshots of the domain.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct _virSnapDomainCallbacks {
    /// sizeof(virSnapDomainCallbacks): later versions of the library have more functions.
    pub size: c_ulong,
    /// Answers the domain's state, a virDomainState.
    pub getState: Option<unsafe extern "C" fn(opaque: *mut c_void) -> c_int>,
    /// Answers the `<domain>` document that snapshots keep.
    pub getDefinition: Option<unsafe extern "C" fn(opaque: *mut c_void) -> *mut c_char>,
    /// Is told that the `<domain>` document is another one from now on. The library has stored it.
    pub setDefinition:
        Option<unsafe extern "C" fn(opaque: *mut c_void, xml: *const c_char) -> c_int>,
    /// Starts the guest of a definition, with its CPUs stopped, and attaches it with
    /// virSnapDomainSetMonitor() unless it gives monitorCommand.
    pub start: Option<
        unsafe extern "C" fn(opaque: *mut c_void, xml: *const c_char, flags: c_uint) -> c_int,
    >,
    /// Ends the guest's process, and returns when it has ended.
    pub stop: Option<unsafe extern "C" fn(opaque: *mut c_void) -> c_int>,
    /// Stops the guest's CPUs.
    pub pause: Option<unsafe extern "C" fn(opaque: *mut c_void) -> c_int>,
    /// Lets the guest's CPUs run.
    pub resume: Option<unsafe extern "C" fn(opaque: *mut c_void) -> c_int>,
    /// Hands a line of QMP to the guest's monitor, and a descriptor with it if fd is not -1
    /// (SCM_RIGHTS). Answers the monitor's answer, an object with `return` or `error`.
    pub monitorCommand: Option<
        unsafe extern "C" fn(opaque: *mut c_void, command: *const c_char, fd: c_int) -> *mut c_char,
    >,
    /// Hands a line to the guest agent, and waits at most that many seconds for its answer.
    pub agentCommand: Option<
        unsafe extern "C" fn(
            opaque: *mut c_void,
            command: *const c_char,
            seconds: c_int,
        ) -> *mut c_char,
    >,
    /// Captures the data of the snapshot that the document describes. All or nothing.
    pub createData: Option<
        unsafe extern "C" fn(opaque: *mut c_void, xml: *const c_char, flags: c_uint) -> c_int,
    >,
    /// Makes the captured data the guest's again, with all that belongs to it.
    pub revertData: Option<
        unsafe extern "C" fn(opaque: *mut c_void, xml: *const c_char, flags: c_uint) -> c_int,
    >,
    /// Drops the captured data; lacking data is no failure. A program that gives createData or
    /// revertData gives this, too.
    pub deleteData: Option<unsafe extern "C" fn(opaque: *mut c_void, xml: *const c_char) -> c_int>,
    /// Is told how far a long operation is, in bytes where they are known; answers 0 to go on, any
    /// other number to stop and take back.
    pub progress: Option<
        unsafe extern "C" fn(opaque: *mut c_void, done: c_ulonglong, total: c_ulonglong) -> c_int,
    >,
    /// Is called once when the library needs opaque no more.
    pub release: Option<unsafe extern "C" fn(opaque: *mut c_void)>,
}
/// What a program does for a domain with its own hands.
pub type virSnapDomainCallbacks = _virSnapDomainCallbacks;

impl _virSnapDomainCallbacks {
    /// No function.
    pub(super) const NONE: _virSnapDomainCallbacks = _virSnapDomainCallbacks {
        size: size_of::<_virSnapDomainCallbacks>() as c_ulong,
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
        progress: None,
        release: None,
    };
}

thread_local! {
    /// What a callback of this thread told about its failure.
    static CAUSE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the cause that a callback tells, for the error of the call that it is in.
pub(super) fn note_cause(cause: Option<String>) {
    // A thread that is ending has no place for it any more.
    let _ = CAUSE.try_with(|kept| kept.replace(cause));
}

/// The callbacks of one program for one domain.
pub(super) struct Registered {
    functions: virSnapDomainCallbacks,
    opaque: *mut c_void,
}

// SAFETY: the pointer is only handed back to the program, never followed; that its functions may
// be called in any thread is what their registration says.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

impl Registered {
    pub(super) fn new(functions: virSnapDomainCallbacks, opaque: *mut c_void) -> Registered {
        Registered { functions, opaque }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let opaque = self.opaque;
        if let Some(release) = self.functions.release {
            // SAFETY: the program's own function with its own data, once, after all others.
            at_end(move || unsafe { release(opaque) });
        }
    }
}

impl Hooks for Registered {
    fn state(&self) -> Option<Result<State>> {
        let function = self.functions.getState?;
        note_cause(None);
        // SAFETY: the program's own function with its own data.
        let state = unsafe { function(self.opaque) };
        Some(state_of(state).ok_or_else(|| failed("getState")))
    }

    fn definition(&self) -> Option<Result<Arc<str>>> {
        let function = self.functions.getDefinition?;
        note_cause(None);
        // SAFETY: the program's own function with its own data.
        let text = unsafe { function(self.opaque) };
        // SAFETY: NULL or a text from malloc that is ours, by the callback's contract.
        Some(unsafe { taken(text, "getDefinition") }.map(Arc::from))
    }

    fn set_definition(&self, definition: &str) -> Option<Result<()>> {
        let function = self.functions.setDefinition?;
        let text = strings::nul_terminated(definition);
        Some(checked("setDefinition", || {
            // SAFETY: the program's own function with its own data; the text lives until it returns.
            unsafe { function(self.opaque, text.as_ptr()) }
        }))
    }

    fn can_start(&self) -> bool {
        self.functions.start.is_some()
    }

    fn start(&self, definition: &str, start: Start) -> Option<Result<()>> {
        let function = self.functions.start?;
        let text = strings::nul_terminated(definition);
        let flags = match start {
            Start::Paused => 0,
            Start::Incoming => virSnapStartFlags::VIR_SNAP_START_INCOMING as c_uint,
        };
        Some(checked("start", || {
            // SAFETY: the program's own function with its own data; the text lives until it returns.
            unsafe { function(self.opaque, text.as_ptr(), flags) }
        }))
    }

    fn stop(&self) -> Option<Result<()>> {
        self.plain("stop", self.functions.stop?)
    }

    fn pause(&self) -> Option<Result<()>> {
        self.plain("pause", self.functions.pause?)
    }

    fn resume(&self) -> Option<Result<()>> {
        self.plain("resume", self.functions.resume?)
    }

    fn has_monitor(&self) -> bool {
        self.functions.monitorCommand.is_some()
    }

    fn monitor_command(
        &self,
        line: &str,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Option<Result<String>> {
        let function = self.functions.monitorCommand?;
        let text: CString = strings::nul_terminated(line);
        let fd = descriptor.map_or(-1, |descriptor| descriptor.as_raw_fd());
        note_cause(None);
        // SAFETY: the program's own function with its own data; text and descriptor live until it
        // returns.
        let answer = unsafe { function(self.opaque, text.as_ptr(), fd) };
        // SAFETY: NULL or a text from malloc that is ours, by the callback's contract.
        Some(unsafe { taken(answer, "monitorCommand") })
    }

    fn has_agent(&self) -> bool {
        self.functions.agentCommand.is_some()
    }

    fn agent_command(&self, line: &str, time: Duration) -> Option<Result<String>> {
        let function = self.functions.agentCommand?;
        let text = strings::nul_terminated(line);
        let seconds = c_int::try_from(time.as_secs()).unwrap_or(c_int::MAX);
        note_cause(None);
        // SAFETY: the program's own function with its own data; the text lives until it returns.
        let answer = unsafe { function(self.opaque, text.as_ptr(), seconds) };
        // SAFETY: NULL or a text from malloc that is ours, by the callback's contract.
        Some(unsafe { taken(answer, "agentCommand") })
    }

    fn create_data(&self, document: &str, flags: u32) -> Option<Result<()>> {
        self.data("createData", self.functions.createData?, document, flags)
    }

    fn revert_data(&self, document: &str, flags: u32) -> Option<Result<()>> {
        self.data("revertData", self.functions.revertData?, document, flags)
    }

    fn delete_data(&self, document: &str) -> Option<Result<()>> {
        let function = self.functions.deleteData?;
        let text = strings::nul_terminated(document);
        Some(checked("deleteData", || {
            // SAFETY: the program's own function with its own data; the text lives until it returns.
            unsafe { function(self.opaque, text.as_ptr()) }
        }))
    }

    fn has_own_data(&self) -> bool {
        self.functions.deleteData.is_some()
    }

    fn progress(&self, done: u64, total: u64) -> Wish {
        let Some(function) = self.functions.progress else {
            return Wish::GoOn;
        };
        // SAFETY: the program's own function with its own data.
        match unsafe { function(self.opaque, done, total) } {
            0 => Wish::GoOn,
            _ => Wish::Stop,
        }
    }
}

impl Registered {
    fn plain(
        &self,
        name: &'static str,
        function: unsafe extern "C" fn(*mut c_void) -> c_int,
    ) -> Option<Result<()>> {
        Some(checked(name, || {
            // SAFETY: the program's own function with its own data.
            unsafe { function(self.opaque) }
        }))
    }

    fn data(
        &self,
        name: &'static str,
        function: unsafe extern "C" fn(*mut c_void, *const c_char, c_uint) -> c_int,
        document: &str,
        flags: u32,
    ) -> Option<Result<()>> {
        let text = strings::nul_terminated(document);
        Some(checked(name, || {
            // SAFETY: the program's own function with its own data; the text lives until it returns.
            unsafe { function(self.opaque, text.as_ptr(), flags) }
        }))
    }
}

fn checked(name: &'static str, call: impl FnOnce() -> c_int) -> Result<()> {
    note_cause(None);
    if call() < 0 {
        return Err(failed(name));
    }
    Ok(())
}

/// Takes a text over that a callback gave away.
///
/// # Safety
///
/// `text` is NULL, or NUL-terminated, from `malloc` and nobody else's.
unsafe fn taken(text: *mut c_char, name: &'static str) -> Result<String> {
    if text.is_null() {
        return Err(failed(name));
    }
    // SAFETY: not NULL, checked above; NUL-terminated by this contract.
    let copy = unsafe { strings::copy_in(text) };
    // SAFETY: from malloc and ours, by this contract.
    unsafe { libc::free(text.cast()) };
    copy.ok_or_else(|| failed(name))
}

fn failed(callback: &'static str) -> Error {
    let cause = CAUSE.try_with(RefCell::take).ok().flatten();
    Error::CallbackFailed {
        callback,
        reason: cause.unwrap_or_else(|| "no cause given".to_owned()),
    }
}

fn state_of(state: c_int) -> Option<State> {
    use virDomainState as C;
    let pairs = [
        (C::VIR_DOMAIN_RUNNING, State::Running),
        (C::VIR_DOMAIN_BLOCKED, State::Running),
        (C::VIR_DOMAIN_PAUSED, State::Paused),
        (C::VIR_DOMAIN_SHUTDOWN, State::Shutdown),
        (C::VIR_DOMAIN_SHUTOFF, State::Shutoff),
        (C::VIR_DOMAIN_CRASHED, State::Crashed),
        (C::VIR_DOMAIN_PMSUSPENDED, State::PmSuspended),
    ];
    pairs
        .into_iter()
        .find_map(|(c, known)| (c as c_int == state).then_some(known))
}
