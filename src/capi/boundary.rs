//! What every export does, in libvirt's order: forget the thread's last error, check handles,
//! arguments, read-only and flags, work, and on failure keep and report the error.

use std::ffi::{CStr, c_char, c_int, c_uint};

use super::dispatch::{self, Told};
use super::handles::Address;
use super::last_error;
use super::objects::{self, ConnectObject, DomainObject, Handle, SnapshotObject};
use super::panics;
use super::snapshot_domain::SnapshotDomain;
use super::strings;
use super::types::{virConnectPtr, virDomainPtr, virDomainSnapshotPtr};
use crate::error::{Error, Family, Result};
use crate::libvirt;
use crate::limits;
use crate::memory::{self, Room};
use crate::ops::{self, Access};
use crate::xml::{self, DocumentKind};

/// Bytes of a text that the memory reserve has room for whatever is made of it.
const LARGE_BYTES: usize = 64 * 1024;

/// What is made of a text, in its own size: some copies of its parts, and a document that doubles while
/// it is written.
const COPIES: usize = 16;

/// One call of an export.
pub(super) struct Call {
    /// The export's name.
    pub(super) function: &'static str,
    /// Its family: decides the error domain of argument checks.
    pub(super) family: Family,
    /// Known once a handle has passed its check: who is told of an error.
    told: Option<Teller>,
    /// For what is made of large texts: nearly always none.
    rooms: Option<Vec<Room>>,
}

/// How to find out who is told of an error.
enum Teller {
    /// The connection of one of our handles, looked up when it is needed.
    Handle(Address),
    /// The connection of a domain of libvirt's.
    Libvirt(Told),
}

/// Runs the body of an export. Its error becomes the thread's last error and the export
/// answers `failure`; so does a panic, as VIR_ERR_INTERNAL_ERROR.
pub(super) fn enter<T>(
    function: &'static str,
    family: Family,
    failure: T,
    body: impl FnOnce(&mut Call) -> Result<T>,
) -> T {
    forget_last_error();
    let watch = memory::Watch::begin();
    let mut call = Call {
        function,
        family,
        told: None,
        rooms: None,
    };
    // In a box, an error is as small as most answers: neither is copied about on its way here.
    let why = match panics::catch(|| body(&mut call).map_err(in_box)) {
        Ok(Ok(value)) => {
            drop(watch);
            let has_delivered = deliver();
            if has_delivered || matches!(call.told, Some(Teller::Libvirt(_))) {
                // Of a call on the way that might fail: of libvirt's, or of a function that was told.
                forget_last_error();
            }
            return value;
        }
        Ok(Err(error)) => Why::Error(error),
        Err(payload) => Why::Panic(payload),
    };
    fail(call, watch, why);
    failure
}

/// Why a call has failed.
enum Why {
    Error(Box<Error>),
    /// With what it said.
    Panic(String),
}

#[cold]
fn in_box(error: Error) -> Box<Error> {
    Box::new(error)
}

/// Ends a call that has failed. Once, for all exports: nearly none of them fails.
#[cold]
fn fail(mut call: Call, watch: memory::Watch, why: Why) {
    let function = call.function;
    let error = match why {
        Why::Error(error) => *error,
        Why::Panic(payload) => Error::Panicked { function, payload },
    };
    let error = if memory::was_refused() || error.lacks_memory() {
        error.for_want_of_memory(function)
    } else {
        error
    };
    drop(watch);
    deliver();
    // The handler is C's and may call us again, so nothing of this call may be in its way.
    let told = match call.told.take() {
        Some(Teller::Handle(address)) => objects::told_of(address),
        Some(Teller::Libvirt(told)) => Some(told),
        None => None,
    };
    dispatch::raise(&error, told);
}

/// Says what the call has to say to the program's functions: at the end of the outermost one, as a call that
/// such a function makes ends while another has its locks. Whether there was anything.
#[inline(always)]
fn deliver() -> bool {
    ops::has_to_deliver() && panics::is_outside() && contained(ops::deliver)
}

/// A panic on the way takes nothing back of what the call has done, so it is not the call's failure.
fn contained(deliver: impl FnOnce() -> bool) -> bool {
    panics::catch(deliver).unwrap_or(true)
}

#[inline(always)]
fn forget_last_error() {
    last_error::reset();
    if let Some(libvirt) = libvirt::known() {
        libvirt.reset_last_error();
    }
}

/// Runs the body of an accessor of errors: these do not touch the thread's last error.
pub(super) fn enter_quietly<T>(failure: T, body: impl FnOnce() -> Option<T>) -> T {
    panics::catch(body).ok().flatten().unwrap_or(failure)
}

/// A length as C gets it.
pub(super) fn count(length: usize) -> c_int {
    c_int::try_from(length).unwrap_or(c_int::MAX)
}

impl Call {
    /// Says that it is an error of libvirt's domain if the call fails from here on.
    pub(super) fn tell(&mut self, told: Option<Told>) {
        self.told = told.map(Teller::Libvirt);
    }

    /// The connection that C means.
    pub(super) fn connection(&mut self, pointer: virConnectPtr) -> Result<Handle<ConnectObject>> {
        let connection =
            objects::find::<ConnectObject>(pointer).ok_or_else(|| Error::InvalidConnection {
                function: self.function,
                family: self.family,
            })?;
        self.told = Some(Teller::Handle(connection.address()));
        Ok(connection)
    }

    /// The domain that C means.
    pub(super) fn domain(&mut self, pointer: virDomainPtr) -> Result<Handle<DomainObject>> {
        let domain =
            objects::find::<DomainObject>(pointer).ok_or_else(|| Error::InvalidDomain {
                function: self.function,
            })?;
        self.told = Some(Teller::Handle(domain.address()));
        Ok(domain)
    }

    /// The snapshot that C means.
    #[inline(always)]
    pub(super) fn snapshot(
        &mut self,
        pointer: virDomainSnapshotPtr,
    ) -> Result<Handle<SnapshotObject>> {
        let snapshot =
            objects::find::<SnapshotObject>(pointer).ok_or_else(|| Error::InvalidSnapshot {
                function: self.function,
            })?;
        match snapshot.domain {
            SnapshotDomain::Ours(_) => self.told = Some(Teller::Handle(snapshot.address())),
            SnapshotDomain::Libvirt(_) => self.tell(snapshot.domain.told()),
        }
        Ok(snapshot)
    }

    /// Copies a string argument that C must give.
    ///
    /// # Safety
    ///
    /// `text` is NULL or NUL-terminated, and nobody writes to it during this call.
    pub(super) unsafe fn text(
        &mut self,
        text: *const c_char,
        argument: &'static str,
    ) -> Result<String> {
        self.not_null(text, argument)?;
        // SAFETY: not NULL, checked above; NUL-terminated and unwritten, by this contract.
        if unsafe { strings::is_longer(text, limits::DOCUMENT_BYTES) } {
            return Err(Error::TooLarge {
                what: argument,
                limit: limits::DOCUMENT_BYTES,
            });
        }
        // SAFETY: as above.
        let text = unsafe { strings::copy_in(text) }.ok_or_else(|| Error::NotUtf8 {
            function: self.function,
            argument,
            family: self.family,
        });
        // Before anything is made of a text that may be large.
        memory::check()?;
        if let Ok(text) = &text
            && text.len() > LARGE_BYTES
        {
            let room = memory::room(COPIES * text.len())?;
            self.rooms.get_or_insert_default().push(room);
        }
        text
    }

    /// Copies a document that C must give. libvirt reads every document as UTF-8, whatever it
    /// declares: one that is not is not well-formed.
    ///
    /// # Safety
    ///
    /// `text` is NULL or NUL-terminated, and nobody writes to it during this call.
    pub(super) unsafe fn document(
        &mut self,
        text: *const c_char,
        argument: &'static str,
        kind: DocumentKind,
    ) -> Result<String> {
        // SAFETY: by this contract.
        match unsafe { self.text(text, argument) } {
            Err(Error::NotUtf8 { .. }) => {
                // SAFETY: not NULL, which is another error; NUL-terminated and unwritten, by this contract.
                let text = unsafe { CStr::from_ptr(text) };
                Err(xml::not_utf8(text.to_bytes(), kind))
            }
            answer => answer,
        }
    }

    /// Refuses NULL.
    pub(super) fn not_null<T>(&self, pointer: *const T, argument: &'static str) -> Result<()> {
        if pointer.is_null() {
            return Err(Error::NullArgument {
                function: self.function,
                argument,
                family: self.family,
            });
        }
        Ok(())
    }

    /// Refuses a text without a byte.
    pub(super) fn not_empty(&self, text: &str, argument: &'static str) -> Result<()> {
        if text.is_empty() {
            return Err(Error::EmptyArgument {
                function: self.function,
                argument,
                family: self.family,
            });
        }
        Ok(())
    }

    /// Refuses a number below zero.
    pub(super) fn not_negative(&self, value: c_int, argument: &'static str) -> Result<usize> {
        usize::try_from(value).map_err(|_| Error::NegativeArgument {
            function: self.function,
            argument,
            family: self.family,
        })
    }

    /// Checks an array of C's and its length: the array may be NULL only if the length is not
    /// above zero, and the length may not be below zero.
    pub(super) fn array<T>(
        &self,
        array: *const T,
        array_name: &'static str,
        length: c_int,
        length_name: &'static str,
    ) -> Result<usize> {
        if length > 0 {
            self.not_null(array, array_name)?;
        }
        self.not_negative(length, length_name)
    }

    /// Refuses bits that the function does not know.
    pub(super) fn known_flags(&self, flags: c_uint, known: c_uint) -> Result<()> {
        match flags & !known {
            0 => Ok(()),
            bits => Err(Error::UnsupportedFlags {
                function: self.function,
                bits,
            }),
        }
    }

    /// Refuses a connection that reads only.
    pub(super) fn writable(&self, connection: &ConnectObject) -> Result<()> {
        match connection.connection.access() {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::ReadOnly {
                function: self.function,
                family: self.family,
            }),
        }
    }

    /// Refuses to show secrets on a connection that reads only.
    pub(super) fn may_see_secrets(&self, connection: &ConnectObject) -> Result<()> {
        match connection.connection.access() {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::SecureOnReadOnly {
                function: self.function,
                family: self.family,
            }),
        }
    }

    /// What is said when memory cannot be had.
    pub(super) fn out_of_memory(&self) -> Error {
        Error::OutOfMemory {
            function: self.function,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::last_error::tests::{last_code, last_message};
    use super::*;

    const NAME: &str = "virTest";

    fn enter_snapshot(body: impl FnOnce(&mut Call) -> Result<c_int>) -> c_int {
        dispatch::tests::silence();
        enter(NAME, Family::Snapshot, -1, body)
    }

    #[test]
    fn success_clears_an_older_error() {
        assert_eq!(enter_snapshot(|_| Err(Error::NoCurrent)), -1);
        assert_eq!(last_code(), 72);
        assert_eq!(enter_snapshot(|_| Ok(3)), 3);
        assert_eq!(last_code(), 0);
    }

    #[test]
    fn a_panic_is_an_internal_error() {
        assert_eq!(enter_snapshot(|_| panic!("never")), -1);
        assert_eq!(last_code(), 1);
        let message = last_message();
        assert!(
            message.starts_with("internal error: virTest: never ("),
            "{message}"
        );
    }

    #[test]
    fn a_panic_of_a_delivery_ends_there() {
        assert!(contained(|| panic!("never")));
        assert!(!contained(|| false));
    }

    #[test]
    fn pointers_that_are_no_handles_are_named_by_kind() {
        let stack = [0u64; 4];
        for pointer in [std::ptr::null(), &raw const stack] {
            let pointer = pointer.cast_mut();
            enter_snapshot(|call| call.connection(pointer.cast()).map(|_| 0));
            assert_eq!(last_message(), "invalid connection pointer in virTest");
            enter_snapshot(|call| call.domain(pointer.cast()).map(|_| 0));
            assert_eq!(last_message(), "invalid domain pointer in virTest");
            enter_snapshot(|call| call.snapshot(pointer.cast()).map(|_| 0));
            assert_eq!(last_message(), "Invalid domain snapshot: virTest");
        }
    }

    #[test]
    fn an_array_may_be_null_if_it_has_no_length() {
        let check = |array: *const c_int, length| {
            enter_snapshot(|call| call.array(array, "names", length, "nameslen").map(count))
        };
        assert_eq!(check(std::ptr::null(), 0), 0);
        assert_eq!(check(&7, 5), 5);
        assert_eq!(check(std::ptr::null(), 1), -1);
        assert_eq!(last_message(), "names in virTest must not be NULL");
        assert_eq!(check(std::ptr::null(), -1), -1);
        assert_eq!(
            last_message(),
            "nameslen in virTest must be zero or greater"
        );
    }

    #[test]
    fn only_the_unknown_bits_are_named() {
        assert_eq!(enter_snapshot(|call| call.known_flags(3, 3).map(|()| 0)), 0);
        assert_eq!(
            enter_snapshot(|call| call.known_flags(0x0f, 3).map(|()| 0)),
            -1
        );
        assert_eq!(
            last_message(),
            "unsupported flags (0xc) in function virTest"
        );
    }
}
