//! The store against a simulated disk at each call, and against the machine's file system.

mod commits;
mod edges;
mod faults;
mod machine;
