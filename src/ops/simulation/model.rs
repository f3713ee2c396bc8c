//! What every operation means, once more and as plainly as possible: maps and sets, no files, no
//! plans, no order.

use std::collections::{BTreeMap, BTreeSet};

/// What can be seen of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub is_defined: bool,
    /// It has the second of its two names.
    pub is_renamed: bool,
    /// Each snapshot and its parent.
    pub parents: BTreeMap<String, Option<String>>,
    pub current: Option<String>,
    /// The names in the images.
    pub data: BTreeSet<String>,
    /// The snapshot that the guest was last reverted to.
    pub content: Option<String>,
}

/// One call of the API.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Create {
        name: String,
        metadata: bool,
    },
    Redefine {
        name: String,
        parent: Option<String>,
        current: bool,
        time: i64,
    },
    Delete {
        name: String,
        kind: Kind,
        metadata_only: bool,
    },
    Revert(String),
    Define,
    /// From one of its names to the other.
    Rename,
    Undefine,
}

/// Which snapshots a delete removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    One,
    Children,
    ChildrenOnly,
}

impl Model {
    /// What the operation makes of it; `None` if it is refused.
    pub fn after(&self, operation: &Operation) -> Option<Model> {
        let mut after = self.clone();
        if !self.is_defined && !matches!(operation, Operation::Define) {
            return None;
        }
        match operation {
            // The definition has the first name.
            Operation::Define if self.is_renamed => return None,
            Operation::Define => after.is_defined = true,
            Operation::Rename => after.is_renamed = !self.is_renamed,
            Operation::Undefine => {
                after.is_defined = false;
                after.is_renamed = false;
                after.parents.clear();
                after.current = None;
            }
            Operation::Create { name, metadata } => {
                if self.data.contains(name) || (*metadata && self.parents.contains_key(name)) {
                    return None;
                }
                after.data.insert(name.clone());
                if *metadata {
                    let parent = after.current.replace(name.clone());
                    after.parents.insert(name.clone(), parent);
                }
            }
            Operation::Redefine {
                name,
                parent,
                current,
                ..
            } => {
                let is_new = !self.parents.contains_key(name);
                if let Some(parent) = parent
                    && (parent == name
                        || !self.parents.contains_key(parent)
                        || self.below(name).contains(parent))
                {
                    return None;
                }
                let follows = is_new && parent.is_some() && *parent == self.current;
                if *current || follows {
                    after.current = Some(name.clone());
                }
                after.parents.insert(name.clone(), parent.clone());
            }
            Operation::Delete {
                name,
                kind,
                metadata_only,
            } => {
                self.parents.get(name)?;
                after.delete(name, *kind, *metadata_only);
            }
            Operation::Revert(name) => {
                self.parents.get(name)?;
                self.data.get(name)?;
                after.current = Some(name.clone());
                after.content = Some(name.clone());
            }
        }
        Some(after)
    }

    fn delete(&mut self, name: &str, kind: Kind, metadata_only: bool) {
        let mut gone = BTreeSet::new();
        if kind != Kind::One {
            gone = self.below(name);
        }
        if kind != Kind::ChildrenOnly {
            gone.insert(name.to_owned());
        }
        while let Some(current) = self.current.clone().filter(|name| gone.contains(name)) {
            self.current = self.parents[&current].clone();
        }
        let parent = self.parents[name].clone();
        for above in self.parents.values_mut() {
            if kind == Kind::One && above.as_deref() == Some(name) {
                above.clone_from(&parent);
            }
        }
        self.parents.retain(|name, _| !gone.contains(name));
        if !metadata_only {
            self.data.retain(|name| !gone.contains(name));
        }
    }

    fn below(&self, top: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![top.to_owned()];
        while let Some(above) = open.pop() {
            for (name, parent) in &self.parents {
                if parent.as_ref() == Some(&above) && found.insert(name.clone()) {
                    open.push(name.clone());
                }
            }
        }
        found
    }
}
