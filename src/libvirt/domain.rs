//! A domain of libvirt's: who it is, what state it is in, what its definition says.

use std::ffi::{CString, c_int, c_uint};
use std::ptr::NonNull;
use std::sync::Arc;

use super::connections::{self, Rights, Session};
use super::functions::Opaque;
use super::library::Libvirt;
use super::saved::failed;
use super::snapshot::Snapshot;
use super::text;
use crate::error::{Error, Result};
use crate::snapshot::State;

/// VIR_DOMAIN_XML_SECURE and VIR_DOMAIN_XML_INACTIVE.
pub(super) const XML_SECURE: c_uint = 1;
const XML_INACTIVE: c_uint = 2;

/// Drivers of libvirt's, as far as they are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// QEMU and KVM.
    Qemu,
    /// libvirt's own, for tests: there is no guest.
    Test,
    /// Any other: it keeps its snapshots itself.
    Other,
}

/// A domain of libvirt's, with a reference of our own on its handle.
pub struct Domain {
    pub(super) libvirt: &'static Libvirt,
    pub(super) pointer: NonNull<Opaque>,
}

// SAFETY: libvirt's handles may be used by any thread (its documentation of thread safety).
unsafe impl Send for Domain {}
// SAFETY: as above.
unsafe impl Sync for Domain {}

impl Domain {
    /// Holds the domain that C means.
    ///
    /// # Safety
    ///
    /// `pointer` is a domain of libvirt's, or what libvirt itself refuses with an error.
    pub unsafe fn hold(libvirt: &'static Libvirt, pointer: *mut Opaque) -> Result<Domain> {
        let refused = || failed(libvirt);
        // SAFETY: by this contract.
        let is_held = unsafe { (libvirt.public.virDomainRef)(pointer) } == 0;
        let pointer = NonNull::new(pointer)
            .filter(|_| is_held)
            .ok_or_else(refused)?;
        Ok(Domain { libvirt, pointer })
    }

    /// Holds it once more.
    pub fn again(&self) -> Result<Domain> {
        // SAFETY: held by this value.
        unsafe { Domain::hold(self.libvirt, self.pointer()) }
    }

    /// What C calls it.
    pub fn pointer(&self) -> *mut Opaque {
        self.pointer.as_ptr()
    }

    /// Its connection, as long as the domain is held.
    pub fn connection(&self) -> *mut Opaque {
        // SAFETY: held by this value.
        unsafe { (self.libvirt.public.virDomainGetConnect)(self.pointer()) }
    }

    /// Its connection's session.
    pub fn session(&self) -> Arc<Session> {
        connections::session(self.libvirt, self.connection())
    }

    /// What its connection was opened for, if that is known.
    pub fn rights(&self) -> Option<Rights> {
        connections::rights(self.connection())
    }

    /// The driver behind its connection.
    pub fn driver(&self) -> Result<Driver> {
        // SAFETY: the connection is open as long as the domain is held.
        let kind = unsafe { (self.libvirt.public.virConnectGetType)(self.connection()) };
        // SAFETY: NULL, or a string that lives as long as the connection.
        match unsafe { text::borrowed(kind) }.as_deref() {
            Some("QEMU") => Ok(Driver::Qemu),
            Some("TEST") => Ok(Driver::Test),
            Some(_) => Ok(Driver::Other),
            None => Err(failed(self.libvirt)),
        }
    }

    /// Whether paths of its definition are paths here: its driver runs on this host.
    pub fn is_local(&self) -> Result<bool> {
        // SAFETY: the connection is open as long as the domain is held.
        let uri = unsafe { (self.libvirt.public.virConnectGetURI)(self.connection()) };
        // SAFETY: NULL, or a string that is ours.
        let uri = unsafe { text::owned(uri) }.ok_or_else(|| failed(self.libvirt))?;
        Ok(names_this_host(&uri))
    }

    /// Its name now.
    pub fn name(&self) -> Result<String> {
        // SAFETY: held by this value.
        let name = unsafe { (self.libvirt.public.virDomainGetName)(self.pointer()) };
        // SAFETY: NULL, or a string that lives as long as the handle.
        unsafe { text::borrowed(name) }.ok_or_else(|| failed(self.libvirt))
    }

    /// Its UUID.
    pub fn uuid(&self) -> Result<[u8; 16]> {
        let mut uuid = [0; 16];
        // SAFETY: held by this value, and libvirt writes VIR_UUID_BUFLEN bytes.
        let result =
            unsafe { (self.libvirt.public.virDomainGetUUID)(self.pointer(), uuid.as_mut_ptr()) };
        self.checked(result)?;
        Ok(uuid)
    }

    /// Its state now; that it is gone is libvirt's error.
    pub fn state(&self) -> Result<State> {
        let mut state: c_int = 0;
        // SAFETY: held by this value; libvirt allows NULL for the reason.
        let result = unsafe {
            (self.libvirt.public.virDomainGetState)(
                self.pointer(),
                &raw mut state,
                std::ptr::null_mut(),
                0,
            )
        };
        self.checked(result)?;
        // virDomainState. NOSTATE is what a driver says that knows no better.
        Ok(match state {
            2 => State::Blocked,
            3 => State::Paused,
            4 => State::Shutdown,
            5 => State::Shutoff,
            6 => State::Crashed,
            7 => State::PmSuspended,
            _ => State::Running,
        })
    }

    /// Whether it runs, in any state.
    pub fn is_active(&self) -> Result<bool> {
        // SAFETY: held by this value.
        let result = unsafe { (self.libvirt.public.virDomainIsActive)(self.pointer()) };
        self.checked(result).map(|active| active != 0)
    }

    /// The definition that it has when it is not running, with secrets.
    pub fn definition(&self) -> Result<String> {
        self.xml(XML_INACTIVE | XML_SECURE)
    }

    /// Whether its connection refuses changes. Asked without a word to the program's handler
    /// where the connection was opened through us.
    pub fn is_read_only(&self) -> Result<bool> {
        match self.rights() {
            Some(rights) => Ok(rights == Rights::ReadOnly),
            None => match self.xml(XML_SECURE) {
                Ok(_) => Ok(false),
                Err(Error::Libvirt(saved)) if saved.is_read_only() => Ok(true),
                Err(cause) => Err(cause),
            },
        }
    }

    pub(super) fn xml(&self, flags: c_uint) -> Result<String> {
        // SAFETY: held by this value.
        let text = unsafe { (self.libvirt.public.virDomainGetXMLDesc)(self.pointer(), flags) };
        // SAFETY: NULL, or a string that is ours.
        unsafe { text::owned(text) }.ok_or_else(|| failed(self.libvirt))
    }

    /// virDomainUndefine(), and with flags virDomainUndefineFlags().
    pub fn undefine(&self, flags: Option<c_uint>) -> Result<()> {
        let result = match flags {
            // SAFETY: held by this value.
            None => unsafe { (self.libvirt.public.virDomainUndefine)(self.pointer()) },
            Some(flags) => {
                // SAFETY: held by this value.
                unsafe { (self.libvirt.public.virDomainUndefineFlags)(self.pointer(), flags) }
            }
        };
        self.checked(result).map(|_| ())
    }

    /// How many snapshots libvirt itself keeps of it. Fails if the domain is gone.
    pub fn snapshot_count(&self) -> Result<usize> {
        // SAFETY: held by this value.
        let count = unsafe { (self.libvirt.public.virDomainSnapshotNum)(self.pointer(), 0) };
        self.checked(count)
            .map(|count| usize::try_from(count).unwrap_or_default())
    }

    /// The snapshots that libvirt itself keeps of it, in no order.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let mut array: *mut *mut Opaque = std::ptr::null_mut();
        // SAFETY: held by this value, and `array` is writable.
        let count = unsafe {
            (self.libvirt.public.virDomainListAllSnapshots)(self.pointer(), &raw mut array, 0)
        };
        let count = usize::try_from(self.checked(count)?).unwrap_or_default();
        let snapshots = (0..count)
            .map(|place| array.wrapping_add(place))
            // SAFETY: libvirt's array has that many handles.
            .map(|slot| unsafe { slot.read() })
            .filter_map(|handle| Some(Snapshot::new(self.libvirt, NonNull::new(handle)?)))
            .collect();
        // SAFETY: the array is from malloc and ours; the handles are in `snapshots`.
        unsafe { libc::free(array.cast()) };
        Ok(snapshots)
    }

    /// The snapshot of that name that libvirt itself keeps.
    pub fn snapshot(&self, name: &str) -> Result<Snapshot> {
        let name = c_text(name)?;
        self.given(|domain| {
            // SAFETY: held by this value, and the name is NUL-terminated.
            unsafe { (self.libvirt.public.virDomainSnapshotLookupByName)(domain, name.as_ptr(), 0) }
        })
    }

    /// The current one of the snapshots that libvirt itself keeps.
    pub fn current_snapshot(&self) -> Result<Option<Snapshot>> {
        // SAFETY: held by this value.
        let has = unsafe { (self.libvirt.public.virDomainHasCurrentSnapshot)(self.pointer(), 0) };
        if self.checked(has)? == 0 {
            return Ok(None);
        }
        self.given(|domain| {
            // SAFETY: held by this value.
            unsafe { (self.libvirt.public.virDomainSnapshotCurrent)(domain, 0) }
        })
        .map(Some)
    }

    /// virDomainSnapshotCreateXML() of libvirt's own.
    pub fn create_snapshot(&self, document: &str, flags: c_uint) -> Result<Snapshot> {
        let document = c_text(document)?;
        self.given(|domain| {
            // SAFETY: held by this value, and the document is NUL-terminated.
            unsafe {
                (self.libvirt.public.virDomainSnapshotCreateXML)(domain, document.as_ptr(), flags)
            }
        })
    }

    fn given(&self, call: impl FnOnce(*mut Opaque) -> *mut Opaque) -> Result<Snapshot> {
        let handle = NonNull::new(call(self.pointer())).ok_or_else(|| failed(self.libvirt))?;
        Ok(Snapshot::new(self.libvirt, handle))
    }

    pub(super) fn checked(&self, result: c_int) -> Result<c_int> {
        if result < 0 {
            return Err(failed(self.libvirt));
        }
        Ok(result)
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: our own reference, which nobody uses after this.
        unsafe { connections::free_domain(self.libvirt, self.pointer()) };
    }
}

/// A text for C. One with a NUL inside would be cut off there.
pub(super) fn c_text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::NotWellFormed {
        detail: "NUL in a document or name".to_owned(),
    })
}

/// Whether a connection URI leads to a driver on this host: no host in it. `+unix` and no
/// transport at all lead to a daemon or a driver here (libvirt's documentation of remote URIs).
fn names_this_host(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else {
        return false;
    };
    let transport = scheme.split_once('+').map(|(_, transport)| transport);
    matches!(transport, None | Some("unix")) && (rest.starts_with("///") || !rest.starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_with_a_host_lead_elsewhere() {
        for here in [
            "qemu:///system",
            "qemu:///embed?root=/x",
            "qemu+unix:///system",
            "test:///default",
        ] {
            assert!(names_this_host(here), "{here}");
        }
        for elsewhere in [
            "qemu+ssh://root@host/system",
            "qemu://host/system",
            "qemu+tls://host/system",
            "qemu+ssh:///system",
            "",
        ] {
            assert!(!names_this_host(elsewhere), "{elsewhere}");
        }
    }
}
