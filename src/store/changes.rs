//! Who has changed what: a word for each domain that is another after each commit, whoever made it.
//!
//! The words stand in `lock/.changes`, mapped into every process that has the directory open, so
//! that "nothing has changed" costs no system call. Several domains may share a word: then one of
//! them is read again for nothing. A word's value has no meaning; it is new at each change.

use super::fs::FileSystem;
use super::journal::fnv;
use super::rooms::{Rooms, again};

/// The file, in `lock/`. No domain's name begins with a dot.
const FILE: &str = ".changes";

/// How many words: 32 KiB. With a hundred domains one in forty shares its word.
const WORDS: usize = 4096;

/// The word of the set of domains and their definitions.
const DEFINITIONS: usize = 0;

impl<F: FileSystem> Rooms<F> {
    /// [`super::Store::generation`].
    pub(super) fn generation(&self, domain: &str) -> Option<u64> {
        self.word(word_of(domain))
    }

    /// [`super::Store::definitions_generation`].
    pub(super) fn definitions_generation(&self) -> Option<u64> {
        self.word(DEFINITIONS)
    }

    /// Tells every process that a domain has changed. If that cannot be told now, the domain's
    /// lock keeps its owner's mark, and whoever takes it next tells it.
    pub(super) fn tell(&self, domain: &str, definitions: bool) {
        let mut told = self.renew(word_of(domain));
        if definitions {
            told &= self.renew(DEFINITIONS);
        }
        if !told && let Some(holder) = self.held.lock().get_mut(domain) {
            holder.owes_word = true;
        }
    }

    /// A word, if the file is there.
    #[inline(always)]
    pub(super) fn word(&self, index: usize) -> Option<u64> {
        let words = self.words().ok()?;
        Some(self.fs.word(words, index))
    }

    fn renew(&self, index: usize) -> bool {
        self.words()
            .is_ok_and(|words| again(|| self.fs.renew_word(words, index)).is_ok())
    }

    fn words(&self) -> Result<&F::Words, rustix::io::Errno> {
        self.words
            .get_or_try_init(|| self.fs.open_words(&self.lock.dir, FILE, WORDS))
    }
}

/// The same in every process and version.
pub(super) fn word_of(domain: &str) -> usize {
    let others = WORDS as u64 - 1;
    1 + usize::try_from(fnv(domain.bytes()) % others).unwrap_or(0)
}
