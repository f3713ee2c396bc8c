//! Gives a definition its name and UUID.

use std::borrow::Cow;
use std::fmt::Write;

use roxmltree::Node;

use super::document::{self, Kind, child};
use super::element::scalar_of;
use super::escape::Escape;
use super::verbatim::{Edit, edited, tag_name_end};
use crate::error::{Error, Result};

/// The definition with that `<name>` and `<uuid>`: replaced where present, inserted where not.
/// What it declares of its encoding goes, as it does with libvirt: it was read as UTF-8, and a program
/// that believed it would read something else. Everything else stays verbatim.
pub fn named_and_identified(text: &str, name: &str, uuid: &[u8; 16]) -> Result<String> {
    let document = document::read(text, Kind::Domain)?;
    let root = document.root_element();
    if !matches!(root.tag_name().name(), "domain" | "inactiveDomain") {
        return Err(Error::DomainRoot {
            found: root.tag_name().name().to_owned(),
        });
    }
    let name_text = element("name", |out| Escape::Text.push(out, name));
    let uuid_text = element("uuid", |out| push_uuid(out, uuid));
    let mut edits: Vec<Edit<'_>> = vec![(0..declaration_end(text), "".into())];
    let mut inserted = String::new();
    match child(root, "name") {
        Some(old) => edits.push((old.range(), name_text.into())),
        None => inserted.push_str(&name_text),
    }
    match (child(root, "uuid"), child(root, "name")) {
        (Some(old), _) => edits.push((old.range(), uuid_text.into())),
        // libvirt writes <uuid> right after <name>.
        (None, Some(name)) => {
            let end = name.range().end;
            let uuid_text = format!("{}{uuid_text}", space_before(name));
            edits.push((end..end, uuid_text.into()));
        }
        (None, None) => inserted.push_str(&uuid_text),
    }
    if !inserted.is_empty() {
        edits.push(at_front(text, root, &inserted));
    }
    Ok(edited(text, edits))
}

/// Where a byte order mark and an XML declaration end, with the white space behind it.
fn declaration_end(text: &str) -> usize {
    let marked = text.strip_prefix('\u{feff}').unwrap_or(text);
    let declared = marked.strip_prefix("<?xml").and_then(|rest| {
        // Not of another name, as of <?xml-stylesheet?>.
        let rest = rest.strip_prefix([' ', '\t', '\n', '\r'])?;
        Some(rest.split_once("?>")?.1.trim_start())
    });
    text.len().saturating_sub(declared.unwrap_or(marked).len())
}

/// The request for a snapshot, a `<domainsnapshot>` document, with that `<name>` if it has none.
/// Everything else stays verbatim.
pub fn named_request<'a>(text: &'a str, name: &str) -> Result<Cow<'a, str>> {
    let document = document::read(text, Kind::Snapshot)?;
    let root = document.root_element();
    if scalar_of(root, "name").is_some() {
        return Ok(text.into());
    }
    let name = element("name", |out| Escape::Text.push(out, name));
    let edit = match child(root, "name") {
        Some(empty) => (empty.range(), name.as_str().into()),
        None => at_front(text, root, &name),
    };
    Ok(edited(text, vec![edit]).into())
}

/// An element with text.
fn element(name: &str, content: impl FnOnce(&mut String)) -> String {
    let mut out = format!("<{name}>");
    content(&mut out);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
    out
}

/// Appends a UUID in the usual form.
fn push_uuid(out: &mut String, uuid: &[u8; 16]) {
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
}

/// The white space in front of an element.
fn space_before<'i>(node: Node<'_, 'i>) -> &'i str {
    let space = node
        .prev_sibling()
        .filter(Node::is_text)
        .map(|text| text.range());
    let text = space
        .and_then(|range| node.document().input_text().get(range))
        .unwrap_or_default();
    let space_start = text.trim_end_matches([' ', '\t', '\n', '\r']).len();
    text.get(space_start..).unwrap_or_default()
}

/// Puts a text in front of an element's content.
fn at_front<'a>(text: &str, element: Node<'_, '_>, inserted: &'a str) -> Edit<'a> {
    if let Some(first) = element.first_child() {
        let start = first.range().start;
        return (start..start, inserted.into());
    }
    let range = element.range();
    let tags = text.get(range.clone()).unwrap_or_default();
    if tags.ends_with("/>") {
        let slash = range.end.saturating_sub(2);
        let name = tags.get(1..tag_name_end(tags)).unwrap_or_default();
        return (
            slash..range.end,
            Cow::Owned(format!(">{inserted}</{name}>")),
        );
    }
    let end_tag = range
        .start
        .saturating_add(tags.rfind("</").unwrap_or(tags.len()));
    (end_tag..end_tag, inserted.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gets_a_name_only_if_it_has_none() {
        let named = |text: &str| named_request(text, "a<b").unwrap().into_owned();
        let kept = "<domainsnapshot><name>x</name></domainsnapshot>";
        assert_eq!(named(kept), kept);
        let expected = "<domainsnapshot><name>a&lt;b</name></domainsnapshot>";
        assert_eq!(named("<domainsnapshot/>"), expected);
        assert_eq!(named("<domainsnapshot></domainsnapshot>"), expected);
        assert_eq!(named("<domainsnapshot><name/></domainsnapshot>"), expected);
        assert_eq!(
            named("<domainsnapshot>\n  <disks/>\n</domainsnapshot>"),
            "<domainsnapshot><name>a&lt;b</name>\n  <disks/>\n</domainsnapshot>"
        );
        assert!(named_request("<domainsnapshot>", "a").is_err());
    }

    const UUID: [u8; 16] = [
        0xc7, 0xa5, 0xfd, 0xbd, 0xed, 0xaf, 0x94, 0x55, 0x92, 0x6a, 0xd6, 0x5c, 0x16, 0xdb, 0x18,
        0x09,
    ];
    const TEXT: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";

    #[test]
    fn name_and_uuid_are_replaced_where_they_stand() {
        let old = "<domain>\n  <uuid> C7 </uuid>\n <a> <name>no</name></a>\n  <name\n>a<!-- b --></name>\r\n</domain>\n";
        assert_eq!(
            named_and_identified(old, "n & m", &UUID).expect("good"),
            format!(
                "<domain>\n  <uuid>{TEXT}</uuid>\n <a> <name>no</name></a>\n  <name>n &amp; m</name>\r\n</domain>\n"
            )
        );
    }

    #[test]
    fn a_missing_uuid_follows_the_name() {
        assert_eq!(
            named_and_identified("<domain>\n  <name>a</name>\n  <x/></domain>", "a", &UUID)
                .expect("good"),
            format!("<domain>\n  <name>a</name>\n  <uuid>{TEXT}</uuid>\n  <x/></domain>")
        );
        assert_eq!(
            named_and_identified("<domain><name>a</name></domain>", "b", &UUID).expect("good"),
            format!("<domain><name>b</name><uuid>{TEXT}</uuid></domain>")
        );
    }

    #[test]
    fn what_is_missing_goes_in_front() {
        let both = format!("<name>a</name><uuid>{TEXT}</uuid>");
        for (old, new) in [
            ("<domain x='1'/>", format!("<domain x='1'>{both}</domain>")),
            (
                "<p:domain xmlns:p='u' />",
                format!("<p:domain xmlns:p='u' >{both}</p:domain>"),
            ),
            ("<domain></domain >", format!("<domain>{both}</domain >")),
            (
                "<domain>\n <x/></domain>",
                format!("<domain>{both}\n <x/></domain>"),
            ),
        ] {
            assert_eq!(named_and_identified(old, "a", &UUID).expect(old), new);
        }
        let uuid_only = "<domain><uuid>x</uuid></domain>";
        let expected = format!("<domain>{both}</domain>");
        assert_eq!(
            named_and_identified(uuid_only, "a", &UUID).expect("good"),
            expected
        );
    }

    #[test]
    fn no_encoding_is_declared() {
        let rest = "<?xml-stylesheet href='x'?><!-- a --><domain><name>a</name></domain>";
        let expected = rest.replace("</name>", &format!("</name><uuid>{TEXT}</uuid>"));
        for before in [
            "",
            "\u{feff}",
            "<?xml version='1.0'?>",
            "<?xml\nversion='1.0' encoding='UTF-16' ?>\r\n ",
            "\u{feff}<?xml version=\"1.0\" encoding='ISO-8859-1'?>",
        ] {
            let text = format!("{before}{rest}");
            assert_eq!(
                named_and_identified(&text, "a", &UUID).expect(before),
                expected
            );
        }
    }

    #[test]
    fn another_document_is_refused() {
        assert!(matches!(
            named_and_identified("<x/>", "a", &UUID),
            Err(Error::DomainRoot { .. })
        ));
    }
}
