//! How much memory and how many CPUs a `<domain>` document gives its domain.

use roxmltree::{Document, Node};

use crate::error::Result;
use crate::xml;

/// What virDomainGetInfo() tells about an inactive domain, besides its state.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// `<memory>` in KiB.
    pub memory_kib: u64,
    /// `<currentMemory>` in KiB; `<memory>` if there is none.
    pub current_memory_kib: u64,
    /// `<vcpu>`, of these `current` if that is given; 1 if there is none.
    pub vcpus: u16,
}

/// Reads a document. What is missing or cannot be read counts as libvirt's default: the
/// document has been accepted before, and this is only information.
pub fn capacity(definition: &str) -> Result<Capacity> {
    let _room = xml::room_for(definition)?;
    let document = Document::parse(definition).ok();
    let child = |name| {
        let root = document.as_ref()?.root_element();
        root.children().find(|node| node.has_tag_name(name))
    };
    let memory_kib = child("memory").and_then(kib).unwrap_or(0);
    Ok(Capacity {
        memory_kib,
        current_memory_kib: child("currentMemory").and_then(kib).unwrap_or(memory_kib),
        vcpus: child("vcpu").and_then(vcpus).unwrap_or(1),
    })
}

/// A size with its unit, rounded up to whole KiB. Source: libvirt's formatdomain page, memory units.
fn kib(node: Node) -> Option<u64> {
    let number: u64 = node.text()?.trim().parse().ok()?;
    let factor: u64 = match node.attribute("unit").unwrap_or("KiB") {
        "b" | "bytes" => 1,
        "KB" => 1000,
        "k" | "K" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "T" | "TiB" => 1 << 40,
        _ => return None,
    };
    Some(number.checked_mul(factor)?.div_ceil(1 << 10))
}

fn vcpus(node: Node) -> Option<u16> {
    node.attribute("current")
        .or(node.text())?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The first two were given to libvirt 9.0's test driver and asked back with virDomainGetInfo().
    #[test]
    fn units_and_defaults_are_libvirts() {
        let megabytes = "<domain><memory unit='MB'>1000</memory></domain>";
        assert_eq!(
            capacity(megabytes).unwrap(),
            Capacity {
                memory_kib: 976_563,
                current_memory_kib: 976_563,
                vcpus: 1
            }
        );
        let balloon = "<domain><memory unit='GiB'>2</memory><currentMemory>1025</currentMemory>\
                       <vcpu current='2'>4</vcpu></domain>";
        assert_eq!(
            capacity(balloon).unwrap(),
            Capacity {
                memory_kib: 2_097_152,
                current_memory_kib: 1025,
                vcpus: 2
            }
        );
        assert_eq!(
            capacity("<domain/>").unwrap(),
            Capacity {
                vcpus: 1,
                ..Capacity::default()
            }
        );
        assert_eq!(
            capacity("not XML").unwrap(),
            Capacity {
                vcpus: 1,
                ..Capacity::default()
            }
        );
    }
}
