"""A world of its own for each test: directories, images, an embedded QEMU driver, virsh.

The library under test is the one that VIRSNAP_PRELOAD names. The guests are stopped at the end.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

PRELOAD = os.environ["VIRSNAP_PRELOAD"]

QEMU_CONF = """\
user="root"
group="root"
dynamic_ownership=0
remember_owner=0
security_driver="none"
cgroup_controllers=[]
namespaces=[]
stdio_handler="file"
"""

UUID = "5b7d3a3e-0f5b-4c0e-9d86-7c1f5d6b1a01"


def qemu_img(*arguments):
    """What qemu-img says."""
    return subprocess.run(
        ["qemu-img", *arguments], check=True, capture_output=True, text=True
    ).stdout


def snapshots_in(image):
    """Names of the snapshots in a qcow2 image, oldest first."""
    lines = qemu_img("snapshot", "-l", "-U", image).splitlines()[2:]
    return [line.split()[1] for line in lines]


def masked(text, root=None):
    """Without what differs from run to run: times, and where the test stands."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[. ]\S+", "TIME", text)
    text = re.sub(r"\b1\d{9}\b", "SECONDS", text)
    return text.replace(root, "ROOT") if root else text


class World(unittest.TestCase):
    """Two directories, one for each side of a comparison, and the state of this library."""

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("libvirt's embedded QEMU driver needs root here")
        self.root = tempfile.mkdtemp(prefix="virsnap-companion-")
        self.addCleanup(shutil.rmtree, self.root)
        self.state = os.path.join(self.root, "state")
        os.mkdir(self.state, 0o700)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
            "VIRSNAP_STATE_DIR": self.state,
            "LC_ALL": "C",
            "TZ": "UTC",
            "VIRSH_HISTSIZE": "0",
            "HOME": self.root,
        }
        self.addCleanup(self.stop_guests)

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def embedded(self, name):
        """A QEMU driver of its own below the root; its URI."""
        directory = self.path(name)
        os.makedirs(os.path.join(directory, "etc"))
        with open(os.path.join(directory, "etc", "qemu.conf"), "w", encoding="ascii") as conf:
            conf.write(QEMU_CONF)
        return f"qemu:///embed?root={directory}"

    def domain_file(self, directory, name="guest", disks=("vda",), uuid=UUID):
        """A definition with an empty qcow2 image for each disk; the file it stands in."""
        devices = ""
        for disk in disks:
            image = self.path(directory, f"{name}-{disk}.qcow2")
            qemu_img("create", "-q", "-f", "qcow2", image, "4M")
            devices += (
                "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
                f"<source file='{image}'/><target dev='{disk}' bus='virtio'/></disk>"
            )
        xml = (
            f"<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>"
            "<memory unit='MiB'>16</memory>"
            "<os><type arch='x86_64' machine='pc'>hvm</type></os>"
            f"<devices>{devices}</devices></domain>"
        )
        return self.write(os.path.join(directory, f"{name}.xml"), xml)

    def write(self, name, text):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def virsh(self, uri, *commands, preload=True, options=(), **variables):
        """What virsh says to these commands, in one process: standard output, errors."""
        environment = {**self.environment, **variables}
        if preload:
            environment["LD_PRELOAD"] = PRELOAD
        done = subprocess.run(
            ["virsh", *options, "-c", uri, "; ".join(commands)],
            stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True, env=environment, timeout=180,
        )
        self.assertGreaterEqual(done.returncode, 0, f"virsh died: {done.stderr}")
        # What the embedded driver logs is about the host.
        errors = [line for line in done.stderr.splitlines() if not re.match(r"\d{4}-", line)]
        return done.stdout, "\n".join(errors)

    def stop_guests(self):
        """By the process ids that libvirt keeps; only guests below this root."""
        for directory, _, files in os.walk(self.root):
            for file in files:
                if file.endswith(".pid") and os.path.basename(directory) == "qemu":
                    self.stop(os.path.join(directory, file))

    def stop(self, pid_file):
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read().strip() or 0)
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                is_ours = self.root.encode() in file.read()
        except OSError:
            return
        if is_ours:
            os.kill(pid, signal.SIGKILL)
