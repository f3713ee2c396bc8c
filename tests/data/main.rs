//! Guest data of shut-off domains: what every operation does to real images, told by their content.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever fails here is the test's own failure"
)]

mod create;
mod delete;
mod faults;
mod firmware;
mod firmware_live;
mod guest;
mod plans;
mod redefine;
mod revert;
mod sizes;
mod tpm;
mod trees;
