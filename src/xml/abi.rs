//! Whether two definitions of a domain look the same to its guest.
//!
//! A snapshot's definition may be replaced by one that differs on the host's side only: a guest
//! that is reverted to it must find the machine that it knew. Texts and order are libvirt 9.0.0's.
//! Definitions are kept as they were given, so what one of them leaves to a default is not compared
//! (docs/differences.md, `guest-abi`).

use roxmltree::Node;

use super::disk::factor;
use super::document::{self, Kind, attribute, child, children};
use super::element::scalar_of as scalar;
use crate::error::{Error, Result};

/// Why a guest would notice; `None` if it would not.
type Noticed = Option<String>;

/// Refuses a definition that a guest could tell from the one that it shall replace.
pub fn check_guest_abi(new: &str, old: &str) -> Result<()> {
    let new = document::read(new, Kind::Domain)?;
    let old = document::read(old, Kind::Domain)?;
    match compare(new.root_element(), old.root_element()) {
        Some(detail) => Err(Error::AbiChanged { detail }),
        None => Ok(()),
    }
}

fn compare(new: Node<'_, '_>, old: Node<'_, '_>) -> Noticed {
    let both = |read: fn(Node<'_, '_>) -> Option<String>| (read(new), read(old));
    differ(
        "domain virt type",
        both(|node| owned(attribute(node, "type"))),
    )
    .or_else(|| compare_generation(new, old))
    .or_else(|| compare_names(new, old))
    .or_else(|| differ("domain max memory", both(|node| kibibytes(node, "memory"))))
    .or_else(|| differ("domain current memory", both(current_memory)))
    .or_else(|| differ("domain vCPU max", both(vcpus)))
    .or_else(|| differ("domain OS type", both(os_text)))
    .or_else(|| differ("domain architecture", both(|node| os_type(node, "arch"))))
    .or_else(|| differ("domain machine type", both(|node| os_type(node, "machine"))))
    .or_else(|| differ("domain SMBIOS mode", both(smbios)))
    .or_else(|| compare_features(new, old))
    .or_else(|| differ("CPU model", both(cpu_model)))
    .or_else(|| compare_sysinfo(new, old))
    .or_else(|| compare_devices(new, old))
}

/// Both say something, and not the same.
fn differ(what: &str, (new, old): (Option<String>, Option<String>)) -> Noticed {
    let (new, old) = (new?, old?);
    (new != old).then(|| format!("Target {what} {new} does not match source {old}"))
}

fn owned(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A generation ID has no default: one that is absent is another one.
fn compare_generation(new: Node<'_, '_>, old: Node<'_, '_>) -> Noticed {
    if child(new, "genid").is_some() != child(old, "genid").is_some() {
        return Some("Target domain requested genid does not match source".to_owned());
    }
    differ("domain genid", (scalar(new, "genid"), scalar(old, "genid")))
}

fn compare_names(new: Node<'_, '_>, old: Node<'_, '_>) -> Noticed {
    let (new, old) = (scalar(new, "name")?, scalar(old, "name")?);
    (new != old).then(|| format!("Target domain name '{new}' does not match source '{old}'"))
}

/// An amount of memory in KiB, as libvirt counts it.
fn kibibytes(domain: Node<'_, '_>, name: &'static str) -> Option<String> {
    let memory = child(domain, name)?;
    let bytes_each = factor(attribute(memory, "unit").unwrap_or("KiB"))?;
    let amount: u64 = document::string(memory).trim().parse().ok()?;
    let bytes = amount.checked_mul(bytes_each)?;
    Some(bytes.div_ceil(1024).to_string())
}

fn current_memory(domain: Node<'_, '_>) -> Option<String> {
    kibibytes(domain, "currentMemory").or_else(|| kibibytes(domain, "memory"))
}

fn vcpus(domain: Node<'_, '_>) -> Option<String> {
    let count = scalar(domain, "vcpu").unwrap_or_else(|| "1".to_owned());
    Some(count.trim().to_owned())
}

fn os_text(domain: Node<'_, '_>) -> Option<String> {
    child(domain, "os").and_then(|os| scalar(os, "type"))
}

fn os_type(domain: Node<'_, '_>, name: &str) -> Option<String> {
    let kind = child(domain, "os").and_then(|os| child(os, "type"))?;
    owned(attribute(kind, name))
}

fn smbios(domain: Node<'_, '_>) -> Option<String> {
    let mode = child(domain, "os")
        .and_then(|os| child(os, "smbios"))
        .and_then(|smbios| attribute(smbios, "mode"));
    Some(mode.unwrap_or("none").to_owned())
}

/// Features of which the presence says all.
fn compare_features(new: Node<'_, '_>, old: Node<'_, '_>) -> Noticed {
    let state = |domain: Node<'_, '_>, name| {
        let feature = child(domain, "features").and_then(|features| child(features, name));
        feature
            .map_or("default", |feature| {
                attribute(feature, "state").unwrap_or("on")
            })
            .to_owned()
    };
    ["acpi", "pae", "hap", "viridian", "privnet", "hyperv"]
        .into_iter()
        .find_map(|name| {
            let (new, old) = (state(new, name), state(old, name));
            (new != old).then(|| {
                format!("State of feature '{name}' differs: source: '{old}', destination: '{new}'")
            })
        })
}

fn cpu_model(domain: Node<'_, '_>) -> Option<String> {
    child(domain, "cpu").and_then(|cpu| scalar(cpu, "model"))
}

fn compare_sysinfo(new: Node<'_, '_>, old: Node<'_, '_>) -> Noticed {
    let count = |domain| children(domain, "sysinfo").count();
    (count(new) != count(old))
        .then(|| "Target domain count of sysinfo does not match source".to_owned())
}

/// The elements of that name in `<devices>`.
fn devices<'a, 'i>(domain: Node<'a, 'i>, name: &'static str) -> Vec<Node<'a, 'i>> {
    children(domain, "devices")
        .flat_map(|devices| children(devices, name))
        .collect()
}

/// Kinds of device that libvirt adds none of by itself, in the order of its checks, with its word
/// for their number and what is compared of each.
type Comparison = fn(Node<'_, '_>, Node<'_, '_>) -> Noticed;
const DEVICES: [(&str, &str, Comparison); 7] = [
    ("disk", "disk", compare_disks),
    ("filesystem", "filesystem", compare_filesystems),
    ("interface", "net card", compare_interfaces),
    ("sound", "sound card", |_, _| None),
    ("hostdev", "host device", |_, _| None),
    ("rng", "RNG device", |_, _| None),
    ("tpm", "TPM device", |_, _| None),
];

fn compare_devices(new: Node<'_, '_>, old: Node<'_, '_>) -> Noticed {
    DEVICES
        .iter()
        .find_map(|(name, what, compare)| {
            let (new, old) = (devices(new, name), devices(old, name));
            if new.len() != old.len() {
                return Some(format!(
                    "Target domain {what} count {} does not match source {}",
                    new.len(),
                    old.len()
                ));
            }
            new.into_iter()
                .zip(old)
                .find_map(|(new, old)| compare(new, old))
        })
        .or_else(|| compare_single(new, old))
}

fn compare_disks(new: Node<'_, '_>, old: Node<'_, '_>) -> Noticed {
    let device = |disk| Some(attribute(disk, "device").unwrap_or("disk").to_owned());
    let serial = |disk| Some(scalar(disk, "serial").unwrap_or_else(|| "<null>".to_owned()));
    differ("disk device", (device(new), device(old)))
        .or_else(|| of_child("disk bus", "target", "bus", new, old))
        .or_else(|| of_child("disk", "target", "dev", new, old))
        .or_else(|| differ("disk serial", (serial(new), serial(old))))
        .or_else(|| compare_addresses(new, old))
}

fn compare_filesystems(new: Node<'_, '_>, old: Node<'_, '_>) -> Noticed {
    of_child("filesystem guest target", "target", "dir", new, old)
}

fn compare_interfaces(new: Node<'_, '_>, old: Node<'_, '_>) -> Noticed {
    let mac = |interface| {
        child(interface, "mac")
            .and_then(|mac| attribute(mac, "address"))
            .map(str::to_ascii_lowercase)
    };
    differ("network card mac", (mac(new), mac(old)))
        .or_else(|| of_child("network card model", "model", "type", new, old))
        .or_else(|| compare_addresses(new, old))
}

/// Devices of which a domain has one, by their model.
fn compare_single(new: Node<'_, '_>, old: Node<'_, '_>) -> Noticed {
    let model = |domain, name| {
        devices(domain, name)
            .first()
            .and_then(|device| owned(attribute(*device, "model")))
    };
    let video = |domain, name: &str| {
        devices(domain, "video")
            .first()
            .and_then(|video| child(*video, "model"))
            .and_then(|model| owned(attribute(model, name)))
    };
    differ("video card model", (video(new, "type"), video(old, "type")))
        .or_else(|| differ("video card vram", (video(new, "vram"), video(old, "vram"))))
        .or_else(|| {
            let models = (model(new, "watchdog"), model(old, "watchdog"));
            differ("watchdog model", models)
        })
        .or_else(|| {
            let models = (model(new, "memballoon"), model(old, "memballoon"));
            differ("balloon model", models)
        })
}

fn of_child(
    what: &str,
    name: &'static str,
    key: &str,
    new: Node<'_, '_>,
    old: Node<'_, '_>,
) -> Noticed {
    let read = |node| child(node, name).and_then(|inner| owned(attribute(inner, key)));
    differ(what, (read(new), read(old)))
}

/// Where the guest finds the device, if both say so.
fn compare_addresses(new: Node<'_, '_>, old: Node<'_, '_>) -> Noticed {
    let (new, old) = (pci_address(new)?, pci_address(old)?);
    // libvirt: there is no blank in its text either.
    (new != old).then(|| format!("Target device PCI address {new}does not match source {old}"))
}

fn pci_address(device: Node<'_, '_>) -> Option<String> {
    let address =
        child(device, "address").filter(|node| attribute(*node, "type") == Some("pci"))?;
    let part = |name| {
        let text = attribute(address, name).unwrap_or("0x0");
        u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
    };
    Some(format!(
        "{:04x}:{:02x}:{:02x}.{}",
        part("domain")?,
        part("bus")?,
        part("slot")?,
        part("function")?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "<domain type='qemu'><name>n</name><memory unit='KiB'>16384</memory>\
        <vcpu>1</vcpu><os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>\
        <smbios mode='host'/></os><features><acpi/></features><cpu><model>qemu64</model></cpu>\
        <on_crash>destroy</on_crash><devices>\
        <disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio'/>\
        <serial>123</serial><address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>\
        </disk><filesystem><target dir='b'/></filesystem>\
        <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>\
        <video><model type='cirrus' vram='16384'/></video><watchdog model='i6300esb'/>\
        <memballoon model='virtio'/></devices></domain>";

    /// What is said of the definition with one text in the place of another.
    fn told(old: &str, new: &str) -> String {
        assert!(DOMAIN.contains(old), "{old}");
        let changed = DOMAIN.replacen(old, new, 1);
        match check_guest_abi(&changed, DOMAIN) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    // libvirt 9.0.0's answers to the same change of a redefined snapshot's definition.
    #[test]
    fn what_a_guest_would_notice_is_told_as_libvirt_tells_it() {
        for (old, new, expected) in [
            (
                "<name>n<",
                "<name>other<",
                "Target domain name 'other' does not match source 'n'",
            ),
            (
                "<vcpu>1<",
                "<vcpu current='1'>2<",
                "Target domain vCPU max 2 does not match source 1",
            ),
            (
                ">16384</memory>",
                ">32768</memory>",
                "Target domain max memory 32768 does not match source 16384",
            ),
            (
                "unit='KiB'>16384</memory>",
                "unit='MB'>16</memory>",
                "Target domain max memory 15625 does not match source 16384",
            ),
            (
                "</memory>",
                "</memory><currentMemory>8192</currentMemory>",
                "Target domain current memory 8192 does not match source 16384",
            ),
            (
                "'x86_64'",
                "'i686'",
                "Target domain architecture i686 does not match source x86_64",
            ),
            (
                "fx-7.2",
                "fx-7.1",
                "Target domain machine type pc-i440fx-7.1 does not match source pc-i440fx-7.2",
            ),
            (
                ">hvm<",
                ">linux<",
                "Target domain OS type linux does not match source hvm",
            ),
            (
                "qemu64",
                "kvm64",
                "Target CPU model kvm64 does not match source qemu64",
            ),
            (
                "type='qemu'",
                "type='kvm'",
                "Target domain virt type kvm does not match source qemu",
            ),
            (
                "<smbios mode='host'/>",
                "",
                "Target domain SMBIOS mode none does not match source host",
            ),
            (
                "<acpi/>",
                "",
                "State of feature 'acpi' differs: source: 'on', destination: 'default'",
            ),
            (
                "'vda'",
                "'vdc'",
                "Target disk vdc does not match source vda",
            ),
            (
                "bus='virtio'",
                "bus='usb'",
                "Target disk bus usb does not match source virtio",
            ),
            (
                ">123<",
                ">124<",
                "Target disk serial 124 does not match source 123",
            ),
            (
                "<serial>123</serial>",
                "",
                "Target disk serial <null> does not match source 123",
            ),
            (
                "slot='0x03'",
                "slot='0x0a'",
                "Target device PCI address 0000:00:0a.0does not match source 0000:00:03.0",
            ),
            (
                "device='disk'",
                "device='floppy'",
                "Target disk device floppy does not match source disk",
            ),
            (
                "dir='b'",
                "dir='c'",
                "Target filesystem guest target c does not match source b",
            ),
            (
                "00:01'",
                "00:02'",
                "Target network card mac 52:54:00:00:00:02 does not match source 52:54:00:00:00:01",
            ),
            (
                "<model type='virtio'/>",
                "<model type='e1000'/>",
                "Target network card model e1000 does not match source virtio",
            ),
            (
                "<interface",
                "<interface/><interface",
                "Target domain net card count 2 does not match source 1",
            ),
            (
                "'cirrus'",
                "'vga'",
                "Target video card model vga does not match source cirrus",
            ),
            (
                "vram='16384'",
                "vram='8192'",
                "Target video card vram 8192 does not match source 16384",
            ),
            (
                "i6300esb",
                "ib700",
                "Target watchdog model ib700 does not match source i6300esb",
            ),
            (
                "memballoon model='virtio'",
                "memballoon model='virtio-transitional'",
                "Target balloon model virtio-transitional does not match source virtio",
            ),
            (
                "<vcpu>",
                "<genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid><vcpu>",
                "Target domain requested genid does not match source",
            ),
            (
                "<cpu>",
                "<sysinfo type='smbios'/><cpu>",
                "Target domain count of sysinfo does not match source",
            ),
        ] {
            assert_eq!(told(old, new), expected, "{old} -> {new}");
        }
    }

    #[test]
    fn what_only_the_host_sees_may_change() {
        for (old, new) in [
            ("<source file='/a'/>", "<source file='/b'/><shareable/>"),
            ("<name>", "<title>t</title><name>"),
            ("destroy", "restart"),
            ("unit='KiB'>16384</memory>", "unit='MiB'>16</memory>"),
            ("type='file'", "type='block'"),
        ] {
            assert_eq!(told(old, new), "", "{old} -> {new}");
        }
    }

    #[test]
    fn what_is_left_to_a_default_is_not_compared() {
        for (old, new) in [
            (" arch='x86_64' machine='pc-i440fx-7.2'", ""),
            ("<memballoon model='virtio'/>", ""),
            ("<cpu><model>qemu64</model></cpu>", ""),
            (" bus='virtio'", ""),
            ("<vcpu>1</vcpu>", ""),
        ] {
            assert_eq!(told(old, new), "", "{old} -> {new}");
        }
    }
}
