//! Variables and TPM of guests that run: kept at the snapshot's instant, and back with it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use virsnap::data::qmp::{Commands, Monitor};
use virsnap::error::Result;
use virsnap::limits;
use virsnap::ops::{Domain, Hooks, Start};
use virsnap::snapshot::State;

use crate::guest::{DISK_ONLY, Guest, qemu, qemu_img, refusal};

/// Bytes of a flash that QEMU takes.
const FLASH_BYTES: usize = 64 << 10;

/// Starts and attaches the guest of a directory, as its manager would.
struct Manager {
    directory: String,
    domain: Weak<Domain>,
    /// Of the image of the variables.
    format: &'static str,
    process: Mutex<Option<Child>>,
}

impl Manager {
    fn of(guest: &Guest, format: &'static str) -> Arc<Manager> {
        let manager = Arc::new(Manager {
            directory: guest.path(""),
            domain: Arc::downgrade(&guest.domain),
            format,
            process: Mutex::new(None),
        });
        let hooks: Arc<dyn Hooks> = Arc::<Manager>::clone(&manager);
        guest.domain.guest().unwrap().set_hooks(Some(hooks));
        manager.start_guest(Start::Paused).unwrap();
        manager
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.directory)
    }

    fn start_guest(&self, start: Start) -> Result<()> {
        self.end();
        let domain = self.domain.upgrade().unwrap();
        let definition = domain.definition(true).unwrap();
        let image = crate::guest::source_of(&definition, "vda");
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-display", "none", "-accel", "tcg"]);
        qemu.args(["-machine", "pc", "-m", "16", "-S"]);
        for socket in ["qmp", "own"] {
            let path = self.path(socket);
            let _ = fs::remove_file(&path);
            qemu.args(["-qmp", &format!("unix:{path},server=on,wait=off")]);
        }
        let flash =
            |unit, how: &str, file: &str| format!("if=pflash,unit={unit},format={how},file={file}");
        qemu.args(["-drive", &flash(0, "raw,readonly=on", &firmware())]);
        qemu.args(["-drive", &flash(1, self.format, &self.path("vars.fd"))]);
        let node = format!("driver=qcow2,node-name=d,file.driver=file,file.filename={image}");
        qemu.args(["-blockdev", &node, "-device", "virtio-blk-pci,drive=d"]);
        if start == Start::Incoming {
            qemu.args(["-incoming", "defer"]);
        }
        qemu.stdin(Stdio::null()).stdout(Stdio::null());
        let process = qemu.spawn().unwrap();
        *self.process.lock().unwrap() = Some(process);
        await_true("its monitors", || {
            Monitor::connect(Path::new(&self.path("own"))).is_ok()
        });
        let monitor = self.path("qmp");
        let guest = domain.guest()?;
        guest.attach(Path::new(&monitor), None, limits::MONITOR_REPLY)
    }

    fn end(&self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            let _ = process.kill();
            process.wait().unwrap();
        }
    }

    fn execute(&self, command: &str, arguments: Value) -> Value {
        let own = Monitor::connect(Path::new(&self.path("own"))).unwrap();
        own.execute(command, arguments).unwrap()
    }

    /// Changes the image of the variables as the flash's device would.
    fn write_image(&self, byte: u8) {
        let line = format!("qemu-io pflash1 \"write -P {byte} 0 64k\"");
        self.execute("human-monitor-command", json!({ "command-line": line }));
    }

    /// The same of an image that is a raw file.
    fn write_variables(&self, byte: u8) {
        self.write_image(byte);
        let path = self.path("vars.fd");
        await_true("the variables", || {
            fs::read(&path).unwrap() == vec![byte; FLASH_BYTES]
        });
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.end();
    }
}

impl Hooks for Manager {
    fn can_start(&self) -> bool {
        true
    }

    fn start(&self, _definition: &str, start: Start) -> Option<Result<()>> {
        Some(self.start_guest(start))
    }
}

/// What stands for the firmware's code: any that QEMU starts.
fn firmware() -> String {
    let places = ["/usr/share/seabios", "/usr/share/qemu"];
    let files = places.map(|place| format!("{place}/bios-256k.bin"));
    let found = files.into_iter().find(|file| Path::new(file).exists());
    found.expect("these tests need SeaBIOS, which comes with QEMU")
}

pub fn await_true(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running guest whose variables are of that byte.
fn running(byte: u8) -> (Guest, Arc<Manager>) {
    let guest = Guest::with_firmware(&[("vda", "qcow2")], "");
    remember(&guest, byte);
    let manager = Manager::of(&guest, "raw");
    manager.execute("cont", Value::Null);
    (guest, manager)
}

fn remember(guest: &Guest, byte: u8) {
    fs::write(guest.path("vars.fd"), vec![byte; FLASH_BYTES]).unwrap();
    fs::write(guest.path("tpm/tpm2-00.permall"), [byte]).unwrap();
}

fn await_variables(guest: &Guest, byte: u8) {
    await_true("the variables that were kept", || {
        fs::read(guest.path("vars.fd")).unwrap() == vec![byte; FLASH_BYTES]
    });
}

/// That the copy of a snapshot is of that byte.
fn assert_kept(guest: &Guest, name: &str, byte: u8) {
    for (entry, bytes) in [("nvram", FLASH_BYTES), ("tpm/tpm2-00.permall", 1)] {
        let copy = guest.path(&format!("vars.fd.{name}"));
        let tar = Command::new("tar").args(["-xOf", &copy, entry]).output();
        assert!(tar.unwrap().stdout == vec![byte; bytes], "{entry}");
    }
}

#[test]
fn memory_inside_brings_the_variables_back() {
    let (guest, manager) = running(1);
    guest.create("s1", "", 0).unwrap();
    assert_eq!(guest.domain.state().unwrap(), State::Running);
    assert_kept(&guest, "s1", 1);
    manager.write_variables(2);
    guest.revert("s1").unwrap();
    assert_eq!(guest.domain.state().unwrap(), State::Running);
    // QEMU has the flash in the memory that it loads, and writes it to its file.
    await_variables(&guest, 1);
    guest.delete("s1", 0).unwrap();
    assert!(!guest.files().contains(&"vars.fd.s1".to_owned()));
}

#[test]
fn disks_alone_bring_them_back_while_the_guest_is_off() {
    let (guest, manager) = running(1);
    guest.create("s1", "", DISK_ONLY).unwrap();
    assert_eq!(guest.domain.state().unwrap(), State::Running);
    assert_kept(&guest, "s1", 1);
    manager.write_variables(2);
    fs::write(guest.path("tpm/tpm2-00.permall"), [2]).unwrap();
    guest.create("s2", "", DISK_ONLY).unwrap();
    assert_kept(&guest, "s2", 2);
    guest.revert("s1").unwrap();
    assert_eq!(guest.domain.state().unwrap(), State::Shutoff);
    await_variables(&guest, 1);
    assert_eq!(fs::read(guest.path("tpm/tpm2-00.permall")).unwrap(), [1]);
}

#[test]
fn memory_in_a_file_brings_them_back() {
    let (guest, manager) = running(1);
    let xml = format!(
        "<domainsnapshot><name>s1</name><memory snapshot='external' file='{}'/></domainsnapshot>",
        guest.path("memory")
    );
    guest.create_xml(&xml, 0).unwrap();
    assert_eq!(guest.domain.state().unwrap(), State::Running);
    assert_kept(&guest, "s1", 1);
    manager.write_variables(2);
    guest.revert("s1").unwrap();
    assert_eq!(guest.domain.state().unwrap(), State::Running);
    await_variables(&guest, 1);
    assert_eq!(fs::read(guest.path("tpm/tpm2-00.permall")).unwrap(), [1]);
}

#[test]
fn variables_in_a_qcow2_image_are_one_more_image() {
    let guest = Guest::with_firmware(&[("vda", "qcow2")], "format='qcow2'");
    let vars = guest.path("vars.fd");
    fs::remove_file(&vars).unwrap();
    qemu_img(&["create", "-q", "-f", "qcow2", &vars, "64k"]);
    let manager = Manager::of(&guest, "qcow2");
    manager.write_image(1);
    guest.create("s1", "", 0).unwrap();
    let held = || {
        let listed = qemu("qemu-img", &["snapshot", "-U", "-l", &vars]);
        String::from_utf8(listed.stdout).unwrap().contains(" s1 ")
    };
    assert!(held());
    manager.write_image(2);
    guest.revert("s1").unwrap();
    manager.end();
    let read = ["-f", "qcow2", "-c", "read -q -P 1 0 64k", &vars];
    assert!(qemu("qemu-io", &read).status.success());
    guest.delete("s1", 0).unwrap();
    assert!(!held());
}

#[test]
fn a_guest_whose_state_cannot_be_kept_goes_on() {
    let (guest, _manager) = running(1);
    let before = guest.files();
    fs::create_dir(guest.path("tpm/below")).unwrap();
    for flags in [0, DISK_ONLY] {
        let error = refusal(guest.create("s1", "", flags));
        assert!(error.contains("holds 'below'"), "{error}");
        assert_eq!(guest.domain.state().unwrap(), State::Running);
    }
    assert_eq!(guest.files(), before);
}
