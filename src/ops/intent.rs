//! What is about to be done to guest data: recorded before, resolved after a crash.

use serde_json::{Value, json};

use crate::tree::Deletion;

/// An operation on guest data that may have been cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// A snapshot is being captured: undone.
    Create {
        /// Its document, as the store would have it.
        document: String,
    },
    /// Snapshots are being deleted with their data: finished. Their documents are still stored.
    Delete {
        /// The snapshot that the caller named.
        name: String,
        /// Which snapshots go.
        deletion: Deletion,
    },
    /// The guest is being reverted: finished.
    Revert {
        /// The snapshot.
        name: String,
        /// The flags of the request.
        flags: u32,
        /// The domain's definition afterwards.
        definition: String,
    },
    /// Nothing is to be done any more but to give back space that a failed operation has taken.
    Tidy {
        /// The snapshots whose images it was about.
        names: Vec<String>,
    },
}

impl Intent {
    /// The text that the store keeps.
    pub fn encode(&self) -> String {
        match self {
            Intent::Create { document } => json!({ "create": document }),
            Intent::Delete { name, deletion } => {
                json!({ "delete": name, "what": deletion_word(*deletion) })
            }
            Intent::Revert {
                name,
                flags,
                definition,
            } => {
                json!({ "revert": name, "flags": flags, "definition": definition })
            }
            Intent::Tidy { names } => json!({ "tidy": names }),
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
            Some(Intent::Tidy { names })
        } else if let Some(document) = text("create") {
            Some(Intent::Create { document })
        } else if let Some(name) = text("delete") {
            Some(Intent::Delete {
                name,
                deletion: deletion_of(&text("what")?)?,
            })
        } else {
            Some(Intent::Revert {
                name: text("revert")?,
                flags: u32::try_from(value.get("flags")?.as_u64()?).ok()?,
                definition: text("definition")?,
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

    #[test]
    fn what_is_encoded_is_decoded() {
        let name = || "a\n\"b\"".to_owned();
        let intents = [
            Intent::Create {
                document: "<domainsnapshot/>\n".into(),
            },
            Intent::Delete {
                name: name(),
                deletion: Deletion::One,
            },
            Intent::Delete {
                name: name(),
                deletion: Deletion::WithDescendants,
            },
            Intent::Delete {
                name: name(),
                deletion: Deletion::DescendantsOnly,
            },
            Intent::Revert {
                name: name(),
                flags: 4,
                definition: "<domain/>\n".into(),
            },
            Intent::Tidy {
                names: vec![name(), "b".to_owned()],
            },
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
        ] {
            assert_eq!(Intent::decode(text), None, "{text}");
        }
    }
}
