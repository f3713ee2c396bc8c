//! The copy of a snapshot: written, and read with nothing in it believed.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::archive::{self, Entry};
use super::files::{self, Attempt, Readable};
use super::{Gathered, Tpm, failed};
use crate::data::Point;
use crate::error::Result;
use crate::limits;

/// The entry of a copy that tells whose it is and what of it there was.
pub(super) const MANIFEST: &str = "virsnap-firmware";
/// The entry of the variables, and their name among the parts.
pub(super) const NVRAM: &str = "nvram";
/// The entry of a TPM's state that is one file, and its name among the parts.
pub(super) const TPM: &str = "tpm";
/// What precedes the names of a TPM's files.
pub(super) const TPM_FILES: &str = "tpm/";
/// Bytes of a manifest: room for a snapshot's name with each byte escaped.
const MANIFEST_BYTES: u64 = 4096;

/// What a copy tells of itself.
pub(super) fn manifest(point: &Point<'_>) -> String {
    let parts: Vec<&str> = [
        (NVRAM, point.firmware.nvram.is_some()),
        (TPM, point.firmware.tpm.is_some()),
    ]
    .into_iter()
    .filter_map(|(part, is_there)| is_there.then_some(part))
    .collect();
    json!({ "snapshot": point.name, "parts": parts }).to_string()
}

/// Fills a copy. The error has the file that it is about, if that is another one.
pub(super) fn write(
    copy: &mut File,
    manifest: &str,
    gathered: Vec<Gathered>,
) -> std::result::Result<(), (Option<PathBuf>, String)> {
    let unwritten = |error: std::io::Error| (None, format!("cannot be written: {error}"));
    let size = manifest.len() as u64;
    archive::append(copy, MANIFEST, size, manifest.as_bytes()).map_err(unwritten)?;
    for each in gathered {
        let Readable { file, size } = each.readable;
        archive::append(copy, &each.entry, size, file)
            .map_err(|error| (Some(each.path), format!("cannot be copied: {error}")))?;
    }
    archive::end(copy)
        .and_then(|()| copy.sync_all())
        .map_err(unwritten)
}

/// Whether a file is empty, begins as a copy does, or has not come to that yet.
pub(super) fn begins_as_copy(path: &Path) -> bool {
    let Ok(Some(readable)) = files::open(path, u64::MAX) else {
        return false;
    };
    let mut begin = Vec::new();
    let read = readable
        .file
        .take(MANIFEST.len() as u64)
        .read_to_end(&mut begin);
    let is_zero = || begin.iter().all(|byte| *byte == 0);
    read.is_ok() && (MANIFEST.as_bytes().starts_with(&begin) || is_zero())
}

/// An open copy.
pub(super) struct Kept {
    pub archive: File,
    pub entries: Vec<Entry>,
    pub has_nvram: bool,
    pub has_tpm: bool,
}

impl Kept {
    /// The copy of a snapshot that has one.
    pub fn of(point: &Point<'_>) -> Result<Option<Kept>> {
        let Some(copy) = &point.firmware.copy else {
            return Ok(None);
        };
        let kept = Kept::open(copy, point.name).map_err(|reason| failed(point, copy, reason))?;
        let is_other = |entry: &Entry| match &point.firmware.tpm {
            Some(Tpm::Directory(_)) => entry.name == TPM,
            Some(Tpm::File(_)) => entry.name.starts_with(TPM_FILES),
            None => false,
        };
        if kept.entries.iter().any(is_other) {
            let reason = "holds a TPM's state in another form than the definition has it";
            return Err(failed(point, copy, reason));
        }
        Ok(Some(kept))
    }

    /// A copy that is whole, and that snapshot's.
    pub fn open(path: &Path, snapshot: &str) -> Attempt<Kept> {
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::InvalidData => error.to_string(),
            _ => format!("cannot be read: {error}"),
        };
        let readable = files::open(path, u64::MAX)?.ok_or("is missing")?;
        let archive = readable.file;
        let mut entries = archive::entries(&archive, limits::FIRMWARE_FILES.saturating_add(2))
            .map_err(unreadable)?;
        let foreign = || "is no copy that a snapshot has made".to_owned();
        if !entries
            .first()
            .is_some_and(|first| first.name == MANIFEST && first.size <= MANIFEST_BYTES)
        {
            return Err(foreign());
        }
        let first = entries.remove(0);
        let mut text = String::new();
        let read = first.content(&archive);
        read.and_then(|mut content| content.read_to_string(&mut text))
            .map_err(unreadable)?;
        let manifest: Value = serde_json::from_str(&text).map_err(|_| foreign())?;
        let made_for = manifest.get("snapshot").and_then(Value::as_str);
        if made_for != Some(snapshot) {
            return Err(format!(
                "is the copy of another snapshot, '{}'",
                made_for.unwrap_or_default()
            ));
        }
        let mut names = HashSet::new();
        let is_sound =
            |entry: &Entry| is_entry_name(&entry.name) && entry.size <= limits::FIRMWARE_FILE_BYTES;
        if !entries
            .iter()
            .all(|entry| is_sound(entry) && names.insert(&entry.name))
        {
            return Err(foreign());
        }
        let parts = manifest.get("parts").and_then(Value::as_array);
        let has = |part: &str| {
            let mut parts = parts.into_iter().flatten();
            parts.any(|each| each.as_str() == Some(part))
        };
        Ok(Kept {
            has_nvram: has(NVRAM),
            has_tpm: has(TPM),
            archive,
            entries,
        })
    }

    /// What it has of a name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// Whether a name in a copy can lead nowhere but to its place.
fn is_entry_name(name: &str) -> bool {
    match name.strip_prefix(TPM_FILES) {
        Some(file) => !matches!(file, "" | "." | "..") && !file.contains('/'),
        None => matches!(name, NVRAM | TPM),
    }
}
