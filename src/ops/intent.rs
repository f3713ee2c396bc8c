//! What is about to be done to guest data: recorded before, resolved after a crash.
//!
//! An intent names everything that its resolution needs, so that the domain's definition of a
//! later day plays no part in it.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::data::Image;
use crate::tree::Deletion;

/// An operation on guest data that may have been cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// A snapshot is being captured: undone.
    Create {
        /// The snapshot.
        name: String,
        /// Where it is captured.
        images: Vec<Image>,
    },
    /// Snapshots are being deleted with their data: finished.
    Delete {
        /// The snapshot that the caller named.
        name: String,
        /// Which snapshots go.
        deletion: Deletion,
        /// What each of them has where.
        data: Vec<(String, Vec<Image>)>,
    },
    /// The images are being reverted: finished.
    Revert {
        /// The snapshot.
        name: String,
        /// Where it is.
        images: Vec<Image>,
        /// The domain's definition afterwards.
        definition: String,
    },
}

impl Intent {
    /// The text that the store keeps.
    pub fn encode(&self) -> String {
        match self {
            Intent::Create { name, images } => {
                json!({ "create": name, "images": encode_images(images) })
            }
            Intent::Delete {
                name,
                deletion,
                data,
            } => {
                let data: Vec<_> = data
                    .iter()
                    .map(|(name, images)| json!([name, encode_images(images)]))
                    .collect();
                json!({ "delete": name, "what": deletion_word(*deletion), "data": data })
            }
            Intent::Revert {
                name,
                images,
                definition,
            } => json!({
                "revert": name, "images": encode_images(images), "definition": definition,
            }),
        }
        .to_string()
    }

    /// The intent that a text holds; `None` if it holds none.
    pub fn decode(text: &str) -> Option<Intent> {
        let value: Value = serde_json::from_str(text).ok()?;
        let name = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let images = || decode_images(value.get("images")?);
        if let Some(name) = name("create") {
            Some(Intent::Create {
                name,
                images: images()?,
            })
        } else if let Some(target) = name("delete") {
            let deletion = deletion_of(value.get("what")?.as_str()?)?;
            let data = value.get("data")?.as_array()?;
            let data = data.iter().map(decode_data).collect::<Option<_>>()?;
            Some(Intent::Delete {
                name: target,
                deletion,
                data,
            })
        } else {
            let definition = name("definition")?;
            Some(Intent::Revert {
                name: name("revert")?,
                images: images()?,
                definition,
            })
        }
    }
}

fn encode_images(images: &[Image]) -> Value {
    images
        .iter()
        .map(|image| json!([image.disk, image.path.to_string_lossy()]))
        .collect()
}

fn decode_images(value: &Value) -> Option<Vec<Image>> {
    let image = |pair: &Value| {
        Some(Image {
            disk: pair.get(0)?.as_str()?.to_owned(),
            path: PathBuf::from(pair.get(1)?.as_str()?),
        })
    };
    value.as_array()?.iter().map(image).collect()
}

fn decode_data(value: &Value) -> Option<(String, Vec<Image>)> {
    Some((
        value.get(0)?.as_str()?.to_owned(),
        decode_images(value.get(1)?)?,
    ))
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
        let images = vec![Image {
            disk: "vda".into(),
            path: "/a \"b\"\n/c.qcow2".into(),
        }];
        let intents = [
            Intent::Create {
                name: "a\nb".into(),
                images: images.clone(),
            },
            Intent::Delete {
                name: "s".into(),
                deletion: Deletion::WithDescendants,
                data: vec![("s".into(), images.clone()), ("t".into(), Vec::new())],
            },
            Intent::Delete {
                name: "s".into(),
                deletion: Deletion::DescendantsOnly,
                data: vec![],
            },
            Intent::Revert {
                name: "s".into(),
                images,
                definition: "<domain/>\n".into(),
            },
        ];
        for intent in intents {
            assert_eq!(Intent::decode(&intent.encode()), Some(intent));
        }
        for text in [
            "",
            "{}",
            "[]",
            "{\"create\":\"x\"}",
            "{\"delete\":\"x\",\"what\":\"?\"}",
        ] {
            assert_eq!(Intent::decode(text), None, "{text}");
        }
    }
}
