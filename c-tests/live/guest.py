"""A manager with a real QEMU, told what to do and looked into."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

from .proxy import Proxy


RUNNING, PAUSED, SHUTOFF = 1, 3, 5
CREATE_NO_METADATA, CREATE_HALT, CREATE_DISK_ONLY, CREATE_REUSE_EXT = 4, 8, 16, 32
CREATE_QUIESCE, CREATE_LIVE = 64, 256
REVERT_RUNNING, REVERT_PAUSED = 1, 2

DOMAIN = """<domain type='qemu'><name>guest</name><memory>16384</memory>
<os><type arch='x86_64'>hvm</type></os><devices>{disks}</devices></domain>"""
DISK = """<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='{file}'/><target dev='vd{letter}'/></disk>"""
NO_DISKS = "<disks><disk name='vda' snapshot='no'/><disk name='vdb' snapshot='no'/></disks>"


class Failed(Exception):
    """What minivmm answered with `error:`."""


class Guest:
    """A minivmm, and the second QMP socket of its guest."""

    def __init__(self, program, directory, disks, parameters=""):
        self.program, self.top, self.disks = program, Path(directory), disks
        self.parameters = parameters
        self.runs = 0
        self.begin()

    def begin(self):
        disks = self.disks
        self.runs += 1
        self.directory = self.top / str(self.runs)
        self.directory.mkdir()
        self.images = [self.directory / f"disk{number}.qcow2" for number in range(disks)]
        for image in self.images:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
        self.definition = self.directory / "guest.xml"
        self.define()
        self.said = open(self.directory / "said", "w+")
        self.proxy = Proxy(f"{self.definition}.proxy", f"{self.definition}.qmp")
        self.manage()

    def manage(self):
        """Starts the manager, also after another one."""
        environment = dict(os.environ, MINIVMM_MONITOR=self.proxy.path)
        self.process = subprocess.Popen(
            ["stdbuf", "-o0", self.program, self.directory / "state", self.definition,
             self.parameters],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True,
            env=environment,
        )

    def define(self):
        disks = "".join(
            DISK.format(file=image, letter=chr(ord("a") + number))
            for number, image in enumerate(self.images)
        )
        self.definition.write_text(DOMAIN.format(disks=disks))

    def restart(self):
        """Another manager, on another state directory and fresh images."""
        self.__exit__()
        self.begin()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # minivmm ends its guest when its input ends.
        self.process.stdin.close()
        self.process.wait(60)
        self.said.close()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().rstrip("\n")
        if not answer.startswith("ok"):
            raise Failed(answer)
        return answer[3:]

    def refused(self, line, text):
        try:
            self.tell(line)
        except Failed as error:
            assert text in str(error), error
        else:
            raise AssertionError(f"worked: {line}")

    def create(self, name, flags=0, more=""):
        self.tell(f"create {flags} <domainsnapshot><name>{name}</name>{more}</domainsnapshot>")

    def state(self):
        return int(self.tell("state"))

    def command(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as own:
            own.connect(f"{self.definition}.own")
            lines = own.makefile("rw")
            lines.readline()
            for execute, given in (("qmp_capabilities", {}), (command, arguments)):
                lines.write(json.dumps({"execute": execute, "arguments": given}) + "\n")
                lines.flush()
                answer = {}
                while "return" not in answer and "error" not in answer:
                    answer = json.loads(lines.readline())
        assert "return" in answer, answer
        return answer["return"]

    def io(self, disk, command):
        """qemu-io as the disk's device. It prints on the process's standard output."""
        start = self.said.seek(0, os.SEEK_END)
        device = f"/machine/peripheral/vd{disk}/virtio-backend"
        line = f'qemu-io -d {device} "{command}"'
        said = self.command("human-monitor-command", **{"command-line": line})
        self.said.seek(start)
        return said + self.said.read()

    def write(self, disk, byte):
        said = self.io(disk, f"write -P {byte} 0 64k")
        assert "wrote 65536/65536" in said, said
        # What a guest has not flushed is lost when its process is killed.
        self.io(disk, "flush")

    def holds(self, disk, byte):
        said = self.io(disk, f"read -P {byte} 0 64k")
        assert "read 65536/65536" in said, said
        return "verification failed" not in said

    def memory(self):
        file = self.directory / "memory"
        self.command("pmemsave", val=0, size=16 << 20, filename=str(file))
        return file.read_bytes()

    def run_for(self, seconds):
        self.command("cont")
        time.sleep(seconds)
        self.command("stop")

    def held(self, disk):
        """The names of the snapshots in an image."""
        return [entry["name"] for entry in facts(self.images[disk]).get("snapshots", [])]

    def backing(self, image):
        return facts(image).get("backing-filename")

    def found(self, image, byte):
        """Whether an image that the guest does not write to holds a byte."""
        said = subprocess.run(
            ["qemu-io", "-U", "-r", "-f", "qcow2", "-c", f"read -P {byte} 0 64k", image],
            capture_output=True, text=True,
        ).stdout
        assert "read 65536/65536" in said, said
        return "verification failed" not in said


def facts(image):
    """What qemu-img knows of an image, whoever has it open."""
    said = subprocess.run(
        ["qemu-img", "info", "-U", "--output=json", image], check=True, capture_output=True,
    ).stdout
    return json.loads(said)
