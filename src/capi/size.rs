//! How much a snapshot takes. Not libvirt's: there nobody can tell.

use std::ffi::{c_int, c_uint, c_ulong, c_ulonglong};
use std::mem::offset_of;

use super::boundary::{self, count};
use super::types::virDomainSnapshotPtr;
use crate::error::{Error, Family};

/// How much a snapshot takes, in bytes of the host's disks.
#[repr(C)]
pub struct _virSnapSize {
    /// sizeof(virSnapSize), which the caller sets: later versions of the library have more members.
    pub size: c_ulong,
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

/// Bytes of the members that the first version has.
const FIRST_VERSION: usize = offset_of!(virSnapSize, unknown) + size_of::<c_int>();

/// Tells how much a snapshot takes, and how much deleting it would give back.
///
/// @snapshot: a snapshot
/// @size: where to store the sizes; its first member tells how many bytes it has
/// @flags: not used; 0
///
/// Images are read themselves, without a program and without a lock, so a guest may have them open;
/// then the numbers are those of an instant. The cost is that of reading the tables of its images: 8
/// bytes for each cluster that the snapshot has.
///
/// Nothing is stored beyond size->size bytes, so a program may be older than the library. Members that the
/// library is too old for, and size->size itself, stay what they were.
///
/// Returns 0, or -1 in case of error; then nothing is stored.
///
/// Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (size is NULL, size->size is
/// less than virsnap 0.1.0 has, a flag), VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone),
/// VIR_ERR_NO_MEMORY.
/// Threads: any. Ownership: nothing changes hands.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// size is NULL, or its first member is readable and tells how many bytes from there on are writable.
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
        // SAFETY: not NULL, checked above, and so its first member is readable by this function's contract.
        let bytes = unsafe { size.cast::<c_ulong>().read() };
        if usize::try_from(bytes).unwrap_or(0) < FIRST_VERSION {
            return Err(Error::StructureTooSmall {
                function: FUNCTION,
                argument: "size",
                least: FIRST_VERSION,
                family: Family::Snapshot,
            });
        }
        let found = snapshot.domain.now()?.size(snapshot.name())?;
        let value = virSnapSize {
            size: bytes,
            occupied: found.occupied,
            freed: found.freed,
            memory: found.memory,
            unknown: count(found.unknown),
        };
        // SAFETY: its first member tells how much is writable, by this function's contract.
        unsafe { store(size, &value) };
        Ok(0)
    })
}

/// Stores as much of the sizes as the place has room for.
///
/// # Safety
///
/// As many bytes as the value's first member says are writable.
unsafe fn store(place: virSnapSizePtr, value: &virSnapSize) {
    let room = usize::try_from(value.size).unwrap_or(usize::MAX);
    let bytes = room.min(size_of::<virSnapSize>());
    let from = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: not more than the value has, and than is writable by this contract; a value of ours is in
    // nobody else's memory.
    unsafe { place.cast::<u8>().copy_from_nonoverlapping(from, bytes) };
}
