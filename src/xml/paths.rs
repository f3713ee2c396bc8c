//! Paths of a host's files in a snapshot, for another host where they are others.

use std::borrow::Cow;
use std::sync::Arc;

use roxmltree::Node;

use super::document::{self, Kind};
use super::escape::Escape;
use super::firmware::{firmware_record, set_firmware_record};
use super::verbatim::{Edit, edited};
use crate::error::Result;
use crate::snapshot::{Disk, ExternalImage, Memory, Snapshot, chosen_disks};

/// Prefixes of paths and what takes their place. The longest one that fits counts; it fits whole
/// names only, so `/a` is no prefix of `/ab`.
#[derive(Debug, Default)]
pub struct Mapping {
    prefixes: Vec<(String, String)>,
    /// The definition that was mapped last, and what it became: neighbours have the same one.
    last: Option<(Arc<str>, Arc<str>)>,
}

impl Mapping {
    /// A table of prefixes. They are absolute paths.
    pub fn new(mut prefixes: Vec<(String, String)>) -> Mapping {
        prefixes.sort_by_key(|(from, _)| std::cmp::Reverse(from.trim_end_matches('/').len()));
        Mapping {
            prefixes,
            last: None,
        }
    }

    /// The path on this host.
    pub fn path<'a>(&self, path: &'a str) -> Cow<'a, str> {
        for (from, to) in &self.prefixes {
            let rest = path.strip_prefix(from.trim_end_matches('/'));
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
                return Cow::Owned(format!("{}{rest}", to.trim_end_matches('/')));
            }
        }
        Cow::Borrowed(path)
    }

    /// The snapshot with the paths of this host.
    pub fn snapshot(&mut self, mut snapshot: Snapshot) -> Result<Snapshot> {
        if self.prefixes.is_empty() {
            return Ok(snapshot);
        }
        if let Some(Memory::External { file }) = &mut snapshot.memory {
            *file = self.path(file).into();
        }
        let disks = chosen_disks(&mut snapshot.disks, |disk| disk.image.is_some());
        for disk in disks.chain(&mut snapshot.revert_disks) {
            self.disk(disk)?;
        }
        let mut record = firmware_record(&snapshot.other);
        if let Some(copy) = &mut record.copy {
            *copy = self.path(copy).into_owned();
            set_firmware_record(&mut snapshot.other, &record);
        }
        for definition in [&mut snapshot.domain, &mut snapshot.inactive_domain] {
            if let Some(text) = definition.take() {
                *definition = Some(self.definition(text)?);
            }
        }
        Ok(snapshot)
    }

    /// A definition with the paths of this host.
    pub fn domain(&self, definition: &str) -> Result<String> {
        if self.prefixes.is_empty() {
            return Ok(definition.to_owned());
        }
        self.text(definition)
    }

    fn disk(&self, disk: &mut Disk) -> Result<()> {
        let Some(image) = &mut disk.image else {
            return Ok(());
        };
        let ExternalImage { path, source, .. } = &mut **image;
        if let Some(path) = path {
            *path = self.path(path).into();
        }
        if let Some(source) = source {
            *source = self.text(source)?.into();
        }
        Ok(())
    }

    fn definition(&mut self, text: Arc<str>) -> Result<Arc<str>> {
        if let Some((from, to)) = &self.last
            && **from == *text
        {
            return Ok(Arc::clone(to));
        }
        let mapped: Arc<str> = self.text(&text)?.into();
        self.last = Some((text, Arc::clone(&mapped)));
        Ok(mapped)
    }

    /// An element with the paths of this host: of sources of disks, variable stores and TPMs.
    fn text(&self, text: &str) -> Result<String> {
        let document = document::read(text, Kind::Domain)?;
        let mut edits: Vec<Edit<'_>> = Vec::new();
        for element in document.descendants().filter(Node::is_element) {
            match element.tag_name().name() {
                "source" if is_of_image(element) => {
                    for attribute in element.attributes() {
                        if matches!(attribute.name(), "file" | "dev" | "dir" | "path") {
                            self.edit(attribute.range_value(), attribute.value(), &mut edits);
                        }
                    }
                }
                "nvram" => {
                    let mut texts = element.children().filter(Node::is_text);
                    if let (Some(only), None) = (texts.next(), texts.next()) {
                        self.edit(only.range(), only.text().unwrap_or_default(), &mut edits);
                    }
                }
                _ => {}
            }
        }
        Ok(edited(text, edits))
    }

    fn edit(&self, range: std::ops::Range<usize>, path: &str, edits: &mut Vec<Edit<'_>>) {
        if let Cow::Owned(mapped) = self.path(path) {
            let mut escaped = String::new();
            Escape::Attribute.push(&mut escaped, &mapped);
            edits.push((range, escaped.into()));
        }
    }
}

/// Whether a `<source>` is that of a disk, at whatever depth of its backing chain, of a variable store
/// or of a TPM; one that stands alone is an external image's.
fn is_of_image(source: Node<'_, '_>) -> bool {
    let Some(parent) = source.parent().filter(Node::is_element) else {
        return true;
    };
    parent
        .ancestors()
        .any(|above| matches!(above.tag_name().name(), "disk" | "nvram" | "tpm"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml;

    fn mapping(prefixes: &[(&str, &str)]) -> Mapping {
        let own = |(from, to): &(&str, &str)| ((*from).to_owned(), (*to).to_owned());
        Mapping::new(prefixes.iter().map(own).collect())
    }

    #[test]
    fn the_longest_prefix_of_whole_names_counts() {
        let mapping = mapping(&[("/a", "/x"), ("/a/b/", "/y/"), ("/c/d.img", "/e.img")]);
        for (path, expected) in [
            ("/a", "/x"),
            ("/a/z", "/x/z"),
            ("/a/b", "/y"),
            ("/a/b/c", "/y/c"),
            ("/a/bc", "/x/bc"),
            ("/ab", "/ab"),
            ("/c/d.img", "/e.img"),
            ("/c/d.img2", "/c/d.img2"),
            ("", ""),
        ] {
            assert_eq!(mapping.path(path), expected, "{path}");
        }
    }

    #[test]
    fn every_place_of_a_path_is_mapped_and_nothing_else() {
        let document = "<domainsnapshot><name>/a</name><description>/a/x</description>\
            <state>running</state><creationTime>1</creationTime>\
            <memory snapshot='external' file='/a/m'/>\
            <disks><disk name='vda' snapshot='external' type='file'><source file='/a/1'/></disk>\
            <disk name='vdb' snapshot='external' type='file'><source file='/a/2' index='7'/></disk>\
            </disks><domain type='qemu'><name>d</name><title>/a/t</title>\
            <os><type>hvm</type><nvram>/a/vars</nvram></os>\
            <devices><disk type='file'><source file='/a/0 &amp; 1'/><target dev='vda'/>\
            <backingStore type='file'><source file='/a/base'/></backingStore></disk>\
            <tpm><backend type='emulator'><source type='dir' path='/a/tpm'/></backend></tpm>\
            <filesystem><source dir='/a/share'/></filesystem></devices></domain>\
            <firmware xmlns='https://virsnap.org/xmlns/firmware/1' copy='/a/vars.s'/>\
            </domainsnapshot>";
        let snapshot = xml::parse(document, xml::Mode::Redefine).unwrap().snapshot;
        let expected = document
            .replace("'/a/m'", "'/&apos;x/m'")
            .replace("'/a/1'", "'/&apos;x/1'")
            .replace("'/a/2'", "'/&apos;x/2'")
            .replace(">/a/vars<", ">/&apos;x/vars<")
            .replace("'/a/vars.s'", "'/&apos;x/vars.s'")
            .replace("'/a/tpm'", "'/&apos;x/tpm'")
            .replace("'/a/0 &amp; 1'", "'/&apos;x/0 &amp; 1'")
            .replace("'/a/base'", "'/&apos;x/base'");
        let expected = xml::parse(&expected, xml::Mode::Redefine).unwrap().snapshot;
        let mut mapping = mapping(&[("/a", "/'x")]);
        for _ in 0..2 {
            let mapped = mapping.snapshot(snapshot.clone()).unwrap();
            let form = xml::Form::Public { secure: true };
            assert_eq!(xml::format(&mapped, form), xml::format(&expected, form));
        }
    }

    #[test]
    fn without_prefixes_nothing_changes() {
        let text = "<domainsnapshot><name>s</name><state>shutoff</state>\
            <creationTime>1</creationTime></domainsnapshot>";
        let snapshot = xml::parse(text, xml::Mode::Redefine).unwrap().snapshot;
        let mapped = mapping(&[]).snapshot(snapshot.clone()).unwrap();
        assert_eq!(mapped, snapshot);
    }
}
