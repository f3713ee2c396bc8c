//! Walks a tree in pre-order without recursion.

use super::{NodeId, Tree};

/// How far a walk goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The children of the top only.
    One,
    /// Everything below the top.
    All,
}

/// The nodes below a top (`None`: the whole tree), a parent before its descendants.
pub(super) struct Preorder<'a> {
    tree: &'a Tree,
    depth: Depth,
    /// What is left to visit on each level.
    levels: Vec<std::slice::Iter<'a, NodeId>>,
}

impl<'a> Preorder<'a> {
    pub(super) fn new(tree: &'a Tree, top: Option<NodeId>, depth: Depth) -> Preorder<'a> {
        Preorder {
            tree,
            depth,
            levels: vec![tree.siblings(top).iter()],
        }
    }

    pub(super) fn below(tree: &'a Tree, top: Option<NodeId>) -> Preorder<'a> {
        Preorder::new(tree, top, Depth::All)
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
            if self.depth == Depth::All && !children.is_empty() {
                self.levels.push(children.iter());
            }
            return Some(id);
        }
    }
}
