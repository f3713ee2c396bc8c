//! Reads plain documents in one pass, as libvirt writes them, and declines all others.
//!
//! Plain is: ASCII names without a prefix, no `xmlns`, no declaration, comments before the root
//! only, no CDATA, no processing instruction, no character references, no white space but blanks in
//! attributes. What is taken here the full parser takes with the same meaning (properties.rs); what
//! is declined may be good or bad, and it decides.
//!
//! A domain definition that is known is not read again: behind equal bytes stands an equal element.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;

use super::definitions::Definitions;
use crate::limits;

/// Depth, attributes of an element, and parts in all, of a document that is read here: below the
/// bounds of every document, so that those need not be counted.
const DEPTH: usize = 64;
const ATTRIBUTES: usize = 32;
const PARTS: usize = 50_000;

/// A plain document.
pub(super) struct Document<'i> {
    root: Record<'i>,
    parts: Parts<'i>,
}

#[derive(Default)]
struct Parts<'i> {
    text: &'i str,
    /// In document order.
    elements: Vec<Record<'i>>,
    attributes: Vec<(&'i str, &'i str)>,
}

#[derive(Clone, Default)]
struct Record<'i> {
    name: &'i str,
    attributes: Range<usize>,
    range: Range<usize>,
    /// Between the tags.
    content: Range<usize>,
    /// Number of the first element that is not inside of this one.
    next: usize,
    /// The definition that this is; its content is not in the document then.
    known: Option<Arc<str>>,
}

/// An element of a plain document.
#[derive(Clone, Copy)]
pub(super) struct Element<'a, 'i> {
    parts: &'a Parts<'i>,
    number: usize,
    record: &'a Record<'i>,
}

/// Reads a document; `None` if it is not plain.
pub(super) fn read<'i>(text: &'i str, known: &Definitions) -> Option<Document<'i>> {
    if text.len() > limits::STATE_FILE_BYTES {
        return None;
    }
    let mut reader = Reader {
        rest: text,
        known,
        open: Vec::with_capacity(16),
        parts: Parts {
            text,
            elements: Vec::with_capacity(32),
            attributes: Vec::with_capacity(32),
        },
    };
    reader.prolog()?;
    reader.root()?;
    reader.blanks();
    let root = reader.parts.elements.first()?.clone();
    let parts = reader.parts;
    reader.rest.is_empty().then_some(Document { root, parts })
}

impl<'i> Document<'i> {
    pub(super) fn root(&self) -> Element<'_, 'i> {
        Element {
            parts: &self.parts,
            number: 0,
            record: &self.root,
        }
    }
}

impl<'a, 'i> Element<'a, 'i> {
    pub(super) fn name(self) -> &'a str {
        self.record.name
    }

    pub(super) fn attribute(self, name: &str) -> Option<&'a str> {
        self.attributes()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    pub(super) fn attributes(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let range = self.record.attributes.clone();
        let attributes = self.parts.attributes.get(range).unwrap_or_default();
        attributes.iter().copied()
    }

    pub(super) fn children(self) -> impl Iterator<Item = Element<'a, 'i>> {
        let mut next = self.number.saturating_add(1);
        std::iter::from_fn(move || {
            let number = Some(next).filter(|next| *next < self.record.next)?;
            let record = self.parts.elements.get(number)?;
            next = record.next;
            Some(Element {
                parts: self.parts,
                number,
                record,
            })
        })
    }

    /// All text inside, as it reads.
    pub(super) fn string(self) -> String {
        let mut text = self
            .parts
            .text
            .get(self.record.content.clone())
            .unwrap_or_default();
        let mut out = String::with_capacity(text.len());
        // Neither text nor attributes of a plain document hold a `<` or `>` of their own.
        while let Some((before, tag)) = text.split_once('<') {
            out.push_str(&unescaped(before));
            text = tag.split_once('>').map_or("", |(_, after)| after);
        }
        out.push_str(&unescaped(text));
        out
    }

    /// The bytes of the element.
    pub(super) fn text(self) -> &'i str {
        self.parts
            .text
            .get(self.record.range.clone())
            .unwrap_or_default()
    }

    /// The definition that this is, if it is known.
    pub(super) fn known(self) -> Option<&'a Arc<str>> {
        self.record.known.as_ref()
    }
}

/// The references that a plain document may hold.
const REFERENCES: [(&str, char); 5] = [
    ("&lt;", '<'),
    ("&gt;", '>'),
    ("&amp;", '&'),
    ("&quot;", '"'),
    ("&apos;", '\''),
];

fn unescaped(text: &str) -> Cow<'_, str> {
    let mut parts = text.split('&');
    let first = parts.next().unwrap_or_default();
    if first.len() == text.len() {
        return Cow::Borrowed(text);
    }
    let mut out = first.to_owned();
    for part in parts {
        let named = |(name, character): &(&str, char)| {
            Some((*character, part.strip_prefix(name.get(1..)?)?))
        };
        if let Some((character, rest)) = REFERENCES.iter().find_map(named) {
            out.push(character);
            out.push_str(rest);
        }
    }
    Cow::Owned(out)
}

/// What a byte may mean to the reader.
const TEXT: u8 = 1;
const VALUE: u8 = 2;
const NAME: u8 = 4;
const NAME_START: u8 = 8;

/// Where each byte is nothing but itself.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
#[expect(clippy::cast_possible_truncation, reason = "all numbers below 256")]
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let character = byte as u8;
        classes[byte] = match character {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => TEXT | VALUE | NAME | NAME_START,
            b'0'..=b'9' | b'-' | b'.' => TEXT | VALUE | NAME,
            b'\t' | b'\n' => TEXT,
            // `]]>` may not stand in text; a carriage return is read as a line feed.
            b'<' | b'>' | b'&' | b']' | 0..=0x1F => 0,
            b'"' | b'\'' => TEXT,
            // The first byte of U+FFFE and U+FFFF, which are no characters.
            0xEF => 0,
            _ => TEXT | VALUE,
        };
        byte += 1;
    }
    classes
};

fn is(byte: u8, class: u8) -> bool {
    CLASSES
        .get(usize::from(byte))
        .is_some_and(|classes| classes & class != 0)
}

/// The beginning of a text that is of a class, and the rest.
fn split(text: &str, class: u8) -> (&str, &str) {
    let end = text.bytes().position(|byte| !is(byte, class));
    text.split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or((text, ""))
}

struct Reader<'i, 'd> {
    rest: &'i str,
    known: &'d Definitions,
    /// The elements that are not closed yet.
    open: Vec<usize>,
    parts: Parts<'i>,
}

impl<'i> Reader<'i, '_> {
    fn at(&self) -> usize {
        self.parts.text.len().saturating_sub(self.rest.len())
    }

    fn take(&mut self, expected: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    fn blanks(&mut self) -> bool {
        let trimmed = self.rest.trim_start_matches([' ', '\t', '\n']);
        let found = trimmed.len() < self.rest.len();
        self.rest = trimmed;
        found
    }

    fn prolog(&mut self) -> Option<()> {
        self.blanks();
        while let Some(comment) = self.rest.strip_prefix("<!--") {
            let end = memmem::find(comment.as_bytes(), b"--")?;
            let (inside, after) = comment.split_at_checked(end)?;
            if !inside
                .bytes()
                .all(|byte| byte == b'\n' || (0x20..0x7F).contains(&byte))
            {
                return None;
            }
            self.rest = after.strip_prefix("-->")?;
            self.blanks();
        }
        Some(())
    }

    /// Reads the root element to its end.
    fn root(&mut self) -> Option<()> {
        self.start_tag()?;
        while let Some(&innermost) = self.open.last() {
            self.characters()?;
            if let Some(rest) = self.rest.strip_prefix("</") {
                self.rest = rest;
                self.end_tag(innermost)?;
            } else {
                self.start_tag()?;
            }
        }
        Some(())
    }

    /// Text, up to a tag.
    fn characters(&mut self) -> Option<()> {
        loop {
            (_, self.rest) = split(self.rest, TEXT);
            match self.rest.as_bytes().first()? {
                b'<' => return Some(()),
                b'&' => {
                    let after = |(reference, _): &(&str, char)| self.rest.strip_prefix(*reference);
                    self.rest = REFERENCES.iter().find_map(after)?;
                }
                _ => return None,
            }
        }
    }

    fn name(&mut self) -> Option<&'i str> {
        if !is(*self.rest.as_bytes().first()?, NAME_START) {
            return None;
        }
        let (name, rest) = split(self.rest, NAME);
        self.rest = rest;
        Some(name)
    }

    fn start_tag(&mut self) -> Option<()> {
        let parts = &self.parts;
        if self.open.len() >= DEPTH || parts.elements.len() + parts.attributes.len() > PARTS {
            return None;
        }
        let (start, at_tag) = (self.at(), self.rest);
        self.take("<")?;
        let name = self.name()?;
        let attributes = self.attributes()?;
        let is_empty = self.rest.starts_with('/');
        self.take(if is_empty { "/>" } else { ">" })?;
        let number = self.parts.elements.len();
        let known = if self.open.len() == 1 && !is_empty {
            self.known.at_start_of(at_tag)
        } else {
            None
        };
        if let Some(text) = &known {
            self.rest = at_tag.get(text.len()..)?;
        }
        let (end, next) = (self.at(), number.saturating_add(1));
        if known.is_none() && !is_empty {
            self.open.push(number);
        }
        self.parts.elements.push(Record {
            name,
            attributes,
            range: start..end,
            content: end..end,
            next,
            known,
        });
        Some(())
    }

    fn attributes(&mut self) -> Option<Range<usize>> {
        let first = self.parts.attributes.len();
        while self.blanks() && !self.rest.starts_with(['/', '>']) {
            let name = self.name()?;
            let own = self.parts.attributes.get(first..)?;
            let is_twice = own.iter().any(|(other, _)| *other == name);
            if is_twice || own.len() >= ATTRIBUTES || name.starts_with("xml") {
                return None;
            }
            self.take("=")?;
            let quote = self
                .rest
                .chars()
                .next()
                .filter(|quote| matches!(quote, '"' | '\''))?;
            self.rest = self.rest.get(1..)?;
            let (value, rest) = split(self.rest, VALUE);
            self.rest = rest.strip_prefix(quote)?;
            self.parts.attributes.push((name, value));
        }
        Some(first..self.parts.attributes.len())
    }

    fn end_tag(&mut self, innermost: usize) -> Option<()> {
        let content_end = self.at().checked_sub(2)?;
        let name = self.parts.elements.get(innermost)?.name;
        self.take(name)?;
        self.take(">")?;
        let (end, next) = (self.at(), self.parts.elements.len());
        let record = self.parts.elements.get_mut(innermost)?;
        record.content.end = content_end;
        record.range.end = end;
        record.next = next;
        self.open.pop();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_plain(text: &str) -> bool {
        read(text, &Definitions::default()).is_some()
    }

    #[test]
    fn what_libvirt_writes_is_plain() {
        let text = "<!--\nWARNING: a header\n-->\n\n<a b='1' c=\"x y\">\n  <d>&lt;é&amp;</d>\n  <e/>\n</a>\n";
        let document = read(text, &Definitions::default()).unwrap();
        let root = document.root();
        assert_eq!(root.attribute("c"), Some("x y"));
        let children: Vec<_> = root.children().map(Element::name).collect();
        assert_eq!(children, ["d", "e"]);
        let strings: Vec<_> = root.children().map(Element::string).collect();
        assert_eq!(strings, ["<é&", ""]);
        assert_eq!(root.string(), "\n  <é&\n  \n");
        assert_eq!(root.children().next().unwrap().text(), "<d>&lt;é&amp;</d>");
    }

    #[test]
    fn all_else_is_left_to_the_full_parser() {
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "<?xml version='1.0'?><a/>",
            "<!DOCTYPE a><a/>",
            "<a><!-- c --></a>",
            "<a/><!-- c -->",
            "<!-- a -- b --><a/>",
            "<a><![CDATA[x]]></a>",
            "<a>]]></a>",
            "<a>\u{ffff}</a>",
            "<a>\u{1}</a>",
            "<a>\r\n</a>",
            "<a>&#65;</a>",
            "<a>&b;</a>",
            "<a>& </a>",
            "<a b='&amp;'/>",
            "<a b='\t'/>",
            "<a b='<'/>",
            "<a b='1' b='2'/>",
            "<a b='1'c='2'/>",
            "<a b=1/>",
            "<a b/>",
            "<a xmlns='u'/>",
            "<p:a/>",
            "<a p:b=''/>",
            "<1/>",
            "<é/>",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }

    #[test]
    fn a_document_may_be_so_deep_and_no_deeper() {
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(is_plain(&nested(DEPTH)));
        assert!(!is_plain(&nested(DEPTH + 1)));
    }
}
