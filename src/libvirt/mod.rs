//! The real libvirt, where it is in the process: found at run time, asked and told through its
//! public functions.
//!
//! Nothing happens before somebody asks, and nothing of the process is changed: no handler is
//! swapped, no variable set. libvirt tells the program's error handler of each of its calls that
//! fails, also of those made here; so only such calls are made here that succeed in the normal
//! course, and a failure is handed on as it is ([`Error::Libvirt`]) and not told again.
//!
//! [`Error::Libvirt`]: crate::error::Error::Libvirt

#![allow(
    unsafe_code,
    reason = "functions of another library, found by name, can be called no other way"
)]

mod connections;
mod domain;
mod functions;
mod library;
mod lifecycle;
mod saved;
mod snapshot;
mod text;

pub use connections::{Rights, Session, closed, free_domain, is_closed, opened, session};
pub use domain::{Domain, Driver};
pub use functions::ErrorHandler;
pub use library::{Libvirt, find, known, load};
pub use saved::Saved;
pub use snapshot::Snapshot;
