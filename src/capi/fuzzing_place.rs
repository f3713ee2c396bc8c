//! Where a session's domains are: on a simulated disk, or in a directory that is removed at the end.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use crate::capi::connection::{virConnectOpen, virConnectOpenReadOnly};
use crate::capi::objects::new_connection;
use crate::capi::types::virConnectPtr;
use crate::fuzzing::memory;
use crate::ops::fuzzing::Driver;
use crate::ops::{Access, Connection};
use crate::store::disk::Disk;

/// Where the domains of one session are.
pub(super) enum Place {
    /// A disk, and the driver that the open connections share.
    Memory(Disk, RefCell<Weak<Driver>>),
    /// A directory and its URI.
    Directory(PathBuf, CString),
}

/// The URI of what is in memory: it can be asked for, not opened.
const MEMORY: &CStr = c"virsnap:///memory";

impl Place {
    /// An empty disk in memory.
    pub(super) fn memory() -> Place {
        Place::Memory(Disk::new(), RefCell::default())
    }

    /// A directory that nothing has.
    pub(super) fn directory() -> Place {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("virsnap-fuzz-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let uri = CString::new(format!("virsnap://{}?redefine_check=trust", path.display()))
            .unwrap_or_default();
        Place::Directory(path, uri)
    }

    /// What its connections say that they are connected to.
    pub(super) fn uri(&self) -> &CStr {
        match self {
            Place::Memory(..) => MEMORY,
            Place::Directory(_, uri) => uri,
        }
    }

    /// Opens a connection, as C does; NULL if that fails.
    pub(super) fn open(&self, access: Access) -> virConnectPtr {
        match (self, access) {
            (Place::Memory(disk, shared), _) => {
                in_memory(disk, shared, access).unwrap_or(ptr::null_mut())
            }
            (Place::Directory(_, uri), Access::ReadWrite) => {
                // SAFETY: the text is a CString.
                unsafe { virConnectOpen(uri.as_ptr()) }
            }
            (Place::Directory(_, uri), Access::ReadOnly) => {
                // SAFETY: the text is a CString.
                unsafe { virConnectOpenReadOnly(uri.as_ptr()) }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::Directory(path, _) = self {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// As for a directory, the driver goes with its last connection, and the next one loads anew.
fn in_memory(disk: &Disk, shared: &RefCell<Weak<Driver>>, access: Access) -> Option<virConnectPtr> {
    let open = shared.borrow().upgrade();
    let driver = open.or_else(|| memory::driver(disk).ok())?;
    shared.replace(Arc::downgrade(&driver));
    let connection = Connection::on(driver, MEMORY.to_str().ok()?, access);
    Some(new_connection(connection, "virConnectOpen").ok()?.give())
}
