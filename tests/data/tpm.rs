//! The state of an emulated TPM, with a real swtpm: what its index and its register hold after each
//! kind of snapshot. The guest's CPUs are stopped; QEMU's `-qtest` works on the TPM's device in their
//! place.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use serde_json::Value;
use tempfile::TempDir;
use virsnap::data::qmp::Monitor;
use virsnap::error::Result;
use virsnap::limits;
use virsnap::ops::{Domain, Hooks, Start};
use virsnap::snapshot::State;

use crate::firmware_live::await_true;
use crate::guest::{DISK_ONLY, Guest, qemu_img, source_of};

/// A guest with a disk and a TPM, started and ended by its program.
struct Computer {
    directory: String,
    domain: Weak<Domain>,
    /// QEMU, and its swtpm.
    processes: Mutex<Option<(Child, Child)>>,
}

impl Computer {
    fn new() -> (Guest, Arc<Computer>) {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        fs::create_dir(path("tpm")).unwrap();
        qemu_img(&["create", "-q", "-f", "qcow2", &path("vda.img"), "8M"]);
        let devices = format!(
            "<disk type='file'><driver name='qemu' type='qcow2'/><source file='{}'/>\
             <target dev='vda'/></disk><tpm model='tpm-tis'><backend type='emulator' version='2.0'>\
             <source type='dir' path='{}'/></backend></tpm>",
            path("vda.img"),
            path("tpm")
        );
        let guest = Guest::with_devices(directory, &devices);
        let computer = Arc::new(Computer {
            directory: guest.path(""),
            domain: Arc::downgrade(&guest.domain),
            processes: Mutex::new(None),
        });
        let hooks: Arc<dyn Hooks> = Arc::<Computer>::clone(&computer);
        guest.domain.guest().unwrap().set_hooks(Some(hooks));
        (guest, computer)
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.directory)
    }

    fn start(&self, start: Start) -> Result<()> {
        for socket in ["control", "qtest", "qmp"] {
            let _ = fs::remove_file(self.path(socket));
        }
        let mut swtpm = Command::new("swtpm");
        swtpm.args(["socket", "--tpm2", "--terminate", "--tpmstate"]);
        swtpm.arg(format!("dir={}", self.path("tpm")));
        let control = format!("type=unixio,path={}", self.path("control"));
        swtpm.args(["--ctrl", &control]);
        swtpm.stdin(Stdio::null()).stderr(Stdio::null());
        let swtpm = swtpm.spawn().expect("these tests need swtpm");
        self.await_file("control");

        let domain = self.domain.upgrade().unwrap();
        let definition = domain.definition(true).unwrap();
        let image = source_of(&definition, "vda");
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-display", "none", "-accel", "tcg", "-S"]);
        qemu.args(["-machine", "pc", "-m", "16", "-qtest-log", "none"]);
        for (option, socket) in [("-qtest", "qtest"), ("-qmp", "qmp")] {
            qemu.args([
                option,
                &format!("unix:{},server=on,wait=off", self.path(socket)),
            ]);
        }
        let chardev = format!("socket,id=swtpm,path={}", self.path("control"));
        qemu.args([
            "-chardev",
            &chardev,
            "-tpmdev",
            "emulator,id=t,chardev=swtpm",
        ]);
        let node = format!("driver=qcow2,node-name=d,file.driver=file,file.filename={image}");
        qemu.args(["-device", "tpm-tis,tpmdev=t", "-blockdev", &node]);
        qemu.args(["-device", "virtio-blk-pci,drive=d"]);
        if start == Start::Incoming {
            qemu.args(["-incoming", "defer"]);
        }
        let qemu = qemu.stdin(Stdio::null()).spawn().unwrap();
        *self.processes.lock().unwrap() = Some((qemu, swtpm));
        self.await_file("qtest");
        let monitor = self.path("qmp");
        await_true("its monitor", || {
            Monitor::connect(Path::new(&monitor)).is_ok()
        });
        let guest = domain.guest()?;
        guest.attach(Path::new(&monitor), None, limits::MONITOR_REPLY)
    }

    fn await_file(&self, name: &str) {
        let path = self.path(name);
        await_true(name, || Path::new(&path).exists());
    }

    /// Without its QEMU swtpm ends by itself (`--terminate`).
    fn end(&self) {
        if let Some((mut qemu, mut swtpm)) = self.processes.lock().unwrap().take() {
            let _ = qemu.kill();
            qemu.wait().unwrap();
            swtpm.wait().unwrap();
        }
        if let Some(domain) = self.domain.upgrade() {
            domain.guest().unwrap().detach();
        }
    }

    fn tpm(&self) -> Tpm {
        let device = UnixStream::connect(self.path("qtest")).unwrap();
        Tpm(BufReader::new(device))
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Hooks for Computer {
    fn can_start(&self) -> bool {
        true
    }

    fn start(&self, _definition: &str, start: Start) -> Option<Result<()>> {
        Some(Computer::start(self, start))
    }

    fn stop(&self) -> Option<Result<()>> {
        self.end();
        Some(Ok(()))
    }
}

/// The TPM's device. Source of registers and commands: TCG's PC Client Platform TPM Profile
/// (TIS registers of locality 0), and TPM 2.0 Library, part 3.
struct Tpm(BufReader<UnixStream>);

const REGISTERS: u64 = 0xfed4_0000;
const ACCESS: u64 = 0;
const STATUS: u64 = 0x18;
const FIFO: u64 = 0x24;
const ACTIVE: u8 = 0x20;
const REQUEST: u8 = 0x02;
const READY: u8 = 0x40;
const GO: u8 = 0x20;
const HAS_DATA: u8 = 0x10;

const INDEX: u32 = 0x0150_0001;
const REGISTER: u32 = 16;
const RETRY: u32 = 0x922;

impl Tpm {
    fn ask(&mut self, line: &str) -> String {
        writeln!(self.0.get_mut(), "{line}").unwrap();
        loop {
            let mut answer = String::new();
            self.0.read_line(&mut answer).unwrap();
            match answer.trim().split_once(' ') {
                Some(("IRQ", _)) => {}
                Some(("OK", value)) => return value.to_owned(),
                _ if answer.trim() == "OK" => return String::new(),
                _ => panic!("{line}: {answer}"),
            }
        }
    }

    fn read(&mut self, register: u64) -> u8 {
        let value = self.ask(&format!("readb {:#x}", REGISTERS + register));
        u8::from_str_radix(value.trim_start_matches("0x"), 16).unwrap()
    }

    fn write(&mut self, register: u64, value: u8) {
        self.ask(&format!("writeb {:#x} {value:#x}", REGISTERS + register));
    }

    fn await_bit(&mut self, register: u64, bit: u8) {
        for _ in 0..10_000 {
            if self.read(register) & bit != 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("register {register:#x} never has {bit:#x}");
    }

    /// Sends a command; its answer's code, and what follows that.
    fn send(&mut self, tag: u16, code: u32, body: &[u8]) -> (u32, Vec<u8>) {
        let length = u32::try_from(10 + body.len()).unwrap();
        let mut command = tag.to_be_bytes().to_vec();
        command.extend(length.to_be_bytes());
        command.extend(code.to_be_bytes());
        command.extend(body);
        self.write(ACCESS, REQUEST);
        self.await_bit(ACCESS, ACTIVE);
        self.write(STATUS, READY);
        self.await_bit(STATUS, READY);
        for byte in command {
            self.write(FIFO, byte);
        }
        self.write(STATUS, GO);
        self.await_bit(STATUS, HAS_DATA);
        let mut answer = Vec::new();
        while self.read(STATUS) & HAS_DATA != 0 {
            answer.push(self.read(FIFO));
        }
        self.write(STATUS, READY);
        let code = u32::from_be_bytes(answer[6..10].try_into().unwrap());
        (code, answer.split_off(10))
    }

    /// As the owner of everything, with empty passwords, until the TPM has time for it.
    fn command(&mut self, code: u32, handles: &[u32], parameters: &[u8]) -> Vec<u8> {
        let mut body: Vec<u8> = handles
            .iter()
            .flat_map(|handle| handle.to_be_bytes())
            .collect();
        body.extend(*b"\0\0\0\x09\x40\0\0\x09\0\0\x01\0\0");
        body.extend(parameters);
        loop {
            match self.send(0x8002, code, &body) {
                (0, answer) => return answer,
                (RETRY, _) => {}
                (error, _) => panic!("command {code:#x}: {error:#x}"),
            }
        }
    }

    /// As firmware does it after power on.
    fn start_up(&mut self) {
        assert_eq!(self.send(0x8001, 0x144, &[0, 0]).0, 0);
    }

    /// Makes an index of eight bytes, which everybody may read and write.
    fn define(&mut self) {
        let mut area = INDEX.to_be_bytes().to_vec();
        area.extend(*b"\0\x0b\0\x04\0\x04\0\0\0\x08");
        let mut parameters = b"\0\0\0\x0e".to_vec();
        parameters.extend(area);
        self.command(0x12a, &[0x4000_0001], &parameters);
    }

    /// Its permanent state.
    fn keep(&mut self, byte: u8) {
        let mut parameters = b"\0\x08".to_vec();
        parameters.extend([byte; 8]);
        parameters.extend([0, 0]);
        self.command(0x137, &[INDEX, INDEX], &parameters);
    }

    fn kept(&mut self) -> u8 {
        let answer = self.command(0x14e, &[INDEX, INDEX], b"\0\x08\0\0");
        let bytes = &answer[6..14];
        assert!(bytes.iter().all(|byte| *byte == bytes[0]), "{bytes:?}");
        bytes[0]
    }

    /// Its volatile state.
    fn extend(&mut self, byte: u8) {
        let mut parameters = b"\0\0\0\x01\0\x0b".to_vec();
        parameters.extend([byte; 32]);
        self.command(0x182, &[REGISTER], &parameters);
    }

    fn register(&mut self) -> Vec<u8> {
        let selection = b"\0\0\0\x01\0\x0b\x03\0\0\x01";
        let (code, answer) = self.send(0x8001, 0x17e, selection);
        assert_eq!(code, 0);
        answer[answer.len() - 32..].to_vec()
    }

    /// Gives both states other values; the register's.
    fn change(&mut self, byte: u8) -> Vec<u8> {
        self.keep(byte);
        self.extend(byte);
        self.register()
    }
}

/// A guest that is on, with a TPM that it has begun to use.
fn running() -> (Guest, Arc<Computer>) {
    let (guest, computer) = Computer::new();
    computer.start(Start::Paused).unwrap();
    let mut tpm = computer.tpm();
    tpm.start_up();
    tpm.define();
    drop(tpm);
    (guest, computer)
}

fn copies(guest: &Guest) -> usize {
    let files = guest.files();
    files.iter().filter(|file| file.starts_with("tpm.")).count()
}

/// Takes two snapshots, goes back to each, and deletes them.
fn comes_back_with_memory(take: impl Fn(&Guest, &str)) {
    let (guest, computer) = running();
    let first = computer.tpm().change(1);
    take(&guest, "s1");
    let second = computer.tpm().change(2);
    take(&guest, "s2");
    assert_ne!(computer.tpm().change(3), second);
    assert_eq!(copies(&guest), 2);
    for (name, byte, register) in [("s1", 1, &first), ("s2", 2, &second), ("s1", 1, &first)] {
        guest.revert(name).unwrap();
        assert_eq!(guest.domain.state().unwrap(), State::Paused);
        assert_eq!(computer.tpm().kept(), byte, "{name}");
        assert_eq!(&computer.tpm().register(), register, "{name}");
    }
    // What came back is what it works with from then on.
    computer.tpm().keep(4);
    guest.domain.guest().unwrap().stop().unwrap();
    for name in ["s2", "s1"] {
        guest.delete(name, 0).unwrap();
    }
    assert_eq!(copies(&guest), 0);
    computer.start(Start::Paused).unwrap();
    computer.tpm().start_up();
    assert_eq!(computer.tpm().kept(), 4);
}

#[test]
fn a_tpm_comes_back_with_memory_inside() {
    comes_back_with_memory(|guest, name| {
        guest.create(name, "", 0).unwrap();
    });
}

#[test]
fn a_tpm_comes_back_with_memory_in_a_file() {
    comes_back_with_memory(|guest, name| {
        let file = guest.path(&format!("{name}.memory"));
        let xml = format!(
            "<domainsnapshot><name>{name}</name><memory snapshot='external' file='{file}'/>\
             <disks><disk name='vda' snapshot='external'/></disks></domainsnapshot>"
        );
        guest.create_xml(&xml, 0).unwrap();
        // It has its images again, and has hardly begun.
        let monitor = guest.domain.guest().unwrap().commands().unwrap();
        for command in ["cont", "stop"] {
            monitor.execute(command, Value::Null).unwrap();
        }
    });
}

/// Reverts to both of two snapshots without memory: the guest is off, and starts as after a loss of power.
fn comes_back_without_memory(guest: &Guest, computer: &Computer) {
    for (name, byte) in [("s1", 1), ("s2", 2), ("s1", 1)] {
        guest.revert(name).unwrap();
        assert_eq!(guest.domain.state().unwrap(), State::Shutoff);
        computer.start(Start::Paused).unwrap();
        computer.tpm().start_up();
        assert_eq!(computer.tpm().kept(), byte, "{name}");
        assert_eq!(computer.tpm().register(), [0; 32], "{name}");
        computer.tpm().change(9);
    }
    for name in ["s1", "s2"] {
        guest.delete(name, 0).unwrap();
    }
    assert_eq!(copies(guest), 0);
    assert_eq!(computer.tpm().kept(), 9);
}

#[test]
fn a_tpm_comes_back_with_disks_of_a_running_guest() {
    let (guest, computer) = running();
    for (name, byte) in [("s1", 1), ("s2", 2)] {
        computer.tpm().change(byte);
        guest.create(name, "", DISK_ONLY).unwrap();
    }
    computer.tpm().change(3);
    comes_back_without_memory(&guest, &computer);
}

#[test]
fn a_tpm_of_a_guest_that_is_off_comes_back() {
    let (guest, computer) = running();
    for (name, byte) in [("s1", 1), ("s2", 2)] {
        computer.tpm().change(byte);
        computer.end();
        guest.create(name, "", 0).unwrap();
        computer.start(Start::Paused).unwrap();
        computer.tpm().start_up();
    }
    computer.tpm().change(3);
    comes_back_without_memory(&guest, &computer);
}
