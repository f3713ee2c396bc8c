//! A store without files, for what ends with the process: domains of libvirt's test driver, and
//! views of what libvirt itself keeps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{Change, DefinitionChange, Listing, Lock, Store};
use crate::error::{Error, Result};
use crate::limits;

/// Documents by domain, in memory.
#[derive(Default)]
pub struct Memory {
    domains: Mutex<HashMap<String, Shelf>>,
    locks: Arc<Locks>,
}

#[derive(Default)]
struct Shelf {
    definition: Option<String>,
    snapshots: BTreeMap<String, String>,
    intent: Option<String>,
    /// Counts the commits.
    generation: u64,
}

/// Domains that have a writer.
#[derive(Default)]
struct Locks {
    held: Mutex<HashSet<String>>,
    freed: Condvar,
}

struct Held {
    domain: String,
    locks: Arc<Locks>,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.locks.held.lock().remove(&self.domain);
        self.locks.freed.notify_all();
    }
}

/// No domain has an empty name.
const DEFINITIONS: &str = "";

impl Memory {
    fn take(&self, mut held: MutexGuard<'_, HashSet<String>>, domain: &str) -> Box<dyn Lock> {
        held.insert(domain.to_owned());
        Box::new(Held {
            domain: domain.to_owned(),
            locks: Arc::clone(&self.locks),
        })
    }
}

impl Store for Memory {
    fn domains(&self) -> Result<Listing> {
        let domains = self.domains.lock();
        let mut documents: Vec<_> = domains
            .iter()
            .filter_map(|(name, shelf)| Some((name.clone(), shelf.definition.clone()?)))
            .collect();
        documents.sort();
        Ok(Listing {
            documents,
            damaged: Vec::new(),
        })
    }

    fn is_defined(&self, domain: &str) -> Result<bool> {
        let domains = self.domains.lock();
        let shelf = domains.get(domain);
        Ok(shelf.is_some_and(|shelf| shelf.definition.is_some()))
    }

    fn snapshots(&self, domain: &str) -> Result<Listing> {
        let domains = self.domains.lock();
        let documents = domains.get(domain).map(|shelf| {
            let pairs = shelf.snapshots.iter();
            pairs.map(|(name, text)| (name.clone(), text.clone()))
        });
        Ok(Listing {
            documents: documents.into_iter().flatten().collect(),
            damaged: Vec::new(),
        })
    }

    fn document_path(&self, domain: &str, name: &str) -> PathBuf {
        Path::new(domain).join(name)
    }

    fn definition_path(&self, domain: &str) -> PathBuf {
        domain.into()
    }

    fn journal_path(&self, domain: &str) -> PathBuf {
        domain.into()
    }

    /// There are no files.
    fn set_aside(&self, _: &str, _: &OsStr) -> Result<()> {
        Ok(())
    }

    fn lock_definitions(&self) -> Result<Box<dyn Lock>> {
        self.lock(DEFINITIONS)
    }

    fn lock(&self, domain: &str) -> Result<Box<dyn Lock>> {
        let deadline = Instant::now() + limits::LOCK_WAIT;
        let mut held = self.locks.held.lock();
        while held.contains(domain) {
            if self.locks.freed.wait_until(&mut held, deadline).timed_out() {
                return Err(Error::DomainBusy {
                    domain: domain.to_owned(),
                    holder: "another thread of this process".to_owned(),
                });
            }
        }
        Ok(self.take(held, domain))
    }

    fn try_lock(&self, domain: &str) -> Result<Option<Box<dyn Lock>>> {
        let held = self.locks.held.lock();
        Ok((!held.contains(domain)).then(|| self.take(held, domain)))
    }

    fn generation(&self, domain: &str) -> Option<u64> {
        let domains = self.domains.lock();
        Some(domains.get(domain).map_or(0, |shelf| shelf.generation))
    }

    fn definitions_generation(&self) -> Option<u64> {
        None
    }

    fn pending(&self, domain: &str) -> Result<Option<String>> {
        let domains = self.domains.lock();
        Ok(domains.get(domain).and_then(|shelf| shelf.intent.clone()))
    }

    fn intend(&self, domain: &str, intent: &str) -> Result<()> {
        let mut domains = self.domains.lock();
        domains.entry(domain.to_owned()).or_default().intent = Some(intent.to_owned());
        Ok(())
    }

    fn withdraw(&self, domain: &str) -> Result<()> {
        if let Some(shelf) = self.domains.lock().get_mut(domain) {
            shelf.intent = None;
        }
        Ok(())
    }

    fn commit(&self, domain: &str, change: &Change) -> Result<()> {
        let mut domains = self.domains.lock();
        let shelf = domains.entry(domain.to_owned()).or_default();
        shelf.intent.clone_from(&change.then);
        shelf.generation += 1;
        shelf.snapshots.extend(change.write.iter().cloned());
        for name in &change.remove {
            shelf.snapshots.remove(name);
        }
        match &change.definition {
            DefinitionChange::Keep => {}
            DefinitionChange::Write(text) => shelf.definition = Some(text.clone()),
            DefinitionChange::Remove => shelf.definition = None,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    fn change(write: &[(&str, &str)], remove: &[&str]) -> Change {
        Change {
            write: write
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
            ..Change::default()
        }
    }

    #[test]
    fn a_commit_writes_removes_and_closes_the_intent() {
        let store = Memory::default();
        store.intend("d", "what").unwrap();
        assert_eq!(store.pending("d").unwrap().as_deref(), Some("what"));
        store
            .commit("d", &change(&[("b", "2"), ("a", "1")], &[]))
            .unwrap();
        assert_eq!(store.pending("d").unwrap(), None);
        assert_ne!(store.generation("d"), store.generation("other"));
        store.commit("d", &change(&[("b", "3")], &["a"])).unwrap();
        let documents = store.snapshots("d").unwrap().documents;
        assert_eq!(documents, [("b".to_owned(), "3".to_owned())]);
        assert!(store.snapshots("other").unwrap().documents.is_empty());
    }

    #[test]
    fn a_domain_has_one_writer() {
        let store = Memory::default();
        let is_free = AtomicBool::new(false);
        let lock = store.lock("d").unwrap();
        assert!(store.try_lock("d").unwrap().is_none());
        drop(store.lock("other").unwrap());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                drop(store.lock("d").unwrap());
                is_free.load(Ordering::SeqCst)
            });
            is_free.store(true, Ordering::SeqCst);
            drop(lock);
            assert!(waiting.join().unwrap(), "the lock was given out twice");
        });
    }
}
