//! A domain's summary: what its documents said when somebody read them, for who loads them next.
//!
//! The store keeps it and says which state a document's file is in ([`Mark`]); a document whose file is still in
//! the state that was read need not be read again. Everything else is read as if there were no summary, which
//! is also so for one that is torn, of another version or of another domain.
//!
//! The file is [`MAGIC`], a checksum of the rest, [`VERSION`], the domain's UUID, the texts that snapshots share,
//! and an entry a snapshot, ordered by name: the name, how long the rest of the entry is, the mark, whether it
//! is the current one, the snapshot (packed.rs). The checksum is against accidents: who can write here can write
//! documents.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use self::packed::{Packed, Unpacked};
use crate::snapshot::Snapshot;
use crate::store::Mark;
use crate::xml::Definitions;

mod packed;
#[cfg(test)]
mod tests;

const MAGIC: &[u8; 16] = b"virsnap-summary\n";

/// Another one reads the documents anew: it may see other things in them. The number is of the form.
const VERSION: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));

/// A snapshot as it was read.
pub(super) struct Loaded {
    pub snapshot: Arc<Snapshot>,
    /// Whether its document claims that it is the current one.
    pub active: bool,
    /// The mark that its file had, if that is enough to know it again.
    pub mark: Option<Mark>,
}

/// A summary that is being read.
pub(super) struct Summary {
    bytes: Vec<u8>,
    texts: Vec<Arc<str>>,
    /// Where the first entry begins.
    first: usize,
    /// Where the next one begins.
    next: usize,
    count: usize,
}

impl Summary {
    /// Looks whether the summary is whole, of this version and of that domain. The definitions in it become
    /// known.
    pub(super) fn open(
        bytes: Vec<u8>,
        uuid: &[u8; 16],
        known: &mut Definitions,
    ) -> Option<Summary> {
        let (sum, body) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        if u64::from_le_bytes(*sum) != checksum(body) {
            return None;
        }
        let mut rest = Unpacked(body);
        if rest.text()? != VERSION || rest.array()? != *uuid {
            return None;
        }
        let mut texts = Vec::new();
        for _ in 0..rest.count()? {
            texts.push(known.shared(rest.text()?));
        }
        known.remember(&texts);
        let count = rest.count()?;
        let first = bytes.len() - rest.0.len();
        Some(Summary {
            texts,
            first,
            next: first,
            count,
            bytes,
        })
    }

    /// How many snapshots it has.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Begins with the first name again.
    pub(super) fn restart(&mut self) {
        self.next = self.first;
    }

    /// The snapshot of that name, if its file has the mark that it had. Names come in order.
    pub(super) fn find(
        &mut self,
        name: &str,
        mark: impl FnOnce() -> Option<Mark>,
    ) -> Option<Loaded> {
        loop {
            let mut rest = Unpacked(self.bytes.get(self.next..)?);
            let entry_name = rest.text()?;
            let mut entry = rest.part()?;
            match entry_name.cmp(name) {
                Ordering::Greater => return None,
                Ordering::Less => self.next = self.bytes.len() - rest.0.len(),
                Ordering::Equal => {
                    let kept = entry.mark()?;
                    if mark()? != kept {
                        return None;
                    }
                    let active = entry.flag()?;
                    let snapshot = entry.snapshot(name, &self.texts)?;
                    return Some(Loaded {
                        snapshot: Arc::new(snapshot),
                        active,
                        mark: Some(kept),
                    });
                }
            }
        }
    }
}

/// The summary of a domain's snapshots, those with a mark, ordered by name.
pub(super) fn pack(uuid: &[u8; 16], loaded: &[Loaded]) -> Vec<u8> {
    let marked = || {
        loaded
            .iter()
            .filter_map(|loaded| Some((&loaded.snapshot, loaded.active, loaded.mark?)))
    };
    let mut texts = Texts::default();
    for (snapshot, ..) in marked() {
        shared_texts(snapshot).for_each(|text| texts.add(text));
    }
    let mut out = Packed(MAGIC.to_vec());
    let (sum_at, body_at) = (out.0.len(), out.0.len() + size_of::<u64>());
    out.0.resize(body_at, 0);
    out.text(VERSION);
    out.0.extend(uuid);
    out.count(texts.all.len());
    for text in &texts.all {
        out.text(text);
    }
    out.count(marked().count());
    for (snapshot, active, mark) in marked() {
        out.text(&snapshot.name);
        out.part(|entry| {
            entry.mark(&mark);
            entry.flag(active);
            entry.snapshot(snapshot, &texts);
        });
    }
    let sum = checksum(out.0.get(body_at..).unwrap_or_default());
    out.put(sum_at, sum.to_le_bytes());
    out.0
}

/// The texts that a snapshot may share with others.
fn shared_texts(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<str>> {
    let texts = [
        &snapshot.domain,
        &snapshot.inactive_domain,
        &snapshot.cookie,
    ];
    texts.into_iter().flatten()
}

/// The texts that snapshots share, each once.
#[derive(Default)]
struct Texts<'a> {
    all: Vec<&'a str>,
    /// By where they are: equal ones that are kept twice in memory are kept twice here.
    places: HashMap<*const u8, usize, foldhash::fast::RandomState>,
}

impl<'a> Texts<'a> {
    fn add(&mut self, text: &'a Arc<str>) {
        let next = self.all.len();
        if *self.places.entry(text.as_ptr()).or_insert(next) == next {
            self.all.push(text);
        }
    }

    fn place_of(&self, text: &Arc<str>) -> usize {
        self.places
            .get(&text.as_ptr())
            .copied()
            .unwrap_or(usize::MAX)
    }
}

/// A sum of all bytes and their order.
fn checksum(bytes: &[u8]) -> u64 {
    // An odd number without a pattern: 2^64 by the golden ratio.
    let mix = |sum: u64, word: u64| {
        (sum ^ word)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    };
    let (words, rest) = bytes.as_chunks();
    let sum = words.iter().fold(bytes.len() as u64, |sum, word| {
        mix(sum, u64::from_le_bytes(*word))
    });
    rest.iter()
        .fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
}
