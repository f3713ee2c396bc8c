//! The C ABI under random sequences of calls: handles that are live, freed, NULL, foreign or of
//! another kind, texts of every sort, any flags.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr;

use super::connection::{
    virConnectClose, virConnectGetHostname, virConnectGetURI, virConnectIsAlive, virConnectRef,
};
use super::connection_domains::{
    virConnectListAllDomains, virConnectListDefinedDomains, virConnectNumOfDefinedDomains,
};
use super::domain::{
    virDomainDefineXML, virDomainDefineXMLFlags, virDomainLookupByName,
    virDomainLookupByUUIDString, virDomainUndefineFlags,
};
use super::domain_facts::{
    virDomainFree, virDomainGetID, virDomainGetInfo, virDomainGetName, virDomainGetUUIDString,
    virDomainGetXMLDesc, virDomainRef,
};
use super::error_constants::virErrorNumber;
use super::errors::{
    virConnGetLastError, virFreeError, virGetLastErrorCode, virGetLastErrorMessage,
    virResetLastError, virSaveLastError,
};
use super::fuzzing_place::Place;
use super::snapshot::{
    virDomainHasCurrentSnapshot, virDomainRevertToSnapshot, virDomainSnapshotCreateXML,
    virDomainSnapshotCurrent, virDomainSnapshotDelete, virDomainSnapshotGetParent,
    virDomainSnapshotGetXMLDesc, virDomainSnapshotHasMetadata, virDomainSnapshotIsCurrent,
    virDomainSnapshotLookupByName,
};
use super::snapshot_handle::{
    virDomainSnapshotFree, virDomainSnapshotGetConnect, virDomainSnapshotGetDomain,
    virDomainSnapshotGetName, virDomainSnapshotRef,
};
use super::snapshot_list::{
    virDomainListAllSnapshots, virDomainSnapshotListAllChildren,
    virDomainSnapshotListChildrenNames, virDomainSnapshotListNames, virDomainSnapshotNum,
    virDomainSnapshotNumChildren,
};
use super::types::virDomainInfo;
use crate::ops::Access;

const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";

/// The password in each definition.
const SECRET: &str = "hunter2";

/// Calls of one input, and elements of one array.
const CALLS: usize = 64;
const SLOTS: usize = 8;

const NAMES: [&str; 16] = [
    "a",
    "b",
    "c",
    "d",
    "1",
    "",
    "..",
    "../x",
    ".hidden",
    "a/b",
    "a\nb",
    "--help",
    "\u{9b}31m",
    "a&b",
    "q'\"\\",
    UUID,
];

/// One input in so many runs on a real directory, where it takes a hundred times as long.
const REAL: u8 = u8::MAX;

/// A sequence of calls: each takes some bytes of the input.
pub fn c_abi(input: &[u8]) {
    let sum = input
        .iter()
        .fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    if sum == REAL {
        c_abi_on_directory(input);
    } else {
        calls(input, Place::memory());
    }
}

/// As [`c_abi`], on a real directory.
pub fn c_abi_on_directory(input: &[u8]) {
    calls(input, Place::directory());
}

fn calls(input: &[u8], place: Place) {
    silence();
    let connection = place.open(Access::ReadWrite);
    assert!(!connection.is_null(), "{}", last_message());
    let mut session = Session {
        input: input.iter(),
        handles: vec![ptr::null_mut(), connection.cast()],
        place,
    };
    let xml = definition("a");
    // SAFETY: the text is a CString.
    let domain = unsafe { virDomainDefineXML(connection, xml.as_ptr()) };
    session.handles.push(domain.cast());
    for _ in 0..CALLS {
        let Some(operation) = session.input.next() else {
            break;
        };
        session.call(*operation);
    }
    session.free_all();
}

#[cfg(test)]
fn silence() {
    super::dispatch::tests::silence();
}

#[cfg(not(test))]
fn silence() {
    /// # Safety
    ///
    /// None is needed: it looks at nothing.
    unsafe extern "C" fn ignore(_data: *mut c_void, _error: super::types::virErrorPtr) {}
    super::errors::virSetErrorFunc(ptr::null_mut(), Some(ignore));
}

fn definition(name: &str) -> CString {
    let uuid = UUID.replace("1809", &format!("18{:02x}", name.len() % 4));
    let text = format!(
        "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><vcpu>4294967295</vcpu>\
         <os><type>hvm</type></os><devices><graphics passwd='{SECRET}'/></devices></domain>"
    );
    CString::new(text).unwrap_or_default()
}

/// What the last failed call said. A panic that was stopped is a broken promise.
fn last_message() -> String {
    let message = virGetLastErrorMessage();
    if message.is_null() {
        return String::new();
    }
    // SAFETY: an error's message is NUL-terminated, and the thread's own.
    let text = unsafe { CStr::from_ptr(message) };
    let text = text.to_string_lossy().into_owned();
    // A panic's code; errors of that code quote no document.
    let is_internal = virGetLastErrorCode() == virErrorNumber::VIR_ERR_INTERNAL_ERROR as c_int;
    assert!(
        !(is_internal && text.contains(".rs:")),
        "a panic was stopped: {text}"
    );
    assert!(!text.contains(SECRET), "a password: {text}");
    text
}

struct Session<'a> {
    input: std::slice::Iter<'a, u8>,
    /// Every pointer that was ever handed out, freed or not; the first is NULL.
    handles: Vec<*mut c_void>,
    place: Place,
}

impl Session<'_> {
    fn byte(&mut self) -> u8 {
        self.input.next().copied().unwrap_or_default()
    }

    fn handle<T>(&mut self) -> *mut T {
        let number = usize::from(self.byte());
        match number {
            // No object's: in the middle of one, and anywhere.
            250 => self
                .handles
                .last()
                .copied()
                .unwrap_or_default()
                .wrapping_byte_add(8)
                .cast(),
            251 => ptr::without_provenance_mut(8),
            252 => ptr::without_provenance_mut(usize::MAX - 7),
            253 => self.place.uri().as_ptr().cast_mut().cast(),
            _ => self.handles[number % self.handles.len()].cast(),
        }
    }

    fn keep<T>(&mut self, handle: *mut T) {
        if handle.is_null() {
            last_message();
        } else {
            self.handles.push(handle.cast());
        }
    }

    fn name(&mut self) -> &'static str {
        NAMES[usize::from(self.byte()) % NAMES.len()]
    }

    fn flags(&mut self) -> c_uint {
        let byte = self.byte();
        match byte {
            0..=191 => c_uint::from(byte) & 0xf,
            192..=223 => 1 << (byte % 32),
            _ => c_uint::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
        }
    }

    /// A document, or bytes of the input that are none.
    fn document(&mut self) -> CString {
        let shape = self.byte();
        if shape >= 240 {
            let length = usize::from(self.byte());
            let bytes: Vec<u8> = (0..length).map(|_| self.byte()).collect();
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(length);
            let text = bytes.get(..end).unwrap_or_default();
            // Where it is no password an error may quote it.
            let names_secret = text
                .windows(SECRET.len())
                .any(|part| part == SECRET.as_bytes());
            let text = if names_secret { &[] } else { text };
            return CString::new(text).unwrap_or_default();
        }
        let escaped = |name: &str| name.replace('&', "&amp;");
        let (name, parent) = (escaped(self.name()), escaped(self.name()));
        let parent = if shape & 1 == 0 {
            String::new()
        } else {
            format!("<parent><name>{parent}</name></parent>")
        };
        let domain = definition("a");
        let text = format!(
            "<domainsnapshot><name>{name}</name>{parent}<state>shutoff</state>\
             <creationTime>{}</creationTime>{}</domainsnapshot>",
            i64::from(shape) - 64,
            domain.to_string_lossy(),
        );
        CString::new(text).unwrap_or_default()
    }

    fn text(&mut self) -> CString {
        CString::new(self.name()).unwrap_or_default()
    }

    /// A number that a call answered.
    fn answered(&self, answer: c_int, most: usize) {
        assert!(answer >= -1);
        if answer < 0 {
            assert_ne!(virGetLastErrorCode(), 0);
            last_message();
        } else {
            assert!(usize::try_from(answer).is_ok_and(|count| count <= most));
        }
    }

    fn freed(&self, text: *mut c_char) {
        if text.is_null() {
            last_message();
        } else {
            // SAFETY: a text that a call handed out is C's to free.
            unsafe { libc::free(text.cast()) };
        }
    }

    fn call(&mut self, operation: u8) {
        match operation % 8 {
            0..=3 => self.snapshot_call(operation / 8),
            4 | 5 => self.list_call(operation / 8),
            6 => self.domain_call(operation / 8),
            _ => self.connection_call(operation / 8),
        }
    }

    fn snapshot_call(&mut self, operation: u8) {
        match operation % 16 {
            0..=5 => {
                let (domain, xml, flags) = (self.handle(), self.document(), self.flags() | 1);
                // SAFETY: the text is a CString.
                let made = unsafe { virDomainSnapshotCreateXML(domain, xml.as_ptr(), flags) };
                self.keep(made);
            }
            6 => {
                let (domain, xml, flags) = (self.handle(), self.document(), self.flags());
                // SAFETY: the text is a CString.
                let made = unsafe { virDomainSnapshotCreateXML(domain, xml.as_ptr(), flags) };
                self.keep(made);
            }
            7 => {
                let text = virDomainSnapshotGetXMLDesc(self.handle(), self.flags());
                self.freed(text);
            }
            8 => {
                let (domain, name, flags) = (self.handle(), self.text(), self.flags());
                // SAFETY: the text is a CString.
                let found = unsafe { virDomainSnapshotLookupByName(domain, name.as_ptr(), flags) };
                self.keep(found);
            }
            9 => {
                let found = virDomainSnapshotCurrent(self.handle(), self.flags());
                self.keep(found);
            }
            10 => {
                let found = virDomainSnapshotGetParent(self.handle(), self.flags());
                self.keep(found);
            }
            11 => {
                let answer = virDomainSnapshotIsCurrent(self.handle(), self.flags());
                self.answered(answer, 1);
            }
            12 => {
                let answer = virDomainRevertToSnapshot(self.handle(), self.flags());
                self.answered(answer, 0);
            }
            13 | 14 => {
                let answer = virDomainSnapshotDelete(self.handle(), self.flags());
                self.answered(answer, 0);
            }
            _ => self.snapshot_handle_call(),
        }
    }

    fn snapshot_handle_call(&mut self) {
        match self.byte() % 6 {
            0 => {
                let answer = virDomainSnapshotFree(self.handle());
                self.answered(answer, 0);
            }
            1 => {
                let answer = virDomainSnapshotRef(self.handle());
                self.answered(answer, 0);
            }
            // Those two lend what the snapshot keeps.
            2 => {
                let lent = virDomainSnapshotGetDomain(self.handle());
                self.keep(lent);
            }
            3 => {
                let lent = virDomainSnapshotGetConnect(self.handle());
                self.keep(lent);
            }
            4 => {
                let name = virDomainSnapshotGetName(self.handle());
                if !name.is_null() {
                    // SAFETY: valid as long as the handle, which nothing has freed since.
                    let name = unsafe { CStr::from_ptr(name) };
                    assert!(!name.is_empty());
                }
            }
            _ => {
                let answer = virDomainSnapshotHasMetadata(self.handle(), self.flags());
                self.answered(answer, 1);
            }
        }
    }

    fn list_call(&mut self, operation: u8) {
        let mut names: [*mut c_char; SLOTS] = [ptr::null_mut(); SLOTS];
        let length = c_int::from(self.byte()) % 11 - 2;
        let slots = usize::try_from(length).unwrap_or(0).min(SLOTS);
        let length = length.min(c_int::try_from(SLOTS).unwrap_or(0));
        match operation % 6 {
            0 => {
                let answer = virDomainSnapshotNum(self.handle(), self.flags());
                self.answered(answer, CALLS);
            }
            1 => {
                let answer = virDomainSnapshotNumChildren(self.handle(), self.flags());
                self.answered(answer, CALLS);
            }
            2 => {
                let (domain, flags) = (self.handle(), self.flags());
                // SAFETY: the array has that many slots.
                let answer = unsafe {
                    virDomainSnapshotListNames(domain, names.as_mut_ptr(), length, flags)
                };
                self.names(answer, &names, slots);
            }
            3 => {
                let (snapshot, flags) = (self.handle(), self.flags());
                // SAFETY: the array has that many slots.
                let answer = unsafe {
                    virDomainSnapshotListChildrenNames(snapshot, names.as_mut_ptr(), length, flags)
                };
                self.names(answer, &names, slots);
            }
            4 => {
                let mut all = ptr::null_mut();
                let (domain, flags) = (self.handle(), self.flags());
                // SAFETY: the pointer can be written.
                let answer = unsafe { virDomainListAllSnapshots(domain, &raw mut all, flags) };
                self.objects(answer, all);
            }
            _ => {
                let mut all = ptr::null_mut();
                let (snapshot, flags) = (self.handle(), self.flags());
                // SAFETY: the pointer can be written.
                let answer =
                    unsafe { virDomainSnapshotListAllChildren(snapshot, &raw mut all, flags) };
                self.objects(answer, all);
            }
        }
    }

    /// Frees names that a call put into an array: never more than it has slots.
    fn names(&self, answer: c_int, names: &[*mut c_char], slots: usize) {
        // With room for none the count is answered.
        self.answered(answer, if slots == 0 { CALLS } else { slots });
        let count = usize::try_from(answer).unwrap_or(0).min(slots);
        for name in &names[..count] {
            self.freed(*name);
        }
    }

    /// Keeps the handles of an array, and frees the array.
    fn objects<T>(&mut self, answer: c_int, all: *mut *mut T) {
        self.answered(answer, CALLS);
        for place in 0..usize::try_from(answer).unwrap_or(0) {
            // SAFETY: the array has as many pointers as the call answered.
            let slot = unsafe { all.add(place) };
            // SAFETY: as above.
            self.keep(unsafe { slot.read() });
        }
        // SAFETY: NULL, or C's to free.
        unsafe { libc::free(all.cast()) };
    }

    fn domain_call(&mut self, operation: u8) {
        match operation % 10 {
            0 => {
                let (connection, name) = (self.handle(), self.name());
                let xml = definition(&name.replace('&', "&amp;"));
                // SAFETY: the text is a CString.
                let made = unsafe { virDomainDefineXML(connection, xml.as_ptr()) };
                self.keep(made);
            }
            1 => {
                let (connection, xml, flags) = (self.handle(), self.document(), self.flags());
                // SAFETY: the text is a CString.
                let made = unsafe { virDomainDefineXMLFlags(connection, xml.as_ptr(), flags) };
                self.keep(made);
            }
            2 => {
                let (connection, name) = (self.handle(), self.text());
                // SAFETY: the text is a CString.
                let found = unsafe { virDomainLookupByName(connection, name.as_ptr()) };
                self.keep(found);
            }
            3 => {
                let (connection, uuid) = (self.handle(), self.text());
                // SAFETY: the text is a CString.
                let found = unsafe { virDomainLookupByUUIDString(connection, uuid.as_ptr()) };
                self.keep(found);
            }
            4 => {
                let answer = virDomainUndefineFlags(self.handle(), self.flags());
                self.answered(answer, 0);
            }
            5 => {
                let answer = virDomainFree(self.handle());
                self.answered(answer, 0);
            }
            6 => {
                let answer = virDomainRef(self.handle());
                self.answered(answer, 0);
            }
            7 => {
                let text = virDomainGetXMLDesc(self.handle(), self.flags());
                self.freed(text);
            }
            8 => {
                let answer = virDomainHasCurrentSnapshot(self.handle(), self.flags());
                self.answered(answer, 1);
            }
            _ => self.domain_facts_call(),
        }
    }

    fn domain_facts_call(&mut self) {
        let domain = self.handle();
        virDomainGetID(domain);
        virDomainGetName(domain);
        let mut text = [0; 37];
        // SAFETY: VIR_UUID_STRING_BUFLEN bytes can be written.
        let answer = unsafe { virDomainGetUUIDString(domain, text.as_mut_ptr()) };
        self.answered(answer, 0);
        let mut info = virDomainInfo {
            state: 0,
            maxMem: 0,
            memory: 0,
            nrVirtCpu: 0,
            cpuTime: 0,
        };
        // SAFETY: the structure can be written.
        let answer = unsafe { virDomainGetInfo(domain, &raw mut info) };
        self.answered(answer, 0);
    }

    fn connection_call(&mut self, operation: u8) {
        match operation % 10 {
            0 => {
                let opened = self.place.open(Access::ReadWrite);
                self.keep(opened);
            }
            1 => {
                let opened = self.place.open(Access::ReadOnly);
                self.keep(opened);
            }
            2 => {
                let answer = virConnectClose(self.handle());
                self.answered(answer, CALLS * CALLS);
            }
            3 => {
                let answer = virConnectRef(self.handle());
                self.answered(answer, 0);
            }
            4 => {
                let text = virConnectGetURI(self.handle());
                self.freed(text);
                let text = virConnectGetHostname(self.handle());
                self.freed(text);
            }
            5 => {
                let answer = virConnectIsAlive(self.handle());
                self.answered(answer, 1);
            }
            6 => {
                let mut all = ptr::null_mut();
                let (connection, flags) = (self.handle(), self.flags());
                // SAFETY: the pointer can be written.
                let answer = unsafe { virConnectListAllDomains(connection, &raw mut all, flags) };
                self.objects(answer, all);
            }
            7 => {
                let mut names: [*mut c_char; SLOTS] = [ptr::null_mut(); SLOTS];
                let connection = self.handle();
                // SAFETY: the array has that many slots.
                let answer =
                    unsafe { virConnectListDefinedDomains(connection, names.as_mut_ptr(), 3) };
                self.names(answer, &names, 3);
            }
            8 => {
                let answer = virConnectNumOfDefinedDomains(self.handle());
                self.answered(answer, CALLS);
            }
            _ => {
                virConnGetLastError(self.handle());
                let saved = virSaveLastError();
                virResetLastError();
                // SAFETY: from virSaveLastError, not freed before.
                unsafe { virFreeError(saved) };
            }
        }
    }

    /// Frees whatever is still live, as often as it takes.
    fn free_all(&mut self) {
        for handle in std::mem::take(&mut self.handles).into_iter().rev() {
            while virDomainSnapshotFree(handle.cast()) == 0 {}
            while virDomainFree(handle.cast()) == 0 {}
            while virConnectClose(handle.cast()) >= 0 {}
        }
    }
}
