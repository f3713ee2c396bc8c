//! The domain definitions that were read lately.
//!
//! A domain's snapshots hold the same definition again and again. It is read once, and kept once.

use std::sync::Arc;

use super::domain::{DomainFacts, domain_facts};
use super::{document, plain};
use crate::error::Result;

/// How many are remembered: a domain is seldom redefined, and one snapshot's neighbours have its
/// definition or the one before.
const REMEMBERED: usize = 16;

/// Larger ones are not remembered: together with the rest of its document's bounds, they need not be
/// counted again.
const REMEMBERED_BYTES: usize = 256 * 1024;

/// Definitions with their facts, the one used last at the end.
#[derive(Debug, Default)]
pub struct Definitions(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    text: Arc<str>,
    facts: Arc<DomainFacts>,
    /// Whether it may stand in a document as it is.
    nests: bool,
}

impl Definitions {
    /// The facts of a definition, as [`domain_facts`] reads them.
    pub fn facts(&mut self, text: &Arc<str>) -> Result<Arc<DomainFacts>> {
        if let Some(at) = self.position(text) {
            let entry = self.0.remove(at);
            let facts = Arc::clone(&entry.facts);
            self.0.push(entry);
            return Ok(facts);
        }
        let facts = Arc::new(domain_facts(text)?);
        if text.len() <= REMEMBERED_BYTES {
            if self.0.len() >= REMEMBERED {
                self.0.remove(0);
            }
            self.0.push(Entry {
                text: Arc::clone(text),
                facts: Arc::clone(&facts),
                nests: nests(text),
            });
        }
        Ok(facts)
    }

    /// The text, in the copy that is remembered if there is one.
    pub(super) fn shared(&self, text: &str) -> Arc<str> {
        match self.position(text).and_then(|at| self.0.get(at)) {
            Some(entry) => Arc::clone(&entry.text),
            None => text.into(),
        }
    }

    /// The definition that begins a text, if it is known.
    pub(super) fn at_start_of(&self, text: &str) -> Option<Arc<str>> {
        let is_there = |entry: &&Entry| entry.nests && text.starts_with(&*entry.text);
        let entry = self.0.iter().rev().find(is_there)?;
        Some(Arc::clone(&entry.text))
    }

    fn position(&self, text: &str) -> Option<usize> {
        self.0.iter().rposition(|entry| *entry.text == *text)
    }
}

/// Whether a definition may stand in a snapshot's document as it is. One that is plain is far less
/// deep than a document may be.
fn nests(text: &str) -> bool {
    plain::read(text, &Definitions::default()).is_some() || document::nests(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: usize) -> Arc<str> {
        format!("<domain type='qemu'><name>{name}</name><os><type>hvm</type></os></domain>").into()
    }

    #[test]
    fn equal_texts_are_kept_once() {
        let mut definitions = Definitions::default();
        let first = definition(1);
        assert_eq!(definitions.facts(&first).unwrap().name, "1");
        assert!(Arc::ptr_eq(&definitions.shared(&definition(1)), &first));
        let in_document = format!("{first}\n</domainsnapshot>");
        let found = definitions.at_start_of(&in_document).unwrap();
        assert!(Arc::ptr_eq(&found, &first));
        assert!(definitions.at_start_of(&definition(2)).is_none());
    }

    #[test]
    fn the_last_used_are_remembered() {
        let mut definitions = Definitions::default();
        for name in 0..=REMEMBERED {
            definitions.facts(&definition(name)).unwrap();
            definitions.facts(&definition(0)).unwrap();
        }
        assert!(definitions.at_start_of(&definition(0)).is_some());
        assert!(definitions.at_start_of(&definition(1)).is_none());
        assert!(definitions.at_start_of(&definition(2)).is_some());
    }

    #[test]
    fn what_is_refused_is_refused_again() {
        let mut definitions = Definitions::default();
        let bad: Arc<str> = "<domain type='qemu'/>".into();
        assert!(definitions.facts(&bad).is_err());
        assert!(definitions.facts(&bad).is_err());
        assert!(definitions.at_start_of(&bad).is_none());
    }
}
