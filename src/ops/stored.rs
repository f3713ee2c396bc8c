//! Texts on their way into the store: none goes in that would not come out again.
//!
//! A document that was accepted can outgrow a bound before it is stored: inside of a snapshot a
//! definition stands one level deeper, and namespaces of the document around it are declared anew.

use crate::error::{Error, Result};
use crate::limits;
use crate::snapshot::Snapshot;
use crate::xml;

/// A snapshot's document as it is stored.
pub(super) fn document(snapshot: &Snapshot, active: bool) -> Result<String> {
    let text = xml::format(snapshot, xml::Form::Stored { active });
    check_size("snapshot document", &text, limits::STATE_FILE_BYTES)?;
    xml::parse(&text, xml::Mode::Load)?;
    Ok(text)
}

/// Refuses a snapshot that comes in if it leaves no room for another parent: else that parent's
/// deletion could not be stored.
pub(super) fn check_room(snapshot: &Snapshot) -> Result<()> {
    let text = xml::format(snapshot, xml::Form::Stored { active: false });
    check_size("snapshot document", &text, limits::SNAPSHOT_DOCUMENT_BYTES)
}

/// A domain's definition as it is stored.
pub(super) fn definition(text: &str) -> Result<String> {
    check_size("domain definition", text, limits::STATE_FILE_BYTES)?;
    xml::domain_facts(text)?;
    Ok(text.to_owned())
}

fn check_size(what: &'static str, text: &str, limit: usize) -> Result<()> {
    if text.len() > limit {
        return Err(Error::TooLarge { what, limit });
    }
    Ok(())
}
