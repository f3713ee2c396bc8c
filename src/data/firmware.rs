//! What a guest's firmware and an emulated TPM remember: kept in one file a snapshot, and brought back.
//!
//! The guest is off, or waits: nobody else writes to these files meanwhile. New files are written and
//! made durable beside the old ones first; then they take their places, file by file, which needs no
//! space and can be done again after a crash.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::check::{Difference, Part, Verdict};
use super::point::Point;
use crate::error::{Error, Result};
use crate::limits;

mod archive;
mod files;
mod kept;
#[cfg(test)]
mod tests;

use archive::Entry;
use files::Readable;
use kept::{Kept, NVRAM, TPM, TPM_FILES, begins_as_copy, manifest, write};

/// The state of a domain besides its disks and its memory, and where a snapshot keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    /// The variables of its firmware, where they are a file of their own.
    pub nvram: Option<Nvram>,
    /// The state of an emulated TPM.
    pub tpm: Option<Tpm>,
    /// The file that holds the snapshot's copy of both; `None` if it has none.
    pub copy: Option<PathBuf>,
    /// The variables are made anew from their template when the guest goes back:
    /// `VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM`.
    pub is_reset: bool,
}

impl Firmware {
    /// Whether going back replaces any of it.
    pub fn is_replaced(&self) -> bool {
        self.copy.is_some() || (self.is_reset && self.nvram.is_some())
    }
}

/// The file of a firmware's variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nvram {
    /// Absolute path.
    pub path: PathBuf,
    /// What it is made of.
    pub template: Option<PathBuf>,
}

/// Where an emulated TPM keeps its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tpm {
    /// In the files of a directory, which has no directories below it.
    Directory(PathBuf),
    /// In one file.
    File(PathBuf),
}

/// Whether a copy can be made: everything can be read, and nothing is in its place.
pub fn check_capture(point: &Point<'_>) -> Result<()> {
    let Some(copy) = &point.firmware.copy else {
        return Ok(());
    };
    gathered(point)?;
    match files::inspect(copy) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(failed(point, copy, "exists already")),
        Err(reason) => Err(failed(point, copy, reason)),
    }
}

/// Makes the copy of a snapshot that keeps one, durably, or leaves nothing.
pub fn capture(point: &Point<'_>) -> Result<()> {
    let Some(copy) = &point.firmware.copy else {
        return Ok(());
    };
    let gathered = gathered(point)?;
    let mut file = files::create(copy)
        .map_err(|error| failed(point, copy, format!("cannot be created: {error}")))?;
    let written = write(&mut file, &manifest(point), gathered)
        .map_err(|(path, reason)| failed(point, &path.unwrap_or_else(|| copy.clone()), reason))
        .and_then(|()| {
            files::sync_directory_of(copy).map_err(|reason| failed(point, copy, reason))
        });
    written.map_err(|cause| match take_back(point) {
        Ok(()) => cause,
        Err(undo) => cause.with_failed_undo(&undo),
    })
}

/// Takes back a copy, or the beginning of one. A file that somebody else has put there stays.
pub fn take_back(point: &Point<'_>) -> Result<()> {
    let Some(copy) = &point.firmware.copy else {
        return Ok(());
    };
    if !begins_as_copy(copy) {
        return Ok(());
    }
    files::remove(copy)
        .and_then(|()| files::sync_directory_of(copy))
        .map_err(|reason| failed(point, copy, reason))
}

/// Whether going back can work: the copy is whole, and what it replaces can be replaced. Nothing is
/// touched.
pub fn check_restore(point: &Point<'_>) -> Result<()> {
    let kept = Kept::of(point)?;
    for target in &targets(point, kept.as_ref())? {
        // A TPM's directory that is gone is made again.
        let directory = target.tpm_directory(point).map(files::inspect);
        if !matches!(directory, Some(Ok(None))) {
            files::check_replaceable(&target.path)
                .map_err(|reason| failed(point, &target.path, reason))?;
        }
        if let Content::Template(path) = &target.content {
            template(point, path)?;
        }
    }
    Ok(())
}

/// Writes what is to come back beside what is there, durably, or leaves nothing.
pub fn stage(point: &Point<'_>) -> Result<()> {
    let kept = Kept::of(point)?;
    let targets = targets(point, kept.as_ref())?;
    let staged = targets
        .iter()
        .try_for_each(|target| target.stage(point, kept.as_ref()));
    staged.inspect_err(|_| unstage_all(&targets))
}

/// Takes back what [`stage`] has written.
pub fn unstage(point: &Point<'_>) {
    let targets = Kept::of(point).and_then(|kept| targets(point, kept.as_ref()));
    unstage_all(&targets.unwrap_or_default());
}

fn unstage_all(targets: &[Target]) {
    for target in targets {
        // What stays is in nobody's way, and the next revert writes over it.
        let _ = files::remove(&files::staged(&target.path));
    }
}

/// Puts what was staged in its place.
pub fn replace(point: &Point<'_>) -> Result<()> {
    let kept = Kept::of(point)?;
    for target in &targets(point, kept.as_ref())? {
        let replaced = match target.content {
            Content::Nothing => files::remove(&target.path),
            Content::Kept(_) | Content::Template(_) => files::replace(&target.path),
        };
        replaced
            .and_then(|()| files::sync_directory_of(&target.path))
            .map_err(|reason| failed(point, &target.path, reason))?;
    }
    Ok(())
}

/// Whether a file is the copy of the snapshot of that name.
pub fn is_copy_of(path: &Path, snapshot: &str) -> bool {
    Kept::open(path, snapshot).is_ok()
}

/// What the copy has different from what the metadata says.
pub fn difference(point: &Point<'_>) -> Option<Difference> {
    let copy = point.firmware.copy.as_ref()?;
    let (verdict, found) = match files::inspect(copy) {
        Err(reason) => (Verdict::Unchecked, reason),
        Ok(None) => (Verdict::Differs, "there is no such file".to_owned()),
        Ok(Some(_)) => (Verdict::Differs, Kept::open(copy, point.name).err()?),
    };
    Some(Difference {
        verdict,
        part: Part::Firmware,
        image: copy.clone(),
        found,
    })
}

/// One file that goes into a copy.
struct Gathered {
    entry: String,
    path: PathBuf,
    readable: Readable,
}

/// Everything that a copy is made of, open.
fn gathered(point: &Point<'_>) -> Result<Vec<Gathered>> {
    let mut all = Vec::new();
    let mut add = |entry: String, path: &Path| {
        let opened = files::open(path, limits::FIRMWARE_FILE_BYTES);
        let opened = opened.map_err(|reason| failed(point, path, reason))?;
        all.extend(opened.map(|readable| Gathered {
            entry,
            path: path.to_owned(),
            readable,
        }));
        Ok(())
    };
    if let Some(nvram) = &point.firmware.nvram {
        add(NVRAM.to_owned(), &nvram.path)?;
    }
    match &point.firmware.tpm {
        None => {}
        Some(Tpm::File(path)) => add(TPM.to_owned(), path)?,
        Some(Tpm::Directory(path)) => {
            let names = files::names(path).map_err(|reason| failed(point, path, reason))?;
            for name in names {
                let entry = format!("{TPM_FILES}{name}");
                if !archive::fits(&entry) {
                    let reason = format!("holds '{name}', whose name is too long");
                    return Err(failed(point, path, reason));
                }
                add(entry, &path.join(name))?;
            }
        }
    }
    Ok(all)
}

/// A file, and what it becomes.
struct Target {
    path: PathBuf,
    content: Content,
}

/// What a file becomes.
enum Content {
    /// It was not there.
    Nothing,
    /// What a copy has of it.
    Kept(Entry),
    /// What another file holds.
    Template(PathBuf),
}

impl Content {
    /// What a copy has of a file.
    fn of(kept: &Kept, name: &str) -> Content {
        let found = kept.entry(name).cloned();
        found.map_or(Content::Nothing, Content::Kept)
    }
}

/// What becomes of each file.
fn targets(point: &Point<'_>, kept: Option<&Kept>) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    if let Some(nvram) = &point.firmware.nvram {
        let path = nvram.path.clone();
        let content = match (kept.filter(|kept| kept.has_nvram), &nvram.template) {
            (_, Some(template)) if point.firmware.is_reset => {
                Some(Content::Template(template.clone()))
            }
            (_, None) if point.firmware.is_reset => {
                return Err(Error::NvramWithoutTemplate { path });
            }
            (kept, _) => kept.map(|kept| Content::of(kept, NVRAM)),
        };
        targets.extend(content.map(|content| Target { path, content }));
    }
    let Some(kept) = kept.filter(|kept| kept.has_tpm) else {
        return Ok(targets);
    };
    match &point.firmware.tpm {
        None => {}
        Some(Tpm::File(path)) => targets.push(Target {
            path: path.clone(),
            content: Content::of(kept, TPM),
        }),
        Some(Tpm::Directory(path)) => {
            let present = files::names(path).map_err(|reason| failed(point, path, reason))?;
            let entries = kept.entries.iter().map(|entry| entry.name.clone());
            let names: BTreeSet<String> = entries
                .filter_map(|entry| Some(entry.strip_prefix(TPM_FILES)?.to_owned()))
                .chain(present)
                .collect();
            targets.extend(names.into_iter().map(|name| Target {
                content: Content::of(kept, &format!("{TPM_FILES}{name}")),
                path: path.join(name),
            }));
        }
    }
    Ok(targets)
}

impl Target {
    /// The directory of the TPM that it is of.
    fn tpm_directory<'p>(&self, point: &'p Point<'_>) -> Option<&'p Path> {
        match &point.firmware.tpm {
            Some(Tpm::Directory(directory)) if self.path.parent() == Some(directory) => {
                Some(directory)
            }
            _ => None,
        }
    }

    fn stage(&self, point: &Point<'_>, kept: Option<&Kept>) -> Result<()> {
        if let Some(directory) = self.tpm_directory(point) {
            files::make_directory(directory).map_err(|reason| failed(point, directory, reason))?;
        }
        let staged = match (&self.content, kept) {
            (Content::Kept(entry), Some(kept)) => entry
                .content(&kept.archive)
                .map_err(|error| format!("cannot be read from its copy: {error}"))
                .and_then(|content| files::stage(&self.path, content)),
            (Content::Template(path), _) => {
                let template = template(point, path)?;
                files::stage(&self.path, template.file.take(template.size))
            }
            (Content::Nothing | Content::Kept(_), _) => Ok(()),
        };
        staged.map_err(|reason| failed(point, &self.path, reason))
    }
}

/// The file that variables are made of.
fn template(point: &Point<'_>, path: &Path) -> Result<Readable> {
    files::open(path, limits::FIRMWARE_FILE_BYTES)
        .and_then(|found| found.ok_or_else(|| "is missing".to_owned()))
        .map_err(|reason| failed(point, path, reason))
}

fn failed(point: &Point<'_>, file: &Path, reason: impl Into<String>) -> Error {
    Error::FirmwareState {
        snapshot: point.name.to_owned(),
        file: file.to_owned(),
        reason: reason.into(),
    }
}
