"""Drives examples/minivmm with a real QEMU: snapshots of a running guest, contents checked.

usage: live.py MINIVMM
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNNING, PAUSED, SHUTOFF = 1, 3, 5
CREATE_HALT, CREATE_DISK_ONLY = 8, 16
REVERT_RUNNING, REVERT_PAUSED = 1, 2

DOMAIN = """<domain type='qemu'><name>guest</name><memory>16384</memory>
<os><type arch='x86_64'>hvm</type></os><devices>{disks}</devices></domain>"""
DISK = """<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='{file}'/><target dev='vd{letter}'/></disk>"""


class Failed(Exception):
    """What minivmm answered with `error:`."""


class Guest:
    """A minivmm, and the second QMP socket of its guest."""

    def __init__(self, program, directory, disks):
        self.directory = Path(directory)
        self.images = [self.directory / f"disk{number}.qcow2" for number in range(disks)]
        for image in self.images:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
        self.definition = self.directory / "guest.xml"
        self.define()
        self.said = open(self.directory / "said", "w+")
        self.process = subprocess.Popen(
            ["stdbuf", "-o0", program, self.directory / "state", self.definition],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True,
        )

    def define(self):
        disks = "".join(
            DISK.format(file=image, letter=chr(ord("a") + number))
            for number, image in enumerate(self.images)
        )
        self.definition.write_text(DOMAIN.format(disks=disks))

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
        """The names of the snapshots in an image, whoever has it open."""
        said = subprocess.run(
            ["qemu-img", "info", "-U", "--output=json", self.images[disk]],
            check=True, capture_output=True,
        ).stdout
        return [entry["name"] for entry in json.loads(said).get("snapshots", [])]


def a_guest_comes_and_goes(guest):
    assert guest.state() == SHUTOFF
    guest.tell("start")
    assert guest.state() == PAUSED
    guest.command("cont")
    assert guest.state() == RUNNING
    guest.tell("kill")
    assert guest.state() == SHUTOFF


def memory_and_disks_are_kept_and_come_back(guest):
    guest.tell("start")
    guest.run_for(0.5)
    guest.write(0, 0x11)
    guest.write(1, 0x22)
    memory = guest.memory()
    guest.create("paused")
    assert guest.state() == PAUSED
    guest.command("cont")
    guest.create("running")
    assert guest.state() == RUNNING
    assert guest.held(0) == guest.held(1) == ["paused", "running"]
    guest.write(0, 0x33)
    guest.write(1, 0x44)
    guest.tell("revert 0 paused")
    assert guest.state() == PAUSED
    assert guest.memory() == memory
    assert guest.holds(0, 0x11) and guest.holds(1, 0x22)
    assert guest.tell("current") == "paused"
    guest.tell("revert 0 running")
    assert guest.state() == RUNNING
    guest.tell(f"revert {REVERT_PAUSED} running")
    assert guest.state() == PAUSED
    guest.tell(f"revert {REVERT_RUNNING} paused")
    assert guest.state() == RUNNING
    guest.tell("delete 0 paused")
    assert guest.held(0) == guest.held(1) == ["running"]
    assert guest.tell("list") == "running"


def a_guest_that_is_off_is_started_with_its_memory(guest):
    guest.tell("start")
    guest.run_for(0.5)
    guest.write(0, 0x11)
    memory = guest.memory()
    guest.create("kept")
    guest.write(0, 0x33)
    guest.tell("stop")
    assert guest.state() == SHUTOFF
    guest.tell("revert 0 kept")
    assert guest.state() == PAUSED
    assert guest.memory() == memory
    assert guest.holds(0, 0x11)


def an_offline_snapshot_stops_the_guest(guest):
    guest.create("off")
    guest.tell("start")
    guest.write(0, 0x55)
    guest.tell("revert 0 off")
    assert guest.state() == SHUTOFF
    guest.tell("start")
    assert guest.holds(0, 0)
    guest.tell(f"revert {REVERT_RUNNING} off")
    assert guest.state() == RUNNING
    guest.tell(f"revert {REVERT_PAUSED} off")
    assert guest.state() == PAUSED


def nothing_is_stopped_for_a_snapshot_that_is_not_whole(guest):
    guest.create("off")
    guest.tell("start")
    guest.create("on")
    guest.tell("stop")
    subprocess.run(["qemu-img", "snapshot", "-d", "off", guest.images[1]], check=True)
    subprocess.run(["qemu-img", "snapshot", "-d", "on", guest.images[1]], check=True)
    guest.tell("start")
    guest.command("cont")
    for name in ("off", "on"):
        guest.refused(f"revert 0 {name}", "not found in image")
        assert guest.state() == RUNNING
    assert guest.held(0) == ["off", "on"]


def halt_stops_the_guest(guest):
    guest.tell("start")
    guest.create("last", CREATE_HALT)
    assert guest.state() == SHUTOFF
    assert guest.held(0) == guest.held(1) == ["last"]


def names_are_kept_as_they_are(guest):
    guest.tell("start")
    for name in ("a&quot;b", "c\\d", "e f"):
        guest.create(name)
    assert guest.held(0) == ['a"b', "c\\d", "e f"]
    guest.refused(
        "create 0 <domainsnapshot><name>e f</name></domainsnapshot>", "already exists")


def a_killed_guest_leaves_metadata_and_images_alike(guest):
    guest.tell("start")
    guest.create("one")
    os.kill(int(guest.tell("pid")), 9)
    time.sleep(0.5)
    assert guest.state() == SHUTOFF
    guest.create("two")
    assert guest.held(0) == guest.held(1) == ["one", "two"]
    guest.tell("delete 0 one")
    assert guest.held(0) == guest.held(1) == ["two"]


TESTS = [
    a_guest_comes_and_goes,
    memory_and_disks_are_kept_and_come_back,
    a_guest_that_is_off_is_started_with_its_memory,
    an_offline_snapshot_stops_the_guest,
    nothing_is_stopped_for_a_snapshot_that_is_not_whole,
    halt_stops_the_guest,
    names_are_kept_as_they_are,
    a_killed_guest_leaves_metadata_and_images_alike,
]


def main(program):
    for test in TESTS:
        with tempfile.TemporaryDirectory() as directory, Guest(program, directory, 2) as guest:
            test(guest)
        print(f"ok {test.__name__}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
