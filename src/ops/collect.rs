//! Which image files merge and which go, once nothing needs them: no snapshot's content changes.
//!
//! A file that is neither pinned nor above nothing is in the way of nobody; what matters is who is on
//! top of it. Nobody: it goes, if a snapshot made it. One file: what that file shows is written down
//! into it, and the name moves down, so the user's own image ends up with the content. Several files,
//! or one with internal snapshots of its own, which cannot be written down: it stays as it is.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use super::layers::{FileId, LayerFile, Layers, Roles};
use super::moves::{Moved, Moves};
use crate::data::Merge;
use crate::data::chain::RAW;
use crate::data::qcow2::Identity;
use crate::xml::LayerRecord;

/// Whether layers are brought together, or only what is useless goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    Merge,
    RemoveOnly,
}

/// Work on files, in its order: the merges, then the change of the metadata, then the removals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Collected {
    pub merges: Vec<Merge>,
    pub moves: Moves,
    pub removals: Vec<PathBuf>,
    /// Files that stay although no snapshot names them, to be remembered.
    pub records: Vec<LayerRecord>,
}

/// The files as they are on the way.
pub(super) struct Collector<'a> {
    layers: Layers,
    roles: Roles,
    foreign: &'a HashSet<Identity>,
    gone: HashSet<FileId>,
    /// Files in each of which these internal snapshots are about to be dropped.
    dropped: &'a BTreeMap<FileId, HashSet<Box<[u8]>>>,
    collected: Collected,
}

impl<'a> Collector<'a> {
    pub fn new(
        layers: &Layers,
        roles: Roles,
        foreign: &'a HashSet<Identity>,
        dropped: &'a BTreeMap<FileId, HashSet<Box<[u8]>>>,
    ) -> Collector<'a> {
        Collector {
            layers: layers.clone(),
            roles,
            foreign,
            gone: HashSet::new(),
            dropped,
            collected: Collected::default(),
        }
    }

    /// Works until nothing changes. `known` is what the snapshots that stay tell of files.
    pub fn run(mut self, effort: Effort, known: &Roles) -> Collected {
        while (0..self.layers.files.len()).any(|id| self.settle(id, effort)) {}
        for (id, file) in self.layers.files.iter().enumerate() {
            let is_made = self.roles.made.contains(&id);
            let is_known = known.own.contains(&id) && (known.made.contains(&id) || !is_made);
            if self.roles.own.contains(&id) && !is_known && !self.gone.contains(&id) {
                self.collected.records.push(LayerRecord {
                    path: file.layer.path.to_string_lossy().into_owned(),
                    is_made,
                });
            }
        }
        self.collected
    }

    fn file(&self, id: FileId) -> Option<&LayerFile> {
        self.layers
            .files
            .get(id)
            .filter(|_| !self.gone.contains(&id))
    }

    fn is_free(&self, id: FileId) -> bool {
        !self.roles.pinned.contains(&id)
            && self
                .file(id)
                .is_some_and(|file| !self.foreign.contains(&file.identity))
    }

    /// The only file on top of one.
    fn only_above(&self, id: FileId) -> Option<FileId> {
        let mut above = self.layers.above(id).filter(|id| !self.gone.contains(id));
        above.next().filter(|_| above.next().is_none())
    }

    fn has_none_above(&self, id: FileId) -> bool {
        self.layers.above(id).all(|id| self.gone.contains(&id))
    }

    /// Whether internal snapshots are in a file, and stay there.
    fn has_entries(&self, id: FileId) -> bool {
        let dropped = self.dropped.get(&id);
        self.file(id).is_some_and(|file| {
            let is_dropped = |name| dropped.is_some_and(|dropped| dropped.contains(name));
            file.entries.iter().any(|name| !is_dropped(name))
        })
    }

    fn settle(&mut self, id: FileId, effort: Effort) -> bool {
        if !self.is_free(id) {
            return false;
        }
        if !self.roles.own.contains(&id) {
            return false;
        }
        if self.has_none_above(id) {
            return self.remove(id);
        }
        effort == Effort::Merge && self.merge_into(id)
    }

    /// Removes a file that nothing stands on.
    fn remove(&mut self, id: FileId) -> bool {
        let is_ours = self.roles.made.contains(&id) && !self.roles.named.contains(&id);
        let is_block = self.file(id).is_none_or(LayerFile::is_block);
        if !is_ours || is_block || self.has_entries(id) {
            return false;
        }
        self.drop_file(id);
        true
    }

    fn drop_file(&mut self, id: FileId) {
        if let Some(file) = self.layers.files.get(id) {
            self.collected.removals.push(file.layer.path.clone());
            self.collected.moves.gone.extend(file.names.iter().cloned());
        }
        self.gone.insert(id);
    }

    /// Writes down into a file what the file above it shows, and as many more above that as nobody
    /// needs either.
    fn merge_into(&mut self, base: FileId) -> bool {
        let mut run = Vec::new();
        let mut next = self.only_above(base);
        while let Some(top) = next.filter(|top| self.can_go_down(*top, base)) {
            run.push(top);
            let is_needed = self.roles.pinned.contains(&top) || self.roles.named.contains(&top);
            next = if is_needed {
                None
            } else {
                self.only_above(top)
            };
        }
        let (Some(top), Some(base_file)) = (run.last().copied(), self.file(base).cloned()) else {
            return false;
        };
        let Some(top_file) = self.file(top).cloned() else {
            return false;
        };
        if !self.is_writable(&base_file) {
            return false;
        }
        self.collected.merges.push(Merge::Commit {
            disk: top_file.disk.clone(),
            top: top_file.layer.clone(),
            base: base_file.layer.clone(),
        });
        self.relink(top, base, &base_file);
        for name in top_file.names {
            let moved = Moved {
                layer: base_file.layer.clone(),
                is_block: base_file.is_block(),
            };
            self.collected.moves.moved.insert(name, moved);
        }
        // Names that moved to a file which now moves itself.
        for moved in self.collected.moves.moved.values_mut() {
            if moved.layer == top_file.layer {
                moved.layer = base_file.layer.clone();
                moved.is_block = base_file.is_block();
            }
        }
        for role in [&mut self.roles.pinned, &mut self.roles.named] {
            if role.remove(&top) {
                role.insert(base);
            }
        }
        for file in run {
            self.drop_file(file);
        }
        true
    }

    /// What stood on the upper file stands on the lower one.
    fn relink(&mut self, top: FileId, base: FileId, base_file: &LayerFile) {
        let above: Vec<FileId> = self.layers.above(top).collect();
        for id in above.into_iter().filter(|id| !self.gone.contains(id)) {
            if let Some(file) = self.layers.files.get_mut(id) {
                file.backing = Some(base);
                self.collected.merges.push(Merge::Relink {
                    disk: file.disk.clone(),
                    image: file.layer.clone(),
                    backing: base_file.layer.clone(),
                });
            }
        }
    }

    /// Whether a file may be written down into one below it and then go.
    fn can_go_down(&self, top: FileId, base: FileId) -> bool {
        let (Some(top_file), Some(base_file)) = (self.file(top), self.file(base)) else {
            return false;
        };
        self.roles.made.contains(&top)
            && !self.has_entries(top)
            && !self.foreign.contains(&top_file.identity)
            && top_file.is_qcow2()
            && !top_file.is_block()
            && !top_file.is_encrypted
            && top_file.size >= base_file.size
    }

    fn is_writable(&self, file: &LayerFile) -> bool {
        let is_known = file.is_qcow2() || file.layer.format.as_deref() == Some(RAW);
        is_known && !file.is_encrypted
    }
}
