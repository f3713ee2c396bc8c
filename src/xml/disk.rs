//! Reads one `<disk>` of a snapshot.

use super::domain::{bad_value, disk_mode};
use super::element::{Element, attribute, child, children, string};
use crate::error::{Error, Result};
use crate::snapshot::{Disk, DiskMode, ExternalImage};

/// Whether a disk belongs to a snapshot that exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The user asks for it.
    Request,
    /// It is metadata.
    Metadata,
}

/// Values of `driver/@type`. Source: libvirt 9.0.0.
const FORMATS: [&str; 16] = [
    "raw", "dir", "bochs", "cloop", "dmg", "iso", "vpc", "vdi", "fat", "vhd", "ploop", "cow",
    "qcow", "qcow2", "qed", "vmdk",
];

/// Reads a disk, with libvirt's errors in libvirt's order.
pub(super) fn read_disk(node: Element<'_, '_>, origin: Origin) -> Result<Disk> {
    let name = attribute(node, "name").ok_or(Error::DiskNameMissing)?;
    let mode = attribute(node, "snapshot").map(disk_mode).transpose()?;
    let source_type = read_source_type(node)?;
    let delete_in_progress =
        origin == Origin::Metadata && child(node, "snapshotDeleteInProgress").is_some();
    let image = read_image(node, source_type)?;
    let implies_external = image.as_ref().is_some_and(|image| {
        image.format.is_some() || image.path.is_some() || image.source.is_some()
    });
    Ok(Disk {
        name: name.into(),
        mode: mode.or(implies_external.then_some(DiskMode::External)),
        image: image.map(Box::new),
        delete_in_progress,
    })
}

fn read_source_type<'a>(node: Element<'a, '_>) -> Result<&'a str> {
    match attribute(node, "type").unwrap_or("file") {
        known @ ("file" | "block" | "network" | "nvme" | "vhostuser") => Ok(known),
        kind @ ("volume" | "dir") => Err(Error::DiskType {
            kind: kind.to_owned(),
        }),
        value => Err(bad_value("type", value)),
    }
}

/// The image; `None` if the disk says nothing about one.
fn read_image(node: Element<'_, '_>, source_type: &str) -> Result<Option<ExternalImage>> {
    let source = child(node, "source");
    let path = source.and_then(|source| image_path(source, source_type));
    let format = children(node, "driver").find_map(|driver| attribute(driver, "type"));
    let format = format.filter(|format| !format.is_empty());
    if let Some(driver) = format.filter(|format| !FORMATS.contains(format)) {
        return Err(Error::DiskDriver {
            driver: driver.to_owned(),
        });
    }
    let cache_bytes = read_cache_bytes(node)?;
    let local_name = local_attribute(source_type);
    if let Some(path) = path.filter(|path| local_name.is_some() && !path.starts_with('/')) {
        return Err(Error::DiskPathRelative {
            path: path.to_owned(),
        });
    }
    if source_type == "file" && path.is_none() && format.is_none() && cache_bytes.is_none() {
        return Ok(None);
    }
    let verbatim = source.filter(|source| path.is_some() && says_more(*source, local_name));
    Ok(Some(ExternalImage {
        source_type: source_type.into(),
        format: format.map(Into::into),
        cache_bytes,
        path: path.filter(|_| local_name.is_some()).map(Into::into),
        source: verbatim.map(|source| source.keep().into()),
    }))
}

/// The attribute of `<source>` that is a local path.
pub(super) fn local_attribute(source_type: &str) -> Option<&'static str> {
    match source_type {
        "file" => Some("file"),
        "block" => Some("dev"),
        _ => None,
    }
}

/// What libvirt takes for the path of an image; for a remote one it is the name over there.
pub(super) fn image_path<'a>(source: Element<'a, '_>, source_type: &str) -> Option<&'a str> {
    match (local_attribute(source_type), source_type) {
        (Some(name), _) => attribute(source, name),
        (None, "network") => attribute(source, "name"),
        (None, "vhostuser") => attribute(source, "path"),
        _ => None,
    }
}

/// Whether a `<source>` holds more than a local path.
fn says_more(source: Element<'_, '_>, local: Option<&str>) -> bool {
    let only_path = source
        .attribute_names()
        .all(|name| name.is_some() && name == local);
    !only_path || source.elements().next().is_some()
}

/// `driver/metadata_cache/max_size` in bytes; 0 is none.
fn read_cache_bytes(node: Element<'_, '_>) -> Result<Option<u64>> {
    let size = children(node, "driver")
        .flat_map(|driver| children(driver, "metadata_cache"))
        .find_map(|cache| child(cache, "max_size"));
    let Some(size) = size else {
        return Ok(None);
    };
    let value = string(size);
    let bytes = number(&value)
        .zip(factor(attribute(size, "unit").unwrap_or_default()))
        .and_then(|(number, factor)| number.checked_mul(factor));
    match bytes {
        Some(0) => Ok(None),
        Some(bytes) => Ok(Some(bytes)),
        None => Err(Error::DiskCacheSize { value }),
    }
}

fn number(text: &str) -> Option<u64> {
    // `parse` takes a sign, which libvirt does not take here.
    text.bytes()
        .all(|digit| digit.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// The bytes of a unit: KiB or K is 1024, KB is 1000, and so on; no unit is a byte.
fn factor(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    if matches!(unit.as_str(), "" | "b" | "byte" | "bytes") {
        return Some(1);
    }
    let prefix = unit.chars().next()?;
    let base: u64 = match unit.strip_prefix(prefix)? {
        "" | "ib" => 1024,
        "b" => 1000,
        _ => return None,
    };
    let power = u32::try_from("kmgtpe".find(prefix)?).ok()?;
    base.checked_pow(power.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::super::definitions::Definitions;
    use super::super::document::Kind;
    use super::super::element::read;
    use super::*;

    fn disk(text: &str) -> Result<Disk> {
        let document = read(text, Kind::Snapshot, &Definitions::default()).expect("well-formed");
        read_disk(document.root(), Origin::Metadata)
    }

    // Texts: libvirt 9.0.0's answers to the same disks.
    #[test]
    fn a_bad_disk_is_refused_as_libvirt_refuses_it() {
        for (text, message) in [
            ("<disk/>", "missing name from disk snapshot element"),
            (
                "<disk name='a' snapshot='default' type='y'/>",
                "Invalid value for attribute 'snapshot' in element 'disk': 'default'.",
            ),
            (
                "<disk name='a' snapshot=''/>",
                "Invalid value for attribute 'snapshot' in element 'disk': ''.",
            ),
            (
                "<disk name='a' type='none'/>",
                "Invalid value for attribute 'type' in element 'disk': 'none'.",
            ),
            (
                "<disk name='a' type='volume'/>",
                "unsupported disk snapshot type 'volume'",
            ),
            (
                "<disk name='a' type='dir'/>",
                "unsupported disk snapshot type 'dir'",
            ),
            (
                "<disk name='a'><driver type='auto'/></disk>",
                "unknown disk snapshot driver 'auto'",
            ),
            (
                "<disk name='a'><driver><metadata_cache><max_size> 5 </max_size></metadata_cache></driver></disk>",
                "Invalid value ' 5 ' for element or attribute './driver/metadata_cache/max_size'",
            ),
            (
                "<disk name='a'><source file='rel'/></disk>",
                "disk snapshot image path 'rel' must be absolute",
            ),
        ] {
            assert_eq!(disk(text).expect_err(text).to_string(), message);
        }
    }

    #[test]
    fn path_or_format_make_a_disk_external() {
        for (text, mode) in [
            ("<disk name='a'/>", None),
            ("<disk name='a' type='block'/>", None),
            ("<disk name='a'><driver type=''/></disk>", None),
            (
                "<disk name='a'><driver type='raw'/></disk>",
                Some(DiskMode::External),
            ),
            (
                "<disk name='a'><source file='/x'/></disk>",
                Some(DiskMode::External),
            ),
            (
                "<disk name='a' type='block'><source file='/x'/></disk>",
                None,
            ),
            (
                "<disk name='a' snapshot='no'><source file='/x'/></disk>",
                Some(DiskMode::No),
            ),
            (
                "<anything name='a' type='network'><source protocol='nbd' name='x'/></anything>",
                Some(DiskMode::External),
            ),
        ] {
            assert_eq!(disk(text).expect(text).mode, mode, "{text}");
        }
    }

    #[test]
    fn a_source_that_says_more_is_kept() {
        let source = |text: &str| disk(text).expect(text).image.and_then(|image| image.source);
        assert_eq!(source("<disk name='a'><source file='/x'/></disk>"), None);
        for kept in [
            "<source file='/x' index='1'/>",
            "<source file='/x'><seclabel model='dac'/></source>",
        ] {
            assert_eq!(
                source(&format!("<disk name='a'>{kept}</disk>")).as_deref(),
                Some(kept)
            );
        }
        let remote = "<source protocol='nbd' name='x'><host name='h'/></source>";
        assert_eq!(
            source(&format!("<disk name='a' type='network'>{remote}</disk>")).as_deref(),
            Some(remote)
        );
    }

    // virParseScaledValue of libvirt 9.0.0.
    #[test]
    fn a_cache_size_is_scaled_as_libvirt_scales_it() {
        for (unit, value, bytes) in [
            ("", "50", Some(50)),
            ("KiB", "5", Some(5120)),
            ("MB", "5", Some(5_000_000)),
            ("eIb", "1", Some(1_152_921_504_606_846_976)),
            ("bytes", "0", None),
        ] {
            let text = format!(
                "<disk name='a' snapshot='external'><driver><metadata_cache>\
                 <max_size unit='{unit}'>{value}</max_size></metadata_cache></driver></disk>"
            );
            let image = disk(&text).expect(unit).image;
            assert_eq!(image.and_then(|image| image.cache_bytes), bytes, "{unit}");
        }
        assert_eq!(
            (factor("x"), factor("kx"), number("-5"), number("x")),
            (None, None, None, None)
        );
        assert_eq!(number(""), None);
    }
}
