//! Where a definition keeps what its firmware and an emulated TPM remember, and where a snapshot keeps
//! it: an element of our own among those that a snapshot keeps verbatim.

use super::document::{self, Kind};
use super::element::{Element, attribute, child, children, string};
use super::escape::Escape;

/// The namespace of the element.
const NAMESPACE: &str = "https://virsnap.org/xmlns/firmware/1";

/// The file of a firmware's variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nvram {
    /// Absolute path.
    pub path: String,
    /// `@format`; libvirt before 9.2 has none, and means `raw`.
    pub format: Option<String>,
    /// What it is made of where it is not there: `@template`.
    pub template: Option<String>,
}

/// Where an emulated TPM keeps its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TpmState {
    /// `<source type='dir' path='…'/>` (libvirt ≥ 10.10).
    Directory(String),
    /// `<source type='file' path='…'/>`.
    File(String),
}

/// The variables of a definition's `<os>`, if they are in a file of this machine.
pub(super) fn nvram(os: Element<'_, '_>) -> Option<Nvram> {
    let nvram = child(os, "nvram")?;
    let path = match attribute(nvram, "type") {
        None => string(nvram),
        Some("file") => attribute(child(nvram, "source")?, "file")?.to_owned(),
        Some(_) => return None,
    };
    Some(Nvram {
        path: absolute(path.trim())?,
        format: given(nvram, "format"),
        template: given(nvram, "template"),
    })
}

/// The state of the first emulated TPM, if the definition says where it is. libvirt 9.0 cannot say, and
/// chooses a place of its own.
pub(super) fn tpm(domain: Element<'_, '_>) -> Option<TpmState> {
    let mut backends = children(domain, "devices")
        .flat_map(|devices| children(devices, "tpm"))
        .filter_map(|tpm| child(tpm, "backend"));
    let emulator = backends.find(|backend| attribute(*backend, "type") == Some("emulator"))?;
    let source = child(emulator, "source")?;
    let path = absolute(attribute(source, "path")?)?;
    match attribute(source, "type") {
        Some("dir") => Some(TpmState::Directory(path)),
        Some("file") => Some(TpmState::File(path)),
        _ => None,
    }
}

fn given(element: Element<'_, '_>, name: &str) -> Option<String> {
    let value = attribute(element, name).filter(|value| !value.is_empty());
    value.map(str::to_owned)
}

fn absolute(path: &str) -> Option<String> {
    path.starts_with('/').then(|| path.to_owned())
}

/// What a snapshot has of firmware and TPM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirmwareRecord {
    /// The file that holds a copy.
    pub copy: Option<String>,
    /// The variables are a snapshot inside of their own qcow2 image.
    pub has_nvram_inside: bool,
}

/// The record among a snapshot's unknown elements; of nothing if there is none.
pub fn firmware_record(elements: &[Box<str>]) -> FirmwareRecord {
    let mut record = FirmwareRecord::default();
    for element in elements.iter().filter(|element| is_record(element)) {
        if let Ok(document) = document::read(element, Kind::Snapshot) {
            let root = document.root_element();
            record.copy = document::attribute(root, "copy").and_then(absolute);
            record.has_nvram_inside = document::attribute(root, "nvram") == Some("internal");
        }
    }
    record
}

/// Puts that record, and no other, among a snapshot's unknown elements.
pub fn set_firmware_record(elements: &mut Vec<Box<str>>, record: &FirmwareRecord) {
    elements.retain(|element| !is_record(element));
    if *record == FirmwareRecord::default() {
        return;
    }
    let mut text = format!("<firmware xmlns='{NAMESPACE}'");
    if record.has_nvram_inside {
        text.push_str(" nvram='internal'");
    }
    if let Some(copy) = &record.copy {
        text.push_str(" copy='");
        Escape::Attribute.push(&mut text, copy);
        text.push('\'');
    }
    text.push_str("/>");
    elements.push(text.into());
}

fn is_record(element: &str) -> bool {
    document::is_own(element, NAMESPACE, "firmware")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::domain_facts;

    #[test]
    fn a_record_comes_back_and_other_elements_stay() {
        let record = FirmwareRecord {
            copy: Some("/a'&\n".to_owned()),
            has_nvram_inside: true,
        };
        let mut elements: Vec<Box<str>> = vec!["<firmware/>".into()];
        for record in [&record, &FirmwareRecord::default(), &record] {
            set_firmware_record(&mut elements, record);
            assert_eq!(firmware_record(&elements), *record);
        }
        assert_eq!(elements.len(), 2);
        let relative = format!("<firmware xmlns='{NAMESPACE}' copy='a'/>");
        assert_eq!(
            firmware_record(&[relative.into()]),
            FirmwareRecord::default()
        );
    }

    // The forms are those of libvirt's documentation of <nvram>.
    #[test]
    fn variables_are_found_where_they_are_a_file() {
        let found = |path: &str, format: Option<&str>, template: Option<&str>| {
            Some(Nvram {
                path: path.to_owned(),
                format: format.map(str::to_owned),
                template: template.map(str::to_owned),
            })
        };
        for (nvram, expected) in [
            ("<nvram>/a &amp; b</nvram>", found("/a & b", None, None)),
            (
                "<nvram template='/t'>/v</nvram>",
                found("/v", None, Some("/t")),
            ),
            (
                "<nvram type='file' format='qcow2' template='/t'><source file='/v'/></nvram>",
                found("/v", Some("qcow2"), Some("/t")),
            ),
            ("<nvram type='block'><source dev='/dev/v'/></nvram>", None),
            ("<nvram type='file'><source/></nvram>", None),
            ("<nvram template='/t'/>", None),
            ("<nvram>v</nvram>", None),
            ("", None),
        ] {
            let text = format!(
                "<domain type='kvm'><name>n</name><os><type>hvm</type>{nvram}</os></domain>"
            );
            assert_eq!(domain_facts(&text).unwrap().nvram, expected, "{nvram}");
        }
    }

    // As above, of <tpm>.
    #[test]
    fn the_state_of_an_emulated_tpm_is_found_where_it_is_said() {
        for (tpm, expected) in [
            (
                "<backend type='emulator' version='2.0'><source type='dir' path='/t'/></backend>",
                Some(TpmState::Directory("/t".to_owned())),
            ),
            (
                "<backend type='emulator'><source type='file' path='/t.state'/></backend>",
                Some(TpmState::File("/t.state".to_owned())),
            ),
            ("<backend type='emulator' version='2.0'/>", None),
            (
                "<backend type='emulator'><source type='dir' path='t'/></backend>",
                None,
            ),
            (
                "<backend type='passthrough'><device path='/dev/tpm0'/></backend>",
                None,
            ),
        ] {
            let text = format!(
                "<domain type='kvm'><name>n</name><os><type>hvm</type></os><devices>\
                 <tpm model='tpm-crb'>{tpm}</tpm></devices></domain>"
            );
            assert_eq!(domain_facts(&text).unwrap().tpm, expected, "{tpm}");
        }
    }
}
