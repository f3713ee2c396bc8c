//! A real QEMU for tests: no kernel, 16 MiB of memory, TCG. Stopped by its process id.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Commands, Monitor};
use crate::data::Image;

/// What the guest is to wait for when it is started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Paused,
    Incoming,
}

/// Images in a directory of their own, and the QEMU that has them open.
pub(super) struct Guest {
    process: Option<Child>,
    pub monitor: Arc<Monitor>,
    pub images: Vec<Image>,
    pub directory: Arc<tempfile::TempDir>,
}

impl Guest {
    /// A paused guest with that many new qcow2 disks.
    pub fn new(disks: usize) -> Guest {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let images: Vec<Image> = (0..disks)
            .map(|place| {
                let path = directory.path().join(format!("disk{place}.qcow2"));
                qemu_img(&["create", "-q", "-f", "qcow2", path.to_str().unwrap(), "1M"]);
                Image {
                    disk: format!("vd{}", char::from(b'a' + u8::try_from(place).unwrap())),
                    path,
                }
            })
            .collect();
        Guest::start(directory, images, Start::Paused)
    }

    /// A guest on images that exist.
    pub fn start(directory: Arc<tempfile::TempDir>, images: Vec<Image>, start: Start) -> Guest {
        let socket = directory.path().join("qmp");
        let _ = std::fs::remove_file(&socket);
        // The monitor's qemu-io prints on the process's stdout, which must not be held back.
        let said = directory.path().join("said");
        let mut command = Command::new("stdbuf");
        command.args(["-o0", "qemu-system-x86_64"]);
        command.args([
            "-nodefaults",
            "-display",
            "none",
            "-accel",
            "tcg",
            "-m",
            "16",
            "-S",
        ]);
        command.args(["-machine", "pc"]);
        command.arg("-qmp");
        command.arg(format!("unix:{},server=on,wait=off", socket.display()));
        for (place, image) in images.iter().enumerate() {
            let file = image.path.display();
            command.arg("-blockdev");
            command.arg(format!(
                "driver=qcow2,node-name=disk{place},file.driver=file,file.filename={file}"
            ));
            command.arg("-device");
            command.arg(format!("virtio-blk-pci,id=vd{place},drive=disk{place}"));
        }
        if start == Start::Incoming {
            command.args(["-incoming", "defer"]);
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(
                File::options()
                    .create(true)
                    .append(true)
                    .open(said)
                    .unwrap(),
            )
            .spawn()
            .unwrap();
        let monitor = connect(&socket);
        Guest {
            process: Some(process),
            monitor: Arc::new(monitor),
            images,
            directory,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Ends the process without a word to it.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Lets a human monitor command be carried out.
    pub fn human(&self, line: &str) -> String {
        let arguments = json!({ "command-line": line });
        let answer = self.monitor.execute("human-monitor-command", arguments);
        answer.unwrap().as_str().unwrap().to_owned()
    }

    /// Writes a byte all over the first 64 KiB of a disk, as its device would.
    pub fn write(&self, disk: usize, byte: u8) {
        let said = self.io(disk, &format!("write -P {byte} 0 64k"));
        assert!(said.contains("wrote 65536/65536"), "{said}");
    }

    /// Whether the first 64 KiB of a disk are full of that byte, as its device reads them.
    pub fn holds(&self, disk: usize, byte: u8) -> bool {
        let said = self.io(disk, &format!("read -P {byte} 0 64k"));
        assert!(said.contains("read 65536/65536"), "{said}");
        !said.contains("Pattern verification failed")
    }

    fn io(&self, disk: usize, command: &str) -> String {
        let device = format!("/machine/peripheral/vd{disk}/virtio-backend");
        let said = self.path("said");
        File::options()
            .write(true)
            .truncate(true)
            .open(&said)
            .unwrap();
        let answer = self.human(&format!("qemu-io -d {device} \"{command}\""));
        answer + &std::fs::read_to_string(said).unwrap()
    }

    /// Lets the firmware change the memory for a while.
    pub fn run_for(&self, time: Duration) {
        self.monitor.execute("cont", Value::Null).unwrap();
        std::thread::sleep(time);
        self.monitor.execute("stop", Value::Null).unwrap();
    }

    /// The guest's memory, all of it.
    pub fn memory(&self) -> Vec<u8> {
        let file = self.path("memory.dump");
        let arguments = json!({ "val": 0, "size": 16 << 20, "filename": file.to_str().unwrap() });
        self.monitor.execute("pmemsave", arguments).unwrap();
        std::fs::read(file).unwrap()
    }

    pub fn status(&self) -> String {
        let answer = self.monitor.execute("query-status", Value::Null).unwrap();
        answer["status"].as_str().unwrap().to_owned()
    }

    pub fn nodes(&self) -> usize {
        let arguments = json!({ "flat": true });
        let answer = self.monitor.execute("query-named-block-nodes", arguments);
        answer.unwrap().as_array().unwrap().len()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}

fn connect(socket: &Path) -> Monitor {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match Monitor::connect(socket) {
            Ok(monitor) => return monitor,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(super) fn qemu_img(arguments: &[&str]) {
    let status = Command::new("qemu-img").args(arguments).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

/// Whether a `qemu-io` read of an image that a guest has open finds its pattern.
pub(super) fn qemu_io(image: &Path, command: &str) -> bool {
    let output = Command::new("qemu-io")
        .args(["-U", "-r", "-f", "qcow2", "-c", command])
        .arg(image)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("read "), "{said}");
    !said.contains("Pattern verification failed")
}
