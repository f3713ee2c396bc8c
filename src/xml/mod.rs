//! `<domainsnapshot>` in and out, and the few facts read from `<domain>`.
//!
//! Texts only: no files, no hierarchy. Rules, defaults, errors and layout are libvirt 9.0.0's.

mod align;
mod disk;
mod document;
mod domain;
mod escape;
mod format;
mod identity;
mod parse;
mod source;
mod verbatim;

#[cfg(test)]
mod properties;

pub use align::{Participation, align};
pub use domain::{DomainDisk, DomainFacts, domain_facts};
pub use format::{Form, format};
pub use identity::named_and_identified;
pub use parse::{Mode, Parsed, parse};
pub use source::{NewSource, with_sources};
pub use verbatim::{nested, unnested, without_secrets};
