//! Being told of changes of snapshots, in the manner of libvirt's events. libvirt has none of
//! snapshots.

use std::ffi::{c_char, c_int, c_ulonglong, c_void};

use super::boundary::{self, Call};
use super::forward;
use super::objects::{ConnectObject, Handle};
use super::strings::nul_terminated;
use super::types::{virConnectPtr, virDomainPtr, virFreeCallback};
use crate::error::{Error, Family, Result};
use crate::ops::{Detail, Event, EventKind, Function, at_end};
use crate::uuid;

/// What has happened.
#[derive(Clone, Copy)]
#[repr(C)]
pub enum virSnapEventID {
    /// A snapshot is there that was not. With VIR_SNAP_EVENT_DETAIL_REDEFINED its metadata was taken
    /// in, or replaced.
    VIR_SNAP_EVENT_CREATED = 0,
    /// A snapshot is gone.
    VIR_SNAP_EVENT_DELETED = 1,
    /// The domain is what it was when the snapshot was taken.
    VIR_SNAP_EVENT_REVERTED = 2,
    /// Another snapshot is the current one; without a name, none is.
    VIR_SNAP_EVENT_CURRENT_CHANGED = 3,
    /// All snapshots of the domain have left with a migration, or have arrived.
    VIR_SNAP_EVENT_MIGRATED = 4,
    /// How far a long operation is.
    VIR_SNAP_EVENT_PROGRESS = 5,
}

/// How it has happened.
#[repr(C)]
pub enum virSnapEventDetail {
    /// As the word for the event says.
    VIR_SNAP_EVENT_DETAIL_NONE = 0,
    /// CREATED: by REDEFINE. No guest was touched.
    VIR_SNAP_EVENT_DETAIL_REDEFINED = 1,
    /// DELETED: the metadata alone. The data is where it was.
    VIR_SNAP_EVENT_DETAIL_METADATA = 2,
    /// MIGRATED: they have left for another host.
    VIR_SNAP_EVENT_DETAIL_LEFT = 3,
    /// MIGRATED: they have come from another host.
    VIR_SNAP_EVENT_DETAIL_ARRIVED = 4,
    /// Found when the domain was loaded anew: by another process, or by an operation that was cut off
    /// and has been finished now.
    VIR_SNAP_EVENT_DETAIL_FOUND = 5,
}

/// One event. Its texts are valid during the call that tells of it.
#[repr(C)]
pub struct _virSnapEvent {
    /// A virSnapEventID. Later versions may have more.
    pub id: c_int,
    /// A virSnapEventDetail.
    pub detail: c_int,
    /// The domain's name.
    pub domain: *const c_char,
    /// The domain's UUID, as text.
    pub uuid: *const c_char,
    /// The snapshot's name, or NULL.
    pub snapshot: *const c_char,
    /// PROGRESS: what is done, in bytes where they are known, else in steps.
    pub done: c_ulonglong,
    /// PROGRESS: what there is to do.
    pub total: c_ulonglong,
}
/// One event. Its texts are valid during the call that tells of it.
pub type virSnapEvent = _virSnapEvent;

/// Is told of an event, in the thread of the call that made the change.
///
/// @conn: the connection that it was registered on
/// @event: the event, valid during the call
/// @opaque: what was registered with it
pub type virSnapEventFunc = Option<
    unsafe extern "C" fn(conn: virConnectPtr, event: *const virSnapEvent, opaque: *mut c_void),
>;

/// Asks to be told of changes of snapshots from now on.
///
/// @conn: a connection; read-only will do
/// @dom: a domain of it, or NULL for all that it has
/// @eventID: a virSnapEventID, or -1 for all
/// @cb: the function to tell
/// @opaque: handed to it
/// @freecb: called with opaque when it is of no use any more; may be NULL
///
/// A change is told before the call returns that made it, in its thread, when it is durable and no lock is
/// held: the function may call this library, also to change the domain, and may take itself away. The
/// events of one domain come in the order of its changes, whichever threads make them.
///
/// Returns a number for virSnapConnectEventDeregister(), 0 or more, or -1 in case of error; then freecb
/// is not called.
///
/// Errors: VIR_ERR_INVALID_CONN, VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (cb is NULL,
/// no such event, a domain of another connection), VIR_ERR_NO_SUPPORT (not that kind of connection).
/// Threads: any. Ownership: opaque is the library's until it calls freecb: when cb is taken away and no
/// call of it runs any more, or when the connection is closed.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// cb and freecb may be called in any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapConnectEventRegister(
    conn: virConnectPtr,
    dom: virDomainPtr,
    eventID: c_int,
    cb: virSnapEventFunc,
    opaque: *mut c_void,
    freecb: virFreeCallback,
) -> c_int {
    const FUNCTION: &str = "virSnapConnectEventRegister";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        if forward::connection(conn).is_some() {
            return Err(Error::NoSupport { function: FUNCTION });
        }
        let conn = call.connection(conn)?;
        let uuid = match dom.is_null() {
            true => None,
            false => Some(uuid_of(call, &conn, dom)?),
        };
        let kind = kind(eventID, FUNCTION)?;
        let function = cb.ok_or(Error::NullArgument {
            function: FUNCTION,
            argument: "cb",
            family: Family::Connect,
        })?;
        let told = Told {
            function,
            conn: conn.pointer(),
            opaque,
            freecb,
        };
        let told = std::mem::ManuallyDrop::new(told);
        // Until it is registered the data is the caller's.
        let registered = || -> Function {
            let told = std::mem::ManuallyDrop::into_inner(told);
            Box::new(move |event| told.tell(event))
        };
        conn.connection.listen(uuid, kind, registered)
    })
}

/// Takes away what virSnapConnectEventRegister() has registered.
///
/// @conn: the connection
/// @callbackID: the number that it answered
///
/// Afterwards the function is not called any more, but for calls that other threads are in already.
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (no such number on this connection).
/// Threads: any; a registered function may take itself away. Ownership: freecb is called, at the end of
/// this call; called from an event's function, at the end of the call whose event it is.
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapConnectEventDeregister(conn: virConnectPtr, callbackID: c_int) -> c_int {
    const FUNCTION: &str = "virSnapConnectEventDeregister";
    boundary::enter(FUNCTION, Family::Connect, -1, |call| {
        if forward::connection(conn).is_some() {
            return Err(Error::NoSupport { function: FUNCTION });
        }
        let conn = call.connection(conn)?;
        match conn.connection.listen_no_more(callbackID) {
            true => Ok(0),
            false => Err(Error::NoListener {
                function: FUNCTION,
                id: callbackID,
            }),
        }
    })
}

/// The domain whose events are asked for, if it is one of the connection.
fn uuid_of(call: &mut Call, conn: &Handle<ConnectObject>, dom: virDomainPtr) -> Result<[u8; 16]> {
    let domain = call.domain(dom)?;
    if domain.connection.pointer() != conn.pointer() {
        return Err(Error::InvalidDomain {
            function: call.function,
        });
    }
    Ok(*domain.uuid())
}

/// The kind of event of that number; `None` for all.
fn kind(id: c_int, function: &'static str) -> Result<Option<EventKind>> {
    const ALL: c_int = -1;
    if id == ALL {
        return Ok(None);
    }
    let known = KINDS.iter().find(|(_, number)| *number as c_int == id);
    match known {
        Some((kind, _)) => Ok(Some(*kind)),
        None => Err(Error::NoEvent { function, id }),
    }
}

const KINDS: [(EventKind, virSnapEventID); 6] = [
    (EventKind::Created, virSnapEventID::VIR_SNAP_EVENT_CREATED),
    (EventKind::Deleted, virSnapEventID::VIR_SNAP_EVENT_DELETED),
    (EventKind::Reverted, virSnapEventID::VIR_SNAP_EVENT_REVERTED),
    (
        EventKind::CurrentChanged,
        virSnapEventID::VIR_SNAP_EVENT_CURRENT_CHANGED,
    ),
    (EventKind::Migrated, virSnapEventID::VIR_SNAP_EVENT_MIGRATED),
    (EventKind::Progress, virSnapEventID::VIR_SNAP_EVENT_PROGRESS),
];

fn number(kind: EventKind) -> c_int {
    let known = KINDS.iter().find(|(known, _)| *known == kind);
    known.map_or(-1, |(_, number)| *number as c_int)
}

fn detail(detail: Detail) -> virSnapEventDetail {
    use virSnapEventDetail as C;
    match detail {
        Detail::Plain => C::VIR_SNAP_EVENT_DETAIL_NONE,
        Detail::Redefined => C::VIR_SNAP_EVENT_DETAIL_REDEFINED,
        Detail::Metadata => C::VIR_SNAP_EVENT_DETAIL_METADATA,
        Detail::Left => C::VIR_SNAP_EVENT_DETAIL_LEFT,
        Detail::Arrived => C::VIR_SNAP_EVENT_DETAIL_ARRIVED,
        Detail::Found => C::VIR_SNAP_EVENT_DETAIL_FOUND,
    }
}

/// A program's function for events, with what it wants to be given.
struct Told {
    function: unsafe extern "C" fn(virConnectPtr, *const virSnapEvent, *mut c_void),
    conn: virConnectPtr,
    opaque: *mut c_void,
    freecb: virFreeCallback,
}

// SAFETY: the pointers are only handed back to the program, never followed; that its functions may be
// called in any thread is what their registration says.
unsafe impl Send for Told {}
// SAFETY: as above.
unsafe impl Sync for Told {}

impl Told {
    fn tell(&self, event: &Event) {
        let domain = nul_terminated(&event.domain);
        let uuid = nul_terminated(&uuid::format(&event.uuid));
        let snapshot = event.snapshot.as_deref().map(nul_terminated);
        let value = virSnapEvent {
            id: number(event.kind),
            detail: detail(event.detail) as c_int,
            domain: domain.as_ptr(),
            uuid: uuid.as_ptr(),
            snapshot: snapshot
                .as_ref()
                .map_or(std::ptr::null(), |name| name.as_ptr()),
            done: event.progress.0,
            total: event.progress.1,
        };
        // SAFETY: the program's own function; the event lives until the call is over.
        unsafe { (self.function)(self.conn, &raw const value, self.opaque) };
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let opaque = self.opaque;
        if let Some(free) = self.freecb {
            // SAFETY: the program's own function with its own data, once, after all others.
            at_end(move || unsafe { free(opaque) });
        }
    }
}
