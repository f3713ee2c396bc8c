//! One domain with its snapshots: what can be asked. Changes are in the sibling files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{
    MappedRwLockReadGuard, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use super::driver::Writers;
use super::events::{Listeners, Telling};
use super::flags::ListFlags;
use super::load::{self, Believe};
use super::problem::{self, Problem};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::host::{Attachment, Host};
use crate::libvirt::Driver;
use crate::memory;
use crate::snapshot::{Snapshot, State};
use crate::store::Store;
use crate::tree::{Found, Listed, Named, Scope, Tree};
use crate::xml;

/// A domain. Any call may come from any thread.
pub struct Domain {
    records: Arc<Records>,
    name: Arc<str>,
    pub(super) host: Arc<dyn Host>,
    pub(super) data: Arc<dyn Data>,
    /// Where a program attaches its guest, on an embedded connection.
    guest: Option<Arc<Attachment>>,
    /// As of which generation of the definitions the driver has it under its UUID, and one; 0 for
    /// none.
    stands: AtomicU64,
}

/// What this process knows of a domain's snapshots.
pub(super) struct Records {
    uuid: [u8; 16],
    name: Arc<str>,
    store: Arc<dyn Store>,
    /// [`Store::generation_place`] of the name.
    place: usize,
    /// Filled by the first call that needs it: a state directory may hold many domains that
    /// nobody asks about. Filled anew when another process has changed the domain. An error is
    /// not kept, the next call tries again.
    hierarchy: RwLock<Hierarchy>,
    /// Held while it is filled, so that many threads do not all do the same.
    loading: Mutex<()>,
    /// The problems that the log knows.
    told: Mutex<Vec<Problem>>,
    /// Definitions that snapshots have, for those that come.
    definitions: Mutex<xml::Definitions>,
    /// Who is told of changes.
    pub(super) telling: Arc<Telling>,
    /// Who may change something, in this process.
    writers: Arc<Writers>,
}

/// The loaded snapshots of a domain.
#[derive(Default)]
pub(super) struct Hierarchy {
    pub tree: Tree,
    pub problems: Vec<Problem>,
    /// The store's generation before they were loaded; `None` if they must be loaded anew.
    pub generation: Option<u64>,
    /// Whether some are from a summary: their documents were not read.
    pub is_summarized: bool,
}

/// For reading; no other may change what is behind it meanwhile.
type Reading<'a, T> = MappedRwLockReadGuard<'a, T>;

/// How long a thread waits for another that is loading, before it loads by itself. It may be the
/// one that the other waits for.
const LOADING_WAIT: Duration = Duration::from_millis(50);

impl Records {
    pub(super) fn new(
        uuid: [u8; 16],
        name: Arc<str>,
        store: Arc<dyn Store>,
        listeners: Arc<Listeners>,
        writers: Arc<Writers>,
    ) -> Records {
        Records {
            writers,
            telling: Arc::new(Telling::new(uuid, listeners)),
            uuid,
            place: store.generation_place(&name),
            name,
            store,
            hierarchy: RwLock::default(),
            loading: Mutex::default(),
            told: Mutex::default(),
            definitions: Mutex::default(),
        }
    }
}

impl Domain {
    pub(super) fn new(records: Arc<Records>, host: Arc<dyn Host>, data: Arc<dyn Data>) -> Domain {
        let name = Arc::clone(&records.name);
        Domain::called(name, records, host, data)
    }

    /// A domain whose records stand under another name than its own.
    pub(super) fn called(
        name: Arc<str>,
        records: Arc<Records>,
        host: Arc<dyn Host>,
        data: Arc<dyn Data>,
    ) -> Domain {
        Domain {
            records,
            name,
            host,
            data,
            guest: None,
            stands: AtomicU64::new(0),
        }
    }

    /// Notes that it is the domain of its UUID as of that generation of the definitions.
    pub(super) fn stand(&self, generation: Option<u64>) {
        let noted = generation.map_or(0, |generation| generation.wrapping_add(1));
        self.stands.store(noted, Ordering::Release);
    }

    /// Whether it is the domain of its UUID as of that generation.
    pub(super) fn stands(&self, generation: Option<u64>) -> bool {
        let noted = generation.map_or(0, |generation| generation.wrapping_add(1));
        noted != 0 && self.stands.load(Ordering::Acquire) == noted
    }

    /// The name under which the store knows it.
    pub(super) fn key(&self) -> &str {
        &self.records.name
    }

    /// With a place where a program attaches its guest.
    pub(super) fn with_guest(self, guest: Arc<Attachment>) -> Domain {
        Domain {
            guest: Some(guest),
            ..self
        }
    }

    /// Where a program attaches its guest and its hooks, and cancels what takes long.
    pub fn guest(&self) -> Result<&Attachment> {
        self.guest.as_deref().ok_or(Error::Unsupported {
            what: "attaching a guest to the domain is",
        })
    }

    /// The same domain, with the definition that was found stored.
    pub(super) fn with_definition(self: &Arc<Self>, definition: String) -> Arc<Domain> {
        let is_same = self
            .host
            .definition()
            .is_ok_and(|known| *known == *definition);
        if !is_same {
            self.host.set_definition(definition.into());
        }
        Arc::clone(self)
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.records.store
    }

    /// The definitions that its snapshots were seen to have. Held for the reading of a document.
    pub(super) fn definitions(&self) -> MutexGuard<'_, xml::Definitions> {
        self.records.definitions.lock()
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether what a crash cut off may be settled now: not by who may change nothing.
    pub(super) fn may_settle(&self) -> bool {
        self.data
            .executor()
            .is_none_or(|executor| executor.may_change())
    }

    /// Whether what is read of its documents may be kept for who loads them next: not where all may
    /// only read.
    pub(super) fn may_keep_summary(&self) -> bool {
        self.records.writers.are_there()
    }

    /// Who is told of its changes.
    pub(super) fn telling(&self) -> &Arc<Telling> {
        &self.records.telling
    }

    /// Tells from now on what changes, beginning with what there is now, if it was ever looked at.
    pub(super) fn begin_telling(&self) {
        let was_loaded = self.records.hierarchy.read().generation.is_some();
        if !was_loaded || self.telling().has_begun() {
            return;
        }
        // What cannot be loaded is said to the next one who needs it.
        if let Ok(hierarchy) = self.hierarchy() {
            self.telling().begin(&hierarchy.tree);
        }
    }

    /// Its UUID.
    pub fn uuid(&self) -> &[u8; 16] {
        &self.records.uuid
    }

    /// Its state now.
    pub fn state(&self) -> Result<State> {
        self.host.state()
    }

    /// Whose rules hold: those of libvirt's driver, or its QEMU driver's.
    pub(super) fn driver(&self) -> Driver {
        let executor = self.data.executor();
        executor.map_or(Driver::Qemu, |executor| executor.driver())
    }

    /// Its definition, ended by a line break as libvirt's; without `secure` without passwords.
    pub fn definition(&self, secure: bool) -> Result<String> {
        let definition = self.host.definition()?;
        let mut text = if secure {
            definition.to_string()
        } else {
            xml::without_secrets(&definition).into_owned()
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        memory::check()?;
        Ok(text)
    }

    /// The store's generation of its snapshots now.
    #[inline(always)]
    pub(super) fn generation(&self) -> Option<u64> {
        self.store().generation_at(self.key(), self.records.place)
    }

    /// The snapshots as they are stored now, loaded if they are not yet or not any more.
    #[inline(always)]
    pub(super) fn hierarchy(&self) -> Result<Reading<'_, Hierarchy>> {
        match self.known(self.generation()) {
            Some(known) => Ok(known),
            None => self.loaded(),
        }
    }

    #[cold]
    fn loaded(&self) -> Result<Reading<'_, Hierarchy>> {
        let loading = self.records.loading.try_lock_for(LOADING_WAIT);
        if let Some(known) = self.known(self.generation()) {
            return Ok(known);
        }
        let loaded = load::hierarchy(self, Believe::Summary)?;
        drop(loading);
        memory::check()?;
        Ok(self.put_in_place(loaded))
    }

    /// What is wrong with what stands in each file. A summary that still has what is wrong goes.
    pub(super) fn problems_of_documents(&self) -> Result<Vec<Problem>> {
        let read = load::hierarchy(self, Believe::Documents)?;
        memory::check()?;
        Ok(read.problems)
    }

    /// Makes what was loaded what is known, if nobody else has put in place what is newer.
    fn put_in_place(&self, loaded: Hierarchy) -> Reading<'_, Hierarchy> {
        let told = std::mem::replace(&mut *self.records.told.lock(), loaded.problems.clone());
        problem::tell(&loaded.problems, &told);
        let mut place = self.records.hierarchy.write();
        let now = self.generation();
        // Another may have loaded faster what is newer; and nobody comes between the two steps
        // below with what is older.
        if now.is_none() || place.generation != now {
            *place = loaded;
        }
        let place = RwLockWriteGuard::downgrade(place);
        let generation = place.generation;
        let is_newest = || generation.is_some() && generation == self.generation();
        self.telling().loaded(&self.name, &place.tree, is_newest);
        RwLockReadGuard::map(place, |hierarchy| hierarchy)
    }

    /// The snapshots in memory, if they are those of that generation.
    #[inline(always)]
    fn known(&self, generation: Option<u64>) -> Option<Reading<'_, Hierarchy>> {
        let known = RwLockReadGuard::map(self.records.hierarchy.read(), |hierarchy| hierarchy);
        (generation.is_some() && known.generation == generation).then_some(known)
    }

    /// Reads the snapshots anew at the next call. What is known of problems stays known.
    pub(super) fn forget(&self) {
        self.records.hierarchy.write().generation = None;
    }

    /// Whether nobody holds the tree.
    #[cfg(test)]
    pub(super) fn is_let_go(&self) -> bool {
        self.records.hierarchy.try_write().is_some()
    }

    /// The tree, for reading. Nobody works on a disk, or calls the program, while it is held: who
    /// waits to write keeps other readers out.
    pub(super) fn tree(&self) -> Result<Reading<'_, Tree>> {
        self.hierarchy()
            .map(|hierarchy| Reading::map(hierarchy, |hierarchy| &hierarchy.tree))
    }

    /// All snapshots as they are now, parents before their children.
    pub(super) fn everything(&self) -> Result<Vec<Arc<Snapshot>>> {
        Ok(self.tree()?.all().cloned().collect())
    }

    /// Changes the tree as the store was just changed. Only the domain's writer may: as long as it
    /// has the lock, nothing else can have changed what is in memory.
    ///
    /// `before` is the store's generation from before the change. What is in memory may be older: a
    /// reader may have put it there that began to load long ago. Then it is loaded anew.
    pub(super) fn change_tree(&self, before: Option<u64>, change: impl FnOnce(&mut Tree)) {
        let generation = self.generation();
        let mut hierarchy = self.records.hierarchy.write();
        // What stands in memory from the reserve is not for long.
        let is_known = before.is_some() && hierarchy.generation == before;
        if is_known && !memory::was_refused() {
            change(&mut hierarchy.tree);
            hierarchy.generation = generation;
        } else {
            hierarchy.generation = None;
        }
    }

    /// A snapshot's document. Nothing waits: a change under way is not seen until it is done.
    pub fn snapshot_xml<'a>(&self, snapshot: impl Into<Named<'a>>, secure: bool) -> Result<String> {
        let snapshot = Arc::clone(self.tree()?.get(snapshot)?);
        // Nobody waits for a reader of documents to say so.
        let known = || self.records.definitions.try_lock();
        let secure = secure || known().is_some_and(|mut known| known.hide_nothing_in(&snapshot));
        let document = xml::format(&snapshot, xml::Form::Public { secure });
        memory::check()?;
        Ok(document)
    }

    /// The domain's snapshots that the flags select, parents before descendants.
    pub fn list(&self, flags: ListFlags) -> Result<Vec<Found>> {
        self.found(domain_scope(flags), flags)
    }

    /// The snapshots below `parent` that the flags select, parents before descendants.
    pub fn list_children<'a>(
        &self,
        parent: impl Into<Named<'a>>,
        flags: ListFlags,
    ) -> Result<Vec<Found>> {
        self.found(children_scope(parent.into(), flags), flags)
    }

    fn found(&self, scope: Scope<'_>, flags: ListFlags) -> Result<Vec<Found>> {
        let tree = self.tree()?;
        let listed = tree.list(scope, flags.filter())?;
        Ok(listed.map(Listed::found).collect())
    }

    /// What `take` makes of each name that [`Domain::list`] would give, until there are `limit`.
    pub fn names<T>(
        &self,
        flags: ListFlags,
        limit: usize,
        take: impl Fn(&str) -> T,
    ) -> Result<Vec<T>> {
        self.taken(domain_scope(flags), flags, limit, take)
    }

    /// As [`Domain::names`], below `parent`.
    pub fn names_of_children<'a, T>(
        &self,
        parent: impl Into<Named<'a>>,
        flags: ListFlags,
        limit: usize,
        take: impl Fn(&str) -> T,
    ) -> Result<Vec<T>> {
        self.taken(children_scope(parent.into(), flags), flags, limit, take)
    }

    fn taken<T>(
        &self,
        scope: Scope<'_>,
        flags: ListFlags,
        limit: usize,
        take: impl Fn(&str) -> T,
    ) -> Result<Vec<T>> {
        let tree = self.tree()?;
        let listed = tree.list(scope, flags.filter())?.take(limit);
        Ok(listed.map(|listed| take(listed.name())).collect())
    }

    /// How many [`Domain::list`] would give.
    pub fn count(&self, flags: ListFlags) -> Result<usize> {
        self.tree()?.count(domain_scope(flags), flags.filter())
    }

    /// How many [`Domain::list_children`] would give.
    pub fn count_children<'a>(
        &self,
        parent: impl Into<Named<'a>>,
        flags: ListFlags,
    ) -> Result<usize> {
        self.tree()?
            .count(children_scope(parent.into(), flags), flags.filter())
    }

    /// The snapshot of that name.
    pub fn lookup(&self, name: &str) -> Result<Found> {
        self.tree()?.look_up(name)
    }

    /// Whether there is a current snapshot.
    pub fn has_current(&self) -> Result<bool> {
        Ok(self.tree()?.current().is_some())
    }

    /// Name of the current snapshot, if there is one.
    pub fn current(&self) -> Result<Option<Arc<str>>> {
        Ok(self.find_current()?.map(|current| current.name))
    }

    /// The current snapshot, if there is one.
    pub fn find_current(&self) -> Result<Option<Found>> {
        Ok(self.tree()?.find_current())
    }

    /// A snapshot's parent.
    pub fn parent<'a>(&self, snapshot: impl Into<Named<'a>>) -> Result<Found> {
        self.tree()?.parent(snapshot)
    }

    /// Whether the snapshot is the current one.
    pub fn is_current<'a>(&self, snapshot: impl Into<Named<'a>>) -> Result<bool> {
        self.tree()?.is_current(snapshot)
    }

    /// Whether the snapshot has metadata: it has, if it exists.
    pub fn has_metadata<'a>(&self, snapshot: impl Into<Named<'a>>) -> Result<bool> {
        self.tree()?.check_present(snapshot.into()).map(|()| true)
    }
}

fn domain_scope(flags: ListFlags) -> Scope<'static> {
    if flags.has_first() {
        Scope::Roots
    } else {
        Scope::All
    }
}

fn children_scope(parent: Named<'_>, flags: ListFlags) -> Scope<'_> {
    if flags.has_first() {
        Scope::Descendants(parent)
    } else {
        Scope::Children(parent)
    }
}
