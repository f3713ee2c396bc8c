//! `<domainsnapshot>` in and out, and the few facts read from `<domain>`.
//!
//! Texts only: no files, no hierarchy. Rules, defaults, errors and layout are libvirt 9.0.0's.

mod align;
mod document;
mod domain;
mod format;
mod parse;

pub use align::{Participation, align};
pub use domain::{DomainDisk, DomainFacts, domain_facts, named_and_identified};
pub use format::{Form, format, nested};
pub use parse::{Mode, Parsed, parse};
