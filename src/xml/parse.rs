//! Reads a `<domainsnapshot>` document.

use std::str::FromStr;
use std::sync::Arc;

use super::definitions::Definitions;
use super::disk::{Origin, read_disk};
use super::document::Kind;
use super::domain::facts_of;
use super::element::{self, Element, attribute, child, children, scalar};
use crate::error::{Error, Result};
use crate::limits;
use crate::snapshot::{Disk, Memory, Snapshot, State};

/// What a document is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A new snapshot: only name, description, memory and disks are read.
    Create {
        /// Creation time, and the default name: seconds since 1970.
        now: i64,
        /// DISK_ONLY, or the domain is inactive: no memory may be kept.
        offline: bool,
    },
    /// Metadata of a snapshot that exists: everything is read.
    Redefine,
    /// A stored document: everything, and `<active>` must be there.
    ///
    /// Its `<domain>` is not looked into: what was accepted once must not hide a snapshot later.
    Load,
}

/// What a document said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The snapshot. On create its state is [`crate::snapshot::State::Shutoff`] and its parent
    /// `None` until the caller knows better.
    pub snapshot: Snapshot,
    /// `<active>` of a stored document; `false` in the other modes.
    pub active: bool,
}

/// Elements that this library knows. Anything else in a document is kept as it is.
const KNOWN: [&str; 12] = [
    "name",
    "description",
    "state",
    "parent",
    "creationTime",
    "memory",
    "disks",
    "revertDisks",
    "domain",
    "inactiveDomain",
    "cookie",
    "active",
];

/// Reads a document. The order of checks is libvirt's: the first fault is the one that is told.
pub fn parse(text: &str, mode: Mode) -> Result<Parsed> {
    parse_with(text, mode, &Definitions::default())
}

/// Reads a document, as [`parse`] does; a definition that is known is neither read nor kept again.
pub fn parse_with(text: &str, mode: Mode, known: &Definitions) -> Result<Parsed> {
    let document = element::read(text, Kind::Snapshot, known)?;
    let root = document.root();
    if root.local_name() != "domainsnapshot" {
        return Err(Error::WrongRoot {
            found: root.local_name().to_owned(),
        });
    }
    match mode {
        Mode::Create { now, offline } => Ok(Parsed {
            snapshot: read_request(root, now, offline)?,
            active: false,
        }),
        Mode::Redefine => Ok(Parsed {
            snapshot: read_metadata(root, Look::Into, known)?,
            active: false,
        }),
        Mode::Load => Ok(Parsed {
            snapshot: read_metadata(root, Look::Over, known)?,
            active: number::<i32>(root, "active").ok_or(Error::ActiveMissing)? != 0,
        }),
    }
}

/// Whether the domain definitions in a document are looked into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Into,
    Over,
}

/// A snapshot that is to be made.
fn read_request(root: Element<'_, '_>, now: i64, offline: bool) -> Result<Snapshot> {
    let name = scalar(root, "name").unwrap_or_else(|| now.to_string());
    Ok(Snapshot {
        name: name.into(),
        description: scalar(root, "description").map(Into::into),
        state: State::Shutoff,
        parent: None,
        creation_time: now,
        memory: read_memory(root, offline, None)?,
        disks: read_disks(root, "disks", Origin::Request)?.into(),
        revert_disks: Vec::new(),
        domain: None,
        inactive_domain: None,
        cookie: None,
        other: Vec::new(),
    })
}

/// A snapshot that exists.
fn read_metadata(root: Element<'_, '_>, look: Look, known: &Definitions) -> Result<Snapshot> {
    let name = scalar(root, "name").ok_or(Error::NameMissing)?;
    let creation_time = number(root, "creationTime").ok_or(Error::CreationTimeMissing)?;
    let state = read_state(root)?;
    let domain = child(root, "domain")
        .filter(|domain| attribute(*domain, "type").is_some_and(|kind| !kind.is_empty()));
    let inactive_domain = child(root, "inactiveDomain");
    if look == Look::Into {
        let definitions = [domain, inactive_domain].into_iter().flatten();
        for definition in definitions.filter(|definition| definition.known().is_none()) {
            facts_of(definition)?;
        }
    }
    let by_state = if state.is_offline() {
        Memory::None
    } else {
        Memory::Internal
    };
    let cookie = child(root, "cookie").filter(|_| !state.is_offline());
    let definition = |element: Element<'_, '_>| match element.known() {
        Some(text) => Arc::clone(text),
        None => known.shared(&element.keep()),
    };
    Ok(Snapshot {
        name: name.into(),
        description: scalar(root, "description").map(Into::into),
        state,
        parent: read_parent(root).map(Into::into),
        creation_time,
        memory: read_memory(root, state.is_offline(), Some(by_state))?,
        disks: read_disks(root, "disks", Origin::Metadata)?.into(),
        revert_disks: read_disks(root, "revertDisks", Origin::Metadata)?,
        domain: domain.map(definition),
        inactive_domain: inactive_domain.map(definition),
        cookie: cookie.map(|cookie| cookie.keep().into()),
        other: read_other(root)?,
    })
}

fn read_state(root: Element<'_, '_>) -> Result<State> {
    let word = scalar(root, "state").ok_or(Error::StateMissing)?;
    State::from_word(&word).ok_or(Error::StateUnknown { word })
}

/// The first `<name>` of any `<parent>`.
fn read_parent(root: Element<'_, '_>) -> Option<String> {
    children(root, "parent")
        .find_map(|parent| child(parent, "name"))
        .map(element::string)
        .filter(|name| !name.is_empty())
}

/// A decimal number as C's `strtoll` reads it, with nothing behind it.
fn number<T: FromStr>(root: Element<'_, '_>, name: &'static str) -> Option<T> {
    let text = scalar(root, name)?;
    text.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}'])
        .parse()
        .ok()
}

/// `<memory>`; `unset` is what a document without it means.
fn read_memory(
    root: Element<'_, '_>,
    offline: bool,
    unset: Option<Memory>,
) -> Result<Option<Memory>> {
    let memory = child(root, "memory");
    let file = memory.and_then(|memory| attribute(memory, "file"));
    let memory = match (
        memory.and_then(|memory| attribute(memory, "snapshot")),
        file,
    ) {
        (Some("no"), None) => Some(Memory::None),
        (Some("internal"), None) => Some(Memory::Internal),
        (Some("no" | "internal"), Some(file)) => {
            return Err(Error::MemoryFileUnexpected {
                file: file.to_owned(),
            });
        }
        (Some("external") | None, Some(file)) => Some(Memory::External { file: file.into() }),
        (Some("external"), None) => return Err(Error::MemoryFileMissing),
        (Some("manual"), _) => return Err(Error::MemoryManual),
        (Some(value), _) => {
            return Err(Error::AttributeValue {
                attribute: "snapshot",
                element: "memory",
                value: value.to_owned(),
            });
        }
        (None, None) => unset,
    };
    match &memory {
        Some(Memory::Internal | Memory::External { .. }) if offline => Err(Error::MemoryOffline),
        Some(Memory::External { file }) if !file.starts_with('/') => {
            Err(Error::MemoryFileRelative {
                file: file.to_string(),
            })
        }
        _ => Ok(memory),
    }
}

/// The disks in all elements of that name. Any element in there is a disk, as it is for libvirt.
fn read_disks(root: Element<'_, '_>, name: &'static str, origin: Origin) -> Result<Vec<Disk>> {
    let mut kept_bytes = 0;
    children(root, name)
        .flat_map(|disks| disks.elements())
        .map(|node| {
            let disk = read_disk(node, origin)?;
            let source = disk
                .image
                .as_ref()
                .and_then(|image| image.source.as_deref());
            check_kept(&mut kept_bytes, source.unwrap_or_default())?;
            Ok(disk)
        })
        .collect()
}

fn read_other(root: Element<'_, '_>) -> Result<Vec<Box<str>>> {
    let mut kept_bytes = 0;
    root.elements()
        .filter(|element| element.name().is_none_or(|name| !KNOWN.contains(&name)))
        .map(|element| {
            let text = element.keep();
            check_kept(&mut kept_bytes, &text)?;
            Ok(text.into())
        })
        .collect()
}

/// Bounds the texts kept from one document: each may repeat namespaces declared around it, so
/// that a short document could become a long one.
fn check_kept(kept_bytes: &mut usize, text: &str) -> Result<()> {
    *kept_bytes = kept_bytes.saturating_add(text.len());
    if *kept_bytes > limits::DOCUMENT_BYTES {
        let what = "size of the elements of the XML document in bytes";
        return Err(Error::TooLarge {
            what,
            limit: limits::DOCUMENT_BYTES,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Number, Origin as Domain};
    use crate::snapshot::DiskMode;

    const DOMAIN: &str = "<domain type='qemu'><name>n</name><os><type>hvm</type></os></domain>";

    fn redefined(rest: &str) -> Result<Snapshot> {
        let text = format!(
            "<domainsnapshot><name>q</name><state>shutoff</state>\
             <creationTime>5</creationTime>{rest}</domainsnapshot>"
        );
        parse(&text, Mode::Redefine).map(|parsed| parsed.snapshot)
    }

    fn refusal(text: &str, mode: Mode) -> (Number, Domain, String) {
        let error = parse(text, mode).expect_err(text);
        (error.number(), error.origin(), error.to_string())
    }

    // Code, error domain, text and order: libvirt 9.0.0's answers to the same documents.
    #[test]
    fn the_first_fault_is_told_as_libvirt_tells_it() {
        use {Domain as D, Number as N};
        let xml = "Invalid value for attribute 'snapshot' in element 'memory': 'xx'.";
        for (inside, number, origin, message) in [
            (
                "<memory snapshot='xx'/>",
                N::XmlError,
                D::DomainSnapshot,
                "a redefined snapshot must have a name",
            ),
            (
                "<name>q</name><memory snapshot='xx'/><state>zz</state>",
                N::InternalError,
                D::DomainSnapshot,
                "missing creationTime from existing snapshot",
            ),
            (
                "<name>q</name><memory snapshot='xx'/><creationTime>6</creationTime>",
                N::XmlError,
                D::DomainSnapshot,
                "missing state from existing snapshot",
            ),
            (
                "<name>q</name><memory snapshot='xx'/><creationTime>6</creationTime><state> shutoff</state>",
                N::ConfigUnsupported,
                D::DomainSnapshot,
                "Invalid state ' shutoff' in domain snapshot XML",
            ),
            (
                "<name>q</name><creationTime>6</creationTime><state>nostate</state>",
                N::ConfigUnsupported,
                D::DomainSnapshot,
                "Invalid state 'nostate' in domain snapshot XML",
            ),
            (
                "<name>q</name><memory snapshot='xx'/><creationTime>6</creationTime><state>shutoff</state><disks><disk/></disks>",
                N::XmlError,
                D::Xml,
                xml,
            ),
            (
                "<name>q</name><memory snapshot='internal'/><creationTime>6</creationTime><state>shutoff</state><disks><disk/></disks>",
                N::XmlError,
                D::DomainSnapshot,
                "memory state cannot be saved with offline or disk-only snapshot",
            ),
            (
                "<name>q</name><creationTime>6</creationTime><state>shutoff</state><disks><disk/></disks>",
                N::InternalError,
                D::DomainSnapshot,
                "missing name from disk snapshot element",
            ),
        ] {
            let text = format!("<domainsnapshot>{inside}</domainsnapshot>");
            assert_eq!(
                refusal(&text, Mode::Redefine),
                (number, origin, message.to_owned()),
                "{text}"
            );
        }
        let expected = "expecting root element of 'domainsnapshot', not 'domain'";
        assert_eq!(
            refusal(DOMAIN, Mode::Redefine),
            (N::XmlError, D::Xml, expected.to_owned())
        );
        let empty = "(domain_snapshot):1: Document is empty\n(null)\n^";
        assert_eq!(
            refusal("", Mode::Redefine),
            (N::XmlDetail, D::DomainSnapshot, empty.to_owned())
        );
    }

    #[test]
    fn faults_of_a_definition_come_before_memory_and_disks() {
        let rest = "<memory snapshot='xx'/><disks><disk/></disks>";
        for definition in ["<domain type='qemu'/>", "<inactiveDomain type='qemu'/>"] {
            let error = redefined(&format!("{rest}{definition}")).expect_err("refused");
            assert!(matches!(error, Error::DomainWithoutName), "{error}");
        }
        let stored = "<domainsnapshot><name>q</name><state>shutoff</state><creationTime>5</creationTime>\
                      <domain type='qemu'/><active>1</active></domainsnapshot>";
        let loaded = parse(stored, Mode::Load).expect("not looked into");
        assert_eq!(
            loaded.snapshot.domain.as_deref(),
            Some("<domain type='qemu'/>")
        );
    }

    #[test]
    fn a_creation_time_is_read_as_libvirt_reads_it() {
        let read = |time: &str| {
            let text = format!(
                "<domainsnapshot><name>q</name><state>shutoff</state>\
                 <creationTime>{time}</creationTime></domainsnapshot>"
            );
            parse(&text, Mode::Redefine)
                .ok()
                .map(|parsed| parsed.snapshot.creation_time)
        };
        for (text, time) in [
            (" 5", Some(5)),
            ("+5", Some(5)),
            ("007", Some(7)),
            ("-5", Some(-5)),
            ("0", Some(0)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("5 ", None),
            ("5.5", None),
            ("1e3", None),
            ("0x10", None),
            ("99999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(read(text), time, "{text:?}");
        }
    }

    #[test]
    fn active_is_a_number_that_a_stored_document_must_have() {
        let load = |active: &str| {
            let text = format!(
                "<domainsnapshot><name>q</name><state>shutoff</state>\
                 <creationTime>5</creationTime>{active}</domainsnapshot>"
            );
            parse(&text, Mode::Load).map(|parsed| parsed.active)
        };
        assert!(matches!(load("<active>7</active>"), Ok(true)));
        assert!(matches!(load("<active>0</active>"), Ok(false)));
        assert!(matches!(
            load("<active>yes</active>"),
            Err(Error::ActiveMissing)
        ));
        assert!(matches!(load(""), Err(Error::ActiveMissing)));
        assert!(redefined("<active>yes</active>").is_ok());
    }

    // libvirt 9.0.0: each row is an answer to `snapshot-create --redefine`.
    #[test]
    fn memory_has_defaults_by_state() {
        let memory = |state: &str, memory: &str| {
            let text = format!(
                "<domainsnapshot><name>q</name><state>{state}</state>\
                 <creationTime>5</creationTime>{memory}</domainsnapshot>"
            );
            match parse(&text, Mode::Redefine) {
                Ok(parsed) => format!("{:?}", parsed.snapshot.memory.expect("set")),
                Err(error) => error.to_string(),
            }
        };
        let offline = "memory state cannot be saved with offline or disk-only snapshot";
        for (state, given, expected) in [
            ("shutoff", "", "None"),
            ("disk-snapshot", "", "None"),
            ("running", "", "Internal"),
            (
                "shutoff",
                "<memory snapshot='no'/><memory snapshot='internal'/>",
                "None",
            ),
            ("shutoff", "<memory file='/x'/>", offline),
            ("shutoff", "<memory snapshot='external' file=''/>", offline),
            (
                "shutoff",
                "<memory snapshot='no' file=''/>",
                "memory filename '' requires external snapshot",
            ),
            (
                "running",
                "<memory file='/x'/>",
                "External { file: \"/x\" }",
            ),
            (
                "running",
                "<memory snapshot='external' file='x'/>",
                "memory snapshot file path (x) must be absolute",
            ),
            (
                "running",
                "<memory snapshot='external'/>",
                "external memory snapshots require a filename",
            ),
            (
                "running",
                "<memory snapshot='internal' file='/x'/>",
                "memory filename '/x' requires external snapshot",
            ),
            (
                "running",
                "<memory snapshot='manual' file='/x'/>",
                "'manual' memory snapshot mode not supported",
            ),
            (
                "running",
                "<memory snapshot=''/>",
                "Invalid value for attribute 'snapshot' in element 'memory': ''.",
            ),
            (
                "running",
                "<memory snapshot='default'/>",
                "Invalid value for attribute 'snapshot' in element 'memory': 'default'.",
            ),
        ] {
            assert_eq!(memory(state, given), expected, "{state} {given}");
        }
    }

    #[test]
    fn a_request_reads_four_elements_only() {
        let text = "<domainsnapshot><name/><name>second</name><description><![CDATA[a<b]]>c<!-- k -->d<x>e</x></description>\
                    <state>zz</state><parent><name>p</name></parent><creationTime>x</creationTime>\
                    <domain type='x'/><cookie/><active>q</active><own/>\
                    <disks><disk name='vda'><snapshotDeleteInProgress/></disk></disks></domainsnapshot>";
        let parsed = parse(
            text,
            Mode::Create {
                now: 7,
                offline: true,
            },
        )
        .expect("good");
        let disk = Disk {
            name: "vda".into(),
            mode: None,
            image: None,
            delete_in_progress: false,
        };
        let expected = Snapshot {
            name: "7".into(),
            description: Some("a<bcde".into()),
            state: State::Shutoff,
            parent: None,
            creation_time: 7,
            memory: None,
            disks: [disk].into(),
            revert_disks: vec![],
            domain: None,
            inactive_domain: None,
            cookie: None,
            other: vec![],
        };
        assert_eq!(
            parsed,
            Parsed {
                snapshot: expected,
                active: false
            }
        );
        let memory = "<domainsnapshot><memory snapshot='internal'/></domainsnapshot>";
        let mode = |offline| Mode::Create { now: 7, offline };
        assert!(matches!(
            parse(memory, mode(true)),
            Err(Error::MemoryOffline)
        ));
        assert_eq!(
            parse(memory, mode(false)).expect("good").snapshot.memory,
            Some(Memory::Internal)
        );
    }

    #[test]
    fn metadata_is_read_whole() {
        let snapshot = redefined(&format!(
            "<parent><x/></parent><parent><name> p </name></parent>{DOMAIN}<domain type='other'/>\
             <domain/><cookie><cpu/></cookie><own>\n x</own>\
             <disks><any name='vda' snapshot='no'><snapshotDeleteInProgress/></any></disks><disks><disk name='vdb'/></disks>\
             <revertDisks><disk name='vda' snapshot='manual'/></revertDisks>"
        ))
        .expect("good");
        assert_eq!(snapshot.parent.as_deref(), Some(" p "));
        assert_eq!(snapshot.domain.as_deref(), Some(DOMAIN));
        assert_eq!(snapshot.cookie, None, "an offline snapshot has no cookie");
        assert_eq!(snapshot.other, ["<own>\n x</own>".into()]);
        assert!(snapshot.disks[0].delete_in_progress);
        assert_eq!(snapshot.disks.len(), 2);
        assert_eq!(snapshot.revert_disks[0].mode, Some(DiskMode::Manual));
    }

    #[test]
    fn a_definition_without_type_counts_as_none() {
        let uuid_only = redefined("<domain><uuid>zz</uuid></domain>").expect("good");
        assert_eq!(uuid_only.domain, None);
        assert_eq!(redefined("<domain type=''/>").expect("good").domain, None);
    }

    #[test]
    fn a_root_in_a_namespace_has_no_children_that_count() {
        let prefixed = "<p:domainsnapshot xmlns:p='urn:p'><name>a</name></p:domainsnapshot>";
        let create = Mode::Create {
            now: 7,
            offline: true,
        };
        assert_eq!(&*parse(prefixed, create).expect("good").snapshot.name, "a");
        let default = "<domainsnapshot xmlns='urn:p'><name>a</name></domainsnapshot>";
        assert_eq!(&*parse(default, create).expect("good").snapshot.name, "7");
    }

    #[test]
    fn a_repeated_namespace_does_not_make_a_document_grow_without_bound() {
        let text = format!(
            "<domainsnapshot xmlns:a='{}'><name>q</name><state>shutoff</state>\
             <creationTime>5</creationTime>{}</domainsnapshot>",
            "u".repeat(1_000_000),
            "<a:x/>".repeat(100_000)
        );
        assert!(matches!(
            parse(&text, Mode::Redefine),
            Err(Error::TooLarge { .. })
        ));
    }
}
