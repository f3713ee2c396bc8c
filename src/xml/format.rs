//! Writes a `<domainsnapshot>` document, in libvirt's order, indentation and escaping.

use std::borrow::Cow;
use std::fmt::Write;

use super::escape::Escape;
use super::verbatim::without_secrets;
use crate::snapshot::{Disk, ExternalImage, Memory, Snapshot};

/// Who the document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The caller of GetXMLDesc: exactly as libvirt writes it.
    Public {
        /// With passwords and other secrets.
        secure: bool,
    },
    /// The state directory: with secrets, a header comment, and `<active>`. White space that a
    /// parser would change is written as references, so that reading gives back what was written.
    Stored {
        /// The current snapshot.
        active: bool,
    },
}

/// Stands in front of a stored document, as long as libvirt's own.
const HEADER: &str = "<!--\n\
    This file belongs to virsnap, and changes made here may be lost.\n\
    Use virsh snapshot-edit or another client of the libvirt API instead.\n\
    -->\n\n";

/// Bytes of a document beside its texts: tags, and a disk or two.
const SKELETON_BYTES: usize = 768;

/// Writes a document.
pub fn format(snapshot: &Snapshot, form: Form) -> String {
    let domain_bytes = snapshot.domain.as_deref().map_or(0, str::len);
    let inactive_bytes = snapshot.inactive_domain.as_deref().map_or(0, str::len);
    let capacity = SKELETON_BYTES
        .saturating_add(domain_bytes)
        .saturating_add(inactive_bytes);
    let mut document = Writer {
        out: String::with_capacity(capacity),
        form,
    };
    document.snapshot(snapshot);
    document.out
}

/// A document on its way.
struct Writer {
    out: String,
    form: Form,
}

impl Writer {
    fn snapshot(&mut self, snapshot: &Snapshot) {
        if let Form::Stored { .. } = self.form {
            self.raw(HEADER);
        }
        self.raw("<domainsnapshot>\n");
        self.element("  ", "name", &snapshot.name);
        if let Some(description) = &snapshot.description {
            self.element("  ", "description", description);
        }
        self.element("  ", "state", snapshot.state.word());
        if let Some(parent) = &snapshot.parent {
            self.raw("  <parent>\n");
            self.element("    ", "name", parent);
            self.raw("  </parent>\n");
        }
        self.raw("  <creationTime>");
        self.number(snapshot.creation_time);
        self.raw("</creationTime>\n");
        if let Some(memory) = &snapshot.memory {
            self.memory(memory);
        }
        self.disks("disks", &snapshot.disks);
        self.disks("revertDisks", &snapshot.revert_disks);
        self.verbatim("  ", snapshot.domain.as_deref());
        self.verbatim("  ", snapshot.inactive_domain.as_deref());
        self.verbatim("  ", snapshot.cookie.as_deref());
        self.verbatim("  ", snapshot.other.iter().map(AsRef::as_ref));
        if let Form::Stored { active } = self.form {
            self.element("  ", "active", if active { "1" } else { "0" });
        }
        self.raw("</domainsnapshot>\n");
    }

    fn memory(&mut self, memory: &Memory) {
        let (mode, file) = match memory {
            Memory::None => ("no", None),
            Memory::Internal => ("internal", None),
            Memory::External { file } => ("external", Some(file)),
        };
        self.raw("  <memory");
        self.attribute("snapshot", mode);
        if let Some(file) = file {
            self.attribute("file", file);
        }
        self.raw("/>\n");
    }

    fn disks(&mut self, name: &str, disks: &[Disk]) {
        if disks.is_empty() {
            return;
        }
        self.raw("  <");
        self.raw(name);
        self.raw(">\n");
        for disk in disks {
            self.disk(disk);
        }
        self.raw("  </");
        self.raw(name);
        self.raw(">\n");
    }

    fn disk(&mut self, disk: &Disk) {
        self.raw("    <disk");
        self.attribute("name", &disk.name);
        if let Some(mode) = disk.mode {
            self.attribute("snapshot", mode.word());
        }
        if let Some(image) = &disk.image {
            let file_by_default = if image.source_type.is_empty() {
                "file"
            } else {
                &image.source_type
            };
            self.attribute("type", file_by_default);
        }
        let content_start = self.out.len();
        self.raw(">\n");
        let empty_end = self.out.len();
        if disk.delete_in_progress {
            self.raw("      <snapshotDeleteInProgress/>\n");
        }
        if let Some(image) = &disk.image {
            self.driver(image);
            self.source(image);
        }
        if self.out.len() == empty_end {
            self.out.truncate(content_start);
            self.raw("/>\n");
        } else {
            self.raw("    </disk>\n");
        }
    }

    fn driver(&mut self, image: &ExternalImage) {
        if image.format.is_none() && image.cache_bytes.is_none() {
            return;
        }
        self.raw("      <driver");
        if let Some(format) = &image.format {
            self.attribute("type", format);
        }
        let Some(bytes) = image.cache_bytes else {
            self.raw("/>\n");
            return;
        };
        self.raw(">\n        <metadata_cache>\n          <max_size unit='bytes'>");
        self.number(bytes);
        self.raw("</max_size>\n        </metadata_cache>\n      </driver>\n");
    }

    fn source(&mut self, image: &ExternalImage) {
        if image.source.is_some() {
            self.verbatim("      ", image.source.as_deref());
        } else if let Some(path) = &image.path {
            self.raw("      <source");
            let is_block = &*image.source_type == "block";
            self.attribute(if is_block { "dev" } else { "file" }, path);
            self.raw("/>\n");
        }
    }

    fn verbatim<'a>(&mut self, indent: &str, texts: impl IntoIterator<Item = &'a str>) {
        for text in texts {
            self.raw(indent);
            let text = match self.form {
                Form::Public { secure: false } => without_secrets(text),
                Form::Public { secure: true } | Form::Stored { .. } => Cow::Borrowed(text),
            };
            self.raw(&text);
            self.raw("\n");
        }
    }

    fn element(&mut self, indent: &str, name: &str, text: &str) {
        self.raw(indent);
        self.raw("<");
        self.raw(name);
        self.raw(">");
        let escape = match self.form {
            Form::Public { .. } => Escape::Markup,
            Form::Stored { .. } => Escape::Text,
        };
        escape.push(&mut self.out, text);
        self.raw("</");
        self.raw(name);
        self.raw(">\n");
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.raw(" ");
        self.raw(name);
        self.raw("='");
        let escape = match self.form {
            Form::Public { .. } => Escape::Markup,
            Form::Stored { .. } => Escape::Attribute,
        };
        escape.push(&mut self.out, value);
        self.raw("'");
    }

    fn number(&mut self, number: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.out, "{number}");
    }

    fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{DiskMode, State};

    fn disk(name: &str, mode: DiskMode, image: Option<ExternalImage>) -> Disk {
        let image = image.map(Box::new);
        Disk {
            name: name.into(),
            mode: Some(mode),
            image,
            delete_in_progress: false,
        }
    }

    fn file(path: &str) -> ExternalImage {
        ExternalImage {
            source_type: "file".into(),
            path: Some(path.into()),
            ..Default::default()
        }
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            name: "q".into(),
            description: None,
            state: State::Running,
            parent: None,
            creation_time: 5,
            memory: Some(Memory::Internal),
            disks: [].into(),
            revert_disks: vec![],
            domain: None,
            inactive_domain: None,
            cookie: None,
            other: vec![],
        }
    }

    // Layout: what libvirt 9.0.0 answers to the redefine of such snapshots.
    #[test]
    fn the_public_document_has_libvirts_layout() {
        let cached = ExternalImage {
            format: Some("qcow2".into()),
            cache_bytes: Some(5120),
            ..file("/x/y.img")
        };
        let remote = ExternalImage {
            source_type: "network".into(),
            source: Some("<source protocol='nbd' name='x'>\n        <host name='h' port='1'/>\n      </source>".into()),
            ..Default::default()
        };
        let device = ExternalImage {
            source_type: "block".into(),
            ..file("/dev/x")
        };
        let format_only = ExternalImage {
            format: Some("qcow2".into()),
            path: None,
            ..file("")
        };
        let mut deleting = disk("vdd", DiskMode::External, Some(device));
        deleting.delete_in_progress = true;
        let snapshot = Snapshot {
            description: Some("a\nb\rc\t\"'é😀<>&".into()),
            parent: Some("p".into()),
            memory: Some(Memory::External { file: "/m".into() }),
            disks: [
                disk("vda", DiskMode::External, Some(cached)),
                disk("vdb", DiskMode::External, Some(file("/q"))),
                disk("vdc", DiskMode::External, Some(remote)),
                deleting,
                disk("vde", DiskMode::Internal, Some(format_only)),
                disk("hda", DiskMode::No, None),
            ]
            .into(),
            domain: Some("<domain type='qemu'>\n    <name>n</name>\n  </domain>".into()),
            cookie: Some("<cookie>\n    <slirpHelper/>\n  </cookie>".into()),
            ..snapshot()
        };
        let expected = "<domainsnapshot>
  <name>q</name>
  <description>a\nb\rc\t&quot;&apos;é😀&lt;&gt;&amp;</description>
  <state>running</state>
  <parent>
    <name>p</name>
  </parent>
  <creationTime>5</creationTime>
  <memory snapshot='external' file='/m'/>
  <disks>
    <disk name='vda' snapshot='external' type='file'>
      <driver type='qcow2'>
        <metadata_cache>
          <max_size unit='bytes'>5120</max_size>
        </metadata_cache>
      </driver>
      <source file='/x/y.img'/>
    </disk>
    <disk name='vdb' snapshot='external' type='file'>
      <source file='/q'/>
    </disk>
    <disk name='vdc' snapshot='external' type='network'>
      <source protocol='nbd' name='x'>
        <host name='h' port='1'/>
      </source>
    </disk>
    <disk name='vdd' snapshot='external' type='block'>
      <snapshotDeleteInProgress/>
      <source dev='/dev/x'/>
    </disk>
    <disk name='vde' snapshot='internal' type='file'>
      <driver type='qcow2'/>
    </disk>
    <disk name='hda' snapshot='no'/>
  </disks>
  <domain type='qemu'>
    <name>n</name>
  </domain>
  <cookie>
    <slirpHelper/>
  </cookie>
</domainsnapshot>
";
        assert_eq!(format(&snapshot, Form::Public { secure: true }), expected);
        assert_eq!(format(&snapshot, Form::Public { secure: false }), expected);
    }

    #[test]
    fn the_stored_document_is_headed_and_ends_with_the_marker() {
        let snapshot = Snapshot {
            creation_time: 0,
            other: vec!["<x/>".into()],
            ..snapshot()
        };
        let stored = format(&snapshot, Form::Stored { active: true });
        let (header, document) = stored.split_once("\n\n").expect("an empty line");
        assert_eq!(header.lines().count(), 4);
        assert!(header.starts_with("<!--") && header.ends_with("-->"));
        assert_eq!(
            document,
            "<domainsnapshot>\n  <name>q</name>\n  <state>running</state>\n  \
             <creationTime>0</creationTime>\n  <memory snapshot='internal'/>\n  <x/>\n  \
             <active>1</active>\n</domainsnapshot>\n"
        );
    }

    #[test]
    fn no_secret_leaves_unasked() {
        let secret = "<graphics type='vnc' passwd='sesame'/>";
        let remote = ExternalImage {
            source_type: "network".into(),
            source: Some(
                "<source name='x'><cookies><cookie name='a'>sesame</cookie></cookies></source>"
                    .into(),
            ),
            ..Default::default()
        };
        let snapshot = Snapshot {
            disks: [disk("vda", DiskMode::External, Some(remote))].into(),
            domain: Some(format!("<domain type='x'>{secret}</domain>").into()),
            inactive_domain: Some(
                format!("<inactiveDomain type='x'>{secret}</inactiveDomain>").into(),
            ),
            other: vec![secret.into()],
            ..snapshot()
        };
        assert!(!format(&snapshot, Form::Public { secure: false }).contains("sesame"));
        assert_eq!(
            format(&snapshot, Form::Public { secure: true })
                .matches("sesame")
                .count(),
            4
        );
        assert_eq!(
            format(&snapshot, Form::Stored { active: false })
                .matches("sesame")
                .count(),
            4
        );
    }
}
