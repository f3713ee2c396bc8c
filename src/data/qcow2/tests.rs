//! The reader against `qemu-img info`, and against damage.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// Runs `qemu-img`; a missing or failing one fails the test.
fn qemu_img(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("qemu-img")
        .current_dir(directory)
        .args(arguments)
        .output()
        .expect("these tests need qemu-img");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn image(directory: &TempDir, options: &str) -> PathBuf {
    let path = directory.path().join("image.qcow2");
    let mut arguments = vec!["create", "-q", "-f", "qcow2"];
    if !options.is_empty() {
        arguments.extend(["-o", options]);
    }
    arguments.extend(["image.qcow2", "8M"]);
    qemu_img(directory.path(), &arguments);
    path
}

fn facts(path: &Path) -> Result<Facts> {
    ImageFile::open(path)?.facts()
}

/// The values of a key in `qemu-img info --output=json`, in order. The output is pretty-printed,
/// one key a line.
fn info(path: &Path, key: &str) -> Vec<String> {
    let directory = path.parent().unwrap();
    let text = qemu_img(
        directory,
        &["info", "--output=json", path.to_str().unwrap()],
    );
    let key = format!("\"{key}\": ");
    text.lines()
        .filter_map(|line| line.trim().strip_prefix(&key))
        .map(|value| value.trim_end_matches(',').to_owned())
        .collect()
}

fn number(values: &[String]) -> Vec<u64> {
    values.iter().map(|value| value.parse().unwrap()).collect()
}

#[test]
fn header_is_what_qemu_img_reports() {
    for options in [
        "compat=0.10",
        "compat=1.1",
        "compat=1.1,cluster_size=512",
        "compat=0.10,cluster_size=4k",
        "cluster_size=2M",
        "lazy_refcounts=on,refcount_bits=1",
        "extended_l2=on,cluster_size=128k",
        "compression_type=zstd",
    ] {
        let directory = TempDir::new().unwrap();
        let path = image(&directory, options);
        let facts = facts(&path).unwrap();
        assert_eq!(
            vec![facts.virtual_size],
            number(&info(&path, "virtual-size")),
            "{options}"
        );
        let cluster = number(&info(&path, "cluster-size"));
        assert_eq!(vec![1 << facts.cluster_bits], cluster, "{options}");
        let compat = if facts.version == 2 {
            "\"0.10\""
        } else {
            "\"1.1\""
        };
        assert_eq!(vec![compat], info(&path, "compat"), "{options}");
        assert_eq!(facts.encryption, Encryption::None);
        assert!(facts.snapshots.is_empty());
        assert!(facts.backing_file.is_none() && facts.data_file.is_none());
        assert!(!facts.is_corrupt() && !facts.is_dirty() && !facts.has_external_data());
    }
}

#[test]
fn backing_file_is_read_with_its_format() {
    for compat in ["0.10", "1.1"] {
        let directory = TempDir::new().unwrap();
        qemu_img(
            directory.path(),
            &["create", "-q", "-f", "raw", "base, ü.img", "8M"],
        );
        let options = format!("compat={compat},backing_file=base,, ü.img,backing_fmt=raw");
        let facts = facts(&image(&directory, &options)).unwrap();
        assert_eq!(
            facts.backing_file.as_deref(),
            Some(OsStr::new("base, ü.img"))
        );
        assert_eq!(facts.backing_format.as_deref(), Some(OsStr::new("raw")));
    }
}

#[test]
fn external_data_file_is_seen() {
    let directory = TempDir::new().unwrap();
    let facts = facts(&image(&directory, "data_file=data.raw")).unwrap();
    assert!(facts.has_external_data());
    assert_eq!(facts.data_file.as_deref(), Some(OsStr::new("data.raw")));
}

#[test]
fn encryption_is_seen() {
    // `qemu-img` measures the processor before it makes a LUKS image, and gives up on a busy
    // machine: so the method is set by hand. QEMU's qcow2 specification: bytes 32-35, big endian.
    let directory = TempDir::new().unwrap();
    let path = image(&directory, "compat=1.1");
    for (method, expected) in [
        (0, Encryption::None),
        (1, Encryption::Aes),
        (2, Encryption::Luks),
    ] {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[32..36].copy_from_slice(&u32::to_be_bytes(method));
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(facts(&path).unwrap().encryption, expected);
    }
}

#[test]
fn snapshot_table_is_what_qemu_img_reports() {
    for options in ["compat=0.10", "compat=1.1", "cluster_size=512"] {
        let directory = TempDir::new().unwrap();
        let path = image(&directory, options);
        let names = [
            "first",
            "1",
            "--help",
            "a'b\"c\\d",
            " two  blanks ",
            "ü€😀",
            "a\nb",
            "x",
        ];
        let long = "l".repeat(247);
        let names: Vec<&str> = names.into_iter().chain([long.as_str()]).collect();
        for name in &names {
            qemu_img(directory.path(), &["snapshot", "-c", name, "image.qcow2"]);
        }
        qemu_img(
            directory.path(),
            &["snapshot", "-d", "first", "image.qcow2"],
        );
        let facts = facts(&path).unwrap();
        let read: Vec<&[u8]> = facts.snapshots.iter().map(|entry| &*entry.name).collect();
        let expected: Vec<&[u8]> = names[1..].iter().map(|name| name.as_bytes()).collect();
        assert_eq!(read, expected, "{options}");
        let ids: Vec<String> = facts
            .snapshots
            .iter()
            .map(|entry| format!("\"{}\"", std::str::from_utf8(&entry.id).unwrap()))
            .collect();
        assert_eq!(ids, info(&path, "id"));
        let column = |of: fn(&Entry) -> u64| facts.snapshots.iter().map(of).collect::<Vec<_>>();
        assert_eq!(
            column(|entry| entry.date_sec.into()),
            number(&info(&path, "date-sec"))
        );
        assert_eq!(
            column(|entry| entry.date_nsec.into()),
            number(&info(&path, "date-nsec"))
        );
        assert_eq!(
            column(|entry| entry.vm_state_size),
            number(&info(&path, "vm-state-size"))
        );
        assert_eq!(
            column(|entry| entry.icount.unwrap()),
            number(&info(&path, "icount"))
        );
        assert!(
            facts
                .snapshots
                .iter()
                .all(|entry| entry.disk_size == 8 << 20)
        );
    }
}

/// A version 2 header with one entry, written by hand after the specification.
fn image_with_entry(extra: &[u8], vm_state_size: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"QFI\xfb\0\0\0\x02");
    put(20, &9_u32.to_be_bytes());
    put(24, &0x1234_0000_u64.to_be_bytes());
    put(60, &1_u32.to_be_bytes());
    put(64, &1024_u64.to_be_bytes());
    put(1024 + 12, &2_u16.to_be_bytes());
    put(1024 + 14, &3_u16.to_be_bytes());
    put(1024 + 16, &[0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7]);
    put(1024 + 32, &vm_state_size.to_be_bytes());
    put(
        1024 + 36,
        &u32::try_from(extra.len()).unwrap().to_be_bytes(),
    );
    put(1024 + 40, extra);
    put(1024 + 40 + extra.len(), b"42abc");
    bytes
}

#[test]
fn entry_fields_follow_the_extra_data_present() {
    let mut extra = Vec::new();
    for number in [1_u64 << 40, 77, 88, 99] {
        extra.extend(number.to_be_bytes());
    }
    let entry = |extra: &[u8]| {
        read(&image_with_entry(extra, 9)[..])
            .unwrap()
            .snapshots
            .remove(0)
    };
    for length in [0, 8, 16, 24, 32] {
        let entry = entry(&extra[..length]);
        assert_eq!((&*entry.id, &*entry.name), (&b"42"[..], &b"abc"[..]));
        assert_eq!(
            (entry.date_sec, entry.date_nsec, entry.vm_clock_nsec),
            (5, 6, 7)
        );
        assert_eq!(entry.vm_state_size, if length < 8 { 9 } else { 1 << 40 });
        assert_eq!(entry.disk_size, if length < 16 { 0x1234_0000 } else { 77 });
        assert_eq!(entry.icount, if length < 24 { None } else { Some(88) });
    }
    extra[16..24].fill(0xff);
    assert_eq!(entry(&extra).icount, None);
}

#[test]
fn impossible_headers_are_refused() {
    let good = image_with_entry(&[], 0);
    assert!(read(&good[..]).is_ok());
    let broken = |at: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        read(&bytes[..]).unwrap_err().to_string()
    };
    assert_eq!(broken(0, b"RFI"), "not a qcow2 image");
    assert_eq!(broken(4, &[0, 0, 0, 1]), "qcow2 version 1 is not supported");
    assert_eq!(
        broken(4, &[0, 0, 0, 3]),
        "the qcow2 header length is invalid"
    );
    assert_eq!(
        broken(20, &[0, 0, 0, 8]),
        "the qcow2 cluster size is invalid"
    );
    assert_eq!(
        broken(20, &[0, 0, 0, 64]),
        "the qcow2 cluster size is invalid"
    );
    assert_eq!(
        broken(32, &[0, 0, 0, 3]),
        "the qcow2 encryption method is invalid"
    );
    assert_eq!(broken(36, &[0xff; 4]), "the qcow2 L1 table is invalid");
    assert_eq!(
        broken(60, &[0xff; 4]),
        "the qcow2 number of snapshots is invalid"
    );
    assert_eq!(
        broken(60, &[0, 0, 0xff, 0xff]),
        "the qcow2 snapshot table is cut off"
    );
    assert_eq!(
        broken(64, &[0xff; 8]),
        "the qcow2 snapshot table's offset is invalid"
    );
    assert_eq!(
        broken(64, &(u64::MAX - 511).to_be_bytes()),
        "the qcow2 snapshot table is cut off"
    );
    assert_eq!(
        broken(8, &[0xff; 8]),
        "the qcow2 backing file's offset is invalid"
    );
    assert_eq!(
        broken(8, &[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0]),
        "the qcow2 backing file's length is invalid"
    );
    assert_eq!(
        broken(72, &[0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff]),
        "the qcow2 header extension is invalid"
    );
    assert_eq!(
        broken(1024 + 36, &[0, 0, 4, 1]),
        "the qcow2 snapshot's extra data is invalid"
    );
    assert_eq!(broken(1024, &[0xff; 8]), "the qcow2 L1 table is invalid");
    let mut version_3 = good.clone();
    version_3[7] = 3;
    version_3[103] = 104;
    assert!(read(&version_3[..]).is_ok());
    version_3[79] = 0x20;
    let unknown = read(&version_3[..]).unwrap_err().to_string();
    assert_eq!(unknown, "unknown incompatible qcow2 features (0x20)");
}

#[test]
fn every_truncation_is_an_error() {
    let whole = image_with_entry(&[0; 24], 0);
    let end = 1024 + 40 + 24 + 5;
    assert!(read(&whole[..end]).is_ok());
    for length in 0..end {
        assert!(read(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn only_files_and_block_devices_are_opened() {
    let directory = TempDir::new().unwrap();
    let fifo = directory.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    for path in [&fifo, directory.path(), Path::new("/dev/zero")] {
        assert!(matches!(facts(path), Err(Unreadable::NotAFile)), "{path:?}");
    }
    let missing = directory.path().join("missing");
    assert!(matches!(facts(&missing), Err(Unreadable::Io(error))
        if error.kind() == io::ErrorKind::NotFound));
    std::fs::write(&missing, b"").unwrap();
    assert!(matches!(facts(&missing), Err(Unreadable::NotQcow2)));
}

#[test]
fn content_is_told_apart() {
    let directory = TempDir::new().unwrap();
    let path = image(&directory, "cluster_size=512");
    let write = |pattern: &str| {
        let command = format!("write -P {pattern} 6M 512");
        let arguments = ["-f", "qcow2", "-c", &command, "image.qcow2"];
        let status = Command::new("qemu-io")
            .current_dir(&directory)
            .args(arguments)
            .output();
        assert!(status.expect("this test needs qemu-io").status.success());
    };
    let snapshot = |option: &str, name: &str| {
        qemu_img(directory.path(), &["snapshot", option, name, "image.qcow2"]);
    };
    let file = ImageFile::open(&path).unwrap();
    let shows = |name: &str| {
        let facts = file.facts().unwrap();
        file.shows(&facts, facts.named(name).next().unwrap())
            .unwrap()
    };
    write("1");
    snapshot("-c", "one");
    assert!(shows("one"));
    write("2");
    assert!(!shows("one"));
    snapshot("-c", "two");
    assert!(shows("two") && !shows("one"));
    snapshot("-a", "one");
    assert!(shows("one") && !shows("two"));
    qemu_img(directory.path(), &["resize", "-q", "image.qcow2", "16M"]);
    assert!(!shows("one"));
    snapshot("-a", "one");
    assert!(shows("one"));
    // The same bytes written again are another state: nothing is read but the tables.
    write("1");
    assert!(!shows("one"));
    let facts = file.facts().unwrap();
    let both: Vec<&Entry> = facts.snapshots.iter().collect();
    assert!(!file.is_made_of(&facts, &both).unwrap());
}

proptest! {
    #[test]
    fn flipped_bytes_never_panic(
        flips in prop::collection::vec((0_usize..1200, any::<u8>()), 1..8),
        version in 2_u8..=3,
        length in 0_usize..=4096,
    ) {
        let mut bytes = image_with_entry(&[1; 24], 3);
        bytes[7] = version;
        bytes[103] = 104;
        bytes.truncate(length);
        for (at, value) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if let Ok(facts) = read(&bytes[..]) {
            let sources: Vec<L1Table> = facts.snapshots.iter().map(|entry| entry.l1).collect();
            let _ = content::is_made_of(&bytes[..], facts.l1, &sources);
        }
    }
}
