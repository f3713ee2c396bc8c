//! Who is told of the domains of one state directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::{Event, EventKind};

/// The function that is told.
pub type Function = Box<dyn Fn(&Event) + Send + Sync>;

/// One who is told.
pub struct Listener {
    id: i32,
    uuid: Option<[u8; 16]>,
    kind: Option<EventKind>,
    /// It was not taken away yet.
    is_there: AtomicBool,
    function: Function,
}

impl Listener {
    fn wants(&self, event: &Event) -> bool {
        self.uuid.is_none_or(|uuid| uuid == event.uuid)
            && self.kind.is_none_or(|kind| kind == event.kind)
    }
}

/// All who are told.
#[derive(Default)]
pub struct Listeners {
    all: RwLock<Vec<Arc<Listener>>>,
    count: AtomicUsize,
    /// How often there was one after there had been none.
    beginnings: AtomicUsize,
}

/// The numbers of listeners, in the whole process.
static NEXT: AtomicI32 = AtomicI32::new(0);

impl Listeners {
    /// Whether there are none: then nobody needs to prepare anything.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// How often there was one after there had been none: what was kept for those before is of no use to
    /// those now.
    pub fn beginnings(&self) -> usize {
        self.beginnings.load(Ordering::Acquire)
    }

    /// Adds one, for one domain or all, one kind of event or all. Its number.
    pub fn add(&self, uuid: Option<[u8; 16]>, kind: Option<EventKind>, function: Function) -> i32 {
        // After two thousand million of them they begin anew.
        let id = NEXT.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let listener = Arc::new(Listener {
            id,
            uuid,
            kind,
            is_there: AtomicBool::new(true),
            function,
        });
        let mut all = self.all.write();
        if all.is_empty() {
            self.beginnings.fetch_add(1, Ordering::Release);
        }
        all.push(listener);
        self.count.store(all.len(), Ordering::Release);
        id
    }

    /// Takes one away; `None` if there is none of that number. It is told nothing more when what is
    /// answered is given up.
    pub fn remove(&self, id: i32) -> Option<Arc<Listener>> {
        let mut all = self.all.write();
        let place = all.iter().position(|listener| listener.id == id)?;
        let listener = all.remove(place);
        self.count.store(all.len(), Ordering::Release);
        listener.is_there.store(false, Ordering::Release);
        Some(listener)
    }

    /// Tells all who want to know. No lock is held meanwhile.
    pub fn tell(&self, event: &Event) {
        let wanting: Vec<Arc<Listener>> = {
            let all = self.all.read();
            let wanting = all.iter().filter(|listener| listener.wants(event));
            wanting.cloned().collect()
        };
        for listener in wanting {
            // One of them may have taken the next away.
            if listener.is_there.load(Ordering::Acquire) {
                (listener.function)(event);
            }
        }
    }
}
