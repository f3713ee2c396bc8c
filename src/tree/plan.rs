//! Changes of a tree: made as data, checked, shown, stored, and only then applied.
//!
//! What becomes current follows libvirt's QEMU driver (shared rules: its documentation of
//! virDomainSnapshotDelete and virDomainSnapshotCreateXML).

use std::collections::HashSet;
use std::sync::Arc;

use super::place::Stamp;
use super::walk::Preorder;
use super::{NodeId, Tree};
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;

/// What a tree becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Snapshots that come or change.
    pub put: Vec<Arc<Snapshot>>,
    /// Snapshots that go, children before their parents.
    pub drop: Vec<Arc<Snapshot>>,
    /// The current snapshot afterwards.
    pub current: Option<Arc<str>>,
}

impl Plan {
    /// The names of the snapshots that go.
    pub fn gone(&self) -> HashSet<&str> {
        self.drop.iter().map(|snapshot| &*snapshot.name).collect()
    }
}

/// A plan seen from the store: documents, each with the mark of the current snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Documents to write, and whether each is the current snapshot's.
    pub write: Vec<(Arc<Snapshot>, bool)>,
    /// Documents to remove.
    pub remove: Vec<Arc<str>>,
}

/// Which snapshots a delete removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The snapshot alone; its children move up to its parent.
    One,
    /// The snapshot and everything below it.
    WithDescendants,
    /// Everything below it.
    DescendantsOnly,
}

impl Tree {
    /// Adds a new snapshot below the current one and makes it current.
    pub fn plan_create(&self, mut snapshot: Snapshot) -> Result<Plan> {
        if self.contains(&snapshot.name) {
            return Err(Error::SnapshotExists {
                name: snapshot.name.to_string(),
            });
        }
        snapshot.parent = self.current().map(|current| Arc::clone(&current.name));
        let current = Some(Arc::clone(&snapshot.name));
        Ok(Plan {
            put: vec![Arc::new(snapshot)],
            drop: Vec::new(),
            current,
        })
    }

    /// Adds or replaces a snapshot that says itself who its parent is.
    pub fn plan_redefine(&self, snapshot: Snapshot, becomes_current: bool) -> Result<Plan> {
        self.check_parent(&snapshot)?;
        let current = if becomes_current {
            Some(Arc::clone(&snapshot.name))
        } else {
            self.current_name()
        };
        Ok(Plan {
            put: vec![Arc::new(snapshot)],
            drop: Vec::new(),
            current,
        })
    }

    /// Refuses a parent that is the snapshot itself, is missing, or is one of its descendants.
    pub fn check_parent(&self, snapshot: &Snapshot) -> Result<()> {
        let Some(parent) = &snapshot.parent else {
            return Ok(());
        };
        let name = &snapshot.name;
        if parent == name {
            return Err(Error::OwnParent {
                name: name.to_string(),
            });
        }
        let Some(&parent) = self.names.get(parent) else {
            return Err(Error::ParentMissing {
                parent: parent.to_string(),
                name: name.to_string(),
            });
        };
        // Only a node that is in the tree already can be an ancestor of its new parent; and one
        // without children cannot either.
        match self.names.get(name) {
            Some(&own) if !self.node(own).children.is_empty() => self.check_cycle(own, parent),
            _ => Ok(()),
        }
    }

    fn check_cycle(&self, own: NodeId, parent: NodeId) -> Result<()> {
        let mut below = parent;
        while let Some(above) = self.node(below).parent {
            if above == own {
                return Err(Error::Cycle {
                    parent: self.node(below).snapshot.name.to_string(),
                    name: self.node(own).snapshot.name.to_string(),
                });
            }
            below = above;
        }
        Ok(())
    }

    /// Removes snapshots. A removed current snapshot hands its role to the nearest ancestor that
    /// stays; a removed current root hands it to nobody.
    pub fn plan_delete(&self, name: &str, deletion: Deletion) -> Result<Plan> {
        let target = self.find(name.into())?;
        let drop = self.dropped(target, deletion);
        let gone: HashSet<NodeId> = drop.iter().copied().collect();
        let put = match deletion {
            Deletion::One => self.moved_up(target),
            Deletion::WithDescendants | Deletion::DescendantsOnly => Vec::new(),
        };
        let mut current = self.current;
        while let Some(id) = current.filter(|id| gone.contains(id)) {
            current = self.node(id).parent;
        }
        Ok(Plan {
            put,
            drop: drop
                .iter()
                .map(|&id| Arc::clone(&self.node(id).snapshot))
                .collect(),
            current: current.map(|id| Arc::clone(&self.node(id).snapshot.name)),
        })
    }

    /// The nodes that go, children before parents.
    fn dropped(&self, target: NodeId, deletion: Deletion) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = match deletion {
            Deletion::One => vec![target],
            Deletion::WithDescendants => std::iter::once(target)
                .chain(Preorder::below(self, Some(target)))
                .collect(),
            Deletion::DescendantsOnly => Preorder::below(self, Some(target)).collect(),
        };
        nodes.reverse();
        nodes
    }

    /// The children of a node, as they are once it is gone.
    fn moved_up(&self, target: NodeId) -> Vec<Arc<Snapshot>> {
        let node = self.node(target);
        node.children
            .iter()
            .map(|&child| {
                let mut snapshot = Snapshot::clone(&self.node(child).snapshot);
                snapshot.parent.clone_from(&node.snapshot.parent);
                Arc::new(snapshot)
            })
            .collect()
    }

    /// Changes nothing.
    pub fn plan_keep(&self) -> Plan {
        Plan {
            current: self.current_name(),
            ..Plan::default()
        }
    }

    /// Makes a snapshot current.
    pub fn plan_current(&self, name: &str) -> Result<Plan> {
        let name = Arc::clone(&self.get(name)?.name);
        Ok(Plan {
            put: Vec::new(),
            drop: Vec::new(),
            current: Some(name),
        })
    }

    /// Removes every snapshot.
    pub fn plan_clear(&self) -> Plan {
        let mut drop: Vec<_> = Preorder::below(self, None)
            .map(|id| Arc::clone(&self.node(id).snapshot))
            .collect();
        drop.reverse();
        Plan {
            put: Vec::new(),
            drop,
            current: None,
        }
    }

    /// The documents that a plan changes: what it puts and drops, and those of the old and the
    /// new current snapshot, whose mark changes.
    pub fn change(&self, plan: &Plan) -> Change {
        let is_current = |name: &Arc<str>| plan.current.as_ref() == Some(name);
        let mut write: Vec<_> = plan
            .put
            .iter()
            .map(|snapshot| (Arc::clone(snapshot), is_current(&snapshot.name)))
            .collect();
        let before = self.current_name();
        if before != plan.current {
            for name in [before, plan.current.clone()].into_iter().flatten() {
                let is_written = plan.put.iter().any(|snapshot| snapshot.name == name);
                let is_dropped = plan.drop.iter().any(|snapshot| snapshot.name == name);
                if let (false, false, Ok(snapshot)) = (is_written, is_dropped, self.get(&name)) {
                    write.push((Arc::clone(snapshot), is_current(&name)));
                }
            }
        }
        let remove = plan
            .drop
            .iter()
            .map(|snapshot| Arc::clone(&snapshot.name))
            .collect();
        Change { write, remove }
    }

    /// Carries a plan out. It must have been made from the tree as it stands.
    pub fn apply(&mut self, plan: &Plan) {
        self.forget_order();
        for snapshot in &plan.put {
            self.put(Arc::clone(snapshot));
        }
        for snapshot in &plan.drop {
            self.remove(&snapshot.name);
        }
        if !plan.drop.is_empty() {
            self.stamp = Stamp::new();
        }
        self.current = plan
            .current
            .as_ref()
            .and_then(|name| self.names.get(name).copied());
    }

    fn put(&mut self, snapshot: Arc<Snapshot>) {
        let id = match self.names.get(&snapshot.name).copied() {
            Some(id) => {
                self.unlink(id);
                self.with_files += usize::from(snapshot.may_have_files());
                let node = self.node_mut(id);
                node.name = Arc::clone(&snapshot.name);
                let before = std::mem::replace(&mut node.snapshot, snapshot);
                self.with_files -= usize::from(before.may_have_files());
                id
            }
            None => self.add_node(snapshot),
        };
        let parent = self.named_parent(id);
        self.link(id, parent);
        if self.orphans > 0 {
            self.adopt_orphans(id);
        }
    }

    /// Takes roots that name this node as their parent below it, but not one that it descends from.
    fn adopt_orphans(&mut self, id: NodeId) {
        let name = Arc::clone(&self.node(id).snapshot.name);
        let top = self.top_of(id);
        let waiting: Vec<_> = self
            .roots
            .iter()
            .copied()
            .filter(|&root| root != top)
            .filter(|&root| self.node(root).snapshot.parent.as_ref() == Some(&name))
            .collect();
        for root in waiting {
            self.unlink(root);
            self.link(root, Some(id));
        }
    }

    fn top_of(&self, id: NodeId) -> NodeId {
        let mut top = id;
        while let Some(above) = self.node(top).parent {
            top = above;
        }
        top
    }

    fn remove(&mut self, name: &str) {
        let Some(id) = self.names.remove(name) else {
            return;
        };
        self.unlink(id);
        let node = self.nodes.get_mut(id as usize).and_then(Option::take);
        let had_files = node.is_some_and(|node| node.snapshot.may_have_files());
        self.with_files -= usize::from(had_files);
        self.free.push(id);
    }

    fn current_name(&self) -> Option<Arc<str>> {
        self.current().map(|current| Arc::clone(&current.name))
    }
}
