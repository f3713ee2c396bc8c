//! The few facts of `<domain>` and `<domainsnapshot>` documents that this program tells.

use roxmltree::{Document, Node};

use crate::failure::{Failure, Outcome};

/// Reads a document.
pub fn parse(xml: &str) -> Outcome<Document<'_>> {
    Document::parse(xml).map_err(|error| Failure::Other(format!("not a document: {error}")))
}

/// The first child element of that name.
pub fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// The text of a child element.
pub fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    child(node, name)?.text().map(str::to_owned)
}

/// All child elements of a child element.
fn list<'a, 'input>(
    node: Node<'a, 'input>,
    parent: &str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    child(node, parent)
        .into_iter()
        .flat_map(|parent| parent.children())
        .filter(Node::is_element)
}

/// A disk of a domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disk {
    pub target: String,
    pub image: Option<String>,
    pub format: Option<String>,
    pub is_readonly: bool,
}

/// The disks of a domain's definition.
pub fn disks(domain: Node<'_, '_>) -> Vec<Disk> {
    list(domain, "devices")
        .filter(|device| device.has_tag_name("disk"))
        .filter_map(|disk| {
            Some(Disk {
                target: child(disk, "target")?.attribute("dev")?.to_owned(),
                image: child(disk, "source").and_then(source),
                format: child(disk, "driver")
                    .and_then(|driver| driver.attribute("type"))
                    .map(str::to_owned),
                is_readonly: child(disk, "readonly").is_some()
                    || matches!(disk.attribute("device"), Some("cdrom" | "floppy")),
            })
        })
        .collect()
}

fn source(source: Node<'_, '_>) -> Option<String> {
    source
        .attribute("file")
        .or_else(|| source.attribute("dev"))
        .map(str::to_owned)
}

/// How a snapshot keeps one disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptDisk {
    pub target: String,
    /// `internal`, `external`, `no` or `manual`.
    pub how: String,
    pub file: Option<String>,
}

/// How a snapshot keeps its disks.
pub fn kept_disks(snapshot: Node<'_, '_>) -> Vec<KeptDisk> {
    list(snapshot, "disks")
        .filter_map(|disk| {
            Some(KeptDisk {
                target: disk.attribute("name")?.to_owned(),
                how: disk.attribute("snapshot").unwrap_or("no").to_owned(),
                file: child(disk, "source").and_then(source),
            })
        })
        .collect()
}

/// Every absolute path that a document names, in whichever element.
pub fn paths(document: &Document<'_>) -> Vec<String> {
    let values = document
        .descendants()
        .flat_map(|node| node.attributes().map(|attribute| attribute.value()));
    let texts = document.descendants().filter_map(|node| node.text());
    values
        .chain(texts)
        .map(str::trim)
        .filter(|value| value.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

/// Text as it stands in a document.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
    out
}
