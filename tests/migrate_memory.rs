//! A hierarchy goes out and comes in one document at a time: the memory that it takes beside the tree does
//! not grow with what the documents hold.
//!
//! Each end is a process of its own, whose peak of memory is looked at. `VIRSNAP_STREAM=100000` has that many
//! snapshots.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what helps a test may fail like a test"
)]

use std::env;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use virsnap::ops::{Access, Carry, Connection, Domain, ListFlags, RedefineCheck};
use virsnap::xml::Mapping;

const DIRECTORY: &str = "VIRSNAP_STREAM_DIRECTORY";
const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";

/// Bytes of each definition, about, and of what may be kept of each document while it passes: its name.
const DEFINITION_BYTES: usize = 4096;
const KEPT_BYTES: usize = 256;
const SLACK_BYTES: usize = 8 << 20;

fn count() -> usize {
    env::var("VIRSNAP_STREAM").map_or(4_000, |count| count.parse().unwrap())
}

/// Each is another one, so that none can be kept once for many.
fn definition(number: usize) -> String {
    format!(
        "<domain type='qemu'>\n  <name>d</name>\n  <uuid>{UUID}</uuid>\n  <description>{number} {}\
         </description>\n  <os>\n    <type>hvm</type>\n  </os>\n</domain>",
        "x".repeat(DEFINITION_BYTES)
    )
}

fn open(directory: &Path, end: &str) -> Arc<Connection> {
    let uri = format!("virsnap://{}", directory.join(end).display());
    Connection::open(&uri, Access::ReadWrite).unwrap()
}

/// The documents of a chain, in libvirt's layout.
fn write_documents(directory: &Path) {
    open(directory, "source").define(&definition(0)).unwrap();
    let directory = directory.join("source/snapshot/d");
    fs::create_dir_all(&directory).unwrap();
    for number in 0..count() {
        let parent = match number {
            0 => String::new(),
            _ => format!(
                "  <parent>\n    <name>s{}</name>\n  </parent>\n",
                number - 1
            ),
        };
        let text = format!(
            "<domainsnapshot>\n  <name>s{number}</name>\n  <state>shutoff</state>\n{parent}  \
             <creationTime>{}</creationTime>\n  <memory snapshot='no'/>\n  {}\n  <active>0</active>\n\
             </domainsnapshot>\n",
            number + 1,
            definition(number)
        );
        fs::write(directory.join(format!("s{number}.xml")), text).unwrap();
    }
}

fn snapshots(domain: &Domain) -> usize {
    let every = ListFlags::new(0, "test").unwrap();
    domain.list(every).unwrap().len()
}

/// Most memory that this process ever had. Source: proc(5), VmHWM.
fn peak_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: usize = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    kib * 1024
}

fn child_directory() -> Option<std::path::PathBuf> {
    env::var_os(DIRECTORY).map(Into::into)
}

#[test]
fn child_that_sends() {
    let Some(directory) = child_directory() else {
        return;
    };
    let domain = open(&directory, "source").domain_by_name("d").unwrap();
    assert_eq!(snapshots(&domain), count());
    let tree = peak_bytes();
    domain.migrate_begin(Carry::Metadata).unwrap();
    let mut stream = BufWriter::new(File::create(directory.join("stream")).unwrap());
    let mut send = |bytes: &[u8]| {
        stream.write_all(bytes).unwrap();
        Ok(())
    };
    domain.migrate_export(&mut send).unwrap();
    stream.flush().unwrap();
    println!("grew by {}", peak_bytes() - tree);
}

#[test]
fn child_that_receives() {
    let Some(directory) = child_directory() else {
        return;
    };
    let domain = open(&directory, "destination")
        .define(&definition(0))
        .unwrap();
    let before = peak_bytes();
    let mut stream = BufReader::new(File::open(directory.join("stream")).unwrap());
    let mut receive = |bytes: &mut [u8]| Ok(stream.read(bytes).unwrap());
    domain
        .migrate_import(&mut receive, Mapping::default(), RedefineCheck::Strict)
        .unwrap();
    println!("grew by {}", peak_bytes() - before);
}

/// By how much a child's memory grew.
fn grown(directory: &Path, child: &str) -> usize {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture"])
        .env(DIRECTORY, directory)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{child}: {printed}{errors}");
    let grown = printed.split_once("grew by ").expect("its memory").1;
    grown.lines().next().unwrap().parse().unwrap()
}

#[test]
fn a_stream_takes_no_memory_for_its_documents() {
    let directory = tempfile::tempdir().unwrap();
    write_documents(directory.path());
    let sent = grown(directory.path(), "child_that_sends");
    let received = grown(directory.path(), "child_that_receives");
    println!("{} snapshots: {sent} and {received} bytes", count());
    let documents = count() * DEFINITION_BYTES;
    let allowed = count() * KEPT_BYTES + SLACK_BYTES;
    assert!(allowed < documents);
    assert!(sent <= SLACK_BYTES, "{sent} bytes to send {documents}");
    assert!(
        received <= allowed,
        "{received} bytes to receive {documents}"
    );
}
