//! Where the snapshots of libvirt's domains are kept: in the state directory, by the domain's UUID,
//! which a rename does not change; in memory, for domains of the test driver.

use std::collections::HashMap;
use std::sync::Arc;

use once_cell::sync::OnceCell;
use parking_lot::Mutex;

use super::settings::settings;
use crate::error::Result;
use crate::libvirt::{self, Driver};
use crate::ops::domain::Records;
use crate::store::{Directory, Memory, Store};
use crate::uuid;

/// The place of all domains whose snapshots outlive the process.
static LASTING: OnceCell<Arc<Place>> = OnceCell::new();

/// Domains, by UUID, and the store of their snapshots.
pub(super) struct Place {
    store: Arc<dyn Store>,
    records: Mutex<HashMap<[u8; 16], Arc<Records>>>,
    /// What is seen of domains of which libvirt itself keeps snapshots.
    pub views: Mutex<HashMap<[u8; 16], View>>,
}

/// The snapshots of a domain, its own and those that libvirt keeps.
pub(super) struct View {
    /// What it was made of.
    pub made_of: Sources,
    /// The whole.
    pub records: Arc<Records>,
}

/// What a view was made of: if that is the same, so is the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sources {
    /// Names of the snapshots that libvirt keeps, in order.
    pub kept: Vec<String>,
    /// Which of them is libvirt's current one.
    pub kept_current: Option<String>,
    /// Names of our own.
    pub own: Vec<Arc<str>>,
    /// Which of them is the current one.
    pub own_current: Option<Arc<str>>,
}

impl Place {
    /// The place of a domain. What belongs to the test driver lives as long as that keeps it.
    pub fn of(guest: &libvirt::Domain, driver: Driver) -> Result<Arc<Place>> {
        if driver == Driver::Test {
            let session = guest.session();
            let attached = session
                .attached
                .get_or_init(|| Box::new(Arc::new(Place::new(Arc::new(Memory::default())))));
            if let Some(place) = attached.downcast_ref::<Arc<Place>>() {
                return Ok(Arc::clone(place));
            }
        }
        let lasting = LASTING.get_or_try_init(|| {
            let store = Directory::open(&settings()?.state_directory)?;
            Ok(Arc::new(Place::new(Arc::new(store))))
        });
        lasting.map(Arc::clone)
    }

    fn new(store: Arc<dyn Store>) -> Place {
        Place {
            store,
            records: Mutex::default(),
            views: Mutex::default(),
        }
    }

    /// What the process knows of a domain's snapshots.
    pub fn records(&self, id: [u8; 16]) -> Arc<Records> {
        let mut records = self.records.lock();
        let known = records.entry(id).or_insert_with(|| {
            let key = uuid::format(&id).into();
            let nobody = Arc::default();
            let store = Arc::clone(&self.store);
            Arc::new(Records::new(id, key, store, nobody, Arc::default()))
        });
        Arc::clone(known)
    }
}
