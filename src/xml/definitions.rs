//! What a domain's snapshots have in common: the domain definitions, and the disks, that were read lately.
//!
//! A domain's snapshots hold the same definition again and again, and the same disks. Each is read once, and kept
//! once.

use std::sync::Arc;

use super::domain::{DomainFacts, domain_facts};
use super::{document, plain};
use crate::error::Result;
use crate::snapshot::{Disk, Snapshot};

/// How many are remembered: a domain is seldom redefined, and one snapshot's neighbours have its
/// definition or the one before.
const REMEMBERED: usize = 16;

/// Larger ones are not remembered: together with the rest of its document's bounds, they need not be
/// counted again.
const REMEMBERED_BYTES: usize = 256 * 1024;

/// How many lists of disks are remembered: a domain is seldom given other disks.
const REMEMBERED_DISKS: usize = 4;

/// Disks of the longest list that is remembered.
const MOST_DISKS: usize = 256;

/// Definitions with their facts, the one used last at the end; and lists of disks, the newest at the end.
#[derive(Debug, Default)]
pub struct Definitions {
    entries: Vec<Entry>,
    disks: Vec<Arc<[Disk]>>,
}

#[derive(Clone, Debug)]
struct Entry {
    text: Arc<str>,
    facts: Arc<DomainFacts>,
    /// Whether it may stand in a document as it is.
    nests: bool,
    /// Whether it has nothing that looks like a secret, once that was asked.
    hides_nothing: Option<bool>,
}

impl Definitions {
    /// The facts of a definition, as [`domain_facts`] reads them.
    pub fn facts(&mut self, text: &Arc<str>) -> Result<Arc<DomainFacts>> {
        if let Some(at) = self.position(text) {
            let entry = self.entries.remove(at);
            let facts = Arc::clone(&entry.facts);
            self.entries.push(entry);
            return Ok(facts);
        }
        let facts = Arc::new(domain_facts(text)?);
        if text.len() <= REMEMBERED_BYTES {
            if self.entries.len() >= REMEMBERED {
                self.entries.remove(0);
            }
            self.entries.push(Entry {
                text: Arc::clone(text),
                facts: Arc::clone(&facts),
                nests: nests(text),
                hides_nothing: None,
            });
        }
        Ok(facts)
    }

    /// Remembers those of the texts that are definitions, the last ones, as many as there is room for.
    pub fn remember(&mut self, texts: &[Arc<str>]) {
        let is_definition = |text: &&Arc<str>| text.starts_with("<domain");
        let definitions = texts.iter().rev().filter(is_definition);
        let last: Vec<_> = definitions.take(REMEMBERED).collect();
        for text in last.into_iter().rev() {
            // One that cannot be read has no facts to remember.
            let _ = self.facts(text);
        }
    }

    /// The text, in the copy that is remembered if there is one.
    pub fn shared(&self, text: &str) -> Arc<str> {
        match self.position(text).and_then(|at| self.entries.get(at)) {
            Some(entry) => Arc::clone(&entry.text),
            None => text.into(),
        }
    }

    /// Gives a snapshot the list of disks that is remembered, where it has an equal one.
    pub fn share_disks(&mut self, snapshot: &mut Snapshot) {
        // With files of its own it is like no other.
        let is_like_others = snapshot.disks.iter().all(|disk| disk.image.is_none());
        if !is_like_others || snapshot.disks.len() > MOST_DISKS {
            return;
        }
        match self.disks.iter().rfind(|disks| ***disks == *snapshot.disks) {
            Some(disks) => snapshot.disks = Arc::clone(disks),
            None => {
                if self.disks.len() >= REMEMBERED_DISKS {
                    self.disks.remove(0);
                }
                self.disks.push(Arc::clone(&snapshot.disks));
            }
        }
    }

    /// The definition that begins a text, if it is known.
    pub(super) fn at_start_of(&self, text: &str) -> Option<Arc<str>> {
        let is_there = |entry: &&Entry| entry.nests && text.starts_with(&*entry.text);
        let entry = self.entries.iter().rev().find(is_there)?;
        Some(Arc::clone(&entry.text))
    }

    /// Whether a snapshot's document is known to be the same with secrets and without: nothing of it
    /// is from elsewhere than the domain's definitions, and they are remembered as having none.
    pub fn hide_nothing_in(&mut self, snapshot: &Snapshot) -> bool {
        let disks = snapshot.disks.iter().chain(&snapshot.revert_disks);
        let mut images = disks.filter_map(|disk| disk.image.as_deref());
        let mut texts = [&snapshot.domain, &snapshot.inactive_domain]
            .into_iter()
            .flatten();
        snapshot.cookie.is_none()
            && snapshot.other.is_empty()
            && images.all(|image| image.source.is_none())
            && texts.all(|text| self.hides_nothing(text))
    }

    fn hides_nothing(&mut self, text: &Arc<str>) -> bool {
        let mut entries = self.entries.iter_mut().rev();
        let entry = entries.find(|entry| Arc::ptr_eq(&entry.text, text));
        entry.is_some_and(|entry| {
            *entry
                .hides_nothing
                .get_or_insert_with(|| !document::may_hold_secrets(&entry.text))
        })
    }

    fn position(&self, text: &str) -> Option<usize> {
        self.entries.iter().rposition(|entry| *entry.text == *text)
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
    fn equal_lists_of_disks_are_kept_once() {
        let snapshot = |disks: &str| {
            let text = format!(
                "<domainsnapshot><name>a</name><state>shutoff</state>\
                 <creationTime>1</creationTime><disks>{disks}</disks></domainsnapshot>"
            );
            let mode = crate::xml::Mode::Redefine;
            crate::xml::parse(&text, mode).unwrap().snapshot
        };
        let mut definitions = Definitions::default();
        let mut is_shared = |one: &str, other: &str| {
            let (mut one, mut other) = (snapshot(one), snapshot(other));
            definitions.share_disks(&mut one);
            definitions.share_disks(&mut other);
            Arc::ptr_eq(&one.disks, &other.disks)
        };
        let internal = "<disk name='vda' snapshot='internal'/>";
        assert!(is_shared(internal, internal));
        assert!(!is_shared(internal, "<disk name='vda' snapshot='no'/>"));
        assert!(!is_shared(internal, &internal.repeat(2)));
        let overlay = "<disk name='vda' snapshot='external'><source file='/a'/></disk>";
        assert!(!is_shared(overlay, overlay));
        for other in 0..=REMEMBERED_DISKS {
            is_shared(internal, &internal.repeat(other));
        }
        assert!(definitions.disks.len() <= REMEMBERED_DISKS);
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
    fn a_document_hides_nothing_if_all_of_it_is_known_to() {
        let mut definitions = Definitions::default();
        let open = definition(1);
        let secret: Arc<str> = open.replace("</os>", "</os><!-- passwd -->").into();
        for text in [&open, &secret] {
            definitions.facts(text).unwrap();
        }
        let document = "<domainsnapshot><name>a</name></domainsnapshot>";
        let bare = crate::xml::parse(
            document,
            crate::xml::Mode::Create {
                now: 0,
                offline: true,
            },
        )
        .unwrap()
        .snapshot;
        let of = |text: &Arc<str>| Snapshot {
            domain: Some(Arc::clone(text)),
            ..bare.clone()
        };
        assert!(definitions.hide_nothing_in(&bare));
        assert!(definitions.hide_nothing_in(&of(&open)));
        assert!(!definitions.hide_nothing_in(&of(&secret)));
        // Equal, but nobody has looked at it.
        assert!(!definitions.hide_nothing_in(&of(&definition(1))));
        let with = |change: fn(&mut Snapshot)| {
            let mut snapshot = of(&open);
            change(&mut snapshot);
            snapshot
        };
        for other in [
            with(|snapshot| snapshot.inactive_domain = Some("<inactiveDomain/>".into())),
            with(|snapshot| snapshot.cookie = Some("<cookie/>".into())),
            with(|snapshot| snapshot.other = vec!["<x passwd='y'/>".into()]),
        ] {
            assert!(!definitions.hide_nothing_in(&other));
        }
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
