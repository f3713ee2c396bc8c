//! Backing chains, resolved from the images themselves: no program is started, no lock is taken.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Layer;
use super::qcow2::{Facts, Identity, ImageFile, Unreadable};
use crate::limits;

/// QEMU's name of the one format that is read here.
pub const QCOW2: &str = "qcow2";
/// QEMU's name of an image without structure.
pub const RAW: &str = "raw";

/// One image of a chain.
#[derive(Clone, Debug)]
pub struct Link {
    /// As the image above spells it, made absolute.
    pub path: PathBuf,
    /// How it is read: what the image above says, else what its first bytes say.
    pub format: String,
    /// Which file it is.
    pub identity: Identity,
    /// What the image says of itself; `None` if it is not qcow2.
    pub facts: Option<Facts>,
}

impl Link {
    /// The image below, as this one names it.
    pub fn backing(&self) -> Option<Backing> {
        let facts = self.facts.as_ref()?;
        let name = facts.backing_file.as_ref()?;
        Some(match local_path(&self.path, name) {
            Some(path) => Backing::Local(Layer {
                path,
                format: facts
                    .backing_format
                    .as_ref()
                    .map(|format| format.to_string_lossy().into_owned()),
            }),
            None => Backing::Elsewhere(name.to_string_lossy().into_owned()),
        })
    }
}

/// What an image says is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A file or block device of this machine.
    Local(Layer),
    /// Something that only QEMU can open.
    Elsewhere(String),
}

/// Why a chain ends too early.
#[derive(Debug)]
pub struct Broken {
    /// The image at which it ends.
    pub image: PathBuf,
    /// Why.
    pub cause: Cause,
}

/// Why an image cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The file is not there, though its directory is.
    #[error("there is no such file")]
    Missing,
    /// Whether it is there cannot be told from here.
    #[error("cannot be reached from here: {0}")]
    Unreachable(String),
    /// Its content is not what it is said to be.
    #[error("{0}")]
    Unreadable(Unreadable),
    /// An image is its own backing file, at whatever distance.
    #[error("the backing chain comes back to it")]
    Loop,
    /// More images than QEMU and libvirt take.
    #[error("the backing chain is more than {0} images deep")]
    TooDeep(usize),
}

impl Cause {
    /// Whether nothing is known to be wrong: the image just cannot be looked at from here.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Cause::Unreachable(_))
    }
}

/// Opens one image, as qcow2 if it is said to be or nobody says.
pub fn open(layer: &Layer) -> Result<Link, Cause> {
    let file = open_file(&layer.path)?;
    let link = |format: &str, facts| Link {
        path: layer.path.clone(),
        format: format.to_owned(),
        identity: file.identity(),
        facts,
    };
    match layer.format.as_deref() {
        Some(QCOW2) => Ok(link(QCOW2, Some(file.facts().map_err(Cause::Unreadable)?))),
        Some(other) => Ok(link(other, None)),
        None => match file.facts() {
            Ok(facts) => Ok(link(QCOW2, Some(facts))),
            Err(Unreadable::NotQcow2) => Ok(link(RAW, None)),
            Err(error) => Err(Cause::Unreadable(error)),
        },
    }
}

/// Opens the image file itself; tells a file that is gone from one that cannot be seen.
pub fn open_file(path: &Path) -> Result<ImageFile, Cause> {
    ImageFile::open(path).map_err(|error| match error {
        Unreadable::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            match path.parent().map(Path::try_exists) {
                Some(Ok(true)) => Cause::Missing,
                _ => Cause::Unreachable("its directory is missing".to_owned()),
            }
        }
        Unreadable::Io(error) => Cause::Unreachable(error.to_string()),
        other => Cause::Unreadable(other),
    })
}

/// The image and everything below it, as far as it is in files.
pub fn resolve(layer: &Layer) -> Result<Vec<Link>, Broken> {
    let mut links: Vec<Link> = Vec::new();
    let mut next = Some(layer.clone());
    while let Some(layer) = next {
        let broken = |cause| Broken {
            image: layer.path.clone(),
            cause,
        };
        let link = open(&layer).map_err(broken)?;
        if links.iter().any(|above| above.identity == link.identity) {
            return Err(broken(Cause::Loop));
        }
        next = match link.backing() {
            Some(Backing::Local(below)) => Some(below),
            Some(Backing::Elsewhere(name)) => {
                return Err(Broken {
                    image: name.into(),
                    cause: Cause::Unreachable("it is not a local file".to_owned()),
                });
            }
            None => None,
        };
        links.push(link);
        if links.len() > limits::BACKING_CHAIN {
            return Err(Broken {
                image: layer.path.clone(),
                cause: Cause::TooDeep(limits::BACKING_CHAIN),
            });
        }
    }
    Ok(links)
}

/// The path that an image means by the name of its backing file: QEMU takes a relative one from
/// the image's directory, and whatever has a protocol in front is no path.
fn local_path(image: &Path, name: &OsStr) -> Option<PathBuf> {
    let bytes = name.as_bytes();
    let bytes = bytes.strip_prefix(b"file:").unwrap_or(bytes);
    let first_part = bytes.split(|byte| *byte == b'/').next().unwrap_or_default();
    if bytes.is_empty() || first_part.contains(&b':') {
        return None;
    }
    let path = Path::new(OsStr::from_bytes(bytes));
    Some(
        image
            .parent()
            .map_or_else(|| path.to_owned(), |directory| directory.join(path)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // Source: QEMU's documentation of backing files (qemu-img, "create"), and path_combine.
    #[test]
    fn names_of_backing_files_are_read_as_qemu_reads_them() {
        let below = |name: &str| local_path(Path::new("/d/a.qcow2"), OsStr::new(name));
        for (name, path) in [
            ("base.raw", "/d/base.raw"),
            ("../x/b", "/d/../x/b"),
            ("/abs/b", "/abs/b"),
            ("file:b", "/d/b"),
            ("x/a:b", "/d/x/a:b"),
        ] {
            assert_eq!(below(name).as_deref(), Some(Path::new(path)), "{name}");
        }
        for name in ["nbd://h/e", "json:{}", "a:b", ""] {
            assert_eq!(below(name), None, "{name}");
        }
    }
}
