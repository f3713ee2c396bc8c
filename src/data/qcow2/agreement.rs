//! Images of many makes: what is read of each is what `qemu-img info --output=json` says.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::{Encryption, Facts, ImageFile};
use crate::limits;

fn qemu_img<'a>(directory: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Output {
    let mut command = Command::new("qemu-img");
    command.current_dir(directory).args(arguments);
    command.output().expect("these tests need qemu-img")
}

/// What `qemu-img` says of an image, if it can open it. It needs no key, and opens nothing below.
fn told(directory: &Path, image: &str) -> Option<Value> {
    let output = qemu_img(directory, ["info", "--output=json", image]);
    let is_read = output.status.success();
    is_read.then(|| serde_json::from_slice(&output.stdout).unwrap())
}

fn facts(directory: &Path, image: &str) -> super::Result<Facts> {
    ImageFile::open(&directory.join(image))?.facts()
}

/// Compares every fact that both know.
fn assert_agreed(directory: &Path, image: &str) {
    let told = told(directory, image).unwrap();
    let facts = facts(directory, image).unwrap();
    let special = &told["format-specific"]["data"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let ours = |name: &Option<std::ffi::OsString>| {
        name.as_ref().map(|name| name.to_str().unwrap().to_owned())
    };
    let is_set = |value: &Value| value.as_bool().unwrap_or(false);
    assert_eq!(told["virtual-size"], facts.virtual_size, "{image}");
    assert_eq!(told["cluster-size"], 1_u64 << facts.cluster_bits, "{image}");
    let compat = if facts.version == 2 { "0.10" } else { "1.1" };
    assert_eq!(special["compat"], compat, "{image}");
    assert_eq!(is_set(&special["corrupt"]), facts.is_corrupt(), "{image}");
    assert_eq!(is_set(&told["dirty-flag"]), facts.is_dirty(), "{image}");
    assert_eq!(
        text(&told["backing-filename"]),
        ours(&facts.backing_file),
        "{image}"
    );
    let format = text(&told["backing-filename-format"]);
    assert_eq!(format, ours(&facts.backing_format), "{image}");
    assert_eq!(
        text(&special["data-file"]),
        ours(&facts.data_file),
        "{image}"
    );
    let encryption = match special["encrypt"]["format"].as_str() {
        Some("luks") => Encryption::Luks,
        Some("aes") => Encryption::Aes,
        _ => Encryption::None,
    };
    assert_eq!(facts.encryption, encryption, "{image}");
    assert_same_snapshots(&told, &facts, image);
}

fn assert_same_snapshots(told: &Value, facts: &Facts, image: &str) {
    let snapshots: &[Value] = told["snapshots"].as_array().map_or(&[], Vec::as_slice);
    assert_eq!(snapshots.len(), facts.snapshots.len(), "{image}");
    for (told, entry) in snapshots.iter().zip(&facts.snapshots) {
        let clock = told["vm-clock-sec"].as_u64().unwrap() * 1_000_000_000
            + told["vm-clock-nsec"].as_u64().unwrap();
        assert_eq!(
            told["id"].as_str().unwrap().as_bytes(),
            &*entry.id,
            "{image}"
        );
        assert_eq!(
            told["name"].as_str().unwrap().as_bytes(),
            &*entry.name,
            "{image}"
        );
        assert_eq!(told["date-sec"], entry.date_sec, "{image}");
        assert_eq!(told["date-nsec"], entry.date_nsec, "{image}");
        assert_eq!(told["vm-state-size"], entry.vm_state_size, "{image}");
        assert_eq!(clock, entry.vm_clock_nsec, "{image}");
        assert_eq!(told["icount"].as_u64(), entry.icount, "{image}");
    }
}

#[test]
fn images_of_many_makes_are_what_qemu_img_says() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    let absolute = format!(
        "backing_fmt=raw,backing_file={}/base.raw",
        directory.display()
    );
    let options = [
        "compat=0.10",
        "compat=0.10,cluster_size=512",
        "compat=0.10,cluster_size=2M",
        "compat=1.1,cluster_size=512,refcount_bits=1",
        "compat=1.1,cluster_size=4k,refcount_bits=64",
        "compat=1.1,cluster_size=2M,lazy_refcounts=on",
        "extended_l2=on,cluster_size=128k",
        "compression_type=zstd",
        "data_file=own.data",
        "data_file=raw.data,data_file_raw=on",
        "preallocation=metadata",
        "compat=0.10,backing_fmt=raw,backing_file=base.raw",
        "backing_fmt=raw,backing_file=base.raw",
        absolute.as_str(),
        "backing_fmt=raw,backing_file=nbd://localhost:10809/export",
        "backing_fmt=raw,backing_file=nbd+unix:///export?socket=/run/nbd",
        "backing_fmt=raw,backing_file=json:{\"driver\":\"nbd\",,\"host\":\"h\",,\"port\":\"1\"}",
        "backing_fmt=qcow2,backing_file=json:{\"driver\":\"qcow2\",,\"file.filename\":\"x\"}",
        "encrypt.format=aes,encrypt.key-secret=key",
    ];
    qemu_img(directory, ["create", "-q", "-f", "raw", "base.raw", "8M"]);
    for (number, option) in options.into_iter().enumerate() {
        let image = format!("{number}.qcow2");
        let secret = ["--object", "secret,id=key,data=secret"];
        let create = ["create", "-q", "-u", "-f", "qcow2"]
            .into_iter()
            .chain(secret);
        let made = qemu_img(directory, create.chain(["-o", option, &image, "8M"]));
        assert!(made.status.success(), "{option}: {made:?}");
        assert_agreed(directory, &image);
        // Neither encrypted images nor those below a name that cannot be opened take one here.
        let is_closed = ["encrypt", "nbd", "json", "data_file"];
        if is_closed.iter().any(|word| option.contains(word)) {
            continue;
        }
        for name in ["one", "2", "three \"3\""] {
            let made = qemu_img(directory, ["snapshot", "-c", name, &image]);
            assert!(made.status.success(), "{option}: {made:?}");
        }
        assert_agreed(directory, &image);
        qemu_img(directory, ["snapshot", "-d", "one", &image]);
        assert_agreed(directory, &image);
    }
}

/// QEMU measures the processor for its key's derivation, and may give up on a busy machine: tried again.
#[test]
fn luks_is_what_qemu_img_says() {
    let directory = TempDir::new().unwrap();
    let create = "create -q -f qcow2 --object secret,id=key,data=secret -o \
                  encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10 luks.qcow2 8M";
    let mut made = qemu_img(directory.path(), create.split(' '));
    for _ in 0..20 {
        if made.status.success() {
            break;
        }
        made = qemu_img(directory.path(), create.split(' '));
    }
    assert!(made.status.success(), "{made:?}");
    assert_agreed(directory.path(), "luks.qcow2");
}

/// Puts a table of that many snapshots behind an image's end. Source: QEMU's qcow2 specification,
/// "Snapshots".
fn add_table(image: &Path, count: u32) {
    let mut bytes = std::fs::read(image).unwrap();
    bytes.resize(bytes.len().next_multiple_of(64 << 10), 0);
    let offset = bytes.len() as u64;
    for number in 1..=count {
        let (id, name) = (number.to_string(), format!("snapshot {number}"));
        bytes.extend([0; 12]);
        bytes.extend(u16::try_from(id.len()).unwrap().to_be_bytes());
        bytes.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
        bytes.extend(number.to_be_bytes());
        bytes.extend((number / 2).to_be_bytes());
        bytes.extend((u64::from(number) << 20).to_be_bytes());
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 24]);
        bytes.extend((u64::from(number) << 12).to_be_bytes());
        bytes.extend((8_u64 << 20).to_be_bytes());
        bytes.extend(u64::from(number).to_be_bytes());
        bytes.extend(id.as_bytes());
        bytes.extend(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes[60..64].copy_from_slice(&count.to_be_bytes());
    bytes[64..72].copy_from_slice(&offset.to_be_bytes());
    std::fs::write(image, bytes).unwrap();
}

#[test]
fn the_largest_tables_are_what_qemu_img_says_and_none_beyond() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    for count in [1000, limits::QCOW2_SNAPSHOTS] {
        qemu_img(
            directory,
            ["create", "-q", "-f", "qcow2", "big.qcow2", "8M"],
        );
        add_table(&directory.join("big.qcow2"), count);
        assert_eq!(
            facts(directory, "big.qcow2").unwrap().snapshots.len(),
            count as usize
        );
        assert_agreed(directory, "big.qcow2");
    }
    qemu_img(
        directory,
        ["create", "-q", "-f", "qcow2", "big.qcow2", "8M"],
    );
    add_table(&directory.join("big.qcow2"), limits::QCOW2_SNAPSHOTS + 1);
    assert!(told(directory, "big.qcow2").is_none());
    let refused = facts(directory, "big.qcow2").unwrap_err().to_string();
    assert_eq!(refused, "the qcow2 number of snapshots is invalid");
}
