//! One step of what an operation would do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// A snapshot comes.
    Add,
    /// A snapshot's metadata is replaced.
    Redefine,
    /// A snapshot goes.
    Drop,
    /// A snapshot gets another parent.
    Reparent,
    /// A snapshot becomes the current one, or none is.
    Current,
    /// A file is made.
    CreateFile,
    /// A file is written to.
    WriteFile,
    /// An image names another one below it.
    RelinkFile,
    /// A file is removed.
    RemoveFile,
    /// An internal snapshot is made.
    TakeData,
    /// An internal snapshot becomes what its image shows.
    RestoreData,
    /// An internal snapshot is dropped.
    DropData,
    /// A disk of the domain is in another file from then on.
    SwitchDisk,
    /// The guest waits.
    Pause,
    /// The guest's CPUs run on.
    Resume,
    /// The guest is ended.
    Stop,
    /// A guest is started.
    Start,
    /// The domain's definition is removed.
    Undefine,
    /// The snapshots cannot be changed until a migration ends.
    Freeze,
    /// Somebody else works on the data.
    Elsewhere,
}

/// One step. What its kind does not have is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// A snapshot.
    pub name: Option<Arc<str>>,
    /// Its parent.
    pub parent: Option<Arc<str>>,
    /// A file.
    pub file: Option<PathBuf>,
    /// Another file that it is made of, or stands on from then on.
    pub other: Option<PathBuf>,
    /// A disk's target.
    pub disk: Option<String>,
    /// Bytes that it gives back or takes.
    pub bytes: u64,
}

impl Step {
    /// A step with nothing but its kind.
    pub(super) fn new(kind: StepKind) -> Step {
        Step {
            kind,
            name: None,
            parent: None,
            file: None,
            other: None,
            disk: None,
            bytes: 0,
        }
    }

    /// Of a snapshot.
    pub(super) fn of(kind: StepKind, name: &Arc<str>) -> Step {
        Step {
            name: Some(Arc::clone(name)),
            ..Step::new(kind)
        }
    }

    /// Of a file.
    pub(super) fn file(kind: StepKind, file: &Path, bytes: u64) -> Step {
        Step {
            file: Some(file.to_owned()),
            bytes,
            ..Step::new(kind)
        }
    }

    /// The same for a disk.
    pub(super) fn on(self, disk: &str) -> Step {
        Step {
            disk: (!disk.is_empty()).then(|| disk.to_owned()),
            ..self
        }
    }

    /// The same with another file.
    pub(super) fn with(self, other: &Path) -> Step {
        Step {
            other: Some(other.to_owned()),
            ..self
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or_default();
        let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
        let (file, other) = (path(&self.file), path(&self.other));
        let (file, other) = (file.display(), other.display());
        let parent = match &self.parent {
            Some(parent) => format!("below '{parent}'"),
            None => "as a root".to_owned(),
        };
        match self.kind {
            StepKind::Add => write!(out, "snapshot '{name}' is added {parent}"),
            StepKind::Redefine => write!(out, "the metadata of snapshot '{name}' is replaced"),
            StepKind::Drop => write!(out, "snapshot '{name}' goes"),
            StepKind::Reparent => write!(out, "snapshot '{name}' stands {parent} from then on"),
            StepKind::Current if self.name.is_none() => {
                write!(out, "there is no current snapshot afterwards")
            }
            StepKind::Current => write!(out, "snapshot '{name}' becomes the current one"),
            StepKind::CreateFile => write!(out, "file '{file}' is made"),
            StepKind::WriteFile if self.other.is_some() => {
                write!(out, "what '{other}' shows is written to file '{file}'")
            }
            StepKind::WriteFile => write!(out, "file '{file}' is replaced"),
            StepKind::RelinkFile => write!(out, "image '{file}' stands on '{other}' from then on"),
            StepKind::RemoveFile => write!(out, "file '{file}' is removed"),
            StepKind::TakeData => write!(out, "internal snapshot '{name}' is made in '{file}'"),
            StepKind::RestoreData => {
                write!(out, "image '{file}' shows its internal snapshot '{name}'")
            }
            StepKind::DropData => {
                write!(out, "internal snapshot '{name}' is dropped from '{file}'")
            }
            StepKind::SwitchDisk => {
                let disk = self.disk.as_deref().unwrap_or_default();
                write!(out, "disk '{disk}' is in '{file}' from then on")
            }
            StepKind::Pause => write!(out, "the guest waits"),
            StepKind::Resume => write!(out, "the guest goes on"),
            StepKind::Stop => write!(out, "the guest is ended"),
            StepKind::Start => write!(out, "a guest is started"),
            StepKind::Undefine => write!(out, "the domain's definition is removed"),
            StepKind::Freeze => write!(out, "the snapshots cannot be changed until it ends"),
            StepKind::Elsewhere => {
                write!(
                    out,
                    "the data is worked on by others; what they do is not known here"
                )
            }
        }?;
        match self.kind {
            _ if self.bytes == 0 => Ok(()),
            StepKind::RemoveFile | StepKind::DropData | StepKind::RestoreData => {
                write!(out, " (gives back {} bytes)", self.bytes)
            }
            StepKind::WriteFile | StepKind::CreateFile | StepKind::TakeData => {
                write!(out, " (takes {} bytes)", self.bytes)
            }
            _ => write!(out, " ({} bytes)", self.bytes),
        }
    }
}
