//! What the data of snapshots has different from their metadata. No libvirt has this.

use std::ffi::{c_char, c_int, c_uint};

use super::boundary::{self, Call, count};
use super::strings::{self, MallocString};
use super::types::virDomainPtr;
use crate::error::{Family, Result};
use crate::ops::{NamedDifference, Verdict};
use crate::xml::DocumentKind;

/// Which differences are listed; neither means both.
#[allow(dead_code, reason = "C's word for the numbers")]
#[repr(C)]
pub enum virSnapListDifferencesFlags {
    /// Data that is not as the metadata says.
    VIR_SNAP_LIST_DIFFERENCES_DIFFERING = 1,
    /// Data that cannot be looked at from here: of it nothing is known to be wrong.
    VIR_SNAP_LIST_DIFFERENCES_UNCHECKED = 2,
}

const DIFFERING: c_uint =
    virSnapListDifferencesFlags::VIR_SNAP_LIST_DIFFERENCES_DIFFERING as c_uint;
const UNCHECKED: c_uint =
    virSnapListDifferencesFlags::VIR_SNAP_LIST_DIFFERENCES_UNCHECKED as c_uint;

/// Lists what the data of snapshots has different from their metadata. Nothing is changed.
///
/// @domain: a domain
/// @xmlDesc: a `<domainsnapshot>` document, to learn what VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE of it
/// would find; or NULL for all snapshots that the domain has
/// @differences: where to store the array of texts; NULL to count them only
/// @flags: bitwise-OR of virSnapListDifferencesFlags
///
/// Images are read themselves, without a program and without a lock, so a guest may have them open.
/// An internal snapshot must stand once in the table of each image; of an external one the image
/// must be there and readable down to the end of its chain, and its overlay must name it, in its
/// format; a memory file, and the copy of firmware and TPM, must be there. A text names snapshot, disk, image and what was found.
///
/// Returns the number of differences, or -1 in case of error. The array has a NULL behind the last.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
/// VIR_ERR_NO_DOMAIN (gone), VIR_ERR_NO_MEMORY, and for a bad document those of
/// virDomainSnapshotCreateXML(). *differences is NULL then.
/// Threads: any. Ownership: the caller frees each text and the array with free().
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// xmlDesc is NULL or NUL-terminated; differences is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainListDifferences(
    domain: virDomainPtr,
    xmlDesc: *const c_char,
    differences: *mut *mut *mut c_char,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainListDifferences";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        if !differences.is_null() {
            // SAFETY: not NULL, and so writable by this function's contract.
            unsafe { differences.write(std::ptr::null_mut()) };
        }
        let domain = call.snapshot_domain(domain)?;
        call.known_flags(flags, DIFFERING | UNCHECKED)?;
        let domain = domain.now()?;
        let found = if xmlDesc.is_null() {
            domain.differences()?
        } else {
            // SAFETY: not NULL, and so NUL-terminated by this function's contract.
            let xml = unsafe { call.document(xmlDesc, "xmlDesc", DocumentKind::Snapshot) }?;
            domain.differences_of_document(&xml)?
        };
        let texts: Vec<String> = found
            .iter()
            .filter(|found| is_asked_for(found, flags))
            .map(text)
            .collect();
        if !differences.is_null() {
            let array = give(call, &texts)?;
            // SAFETY: not NULL, and so writable by this function's contract.
            unsafe { differences.write(array) };
        }
        Ok(count(texts.len()))
    })
}

fn is_asked_for(found: &NamedDifference, flags: c_uint) -> bool {
    let bit = match found.difference.verdict {
        Verdict::Differs => DIFFERING,
        Verdict::Unchecked => UNCHECKED,
    };
    flags == 0 || flags & bit != 0
}

fn text(found: &NamedDifference) -> String {
    let difference = &found.difference;
    format!(
        "snapshot '{}', {}: {}",
        found.snapshot,
        difference.place(),
        difference.found
    )
}

/// Copies texts into an array of C's.
fn give(call: &Call, texts: &[String]) -> Result<*mut *mut c_char> {
    let strings: Option<Vec<MallocString>> =
        texts.iter().map(|text| MallocString::new(text)).collect();
    let strings = strings.ok_or_else(|| call.out_of_memory())?;
    let empty = vec![std::ptr::null_mut::<c_char>(); texts.len()];
    let array = strings::malloc_array(&empty).ok_or_else(|| call.out_of_memory())?;
    // SAFETY: the new array has as many slots as there are texts.
    unsafe { strings::fill(array.as_ptr(), strings) };
    Ok(array.as_ptr())
}
