//! Who is told of an error: the thread, the connection, and the program's handler.
//!
//! Where the real libvirt is in the process, the thread's last error and the handler of the process
//! are its own: a program sees one library.
//!
//! libvirt's rules: the connection's handler is called instead of the process's; without any
//! the error is printed as one line on stderr. Nothing else in this library ever prints.

use std::ffi::{CStr, c_int, c_void};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::last_error::{self, ErrorCell};
use super::message::{self, Message};
use super::objects::{ConnectObject, Handle};
use super::types::{virErrorFunc, virErrorPtr};
use crate::error::Error;
use crate::libvirt::{self, Driver, Libvirt};

/// A program's function for errors, with what it wants to be given.
#[derive(Clone, Copy)]
pub(super) struct Handler {
    pub(super) function: virErrorFunc,
    pub(super) user_data: *mut c_void,
}

// SAFETY: the pointer is only handed back to the program, never followed; that the function may be
// called in any thread is libvirt's contract with the program.
unsafe impl Send for Handler {}
// SAFETY: as above.
unsafe impl Sync for Handler {}

impl Handler {
    /// No function.
    pub(super) const NONE: Handler = Handler {
        function: None,
        user_data: std::ptr::null_mut(),
    };
}

/// The handler of the process.
pub(super) static PROCESS: RwLock<Handler> = RwLock::new(Handler::NONE);

/// What a connection knows of errors.
pub(super) struct ConnectionErrors {
    /// The last one. C reads it without a lock, as libvirt warns its users.
    last: ErrorCell,
    /// Held by writers.
    writing: Mutex<()>,
    /// Called instead of the handler of the process.
    pub(super) handler: RwLock<Handler>,
}

// SAFETY: our own accesses to `last` hold `writing`; C's own are C's, by libvirt's contract for
// virConnGetLastError().
unsafe impl Send for ConnectionErrors {}
// SAFETY: as above.
unsafe impl Sync for ConnectionErrors {}

impl ConnectionErrors {
    /// No error, no handler.
    pub(super) fn new() -> ConnectionErrors {
        ConnectionErrors {
            last: ErrorCell::new(),
            writing: Mutex::new(()),
            handler: RwLock::new(Handler::NONE),
        }
    }

    /// What C gets for the last error. Valid as long as the connection.
    pub(super) fn last(&self) -> virErrorPtr {
        self.last.pointer()
    }

    /// Forgets the last error.
    pub(super) fn reset(&self) {
        let _writing = self.writing.lock();
        // SAFETY: initialised, and ours under the lock.
        unsafe { last_error::clear(self.last.pointer()) };
    }

    /// Copies the last error out and answers its code.
    ///
    /// # Safety
    ///
    /// `to` is `no error`, and nobody else uses it.
    pub(super) unsafe fn copy_out(&self, to: virErrorPtr) -> c_int {
        let _writing = self.writing.lock();
        // SAFETY: ours is initialised and under the lock; the other one by this contract.
        unsafe { last_error::copy(self.last.pointer(), to) };
        // SAFETY: initialised by the copy.
        unsafe { last_error::code(to) }
    }

    fn store(&self, message: &Message) {
        let _writing = self.writing.lock();
        // SAFETY: initialised, and ours under the lock.
        unsafe { last_error::write(self.last.pointer(), message) };
    }
}

/// The connection whose error it is.
pub(super) enum Told {
    /// One of ours.
    Ours(Handle<ConnectObject>),
    /// That of a domain of libvirt's.
    Libvirt(libvirt::Domain),
}

/// The real libvirt, if the process has it loaded. It is told of the handler that the program
/// gave us before.
pub(super) fn libvirt() -> Option<&'static Libvirt> {
    hand_over(libvirt::find()?)
}

/// As [`libvirt`], loading it where it is installed.
pub(super) fn loaded_libvirt() -> Option<&'static Libvirt> {
    hand_over(libvirt::load()?)
}

fn hand_over(libvirt: &'static Libvirt) -> Option<&'static Libvirt> {
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    if !IS_DONE.swap(true, Ordering::AcqRel) {
        let handler = *PROCESS.read();
        if handler.function.is_some() {
            give_handler(libvirt, handler);
        }
    }
    Some(libvirt)
}

/// Makes a handler libvirt's own.
pub(super) fn give_handler(libvirt: &'static Libvirt, handler: Handler) {
    // SAFETY: a virErrorPtr is a pointer to a virError on both sides; only the names differ.
    let function =
        unsafe { std::mem::transmute::<virErrorFunc, libvirt::ErrorHandler>(handler.function) };
    // SAFETY: that is what the program has registered it for.
    unsafe { libvirt.set_error_handler(handler.user_data, function) };
}

/// Ends a failed call: the error becomes the thread's and the connection's last one, and the
/// handler is told.
pub(super) fn raise(error: &Error, told: Option<Told>) {
    let message = Message::of_driver(error, driver_domain(told.as_ref()));
    match libvirt() {
        Some(libvirt) => raise_in_libvirt(libvirt, error, &message, told),
        None => raise_here(&message, told),
    }
}

/// The number that the driver behind the connection has among libvirt's error domains.
fn driver_domain(told: Option<&Told>) -> c_int {
    match told {
        Some(Told::Libvirt(domain)) if matches!(domain.driver(), Ok(Driver::Test)) => {
            message::TEST_DRIVER
        }
        _ => message::QEMU_DRIVER,
    }
}

fn raise_here(message: &Message, told: Option<Told>) {
    let spare = ErrorCell::new();
    // A thread that is ending has no place for an error any more; the handler is told all the same.
    let kept = last_error::pointer().unwrap_or_else(|| spare.pointer());
    // SAFETY: initialised; the thread's own or this function's own.
    unsafe { last_error::write(kept, message) };
    let handler = note(message, told.as_ref());
    // The handler may close the connection, and with it all that it keeps: at the end of that call.
    drop(told);
    tell(kept, handler.unwrap_or_else(|| *PROCESS.read()));
}

/// Keeps an error with a connection of ours, and answers that connection's own handler.
fn note(message: &Message, told: Option<&Told>) -> Option<Handler> {
    let Some(Told::Ours(connection)) = told else {
        return None;
    };
    connection.errors.store(message);
    let handler = *connection.errors.handler.read();
    handler.function.is_some().then_some(handler)
}

fn raise_in_libvirt(
    libvirt: &'static Libvirt,
    error: &Error,
    message: &Message,
    told: Option<Told>,
) {
    // libvirt has told its own errors when they happened.
    if let Error::Libvirt(saved) = error {
        // Each call of libvirt's, and giving a domain back is one, forgets the last error.
        drop(told);
        if saved.restore() {
            return;
        }
        return overwrite(libvirt, message);
    }
    let own_handler = note(message, told.as_ref());
    let connection = match &told {
        Some(Told::Libvirt(domain)) => domain.connection(),
        _ => std::ptr::null_mut(),
    };
    let filled = ErrorCell::new();
    // SAFETY: initialised, and this function's own.
    unsafe { last_error::write(filled.pointer(), message) };
    // SAFETY: initialised.
    if !unsafe { libvirt.set_error(filled.pointer().cast()) } {
        drop(told);
        return overwrite(libvirt, message);
    }
    match own_handler {
        Some(handler) => tell(libvirt.last_error().cast(), handler),
        // SAFETY: the connection of a domain that is held, or NULL.
        None => unsafe { libvirt.dispatch_error(connection) },
    }
    drop(told);
    // SAFETY: initialised.
    unsafe { libvirt.set_error(filled.pointer().cast()) };
}

/// For a libvirt that takes no errors of ours: the error is right, but the handler is told of
/// another.
fn overwrite(libvirt: &'static Libvirt, message: &Message) {
    libvirt.provoke_error();
    let provoked: virErrorPtr = libvirt.last_error().cast();
    if !provoked.is_null() {
        // SAFETY: the thread's own error, whose strings libvirt has from malloc, too.
        unsafe { last_error::write(provoked, message) };
    }
}

fn tell(error: virErrorPtr, handler: Handler) {
    // A copy of the handler, so that no lock is held while the program's code runs: it may call us.
    match handler.function {
        // SAFETY: the program registered this function with this data for exactly this call.
        Some(function) => unsafe { function(handler.user_data, error) },
        // SAFETY: the error was just written.
        None => unsafe { print(error) },
    }
}

/// libvirt's default: one line on stderr.
///
/// # Safety
///
/// `error` is initialised, its message NULL or NUL-terminated.
pub(super) unsafe fn print(error: virErrorPtr) {
    // SAFETY: initialised, by this contract.
    let text = unsafe { last_error::text(error) };
    let text = if text.is_null() {
        "unknown error".into()
    } else {
        // SAFETY: NUL-terminated, by this contract, and not NULL.
        unsafe { CStr::from_ptr(text) }.to_string_lossy()
    };
    // SAFETY: initialised, by this contract.
    let domain = unsafe { last_error::domain(error) };
    // SAFETY: initialised, by this contract.
    let level = unsafe { last_error::level(error) };
    // In one piece, so that lines of several threads stay whole. There is nobody to tell if stderr
    // is closed.
    let _ = std::io::stderr().write_all(line(domain, level, &text).as_bytes());
}

fn line(domain: c_int, level: c_int, text: &str) -> String {
    let level = match level {
        1 => "warning",
        2 => "error",
        _ => "",
    };
    let domain = usize::try_from(domain)
        .ok()
        .and_then(|domain| DOMAIN_NAMES.get(domain))
        .unwrap_or(&"Unknown");
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("libvirt: {domain} {level} : {text}{end}")
}

/// What libvirt calls each virErrorDomain. Source: virDefaultErrorFunc() of libvirt 9.0.0, called
/// with each.
const DOMAIN_NAMES: [&str; 73] = [
    "",
    "Xen Driver",
    "Xen Daemon",
    "Xen Store",
    "S-Expression",
    "XML Util",
    "Domain",
    "XML-RPC",
    "Proxy Daemon",
    "Config File",
    "QEMU Driver",
    "Network",
    "Test Driver",
    "Remote Driver",
    "OpenVZ Driver",
    "Xen XM Driver",
    "Linux Statistics",
    "LXC Driver",
    "Storage Driver",
    "Network Driver",
    "Domain Config",
    "User Mode Linux Driver",
    "Node Device Driver",
    "Xen Inotify Driver",
    "Security Driver",
    "VirtualBox Driver",
    "Network Interface Driver",
    "Open Nebula Driver",
    "ESX Driver",
    "Power Hypervisor Driver",
    "Secrets Driver",
    "CPU Driver",
    "XenAPI Driver",
    "Network Filter Driver",
    "Lifecycle Hook",
    "Domain Snapshot",
    "Audit Utils",
    "Sysinfo Utils",
    "I/O Stream Utils",
    "VMware Driver",
    "Event Loop",
    "Xen Light Driver",
    "Lock Driver",
    "Hyper-V Driver",
    "Capabilities Utils",
    "URI Utils",
    "Authentication Utils",
    "DBus Utils",
    "Parallels Cloud Server",
    "Device Config",
    "SSH transport layer",
    "Lock Space",
    "Init control",
    "Identity",
    "Cgroup",
    "Access Manager",
    "Systemd",
    "Bhyve",
    "Crypto",
    "Firewall",
    "Polkit",
    "Thread jobs",
    "Admin Interface",
    "Log Manager",
    "Xen XL Config",
    "Perf",
    "Libssh transport layer",
    "Resource control",
    "FirewallD",
    "Domain Checkpoint",
    "TPM",
    "BPF",
    "Cloud-Hypervisor Driver",
];

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// # Safety
    ///
    /// Nothing is asked of the caller; the type of a handler is unsafe.
    unsafe extern "C" fn ignore(_: *mut c_void, _: virErrorPtr) {}

    /// Lets the tests of this process fail calls without a line on stderr for each.
    pub(in super::super) fn silence() {
        *PROCESS.write() = Handler {
            function: Some(ignore),
            user_data: std::ptr::null_mut(),
        };
    }

    // Each line was printed by libvirt 9.0.
    #[test]
    fn the_default_line_is_libvirts() {
        assert_eq!(line(0, 2, "m\n"), "libvirt:  error : m\n");
        assert_eq!(line(6, 0, "lvl"), "libvirt: Domain  : lvl\n");
        assert_eq!(line(6, 1, "lvl"), "libvirt: Domain warning : lvl\n");
        assert_eq!(line(10, 2, "m"), "libvirt: QEMU Driver error : m\n");
        assert_eq!(line(35, 2, "m"), "libvirt: Domain Snapshot error : m\n");
        assert_eq!(
            line(72, 2, "m"),
            "libvirt: Cloud-Hypervisor Driver error : m\n"
        );
        assert_eq!(line(73, 2, "m"), "libvirt: Unknown error : m\n");
        assert_eq!(line(-1, 2, "m"), "libvirt: Unknown error : m\n");
    }
}
