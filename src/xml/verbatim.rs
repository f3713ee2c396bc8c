//! Texts kept as they stood in a document: cut out, moved inwards, freed of secrets.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;
use roxmltree::Node;

use super::document::{self, Kind};
use super::escape::Escape;

/// A change to a text: the bytes, and what takes their place.
pub(super) type Edit<'a> = (Range<usize>, Cow<'a, str>);

/// The text with changes that do not overlap.
pub(super) fn edited(text: &str, mut edits: Vec<Edit<'_>>) -> String {
    // An insertion comes before a replacement that starts at the same byte.
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let added: usize = edits.iter().map(|(_, new)| new.len()).sum();
    let mut out = String::with_capacity(text.len().saturating_add(added));
    let mut at = 0;
    for (range, new) in &edits {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(new);
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// An element's text, byte for byte.
///
/// Namespaces that it uses and that an element around it declares are declared on it too: else
/// it would mean nothing outside of its document.
pub(super) fn keep(node: Node<'_, '_>) -> String {
    let text = node
        .document()
        .input_text()
        .get(node.range())
        .unwrap_or_default();
    let Some(parent) = node.parent().filter(Node::is_element) else {
        return text.to_owned();
    };
    let mut inherited = parent
        .namespaces()
        .filter_map(|namespace| Some((namespace.name()?, namespace.uri())))
        .filter(|(prefix, _)| *prefix != "xml" && text.contains(&format!("{prefix}:")))
        .peekable();
    if inherited.peek().is_none() {
        return text.to_owned();
    }
    let own = declared_prefixes(text);
    let mut declarations = String::new();
    for (prefix, uri) in inherited.filter(|(prefix, _)| !own.iter().any(|known| known == prefix)) {
        declarations.push_str(" xmlns:");
        declarations.push_str(prefix);
        declarations.push_str("='");
        Escape::Attribute.push(&mut declarations, uri);
        declarations.push('\'');
    }
    let name_end = tag_name_end(text);
    edited(text, vec![(name_end..name_end, declarations.into())])
}

/// The prefixes that a text's first tag declares.
fn declared_prefixes(text: &str) -> Vec<String> {
    let (Ok(Event::Start(tag)) | Ok(Event::Empty(tag))) = Reader::from_str(text).read_event()
    else {
        return Vec::new();
    };
    tag.attributes()
        .with_checks(false)
        .flatten()
        .filter_map(|attribute| attribute.key.0.strip_prefix("xmlns:").map(str::to_owned))
        .collect()
}

/// Where the name of a text's first tag ends.
pub(super) fn tag_name_end(text: &str) -> usize {
    text.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>')
        .unwrap_or(text.len())
}

/// A `<domain>` text as it stands inside `<domainsnapshot>`: the element alone, two columns deeper.
pub fn nested(domain: &str) -> String {
    reindented(domain, |_| ("", "  "))
}

/// The inverse of [`nested`]: a text from inside `<domainsnapshot>` as it stands alone.
pub fn unnested(domain: &str) -> String {
    reindented(domain, |line| match line.as_bytes() {
        [b' ', b' ', ..] => ("  ", ""),
        [b' ', ..] => (" ", ""),
        _ => ("", ""),
    })
}

/// The `<domain>` that an `<inactiveDomain>` is, which begins and ends the text.
pub fn as_definition(text: &str) -> Cow<'_, str> {
    let begun = text.strip_prefix("<inactiveDomain");
    let inner = begun.and_then(|rest| rest.strip_suffix("</inactiveDomain>"));
    inner.map_or(text.into(), |inner| {
        format!("<domain{inner}</domain>").into()
    })
}

/// The element alone, with another start of each line: `change` gives what goes and what comes.
///
/// Only white space between tags is touched; text, comments and attributes stay as they are, so
/// the document says the same.
fn reindented(domain: &str, change: impl Fn(&str) -> (&'static str, &'static str)) -> String {
    let Ok(document) = document::read(domain, Kind::Domain) else {
        return domain.to_owned();
    };
    let root = document.root_element().range();
    let mut edits: Vec<Edit<'_>> = vec![
        (0..root.start, "".into()),
        (root.end..domain.len(), "".into()),
    ];
    for element in document
        .root_element()
        .descendants()
        .filter(has_only_elements)
    {
        for space in element.children().filter(Node::is_text) {
            let range = space.range();
            let raw = domain.get(range.clone()).unwrap_or_default();
            edits.extend(raw.match_indices('\n').map(|(at, _)| {
                let after = range.start.saturating_add(at).saturating_add(1);
                let (old, new) = change(domain.get(after..range.end).unwrap_or_default());
                (after..after.saturating_add(old.len()), new.into())
            }));
        }
    }
    edited(domain, edits)
}

/// Whether an element has child elements, and between them nothing but white space as such
/// (neither references nor CDATA).
fn has_only_elements(node: &Node<'_, '_>) -> bool {
    node.is_element()
        && node.first_element_child().is_some()
        && node.children().filter(Node::is_text).all(is_plain_space)
}

/// Whether a text is white space, and stands in the document as it reads. Where CDATA follows
/// text, both are one node, with the range of the first.
fn is_plain_space(text: Node<'_, '_>) -> bool {
    let raw = text
        .document()
        .input_text()
        .get(text.range())
        .unwrap_or_default();
    let value = text.text().unwrap_or_default();
    raw.chars().all(|c| matches!(c, ' ' | '\t' | '\n' | '\r'))
        && value.matches('\n').count() == raw.matches('\n').count()
        && value.trim_matches([' ', '\t', '\n']).is_empty()
}

/// A definition, or a part of one, without what libvirt shows with `VIR_DOMAIN_XML_SECURE` only:
/// passwords of graphics, and cookies of network disks.
///
/// The text must be well-formed, as all that was ever accepted is; of one that is not, nothing is
/// let out.
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    if !document::may_hold_secrets(text) {
        return Cow::Borrowed(text);
    }
    let Ok(document) = document::read(text, Kind::Domain) else {
        return Cow::Borrowed("");
    };
    let secrets: Vec<Edit<'_>> = document
        .descendants()
        .flat_map(secrets)
        .map(|range| (with_leading_space(text, range), "".into()))
        .collect();
    if secrets.is_empty() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(edited(text, secrets))
    }
}

/// The bytes of a node that are secret.
fn secrets(node: Node<'_, '_>) -> Vec<Range<usize>> {
    if document::is(node, "cookies") {
        let of_disk = node
            .parent()
            .is_some_and(|parent| document::is(parent, "source"));
        return of_disk.then(|| node.range()).into_iter().collect();
    }
    if node.tag_name().name() != "graphics" {
        return Vec::new();
    }
    node.attributes()
        .filter(|attribute| attribute.name() == "passwd")
        .map(|attribute| attribute.range())
        .collect()
}

/// The range, with the white space in front of it.
fn with_leading_space(text: &str, range: Range<usize>) -> Range<usize> {
    let before = text.get(..range.start).unwrap_or_default();
    before.trim_end_matches([' ', '\t', '\n', '\r']).len()..range.end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> String {
        let document = document::read(text, Kind::Snapshot).expect("well-formed");
        keep(
            document
                .root_element()
                .first_element_child()
                .expect("a child"),
        )
    }

    #[test]
    fn an_element_is_kept_byte_for_byte() {
        let domain = "<domain  type = \"qemu\"\n>&#65;<!-- c --><![CDATA[<]]>\r\n</domain >";
        assert_eq!(kept(&format!("<r>\n {domain}<x/></r>")), domain);
    }

    #[test]
    fn a_namespace_declared_around_an_element_stays_with_it() {
        assert_eq!(
            kept("<r xmlns:a='urn:&amp;a' xmlns:b='urn:b'><x><a:y/></x></r>"),
            "<x xmlns:a='urn:&amp;a'><a:y/></x>"
        );
        assert_eq!(
            kept(
                "<r xmlns:a='urn:a' xmlns:b='urn:b'><a:x q='xmlns:b' b:c='1' xmlns:a='urn:other'/></r>"
            ),
            "<a:x xmlns:b='urn:b' q='xmlns:b' b:c='1' xmlns:a='urn:other'/>"
        );
    }

    #[test]
    fn only_space_between_tags_grows() {
        let domain = "<?xml version='1.0'?>\n<domain\n type='qemu'>\n  <name>n</name>\n  \
                      <description>a\n b</description>\n  <title>\n</title>\n  <!-- x\n y -->\n  \
                      <mixed>t\n<b/>\n</mixed>\n  <c><![CDATA[\n]]><d/>\n</c>\n\n  <e>\n  </e>\n  <f>\n    <g/>\n  </f>\n</domain>\n";
        assert_eq!(
            nested(domain),
            "<domain\n type='qemu'>\n    <name>n</name>\n    \
             <description>a\n b</description>\n    <title>\n</title>\n    <!-- x\n y -->\n    \
             <mixed>t\n<b/>\n</mixed>\n    <c><![CDATA[\n]]><d/>\n</c>\n  \n    <e>\n  </e>\n    <f>\n      <g/>\n    </f>\n  </domain>"
        );
    }

    // The parser makes one text node of both, with the range of the first.
    #[test]
    fn cdata_after_white_space_is_text() {
        let domain = "<domain><a><b/>\n  <![CDATA[\n<]]></a>\n</domain>";
        assert_eq!(
            nested(domain),
            "<domain><a><b/>\n  <![CDATA[\n<]]></a>\n  </domain>"
        );
    }

    // What `virsh dumpxml` leaves out without --security-info (libvirt 9.0.0, QEMU driver).
    #[test]
    fn secrets_of_a_domain_stay_inside() {
        let domain = "<domain>\n  <title>passwd='x'</title>\n  <devices>\n    \
            <source protocol='https'>\n      <host name='h'/>\n      <cookies>\n        \
            <cookie name='t'>s</cookie>\n      </cookies>\n    </source>\n    \
            <graphics type='vnc' passwd='p&lt;&gt;w' passwdValidTo='2030-01-01T00:00:00'/>\n    \
            <graphics passwd = \"\"><listen/></graphics>\n    <other passwd='kept'/>\n  </devices>\n</domain>";
        assert_eq!(
            without_secrets(domain),
            "<domain>\n  <title>passwd='x'</title>\n  <devices>\n    \
            <source protocol='https'>\n      <host name='h'/>\n    </source>\n    \
            <graphics type='vnc' passwdValidTo='2030-01-01T00:00:00'/>\n    \
            <graphics><listen/></graphics>\n    <other passwd='kept'/>\n  </devices>\n</domain>"
        );
    }

    #[test]
    fn a_text_without_secrets_is_not_copied() {
        assert!(matches!(
            without_secrets("<domain/>"),
            Cow::Borrowed("<domain/>")
        ));
        assert!(matches!(
            without_secrets("<a passwd='x'/>"),
            Cow::Borrowed(_)
        ));
        assert_eq!(without_secrets("<graphics passwd='x'"), "");
    }
}
