//! Walks a tree in pre-order without recursion.

use super::{NodeId, Tree};

/// The nodes below a top (`None`: the whole tree), a parent before its descendants.
pub(super) struct Preorder<'a> {
    tree: &'a Tree,
    /// What is left to visit on each level.
    levels: Vec<std::slice::Iter<'a, NodeId>>,
}

impl<'a> Preorder<'a> {
    pub(super) fn below(tree: &'a Tree, top: Option<NodeId>) -> Preorder<'a> {
        Preorder {
            tree,
            levels: vec![tree.siblings(top).iter()],
        }
    }
}

impl Iterator for Preorder<'_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        loop {
            let Some(&id) = self.levels.last_mut()?.next() else {
                self.levels.pop();
                continue;
            };
            let children = &self.tree.node(id).children;
            if !children.is_empty() {
                self.levels.push(children.iter());
            }
            return Some(id);
        }
    }
}
