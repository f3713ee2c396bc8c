//! What stands behind C's pointers: a connection, a domain, a snapshot.
//!
//! A domain's object has UUID and name, a snapshot's its name: each call looks the real thing up
//! again, so that a handle outlives what it names and never keeps it alive. A snapshot's handle
//! keeps its domain's, and that its connection's, as libvirt's do.

use std::ffi::{CString, c_char};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

use super::dispatch::{ConnectionErrors, Told};
use super::handles::{Address, Owner, Table};
use super::snapshot_domain::SnapshotDomain;
use super::strings::nul_terminated;
use super::types::{virConnect, virDomain, virDomainSnapshot};
use crate::error::{Error, Family, Result};
use crate::memory;
use crate::ops;
use crate::uuid;

/// All objects that C has pointers to.
static OBJECTS: Table<Object> = Table::new();

/// What a pointer can stand for.
#[derive(Clone)]
pub(super) enum Object {
    /// virConnectPtr.
    Connect(Arc<ConnectObject>),
    /// virDomainPtr.
    Domain(Arc<DomainObject>),
    /// virDomainSnapshotPtr.
    Snapshot(Arc<SnapshotObject>),
}

/// One kind of object.
pub(super) trait Kind: Sized {
    /// What C calls it.
    type C;
    /// As any object.
    fn into_object(object: Arc<Self>) -> Object;
    /// Of any object, if it is of this kind.
    fn of_object(object: &Object) -> Option<&Arc<Self>>;
    /// As [`Kind::of_object`], taking it.
    fn from_object(object: Object) -> Option<Arc<Self>>;
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

    fn into_object(object: Arc<Self>) -> Object {
        Object::Connect(object)
    }

    fn of_object(object: &Object) -> Option<&Arc<Self>> {
        match object {
            Object::Connect(connection) => Some(connection),
            _ => None,
        }
    }

    fn from_object(object: Object) -> Option<Arc<Self>> {
        match object {
            Object::Connect(connection) => Some(connection),
            _ => None,
        }
    }
}

/// Behind a virDomainPtr.
pub(super) struct DomainObject {
    /// Kept open by this domain.
    pub(super) connection: Held<ConnectObject>,
    /// Who it is.
    pub(super) uuid: [u8; 16],
    name: Name,
}

impl DomainObject {
    /// The domain as it is now, or that it is gone.
    pub(super) fn now(&self) -> Result<Arc<ops::Domain>> {
        self.connection
            .connection
            .domain_by_uuid(&self.uuid)
            .map_err(|error| match error {
                Error::NoDomainWithUuid { .. } => Error::DomainGone {
                    uuid: uuid::format(&self.uuid),
                    name: self.name.text.to_string(),
                },
                other => other,
            })
    }

    /// Its name when the handle was made, for C. Valid as long as the object.
    pub(super) fn c_name(&self) -> *const c_char {
        self.name.for_c()
    }
}

impl Kind for DomainObject {
    type C = virDomain;

    fn into_object(object: Arc<Self>) -> Object {
        Object::Domain(object)
    }

    fn of_object(object: &Object) -> Option<&Arc<Self>> {
        match object {
            Object::Domain(domain) => Some(domain),
            _ => None,
        }
    }

    fn from_object(object: Object) -> Option<Arc<Self>> {
        match object {
            Object::Domain(domain) => Some(domain),
            _ => None,
        }
    }
}

/// Behind a virDomainSnapshotPtr.
pub(super) struct SnapshotObject {
    /// Kept by this snapshot.
    pub(super) domain: SnapshotDomain,
    name: Name,
}

impl SnapshotObject {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name.text
    }

    /// Its name, for C. Valid as long as the object.
    pub(super) fn c_name(&self) -> *const c_char {
        self.name.for_c()
    }
}

impl Kind for SnapshotObject {
    type C = virDomainSnapshot;

    fn into_object(object: Arc<Self>) -> Object {
        Object::Snapshot(object)
    }

    fn of_object(object: &Object) -> Option<&Arc<Self>> {
        match object {
            Object::Snapshot(snapshot) => Some(snapshot),
            _ => None,
        }
    }

    fn from_object(object: Object) -> Option<Arc<Self>> {
        match object {
            Object::Snapshot(snapshot) => Some(snapshot),
            _ => None,
        }
    }
}

/// A name that C may ask for. The copy with its NUL is made on demand: a list of ten thousand
/// handles is cheap.
struct Name {
    text: Arc<str>,
    c: OnceLock<CString>,
}

impl Name {
    fn new(text: Arc<str>) -> Name {
        Name {
            text,
            c: OnceLock::new(),
        }
    }

    fn for_c(&self) -> *const c_char {
        self.c.get_or_init(|| nul_terminated(&self.text)).as_ptr()
    }
}

/// An object that was looked up. It stays alive during the call, whatever other threads free.
pub(super) struct Handle<K: Kind> {
    address: Address,
    object: Arc<K>,
}

/// Whether a pointer is, was or may become one of our handles: no other library has it.
pub(super) fn is_ours<T>(pointer: *const T) -> bool {
    OBJECTS.covers(Address::of(pointer))
}

/// The object that C means by a pointer.
pub(super) fn find<K: Kind>(pointer: *const K::C) -> Option<Handle<K>> {
    let address = Address::of(pointer);
    let object = K::from_object(OBJECTS.get(address)?)?;
    Some(Handle { address, object })
}

/// Takes a reference of C's to a snapshot away; `None` if C has none, or it is no snapshot.
pub(super) fn release_snapshot(pointer: *const virDomainSnapshot) -> Option<()> {
    let is_snapshot = |object: &Object| matches!(object, Object::Snapshot(_));
    OBJECTS.release(Address::of(pointer), Owner::Caller, is_snapshot)?;
    Some(())
}

/// Who is told of an error in a call with this handle, if it is still one.
pub(super) fn told_of(address: Address) -> Option<Told> {
    match OBJECTS.get(address)? {
        Object::Connect(connection) => Some(Told::Ours(connection)),
        Object::Domain(domain) => Some(Told::Ours(Arc::clone(domain.connection.object()))),
        Object::Snapshot(snapshot) => snapshot.domain.told(),
    }
}

impl<K: Kind> Handle<K> {
    /// The object.
    pub(super) fn object(&self) -> &Arc<K> {
        &self.object
    }

    /// What C calls it.
    pub(super) fn pointer(&self) -> *mut K::C {
        self.address.pointer()
    }

    /// Where it is in the table.
    pub(super) fn address(&self) -> Address {
        self.address
    }

    /// Adds a reference of C's; `None` if the handle was freed meanwhile.
    pub(super) fn reference(&self) -> Option<()> {
        OBJECTS.reference(self.address, Owner::Caller, |object| self.is(object))
    }

    /// Takes a reference of C's away and answers how many are left; `None` if C has none.
    pub(super) fn release(&self) -> Option<usize> {
        OBJECTS.release(self.address, Owner::Caller, |object| self.is(object))
    }

    /// Keeps the handle valid; `None` if it was freed meanwhile.
    pub(super) fn hold(&self) -> Option<Held<K>> {
        OBJECTS.reference(self.address, Owner::Handle, |object| self.is(object))?;
        Some(Held(Handle {
            address: self.address,
            object: Arc::clone(&self.object),
        }))
    }

    fn is(&self, object: &Object) -> bool {
        K::of_object(object).is_some_and(|object| Arc::ptr_eq(object, &self.object))
    }
}

impl<K: Kind> Deref for Handle<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.object
    }
}

/// A handle that another one keeps valid.
pub(super) struct Held<K: Kind>(Handle<K>);

impl<K: Kind> Deref for Held<K> {
    type Target = Handle<K>;

    fn deref(&self) -> &Handle<K> {
        &self.0
    }
}

impl<K: Kind> Drop for Held<K> {
    fn drop(&mut self) {
        OBJECTS.release(self.0.address, Owner::Handle, |object| self.0.is(object));
    }
}

/// A new handle with the one reference that C will own. Until [`New::give`] it is freed
/// when dropped, so a call that fails half-way leaves none behind.
pub(super) struct New<K: Kind>(Option<Handle<K>>);

impl<K: Kind> New<K> {
    fn insert(object: K, function: &'static str) -> Result<New<K>> {
        let object = Arc::new(object);
        let address = OBJECTS
            .insert(K::into_object(Arc::clone(&object)))
            .ok_or(Error::OutOfMemory { function })?;
        Ok(New(Some(Handle { address, object })))
    }

    /// What C will call it.
    pub(super) fn pointer(&self) -> *mut K::C {
        self.0
            .as_ref()
            .map_or(std::ptr::null_mut(), Handle::pointer)
    }

    /// C owns it from now on.
    pub(super) fn give(mut self) -> *mut K::C {
        self.0
            .take()
            .map_or(std::ptr::null_mut(), |handle| handle.pointer())
    }
}

impl<K: Kind> Drop for New<K> {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            handle.release();
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
    domain: &ops::Domain,
    function: &'static str,
) -> Result<New<DomainObject>> {
    let connection = connection.hold().ok_or(Error::InvalidConnection {
        function,
        family: Family::Connect,
    })?;
    let (uuid, name) = (*domain.uuid(), Name::new(Arc::clone(domain.name())));
    New::insert(
        DomainObject {
            connection,
            uuid,
            name,
        },
        function,
    )
}

/// Gives C handles for snapshot names, in an array with a NULL behind the last. All of them or, if
/// memory cannot be had, none.
pub(super) fn give_snapshots(
    domain: &SnapshotDomain,
    names: Vec<Arc<str>>,
    function: &'static str,
) -> Result<NonNull<*mut virDomainSnapshot>> {
    let out_of_memory = || Error::OutOfMemory { function };
    // One hold on the domain for all of them.
    let domain = domain.again(function)?;
    let objects: Result<Vec<Object>> = names
        .into_iter()
        .map(|name| {
            let domain = domain.again(function)?;
            let name = Name::new(name);
            Ok(Object::Snapshot(Arc::new(SnapshotObject { domain, name })))
        })
        .collect();
    let addresses = OBJECTS.insert_all(objects?).ok_or_else(out_of_memory)?;
    let pointers: Vec<_> = addresses.iter().map(|address| address.pointer()).collect();
    super::strings::malloc_array(&pointers).ok_or_else(|| {
        for pointer in pointers {
            release_snapshot(pointer);
        }
        out_of_memory()
    })
}

/// A handle for a snapshot name.
pub(super) fn new_snapshot(
    domain: &SnapshotDomain,
    name: Arc<str>,
    function: &'static str,
) -> Result<New<SnapshotObject>> {
    memory::check()?;
    created_snapshot(domain, name, function)
}

/// As [`new_snapshot`], of one that was just created: what is done must not fail any more because
/// memory was short meanwhile.
pub(super) fn created_snapshot(
    domain: &SnapshotDomain,
    name: Arc<str>,
    function: &'static str,
) -> Result<New<SnapshotObject>> {
    let domain = domain.again(function)?;
    New::insert(
        SnapshotObject {
            domain,
            name: Name::new(name),
        },
        function,
    )
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
