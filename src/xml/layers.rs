//! The record of image files that a domain's snapshots made or may write to, and that no `<disk>`
//! names any more: an element of our own among those that a snapshot keeps verbatim.

use super::document::{self, Kind, attribute};
use super::escape::Escape;

/// The namespace of the element.
const NAMESPACE: &str = "https://virsnap.org/xmlns/layers/1";

/// An image file of a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LayerRecord {
    /// Absolute path.
    pub path: String,
    /// A snapshot made it; else it only was the image of one.
    pub is_made: bool,
}

/// The records among a snapshot's unknown elements.
pub fn layer_records(elements: &[Box<str>]) -> Vec<LayerRecord> {
    let mut records = Vec::new();
    for element in elements.iter().filter(|element| is_record(element)) {
        let Ok(document) = document::read(element, Kind::Snapshot) else {
            continue;
        };
        for file in document
            .root_element()
            .children()
            .filter(roxmltree::Node::is_element)
        {
            if let Some(path) = attribute(file, "path") {
                records.push(LayerRecord {
                    path: path.to_owned(),
                    is_made: attribute(file, "made") == Some("yes"),
                });
            }
        }
    }
    records
}

/// Puts those records, and no others, among a snapshot's unknown elements.
pub fn set_layer_records(elements: &mut Vec<Box<str>>, records: &[LayerRecord]) {
    elements.retain(|element| !is_record(element));
    if records.is_empty() {
        return;
    }
    let mut text = format!("<layers xmlns='{NAMESPACE}'>");
    for record in records {
        text.push_str("<file path='");
        Escape::Attribute.push(&mut text, &record.path);
        text.push_str(if record.is_made {
            "' made='yes'/>"
        } else {
            "' made='no'/>"
        });
    }
    text.push_str("</layers>");
    elements.push(text.into());
}

fn is_record(element: &str) -> bool {
    document::is_own(element, NAMESPACE, "layers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_other_elements_stay() {
        let record = |path: &str, is_made| LayerRecord {
            path: path.to_owned(),
            is_made,
        };
        let records = [record("/a'&\n", true), record("/b", false)];
        let mut elements: Vec<Box<str>> = vec!["<x/>".into()];
        set_layer_records(&mut elements, &[record("/old", true)]);
        set_layer_records(&mut elements, &records);
        assert_eq!(elements.len(), 2);
        assert_eq!(layer_records(&elements), records);
        set_layer_records(&mut elements, &[]);
        assert_eq!(elements, ["<x/>".into()]);
    }
}
