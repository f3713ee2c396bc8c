//! Where a snapshot stands: found there again without its name, as long as none has gone since.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::NodeId;

/// Bits of a place that number the node; the others are the tree's stamp.
const NODE_BITS: u32 = 24;

/// The last stamp that was given out.
static LAST_STAMP: AtomicU64 = AtomicU64::new(0);

/// What the numbers of nodes mean: another for each tree, and another once a node has gone, whose
/// number the next one may get. Zero in an empty tree that was never loaded.
#[derive(Debug, Default)]
pub(super) struct Stamp(u64);

impl Stamp {
    /// As none was before. They repeat after 2^40: a million removals a second for twelve days,
    /// with a handle that was not used meanwhile.
    pub(super) fn new() -> Stamp {
        Stamp(LAST_STAMP.fetch_add(1, Ordering::Relaxed).wrapping_add(1) << NODE_BITS)
    }
}

/// Where a snapshot was found last, if it was.
#[derive(Debug, Default)]
pub struct Place(AtomicU64);

impl Place {
    pub(super) fn of(stamp: &Stamp, id: NodeId) -> Place {
        let place = Place::default();
        place.set(stamp, id);
        place
    }

    pub(super) fn set(&self, stamp: &Stamp, id: NodeId) {
        if id < 1 << NODE_BITS {
            self.0.store(stamp.0 | u64::from(id), Ordering::Relaxed);
        }
    }

    /// The node, if it must still be the one.
    pub(super) fn get(&self, stamp: &Stamp) -> Option<NodeId> {
        let place = self.0.load(Ordering::Relaxed);
        let id = place & ((1 << NODE_BITS) - 1);
        if place - id != stamp.0 || stamp.0 == 0 {
            return None;
        }
        NodeId::try_from(id).ok()
    }
}

/// A snapshot that was found: what it is called, and where it stands.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub name: Arc<str>,
    /// Where it stands.
    pub place: Place,
}

impl From<Arc<str>> for Found {
    /// It stands somewhere.
    fn from(name: Arc<str>) -> Found {
        Found {
            name,
            place: Place::default(),
        }
    }
}

impl AsRef<str> for Found {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A snapshot that is meant.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) place: Option<&'a Place>,
}

impl<'a> Named<'a> {
    /// By its name; the place is where it was found last, and is noted anew where it is another.
    pub fn at(name: &'a str, place: &'a Place) -> Named<'a> {
        Named {
            name,
            place: Some(place),
        }
    }
}

impl<'a> From<&'a Found> for Named<'a> {
    fn from(found: &'a Found) -> Named<'a> {
        Named::at(&found.name, &found.place)
    }
}

impl<'a> From<&'a str> for Named<'a> {
    fn from(name: &'a str) -> Named<'a> {
        Named { name, place: None }
    }
}

impl<'a> From<&'a Arc<str>> for Named<'a> {
    fn from(name: &'a Arc<str>) -> Named<'a> {
        Named::from(&**name)
    }
}

impl<'a> From<&'a String> for Named<'a> {
    fn from(name: &'a String) -> Named<'a> {
        Named::from(name.as_str())
    }
}
