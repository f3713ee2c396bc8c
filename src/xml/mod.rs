//! `<domainsnapshot>` in and out, and the few facts read from `<domain>`.
//!
//! Texts only: no files, no hierarchy. Rules, defaults, errors and layout are libvirt 9.0.0's.

mod abi;
mod align;
mod capacity;
mod cookie;
mod definitions;
mod disk;
mod document;
mod domain;
mod element;
mod escape;
mod firmware;
mod format;
mod identity;
mod layers;
mod parse;
mod paths;
mod plain;
mod schema;
mod sources;
mod verbatim;

#[cfg(test)]
mod properties;

pub use abi::check_guest_abi;
pub use align::{Participation, align};
pub use capacity::capacity;
pub use cookie::Cookie;
pub use definitions::Definitions;
pub(crate) use document::{Kind as DocumentKind, not_utf8, room_for};
pub use domain::{DomainDisk, DomainFacts, domain_facts};
pub use firmware::{FirmwareRecord, Nvram, TpmState, firmware_record, set_firmware_record};
pub use format::{Form, format};
pub use identity::{named_and_identified, named_request};
pub use layers::{LayerRecord, layer_records, set_layer_records};
pub use parse::{Mode, Parsed, parse, parse_with};
pub use paths::Mapping;
pub use schema::validate;
pub use sources::{NewSource, with_sources};
pub use verbatim::{as_definition, nested, unnested, without_secrets};
