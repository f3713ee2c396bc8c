//! What stands behind C's pointers: a connection, a domain, a snapshot.
//!
//! A domain's object has UUID and name, a snapshot's its name: each call finds the real thing anew, so
//! that a handle outlives what it names. What it found last it finds again in a few steps, as long as
//! nothing has changed. A snapshot's handle keeps its domain's, and that its connection's, as
//! libvirt's do.

use std::ffi::{CString, c_char};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::dispatch::{ConnectionErrors, Told};
use super::handles::{Address, Hold, Table};
use super::snapshot_domain::SnapshotDomain;
use super::strings::nul_terminated;
use super::types::{virConnect, virDomain, virDomainSnapshot};
use crate::error::{Error, Family, Result};
use crate::memory;
use crate::ops::{self, Found, Named, Place};
use crate::uuid;

static CONNECTIONS: Table<ConnectObject> = Table::new();
static DOMAINS: Table<DomainObject> = Table::new();
static SNAPSHOTS: Table<SnapshotObject> = Table::new();

/// One kind of object.
pub(super) trait Kind: Sized + 'static {
    /// What C calls it.
    type C;
    /// All objects of this kind that C has pointers to.
    fn table() -> &'static Table<Self>;
}

/// Behind a virConnectPtr.
pub(super) struct ConnectObject {
    /// What does the work.
    pub(super) connection: Arc<ops::Connection>,
    /// Its last error and handler.
    pub(super) errors: ConnectionErrors,
}

impl Kind for ConnectObject {
    type C = virConnect;

    fn table() -> &'static Table<ConnectObject> {
        &CONNECTIONS
    }
}

/// Behind a virDomainPtr.
pub(super) struct DomainObject {
    /// Kept open by this domain.
    pub(super) connection: Handle<ConnectObject>,
    /// Found when the handle was made.
    known: Arc<ops::Domain>,
    name: Name,
}

impl DomainObject {
    /// Who it is.
    pub(super) fn uuid(&self) -> &[u8; 16] {
        self.known.uuid()
    }

    /// The domain as it is now, or that it is gone.
    #[inline(always)]
    pub(super) fn now(&self) -> Result<Now<'_>> {
        if self.connection.connection.has(&self.known) {
            return Ok(Now::Known(&self.known));
        }
        self.found_anew()
    }

    #[cold]
    fn found_anew(&self) -> Result<Now<'_>> {
        let uuid = self.uuid();
        let found = self.connection.connection.domain_by_uuid(uuid);
        found.map(Now::Found).map_err(|error| match error {
            Error::NoDomainWithUuid { .. } => Error::DomainGone {
                uuid: uuid::format(uuid),
                name: self.known.name().to_string(),
            },
            other => other,
        })
    }

    /// Its name when the handle was made, for C. Valid as long as the object.
    pub(super) fn c_name(&self) -> *const c_char {
        self.name.for_c(self.known.name())
    }
}

/// A domain for the length of a call.
pub(super) enum Now<'a> {
    /// The one that was found when the handle was made.
    Known(&'a Arc<ops::Domain>),
    /// Another that has taken its place, or one of libvirt's.
    Found(Arc<ops::Domain>),
}

impl Deref for Now<'_> {
    type Target = Arc<ops::Domain>;

    fn deref(&self) -> &Arc<ops::Domain> {
        match self {
            Now::Known(domain) => domain,
            Now::Found(domain) => domain,
        }
    }
}

impl Kind for DomainObject {
    type C = virDomain;

    fn table() -> &'static Table<DomainObject> {
        &DOMAINS
    }
}

/// Behind a virDomainSnapshotPtr. What most calls need stands in front: with the slot's own words
/// it fits into one line of the processor's cache.
#[repr(C)]
pub(super) struct SnapshotObject {
    /// Kept by this snapshot.
    pub(super) domain: SnapshotDomain,
    place: Place,
    name: Arc<str>,
    c_name: Name,
}

const _: () = assert!(size_of::<SnapshotObject>() <= 48);

impl SnapshotObject {
    fn new(domain: SnapshotDomain, found: Found) -> SnapshotObject {
        SnapshotObject {
            domain,
            place: found.place,
            name: found.name,
            c_name: Name::default(),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its name, and where it was found last.
    pub(super) fn named(&self) -> Named<'_> {
        Named::at(&self.name, &self.place)
    }

    /// Its name, for C. Valid as long as the object.
    pub(super) fn c_name(&self) -> *const c_char {
        self.c_name.for_c(&self.name)
    }
}

impl Kind for SnapshotObject {
    type C = virDomainSnapshot;

    fn table() -> &'static Table<SnapshotObject> {
        &SNAPSHOTS
    }
}

/// A name as C reads it. Made when C asks for it: a list of ten thousand handles is cheap.
#[derive(Default)]
struct Name(AtomicPtr<c_char>);

impl Name {
    fn for_c(&self, text: &str) -> *const c_char {
        let known = self.0.load(Ordering::Acquire);
        if !known.is_null() {
            return known;
        }
        let made = nul_terminated(text).into_raw();
        let null = std::ptr::null_mut();
        let set = self
            .0
            .compare_exchange(null, made, Ordering::AcqRel, Ordering::Acquire);
        match set {
            Ok(_) => made,
            Err(others) => {
                // SAFETY: from `into_raw` above, and nobody else has it.
                drop(unsafe { CString::from_raw(made) });
                others
            }
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let made = *self.0.get_mut();
        if !made.is_null() {
            // SAFETY: from `into_raw` in `for_c`, whose answers are not valid any longer.
            drop(unsafe { CString::from_raw(made) });
        }
    }
}

/// An object that was looked up. It stays alive as long as this does, whatever other threads free:
/// for a call, or as long as another object needs it.
pub(super) struct Handle<K: Kind>(Hold<'static, K>);

/// Whether a pointer is, was or may become one of our handles: no other library has it.
pub(super) fn is_ours<T>(pointer: *const T) -> bool {
    let address = Address::of(pointer);
    DOMAINS.covers(address) || SNAPSHOTS.covers(address) || CONNECTIONS.covers(address)
}

/// The object that C means by a pointer.
#[inline(always)]
pub(super) fn find<K: Kind>(pointer: *const K::C) -> Option<Handle<K>> {
    at(Address::of(pointer))
}

#[inline(always)]
fn at<K: Kind>(address: Address) -> Option<Handle<K>> {
    K::table().get(address).map(Handle)
}

/// Takes a reference of C's to a snapshot away; `None` if C has none, or it is no snapshot.
pub(super) fn release_snapshot(pointer: *const virDomainSnapshot) -> Option<()> {
    SNAPSHOTS.release(Address::of(pointer)).map(drop)
}

/// Who is told of an error in a call with this handle, if it is still one.
pub(super) fn told_of(address: Address) -> Option<Told> {
    if let Some(snapshot) = at::<SnapshotObject>(address) {
        return snapshot.domain.told();
    }
    if let Some(domain) = at::<DomainObject>(address) {
        return domain.connection.again().map(Told::Ours);
    }
    at::<ConnectObject>(address).map(Told::Ours)
}

impl<K: Kind> Handle<K> {
    /// What C calls it.
    pub(super) fn pointer(&self) -> *mut K::C {
        self.address().pointer()
    }

    /// Where it is in the table.
    pub(super) fn address(&self) -> Address {
        self.0.address()
    }

    /// Keeps it for longer; `None` if that is too often.
    pub(super) fn again(&self) -> Option<Handle<K>> {
        self.0.again().map(Handle)
    }

    /// As [`Handle::again`], that many times.
    pub(super) fn many(&self, count: usize) -> Option<Vec<Handle<K>>> {
        Some(self.0.many(count)?.into_iter().map(Handle).collect())
    }

    /// Adds a reference of C's; `None` if that is too often.
    pub(super) fn reference(&self) -> Option<()> {
        self.0.reference()
    }

    /// Takes a reference of C's away and answers how many owners are left; `None` if C has none.
    pub(super) fn release(&self) -> Option<usize> {
        self.0.release()
    }
}

impl<K: Kind> Deref for Handle<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.0
    }
}

/// A new handle with the one reference that C will own. Until [`New::give`] it is freed
/// when dropped, so a call that fails half-way leaves none behind.
pub(super) struct New<K: Kind> {
    address: Option<Address>,
    kind: PhantomData<K>,
}

impl<K: Kind> New<K> {
    fn insert(object: K, function: &'static str) -> Result<New<K>> {
        let address = K::table().insert(object);
        let address = address.ok_or_else(|| Error::OutOfMemory { function })?;
        Ok(New {
            address: Some(address),
            kind: PhantomData,
        })
    }

    /// What C will call it.
    pub(super) fn pointer(&self) -> *mut K::C {
        self.address.map_or(std::ptr::null_mut(), Address::pointer)
    }

    /// C owns it from now on.
    pub(super) fn give(mut self) -> *mut K::C {
        self.address
            .take()
            .map_or(std::ptr::null_mut(), Address::pointer)
    }
}

impl<K: Kind> Drop for New<K> {
    fn drop(&mut self) {
        if let Some(address) = self.address.take() {
            K::table().release(address);
        }
    }
}

/// A handle for a connection.
pub(super) fn new_connection(
    connection: Arc<ops::Connection>,
    function: &'static str,
) -> Result<New<ConnectObject>> {
    New::insert(
        ConnectObject {
            connection,
            errors: ConnectionErrors::new(),
        },
        function,
    )
}

/// A handle for a domain.
pub(super) fn new_domain(
    connection: &Handle<ConnectObject>,
    domain: &Arc<ops::Domain>,
    function: &'static str,
) -> Result<New<DomainObject>> {
    let connection = connection.again().ok_or(Error::InvalidConnection {
        function,
        family: Family::Connect,
    })?;
    New::insert(
        DomainObject {
            connection,
            known: Arc::clone(domain),
            name: Name::default(),
        },
        function,
    )
}

/// Gives C handles for snapshots, in an array with a NULL behind the last. All of them or, if
/// memory cannot be had, none.
pub(super) fn give_snapshots(
    domain: &SnapshotDomain,
    found: Vec<Found>,
    function: &'static str,
) -> Result<NonNull<*mut virDomainSnapshot>> {
    let out_of_memory = || Error::OutOfMemory { function };
    let domains = domain.many(found.len(), function)?.into_iter();
    let objects = domains
        .zip(found)
        .map(|(domain, found)| SnapshotObject::new(domain, found));
    let addresses = SNAPSHOTS.insert_all(objects).ok_or_else(out_of_memory)?;
    let pointers: Vec<_> = addresses.iter().map(|address| address.pointer()).collect();
    super::strings::malloc_array(&pointers).ok_or_else(|| {
        for pointer in pointers {
            release_snapshot(pointer);
        }
        out_of_memory()
    })
}

/// A handle for a snapshot.
pub(super) fn new_snapshot(
    domain: &SnapshotDomain,
    found: Found,
    function: &'static str,
) -> Result<New<SnapshotObject>> {
    memory::check()?;
    created_snapshot(domain, found, function)
}

/// As [`new_snapshot`], of one that was just created: what is done must not fail any more because
/// memory was short meanwhile.
pub(super) fn created_snapshot(
    domain: &SnapshotDomain,
    found: Found,
    function: &'static str,
) -> Result<New<SnapshotObject>> {
    let domain = domain.again(function)?;
    New::insert(SnapshotObject::new(domain, found), function)
}

/// Gives C an array of new handles, a NULL behind the last. All of them or, if memory cannot be
/// had, none.
pub(super) fn give_array<K: Kind>(
    handles: Vec<New<K>>,
    function: &'static str,
) -> Result<NonNull<*mut K::C>> {
    let pointers: Vec<*mut K::C> = handles.iter().map(New::pointer).collect();
    let array = super::strings::malloc_array(&pointers).ok_or(Error::OutOfMemory { function })?;
    for handle in handles {
        handle.give();
    }
    Ok(array)
}
