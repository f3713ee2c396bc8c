//! A domain with real images in a directory of its own, and what its guest would read there.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use tempfile::TempDir;
use virsnap::data::Part;
use virsnap::error::{Error, Result};
use virsnap::ops::{Access, Connection, CreateFlags, DeleteFlags, Domain, ListFlags, RevertFlags};

pub const REDEFINE: u32 = 1;
pub const NO_METADATA: u32 = 4;
pub const DISK_ONLY: u32 = 16;
pub const REUSE_EXT: u32 = 32;
pub const CHILDREN: u32 = 1;
pub const METADATA_ONLY: u32 = 2;
pub const CHILDREN_ONLY: u32 = 4;

/// Where in an image the guest keeps what the tests look at.
const SLOTS: [&str; 3] = ["0", "1M", "5M"];

/// Runs a QEMU program; a missing one fails the test.
pub fn qemu(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .expect("these tests need qemu-img and qemu-io")
}

pub fn qemu_img(arguments: &[&str]) {
    let output = qemu("qemu-img", arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// A domain, its state directory and its images.
pub struct Guest {
    pub directory: Arc<TempDir>,
    pub connection: Arc<Connection>,
    pub domain: Arc<Domain>,
}

/// A disk of a new guest: target and format (`qcow2` or `raw`).
pub type DiskKind<'a> = (&'a str, &'a str);

impl Guest {
    /// A guest with empty disks of 8 MiB in `TARGET.img`.
    pub fn new(disks: &[DiskKind<'_>]) -> Guest {
        let directory = TempDir::new().unwrap();
        let devices = Guest::disks(&directory, disks);
        Guest::with_devices(directory, &devices)
    }

    /// The same with UEFI firmware, whose variables are in `vars.fd` and can be made of `template.fd`,
    /// and an emulated TPM in `tpm`. `nvram` has further attributes.
    pub fn with_firmware(disks: &[DiskKind<'_>], nvram: &str) -> Guest {
        let directory = TempDir::new().unwrap();
        let mut devices = Guest::disks(&directory, disks);
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("tpm")).unwrap();
        devices += &format!(
            "<tpm model='tpm-crb'><backend type='emulator' version='2.0'>\
             <source type='dir' path='{}'/></backend></tpm>",
            path("tpm").display()
        );
        let os = format!(
            "<loader readonly='yes' type='pflash'>/firmware.fd</loader><nvram {nvram}>{}</nvram>",
            path("vars.fd").display()
        );
        let guest = Guest::defined(directory, &os, &devices);
        guest.remember(0);
        guest
    }

    /// Writes variables and a TPM's state, of that byte.
    pub fn remember(&self, byte: u8) {
        fs::write(self.path("vars.fd"), vec![byte; 4000]).unwrap();
        fs::write(self.path("tpm/tpm2-00.permall"), vec![byte; 700]).unwrap();
    }

    /// The byte of variables and TPM, checked to be one.
    pub fn remembered(&self) -> u8 {
        let read = |name: &str| fs::read(self.path(name)).unwrap();
        let (vars, tpm) = (read("vars.fd"), read("tpm/tpm2-00.permall"));
        let byte = vars[0];
        assert!(vars.iter().chain(&tpm).all(|each| *each == byte));
        assert_eq!((vars.len(), tpm.len()), (4000, 700));
        byte
    }

    fn disks(directory: &TempDir, disks: &[DiskKind<'_>]) -> String {
        let mut devices = String::new();
        for (target, format) in disks {
            let path = directory.path().join(format!("{target}.img"));
            qemu_img(&["create", "-q", "-f", format, path.to_str().unwrap(), "8M"]);
            devices += &format!(
                "<disk type='file'><driver name='qemu' type='{format}' cache='none'/>\
                 <source file='{}'/><target dev='{target}'/></disk>",
                path.display()
            );
        }
        devices
    }

    /// A guest with that content of `<devices>`.
    pub fn with_devices(directory: TempDir, devices: &str) -> Guest {
        Guest::defined(directory, "", devices)
    }

    fn defined(directory: TempDir, os: &str, devices: &str) -> Guest {
        let connection = open(directory.path(), "");
        let definition = format!(
            "<domain type='qemu'>\n  <name>guest</name>\n  <os>\n    <type>hvm</type>{os}\n  </os>\n  \
             <devices>{devices}</devices>\n</domain>"
        );
        let domain = connection.define(&definition).unwrap();
        Guest {
            directory: Arc::new(directory),
            connection,
            domain,
        }
    }

    /// The guest of a directory that was there before.
    pub fn of(directory: &Arc<TempDir>) -> Guest {
        let connection = open(directory.path(), "");
        Guest {
            directory: Arc::clone(directory),
            domain: connection.domain_by_name("guest").unwrap(),
            connection,
        }
    }

    /// A path in the guest's directory.
    pub fn path(&self, file: &str) -> String {
        self.directory
            .path()
            .join(file)
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// The same domain through a connection whose URI ends so.
    pub fn reopened(&mut self, parameters: &str) {
        self.connection = open(self.directory.path(), parameters);
        self.domain = self.connection.domain_by_name("guest").unwrap();
    }

    pub fn create(&self, name: &str, disks: &str, flags: u32) -> Result<Arc<str>> {
        let disks = if disks.is_empty() {
            String::new()
        } else {
            format!("<disks>{disks}</disks>")
        };
        let xml = format!("<domainsnapshot><name>{name}</name>{disks}</domainsnapshot>");
        self.create_xml(&xml, flags)
    }

    pub fn create_xml(&self, xml: &str, flags: u32) -> Result<Arc<str>> {
        let flags = CreateFlags::new(flags, "test").unwrap();
        self.domain
            .create(xml, flags, self.connection.redefine_rules())
    }

    pub fn revert(&self, name: &str) -> Result<()> {
        self.domain
            .revert(name, RevertFlags::new(0, "test").unwrap())
    }

    pub fn delete(&self, name: &str, flags: u32) -> Result<()> {
        self.domain
            .delete(name, DeleteFlags::new(flags, "test").unwrap())
    }

    pub fn names(&self) -> Vec<String> {
        let flags = ListFlags::new(0, "test").unwrap();
        let names = self.domain.list(flags).unwrap();
        names.iter().map(|name| name.to_string()).collect()
    }

    pub fn xml(&self, name: &str) -> String {
        self.domain.snapshot_xml(name, true).unwrap()
    }

    /// The image that the definition names for a disk.
    pub fn active(&self, target: &str) -> String {
        let definition = self.domain.definition(true).unwrap();
        source_of(&definition, target)
    }

    /// Writes as the guest would: a pattern into each of the first `slots` places.
    pub fn write(&self, target: &str, pattern: u8, slots: usize) {
        let definition = self.domain.definition(true).unwrap();
        let format = format_of(&definition, target);
        let mut arguments = vec!["-f".to_owned(), format];
        for slot in SLOTS.iter().take(slots) {
            arguments.extend(["-c".into(), format!("write -P {pattern} {slot} 64k")]);
        }
        arguments.push(self.active(target));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = qemu("qemu-io", &arguments);
        assert!(output.status.success(), "{output:?}");
    }

    /// What the guest would read from a disk.
    pub fn content(&self, target: &str) -> Vec<u8> {
        let definition = self.domain.definition(true).unwrap();
        content(
            Path::new(&source_of(&definition, target)),
            &format_of(&definition, target),
            None,
        )
    }

    /// What the guest would read from a disk if it were reverted to a snapshot. Nothing is changed.
    pub fn content_of(&self, snapshot: &str, target: &str) -> Vec<u8> {
        let document = self.xml(snapshot);
        let (disks, definition) = document.split_once("<domain ").unwrap();
        let marker = format!("<disk name='{target}' snapshot='internal'");
        let inside = disks.contains(&marker).then_some(snapshot);
        content(
            Path::new(&source_of(definition, target)),
            &format_of(definition, target),
            inside,
        )
    }

    /// Names of the files that are not the state directory.
    pub fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "state")
            .collect();
        files.sort();
        files
    }

    /// Text of the differences between metadata and data, of a document or of all snapshots.
    pub fn differences(&self, xml: Option<&str>) -> Vec<String> {
        let found = match xml {
            Some(xml) => self.domain.differences_of_document(xml),
            None => self.domain.differences(),
        };
        let text = |found: &virsnap::ops::NamedDifference| {
            let of = &found.difference;
            format!(
                "{} {:?} {:?} {}: {}",
                found.snapshot,
                of.verdict,
                match &of.part {
                    Part::Disk(disk) => disk,
                    Part::Memory => "memory",
                    Part::Firmware => "firmware",
                },
                of.image.file_name().unwrap_or_default().display(),
                of.found
                    .replace(self.directory.path().to_str().unwrap(), "")
            )
        };
        found.unwrap().iter().map(text).collect()
    }
}

fn open(directory: &Path, parameters: &str) -> Arc<Connection> {
    let uri = format!("virsnap://{}/state{parameters}", directory.display());
    Connection::open(&uri, Access::ReadWrite).unwrap()
}

/// The `<disk>` of a definition that has that target.
fn disk_of<'a>(definition: &'a str, target: &str) -> &'a str {
    let target = format!("<target dev='{target}'");
    let end = definition.find(&target).expect("the disk");
    let start = definition[..end].rfind("<disk").unwrap();
    &definition[start..end]
}

fn attribute(text: &str, before: &str) -> String {
    let start = text
        .find(before)
        .unwrap_or_else(|| panic!("{before} in {text}"))
        + before.len();
    let rest = &text[start..];
    rest[..rest.find('\'').unwrap()].to_owned()
}

pub fn source_of(definition: &str, target: &str) -> String {
    attribute(disk_of(definition, target), "<source file='")
}

pub fn format_of(definition: &str, target: &str) -> String {
    let is_qcow2 = disk_of(definition, target).contains(" type='qcow2'");
    if is_qcow2 { "qcow2" } else { "raw" }.to_owned()
}

/// The first byte of each slot, checked to be a pattern that fills it.
pub fn content(path: &Path, format: &str, inside: Option<&str>) -> Vec<u8> {
    let scratch = tempfile::NamedTempFile::new().unwrap();
    let scratch_path = scratch.path().to_str().unwrap();
    let path = path.to_str().unwrap();
    let selected = inside.map(|name| format!("snapshot.name={name}"));
    let mut arguments = vec!["convert", "-f", format, "-O", "raw"];
    if let Some(selected) = &selected {
        arguments.extend(["-l", selected]);
    }
    arguments.extend([path, scratch_path]);
    qemu_img(&arguments);
    let bytes = fs::read(scratch_path).unwrap();
    [0, 1 << 20, 5 << 20]
        .map(|start: usize| {
            let slot = &bytes[start..start + (64 << 10)];
            assert!(slot.iter().all(|byte| *byte == slot[0]), "{path}");
            slot[0]
        })
        .to_vec()
}

/// The message of a failure.
pub fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error: Error = result.unwrap_err();
    error.to_string()
}

/// Content of every snapshot and of the guest itself, by name and disk.
pub fn everything(guest: &Guest, targets: &[&str]) -> HashMap<(String, String), Vec<u8>> {
    let mut all = HashMap::new();
    for target in targets {
        for name in guest.names() {
            let content = guest.content_of(&name, target);
            all.insert((name, (*target).to_owned()), content);
        }
        all.insert((String::new(), (*target).to_owned()), guest.content(target));
    }
    all
}

/// Whether an image is free of damage.
pub fn check(path: &Path) {
    let output = qemu("qemu-img", &["check", path.to_str().unwrap()]);
    let code = output.status.code();
    // 3: leaked clusters, which cost space only. 63: a format without checks.
    assert!(matches!(code, Some(0 | 3 | 63)), "{output:?}");
}

pub fn image(path: &str) -> PathBuf {
    PathBuf::from(path)
}
