//! Connections of the real libvirt's come and go through us.

use std::ffi::{c_char, c_int};

use super::dispatch;
use super::strings;
use super::types::virConnectPtr;
use crate::libvirt::{self, Libvirt, Rights};

/// The beginning of the URIs that are ours.
const OURS: &str = "virsnap:";

/// The variable that says what NULL and the empty URI mean.
const DEFAULT_URI: &str = "LIBVIRT_DEFAULT_URI";

/// libvirt, for a URI that is not ours. It is loaded for a URI that names another scheme.
///
/// # Safety
///
/// `name` is NULL or NUL-terminated.
pub(super) unsafe fn libvirt_for(name: *const c_char) -> Option<&'static Libvirt> {
    let given = if name.is_null() {
        Some(String::new())
    } else {
        // SAFETY: NUL-terminated by this contract.
        unsafe { strings::copy_in(name) }
    };
    let uri = match given {
        Some(uri) if uri.is_empty() => std::env::var(DEFAULT_URI).unwrap_or_default(),
        Some(uri) => uri,
        // No text: ours to refuse.
        None => return None,
    };
    if uri.starts_with(OURS) {
        None
    } else if names_a_scheme(&uri) {
        dispatch::loaded_libvirt()
    } else {
        // An alias of libvirt's configuration, or its own default.
        dispatch::libvirt()
    }
}

/// RFC 3986, section 3.1, and the `:` behind it.
fn names_a_scheme(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// Opens, and notes what for.
pub(super) fn noted(
    libvirt: &'static Libvirt,
    rights: Rights,
    open: impl FnOnce() -> virConnectPtr,
) -> virConnectPtr {
    let connection = open();
    if !connection.is_null() {
        libvirt::opened(libvirt, connection.cast(), rights);
    }
    connection
}

/// Closes, and notes how many references are left.
pub(super) fn closed(connection: virConnectPtr, close: impl FnOnce() -> c_int) -> c_int {
    let left = close();
    libvirt::closed(connection.cast(), left);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_told_from_other_names() {
        for uri in ["test:///default", "qemu+ssh://h/system", "a:"] {
            assert!(names_a_scheme(uri), "{uri}");
        }
        for name in ["", "alias", ":", "1:x", "not a uri:x", "/path:x"] {
            assert!(!names_a_scheme(name), "{name}");
        }
    }
}
