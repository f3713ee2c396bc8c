//! The elements of a document, whichever of the two parsers has read it.

use std::sync::Arc;

use roxmltree::Node;

use super::definitions::Definitions;
use super::document::{self, Kind};
use super::{plain, verbatim};
use crate::error::Result;

/// A document that was read.
pub(super) enum Document<'i> {
    Plain(plain::Document<'i>),
    Full(roxmltree::Document<'i>),
}

/// One of its elements.
#[derive(Clone, Copy)]
pub(super) enum Element<'a, 'i> {
    Plain(plain::Element<'a, 'i>),
    Full(Node<'a, 'i>),
}

/// Reads a document, as [`document::read`] does.
pub(super) fn read<'i>(text: &'i str, kind: Kind, known: &Definitions) -> Result<Document<'i>> {
    match plain::read(text, known) {
        Some(document) => Ok(Document::Plain(document)),
        None => document::read(text, kind).map(Document::Full),
    }
}

impl<'i> Document<'i> {
    pub(super) fn root(&self) -> Element<'_, 'i> {
        match self {
            Document::Plain(document) => Element::Plain(document.root()),
            Document::Full(document) => Element::Full(document.root_element()),
        }
    }
}

impl<'a, 'i> Element<'a, 'i> {
    /// Its name without the prefix.
    pub(super) fn local_name(self) -> &'a str {
        match self {
            Element::Plain(element) => element.name(),
            Element::Full(node) => node.tag_name().name(),
        }
    }

    /// Its name; `None` if it is in a namespace. libvirt's look-ups know none, so an element that
    /// is in one is another element.
    pub(super) fn name(self) -> Option<&'a str> {
        match self {
            Element::Plain(element) => Some(element.name()),
            Element::Full(node) => {
                let name = node.tag_name();
                name.namespace().is_none().then(|| name.name())
            }
        }
    }

    /// The elements in it.
    pub(super) fn elements(self) -> impl Iterator<Item = Element<'a, 'i>> {
        let (plain, full) = match self {
            Element::Plain(element) => (Some(element.children()), None),
            Element::Full(node) => (None, Some(node.children().filter(Node::is_element))),
        };
        let plain = plain.into_iter().flatten().map(Element::Plain);
        plain.chain(full.into_iter().flatten().map(Element::Full))
    }

    /// Names of its attributes; `None` for one that is in a namespace.
    pub(super) fn attribute_names(self) -> impl Iterator<Item = Option<&'a str>> {
        let (plain, full) = match self {
            Element::Plain(element) => (Some(element.attributes()), None),
            Element::Full(node) => (None, Some(node.attributes())),
        };
        let plain = plain.into_iter().flatten().map(|(name, _)| Some(name));
        let full = full.into_iter().flatten();
        plain.chain(full.map(|attribute| attribute.namespace().is_none().then(|| attribute.name())))
    }

    /// Its text, byte for byte; see [`verbatim::keep`].
    pub(super) fn keep(self) -> String {
        match self {
            Element::Plain(element) => element.text().to_owned(),
            Element::Full(node) => verbatim::keep(node),
        }
    }

    /// The definition that it is, if that was known when the document was read. Nothing is in it then.
    pub(super) fn known(self) -> Option<&'a Arc<str>> {
        match self {
            Element::Plain(element) => element.known(),
            Element::Full(_) => None,
        }
    }
}

/// The child elements of that name.
pub(super) fn children<'a, 'i>(
    element: Element<'a, 'i>,
    name: &'static str,
) -> impl Iterator<Item = Element<'a, 'i>> {
    element
        .elements()
        .filter(move |child| child.name() == Some(name))
}

/// The first child element of that name.
pub(super) fn child<'a, 'i>(
    element: Element<'a, 'i>,
    name: &'static str,
) -> Option<Element<'a, 'i>> {
    children(element, name).next()
}

/// An attribute's value, which may be empty.
pub(super) fn attribute<'a>(element: Element<'a, '_>, name: &str) -> Option<&'a str> {
    match element {
        Element::Plain(element) => element.attribute(name),
        Element::Full(node) => document::attribute(node, name),
    }
}

/// All text in an element, as XPath's `string()`: not trimmed, its descendants' included.
pub(super) fn string(element: Element<'_, '_>) -> String {
    match element {
        Element::Plain(element) => element.string(),
        Element::Full(node) => document::string(node),
    }
}

/// The text of the first child of that name; an empty one counts as absent.
pub(super) fn scalar(element: Element<'_, '_>, name: &'static str) -> Option<String> {
    child(element, name)
        .map(string)
        .filter(|text| !text.is_empty())
}
