//! Work on image files as the journal holds it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::collect::Collected;
use super::moves::{Moved, Moves};
use crate::data::{Layer, Merge, OverlayFile, Restore};
use crate::xml::LayerRecord;

/// What is left to do when files merge: the same text, whoever finishes it.
pub(super) fn collected(work: &Collected) -> Value {
    let moved = work.moves.moved.iter().map(
        |(from, to)| json!({ "from": path(from), "to": layer(&to.layer), "block": to.is_block }),
    );
    json!({
        "merges": work.merges.iter().map(merge).collect::<Vec<_>>(),
        "moved": moved.collect::<Vec<_>>(),
        "gone": paths(&work.moves.gone),
        "removals": paths(&work.removals),
        "records": work.records.iter().map(layer_record).collect::<Vec<_>>(),
    })
}

pub(super) fn read_collected(value: &Value) -> Option<Collected> {
    let moved = value.get("moved")?.as_array()?.iter().map(|moved| {
        let to = Moved {
            layer: read_layer(moved.get("to")?)?,
            is_block: moved.get("block")?.as_bool()?,
        };
        Some((read_path(moved.get("from")?)?, to))
    });
    let merges = value.get("merges")?.as_array()?;
    Some(Collected {
        merges: merges.iter().map(read_merge).collect::<Option<_>>()?,
        moves: Moves {
            moved: moved.collect::<Option<_>>()?,
            gone: read_paths(value.get("gone")?)?.into_iter().collect(),
        },
        removals: read_paths(value.get("removals")?)?,
        records: value
            .get("records")?
            .as_array()?
            .iter()
            .map(read_layer_record)
            .collect::<Option<_>>()?,
    })
}

fn layer_record(record: &LayerRecord) -> Value {
    json!({ "path": record.path, "made": record.is_made })
}

fn read_layer_record(value: &Value) -> Option<LayerRecord> {
    Some(LayerRecord {
        path: value.get("path")?.as_str()?.to_owned(),
        is_made: value.get("made")?.as_bool()?,
    })
}

pub(super) fn restores(restores: &[Restore]) -> Value {
    let each = restores.iter().map(|restore| match restore {
        Restore::Apply { disk } => json!({ "apply": disk }),
        Restore::Overlay {
            disk,
            base,
            path: new,
        } => {
            json!({ "overlay": disk, "base": layer(base), "path": path(new) })
        }
        Restore::Copy {
            disk,
            from,
            path: new,
        } => {
            json!({ "copy": disk, "from": path(from), "path": path(new) })
        }
    });
    each.collect()
}

pub(super) fn read_restores(value: &Value) -> Option<Vec<Restore>> {
    let read = |value: &Value| {
        let text = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
        if let Some(disk) = text("apply") {
            return Some(Restore::Apply { disk });
        }
        let new = read_path(value.get("path")?)?;
        match text("overlay") {
            Some(disk) => Some(Restore::Overlay {
                disk,
                base: read_layer(value.get("base")?)?,
                path: new,
            }),
            None => Some(Restore::Copy {
                disk: text("copy")?,
                from: read_path(value.get("from")?)?,
                path: new,
            }),
        }
    };
    value.as_array()?.iter().map(read).collect()
}

const OVERLAY_FILES: [(&str, OverlayFile); 3] = [
    ("new", OverlayFile::New),
    ("empty", OverlayFile::Empty),
    ("reused", OverlayFile::Reused),
];

pub(super) fn overlay_file(file: OverlayFile) -> Value {
    let word = OVERLAY_FILES.iter().find(|(_, known)| *known == file);
    word.map_or("new", |(word, _)| word).into()
}

pub(super) fn read_overlay_file(value: &Value) -> Option<OverlayFile> {
    let word = value.as_str()?;
    let known = OVERLAY_FILES.iter().find(|(known, _)| *known == word);
    known.map(|(_, file)| *file)
}

fn merge(merge: &Merge) -> Value {
    match merge {
        Merge::Commit { disk, top, base } => {
            json!({ "commit": disk, "image": layer(top), "below": layer(base) })
        }
        Merge::Relink {
            disk,
            image,
            backing,
        } => json!({ "relink": disk, "image": layer(image), "below": layer(backing) }),
    }
}

fn read_merge(value: &Value) -> Option<Merge> {
    let image = read_layer(value.get("image")?)?;
    let below = read_layer(value.get("below")?)?;
    match value.get("commit").and_then(Value::as_str) {
        Some(disk) => Some(Merge::Commit {
            disk: disk.to_owned(),
            top: image,
            base: below,
        }),
        None => Some(Merge::Relink {
            disk: value.get("relink")?.as_str()?.to_owned(),
            image,
            backing: below,
        }),
    }
}

fn layer(layer: &Layer) -> Value {
    json!({ "path": path(&layer.path), "format": layer.format })
}

fn read_layer(value: &Value) -> Option<Layer> {
    let format = value.get("format")?;
    Some(Layer {
        path: read_path(value.get("path")?)?,
        format: format.as_str().map(str::to_owned),
    })
}

pub(super) fn paths<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Value {
    paths.into_iter().map(|each| path(each)).collect()
}

pub(super) fn read_paths(value: &Value) -> Option<Vec<PathBuf>> {
    value.as_array()?.iter().map(read_path).collect()
}

/// Paths are UTF-8: they come from documents, or were checked when they were taken in.
fn path(path: &Path) -> Value {
    path.to_string_lossy().into()
}

fn read_path(value: &Value) -> Option<PathBuf> {
    value.as_str().map(PathBuf::from)
}
