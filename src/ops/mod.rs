//! What an operation means: the rules of the API.

mod connection;
mod domain;
mod flags;

pub use connection::{Access, Connection};
pub use domain::{Deletion, Domain, Undefine};
pub use flags::{CreateFlags, DeleteFlags, ListFlags, RevertFlags};
