//! The hierarchy of one domain's snapshots: pure data, no I/O, no XML.
//!
//! Snapshots by name, children in one stable order (creation time, then name), at most one current
//! snapshot. Nothing here recurses, so depth costs memory and nothing else.
//!
//! A change is a [`Plan`] first. Making one can be refused and changes nothing; applying one
//! cannot fail.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::snapshot::Snapshot;

mod filter;
mod order;
mod place;
mod plan;
mod walk;

pub use filter::{Filter, Scope, States};
pub use place::{Found, Named, Place};
pub use plan::{Change, Deletion, Plan};

use order::Order;
use place::Stamp;
use walk::Preorder;

/// One domain's snapshots.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Option<Node>>,
    free: Vec<NodeId>,
    names: HashMap<Arc<str>, NodeId, foldhash::fast::RandomState>,
    roots: Vec<NodeId>,
    current: Option<NodeId>,
    stamp: Stamp,
    /// Of the tree as it stands.
    order: OnceLock<Order>,
    /// How many nodes were walked for want of the order.
    walked: AtomicUsize,
    /// Roots that name a parent: their parent's document is missing or part of a cycle.
    orphans: usize,
    /// Snapshots that may have files of their own.
    with_files: usize,
}

type NodeId = u32;

#[derive(Debug)]
struct Node {
    snapshot: Arc<Snapshot>,
    /// The snapshot's, here for lists: one step less through memory for each entry.
    name: Arc<str>,
    /// `None` for a root, also for one that names a missing parent.
    parent: Option<NodeId>,
    /// Ordered as [`sibling_order`] says.
    children: Vec<NodeId>,
}

/// One snapshot of a list.
#[derive(Clone, Copy)]
pub struct Listed<'a> {
    tree: &'a Tree,
    id: NodeId,
}

impl<'a> Listed<'a> {
    /// Its name.
    pub fn name(self) -> &'a Arc<str> {
        &self.tree.node(self.id).name
    }

    /// As a program remembers it.
    pub fn found(self) -> Found {
        self.tree.found(self.id)
    }

    fn passes(self, filter: Filter) -> bool {
        let node = self.tree.node(self.id);
        filter.passes(&node.snapshot, node.children.is_empty())
    }
}

#[cold]
fn missing(name: &str) -> Error {
    Error::SnapshotMissing {
        name: name.to_owned(),
    }
}

/// Oldest first; among equals by name. It depends on nothing but the snapshots themselves, so
/// every process lists the same order.
fn sibling_order(a: &Snapshot, b: &Snapshot) -> std::cmp::Ordering {
    a.creation_time
        .cmp(&b.creation_time)
        .then_with(|| a.name.cmp(&b.name))
}

impl Tree {
    /// The same snapshots in a tree of one's own. Places in this one are of no use there.
    pub fn copy(&self) -> Tree {
        let current = self.current().map(|current| &*current.name);
        Tree::load(self.all().cloned(), current)
    }

    /// The tree of loaded snapshots, whatever order they come in.
    ///
    /// A snapshot whose parent is missing becomes a root and keeps the parent's name. Of each
    /// cycle the first snapshot in sibling order becomes a root. Of two snapshots with one name
    /// the first stays. An unknown `current` is none.
    pub fn load(snapshots: impl IntoIterator<Item = Arc<Snapshot>>, current: Option<&str>) -> Tree {
        let mut ordered: Vec<_> = snapshots.into_iter().collect();
        ordered.sort_by(|a, b| sibling_order(a, b));
        let mut tree = Tree {
            stamp: Stamp::new(),
            ..Tree::default()
        };
        for snapshot in ordered {
            if !tree.names.contains_key(&snapshot.name) {
                tree.add_node(snapshot);
            }
        }
        tree.link_all();
        tree.current = current.and_then(|name| tree.names.get(name).copied());
        tree
    }

    /// Links every node, in sibling order, below its parent; then makes unreachable ones roots.
    fn link_all(&mut self) {
        let ids = 0..NodeId::try_from(self.nodes.len()).unwrap_or(NodeId::MAX);
        for id in ids.clone() {
            let parent = self.named_parent(id);
            self.node_mut(id).parent = parent;
            self.siblings_mut(parent).push(id);
        }
        let mut reached = vec![false; self.nodes.len()];
        self.mark_below(None, &mut reached);
        for id in ids {
            if reached.get(id as usize) == Some(&false) {
                self.unlink(id);
                self.link(id, None);
                self.mark_below(Some(id), &mut reached);
            }
        }
        self.orphans = self
            .roots
            .iter()
            .filter(|&&id| self.node(id).snapshot.parent.is_some())
            .count();
    }

    fn mark_below(&self, top: Option<NodeId>, reached: &mut [bool]) {
        for id in top.into_iter().chain(Preorder::below(self, top)) {
            if let Some(mark) = reached.get_mut(id as usize) {
                *mark = true;
            }
        }
    }

    /// The node that a node's snapshot names as its parent.
    fn named_parent(&self, id: NodeId) -> Option<NodeId> {
        let parent = self.node(id).snapshot.parent.as_ref()?;
        self.names.get(parent).copied()
    }

    /// Roots that name a parent, and that parent: it is missing, or descends from them.
    pub fn orphans(&self) -> impl Iterator<Item = (&Arc<Snapshot>, &Arc<str>)> {
        self.roots.iter().filter_map(|&id| {
            let snapshot = &self.node(id).snapshot;
            Some((snapshot, snapshot.parent.as_ref()?))
        })
    }

    /// How many snapshots there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether any snapshot may have files of its own.
    pub fn may_have_files(&self) -> bool {
        self.with_files > 0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The snapshot of that name.
    pub fn get<'a>(&self, name: impl Into<Named<'a>>) -> Result<&Arc<Snapshot>> {
        self.find(name.into()).map(|id| &self.node(id).snapshot)
    }

    /// The snapshot of that name, as a program remembers it.
    pub fn look_up(&self, name: &str) -> Result<Found> {
        let known = self.names.get_key_value(name);
        let (name, &id) = known.ok_or_else(|| missing(name))?;
        Ok(Found {
            name: Arc::clone(name),
            place: Place::of(&self.stamp, id),
        })
    }

    /// Fails if there is no such snapshot.
    pub fn check_present(&self, snapshot: Named<'_>) -> Result<()> {
        self.find(snapshot).map(drop)
    }

    /// Whether there is a snapshot of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// The snapshot that would become the parent of the next one.
    pub fn current(&self) -> Option<&Arc<Snapshot>> {
        self.current.map(|id| &self.node(id).snapshot)
    }

    /// As [`Tree::current`], as a program remembers it.
    pub fn find_current(&self) -> Option<Found> {
        self.current.map(|id| self.found(id))
    }

    /// Whether the named snapshot is the current one.
    pub fn is_current<'a>(&self, name: impl Into<Named<'a>>) -> Result<bool> {
        self.find(name.into()).map(|id| self.current == Some(id))
    }

    /// The parent of the named snapshot. A root has none; a parent whose document is missing is
    /// an error of its own.
    pub fn parent<'a>(&self, name: impl Into<Named<'a>>) -> Result<Found> {
        let name = name.into();
        let node = self.node(self.find(name)?);
        match (node.parent, &node.snapshot.parent) {
            (Some(parent), _) => Ok(self.found(parent)),
            // libvirt hands out a handle to a snapshot that does not exist (differences.md D55).
            (None, Some(parent)) => Err(missing(parent)),
            (None, None) => Err(Error::NoParent {
                name: name.name.to_owned(),
            }),
        }
    }

    /// All snapshots, parents before their descendants.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Snapshot>> {
        Preorder::below(self, None).map(|id| &self.node(id).snapshot)
    }

    /// The snapshots of a list, parents before their descendants.
    pub fn list(
        &self,
        scope: Scope<'_>,
        filter: Filter,
    ) -> Result<impl Iterator<Item = Listed<'_>>> {
        let (nodes, rest) = self.listed(scope, filter)?;
        let has_all = rest == Filter::default();
        let listed = (0..nodes.len()).filter_map(move |place| nodes.get(place).copied());
        Ok(listed
            .map(|id| Listed { tree: self, id })
            .filter(move |listed| has_all || listed.passes(rest)))
    }

    /// How many snapshots [`Tree::list`] would give.
    pub fn count(&self, scope: Scope<'_>, filter: Filter) -> Result<usize> {
        if filter == Filter::default() {
            match scope {
                Scope::All => return Ok(self.len()),
                Scope::Roots => return Ok(self.roots.len()),
                Scope::Children(name) => return Ok(self.node(self.find(name)?).children.len()),
                Scope::Descendants(_) => {}
            }
        }
        let (nodes, rest) = self.listed(scope, filter)?;
        if rest == Filter::default() {
            return Ok(nodes.len());
        }
        Ok(self.list(scope, filter)?.count())
    }

    /// The nodes of a list, and what is still to be left out of them.
    fn listed(&self, scope: Scope<'_>, filter: Filter) -> Result<(Cow<'_, [NodeId]>, Filter)> {
        let top = match scope {
            Scope::All => None,
            Scope::Roots => return Ok((self.siblings(None).into(), filter)),
            Scope::Children(name) => {
                return Ok((self.siblings(Some(self.find(name)?)).into(), filter));
            }
            Scope::Descendants(name) => Some(self.find(name)?),
        };
        let Some(order) = self.order_for(top) else {
            let below: Vec<_> = Preorder::below(self, top).collect();
            self.walked.fetch_add(below.len(), Ordering::Relaxed);
            return Ok((below.into(), filter));
        };
        if filter.leaves == Some(true) {
            let rest = Filter {
                leaves: None,
                ..filter
            };
            return Ok((order.leaves_below(top).into(), rest));
        }
        Ok((order.below(top).into(), filter))
    }

    /// The order, if it is there or pays: for the whole tree, and once as much was walked in parts.
    fn order_for(&self, top: Option<NodeId>) -> Option<&Order> {
        if top.is_none() || self.walked.load(Ordering::Relaxed) >= self.len() {
            return Some(self.order.get_or_init(|| Order::of(self)));
        }
        self.order.get()
    }

    /// Makes the tree forget what it knows of its order.
    fn forget_order(&mut self) {
        self.order = OnceLock::new();
        self.walked = AtomicUsize::new(0);
    }

    #[inline(always)]
    fn find(&self, snapshot: Named<'_>) -> Result<NodeId> {
        let known = snapshot.place.and_then(|place| place.get(&self.stamp));
        if let Some(id) = known {
            return Ok(id);
        }
        let id = self.names.get(snapshot.name).copied();
        let id = id.ok_or_else(|| missing(snapshot.name))?;
        if let Some(place) = snapshot.place {
            place.set(&self.stamp, id);
        }
        Ok(id)
    }

    fn found(&self, id: NodeId) -> Found {
        Found {
            name: Arc::clone(&self.node(id).name),
            place: Place::of(&self.stamp, id),
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "ids are made here and die with their node"
    )]
    #[expect(
        clippy::expect_used,
        reason = "ids are made here and die with their node"
    )]
    #[inline(always)]
    fn node(&self, id: NodeId) -> &Node {
        self.nodes[id as usize].as_ref().expect("a live node id")
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "ids are made here and die with their node"
    )]
    #[expect(
        clippy::expect_used,
        reason = "ids are made here and die with their node"
    )]
    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id as usize].as_mut().expect("a live node id")
    }

    fn siblings_mut(&mut self, parent: Option<NodeId>) -> &mut Vec<NodeId> {
        match parent {
            Some(parent) => &mut self.node_mut(parent).children,
            None => &mut self.roots,
        }
    }

    fn siblings(&self, parent: Option<NodeId>) -> &[NodeId] {
        match parent {
            Some(parent) => &self.node(parent).children,
            None => &self.roots,
        }
    }

    fn add_node(&mut self, snapshot: Arc<Snapshot>) -> NodeId {
        let name = Arc::clone(&snapshot.name);
        self.with_files += usize::from(snapshot.may_have_files());
        let node = Some(Node {
            name: Arc::clone(&name),
            snapshot,
            parent: None,
            children: Vec::new(),
        });
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(slot) = self.nodes.get_mut(id as usize) {
                    *slot = node;
                }
                id
            }
            None => {
                self.nodes.push(node);
                NodeId::try_from(self.nodes.len() - 1).unwrap_or(NodeId::MAX)
            }
        };
        self.names.insert(name, id);
        id
    }

    /// Where a node stands, or would stand, among those siblings.
    fn position(&self, id: NodeId, siblings: &[NodeId]) -> std::result::Result<usize, usize> {
        let own = &self.node(id).snapshot;
        siblings.binary_search_by(|&other| sibling_order(&self.node(other).snapshot, own))
    }

    fn link(&mut self, id: NodeId, parent: Option<NodeId>) {
        let (Ok(place) | Err(place)) = self.position(id, self.siblings(parent));
        self.node_mut(id).parent = parent;
        self.siblings_mut(parent).insert(place, id);
        if parent.is_none() && self.node(id).snapshot.parent.is_some() {
            self.orphans += 1;
        }
    }

    fn unlink(&mut self, id: NodeId) {
        let parent = self.node(id).parent;
        if parent.is_none() && self.node(id).snapshot.parent.is_some() {
            self.orphans = self.orphans.saturating_sub(1);
        }
        if let Ok(place) = self.position(id, self.siblings(parent)) {
            self.siblings_mut(parent).remove(place);
        }
    }
}

#[cfg(test)]
mod tests;
