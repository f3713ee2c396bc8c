//! Strict, bounded reading of any document: no DTD, no entities of its own, limited size and depth.

use std::fmt::Display;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use roxmltree::{Document, Node, ParsingOptions, TextPos};

use crate::error::{Error, Result};
use crate::limits;
use crate::memory::{self, Room};

/// What a document is: it decides how its errors are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `<domainsnapshot>`.
    Snapshot,
    /// `<domain>`.
    Domain,
}

/// Columns of a source line that an error shows, as many as libxml2 does.
const SHOWN_COLUMNS: usize = 80;

/// Bytes of a document that the memory reserve has room for in any form.
const SMALL_BYTES: usize = 64 * 1024;

/// Bytes of a node, and of an attribute, in the parser's arrays: 72 each, on 64 bits.
const PART_BYTES: usize = 80;

/// Reads a document.
///
/// The bounds are checked in a first, linear pass: they are what keeps the second one linear.
pub(super) fn read(text: &str, kind: Kind) -> Result<Document<'_>> {
    if text.len() > limits::DOCUMENT_BYTES {
        return Err(too_large(
            "size of the XML document in bytes",
            limits::DOCUMENT_BYTES,
        ));
    }
    if text.is_empty() {
        return Err(kind.not_well_formed("1: Document is empty\n(null)\n^"));
    }
    check_bounds(text, kind)?;
    let _room = room_for(text)?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: limits::DOCUMENT_NODES,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::NodesLimitReached => too_many_parts(),
        roxmltree::Error::NoRootNode => refused(
            text,
            kind,
            position(text, text.len()),
            "Start tag expected, '<' not found",
        ),
        error => {
            let at = error.pos();
            let message = error.to_string();
            let message = message
                .strip_suffix(&format!(" at {at}"))
                .unwrap_or(&message);
            refused(text, kind, at, message)
        }
    })
}

/// Memory for reading a document, had before: the parser does not ask.
pub(crate) fn room_for(text: &str) -> Result<Option<Room>> {
    if text.len() <= SMALL_BYTES {
        return Ok(None);
    }
    memory::room(parsed_bytes(text)).map(Some)
}

/// Bytes that the parser asks for, all its requests added up, at most.
fn parsed_bytes(text: &str) -> usize {
    let count = |byte| memchr::memchr_iter(byte, text.as_bytes()).count();
    let (tags, equals) = (count(b'<'), count(b'='));
    // Each tag is a node, and has a text before it.
    let nodes = (2 * tags + 2).min(limits::DOCUMENT_NODES as usize);
    // One array that has a place for each tag; grown twice if that was not enough, cut off at the end.
    let grown = if tags < nodes { 2 * tags + 4 * tags } else { 0 };
    let arrays = (tags + grown + nodes + 2 * equals) * PART_BYTES;
    // Nodes that wait for what follows them, in an array of numbers that doubles.
    let waiting = 4 * nodes * size_of::<u32>();
    // A text with references is put together in a buffer that doubles, from 32 bytes, and copied.
    let texts = (nodes + equals) * 128 + 8 * text.len();
    arrays + waiting + texts + NAMES_BYTES
}

/// Bytes for what is bounded: the attributes of one element, the names of those that are open, the namespaces
/// that hold for each element that declares one.
const NAMES_BYTES: usize = 2 * limits::ELEMENT_ATTRIBUTES * 4 * PART_BYTES
    + limits::DOCUMENT_NAMESPACES * limits::DOCUMENT_NAMESPACES * 8;

/// The first pass.
fn check_bounds(text: &str, kind: Kind) -> Result<()> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut counts = Counts::default();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => {
                counts.open()?;
                counts.attributes(&tag)?;
                check_references(text, kind, &tag, &reader)?;
            }
            Ok(Event::Empty(tag)) => {
                counts.open()?;
                counts.attributes(&tag)?;
                check_references(text, kind, &tag, &reader)?;
                counts.close();
            }
            Ok(Event::End(_)) => counts.close(),
            Ok(Event::DocType(_)) => {
                let at = position(text, offset(reader.buffer_position()));
                return Err(refused(
                    text,
                    kind,
                    at,
                    "a document type declaration is not allowed",
                ));
            }
            Ok(Event::GeneralRef(reference)) if !is_legal(&reference) => {
                let at = position(text, offset(reader.buffer_position()));
                return Err(refused(text, kind, at, NO_CHARACTER));
            }
            Ok(Event::Eof) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                let at = position(text, offset(reader.error_position()));
                return Err(refused(text, kind, at, error));
            }
        }
    }
}

const NO_CHARACTER: &str = "a reference to what is no character";

/// Refuses references in attributes to what is no character. The parser of the second pass takes
/// them for U+FFFD, so that a name would be another one.
fn check_references(
    text: &str,
    kind: Kind,
    tag: &BytesStart<'_>,
    reader: &Reader<&[u8]>,
) -> Result<()> {
    let bad = tag
        .split('&')
        .skip(1)
        .filter_map(|rest| rest.split_once(';'))
        .any(|(reference, _)| !is_legal(reference));
    if bad {
        let at = position(text, offset(reader.buffer_position()));
        return Err(refused(text, kind, at, NO_CHARACTER));
    }
    Ok(())
}

/// Whether a reference, without its `&` and `;`, is not one to a character, or to one that XML has
/// (XML 1.0, 2.2 and 4.1).
fn is_legal(reference: &str) -> bool {
    let Some(number) = reference.strip_prefix('#') else {
        return true;
    };
    let code = match number.strip_prefix('x') {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => number.parse(),
    };
    matches!(
        code,
        Ok(0x9 | 0xA | 0xD | 0x20..=0xD7FF | 0xE000..=0xFFFD | 0x1_0000..=0x10_FFFF)
    )
}

/// What the first pass has seen.
#[derive(Default)]
struct Counts {
    depth: usize,
    parts: u32,
    namespaces: usize,
}

impl Counts {
    fn open(&mut self) -> Result<()> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > limits::DOCUMENT_DEPTH {
            return Err(too_large(
                "depth of the XML document",
                limits::DOCUMENT_DEPTH,
            ));
        }
        self.part()
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn part(&mut self) -> Result<()> {
        self.parts = self.parts.saturating_add(1);
        if self.parts > limits::DOCUMENT_NODES {
            Err(too_many_parts())
        } else {
            Ok(())
        }
    }

    fn attributes(&mut self, tag: &BytesStart<'_>) -> Result<()> {
        // A malformed attribute ends the count: the second pass stops at it as well.
        for (index, attribute) in tag.attributes().with_checks(false).flatten().enumerate() {
            if index >= limits::ELEMENT_ATTRIBUTES {
                let what = "number of attributes of an element";
                return Err(too_large(what, limits::ELEMENT_ATTRIBUTES));
            }
            if attribute.key.as_namespace_binding().is_some() {
                self.namespaces = self.namespaces.saturating_add(1);
            }
            self.part()?;
        }
        if self.namespaces > limits::DOCUMENT_NAMESPACES {
            return Err(too_large(
                "number of namespaces",
                limits::DOCUMENT_NAMESPACES,
            ));
        }
        Ok(())
    }
}

fn too_large(what: &'static str, limit: usize) -> Error {
    Error::TooLarge { what, limit }
}

fn too_many_parts() -> Error {
    let limit = usize::try_from(limits::DOCUMENT_NODES).unwrap_or(usize::MAX);
    too_large("number of elements and attributes", limit)
}

impl Kind {
    /// libvirt's form: what was read, and the rest (`LINE: MESSAGE`, source line, pointer).
    fn not_well_formed(self, rest: &str) -> Error {
        match self {
            Kind::Snapshot => Error::NotWellFormed {
                detail: format!("(domain_snapshot):{rest}"),
            },
            Kind::Domain => Error::DomainNotWellFormed {
                detail: format!("(domain_definition):{rest}"),
            },
        }
    }
}

/// A document that is not well-formed, with the place shown as libvirt shows it.
fn refused(text: &str, kind: Kind, at: TextPos, message: impl Display) -> Error {
    // A password may stand anywhere in a document that cannot be read: nothing of it is shown, not
    // even what the parser quotes.
    if may_hold_secrets(text) {
        let message = message.to_string();
        let own_words = !message.contains(['\'', '`', '"']);
        let message = if own_words {
            message.as_str()
        } else {
            "not well-formed"
        };
        let hidden = "(not shown, it may hold a password)";
        return kind.not_well_formed(&format!("{}: {message}\n{hidden}\n^", at.row));
    }
    let row = usize::try_from(at.row)
        .unwrap_or(usize::MAX)
        .saturating_sub(1);
    let column = usize::try_from(at.col)
        .unwrap_or(usize::MAX)
        .saturating_sub(1);
    let hidden = column.saturating_sub(SHOWN_COLUMNS.saturating_sub(1));
    let line = text.split('\n').nth(row).unwrap_or_default();
    let shown: String = line.chars().skip(hidden).take(SHOWN_COLUMNS).collect();
    let pointer = "-".repeat(column.saturating_sub(hidden));
    kind.not_well_formed(&format!("{}: {message}\n{shown}\n{pointer}^", at.row))
}

/// That a document is not UTF-8. What stands before the first byte that is not is shown.
pub(crate) fn not_utf8(bytes: &[u8], kind: Kind) -> Error {
    let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let at = position(valid, valid.len());
    refused(valid, kind, at, "the document is not UTF-8")
}

/// Whether a text has what [`super::without_secrets`] looks for, in whatever state it is.
pub(super) fn may_hold_secrets(text: &str) -> bool {
    static WORDS: LazyLock<[Finder<'static>; 2]> =
        LazyLock::new(|| [Finder::new("passwd"), Finder::new("cookies")]);
    WORDS
        .iter()
        .any(|word| word.find(text.as_bytes()).is_some())
}

fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// Line and column, both from 1, of a byte.
fn position(text: &str, offset: usize) -> TextPos {
    let offset = (0..=offset.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    let before = offset
        .and_then(|offset| text.get(..offset))
        .unwrap_or_default();
    let row = before.split('\n').count();
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        .saturating_add(1);
    TextPos::new(
        u32::try_from(row).unwrap_or(u32::MAX),
        u32::try_from(column).unwrap_or(u32::MAX),
    )
}

/// Whether a document's element may stand in another document's root: a level deeper.
pub(super) fn nests(text: &str) -> bool {
    let Ok(document) = read(text, Kind::Domain) else {
        return false;
    };
    let depth = |node: Node<'_, '_>| node.ancestors().filter(Node::is_element).count();
    let depths = document.descendants().map(depth);
    depths
        .max()
        .is_some_and(|depth| depth < limits::DOCUMENT_DEPTH)
}

/// Whether a node is the element of that name. libvirt's look-ups know no namespace, so an
/// element that is in one is another element.
pub(super) fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().namespace().is_none() && node.tag_name().name() == name
}

/// The child elements of that name.
pub(super) fn children<'a, 'i>(
    node: Node<'a, 'i>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| is(*child, name))
}

/// The first child element of that name.
pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> Option<Node<'a, 'i>> {
    children(node, name).next()
}

/// An attribute's value, which may be empty.
pub(super) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes()
        .find(|attribute| attribute.namespace().is_none() && attribute.name() == name)
        .map(|attribute| attribute.value())
}

/// Whether an element of a snapshot's is the one of that name in a namespace of our own.
pub(super) fn is_own(element: &str, namespace: &str, name: &str) -> bool {
    element.contains(namespace)
        && read(element, Kind::Snapshot).is_ok_and(|document| {
            let found = document.root_element().tag_name();
            found.namespace() == Some(namespace) && found.name() == name
        })
}

/// All text in an element, as XPath's `string()`: not trimmed, its descendants' included.
pub(super) fn string(node: Node<'_, '_>) -> String {
    node.descendants()
        .filter(Node::is_text)
        .filter_map(|text| text.text())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::testing;

    fn refusal(text: &str, kind: Kind) -> String {
        read(text, kind).expect_err("refused").to_string()
    }

    /// The parser lives on what was had for it, whatever a document is made of.
    #[test]
    fn a_large_document_is_read_without_more_memory() {
        let inside = |part: &str, count: usize| format!("<d>{}</d>", part.repeat(count));
        let nested = inside(&format!("{}{}", "<a>x".repeat(250), "</a>".repeat(250)), 80);
        let attributes: String = (0..256).map(|i| format!(" a{i}='&lt;'")).collect();
        let spaces: String = (0..250).map(|i| format!(" xmlns:n{i}='u:{i}'")).collect();
        let declared = format!(
            "<d{spaces}><n1:a xmlns:m='u:m'/>{}</d>",
            "<n2:b/>".repeat(20_000)
        );
        for (what, text) in [
            ("elements", inside("<a/>", 20_000)),
            ("elements with texts", inside("<a/>x", 20_000)),
            ("closed elements with texts", inside("<a>&lt;</a>y", 20_000)),
            ("nested", nested),
            ("an attribute each", inside("<a b=''/>", 20_000)),
            ("references in attributes", inside("<a b='&gt;'/>", 20_000)),
            ("many attributes", inside(&format!("<a{attributes}/>"), 200)),
            ("comments", inside("<!---->", 20_000)),
            ("instructions", inside("<?p?>", 20_000)),
            ("one text", inside("x", 400_000)),
            ("one text of references", inside("&lt;", 200_000)),
            ("one text of lines", inside("\r\n", 200_000)),
            ("equals", inside("=", 400_000)),
            (
                "what is no tag",
                format!("<d><![CDATA[{}]]></d>", "<".repeat(400_000)),
            ),
            ("texts and CDATA", inside("x&lt;<![CDATA[y]]>", 20_000)),
            ("namespaces", declared),
        ] {
            let (read, reserved) = testing::without_memory(|| read(&text, Kind::Domain));
            let read = read.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(read.descendants().count() > 1, "{what}");
            assert!(
                reserved < 64 * 1024,
                "{what}: {reserved} bytes of the reserve"
            );
        }
    }

    // Expected texts from libvirt 9.0.0, as far as they are not the parser's own words.
    #[test]
    fn an_empty_document_is_told_as_libvirt_tells_it() {
        assert_eq!(
            refusal("", Kind::Snapshot),
            "(domain_snapshot):1: Document is empty\n(null)\n^"
        );
        assert_eq!(
            refusal("  ", Kind::Domain),
            "(domain_definition):1: Start tag expected, '<' not found\n  \n--^"
        );
    }

    #[test]
    fn a_refusal_shows_line_and_column() {
        let refusal = refusal(
            "<domainsnapshot>\n <a></b>\n</domainsnapshot>",
            Kind::Snapshot,
        );
        let mut lines = refusal.split('\n');
        assert!(
            lines
                .next()
                .expect("message")
                .starts_with("(domain_snapshot):2: ")
        );
        assert_eq!(lines.next(), Some(" <a></b>"));
        assert!(lines.next().expect("pointer").ends_with("-^"));
    }

    #[test]
    fn a_refusal_tells_no_password() {
        for text in [
            "<a><graphics passwd='geheim'></a>",
            "<a><graphics passwd='ge&geheim;'/></a>",
            "<a><graphics passwd='x\ngeheim'></a>",
            "<a><cookies><cookie>geheim</b></cookies></a>",
            "<a passwd='x'><!DOCTYPE geheim></a>",
        ] {
            let refusal = refusal(text, Kind::Domain);
            assert!(!refusal.contains("geheim"), "{refusal}");
            assert!(refusal.starts_with("(domain_definition):"), "{refusal}");
        }
    }

    // XML 1.0, 2.2; libvirt 9.0.0 refuses them too.
    #[test]
    fn references_to_what_is_no_character_are_refused() {
        for bad in [
            "#0",
            "#1",
            "#x1F",
            "#xD800",
            "#xFFFE",
            "#x110000",
            "#99999999999",
            "#",
            "#x",
        ] {
            for text in [format!("<a>&{bad};</a>"), format!("<a b='&{bad};'/>")] {
                assert!(read(&text, Kind::Snapshot).is_err(), "{text}");
            }
            let quoted = format!("<a><!--&{bad};--><![CDATA[&{bad};]]></a>");
            assert!(read(&quoted, Kind::Snapshot).is_ok(), "{quoted}");
        }
        let good = "<a b='&#9;&lt;&#x10FFFF;'>&#10;&#xE9;&amp;&#xFFFD;</a>";
        assert!(read(good, Kind::Snapshot).is_ok());
    }

    #[test]
    fn a_long_line_is_shown_in_part() {
        let text = format!("<a>{}</b>{}</a>", "x".repeat(5000), "y".repeat(5000));
        for line in refusal(&text, Kind::Snapshot).split('\n').skip(1) {
            assert!(line.len() <= SHOWN_COLUMNS + 1, "{line}");
        }
    }

    #[test]
    fn declarations_and_malformed_documents_are_refused() {
        let laughs = "<!DOCTYPE a [<!ENTITY b 'cc'><!ENTITY c '&b;&b;'>]><a>&c;</a>";
        assert!(refusal(laughs, Kind::Snapshot).contains("document type declaration"));
        assert!(read("<!DOCTYPE a><a/>", Kind::Snapshot).is_err());
        assert!(read("<a>&b;</a>", Kind::Snapshot).is_err());
        assert!(read("<a/><b/>", Kind::Snapshot).is_err());
        assert!(read("<a>", Kind::Snapshot).is_err());
        assert!(read("<a>&#0;</a>", Kind::Snapshot).is_err());
        assert!(read("<a b='1' b='2'/>", Kind::Snapshot).is_err());
    }

    #[test]
    fn every_bound_holds() {
        let nested = |depth| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(read(&nested(limits::DOCUMENT_DEPTH), Kind::Snapshot).is_ok());
        let attributes = |count: usize| {
            let all: String = (0..count).map(|index| format!(" a{index}=''")).collect();
            format!("<a{all}/>")
        };
        assert!(read(&attributes(limits::ELEMENT_ATTRIBUTES), Kind::Snapshot).is_ok());
        let namespaces: String = (0..=limits::DOCUMENT_NAMESPACES)
            .map(|index| format!("<a xmlns:n{index}='urn:n'/>"))
            .collect();
        for large in [
            nested(limits::DOCUMENT_DEPTH + 1),
            nested(300_000),
            attributes(limits::ELEMENT_ATTRIBUTES + 1),
            attributes(100_000),
            format!("<a>{namespaces}</a>"),
            format!("<a>{}</a>", "<b/>".repeat(200_000)),
            format!("<a>{}</a>", "<!---->".repeat(200_000)),
            " ".repeat(limits::DOCUMENT_BYTES + 1),
        ] {
            let error = read(&large, Kind::Snapshot).expect_err("too large");
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        }
    }

    #[test]
    fn look_ups_know_no_namespace() {
        let text =
            "<r xmlns:p='urn:p'><p:a>1</p:a><a xmlns='urn:p'>2</a><a p:b='3' b='4'>5</a></r>";
        let document = read(text, Kind::Snapshot).expect("well-formed");
        let a = child(document.root_element(), "a").expect("a");
        assert_eq!((string(a).as_str(), attribute(a, "b")), ("5", Some("4")));
    }
}
