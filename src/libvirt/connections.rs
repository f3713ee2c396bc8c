//! libvirt's connections that were opened through us: with which rights, and how long they live.
//!
//! libvirt tells neither: whether a connection reads only cannot be asked without failing a call,
//! and what its test driver keeps goes with the last connection.

use std::any::Any;
use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, Weak};

use parking_lot::Mutex;

use super::functions::Opaque;
use super::library::Libvirt;
use super::text;

/// What a connection was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Reads only.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

/// The test driver's URI whose domains all connections of the process share.
const SHARED_TEST: &str = "test:///default";

/// As long as libvirt's test driver keeps something for a connection, this lives, and with it what
/// is attached to it.
#[derive(Default)]
pub struct Session {
    /// Whatever belongs to it.
    pub attached: OnceLock<Box<dyn Any + Send + Sync>>,
}

struct Connection {
    rights: Option<Rights>,
    session: Arc<Session>,
    /// The program has given its last own reference back; domain handles keep it open.
    is_closed: bool,
}

/// By address. An address is given out again only by an open, which puts it here anew.
static CONNECTIONS: LazyLock<Mutex<HashMap<usize, Connection>>> = LazyLock::new(Mutex::default);

/// The session of [`SHARED_TEST`], while anybody has it open.
static SHARED: Mutex<Weak<Session>> = Mutex::new(Weak::new());

/// How many connections are closed but kept open by handles.
static CLOSED: AtomicUsize = AtomicUsize::new(0);

/// Remembers a connection that libvirt just opened for the program.
pub fn opened(libvirt: &'static Libvirt, connection: *mut Opaque, rights: Rights) {
    let entry = Connection {
        rights: Some(rights),
        session: new_session(libvirt, connection),
        is_closed: false,
    };
    put(connection, entry);
}

/// The session that a connection of the test driver belongs to.
pub fn session(libvirt: &'static Libvirt, connection: *mut Opaque) -> Arc<Session> {
    if let Some(known) = CONNECTIONS.lock().get(&connection.addr()) {
        return Arc::clone(&known.session);
    }
    // Opened behind our back: then its end cannot be seen either, unless it is closed through us.
    let session = new_session(libvirt, connection);
    let entry = Connection {
        rights: None,
        session: Arc::clone(&session),
        is_closed: false,
    };
    put(connection, entry);
    session
}

/// What a connection was opened for, if that is known.
pub(super) fn rights(connection: *mut Opaque) -> Option<Rights> {
    CONNECTIONS.lock().get(&connection.addr())?.rights
}

/// Takes note of the answer of virConnectClose(): how many references are left.
pub fn closed(connection: *mut Opaque, left: c_int) {
    let mut connections = CONNECTIONS.lock();
    match left {
        0 => {
            let gone = connections.remove(&connection.addr());
            drop(connections);
            settle(gone);
        }
        1.. => {
            if let Some(known) = connections.get_mut(&connection.addr())
                && !std::mem::replace(&mut known.is_closed, true)
            {
                CLOSED.fetch_add(1, Ordering::Relaxed);
            }
        }
        _ => {}
    }
}

/// Whether the connection may go with the next handle. The common answer, no, costs nothing.
pub fn is_closed(connection: *mut Opaque) -> bool {
    CLOSED.load(Ordering::Relaxed) > 0
        && CONNECTIONS
            .lock()
            .get(&connection.addr())
            .is_some_and(|known| known.is_closed)
}

/// virDomainFree() of libvirt's, which may be the end of a connection that was closed before.
///
/// # Safety
///
/// `domain` is a domain of libvirt's, or NULL, or what libvirt itself would be given.
pub unsafe fn free_domain(libvirt: &'static Libvirt, domain: *mut Opaque) -> c_int {
    if CLOSED.load(Ordering::Relaxed) == 0 {
        // SAFETY: by this contract.
        return unsafe { (libvirt.public.virDomainFree)(domain) };
    }
    // SAFETY: by this contract.
    let connection = unsafe { (libvirt.public.virDomainGetConnect)(domain) };
    if connection.is_null() || !is_closed(connection) {
        // SAFETY: by this contract.
        return unsafe { (libvirt.public.virDomainFree)(domain) };
    }
    // SAFETY: the domain's own connection, which the domain keeps open.
    unsafe { (libvirt.public.virConnectRef)(connection) };
    // SAFETY: by this contract.
    let result = unsafe { (libvirt.public.virDomainFree)(domain) };
    // SAFETY: our own reference from above.
    closed(connection, unsafe {
        (libvirt.public.virConnectClose)(connection)
    });
    result
}

fn put(connection: *mut Opaque, entry: Connection) {
    let replaced = CONNECTIONS.lock().insert(connection.addr(), entry);
    settle(replaced);
}

/// Ends an entry. Not under the lock: what is attached to a session may be much.
fn settle(gone: Option<Connection>) {
    if gone.is_some_and(|gone| gone.is_closed) {
        CLOSED.fetch_sub(1, Ordering::Relaxed);
    }
}

fn new_session(libvirt: &'static Libvirt, connection: *mut Opaque) -> Arc<Session> {
    if !is_shared_test(libvirt, connection) {
        return Arc::default();
    }
    let mut shared = SHARED.lock();
    shared.upgrade().unwrap_or_else(|| {
        let session = Arc::default();
        *shared = Arc::downgrade(&session);
        session
    })
}

fn is_shared_test(libvirt: &'static Libvirt, connection: *mut Opaque) -> bool {
    // SAFETY: a connection that libvirt has given out, open during this call.
    let kind = unsafe { (libvirt.public.virConnectGetType)(connection) };
    // SAFETY: NULL, or a string that lives as long as the connection.
    if unsafe { text::borrowed(kind) }.as_deref() != Some("TEST") {
        return false;
    }
    // SAFETY: as above.
    let uri = unsafe { (libvirt.public.virConnectGetURI)(connection) };
    // SAFETY: NULL, or a string that is ours.
    unsafe { text::owned(uri) }.as_deref() == Some(SHARED_TEST)
}
