//! The third seam: where the metadata lives, and how a change becomes durable.
//!
//! The store deals in texts under names and knows nothing of what they mean.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::error::{Error, Result};

mod aside;
mod changes;
mod commit;
mod directory;
#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(
    feature = "fuzzing",
    allow(dead_code, reason = "the tests use all of it")
)]
pub(crate) mod disk;
mod folders;
mod fs;
mod journal;
mod listing;
mod lock;
mod memory;
mod migration;
mod prepared;
mod recovery;
mod rooms;
mod summary;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use journal::sealed as sealed_journal;
#[cfg(any(test, feature = "fuzzing"))]
#[allow(
    clippy::indexing_slicing,
    reason = "it is for tests, where a panic is an answer"
)]
#[cfg_attr(
    feature = "fuzzing",
    allow(dead_code, reason = "the tests use all of it")
)]
mod simulated;
#[cfg(test)]
mod tests;
mod together;
pub use directory::Directory;
pub use memory::Memory;

/// Keeps the definition of each domain and the documents of its snapshots.
///
/// Names are file names: [`check_name`] says which are possible.
pub trait Store: Send + Sync {
    /// Names and definitions of all domains, ordered by name. A definition that cannot be read
    /// stands in the report.
    fn domains(&self) -> Result<Listing>;

    /// Whether the domain has a definition, readable or not. For its writer.
    fn is_defined(&self, domain: &str) -> Result<bool>;

    /// The snapshot documents of one domain, ordered by name. A document that cannot be read
    /// stands in the report; the others are there. Finishes a commit that was cut off. Never waits
    /// for a writer that is busy with the guest's data.
    fn snapshots(&self, domain: &str) -> Result<Listing>;

    /// As [`Store::snapshots`], each document handed over as soon as it is read, so that they are
    /// never all in memory as texts. Answers those that could not be read.
    fn read_snapshots(&self, domain: &str, documents: &mut dyn Documents) -> Result<Vec<Damage>> {
        let listing = self.snapshots(domain)?;
        for (name, text) in &listing.documents {
            documents.document(name, text, None);
        }
        Ok(listing.damaged)
    }

    /// What was kept of the domain's documents when somebody read them all; `None` if nothing was, or it
    /// cannot be read. It was not made durable: whoever uses it sees whether it is whole.
    fn summary(&self, _domain: &str) -> Option<Vec<u8>> {
        None
    }

    /// Keeps what `make` answers as the domain's summary, if that can be done at once: nobody else is at
    /// work on the domain, and the disk takes it. Else nothing happens.
    fn keep_summary(&self, _domain: &str, _make: &dyn Fn() -> Option<Vec<u8>>) {}

    /// Removes the domain's summary, if there is one and the disk lets it go.
    fn drop_summary(&self, _domain: &str) {}

    /// Where a snapshot's document is or would be, for messages.
    fn document_path(&self, domain: &str, name: &str) -> PathBuf;

    /// Where a domain's definition is or would be, for messages.
    fn definition_path(&self, domain: &str) -> PathBuf;

    /// Where a domain's journal is or would be, for messages.
    fn journal_path(&self, domain: &str) -> PathBuf;

    /// Moves a file of the domain's snapshots out of the way, durably, to where nothing reads it. For its
    /// writer.
    fn set_aside(&self, domain: &str, file: &OsStr) -> Result<()>;

    /// Excludes others who define or undefine domains, until dropped. Taken before a domain's lock.
    fn lock_definitions(&self) -> Result<Box<dyn Lock>>;

    /// Excludes other writers of the domain, in this process and in others, until dropped.
    /// Waits a bounded time; the error names the holder. While it is held, the thread that took it
    /// makes the changes and drops it: the store knows the holder by its thread.
    fn lock(&self, domain: &str) -> Result<Box<dyn Lock>>;

    /// As [`Store::lock`], without waiting: `None` while somebody has it.
    fn try_lock(&self, domain: &str) -> Result<Option<Box<dyn Lock>>>;

    /// A number that is another after each change of the domain's snapshots, whichever process made
    /// it. Cheap: a few nanoseconds. `None` if it cannot be known, so that anything may have changed.
    fn generation(&self, domain: &str) -> Option<u64>;

    /// The number that [`Store::generation_at`] wants with the domain's name: always the same.
    fn generation_place(&self, _domain: &str) -> usize {
        0
    }

    /// As [`Store::generation`], for who asks again and again.
    fn generation_at(&self, domain: &str, _place: usize) -> Option<u64> {
        self.generation(domain)
    }

    /// As [`Store::generation`], for the domains that there are and their definitions.
    fn definitions_generation(&self) -> Option<u64>;

    /// The intent that was recorded and neither committed nor withdrawn: guest data may be half-changed.
    /// Without the lock it may be that of a writer at work.
    fn pending(&self, domain: &str) -> Result<Option<String>>;

    /// Records durably what is about to be done to guest data.
    fn intend(&self, domain: &str, intent: &str) -> Result<()>;

    /// Withdraws the intent: guest data is as before it.
    fn withdraw(&self, domain: &str) -> Result<()>;

    /// Does what a commit of that change will have to wait for and what decides nothing, while the
    /// writer has other things to wait for. A commit without it, or of another change, is as good.
    fn prepare(&self, _domain: &str, _change: &Change) {}

    /// Makes the whole change durable, or nothing of it, and closes the intent if there is one. After
    /// an error no reader sees anything of it, now or later.
    fn commit(&self, domain: &str, change: &Change) -> Result<()>;

    /// As [`Store::commit`], with documents to write that are made one by one, so that they are
    /// never all in memory.
    fn commit_made(&self, domain: &str, change: &Change, made: &dyn Made) -> Result<()> {
        let mut change = change.clone();
        for index in 0..made.count() {
            change.write.push((made.name(index), made.text(index)?));
        }
        self.commit(domain, &change)
    }

    /// What is kept about a migration of the domain; `None` if nothing is.
    fn migration(&self, domain: &str) -> Result<Option<Box<dyn Read + Send>>>;

    /// Where that is or would be, for messages.
    fn migration_path(&self, domain: &str) -> PathBuf;

    /// Keeps about a migration what `fill` hands over piece by piece, instead of what was kept
    /// before: all of it, durably, or nothing. The domain is locked meanwhile.
    fn receive(&self, domain: &str, fill: &mut Fill<'_>) -> Result<()>;
}

/// Hands bytes over to whoever is given to it.
pub type Fill<'a> = dyn FnMut(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> + 'a;

/// Documents that are made when they are written.
pub trait Made {
    /// How many there are.
    fn count(&self) -> usize;

    /// The name of one of them.
    fn name(&self, index: usize) -> String;

    /// The text of one of them.
    fn text(&self, index: usize) -> Result<String>;
}

/// Held by the one writer of a domain.
pub trait Lock: Send {
    /// What a program inherits that works on guest data for this writer: while it has that open
    /// the domain stays locked, also if the writer is killed.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Takes documents in while a store reads them.
pub trait Documents {
    /// Forget all that came so far: they have changed meanwhile, and come again.
    fn restart(&mut self);

    /// So many come, at most.
    fn expect(&mut self, _count: usize) {}

    /// Whether the next one by name is known as it is, by the mark that its file has now. Then it is not
    /// read.
    fn knows(&mut self, _name: &str, _mark: &dyn Fn() -> Option<Mark>) -> bool {
        false
    }

    /// The next one by name. With a mark nothing but these bytes will ever be in a file that has it.
    fn document(&mut self, name: &str, text: &str, mark: Option<Mark>);
}

/// Which state of a regular file it is: who changes its bytes changes its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The file system that it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its bytes.
    pub size: u64,
    /// When they changed as far as programs tell, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// When it changed as the kernel tells, in nanoseconds since 1970. No program can set it.
    pub changed_ns: i64,
}

/// What a store answers when asked for many documents.
#[derive(Debug, Default)]
pub struct Listing {
    /// Name and text of each readable document.
    pub documents: Vec<(String, String)>,
    /// Each document that could not be read, with its name if it has a usable one.
    pub damaged: Vec<Damage>,
}

/// A document that could not be read. It is left where it is.
#[derive(Debug)]
pub struct Damage {
    /// The name that the document would have.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// Why it cannot be read.
    pub cause: Error,
}

/// One transaction on one domain.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Change {
    /// Snapshot documents to write: name and text.
    pub write: Vec<(String, String)>,
    /// Snapshot documents to remove.
    pub remove: Vec<String>,
    /// What becomes of the domain's definition.
    pub definition: DefinitionChange,
    /// What becomes of what is kept about a migration.
    pub migration: MigrationChange,
    /// The intent that takes the place of the one closed: work that is left once the change is made.
    pub then: Option<String>,
}

/// What a transaction does to the domain's own definition.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum DefinitionChange {
    /// Nothing.
    #[default]
    Keep,
    /// Writes it.
    Write(String),
    /// Removes it, and the domain's empty directory.
    Remove,
}

/// What a transaction does to what is kept about a migration.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum MigrationChange {
    /// Nothing.
    #[default]
    Keep,
    /// Writes it.
    Write(String),
    /// Removes it.
    Remove,
}

/// Whether a name can be a file name here: at least one byte, at most `limit`, no `/`, no NUL, no
/// leading dot. The error is the reason.
pub fn check_name(name: &str, limit: usize) -> std::result::Result<(), &'static str> {
    if name.is_empty() {
        Err("name is empty")
    } else if name.contains('/') {
        Err("name can't contain '/'")
    } else if name.starts_with('.') {
        Err("name can't start with '.'")
    } else if name.contains('\0') {
        Err("name can't contain NUL")
    } else if name.len() > limit {
        Err("name is too long for a file name")
    } else {
        Ok(())
    }
}
