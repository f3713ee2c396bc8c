//! libvirt's domain snapshot API as one small, crash-safe shared library.
//!
//! The map, one paragraph a room; docs/architecture.md has the reasons.
//!
//! * `capi`: the C ABI. Exports, handles, strings, the thread's last error. Only here do raw
//!   pointers live.
//! * [`ops`]: what an operation means: create, redefine, delete, revert, list, rename, migrate. The
//!   rules of the API.
//! * [`snapshot`], [`tree`]: one snapshot, and the hierarchy of one domain. Pure data, no I/O.
//! * [`xml`]: `<domainsnapshot>` in and out, and the few facts read from `<domain>`.
//! * [`host`]: who the domain is and what state it is in; a running guest's monitor and hooks.
//! * [`data`]: how the guest's state is captured, restored and dropped.
//! * [`libvirt`]: the real libvirt, where it is in the process.
//! * [`store`]: where the metadata lives and how a change becomes durable.
//! * [`error`], [`limits`], `uuid`: the one error type, every bound, UUIDs.
//! * `memory`: what becomes of a call when memory cannot be had.
//! * `sys`: what neither std nor a crate wraps safely.
//!
//! Arrows run one way: `capi → ops → {tree, xml, host, data, store}`.

pub mod data;
pub mod error;
pub mod host;
pub mod libvirt;
pub mod limits;
pub mod ops;
pub mod snapshot;
pub mod store;
pub mod tree;
pub mod xml;

mod capi;
mod memory;
mod printable;
mod sys;
mod uuid;

/// The bodies of the fuzz targets. Not part of the library's interface.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a target ends with a panic where a promise is broken"
)]
pub mod fuzzing;
