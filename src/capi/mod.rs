//! The C ABI: libvirt's functions, in front of [`crate::ops`].
//!
//! * `boundary`, `panics`: what every export does: the thread's last error, handles, arguments,
//!   panics.
//! * `handles`, `objects`: the pointers that C holds, and what stands behind them.
//! * `forward`, `snapshot_domain`: what belongs to the real libvirt, and its domains whose snapshots
//!   are kept here.
//! * `strings`: texts and arrays in and out. What C frees comes from `malloc`.
//! * `message`, `last_error`, `dispatch`: an error's words and numbers, where it is kept, who is
//!   told.
//! * `types`, `constants`, `error_constants`: libvirt's declarations.
//! * one file a family of exports: `connection`, `connection_domains`, `close_callback`, `domain`, `domain_facts`,
//!   `snapshot`, `snapshot_list`, `snapshot_handle`, `errors`, `problem`, `size`, `plan`, `event`, `migrate`,
//!   `migrate_libvirt`, `version`.
//!
//! include/virsnap.h is made from this room (tests/header.rs); the exports' comments are its text.

#![allow(
    unsafe_code,
    reason = "raw pointers of C live here and nowhere else; each use has its reason beside it"
)]
#![allow(
    non_camel_case_types,
    non_snake_case,
    reason = "the names are libvirt's, and cbindgen copies them into the header"
)]

mod boundary;
mod callbacks;
mod close_callback;
mod connection;
mod connection_domains;
#[allow(dead_code, reason = "most constants are for C only")]
mod constants;
mod differences;
mod dispatch;
mod domain;
mod domain_facts;
#[allow(dead_code, reason = "most numbers are for C only")]
mod error_constants;
mod errors;
#[allow(dead_code, reason = "the numbers are for C, too")]
mod event;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
#[allow(
    clippy::indexing_slicing,
    reason = "it is for tests, where a panic is an answer"
)]
pub(crate) mod fuzzing;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzzing_place;
mod guest;
mod handles;
mod last_error;
mod message;
#[allow(dead_code, reason = "the flags are for C only")]
mod migrate;
mod migrate_libvirt;
mod objects;
mod opening;
mod owners;
mod panics;
#[allow(dead_code, reason = "the numbers are for C, too")]
mod plan;
#[allow(dead_code, reason = "the flags are for C only")]
mod problem;
mod size;
mod snapshot;
mod snapshot_domain;
mod snapshot_handle;
mod snapshot_list;
mod strings;
/// What owners.rs counts with.
mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}
#[allow(dead_code, reason = "some types are for C only")]
mod types;
mod version;
