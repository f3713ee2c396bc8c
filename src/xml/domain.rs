//! What a snapshot needs to know of a `<domain>`.

use std::collections::HashMap;

use super::definitions::Definitions;
use super::document::Kind;
use super::element::{self, Element, attribute, child, children, scalar};
use super::firmware::{self, Nvram, TpmState};
use crate::error::{Error, Result};
use crate::snapshot::DiskMode;

/// The facts of a domain definition that snapshots depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainFacts {
    /// `<name>`.
    pub name: String,
    /// `<uuid>`; `None` if the definition has none yet.
    pub uuid: Option<[u8; 16]>,
    /// The disks, in document order.
    pub disks: Vec<DomainDisk>,
    /// The firmware keeps its variables in flash (`<os><loader type='pflash'>` or `firmware='efi'`).
    pub pflash: bool,
    /// Where they are, if that is a file of this machine.
    pub nvram: Option<Nvram>,
    /// Where an emulated TPM has its state, if the definition says so.
    pub tpm: Option<TpmState>,
}

/// One `<disk>` of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainDisk {
    /// `target/@dev`.
    pub target: String,
    /// `@device`: `disk` (default), `cdrom`, `floppy`, `lun`.
    pub device: String,
    /// `@type`: `file` (default), `block`, `network`, ….
    pub source_type: String,
    /// `source/@protocol` of a network disk.
    pub protocol: Option<String>,
    /// Local path of the image; `None` for an empty drive or a disk without local path.
    pub source: Option<String>,
    /// `driver/@type`; `None` if not given.
    pub format: Option<String>,
    /// `<readonly/>` present, or a CD-ROM.
    pub read_only: bool,
    /// `<shareable/>` present.
    pub shareable: bool,
    /// `<transient/>` present.
    pub transient: bool,
    /// The disk's own `snapshot` attribute, or `No` where libvirt defaults to it
    /// (read-only and vhost-user disks).
    pub snapshot: Option<DiskMode>,
}

impl DomainDisk {
    /// Whether the drive holds no medium. Disks that are no local file have one, whatever it is.
    pub(super) fn is_empty_drive(&self) -> bool {
        self.source.is_none() && matches!(self.source_type.as_str(), "file" | "block" | "dir")
    }
}

/// Storage types that a disk may have. Source: libvirt 9.0.0, and `vhostvdpa` of 9.9.
const STORAGE_TYPES: [&str; 8] = [
    "file",
    "block",
    "dir",
    "network",
    "volume",
    "nvme",
    "vhostuser",
    "vhostvdpa",
];

/// Values of `disk/@device`.
const DEVICES: [&str; 4] = ["disk", "cdrom", "floppy", "lun"];

/// Reads the facts of a `<domain>` (or `<inactiveDomain>`) text.
pub fn domain_facts(text: &str) -> Result<DomainFacts> {
    let document = element::read(text, Kind::Domain, &Definitions::default())?;
    let root = document.root();
    match root.local_name() {
        "domain" | "inactiveDomain" => facts_of(root),
        found => Err(Error::DomainRoot {
            found: found.to_owned(),
        }),
    }
}

/// Reads the facts of a `<domain>` element, with libvirt's errors in libvirt's order.
pub(super) fn facts_of(domain: Element<'_, '_>) -> Result<DomainFacts> {
    let name = scalar(domain, "name").ok_or(Error::DomainWithoutName)?;
    let uuid = scalar(domain, "uuid")
        .map(|text| parse_uuid(&text))
        .transpose()?;
    if attribute(domain, "type").is_none_or(str::is_empty) {
        return Err(Error::DomainInternal {
            detail: "missing domain type attribute",
        });
    }
    let os = child(domain, "os");
    let os_type = os.and_then(|os| scalar(os, "type"));
    if os_type.is_none() && child(domain, "bootloader").is_none() {
        return Err(domain_xml("an os <type> must be specified"));
    }
    if os_type.as_deref() == Some("exe") && os.is_none_or(|os| child(os, "init").is_none()) {
        return Err(domain_xml("init binary must be specified"));
    }
    let disks: Vec<DomainDisk> = children(domain, "devices")
        .flat_map(|devices| children(devices, "disk"))
        .map(read_disk)
        .collect::<Result<_>>()?;
    refuse_duplicate_targets(&disks)?;
    Ok(DomainFacts {
        name,
        uuid,
        disks,
        pflash: os.is_some_and(is_pflash),
        nvram: os.and_then(firmware::nvram),
        tpm: firmware::tpm(domain),
    })
}

fn domain_xml(detail: impl Into<String>) -> Error {
    Error::DomainXml {
        detail: detail.into(),
    }
}

/// A UUID as libvirt reads it: 32 hexadecimal digits, blanks around them, and dashes or blanks
/// in front of any pair.
fn parse_uuid(text: &str) -> Result<[u8; 16]> {
    const MALFORMED: Error = Error::DomainInternal {
        detail: "malformed uuid element",
    };
    let is_blank = |c: char| c.is_ascii_whitespace() || c == '\u{b}';
    let mut rest = text.trim_start_matches(is_blank);
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        rest = rest.trim_start_matches(['-', ' ']);
        let (pair, after) = rest.split_at_checked(2).ok_or(MALFORMED)?;
        // `from_str_radix` takes a sign, which is no digit.
        if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(MALFORMED);
        }
        *byte = u8::from_str_radix(pair, 16).map_err(|_| MALFORMED)?;
        rest = after;
    }
    if rest.chars().all(is_blank) {
        Ok(uuid)
    } else {
        Err(MALFORMED)
    }
}

fn is_pflash(os: Element<'_, '_>) -> bool {
    attribute(os, "firmware") == Some("efi")
        || child(os, "loader").and_then(|loader| attribute(loader, "type")) == Some("pflash")
}

fn read_disk(disk: Element<'_, '_>) -> Result<DomainDisk> {
    let source_type = word(disk, "type", "file", &STORAGE_TYPES)?;
    let device = word(disk, "device", "disk", &DEVICES)?;
    let mode = attribute(disk, "snapshot").map(disk_mode).transpose()?;
    let target = child(disk, "target")
        .and_then(|target| attribute(target, "dev"))
        .filter(|dev| !dev.is_empty())
        .ok_or(Error::DiskWithoutTarget)?;
    let read_only = device == "cdrom" || child(disk, "readonly").is_some();
    let left_out = read_only || source_type == "vhostuser";
    Ok(DomainDisk {
        target: target.to_owned(),
        source: local_source(disk, source_type),
        protocol: child(disk, "source")
            .filter(|_| source_type == "network")
            .and_then(|source| non_empty(source, "protocol")),
        format: children(disk, "driver").find_map(|driver| non_empty(driver, "type")),
        device: device.to_owned(),
        source_type: source_type.to_owned(),
        read_only,
        shareable: child(disk, "shareable").is_some(),
        transient: child(disk, "transient").is_some(),
        snapshot: mode.or(left_out.then_some(DiskMode::No)),
    })
}

/// An attribute that must be one of some words.
fn word<'a>(
    disk: Element<'a, '_>,
    name: &'static str,
    default: &'a str,
    words: &[&str],
) -> Result<&'a str> {
    let value = attribute(disk, name).unwrap_or(default);
    if words.contains(&value) {
        Ok(value)
    } else {
        Err(bad_value(name, value))
    }
}

/// The mode that a disk's `snapshot` attribute names.
pub(super) fn disk_mode(value: &str) -> Result<DiskMode> {
    DiskMode::from_word(value).ok_or_else(|| bad_value("snapshot", value))
}

/// A disk's attribute with a value that it cannot have.
pub(super) fn bad_value(attribute: &'static str, value: &str) -> Error {
    Error::AttributeValue {
        attribute,
        element: "disk",
        value: value.to_owned(),
    }
}

fn local_source(disk: Element<'_, '_>, source_type: &str) -> Option<String> {
    let name = match source_type {
        "file" => "file",
        "block" => "dev",
        "dir" => "dir",
        _ => return None,
    };
    child(disk, "source").and_then(|source| non_empty(source, name))
}

fn non_empty(node: Element<'_, '_>, name: &str) -> Option<String> {
    attribute(node, name)
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
}

fn refuse_duplicate_targets(disks: &[DomainDisk]) -> Result<()> {
    let mut seen: HashMap<&str, &DomainDisk> = HashMap::with_capacity(disks.len());
    for disk in disks {
        if let Some(first) = seen.insert(&disk.target, disk) {
            let source = |disk: &DomainDisk| disk.source.clone().unwrap_or_default();
            return Err(domain_xml(format!(
                "target '{}' duplicated for disk sources '{}' and '{}'",
                disk.target,
                source(first),
                source(disk)
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Number, Origin};

    const UUID: [u8; 16] = [
        0xc7, 0xa5, 0xfd, 0xbd, 0xed, 0xaf, 0x94, 0x55, 0x92, 0x6a, 0xd6, 0x5c, 0x16, 0xdb, 0x18,
        0x09,
    ];

    fn with_devices(devices: &str) -> String {
        format!(
            "<domain type='qemu'><name>n</name><os><type>hvm</type></os>\
             <devices>{devices}</devices></domain>"
        )
    }

    fn with_uuid(uuid: &str) -> String {
        format!(
            "<domain type='qemu'><name>n</name><uuid>{uuid}</uuid><os><type>hvm</type></os></domain>"
        )
    }

    /// Code, error domain and text of a refusal.
    fn refusal(text: &str) -> (Number, Origin, String) {
        let error = domain_facts(text).expect_err("refused");
        (error.number(), error.origin(), error.to_string())
    }

    // All texts, codes and error domains: libvirt 9.0.0's answers to the same definitions.
    #[test]
    fn a_bad_domain_is_refused_as_libvirt_refuses_it() {
        let parser = Origin::DomainConfig;
        for (text, number, origin, message) in [
            (
                "<foo/>",
                Number::XmlError,
                Origin::Xml,
                "expecting root element of 'domain', not 'foo'",
            ),
            (
                "<domain><name>n</name><uuid>zz</uuid></domain>",
                Number::InternalError,
                parser,
                "malformed uuid element",
            ),
            (
                "<domain type=''><name>n</name></domain>",
                Number::InternalError,
                parser,
                "missing domain type attribute",
            ),
            (
                "<domain type='qemu'><name>n</name><os/><devices><disk type='x'/></devices></domain>",
                Number::XmlError,
                parser,
                "an os <type> must be specified",
            ),
            (
                "",
                Number::XmlDetail,
                parser,
                "(domain_definition):1: Document is empty\n(null)\n^",
            ),
        ] {
            assert_eq!(
                refusal(text),
                (number, origin, message.to_owned()),
                "{text}"
            );
        }
        assert!(matches!(
            domain_facts("<domain/>"),
            Err(Error::DomainWithoutName)
        ));
        let in_namespace = "<domain type='qemu' xmlns='urn:x'><name>n</name></domain>";
        assert!(matches!(
            domain_facts(in_namespace),
            Err(Error::DomainWithoutName)
        ));
    }

    #[test]
    fn a_bad_disk_is_refused_as_libvirt_refuses_it() {
        for (disk, origin, message) in [
            (
                "<disk snapshot='y' type='' device='k'/>",
                Origin::Xml,
                "Invalid value for attribute 'type' in element 'disk': ''.",
            ),
            (
                "<disk snapshot='y' device='k'/>",
                Origin::Xml,
                "Invalid value for attribute 'device' in element 'disk': 'k'.",
            ),
            (
                "<disk snapshot='default'/>",
                Origin::Xml,
                "Invalid value for attribute 'snapshot' in element 'disk': 'default'.",
            ),
            (
                "<disk><source file='/a'/><target dev='vda'/></disk>\
                 <disk><source file='/b'/><target dev='vda'/></disk>",
                Origin::DomainConfig,
                "target 'vda' duplicated for disk sources '/a' and '/b'",
            ),
        ] {
            let expected = (Number::XmlError, origin, message.to_owned());
            assert_eq!(refusal(&with_devices(disk)), expected, "{disk}");
        }
        let (number, origin, message) = refusal(&with_devices("<disk><target bus='x'/></disk>"));
        assert_eq!((number, origin), (Number::NoTarget, Origin::DomainConfig));
        assert_eq!(message, "missing target information for device");
    }

    // libvirt 9.0.0 accepts and refuses the same.
    #[test]
    fn a_uuid_is_read_as_libvirt_reads_it() {
        for good in [
            "c7a5fdbd-edaf-9455-926a-d65c16db1809",
            "C7A5FDBDEDAF9455926AD65C16DB1809",
            " c7a5fdbdedaf9455926ad65c16db1809 ",
            "\n c7a5fdbd-edaf-9455-926a-d65c16db1809\n",
            "c7-a5-fdbdedaf9455926ad65c16db1809",
            "--c7a5fdbdedaf9455926ad65c16db1809",
            "c7--a5fdbdedaf9455926ad65c16db18 09",
        ] {
            assert_eq!(
                domain_facts(&with_uuid(good)).expect(good).uuid,
                Some(UUID),
                "{good}"
            );
        }
        for bad in [
            "c7a5fdbdedaf9455926ad65c16db180",
            "c7a5fdbdedaf9455926ad65c16db1809x",
            "c7a5fdbdedaf9455926ad65c16db1809--",
            "c7a-5fdbdedaf9455926ad65c16db1809",
            "c7a5fdbdedaf9455926ad65c16db1809 x",
            "+7a5fdbdedaf9455926ad65c16db1809",
            "\u{a0}c7a5fdbdedaf9455926ad65c16db1809",
        ] {
            assert_eq!(
                refusal(&with_uuid(bad)).2,
                "malformed uuid element",
                "{bad}"
            );
        }
        assert_eq!(
            domain_facts(&with_uuid("")).expect("empty is absent").uuid,
            None
        );
    }

    #[test]
    fn disks_are_read_with_their_defaults() {
        let facts = domain_facts(&with_devices(
            "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
             <source file='/a&amp;b'/><target dev='vda'/><shareable/><transient/></disk>\
             <disk device='cdrom'><target dev='hda'/></disk>\
             <disk device='cdrom' snapshot='internal'><target dev='hdb'/></disk>\
             <disk device='floppy'><target dev='fda'/></disk>\
             <disk><source file='/c'/><target dev='vdc'/><readonly/></disk>\
             <disk type='block' snapshot='manual'><source dev='/dev/d'/><target dev='vdd'/></disk>\
             <disk type='network'><source protocol='nbd' name='e'/><target dev='vde'/></disk>\
             <disk type='vhostuser'><target dev='vdf'/></disk>",
        ))
        .expect("good");
        let seen: Vec<_> = facts
            .disks
            .iter()
            .map(|disk| {
                (
                    disk.target.as_str(),
                    disk.source.as_deref(),
                    disk.read_only,
                    disk.snapshot,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("vda", Some("/a&b"), false, None),
                ("hda", None, true, Some(DiskMode::No)),
                ("hdb", None, true, Some(DiskMode::Internal)),
                ("fda", None, false, None),
                ("vdc", Some("/c"), true, Some(DiskMode::No)),
                ("vdd", Some("/dev/d"), false, Some(DiskMode::Manual)),
                ("vde", None, false, None),
                ("vdf", None, false, Some(DiskMode::No)),
            ]
        );
        let first = &facts.disks[0];
        assert_eq!(
            (first.format.as_deref(), first.shareable, first.transient),
            (Some("qcow2"), true, true)
        );
        assert_eq!(
            (first.device.as_str(), first.source_type.as_str()),
            ("disk", "file")
        );
    }

    #[test]
    fn firmware_in_flash_is_seen() {
        for (os, pflash) in [
            ("<os><type>hvm</type></os>", false),
            (
                "<os><loader type='rom'>/x</loader><type>hvm</type></os>",
                false,
            ),
            (
                "<os><loader readonly='yes' type='pflash'>/x</loader><type>hvm</type></os>",
                true,
            ),
            ("<os firmware='efi'><type>hvm</type></os>", true),
            ("<os firmware='bios'><type>hvm</type></os>", false),
        ] {
            let text = format!("<inactiveDomain type='kvm'><name>n</name>{os}</inactiveDomain>");
            assert_eq!(domain_facts(&text).expect(os).pflash, pflash, "{os}");
        }
    }
}
