//! Documents: whatever is accepted comes back as it was, and never with its secrets unasked.

use crate::limits;
use crate::snapshot::{DiskMode, Snapshot};
use crate::xml::{self, Form, Mode, Participation};

/// A `<domainsnapshot>`.
pub fn snapshot_xml(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let create = |offline| Mode::Create { now: 7, offline };
    for mode in [create(true), create(false), Mode::Redefine, Mode::Load] {
        let Ok(parsed) = xml::parse(text, mode) else {
            continue;
        };
        if matches!(mode, Mode::Redefine | Mode::Load) {
            stored_and_loaded(&parsed.snapshot);
            dumped_and_redefined(&parsed.snapshot);
        }
        aligned(parsed.snapshot);
    }
}

fn stored_and_loaded(snapshot: &Snapshot) {
    let stored = xml::format(snapshot, Form::Stored { active: true });
    match xml::parse(&stored, Mode::Load) {
        Ok(loaded) => {
            assert!(loaded.active);
            assert_eq!(loaded.snapshot, *snapshot, "{stored}");
        }
        // The store refuses it for the same reason.
        Err(crate::error::Error::TooLarge { .. }) => {}
        Err(error) => panic!("{error}: {stored}"),
    }
}

/// The public form lets a parser change white space once (XML 1.0, 2.11), as libvirt's does.
fn dumped_and_redefined(snapshot: &Snapshot) {
    for secure in [true, false] {
        let dumped = xml::format(snapshot, Form::Public { secure });
        if !secure {
            no_secrets(&dumped);
        }
        // Only what is checked more strictly than on loading may be refused: the definitions.
        let Ok(once) = xml::parse(&dumped, Mode::Redefine) else {
            continue;
        };
        let again = xml::format(&once.snapshot, Form::Public { secure });
        let twice = xml::parse(&again, Mode::Redefine).map(|parsed| parsed.snapshot);
        if let Ok(twice) = twice {
            assert_eq!(
                xml::format(&twice, Form::Public { secure }),
                again,
                "{dumped}"
            );
        }
    }
}

fn aligned(mut snapshot: Snapshot) {
    let Some(facts) = snapshot
        .domain
        .as_deref()
        .and_then(|domain| xml::domain_facts(domain).ok())
    else {
        return;
    };
    for (default, participation) in [
        (DiskMode::Internal, Participation::Uniform),
        (DiskMode::External, Participation::Individual),
    ] {
        if xml::align(&mut snapshot, &facts, default, participation, &|_| true).is_ok() {
            assert_eq!(snapshot.disks.len(), facts.disks.len());
            stored_and_loaded(&snapshot);
        }
    }
}

/// A `<domain>`.
pub fn domain_xml(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let bare = xml::without_secrets(text);
    no_secrets(&bare);
    assert_eq!(xml::without_secrets(&bare), bare);
    let nested = xml::nested(text);
    let unnested = xml::unnested(&nested);
    let Ok(facts) = xml::domain_facts(text) else {
        return;
    };
    assert_eq!(xml::domain_facts(&nested).ok().as_ref(), Some(&facts));
    assert_eq!(xml::domain_facts(&unnested).ok().as_ref(), Some(&facts));
    assert_eq!(xml::domain_facts(&bare).ok().as_ref(), Some(&facts));
    let (name, uuid) = ("a<b>\r\n&", [0xa5; 16]);
    let Ok(named) = xml::named_and_identified(text, name, &uuid) else {
        return;
    };
    match xml::domain_facts(&named) {
        Ok(named) => {
            assert_eq!((named.name.as_str(), named.uuid), (name, Some(uuid)));
            assert_eq!(named.disks, facts.disks);
        }
        // One element more than the document had.
        Err(crate::error::Error::TooLarge { .. }) => {}
        Err(error) => panic!("{error}: {named}"),
    }
}

/// Looks with a reader that is not the one that removes them.
fn no_secrets(text: &str) {
    if text.len() > limits::DOCUMENT_BYTES {
        return;
    }
    let Ok(document) = roxmltree::Document::parse(text) else {
        return;
    };
    for node in document.descendants() {
        assert!(
            node.tag_name().name() != "graphics" || node.attribute("passwd").is_none(),
            "{text}"
        );
        let of_source = node
            .parent()
            .is_some_and(|parent| parent.has_tag_name("source"));
        assert!(!(of_source && node.has_tag_name("cookies")), "{text}");
    }
}
