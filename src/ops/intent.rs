//! What is about to be done to guest data: recorded before, resolved after a crash.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::collect::Collected;
use super::record;
use crate::data::{OverlayFile, Restore};
use crate::tree::Deletion;

/// An operation on guest data that may have been cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// A snapshot is being captured: undone.
    Create {
        /// Its document, as the store would have it.
        document: String,
        /// What stood at the overlays' paths, by disk, where it was not nothing.
        found: Vec<(String, OverlayFile)>,
    },
    /// Snapshots are being deleted with their data: finished. Their documents are still stored.
    Delete {
        /// The snapshot that the caller named.
        name: String,
        /// Which snapshots go.
        deletion: Deletion,
        /// What becomes of image files.
        work: Collected,
    },
    /// The guest is being reverted: finished.
    Revert {
        /// The snapshot.
        name: String,
        /// The flags of the request.
        flags: u32,
        /// The domain's definition afterwards.
        definition: String,
        /// What becomes of each disk.
        restores: Vec<Restore>,
        /// What becomes of image files.
        work: Collected,
    },
    /// The domain gets another name: finished if it has arrived there, else undone.
    Rename {
        /// The new name.
        to: String,
    },
    /// All is done, or nothing is; what is left of it goes.
    Tidy(Leftovers),
}

/// What an operation leaves behind that is of no use to anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leftovers {
    /// Snapshots in whose images there is something of the operation's own, or space that it has taken.
    pub names: Vec<String>,
    /// Files.
    pub files: Vec<PathBuf>,
}

impl Leftovers {
    /// These files and nothing else.
    pub fn files(files: &[PathBuf]) -> Leftovers {
        Leftovers {
            files: files.to_vec(),
            ..Leftovers::default()
        }
    }

    /// What is to be recorded about them, if there are any.
    pub fn intent(&self) -> Option<String> {
        let is_none = self.names.is_empty() && self.files.is_empty();
        (!is_none).then(|| Intent::Tidy(self.clone()).encode())
    }
}

impl Intent {
    /// The text that the store keeps.
    pub fn encode(&self) -> String {
        match self {
            Intent::Create { document, found } => {
                let found = found
                    .iter()
                    .map(|(disk, file)| (disk.clone(), record::overlay_file(*file)));
                json!({ "create": document, "found": Value::Object(found.collect()) })
            }
            Intent::Delete {
                name,
                deletion,
                work,
            } => {
                let what = deletion_word(*deletion);
                json!({ "delete": name, "what": what, "work": record::collected(work) })
            }
            Intent::Revert {
                name,
                flags,
                definition,
                restores,
                work,
            } => json!({
                "revert": name,
                "flags": flags,
                "definition": definition,
                "restores": record::restores(restores),
                "work": record::collected(work),
            }),
            Intent::Rename { to } => json!({ "rename": to }),
            Intent::Tidy(Leftovers { names, files }) => {
                json!({ "tidy": names, "remove": record::paths(files) })
            }
        }
        .to_string()
    }

    /// The intent that a text holds; `None` if it holds none.
    pub fn decode(text: &str) -> Option<Intent> {
        let value: Value = serde_json::from_str(text).ok()?;
        let text = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
        if let Some(names) = value.get("tidy") {
            let names = names.as_array()?.iter().map(Value::as_str);
            let names = names
                .map(|name| name.map(str::to_owned))
                .collect::<Option<_>>()?;
            Some(Intent::Tidy(Leftovers {
                names,
                files: record::read_paths(value.get("remove")?)?,
            }))
        } else if let Some(document) = text("create") {
            let found = value.get("found")?.as_object()?.iter();
            let found = found.map(|(disk, file)| {
                record::read_overlay_file(file).map(|file| (disk.clone(), file))
            });
            Some(Intent::Create {
                document,
                found: found.collect::<Option<_>>()?,
            })
        } else if let Some(to) = text("rename") {
            Some(Intent::Rename { to })
        } else if let Some(name) = text("delete") {
            Some(Intent::Delete {
                name,
                deletion: deletion_of(&text("what")?)?,
                work: record::read_collected(value.get("work")?)?,
            })
        } else {
            Some(Intent::Revert {
                name: text("revert")?,
                flags: u32::try_from(value.get("flags")?.as_u64()?).ok()?,
                definition: text("definition")?,
                restores: record::read_restores(value.get("restores")?)?,
                work: record::read_collected(value.get("work")?)?,
            })
        }
    }
}

const DELETIONS: [(&str, Deletion); 3] = [
    ("one", Deletion::One),
    ("children", Deletion::WithDescendants),
    ("children-only", Deletion::DescendantsOnly),
];

fn deletion_word(deletion: Deletion) -> &'static str {
    DELETIONS
        .iter()
        .find(|(_, known)| *known == deletion)
        .map_or("one", |(word, _)| word)
}

fn deletion_of(word: &str) -> Option<Deletion> {
    DELETIONS
        .iter()
        .find(|(known, _)| *known == word)
        .map(|(_, deletion)| *deletion)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Layer, Merge};
    use crate::ops::moves::{Moved, Moves};
    use crate::xml::LayerRecord;

    fn work() -> Collected {
        let layer = |path: &str, format: Option<&str>| Layer {
            path: path.into(),
            format: format.map(str::to_owned),
        };
        let (top, base) = (layer("/a \"b\"\n", Some("qcow2")), layer("/c", None));
        let moved = Moved {
            layer: base.clone(),
            is_block: true,
        };
        Collected {
            merges: vec![
                Merge::Commit {
                    disk: "vda".into(),
                    top: top.clone(),
                    base: base.clone(),
                },
                Merge::Relink {
                    disk: "vda".into(),
                    image: top.clone(),
                    backing: base,
                },
            ],
            moves: Moves {
                moved: [(top.path.clone(), moved)].into(),
                gone: [top.path.clone()].into(),
            },
            removals: vec![top.path],
            records: vec![LayerRecord {
                path: "/k".into(),
                is_made: true,
            }],
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let name = || "a\n\"b\"".to_owned();
        let delete = |deletion, work| Intent::Delete {
            name: name(),
            deletion,
            work,
        };
        let restores = vec![
            Restore::Apply { disk: "vda".into() },
            Restore::Overlay {
                disk: "vdb".into(),
                base: Layer {
                    path: "/b".into(),
                    format: Some("raw".into()),
                },
                path: "/b.1".into(),
            },
            Restore::Copy {
                disk: "vdc".into(),
                from: "/c".into(),
                path: "/c.1".into(),
            },
        ];
        let intents = [
            Intent::Create {
                document: "<domainsnapshot/>\n".into(),
                found: vec![
                    ("vda".into(), OverlayFile::Empty),
                    ("vdb".into(), OverlayFile::Reused),
                ],
            },
            delete(Deletion::One, work()),
            delete(Deletion::WithDescendants, Collected::default()),
            delete(Deletion::DescendantsOnly, work()),
            Intent::Revert {
                name: name(),
                flags: 4,
                definition: "<domain/>\n".into(),
                restores,
                work: work(),
            },
            Intent::Rename { to: name() },
            Intent::Tidy(Leftovers {
                names: vec![name(), "b".to_owned()],
                files: vec!["/a".into()],
            }),
        ];
        for intent in intents {
            assert_eq!(Intent::decode(&intent.encode()), Some(intent));
        }
        for text in [
            "",
            "{}",
            "[]",
            "{\"revert\":\"x\"}",
            "{\"delete\":\"x\",\"what\":\"?\"}",
            "{\"create\":\"x\",\"found\":{\"vda\":\"?\"}}",
            "{\"tidy\":[],\"remove\":[1]}",
            "{\"tidy\":[]}",
        ] {
            assert_eq!(Intent::decode(text), None, "{text}");
        }
    }
}
