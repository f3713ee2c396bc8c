//! The image files of a domain: what each is on top of, and who needs it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::domain::Domain;
use super::point;
use super::refusals::Refusals;
use crate::data::chain::{self, Backing, Cause};
use crate::data::qcow2::{Encryption, Identity};
use crate::data::{Layer, Place, PointDisk};
use crate::error::{Error, Result};
use crate::snapshot::{DiskMode, Snapshot};
use crate::{uuid, xml};

/// A file of the graph.
pub(super) type FileId = usize;

/// One image file.
#[derive(Clone, Debug)]
pub(super) struct LayerFile {
    /// Path and format.
    pub layer: Layer,
    pub identity: Identity,
    /// The disk that led to it, for messages.
    pub disk: String,
    /// The file below it.
    pub backing: Option<FileId>,
    /// Names of its internal snapshots.
    pub entries: Vec<Box<[u8]>>,
    /// What a guest sees, in bytes.
    pub size: u64,
    pub is_encrypted: bool,
    /// Every path by which metadata or an image names it.
    pub names: BTreeSet<PathBuf>,
}

impl LayerFile {
    pub fn is_block(&self) -> bool {
        matches!(self.identity, Identity::Device(_))
    }

    pub fn is_qcow2(&self) -> bool {
        self.layer.format.as_deref() == Some(chain::QCOW2)
    }
}

/// Image files and the links between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    pub files: Vec<LayerFile>,
    by_identity: HashMap<Identity, FileId>,
    by_path: HashMap<PathBuf, Option<FileId>>,
}

impl Layers {
    /// Takes an image in, and everything below it. `None`: there is no such file.
    pub fn add(&mut self, disk: &str, layer: &Layer) -> Result<Option<FileId>> {
        let mut first = None;
        let mut above: Option<FileId> = None;
        let mut next = Some(layer.clone());
        let mut depth = 0;
        while let Some(layer) = next.take() {
            let known = self.by_path.get(&layer.path).copied();
            let (found, below) = match known {
                Some(found) => (found, None),
                None => self.open(disk, &layer)?,
            };
            self.by_path.insert(layer.path.clone(), found);
            if let (Some(above), Some(found)) = (above, found)
                && let Some(file) = self.files.get_mut(above)
            {
                file.backing = Some(found);
            }
            if depth == 0 {
                first = found;
            }
            depth += 1;
            above = found;
            next = below;
        }
        Ok(first)
    }

    /// Opens a file and adds it; also gives what it names below. A file that is known by another
    /// path is the same file.
    fn open(&mut self, disk: &str, layer: &Layer) -> Result<(Option<FileId>, Option<Layer>)> {
        let unusable = |reason: String| Error::ImageUnusable {
            disk: disk.to_owned(),
            image: layer.path.clone(),
            reason,
        };
        if layer.path.to_str().is_none() {
            return Err(unusable("its path is not UTF-8".to_owned()));
        }
        let link = match chain::open(layer) {
            Ok(link) => link,
            Err(Cause::Missing) => return Ok((None, None)),
            Err(cause) => return Err(unusable(cause.to_string())),
        };
        if let Some(known) = self.by_identity.get(&link.identity).copied() {
            if let Some(file) = self.files.get_mut(known) {
                file.names.insert(layer.path.clone());
            }
            return Ok((Some(known), None));
        }
        if link.facts.is_none() && link.format != chain::RAW {
            let format = &link.format;
            return Err(unusable(format!(
                "what is below an image of format '{format}' cannot be told"
            )));
        }
        let below = match link.backing() {
            Some(Backing::Local(below)) => Some(below),
            Some(Backing::Elsewhere(_)) | None => None,
        };
        let raw_size = || std::fs::metadata(&layer.path).map_or(0, |found| found.len());
        let facts = link.facts.as_ref();
        let file = LayerFile {
            layer: Layer {
                path: layer.path.clone(),
                format: Some(link.format.clone()),
            },
            identity: link.identity,
            disk: disk.to_owned(),
            backing: None,
            entries: facts.map_or_else(Vec::new, |facts| {
                let names = facts.snapshots.iter();
                names.map(|entry| entry.name.clone()).collect()
            }),
            size: facts.map_or_else(raw_size, |facts| facts.virtual_size),
            is_encrypted: facts.is_some_and(|facts| facts.encryption != Encryption::None),
            names: BTreeSet::from([layer.path.clone()]),
        };
        let id = self.files.len();
        self.by_identity.insert(file.identity, id);
        self.files.push(file);
        Ok((Some(id), below))
    }

    /// The file at a path that was taken in.
    pub fn at(&self, path: &Path) -> Option<FileId> {
        self.by_path.get(path).copied().flatten()
    }

    /// Everything below a file, nearest first.
    pub fn below(&self, id: FileId) -> Vec<FileId> {
        let mut all = Vec::new();
        let mut next = self.files.get(id).and_then(|file| file.backing);
        while let Some(below) = next.filter(|below| !all.contains(below) && *below != id) {
            all.push(below);
            next = self.files.get(below).and_then(|file| file.backing);
        }
        all
    }

    /// The files directly on top of one.
    pub fn above(&self, id: FileId) -> impl Iterator<Item = FileId> {
        self.files
            .iter()
            .enumerate()
            .filter(move |(_, file)| file.backing == Some(id))
            .map(|(above, _)| above)
    }
}

/// One snapshot with its disks.
pub(super) struct Surveyed {
    pub snapshot: Arc<Snapshot>,
    pub disks: Vec<PointDisk>,
}

/// All files that a domain's snapshots and its definition lead to.
pub(super) struct Survey {
    pub layers: Layers,
    pub snapshots: Vec<Surveyed>,
}

impl Survey {
    /// Looks at every image. One that is there and cannot be read is a reason to refuse: it might
    /// depend on any other.
    pub fn of(
        snapshots: Vec<Arc<Snapshot>>,
        definition: &str,
        refusals: &mut Refusals,
    ) -> Result<Survey> {
        let mut survey = Survey {
            layers: Layers::default(),
            snapshots: Vec::with_capacity(snapshots.len()),
        };
        for snapshot in snapshots {
            let disks = point::disks(&snapshot)?;
            for disk in &disks {
                for place in [&disk.base, &disk.overlay, &disk.reverted] {
                    refusals.check(survey.add(&disk.target, place))?;
                }
            }
            for record in xml::layer_records(&snapshot.other) {
                let layer = Layer {
                    path: record.path.into(),
                    format: None,
                };
                refusals.check(survey.layers.add("", &layer))?;
            }
            survey.snapshots.push(Surveyed { snapshot, disks });
        }
        for (disk, place) in sources(definition)? {
            refusals.check(survey.add(&disk, &place))?;
        }
        Ok(survey)
    }

    fn add(&mut self, disk: &str, place: &Place) -> Result<()> {
        if let Place::Local(layer) = place {
            self.layers.add(disk, layer)?;
        }
        Ok(())
    }

    /// Whether a snapshot names a file, in whatever role.
    pub fn is_part(&self, id: FileId) -> bool {
        self.snapshots.iter().any(|surveyed| {
            let places = surveyed.disks.iter();
            let names = places.flat_map(|disk| [&disk.base, &disk.overlay, &disk.reverted]);
            let mut files = names.filter_map(|place| self.file(place));
            let records = xml::layer_records(&surveyed.snapshot.other);
            let mut recorded = records.iter();
            files.any(|file| file == id)
                || recorded.any(|record| self.layers.at(Path::new(&record.path)) == Some(id))
        })
    }

    /// The file at a place.
    pub fn file(&self, place: &Place) -> Option<FileId> {
        self.layers.at(&place.local()?.path)
    }
}

/// Where a definition has the image of each disk.
pub(super) fn sources(definition: &str) -> Result<BTreeMap<String, Place>> {
    let facts = xml::domain_facts(definition)?;
    let disks = facts.disks.iter();
    Ok(disks
        .map(|disk| (disk.target.clone(), point::source_place(disk)))
        .collect())
}

/// What files are to a set of snapshots and a definition.
#[derive(Clone, Debug, Default)]
pub(super) struct Roles {
    /// What they show must stay.
    pub pinned: HashSet<FileId>,
    /// Something names them as its image.
    pub named: HashSet<FileId>,
    /// A snapshot made them, so they may go.
    pub made: HashSet<FileId>,
    /// They are or were images of this domain with a part in its snapshots. An overlay that the user
    /// made behind the library's back (or with NO_METADATA) is not: nobody knows who needs it.
    pub own: HashSet<FileId>,
}

impl Roles {
    /// The roles with respect to these snapshots and these images of the guest.
    pub fn of<'a>(
        survey: &Survey,
        snapshots: impl Iterator<Item = (&'a Snapshot, &'a [PointDisk])>,
        active: &BTreeMap<String, Place>,
    ) -> Roles {
        let mut roles = Roles::default();
        let mut bases = HashSet::new();
        for (snapshot, disks) in snapshots {
            for disk in disks {
                if let Some(base) = survey.file(&disk.base) {
                    roles.named.insert(base);
                    if disk.mode == DiskMode::External {
                        roles.pinned.insert(base);
                        bases.insert(base);
                    }
                }
                let made = [&disk.overlay, &disk.reverted];
                roles
                    .made
                    .extend(made.iter().filter_map(|place| survey.file(place)));
            }
            for record in xml::layer_records(&snapshot.other) {
                let found = survey.layers.at(Path::new(&record.path));
                roles.own.extend(found);
                roles.made.extend(found.filter(|_| record.is_made));
            }
        }
        for place in active.values() {
            let image = survey.file(place);
            roles.pinned.extend(image);
            roles.named.extend(image);
            roles.own.extend(image);
        }
        // What stands on an image of a snapshot came after it.
        for id in 0..survey.layers.files.len() {
            if survey
                .layers
                .below(id)
                .iter()
                .any(|below| bases.contains(below))
            {
                roles.made.insert(id);
            }
        }
        roles.own.extend(bases);
        roles
    }
}

impl Domain {
    /// The files of all other domains of this state directory, or of the driver that carries
    /// requests out itself. They are not ours to touch.
    pub(super) fn foreign_files(&self) -> Result<HashSet<Identity>> {
        let mut layers = Layers::default();
        self.for_each_foreign(|definitions, snapshots| {
            let mut texts = definitions.iter().map(String::as_str).collect::<Vec<_>>();
            for snapshot in snapshots {
                texts.extend(snapshot.domain.as_deref());
                texts.extend(snapshot.inactive_domain.as_deref());
            }
            for text in texts {
                for (disk, place) in sources(text).unwrap_or_default() {
                    if let Place::Local(layer) = place {
                        // An image that cannot be read is at least known by its own name.
                        let _ = layers.add(&disk, &layer);
                    }
                }
            }
        })?;
        Ok(layers.files.iter().map(|file| file.identity).collect())
    }

    /// Shows the definitions of each of these other domains, with its snapshots.
    pub(super) fn for_each_foreign(
        &self,
        mut show: impl FnMut(&[String], &[Snapshot]),
    ) -> Result<()> {
        for other in self.others()? {
            let stored = self.store().snapshots(&other.key)?.documents;
            let documents = stored.into_iter().map(|(_, document)| document);
            let snapshots: Vec<Snapshot> = documents
                .chain(other.snapshots)
                .filter_map(|document| xml::parse(&document, xml::Mode::Load).ok())
                .map(|parsed| parsed.snapshot)
                .collect();
            show(&other.definitions, &snapshots);
        }
        Ok(())
    }

    fn others(&self) -> Result<Vec<Other>> {
        if let Some(executor) = self.data.executor() {
            let others = executor.others()?.into_iter().map(|other| Other {
                key: uuid::format(&other.uuid),
                definitions: other.definitions,
                snapshots: other.snapshots,
            });
            return Ok(others.collect());
        }
        let defined = self.store().domains()?.documents.into_iter();
        let others = defined.filter(|(name, _)| *name != **self.name());
        Ok(others
            .map(|(key, definition)| Other {
                key,
                definitions: vec![definition],
                snapshots: Vec::new(),
            })
            .collect())
    }
}

/// Another domain, that may have images in common with this one.
struct Other {
    /// Under which the store has its snapshots.
    key: String,
    definitions: Vec<String>,
    /// Documents of snapshots that are not in the store.
    snapshots: Vec<String>,
}

/// Whether images of a domain stand on others by its snapshots' doing.
pub(super) fn has_layers(snapshots: &[Arc<Snapshot>]) -> bool {
    snapshots.iter().any(|snapshot| {
        snapshot.is_external()
            || !snapshot.revert_disks.is_empty()
            || !xml::layer_records(&snapshot.other).is_empty()
    })
}
