//! The whole tree in pre-order, made when it is first asked for after a change.
//!
//! With it a list is a piece of an array, and counting descendants or finding the only leaf of a
//! chain does not walk.

use super::walk::Preorder;
use super::{NodeId, Tree};

/// Where each node stands.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The nodes, a parent before its descendants.
    sequence: Vec<NodeId>,
    /// By node: its place in the sequence.
    places: Vec<usize>,
    /// By place: how many nodes stand there and below.
    sizes: Vec<usize>,
    /// The leaves, in the same order, and their places.
    leaves: Vec<NodeId>,
    leaf_places: Vec<usize>,
}

impl Order {
    pub(super) fn of(tree: &Tree) -> Order {
        let sequence: Vec<NodeId> = Preorder::below(tree, None).collect();
        let mut order = Order {
            places: vec![0; tree.nodes.len()],
            sizes: vec![1; sequence.len()],
            ..Order::default()
        };
        for (place, &id) in sequence.iter().enumerate() {
            if let Some(known) = order.places.get_mut(id as usize) {
                *known = place;
            }
            if tree.node(id).children.is_empty() {
                order.leaves.push(id);
                order.leaf_places.push(place);
            }
        }
        // From the end, each node is complete before it counts for its parent.
        for (place, &id) in sequence.iter().enumerate().rev() {
            let size = order.sizes.get(place).copied().unwrap_or_default();
            let parent = tree.node(id).parent.map(|parent| order.place(parent));
            if let Some(sum) = parent.and_then(|parent| order.sizes.get_mut(parent)) {
                *sum = sum.saturating_add(size);
            }
        }
        order.sequence = sequence;
        order
    }

    /// All nodes below a top (`None`: the whole tree).
    pub(super) fn below(&self, top: Option<NodeId>) -> &[NodeId] {
        let (first, end) = self.bounds(top);
        self.sequence.get(first..end).unwrap_or_default()
    }

    /// The leaves below a top.
    pub(super) fn leaves_below(&self, top: Option<NodeId>) -> &[NodeId] {
        let (first, end) = self.bounds(top);
        let leaf_at = |bound| self.leaf_places.partition_point(|place| *place < bound);
        let leaves = leaf_at(first)..leaf_at(end);
        self.leaves.get(leaves).unwrap_or_default()
    }

    fn bounds(&self, top: Option<NodeId>) -> (usize, usize) {
        let Some(top) = top else {
            return (0, self.sequence.len());
        };
        let place = self.place(top);
        let size = self.sizes.get(place).copied().unwrap_or_default();
        (place.saturating_add(1), place.saturating_add(size))
    }

    fn place(&self, id: NodeId) -> usize {
        self.places.get(id as usize).copied().unwrap_or_default()
    }
}
