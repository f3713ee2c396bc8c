//! A `<domain>` with other images for some of its disks; all else stays as it is written.

use std::ops::Range;

use roxmltree::Node;

use super::document::{self, Kind, attribute, child, children};
use super::escape::Escape;
use crate::error::Result;

/// The image that a disk gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSource {
    /// The disk's target.
    pub target: String,
    /// Path of a file.
    pub file: String,
    /// Its format.
    pub format: String,
}

/// A text that takes the place of a part of the document.
type Edit = (Range<usize>, String);

/// Gives disks of a definition other images. What was known of the old images' chains goes with
/// them.
pub fn with_sources(definition: &str, sources: &[NewSource]) -> Result<String> {
    let document = document::read(definition, Kind::Domain)?;
    let mut edits: Vec<Edit> = Vec::new();
    let devices = children(document.root_element(), "devices");
    for disk in devices.flat_map(|devices| children(devices, "disk")) {
        let target = child(disk, "target").and_then(|target| attribute(target, "dev"));
        let source = sources
            .iter()
            .find(|source| Some(source.target.as_str()) == target);
        if let Some(source) = source {
            edit_disk(disk, source, &mut edits);
        }
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut text = String::with_capacity(definition.len());
    let mut place = 0;
    for (range, new) in edits {
        text.push_str(definition.get(place..range.start).unwrap_or_default());
        text.push_str(&new);
        place = range.end;
    }
    text.push_str(definition.get(place..).unwrap_or_default());
    Ok(text)
}

fn edit_disk(disk: Node<'_, '_>, new: &NewSource, edits: &mut Vec<Edit>) {
    let file = escaped(&new.file);
    let format = escaped(&new.format);
    set(disk, "type", "file", edits);
    match child(disk, "source") {
        Some(source) => edits.push((source.range(), format!("<source file='{file}'/>"))),
        None => insert(disk, format!("<source file='{file}'/>"), edits),
    }
    match child(disk, "driver") {
        Some(driver) => set(driver, "type", &format, edits),
        None => insert(
            disk,
            format!("<driver name='qemu' type='{format}'/>"),
            edits,
        ),
    }
    for chain in children(disk, "backingStore") {
        edits.push((chain.range(), String::new()));
    }
}

fn escaped(value: &str) -> String {
    let mut text = String::new();
    Escape::Attribute.push(&mut text, value);
    text
}

/// Sets an attribute; the value is escaped already.
fn set(node: Node<'_, '_>, name: &str, value: &str, edits: &mut Vec<Edit>) {
    match node.attribute_node(name) {
        Some(old) => edits.push((old.range_value(), value.to_owned())),
        None => {
            let place = node.range().start + "<".len() + node.tag_name().name().len();
            edits.push((place..place, format!(" {name}='{value}'")));
        }
    }
}

/// Puts an element in front of the disk's target, which every disk has.
fn insert(disk: Node<'_, '_>, element: String, edits: &mut Vec<Edit>) {
    if let Some(target) = child(disk, "target") {
        let place = target.range().start;
        edits.push((place..place, element));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::domain_facts;

    fn switched(disk: &str) -> String {
        let definition = format!(
            "<domain type='qemu'><name>n</name><os><type>hvm</type></os><devices>{disk}\
             <disk><source file='/other'/><target dev='vdb'/></disk></devices></domain>"
        );
        let new = NewSource {
            target: "vda".to_owned(),
            file: "/new & 'it'.s".to_owned(),
            format: "qcow2".to_owned(),
        };
        with_sources(&definition, &[new]).unwrap()
    }

    #[test]
    fn every_form_of_a_disk_gets_the_new_image() {
        for disk in [
            "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>\
             <source file='/old' startupPolicy='optional'><privateData/></source>\
             <backingStore type='file'><source file='/older'/></backingStore>\
             <target dev='vda'/></disk>",
            "<disk><source file='/old'/><target dev='vda'/></disk>",
            "<disk type=\"block\"><driver name='qemu'/><source dev='/dev/x'/>\
             <target dev='vda'/></disk>",
        ] {
            let facts = domain_facts(&switched(disk)).unwrap();
            let [first, second] = &facts.disks[..] else {
                panic!("{facts:?}");
            };
            assert_eq!(first.source.as_deref(), Some("/new & 'it'.s"), "{disk}");
            assert_eq!(first.format.as_deref(), Some("qcow2"), "{disk}");
            assert_eq!(first.source_type, "file", "{disk}");
            assert_eq!(second.source.as_deref(), Some("/other"), "{disk}");
        }
    }

    #[test]
    fn all_else_stays_as_it_is_written() {
        let disk = "<disk type='file'><!-- c --><driver name='qemu' type='qcow2' io='native'/>\
                    <source file='/old'/><backingStore/><target dev='vda'  bus='virtio'/></disk>";
        let text = switched(disk);
        assert!(text.contains(
            "<disk type='file'><!-- c --><driver name='qemu' type='qcow2' io='native'/>\
             <source file='/new &amp; &apos;it&apos;.s'/><target dev='vda'  bus='virtio'/></disk>"
        ));
    }
}
