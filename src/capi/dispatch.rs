//! Who is told of an error: the thread, the connection, and the program's handler.
//!
//! libvirt's rules: the connection's handler is called instead of the process's; without any
//! the error is printed as one line on stderr. Nothing else in this library ever prints.

use std::ffi::{CStr, c_int, c_void};
use std::io::Write as _;

use parking_lot::{Mutex, RwLock};

use super::last_error::{self, ErrorCell};
use super::message::Message;
use super::objects::ConnectObject;
use super::types::{virErrorFunc, virErrorPtr};
use crate::error::Error;

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

/// Ends a failed call: the error becomes the thread's and the connection's last one, and the
/// handler is told.
pub(super) fn raise(error: &Error, connection: Option<&ConnectObject>) {
    let message = Message::of(error);
    let spare = ErrorCell::new();
    // A thread that is ending has no place for an error any more; the handler is told all the same.
    let kept = last_error::pointer().unwrap_or_else(|| spare.pointer());
    // SAFETY: initialised; the thread's own or this function's own.
    unsafe { last_error::write(kept, &message) };
    if let Some(connection) = connection {
        connection.errors.store(&message);
    }
    tell(kept, connection);
}

fn tell(error: virErrorPtr, connection: Option<&ConnectObject>) {
    let own = connection.map_or(Handler::NONE, |connection| {
        *connection.errors.handler.read()
    });
    // Copied out, so that no lock is held while the program's code runs: it may call us.
    let handler = if own.function.is_some() {
        own
    } else {
        *PROCESS.read()
    };
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
