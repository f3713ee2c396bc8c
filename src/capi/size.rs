//! How much a snapshot takes. Not libvirt's: there nobody can tell.

use std::ffi::{c_int, c_uint, c_ulonglong};

use super::boundary::{self, count};
use super::types::virDomainSnapshotPtr;
use crate::error::Family;

/// How much a snapshot takes, in bytes of the host's disks.
#[repr(C)]
pub struct _virSnapSize {
    /// What its data takes: of internal disks the clusters that it uses, alone or with others; of
    /// external ones the file that keeps its content, without those below; its memory file; the copy
    /// of firmware and TPM.
    pub occupied: c_ulonglong,
    /// What deleting it alone, with flags 0, would give back.
    pub freed: c_ulonglong,
    /// Of occupied: saved memory of the guest.
    pub memory: c_ulonglong,
    /// Number of files that could not be looked at. What they take is not in the other numbers.
    pub unknown: c_int,
}
/// How much a snapshot takes, in bytes of the host's disks.
pub type virSnapSize = _virSnapSize;
/// A pointer to it.
pub type virSnapSizePtr = *mut virSnapSize;

/// Tells how much a snapshot takes, and how much deleting it would give back.
///
/// @snapshot: a snapshot
/// @size: where to store the sizes
/// @flags: not used; 0
///
/// Images are read themselves, without a program and without a lock, so a guest may have them open;
/// then the numbers are those of an instant. The cost is that of reading the tables of its images: 8
/// bytes for each cluster that the snapshot has.
///
/// Returns 0, or -1 in case of error; then nothing is stored.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (size is NULL, a flag),
/// VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone), VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: nothing changes hands.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// size is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainSnapshotGetSize(
    snapshot: virDomainSnapshotPtr,
    size: virSnapSizePtr,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainSnapshotGetSize";
    boundary::enter(FUNCTION, Family::Snapshot, -1, |call| {
        let snapshot = call.snapshot(snapshot)?;
        call.not_null(size, "size")?;
        call.known_flags(flags, 0)?;
        let found = snapshot.domain.now()?.size(snapshot.name())?;
        let value = virSnapSize {
            occupied: found.occupied,
            freed: found.freed,
            memory: found.memory,
            unknown: count(found.unknown),
        };
        // SAFETY: not NULL, checked above, and so writable by this function's contract.
        unsafe { size.write(value) };
        Ok(0)
    })
}
