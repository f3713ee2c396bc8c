//! A connection: a driver, and what this caller may do with it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::domain::Domain;
use super::driver::{Driver, Undefine};
use super::events::{EventKind, Function};
use super::problem::Problem;
use super::uri::{self, RedefineRules};
use crate::error::Result;

/// Whether a connection may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

/// An open connection. Connections of one process to one directory share its domains.
pub struct Connection {
    uri: String,
    access: Access,
    redefine: RedefineRules,
    monitor_reply: Duration,
    driver: Arc<Driver>,
    /// The numbers of those who are told of changes through it.
    listeners: Mutex<Vec<i32>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.access == Access::ReadWrite {
            self.driver.writers.go();
        }
        for id in std::mem::take(&mut *self.listeners.lock()) {
            drop(self.driver.listeners.remove(id));
        }
    }
}

impl Connection {
    /// Opens `virsnap:///ABSOLUTE/STATE/DIR[?PARAMETER=VALUE]`; the directory is made where it is
    /// missing.
    pub fn open(uri: &str, access: Access) -> Result<Arc<Connection>> {
        let parsed = uri::parse(uri)?;
        let driver = Driver::open(&parsed.directory)?;
        if access == Access::ReadWrite {
            driver.writers.come();
        }
        Ok(Arc::new(Connection {
            uri: uri.to_owned(),
            access,
            redefine: parsed.redefine,
            monitor_reply: parsed.monitor_reply,
            driver,
            listeners: Mutex::default(),
        }))
    }

    /// A connection to the domains of a driver that is open, whose guests have no data to look at.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn on(driver: Arc<Driver>, uri: &str, access: Access) -> Arc<Connection> {
        if access == Access::ReadWrite {
            driver.writers.come();
        }
        Arc::new(Connection {
            uri: uri.to_owned(),
            access,
            redefine: RedefineRules {
                check: uri::RedefineCheck::Trust,
                ..RedefineRules::default()
            },
            monitor_reply: crate::limits::MONITOR_REPLY,
            driver,
            listeners: Mutex::default(),
        })
    }

    /// Has a function told of changes of a domain's snapshots, or of all domains', of one kind or of all.
    /// Its number; it is told until that is taken away or the connection is closed.
    pub fn listen(
        &self,
        uuid: Option<[u8; 16]>,
        kind: Option<EventKind>,
        function: impl FnOnce() -> Function,
    ) -> Result<i32> {
        let domains = self.driver.domains()?;
        let id = self.driver.listeners.add(uuid, kind, function());
        self.listeners.lock().push(id);
        for domain in domains {
            domain.begin_telling();
        }
        Ok(id)
    }

    /// Takes one away. Whether there was one of that number.
    pub fn listen_no_more(&self, id: i32) -> bool {
        let mut own = self.listeners.lock();
        let Some(place) = own.iter().position(|known| *known == id) else {
            return false;
        };
        own.swap_remove(place);
        drop(own);
        // With no lock held: in a thread that is ending the program is told at once.
        drop(self.driver.listeners.remove(id));
        true
    }

    /// The URI that it was opened with.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether it may change anything.
    pub fn access(&self) -> Access {
        self.access
    }

    /// How REDEFINE is carried out on this connection.
    pub fn redefine_rules(&self) -> RedefineRules {
        self.redefine
    }

    /// How long a guest's monitor that is attached through it may take for an answer.
    pub fn monitor_reply(&self) -> Duration {
        self.monitor_reply
    }

    /// All domains, ordered by name.
    pub fn domains(&self) -> Result<Vec<Arc<Domain>>> {
        self.driver.domains()
    }

    /// Definitions that cannot be read.
    pub fn problems(&self) -> Result<Vec<Problem>> {
        self.driver.problems()
    }

    /// The domain of that name.
    pub fn domain_by_name(&self, name: &str) -> Result<Arc<Domain>> {
        self.driver.domain_by_name(name)
    }

    /// Whether a domain that was found before is still the one of its UUID, as far as that can be
    /// told without looking.
    pub fn has(&self, domain: &Domain) -> bool {
        self.driver.has(domain)
    }

    /// The domain of that UUID.
    pub fn domain_by_uuid(&self, uuid: &[u8; 16]) -> Result<Arc<Domain>> {
        self.driver.domain_by_uuid(uuid)
    }

    /// Defines a domain, or replaces the definition of the one with that name and UUID. Stored
    /// snapshots of that name and UUID are adopted, never removed.
    pub fn define(&self, xml: &str) -> Result<Arc<Domain>> {
        self.driver.define(xml)
    }

    /// Gives a domain another name; its snapshots stay its own.
    pub fn rename(&self, domain: &Domain, name: &str) -> Result<()> {
        self.driver.rename(domain, name)
    }

    /// Removes a domain's definition; guest data stays.
    pub fn undefine(&self, domain: &Domain, snapshots: Undefine) -> Result<()> {
        self.driver.undefine(domain, snapshots)
    }
}
