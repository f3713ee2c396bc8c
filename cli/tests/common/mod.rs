//! A world for each test: a directory, images, a state directory, the program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by failing"
)]
#![allow(clippy::indexing_slicing, reason = "as above")]
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub const UUID: &str = "5b7d3a3e-0f5b-4c0e-9d86-7c1f5d6b1a01";

pub struct World {
    directory: TempDir,
}

/// What the program said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        Said {
            code: output.status.code().expect("it was killed"),
            out: String::from_utf8(output.stdout).expect("standard output is no text"),
            err: String::from_utf8(output.stderr).expect("standard error is no text"),
        }
    }
}

impl World {
    pub fn new() -> World {
        World {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// With a domain `vm` of one qcow2 image.
    pub fn with_domain() -> World {
        let world = World::new();
        world.image("vda.qcow2");
        world.define("vm", UUID, &["vda.qcow2"]);
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn image(&self, name: &str) {
        qemu_img(&["create", "-q", "-f", "qcow2", &self.text(name), "4M"]);
    }

    /// The first bytes that a guest of the image would read, and all others, are this one.
    pub fn write(&self, image: &str, byte: u8) {
        let command = format!("write -P {byte} 0 4M");
        self.qemu_io(image, &command);
    }

    /// Whether a guest of the image would read this byte everywhere.
    pub fn reads(&self, image: &str, byte: u8) {
        let command = format!("read -P {byte} 0 4M");
        let said = self.qemu_io(image, &command);
        assert!(
            !said.contains("Pattern verification failed"),
            "{image} is not {byte}: {said}"
        );
    }

    fn qemu_io(&self, image: &str, command: &str) -> String {
        let output = Command::new("qemu-io")
            .args(["-f", "qcow2", "-c", command])
            .arg(self.path(image))
            .output()
            .unwrap();
        assert!(output.status.success(), "qemu-io: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn document(&self, name: &str, uuid: &str, images: &[&str]) -> String {
        let disks: String = images
            .iter()
            .enumerate()
            .map(|(number, image)| {
                let target = ["vda", "vdb", "vdc"][number];
                format!(
                    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
                     <source file='{}'/><target dev='{target}' bus='virtio'/></disk>",
                    self.text(image)
                )
            })
            .collect();
        format!(
            "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>\
             <memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>\
             <devices>{disks}</devices></domain>"
        )
    }

    pub fn define(&self, name: &str, uuid: &str, images: &[&str]) {
        let file = self.path("domain.xml");
        std::fs::write(&file, self.document(name, uuid, images)).unwrap();
        self.done(&["define", file.to_str().unwrap()]);
    }

    /// The program, in this world and no other.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virsnap"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("VIRSNAP_STATE_DIR", self.path("state"))
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        self.command(arguments).output().unwrap().into()
    }

    /// What it writes, when all goes well.
    pub fn done(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(
            (said.code, &*said.err),
            (0, ""),
            "{arguments:?} said {said:?}"
        );
        said.out
    }

    /// What it writes as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(arguments)).expect("it is no JSON")
    }

    /// It ends with this code, and says that.
    pub fn fails(&self, arguments: &[&str], code: i32, text: &str) {
        let said = self.run(arguments);
        assert_eq!(said.code, code, "{arguments:?} said {said:?}");
        assert!(said.err.contains(text), "{arguments:?} said {said:?}");
    }

    /// Each snapshot of `vm` with its parent, and which is the current one.
    pub fn tree(&self, state: &str) -> (Vec<(String, Option<String>)>, Option<String>) {
        let list = self.json(&["--state", &self.text(state), "list", "vm", "--json"]);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let snapshots = list["snapshots"].as_array().unwrap();
        let pairs = snapshots
            .iter()
            .map(|it| (text(&it["name"]).unwrap(), text(&it["parent"])));
        let mut pairs: Vec<_> = pairs.collect();
        // Those of one second are listed by name, others by time: not for a test to depend on.
        pairs.sort();
        (pairs, text(&list["current"]))
    }

    /// Every file below a directory with its content, to see that nobody has written there.
    pub fn files(&self, below: &str) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(directory: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    found.push((path.clone(), Vec::new()));
                    walk(&path, found);
                } else if path.is_file() {
                    found.push((path.clone(), std::fs::read(&path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.path(below), &mut found);
        found.sort();
        found
    }
}

pub fn qemu_img(arguments: &[&str]) -> String {
    let output = Command::new("qemu-img").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "qemu-img {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}
