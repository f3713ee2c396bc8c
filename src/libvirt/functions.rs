//! libvirt's functions, typed. Source: the headers of libvirt 9.0.0.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_void};
use std::ptr::NonNull;

/// What stands behind a virConnectPtr, a virDomainPtr, a virDomainSnapshotPtr: never looked into.
pub type Opaque = c_void;

/// A virErrorFunc.
pub type ErrorHandler = Option<unsafe extern "C" fn(*mut c_void, *mut RawError)>;

/// The beginning of a virError. Only libvirt makes them.
#[repr(C)]
pub struct RawError {
    pub(super) code: c_int,
    pub(super) domain: c_int,
    pub(super) message: *const c_char,
}

/// Declares a table of functions, and how it is filled.
macro_rules! functions {
    ($(#[$meta:meta])* $table:ident { $($name:ident($($argument:ty),*) $(-> $result:ty)?;)* }) => {
        $(#[$meta])*
        #[allow(non_snake_case, reason = "the names are libvirt's")]
        pub(super) struct $table {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl $table {
            /// All of them, or none.
            pub(super) fn of(
                symbol: impl Fn(&CStr) -> Option<NonNull<c_void>>,
            ) -> Option<$table> {
                Some($table {
                    $($name: {
                        let name = concat!(stringify!($name), "\0");
                        let address = symbol(CStr::from_bytes_with_nul(name.as_bytes()).ok()?)?;
                        // SAFETY: libvirt's header declares the function of this name so, and
                        // POSIX lets what dlsym() answers be called (dlsym, RATIONALE).
                        unsafe {
                            std::mem::transmute::<
                                *mut c_void,
                                unsafe extern "C" fn($($argument),*) $(-> $result)?,
                            >(address.as_ptr())
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    /// Functions of libvirt's public headers.
    Public {
        virInitialize() -> c_int;
        virSaveLastError() -> *mut RawError;
        virFreeError(*mut RawError);
        virGetLastError() -> *mut RawError;
        virResetLastError();
        virSetErrorFunc(*mut c_void, ErrorHandler);
        virConnectRef(*mut Opaque) -> c_int;
        virConnectClose(*mut Opaque) -> c_int;
        virConnectGetType(*mut Opaque) -> *const c_char;
        virConnectGetURI(*mut Opaque) -> *mut c_char;
        virDomainRef(*mut Opaque) -> c_int;
        virDomainFree(*mut Opaque) -> c_int;
        virDomainGetConnect(*mut Opaque) -> *mut Opaque;
        virDomainGetName(*mut Opaque) -> *const c_char;
        virDomainGetUUID(*mut Opaque, *mut c_uchar) -> c_int;
        virDomainGetState(*mut Opaque, *mut c_int, *mut c_int, c_uint) -> c_int;
        virDomainGetXMLDesc(*mut Opaque, c_uint) -> *mut c_char;
        virDomainIsActive(*mut Opaque) -> c_int;
        virConnectListAllDomains(*mut Opaque, *mut *mut *mut Opaque, c_uint) -> c_int;
        virDomainDefineXML(*mut Opaque, *const c_char) -> *mut Opaque;
        virDomainHasManagedSaveImage(*mut Opaque, c_uint) -> c_int;
        virDomainCreateWithFlags(*mut Opaque, c_uint) -> c_int;
        virDomainUndefine(*mut Opaque) -> c_int;
        virDomainUndefineFlags(*mut Opaque, c_uint) -> c_int;
        virDomainRevertToSnapshot(*mut Opaque, c_uint) -> c_int;
        virDomainSnapshotCreateXML(*mut Opaque, *const c_char, c_uint) -> *mut Opaque;
        virDomainSnapshotNum(*mut Opaque, c_uint) -> c_int;
        virDomainListAllSnapshots(*mut Opaque, *mut *mut *mut Opaque, c_uint) -> c_int;
        virDomainSnapshotLookupByName(*mut Opaque, *const c_char, c_uint) -> *mut Opaque;
        virDomainSnapshotGetName(*mut Opaque) -> *const c_char;
        virDomainSnapshotGetXMLDesc(*mut Opaque, c_uint) -> *mut c_char;
        virDomainHasCurrentSnapshot(*mut Opaque, c_uint) -> c_int;
        virDomainSnapshotCurrent(*mut Opaque, c_uint) -> *mut Opaque;
        virDomainSnapshotDelete(*mut Opaque, c_uint) -> c_int;
        virDomainSnapshotFree(*mut Opaque) -> c_int;
    }
}

functions! {
    /// How an error of ours becomes libvirt's: exported, but not in a header.
    ErrorFunctions {
        virSetError(*mut RawError) -> c_int;
        virDispatchError(*mut Opaque);
    }
}

functions! {
    /// How libvirt tells its own objects: exported, but not in a header.
    ClassFunctions {
        virObjectIsClass(*mut Opaque, *mut Opaque) -> c_int;
    }
}
