//! What stands behind all connections of this process to one state directory.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use super::domain::{Domain, Records};
use crate::data::{Data, QemuImg};
use crate::error::{Error, Result};
use crate::host::Embedded;
use crate::store::{Change, DefinitionChange, Directory, Store, check_name};
use crate::{limits, uuid, xml};

/// The drivers that connections hold, by state directory: one directory, one driver, so that
/// every connection of the process sees the same domains.
static DRIVERS: Mutex<BTreeMap<PathBuf, Weak<Driver>>> = Mutex::new(BTreeMap::new());

/// What undefine does with snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undefine {
    /// Refuses if there are any.
    RefuseSnapshots,
    /// Drops their metadata and leaves their data.
    DropSnapshots,
}

/// The domains of one state directory.
pub(super) struct Driver {
    store: Arc<dyn Store>,
    data: Arc<dyn Data>,
    domains: RwLock<HashMap<[u8; 16], Arc<Domain>>>,
    /// Held while a domain comes or goes.
    defining: Mutex<()>,
}

impl Driver {
    /// The driver of a state directory: the one that is open already, or a new one.
    pub fn open(directory: &Path) -> Result<Arc<Driver>> {
        let store = Directory::open(directory)?;
        let key = directory
            .canonicalize()
            .map_err(|cause| Error::io("resolve state directory", directory, cause))?;
        let mut drivers = DRIVERS.lock();
        drivers.retain(|_, driver| driver.strong_count() > 0);
        if let Some(driver) = drivers.get(&key).and_then(Weak::upgrade) {
            driver.refresh()?;
            return Ok(driver);
        }
        let driver = Arc::new(Driver {
            store: Arc::new(store),
            data: Arc::new(QemuImg::new("qemu-img")),
            domains: RwLock::default(),
            defining: Mutex::default(),
        });
        driver.refresh()?;
        drivers.insert(key, Arc::downgrade(&driver));
        Ok(driver)
    }

    /// Takes in definitions that were stored since, by other processes too.
    fn refresh(&self) -> Result<()> {
        let _defining = self.defining.lock();
        let listing = self.store.domains()?;
        let mut domains = self.domains.write();
        for (name, definition) in listing.documents {
            let Ok(facts) = xml::domain_facts(&definition) else {
                continue;
            };
            let Some(uuid) = facts.uuid.filter(|_| facts.name == name) else {
                continue;
            };
            domains
                .entry(uuid)
                .or_insert_with(|| Arc::new(self.domain(uuid, name.into(), definition.into())));
        }
        Ok(())
    }

    fn domain(&self, uuid: [u8; 16], name: Arc<str>, definition: Arc<str>) -> Domain {
        let records = Records::new(uuid, name, Arc::clone(&self.store));
        let host = Arc::new(Embedded::new(definition));
        Domain::new(Arc::new(records), host, Arc::clone(&self.data))
    }

    /// All domains, ordered by name.
    pub fn domains(&self) -> Vec<Arc<Domain>> {
        let mut domains: Vec<_> = self.domains.read().values().cloned().collect();
        domains.sort_by(|a, b| a.name().cmp(b.name()));
        domains
    }

    /// The domain of that name.
    pub fn domain_by_name(&self, name: &str) -> Result<Arc<Domain>> {
        let domains = self.domains.read();
        let found = domains
            .values()
            .find(|domain| domain.name().as_ref() == name);
        found.cloned().ok_or_else(|| Error::NoDomainWithName {
            name: name.to_owned(),
        })
    }

    /// The domain of that UUID.
    pub fn domain_by_uuid(&self, id: &[u8; 16]) -> Result<Arc<Domain>> {
        let domain = self.domains.read().get(id).cloned();
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
        self.domains.write().insert(id, Arc::clone(&domain));
        Ok(domain)
    }

    /// The domain that a definition replaces. A name and a UUID belong together; libvirt looks
    /// for the UUID first.
    fn check_identity(&self, name: &str, id: &[u8; 16]) -> Result<Option<Arc<Domain>>> {
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
        let _defining = self.defining.lock();
        let writing = domain.write()?;
        let count = domain.tree()?.len();
        if count > 0 && snapshots == Undefine::RefuseSnapshots {
            return Err(Error::DomainHasSnapshots { count });
        }
        let plan = domain.tree()?.plan_clear();
        let change = Change {
            remove: plan
                .drop
                .iter()
                .map(|snapshot| snapshot.name.to_string())
                .collect(),
            definition: DefinitionChange::Remove,
            ..Change::default()
        };
        writing.commit_change(&plan, &change)?;
        self.domains.write().remove(domain.uuid());
        Ok(())
    }
}
