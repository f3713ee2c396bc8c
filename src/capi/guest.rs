//! Running guests: their monitor, a program's own hands, and stopping what takes long. Not
//! libvirt's: there the driver starts the guests.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::path::PathBuf;
use std::sync::Arc;

use super::boundary::{self, Call};
use super::callbacks::{Registered, note_cause, virSnapDomainCallbacks};
use super::strings;
use super::types::virDomainPtr;
use crate::error::{Error, Family, Result};
use crate::ops::Hooks;

/// Attaches the monitor of a running guest to a domain, or takes it away.
///
/// @domain: a domain of an embedded connection
/// @monitor: path of the guest's QMP socket (QEMU: `-qmp unix:PATH,server=on,wait=off`), or NULL to
/// let the guest go
/// @agent: path of the guest agent's socket, or NULL if there is none
/// @flags: not used; 0
///
/// From now on the domain's state is the guest's, and snapshots are taken of it while it runs. When
/// the monitor's connection ends, the guest is taken for gone and the domain for shut off. The
/// connection is the library's own: a guest that the program talks to needs a second socket for
/// that. Each answer may take 30 seconds, or what the connection's URI says (monitor_reply=90). The agent is asked when a snapshot is to be quiesced, by a connection of its own each time.
///
/// Returns 0, or -1 in case of error; then what was attached before stays.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
/// VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_DOMAIN (gone), VIR_ERR_OPERATION_FAILED (no monitor
/// there), VIR_ERR_OPERATION_TIMEOUT (it does not answer).
/// Threads: any. Ownership: nothing changes hands.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// monitor and agent are NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainSetMonitor(
    domain: virDomainPtr,
    monitor: *const c_char,
    agent: *const c_char,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainSetMonitor";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.domain(domain)?;
        // SAFETY: NULL or NUL-terminated by this function's contract.
        let monitor = unsafe { path(call, monitor, "monitor") }?;
        // SAFETY: as above.
        let agent = unsafe { path(call, agent, "agent") }?;
        call.writable(&domain.connection)?;
        call.known_flags(flags, 0)?;
        let reply = domain.connection.connection.monitor_reply();
        let domain = domain.now()?;
        match monitor {
            Some(monitor) => domain.guest()?.attach(&monitor, agent.as_deref(), reply)?,
            None => domain.guest()?.detach(),
        }
        Ok(0)
    })
}

/// Puts a program's own hands in place of the library's, for one domain, in this process.
///
/// @domain: a domain of an embedded connection
/// @callbacks: the functions, their size first; NULL to take them all away
/// @opaque: handed to each of them
/// @flags: not used; 0
///
/// The structure is copied. A size larger than this library's is taken if what this library does
/// not know of is all NULL.
///
/// Returns 0, or -1 in case of error; then the callbacks from before stay, and release is not
/// called.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
/// VIR_ERR_INVALID_ARG (a flag, or a size that is none), VIR_ERR_NO_DOMAIN (gone).
/// Threads: any. Ownership: opaque is the library's until it calls release, which may be in any
/// thread: when the callbacks are replaced, the domain goes, or the last connection to the state directory
/// is closed; at the end of the call that does so. It may call this library.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// callbacks is NULL, or its first member is the number of readable bytes behind it; its functions
/// are as virSnapDomainCallbacks says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapDomainSetCallbacks(
    domain: virDomainPtr,
    callbacks: *const virSnapDomainCallbacks,
    opaque: *mut c_void,
    flags: c_uint,
) -> c_int {
    const FUNCTION: &str = "virSnapDomainSetCallbacks";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.domain(domain)?;
        call.writable(&domain.connection)?;
        call.known_flags(flags, 0)?;
        let domain = domain.now()?;
        let hooks = if callbacks.is_null() {
            None
        } else {
            // SAFETY: not NULL, and sized by its first member, by this function's contract.
            let functions =
                unsafe { copied(callbacks) }.ok_or(Error::CallbacksSize { function: FUNCTION })?;
            // Whether there is a place for them is asked first: on failure release must not be called.
            domain.guest()?;
            Some(Arc::new(Registered::new(functions, opaque)) as Arc<dyn Hooks>)
        };
        domain.guest()?.set_hooks(hooks);
        Ok(0)
    })
}

/// Asks the long operation that runs on a domain to stop and to take back what it did.
///
/// @domain: a domain of an embedded connection
/// @flags: not used; 0
///
/// What is asked for when nothing runs is forgotten. The operation ends with
/// VIR_ERR_OPERATION_ABORTED, or succeeds if it was too late to stop it. A deletion that has begun to
/// merge images cannot be taken back: it stops for now, and the next change of the domain finishes it.
///
/// Returns 0, or -1 in case of error.
///
/// Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
/// VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_DOMAIN (gone).
/// Threads: any, while another one is in the operation. Ownership: nothing changes hands.
/// Since: virsnap 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn virSnapDomainCancel(domain: virDomainPtr, flags: c_uint) -> c_int {
    const FUNCTION: &str = "virSnapDomainCancel";
    boundary::enter(FUNCTION, Family::Domain, -1, |call| {
        let domain = call.domain(domain)?;
        call.writable(&domain.connection)?;
        call.known_flags(flags, 0)?;
        domain.now()?.guest()?.cancel();
        Ok(0)
    })
}

/// Tells why a callback is about to fail. It becomes the end of the error's message.
///
/// @message: the cause, or NULL for none
///
/// Errors: none. Threads: the one that the callback was called in. Ownership: message is copied.
/// Since: virsnap 0.1.0.
///
/// # Safety
///
/// message is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virSnapSetCallbackError(message: *const c_char) {
    boundary::enter_quietly((), || {
        if message.is_null() {
            note_cause(None);
            return Some(());
        }
        // SAFETY: not NULL, and NUL-terminated by this function's contract.
        note_cause(unsafe { strings::copy_in(message) });
        Some(())
    });
}

/// A path that may be left out.
///
/// # Safety
///
/// `text` is NULL or NUL-terminated.
unsafe fn path(
    call: &mut Call,
    text: *const c_char,
    name: &'static str,
) -> Result<Option<PathBuf>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: NUL-terminated, by this contract.
    let text = unsafe { call.text(text, name) }?;
    Ok(Some(PathBuf::from(text)))
}

/// Copies a structure of this, an older or a newer version.
///
/// # Safety
///
/// The first member is the number of readable bytes.
unsafe fn copied(callbacks: *const virSnapDomainCallbacks) -> Option<virSnapDomainCallbacks> {
    const OURS: usize = size_of::<virSnapDomainCallbacks>();
    const WORD: usize = size_of::<usize>();
    // SAFETY: readable, by this contract.
    let size = unsafe { callbacks.cast::<usize>().read() };
    if size < WORD || !size.is_multiple_of(WORD) {
        return None;
    }
    // Functions that we do not know of cannot be called.
    for place in OURS / WORD..size / WORD {
        // SAFETY: within the size, by this contract.
        let word = unsafe { callbacks.cast::<usize>().add(place) };
        // SAFETY: as above.
        if unsafe { word.read() } != 0 {
            return None;
        }
    }
    let mut copy = virSnapDomainCallbacks::NONE;
    let bytes = size.min(OURS);
    // SAFETY: that many bytes are readable, by this contract, and writable in the copy; functions
    // that an older version does not have stay NULL.
    unsafe {
        callbacks
            .cast::<u8>()
            .copy_to_nonoverlapping((&raw mut copy).cast::<u8>(), bytes);
    }
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// # Safety
    ///
    /// Nothing is asked of the caller; the type of a callback is unsafe.
    unsafe extern "C" fn one(_: *mut c_void) -> c_int {
        1
    }

    #[test]
    fn older_and_newer_structures_are_read() {
        let mut whole = [0usize; 20];
        whole[0] = 16;
        whole[1] = one as *const () as usize;
        whole[2] = one as *const () as usize;
        // SAFETY: 16 readable bytes, as the first says.
        let old = unsafe { copied(whole.as_ptr().cast()) }.unwrap();
        assert!(old.getState.is_some() && old.getDefinition.is_none());
        whole[2] = 0;
        whole[0] = size_of_val(&whole);
        // SAFETY: that many readable bytes.
        let new = unsafe { copied(whole.as_ptr().cast()) }.unwrap();
        assert!(new.getState.is_some());
        whole[19] = 1;
        // SAFETY: as above.
        assert!(unsafe { copied(whole.as_ptr().cast()) }.is_none());
        for size in [0, 4, 9] {
            whole[0] = size;
            // SAFETY: as above.
            assert!(unsafe { copied(whole.as_ptr().cast()) }.is_none());
        }
    }
}
