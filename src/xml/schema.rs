//! What VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE asks for: a document that says nothing unknown.
//!
//! The rules are those of the RELAX NG schema that libvirt 9.0.0 installs, and three more, so that
//! whatever this library writes follows its own schema (docs/differences.md, D54). A `<domain>` is
//! known by its `type` here; its content is for the parser.

use roxmltree::Node;

use super::document::{self, Kind, attribute, child, string};
use crate::error::{Error, Result};
use crate::snapshot::State;

/// Why a document does not follow the schema.
type Checked = std::result::Result<(), String>;

/// Storage formats of an external image.
const FORMATS: [&str; 5] = ["cow", "qcow", "qcow2", "qed", "vmdk"];

/// Names that a disk's target may begin with.
const TARGETS: [&str; 6] = ["fd", "hd", "sd", "vd", "xvd", "ubd"];

/// Checks a `<domainsnapshot>` document against the schema.
pub fn validate(text: &str) -> Result<()> {
    let document = document::read(text, Kind::Snapshot)?;
    let root = document.root_element();
    if root.tag_name().name() != "domainsnapshot" {
        return Err(Error::WrongRoot {
            found: root.tag_name().name().to_owned(),
        });
    }
    check_snapshot(root).map_err(|fault| Error::SchemaMismatch {
        detail: format!("Unable to validate doc against virsnap's <domainsnapshot>\n{fault}\n"),
    })
}

fn check_snapshot(root: Node<'_, '_>) -> Checked {
    const CHILDREN: [&str; 12] = [
        "name",
        "description",
        "state",
        "creationTime",
        "memory",
        "disks",
        "revertDisks",
        "active",
        "domain",
        "inactiveDomain",
        "parent",
        "cookie",
    ];
    if root.tag_name().namespace().is_some() {
        return Err("Element domainsnapshot is in a namespace".to_owned());
    }
    has_attributes(root, &[])?;
    has_children(root, &CHILDREN)?;
    root.children()
        .filter(Node::is_element)
        .try_for_each(|node| match node.tag_name().name() {
            "state" => check_state(node),
            "memory" => check_memory(node),
            "disks" | "revertDisks" => check_disks(node),
            "active" => has_word(node, &["0", "1"]),
            "domain" | "inactiveDomain" => check_domain(node),
            "parent" => check_parent(node),
            "cookie" => check_cookie(node),
            _ => is_text(node),
        })
}

/// Any state that a snapshot can have; libvirt's schema lacks `pmsuspended`.
fn check_state(node: Node<'_, '_>) -> Checked {
    is_text(node)?;
    match State::from_word(string(node).trim()) {
        Some(_) => Ok(()),
        None => Err(wrong(node, "content")),
    }
}

fn check_memory(node: Node<'_, '_>) -> Checked {
    has_attributes(node, &["snapshot", "file"])?;
    has_children(node, &[])?;
    let mode = attribute(node, "snapshot").map(str::trim);
    match (mode, attribute(node, "file")) {
        (Some("no" | "internal"), None) => Ok(()),
        (Some("external") | None, Some(file)) if is_absolute(file) => Ok(()),
        _ => Err(wrong(node, "attributes")),
    }
}

fn check_disks(node: Node<'_, '_>) -> Checked {
    has_attributes(node, &[])?;
    has_only_elements(node)?;
    node.children()
        .filter(Node::is_element)
        .try_for_each(|disk| {
            if document::is(disk, "disk") {
                check_disk(disk)
            } else {
                Err(extra(disk, node))
            }
        })
}

fn check_disk(disk: Node<'_, '_>) -> Checked {
    has_attributes(disk, &["name", "snapshot", "type"])?;
    if !attribute(disk, "name").is_some_and(|name| is_target(name) || is_absolute(name)) {
        return Err(wrong(disk, "attribute name"));
    }
    // libvirt's schema has no snapshotDeleteInProgress, which it writes itself.
    match attribute(disk, "snapshot").map(str::trim) {
        // An image's format stays with a disk that is not external.
        Some("no" | "internal" | "manual") => {
            has_children(disk, &["snapshotDeleteInProgress", "driver"])?;
        }
        Some("external") | None => {
            has_children(disk, &["snapshotDeleteInProgress", "driver", "source"])?;
            check_source(disk)?;
        }
        Some(_) => return Err(wrong(disk, "attribute snapshot")),
    }
    child(disk, "driver").map_or(Ok(()), check_driver)
}

fn check_source(disk: Node<'_, '_>) -> Checked {
    let source = child(disk, "source");
    let path = |name| source.map(|source| attribute(source, name));
    let fits = match attribute(disk, "type").unwrap_or("file").trim() {
        "file" => path("file").flatten().is_none_or(is_absolute),
        "block" => path("dev").is_none_or(|path| path.is_some_and(is_absolute)),
        "network" => path("protocol").flatten().is_some(),
        _ => return Err(wrong(disk, "attribute type")),
    };
    match (fits, source) {
        (true, _) => Ok(()),
        (false, Some(source)) => Err(wrong(source, "attributes")),
        (false, None) => Err(wrong(disk, "content")),
    }
}

fn check_driver(driver: Node<'_, '_>) -> Checked {
    has_attributes(driver, &["type"])?;
    has_children(driver, &["metadata_cache"])?;
    if attribute(driver, "type").is_some_and(|format| !FORMATS.contains(&format.trim())) {
        return Err(wrong(driver, "attribute type"));
    }
    let Some(cache) = child(driver, "metadata_cache") else {
        return Ok(());
    };
    has_attributes(cache, &[])?;
    has_children(cache, &["max_size"])?;
    let Some(size) = child(cache, "max_size") else {
        return Ok(());
    };
    has_attributes(size, &["unit"])?;
    let digits = string(size);
    match digits.trim().bytes().all(|byte| byte.is_ascii_digit()) && !digits.trim().is_empty() {
        true => Ok(()),
        false => Err(wrong(size, "content")),
    }
}

/// A full definition, or the form that has the UUID only.
fn check_domain(node: Node<'_, '_>) -> Checked {
    if attribute(node, "type").is_some_and(|kind| !kind.is_empty()) {
        return has_only_elements(node);
    }
    if node.tag_name().name() != "domain" || child(node, "uuid").is_none() {
        return Err(wrong(node, "content"));
    }
    has_attributes(node, &[])?;
    has_children(node, &["uuid"])
}

fn check_parent(node: Node<'_, '_>) -> Checked {
    has_attributes(node, &[])?;
    has_children(node, &["name"])?;
    child(node, "name").map_or_else(|| Err(wrong(node, "content")), is_text)
}

fn check_cookie(node: Node<'_, '_>) -> Checked {
    has_attributes(node, &[])?;
    has_only_elements(node)
}

/// Text, and nothing else.
fn is_text(node: Node<'_, '_>) -> Checked {
    has_attributes(node, &[])?;
    match node.first_element_child() {
        None => Ok(()),
        Some(inner) => Err(extra(inner, node)),
    }
}

fn has_word(node: Node<'_, '_>, words: &[&str]) -> Checked {
    is_text(node)?;
    if words.contains(&string(node).trim()) {
        Ok(())
    } else {
        Err(wrong(node, "content"))
    }
}

/// No other children than these, each at most once, and no text.
fn has_children(node: Node<'_, '_>, names: &[&str]) -> Checked {
    has_only_elements(node)?;
    let mut seen = Vec::new();
    for inner in node.children().filter(Node::is_element) {
        let name = inner.tag_name().name();
        let is_known = inner.tag_name().namespace().is_none() && names.contains(&name);
        if !is_known || seen.contains(&name) {
            return Err(extra(inner, node));
        }
        seen.push(name);
    }
    Ok(())
}

fn has_only_elements(node: Node<'_, '_>) -> Checked {
    let is_blank = |text: &str| text.chars().all(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
    let has_text = node
        .children()
        .any(|inner| inner.is_text() && !inner.text().is_none_or(is_blank));
    if has_text {
        Err(format!("Extra text in element {}", node.tag_name().name()))
    } else {
        Ok(())
    }
}

fn has_attributes(node: Node<'_, '_>, names: &[&str]) -> Checked {
    let unknown = node
        .attributes()
        .find(|attribute| attribute.namespace().is_some() || !names.contains(&attribute.name()));
    match unknown {
        None => Ok(()),
        Some(attribute) => Err(format!(
            "Invalid attribute {} for element {}",
            attribute.name(),
            node.tag_name().name()
        )),
    }
}

/// A path from the root, here or on Windows.
fn is_absolute(path: &str) -> bool {
    let on_windows = || {
        let mut characters = path.chars();
        characters.next().is_some_and(|c| c.is_ascii_alphabetic())
            && characters.as_str().starts_with(":\\")
            && characters.as_str().len() > 2
    };
    !path.contains(['\n', '\r']) && ((path.starts_with('/') && path.len() > 1) || on_windows())
}

/// The name of a disk's target, as guests have them.
fn is_target(name: &str) -> bool {
    let name = name.strip_prefix("ioemu:").unwrap_or(name);
    TARGETS
        .iter()
        .filter_map(|start| name.strip_prefix(start))
        .any(|rest| {
            !rest.is_empty()
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
}

fn wrong(node: Node<'_, '_>, part: &str) -> String {
    format!(
        "Element {} failed to validate {part}",
        node.tag_name().name()
    )
}

fn extra(inner: Node<'_, '_>, node: Node<'_, '_>) -> String {
    format!(
        "Extra element {} in element {}",
        inner.tag_name().name(),
        node.tag_name().name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(inside: &str) -> bool {
        match validate(&format!("<domainsnapshot>{inside}</domainsnapshot>")) {
            Ok(()) => true,
            Err(Error::SchemaMismatch { .. }) => false,
            Err(other) => panic!("{inside}: {other}"),
        }
    }

    // Accepted and refused: libvirt 9.0.0's answers to VALIDATE, but for D54.
    #[test]
    fn what_libvirt_accepts_is_accepted() {
        for inside in [
            "",
            "<!-- c --><name/><description/>",
            "<name>a</name> <state> shutoff </state><creationTime>x</creationTime>",
            "<parent><name/></parent><cookie><any b='1'>t</any></cookie><active>1</active>",
            "<memory snapshot='no'/>",
            "<memory file='/m'/>",
            "<memory snapshot='external' file='/m'/>",
            "<disks/>",
            "<disks><disk name='vda'/><disk name='/p' snapshot='manual'/></disks>",
            "<disks><disk name='vda' type='file'><driver type='qed'/><source file='/x'/></disk></disks>",
            "<disks><disk name='vda' snapshot='external' type='block'><source dev='/x'/></disk></disks>",
            "<disks><disk name='vda'><driver><metadata_cache><max_size unit='KiB'>4</max_size>\
             </metadata_cache></driver></disk></disks>",
            "<domain><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid></domain>",
            "<domain type='qemu'><name>n</name></domain>",
        ] {
            assert!(accepts(inside), "{inside}");
        }
    }

    #[test]
    fn what_libvirt_refuses_is_refused() {
        for inside in [
            "text",
            "<unknown/>",
            "<name/><name/>",
            "<name a='1'/>",
            "<description><b/></description>",
            "<state>nostate</state>",
            "<state>nonsense</state>",
            "<parent/>",
            "<parent><name/><name/></parent>",
            "<active>2</active>",
            "<memory/>",
            "<memory snapshot='external'/>",
            "<memory snapshot='no' file='/m'/>",
            "<memory file='m'/>",
            "<memory file='/m'>x</memory>",
            "<disks><other name='vda'/></disks>",
            "<disks><disk/></disks>",
            "<disks><disk name='r1'/></disks>",
            "<disks><disk name='/'/></disks>",
            "<disks><disk name='vda' snapshot='default'/></disks>",
            "<disks><disk name='vda' snapshot='internal'><source file='/x'/></disk></disks>",
            "<disks><disk name='vda' type='volume'/></disks>",
            "<disks><disk name='vda' type='network'/></disks>",
            "<disks><disk name='vda'><source file='x'/></disk></disks>",
            "<disks><disk name='vda'><driver type='raw'/></disk></disks>",
            "<inactiveDomain/>",
            "<domain/>",
            "<cookie>text</cookie>",
            "<p:name xmlns:p='urn:p'/>",
        ] {
            assert!(!accepts(inside), "{inside}");
        }
    }

    #[test]
    fn whatever_is_written_is_accepted() {
        for inside in [
            "<state>pmsuspended</state>",
            "<revertDisks><disk name='vda'/></revertDisks>",
            "<disks><disk name='vda' snapshot='external' type='file'><snapshotDeleteInProgress/>\
             <source file='/x'/></disk></disks>",
            "<disks><disk name='vda' snapshot='internal' type='file'><driver type='qcow2'/></disk></disks>",
        ] {
            assert!(accepts(inside), "{inside}");
        }
    }

    #[test]
    fn another_document_is_told_before_the_schema() {
        assert!(matches!(
            validate("<domain/>"),
            Err(Error::WrongRoot { .. })
        ));
        assert!(matches!(validate(""), Err(Error::NotWellFormed { .. })));
    }
}
