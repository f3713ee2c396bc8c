//! Which files the domains of a connection know of, and which lie beside them that nobody does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::document::{self, Disk};
use crate::failure::Outcome;
use crate::ffi::Domain;
use crate::qcow2::{self, Image, Inside};

/// How a file begins in which libvirt, or this library, has put a guest's memory.
const MEMORY_MAGIC: &[u8] = b"LibvirtQemud";

/// Behind that comes the definition, with the UUID near its beginning.
const MEMORY_HEAD_BYTES: usize = 4096;

/// What documents of one domain name.
pub struct Claims {
    pub disks: Vec<Disk>,
    /// Every path in the definition and in the snapshots.
    pub paths: BTreeSet<PathBuf>,
    /// The images among these, and those that they stand on.
    pub images: BTreeMap<PathBuf, Image>,
    /// Files that look like images and cannot be read as such, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    names: BTreeSet<String>,
}

impl Claims {
    pub fn of(domain: &Domain) -> Outcome<Claims> {
        let definition = domain.xml(0)?;
        let definition = document::parse(&definition)?;
        let mut claims = Claims {
            disks: document::disks(definition.root_element()),
            paths: existing(&document::paths(&definition)),
            images: BTreeMap::new(),
            unreadable: Vec::new(),
            names: BTreeSet::new(),
        };
        for snapshot in domain.snapshots()? {
            let xml = snapshot.xml(0)?;
            claims
                .paths
                .extend(existing(&document::paths(&document::parse(&xml)?)));
            claims.names.insert(snapshot.name());
        }
        for path in claims.paths.clone() {
            claims.follow(path);
        }
        Ok(claims)
    }

    /// Reads an image and those that it stands on.
    fn follow(&mut self, first: PathBuf) {
        let mut next = Some(first);
        while let Some(path) = next.take() {
            if self.images.contains_key(&path) {
                return;
            }
            match qcow2::read(&path) {
                Ok(Some(image)) => {
                    next.clone_from(&image.backing);
                    next = next.map(|backing| real(&backing));
                    self.images.insert(path, image);
                }
                Ok(None) => {}
                Err(error) => self.unreadable.push((path, error.to_string())),
            }
        }
    }

    /// Images that the documents name themselves, not only images that others stand on: these may be
    /// somebody's template.
    pub fn own_images(&self) -> impl Iterator<Item = (&PathBuf, &Image)> {
        self.images
            .iter()
            .filter(|(path, _)| self.paths.contains(*path))
    }

    /// Snapshots inside of the images that no snapshot of the domain is named after.
    pub fn unclaimed_inside(&self) -> Vec<(&Path, &Inside)> {
        self.own_images()
            .flat_map(|(path, image)| image.snapshots.iter().map(move |inside| (&**path, inside)))
            .filter(|(_, inside)| !self.names.contains(&inside.name))
            .collect()
    }
}

fn existing(paths: &[String]) -> BTreeSet<PathBuf> {
    let paths = paths.iter().map(Path::new);
    paths.filter(|path| path.is_file()).map(real).collect()
}

/// The path without links, if it can be had.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Every file that these domains know of.
pub fn all_claimed<'a>(claims: impl Iterator<Item = &'a Claims>) -> BTreeSet<PathBuf> {
    claims
        .flat_map(|claims| claims.paths.iter().chain(claims.images.keys()))
        .cloned()
        .collect()
}

/// Files beside those of a domain that only it can have left: overlays on its images, and its memory,
/// which are not among the claimed ones.
pub fn unclaimed_files(own: &Claims, uuid: &str, claimed: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut strangers = BTreeMap::new();
    let mut found = BTreeSet::new();
    for directory in own
        .paths
        .iter()
        .filter_map(|path| path.parent())
        .collect::<BTreeSet<_>>()
    {
        let Ok(entries) = std::fs::read_dir(directory) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_plain = path.symlink_metadata().is_ok_and(|data| data.is_file());
            if !is_plain || claimed.contains(&path) {
                continue;
            }
            match qcow2::read(&path) {
                Ok(Some(Image {
                    backing: Some(backing),
                    ..
                })) => {
                    strangers.insert(path, real(&backing));
                }
                _ if is_memory_of(&path, uuid) => {
                    found.insert(path);
                }
                _ => {}
            }
        }
    }
    // An overlay on an overlay that nobody names is one, too.
    loop {
        let before = found.len();
        for (path, backing) in &strangers {
            if own.images.contains_key(backing) || found.contains(backing) {
                found.insert(path.clone());
            }
        }
        if found.len() == before {
            return found.into_iter().collect();
        }
    }
}

fn is_memory_of(path: &Path, uuid: &str) -> bool {
    let mut head = vec![0; MEMORY_HEAD_BYTES];
    let Ok(file) = File::open(path) else {
        return false;
    };
    let read = file.read_at(&mut head, 0).unwrap_or(0);
    head.truncate(read);
    head.starts_with(MEMORY_MAGIC) && String::from_utf8_lossy(&head).contains(uuid)
}
