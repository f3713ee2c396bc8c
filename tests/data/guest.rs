//! A domain with real images in a directory of its own, and what its guest would read there.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use tempfile::TempDir;
use virsnap::error::{Error, Result};
use virsnap::ops::{Access, Connection, CreateFlags, DeleteFlags, Domain, ListFlags};

pub const REDEFINE: u32 = 1;
pub const METADATA_ONLY: u32 = 2;

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
    pub directory: TempDir,
    pub connection: Arc<Connection>,
    pub domain: Arc<Domain>,
}

/// A disk of a new guest: target and format (`qcow2` or `raw`).
pub type DiskKind<'a> = (&'a str, &'a str);

impl Guest {
    /// A guest with empty disks of 8 MiB in `TARGET.img`.
    pub fn new(disks: &[DiskKind<'_>]) -> Guest {
        let directory = TempDir::new().unwrap();
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
        Guest::with_devices(directory, &devices)
    }

    /// A guest with that content of `<devices>`.
    pub fn with_devices(directory: TempDir, devices: &str) -> Guest {
        let connection = open(directory.path(), "");
        let definition = format!(
            "<domain type='qemu'>\n  <name>guest</name>\n  <os>\n    <type>hvm</type>\n  </os>\n  \
             <devices>{devices}</devices>\n</domain>"
        );
        let domain = connection.define(&definition).unwrap();
        Guest {
            directory,
            connection,
            domain,
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
                of.disk.as_deref().unwrap_or("memory"),
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

/// The message of a failure.
pub fn refusal<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error: Error = result.unwrap_err();
    error.to_string()
}
