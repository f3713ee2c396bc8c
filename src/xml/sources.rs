//! Gives disks of a definition other images.

use std::ops::Range;

use roxmltree::Node;

use super::document::{self, Kind, attribute, child, children};
use super::escape::Escape;
use super::verbatim::{Edit, edited, tag_name_end};
use crate::error::{Error, Result};

/// The image that a disk is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSource {
    /// The disk's target.
    pub target: String,
    /// The disk's `type`: `file` or `block`.
    pub kind: &'static str,
    /// Local path.
    pub path: String,
    /// `driver/@type`; `None` leaves it as it is.
    pub format: Option<String>,
    /// The whole `<source>` element, where it says more than the path.
    pub source: Option<String>,
}

/// The definition with other images for some of its disks. `<backingStore>` of those goes: the new
/// image says itself what is below it. Everything else stays verbatim.
pub fn with_sources(text: &str, sources: &[NewSource]) -> Result<String> {
    let document = document::read(text, Kind::Domain)?;
    let root = document.root_element();
    if !matches!(root.tag_name().name(), "domain" | "inactiveDomain") {
        return Err(Error::DomainRoot {
            found: root.tag_name().name().to_owned(),
        });
    }
    let mut edits: Vec<Edit<'_>> = Vec::new();
    for disk in children(root, "devices").flat_map(|devices| children(devices, "disk")) {
        let target = child(disk, "target").and_then(|target| attribute(target, "dev"));
        if let Some(source) = sources
            .iter()
            .find(|source| Some(source.target.as_str()) == target)
        {
            edit_disk(text, disk, source, &mut edits);
        }
    }
    Ok(edited(text, edits))
}

fn edit_disk<'a>(text: &str, disk: Node<'_, '_>, new: &NewSource, edits: &mut Vec<Edit<'a>>) {
    set_attribute(text, disk, "type", new.kind, edits);
    let mut inserted = String::new();
    if let Some(format) = &new.format {
        match child(disk, "driver") {
            Some(driver) => set_attribute(text, driver, "type", format, edits),
            None => {
                inserted.push_str("<driver name='qemu'");
                push_attribute(&mut inserted, "type", format);
                inserted.push_str("/>");
            }
        }
    }
    let source = new.source.clone().unwrap_or_else(|| plain_source(new));
    match child(disk, "source") {
        Some(old) => edits.push((old.range(), source.into())),
        None => inserted.push_str(&source),
    }
    if !inserted.is_empty()
        && let Some(first) = disk.first_child()
    {
        let start = first.range().start;
        edits.push((start..start, inserted.into()));
    }
    for old in children(disk, "backingStore") {
        edits.push((with_space_before(text, old.range()), "".into()));
    }
}

fn plain_source(new: &NewSource) -> String {
    let name = if new.kind == "block" { "dev" } else { "file" };
    let mut source = "<source".to_owned();
    push_attribute(&mut source, name, &new.path);
    source.push_str("/>");
    source
}

fn push_attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("='");
    Escape::Attribute.push(out, value);
    out.push('\'');
}

/// Replaces an attribute, or adds it behind the element's name.
fn set_attribute<'a>(
    text: &str,
    element: Node<'_, '_>,
    name: &str,
    value: &str,
    edits: &mut Vec<Edit<'a>>,
) {
    let mut new = String::new();
    push_attribute(&mut new, name, value);
    let old = element
        .attributes()
        .find(|attribute| attribute.namespace().is_none() && attribute.name() == name);
    match old {
        Some(old) => edits.push((old.range(), new.trim_start().to_owned().into())),
        None => {
            let start = element.range().start;
            let tag = text.get(element.range()).unwrap_or_default();
            let end = start.saturating_add(tag_name_end(tag));
            edits.push((end..end, new.into()));
        }
    }
}

fn with_space_before(text: &str, range: Range<usize>) -> Range<usize> {
    let before = text.get(..range.start).unwrap_or_default();
    before.trim_end_matches([' ', '\t', '\n', '\r']).len()..range.end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(target: &str, kind: &'static str, path: &str, format: Option<&str>) -> NewSource {
        NewSource {
            target: target.to_owned(),
            kind,
            path: path.to_owned(),
            format: format.map(str::to_owned),
            source: None,
        }
    }

    fn domain(disk: &str) -> String {
        format!("<domain type='qemu'>\n <devices>\n  {disk}\n </devices>\n</domain>")
    }

    #[test]
    fn an_image_is_exchanged_and_nothing_else() {
        let old = "<disk type=\"file\" device='disk'>\n   <driver name='qemu' type='raw' cache='none'/>\n   \
            <source file='/a.raw' startupPolicy='optional'/>\n   <backingStore type='file'>\n    \
            <source file='/b'/>\n   </backingStore>\n   <target dev='vda' bus='virtio'/>\n  </disk>\
            <disk><source file='/c'/><target dev='vdb'/></disk>";
        let new = "<disk type='file' device='disk'>\n   <driver name='qemu' type='qcow2' cache='none'/>\n   \
            <source file='/a&apos;&amp;.s'/>\n   <target dev='vda' bus='virtio'/>\n  </disk>\
            <disk><source file='/c'/><target dev='vdb'/></disk>";
        let sources = [source("vda", "file", "/a'&.s", Some("qcow2"))];
        assert_eq!(
            with_sources(&domain(old), &sources).expect("good"),
            domain(new)
        );
    }

    #[test]
    fn what_is_missing_is_added() {
        let old = "<disk>\n   <target dev='vda'/>\n  </disk>";
        let new = "<disk type='block'><driver name='qemu' type='raw'/><source dev='/dev/x'/>\n   \
            <target dev='vda'/>\n  </disk>";
        let sources = [source("vda", "block", "/dev/x", Some("raw"))];
        assert_eq!(
            with_sources(&domain(old), &sources).expect("good"),
            domain(new)
        );
        let unsaid =
            "<disk type='file'><driver name='qemu'/><source file='/a'/><target dev='vda'/></disk>";
        let said = "<disk type='file'><driver type='qcow2' name='qemu'/><source file='/b'/><target dev='vda'/></disk>";
        let sources = [source("vda", "file", "/b", Some("qcow2"))];
        assert_eq!(
            with_sources(&domain(unsaid), &sources).expect("good"),
            domain(said)
        );
    }

    #[test]
    fn a_source_of_more_than_a_path_is_taken_whole() {
        let old =
            "<disk type='file'><driver type='raw'/><source file='/a'/><target dev='vda'/></disk>";
        let whole = "<source file='/b'><seclabel model='dac' relabel='no'/></source>";
        let sources = [NewSource {
            source: Some(whole.to_owned()),
            ..source("vda", "file", "/b", None)
        }];
        let expected = old.replace("<source file='/a'/>", whole);
        assert_eq!(
            with_sources(&domain(old), &sources).expect("good"),
            domain(&expected)
        );
    }
}
