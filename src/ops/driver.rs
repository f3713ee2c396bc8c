//! What stands behind all connections of this process to one state directory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::domain::{Domain, Records};
use super::events::{Cause, Listeners};
use super::problem::{self, Problem, ProblemKind};
use super::refusals::Refusals;
use super::rename;
use crate::data::live::Live;
use crate::data::{Data, QemuImg};
use crate::error::{Error, Result};
use crate::host::{Attachment, Embedded};
use crate::store::{
    Change, DefinitionChange, Directory, Listing, MigrationChange, Store, check_name,
};
use crate::tree::Plan;
use crate::{limits, memory, uuid, xml};

/// The drivers that connections hold, by state directory: one directory, one driver, so that
/// every connection of the process sees the same domains.
static DRIVERS: Mutex<BTreeMap<PathBuf, Weak<Driver>>> = Mutex::new(BTreeMap::new());

/// How often the domains are listed until nothing changes meanwhile.
const LISTING_ATTEMPTS: usize = 8;

/// What undefine does with snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undefine {
    /// Refuses if there are any.
    RefuseSnapshots,
    /// Drops their metadata and leaves their data.
    DropSnapshots,
}

/// How many connections may change something.
#[derive(Debug, Default)]
pub(super) struct Writers(AtomicUsize);

impl Writers {
    /// One more.
    pub(super) fn come(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub(super) fn go(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether there is any.
    pub(super) fn are_there(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// The domains of one state directory.
pub(crate) struct Driver {
    pub(super) store: Arc<dyn Store>,
    data: Arc<dyn Data>,
    /// Who is told of changes of its domains.
    pub(super) listeners: Arc<Listeners>,
    /// Who may change them.
    pub(super) writers: Arc<Writers>,
    known: RwLock<Known>,
    /// Held while a domain comes or goes.
    pub(super) defining: Mutex<()>,
    /// Held while the domains are read.
    refreshing: Mutex<()>,
}

/// What this process knows of the domains.
#[derive(Default)]
struct Known {
    domains: Domains,
    problems: Vec<Problem>,
    /// The store's generation before they were read; `None` if they must be read anew.
    generation: Option<u64>,
}

type Domains = HashMap<[u8; 16], Arc<Domain>, foldhash::fast::RandomState>;

impl Known {
    /// Takes domains as they were read, and tells each whether it still is one. Answers those from
    /// before: what goes with the last owner of one may, in a thread that is ending, call the program at
    /// once, so no lock may be held.
    #[must_use = "they are dropped when no lock is held"]
    fn replace(&mut self, domains: Domains, generation: Option<u64>) -> Domains {
        for domain in self.domains.values() {
            domain.stand(None);
        }
        for domain in domains.values() {
            domain.stand(generation);
        }
        self.generation = generation;
        std::mem::replace(&mut self.domains, domains)
    }

    /// As [`Known::replace`], of one that is gone.
    #[must_use = "it is dropped when no lock is held"]
    fn remove(&mut self, uuid: &[u8; 16]) -> Option<Arc<Domain>> {
        let domain = self.domains.remove(uuid)?;
        domain.stand(None);
        Some(domain)
    }
}

impl Driver {
    /// The driver of a state directory: the one that is open already, or a new one. No lock is held while the
    /// directory is read.
    pub fn open(directory: &Path) -> Result<Arc<Driver>> {
        let store = Directory::open(directory)?;
        let key = directory
            .canonicalize()
            .map_err(|cause| Error::io("resolve state directory", directory, cause))?;
        let driver = Driver::opened(key, Arc::new(store));
        driver.refresh()?;
        Ok(driver)
    }

    fn opened(key: PathBuf, store: Arc<dyn Store>) -> Arc<Driver> {
        let mut drivers = DRIVERS.lock();
        drivers.retain(|_, driver| driver.strong_count() > 0);
        if let Some(driver) = drivers.get(&key).and_then(Weak::upgrade) {
            return driver;
        }
        let data = Arc::new(QemuImg::new("qemu-img"));
        let driver = Arc::new(Driver::unread(store, data));
        drivers.insert(key, Arc::downgrade(&driver));
        driver
    }

    /// A driver of the domains that a store has.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn new(store: Arc<dyn Store>, data: Arc<dyn Data>) -> Result<Driver> {
        let driver = Driver::unread(store, data);
        driver.refresh()?;
        Ok(driver)
    }

    /// One that knows of no domain yet.
    fn unread(store: Arc<dyn Store>, data: Arc<dyn Data>) -> Driver {
        Driver {
            store,
            data,
            listeners: Arc::default(),
            writers: Arc::default(),
            known: RwLock::default(),
            defining: Mutex::default(),
            refreshing: Mutex::default(),
        }
    }

    /// As if a connection had it that may change something.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn for_writing(self) -> Driver {
        self.writers.come();
        self
    }

    /// What is known, read anew if any process has changed it.
    fn known(&self) -> Result<RwLockReadGuard<'_, Known>> {
        let generation = self.store.definitions_generation();
        let known = self.known.read();
        if generation.is_some() && known.generation == generation {
            return Ok(known);
        }
        drop(known);
        self.refresh()?;
        Ok(self.known.read())
    }

    /// Takes in definitions that came, changed or went, by other processes too.
    fn refresh(&self) -> Result<()> {
        // One after the other: who begins later puts the newer state in place.
        let refreshing = self.refreshing.lock();
        let (generation, listing) = self.listing()?;
        let identified = self.identified(listing.documents)?;
        let mut place = self.known.write();
        let before = &place.domains;
        let mut problems: Vec<_> = listing
            .damaged
            .into_iter()
            .map(Problem::unreadable)
            .collect();
        let mut domains = Domains::with_capacity_and_hasher(identified.len(), Default::default());
        for Listed {
            name,
            definition,
            identity,
        } in identified
        {
            match identity {
                Ok(uuid) if !domains.contains_key(&uuid) => {
                    let known = before.get(&uuid).filter(|domain| **domain.name() == *name);
                    let domain = match known {
                        Some(domain) => domain.with_definition(definition),
                        None => Arc::new(self.domain(uuid, name.into(), definition.into())),
                    };
                    domains.insert(uuid, domain);
                }
                Ok(uuid) => {
                    let text = format!("another domain has its uuid {}", uuid::format(&uuid));
                    problems.push(self.problem(name, text));
                }
                Err(text) => problems.push(self.problem(name, text)),
            }
        }
        // A definition that cannot be read any more is not one that went.
        for (&uuid, domain) in before {
            if problems
                .iter()
                .any(|problem| *problem.name == **domain.name())
            {
                domains.entry(uuid).or_insert_with(|| Arc::clone(domain));
            }
        }
        let known = std::mem::replace(&mut place.problems, problems.clone());
        // What could not be read may be readable next time.
        let is_whole = problems.is_empty() && !memory::was_refused();
        let before = place.replace(domains, generation.filter(|_| is_whole));
        drop(place);
        drop(refreshing);
        drop(before);
        memory::check()?;
        problem::tell(&problems, &known);
        Ok(())
    }

    /// Reads the domains anew, whatever the store's generation.
    pub(super) fn reread(&self) -> Result<()> {
        self.known.write().generation = None;
        self.refresh()
    }

    /// The stored domains, and the generation that they are of. Somebody who renames a domain
    /// meanwhile may have it under neither name in a listing, so that is made again.
    fn listing(&self) -> Result<(Option<u64>, Listing)> {
        let mut attempts = 0;
        loop {
            let generation = self.store.definitions_generation();
            let listing = self.store.domains()?;
            attempts += 1;
            if attempts == LISTING_ATTEMPTS || generation == self.store.definitions_generation() {
                return Ok((generation, listing));
            }
        }
    }

    /// Who the stored domains are, but for what is still stored of one under a name that it does not
    /// have any more. That is removed where nobody is at work on it.
    fn identified(&self, documents: Vec<(String, String)>) -> Result<Vec<Listed>> {
        let mut listed: Vec<Listed> = documents.into_iter().map(Listed::of).collect();
        let mut departed = HashSet::new();
        for (name, other) in namesakes(&listed) {
            if !rename::leads_to(&*self.store, name, other)? {
                continue;
            }
            departed.insert(name.to_owned());
            // Else the next one does it: it is left out in any case.
            if let Ok(Some(_lock)) = self.store.try_lock(name) {
                let _ = rename::depart_to(&*self.store, name, other);
            }
        }
        listed.retain(|listed| !departed.contains(&listed.name));
        Ok(listed)
    }

    fn problem(&self, name: String, text: String) -> Problem {
        Problem {
            kind: ProblemKind::Unreadable,
            file: self.store.definition_path(&name),
            name,
            text,
        }
    }

    /// Definitions that cannot be read.
    pub fn problems(&self) -> Result<Vec<Problem>> {
        Ok(self.known()?.problems.clone())
    }

    fn domain(&self, uuid: [u8; 16], name: Arc<str>, definition: Arc<str>) -> Domain {
        let listeners = Arc::clone(&self.listeners);
        let (store, writers) = (Arc::clone(&self.store), Arc::clone(&self.writers));
        let records = Records::new(uuid, Arc::clone(&name), store, listeners, writers);
        let telling = Arc::clone(&records.telling);
        let tell = move |done, total| telling.progress(&name, done, total);
        let guest = Arc::new(Attachment::told(Box::new(tell)));
        let host = Arc::new(Embedded::new(definition, Arc::clone(&guest)));
        let watched = self.data.watched(Arc::clone(&guest) as _);
        let offline = watched.unwrap_or_else(|| Arc::clone(&self.data));
        let data = Live::new(Arc::clone(&guest) as _, offline);
        Domain::new(Arc::new(records), host, Arc::new(data)).with_guest(guest)
    }

    /// All domains, ordered by name.
    pub fn domains(&self) -> Result<Vec<Arc<Domain>>> {
        let mut domains: Vec<_> = self.known()?.domains.values().cloned().collect();
        domains.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(domains)
    }

    /// The domain of that name.
    pub fn domain_by_name(&self, name: &str) -> Result<Arc<Domain>> {
        let known = self.known()?;
        let found = known
            .domains
            .values()
            .find(|domain| domain.name().as_ref() == name);
        found.cloned().ok_or_else(|| Error::NoDomainWithName {
            name: name.to_owned(),
        })
    }

    /// Whether the domain is the one of its UUID, nothing having changed since that was seen.
    pub fn has(&self, domain: &Domain) -> bool {
        domain.stands(self.store.definitions_generation())
    }

    /// The domain of that UUID.
    pub fn domain_by_uuid(&self, id: &[u8; 16]) -> Result<Arc<Domain>> {
        let domain = self.known()?.domains.get(id).cloned();
        domain.ok_or_else(|| Error::NoDomainWithUuid {
            uuid: uuid::format(id),
        })
    }

    /// Defines a domain or replaces its definition.
    pub fn define(&self, xml: &str) -> Result<Arc<Domain>> {
        let facts = xml::domain_facts(xml)?;
        check_name(&facts.name, limits::DOMAIN_NAME_BYTES).map_err(|reason| Error::DomainName {
            name: facts.name.clone(),
            reason,
        })?;
        let _defining = self.defining.lock();
        let _definitions = self.store.lock_definitions()?;
        // libvirt: a definition without a UUID is a new domain, also under a name in use.
        let id = facts.uuid.map_or_else(uuid::random, Ok)?;
        let known = self.check_identity(&facts.name, &id)?;
        let definition: Arc<str> = xml::named_and_identified(xml, &facts.name, &id)?.into();
        if let Some(domain) = known {
            domain.set_definition(definition)?;
            return Ok(domain);
        }
        let domain = Arc::new(self.domain(id, facts.name.into(), Arc::clone(&definition)));
        domain.set_definition(definition)?;
        // Whoever looked in the meantime has read it from the store: there is one for all handles.
        let mut known = self.known.write();
        Ok(Arc::clone(known.domains.entry(id).or_insert(domain)))
    }

    /// The domain that a definition replaces. A name and a UUID belong together; libvirt looks
    /// for the UUID first.
    fn check_identity(&self, name: &str, id: &[u8; 16]) -> Result<Option<Arc<Domain>>> {
        if let Some(problem) = self.problems()?.iter().find(|problem| problem.name == name) {
            return Err(problem.refusal());
        }
        if let Ok(domain) = self.domain_by_uuid(id) {
            if domain.name().as_ref() == name {
                return Ok(Some(domain));
            }
            return Err(Error::DomainUuidTaken {
                name: domain.name().to_string(),
                uuid: uuid::format(id),
            });
        }
        match self.domain_by_name(name) {
            Ok(domain) => Err(Error::DomainNameTaken {
                name: name.to_owned(),
                uuid: uuid::format(domain.uuid()),
            }),
            Err(_) => Ok(None),
        }
    }

    /// Removes a domain's definition and, if asked to, the metadata of its snapshots.
    pub fn undefine(&self, domain: &Domain, snapshots: Undefine) -> Result<()> {
        // What is known of it is dropped when the locks are let go.
        self.undefined(domain, snapshots).map(drop)
    }

    fn undefined(&self, domain: &Domain, snapshots: Undefine) -> Result<Option<Arc<Domain>>> {
        let _defining = self.defining.lock();
        let _definitions = self.store.lock_definitions()?;
        let writing = domain.write()?.because(Cause::Metadata);
        let plan = domain.undefinition(snapshots, &mut Refusals::First)?;
        let change = Change {
            remove: plan
                .drop
                .iter()
                .map(|snapshot| snapshot.name.to_string())
                .collect(),
            definition: DefinitionChange::Remove,
            migration: MigrationChange::Remove,
            ..Change::default()
        };
        memory::check()?;
        writing.commit_change(&plan, &change)?;
        Ok(self.known.write().remove(domain.uuid()))
    }
}

impl Domain {
    /// What undefining would do with the snapshots.
    pub(super) fn undefinition(
        &self,
        snapshots: Undefine,
        refusals: &mut Refusals,
    ) -> Result<Plan> {
        refusals.check(self.check_whole())?;
        let count = self.tree()?.len();
        if count > 0 && snapshots == Undefine::RefuseSnapshots {
            refusals.check::<()>(Err(Error::DomainHasSnapshots { count }))?;
        }
        Ok(self.tree()?.plan_clear())
    }
}

/// A stored definition, and whose it is or why that cannot be told.
struct Listed {
    name: String,
    definition: String,
    identity: std::result::Result<[u8; 16], String>,
}

impl Listed {
    fn of((name, definition): (String, String)) -> Listed {
        let identity = identity(&name, &definition);
        Listed {
            name,
            definition,
            identity,
        }
    }
}

/// Each two names of one domain, in both orders.
fn namesakes(listed: &[Listed]) -> Vec<(&str, &str)> {
    let mut by_uuid: HashMap<[u8; 16], Vec<&str>> = HashMap::new();
    for Listed { name, identity, .. } in listed {
        if let Ok(uuid) = identity {
            by_uuid.entry(*uuid).or_default().push(name);
        }
    }
    let several = by_uuid.into_values().filter(|names| names.len() > 1);
    several
        .flat_map(|names| {
            let pairs = names.iter().flat_map(|name| {
                let others = names.iter().filter(move |other| *other != name);
                others.map(|other| (*name, *other))
            });
            pairs.collect::<Vec<_>>()
        })
        .collect()
}

/// The UUID that a definition gives its domain, if the domain is the one of its file.
fn identity(name: &str, definition: &str) -> std::result::Result<[u8; 16], String> {
    let facts = xml::domain_facts(definition).map_err(|error| error.to_string())?;
    if facts.name != name {
        return Err(format!("it defines a domain named '{}'", facts.name));
    }
    facts.uuid.ok_or_else(|| "it has no uuid".to_owned())
}
