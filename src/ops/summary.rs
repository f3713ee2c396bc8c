//! A domain's summary: what its documents said when somebody read them, for who loads them next.
//!
//! The store keeps it and says which state a document's file is in ([`Mark`]); a document whose file is still in
//! the state that was read need not be read again. Everything else is read as if there were no summary, which
//! is also so for one that is torn, of another version or of another domain.
//!
//! The file is [`MAGIC`], a checksum of the rest, [`VERSION`], the domain's UUID, how many snapshots there are, the texts that they
//! share, and an entry a snapshot, ordered by name: the name, how long the rest of the entry is, the mark, whether it
//! is the current one, the snapshot (packed.rs). The checksum is against accidents: who can write here can write
//! documents.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use self::packed::{Packed, Unpacked};
use crate::limits;
use crate::memory;
use crate::snapshot::Snapshot;
use crate::store::Mark;
use crate::xml::Definitions;

mod packed;
#[cfg(test)]
mod tests;

const MAGIC: &[u8; 16] = b"virsnap-summary\n";

/// Another one reads the documents anew: it may see other things in them. The number is of the form.
const VERSION: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));

/// Bytes of an entry at least: its name's length, its own, the mark.
const LEAST_ENTRY: usize = 48;

/// Texts that a snapshot may share with others.
const SHARED: usize = 3;

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
        let count = rest.count()?;
        let text_count = rest.count()?;
        // No more is believed than what was written: a document is bounded, and has three texts at most.
        if count > body.len() / LEAST_ENTRY || text_count > SHARED * count {
            return None;
        }
        // The memory that it takes is a cache's: without it the documents are read.
        let _watch = memory::Watch::begin();
        let mut texts = Vec::new();
        texts.try_reserve_exact(text_count).ok()?;
        for _ in 0..text_count {
            let text = rest.text()?;
            if text.len() > limits::STATE_FILE_BYTES {
                return None;
            }
            texts.push(known.shared(text));
            if memory::was_refused() {
                return None;
            }
        }
        known.remember(&texts);
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
                    let is_bounded = entry.0.len() <= limits::STATE_FILE_BYTES;
                    let snapshot = is_bounded.then(|| entry.snapshot(name, &self.texts))??;
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

/// The summary of a domain's snapshots, those with a mark, ordered by name. `None` if it would be too large or
/// memory cannot be had, which is not the matter of whoever loads.
pub(super) fn pack(uuid: &[u8; 16], loaded: &[Loaded]) -> Option<Vec<u8>> {
    let _watch = memory::Watch::begin();
    let marked = || {
        loaded
            .iter()
            .filter_map(|loaded| Some((&loaded.snapshot, loaded.active, loaded.mark?)))
    };
    let mut texts = Texts::default();
    for (snapshot, ..) in marked() {
        shared_texts(snapshot).try_for_each(|text| texts.add(text))?;
    }
    let mut out = Packed::default();
    out.raw(MAGIC);
    let sum_at = out.len();
    out.raw(&[0; size_of::<u64>()]);
    let body_at = out.len();
    out.text(VERSION);
    out.raw(uuid);
    out.count(marked().count());
    out.count(texts.all.len());
    let goes_on = |out: &Packed| (!out.is_cut_off() && !memory::was_refused()).then_some(());
    for text in &texts.all {
        out.text(text);
        goes_on(&out)?;
    }
    for (snapshot, active, mark) in marked() {
        goes_on(&out)?;
        out.text(&snapshot.name);
        out.part(|entry| {
            entry.mark(&mark);
            entry.flag(active);
            entry.snapshot(snapshot, &texts);
        });
    }
    let sum = checksum(out.behind(body_at));
    out.put(sum_at, sum.to_le_bytes());
    out.whole()
}

/// The texts that a snapshot may share with others.
fn shared_texts(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<str>> {
    let texts: [_; SHARED] = [
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
    /// `None` if memory cannot be had.
    fn add(&mut self, text: &'a Arc<str>) -> Option<()> {
        self.all.try_reserve(1).ok()?;
        self.places.try_reserve(1).ok()?;
        let next = self.all.len();
        if *self.places.entry(text.as_ptr()).or_insert(next) == next {
            self.all.push(text);
        }
        Some(())
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
