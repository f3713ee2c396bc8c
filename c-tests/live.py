"""Drives examples/minivmm with a real QEMU: snapshots of a running guest, contents checked.

usage: live.py MINIVMM [TEST...]
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

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


class Proxy:
    """Stands between the library and the monitor. Descriptors go through, too."""

    def __init__(self, path, monitor):
        self.path, self.monitor = path, monitor
        self.count, self.at, self.mischief = 0, None, None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def arm(self, at, mischief):
        """The at-th command from now on meets mischief: a function of the request, which answers
        what the library gets in place of the monitor's answer, or None to pass the request on."""
        self.count, self.at, self.mischief = 0, at, mischief

    def is_met(self):
        return self.count > self.at

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            guest = socket.socket(socket.AF_UNIX)
            try:
                guest.connect(str(self.monitor))
            except OSError:
                client.close()
                continue
            for work in (self.requests, self.answers):
                threading.Thread(target=work, args=(client, guest), daemon=True).start()

    def requests(self, client, guest):
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(client, 1 << 16, 1)
            except OSError:
                data = b""
            if not data:
                break
            answer = data
            # The library sends the next command after the answer to the last: one line each time.
            if self.at is not None:
                if self.count == self.at:
                    answer = self.mischief(json.loads(data), client)
                    answer = data if answer is None else answer
                self.count += 1
            if answer is data:
                try:
                    socket.send_fds(guest, [data], descriptors)
                except OSError:
                    break
            elif answer:
                client.sendall(answer)
            for descriptor in descriptors:
                os.close(descriptor)
        for end in (client, guest):
            shut(end)

    def answers(self, client, guest):
        try:
            while data := guest.recv(1 << 16):
                client.sendall(data)
        except OSError:
            pass
        shut(client)


def shut(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def refuse(request, _client):
    error = {"class": "GenericError", "desc": "mischief"}
    return json.dumps({"error": error, "id": request.get("id")}).encode() + b"\n"


class Guest:
    """A minivmm, and the second QMP socket of its guest."""

    def __init__(self, program, directory, disks):
        self.program, self.top, self.disks = program, Path(directory), disks
        self.runs = 0
        self.begin()

    def begin(self):
        program, disks = self.program, self.disks
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
        environment = dict(os.environ, MINIVMM_MONITOR=self.proxy.path)
        self.process = subprocess.Popen(
            ["stdbuf", "-o0", program, self.directory / "state", self.definition],
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


def overlays_grow_while_the_guest_runs(guest):
    guest.tell("start")
    guest.write(0, 0x11)
    guest.command("cont")
    guest.create("e1", CREATE_DISK_ONLY)
    assert guest.state() == RUNNING
    guest.write(0, 0x22)
    guest.create("e2", CREATE_DISK_ONLY)
    guest.write(1, 0x33)
    layers = [guest.directory / name for name in ("disk0.qcow2", "disk0.e1", "disk0.e2")]
    assert guest.found(layers[0], 0x11) and guest.found(layers[1], 0x22)
    assert [guest.backing(layer) for layer in layers] == [None, str(layers[0]), str(layers[1])]
    assert f"file='{layers[2]}'" in guest.tell("xml")
    assert guest.tell("current") == "e2"
    # The guest that is started from the new definition sees what it has written.
    guest.tell("stop")
    guest.tell("start")
    assert guest.holds(0, 0x22) and guest.holds(1, 0x33)


def memory_goes_to_a_file_at_the_same_instant(guest):
    guest.tell("start")
    guest.command("cont")
    for name, flags in (("paused", 0), ("live", CREATE_LIVE)):
        file = guest.directory / f"{name}.memory"
        guest.create(name, flags, f"<memory snapshot='external' file='{file}'/>")
        assert guest.state() == RUNNING
        assert file.read_bytes().startswith(b"LibvirtQemudSave")
        assert file.stat().st_mode & 0o777 == 0o600
        definition = file.read_bytes()[92:].split(b"\0")[0].decode()
        assert definition.startswith("<domain ") and definition.endswith("</domain>")
    assert guest.tell("list") == "paused live"
    assert guest.backing(guest.directory / "disk1.live") == str(guest.directory / "disk1.paused")


def no_file_is_overwritten(guest):
    guest.tell("start")
    precious = guest.directory / "disk1.e"
    precious.write_text("precious")
    for flags, more, text in (
        (CREATE_DISK_ONLY, "", "already exists"),
        (0, f"<memory snapshot='external' file='{precious}'/>{NO_DISKS}", "exists already"),
    ):
        document = f"<domainsnapshot><name>e</name>{more}</domainsnapshot>"
        guest.refused(f"create {flags} {document}", text)
        assert precious.read_text() == "precious"
        assert not (guest.directory / "disk0.e").exists()
    guest.refused(
        f"create {CREATE_DISK_ONLY | CREATE_QUIESCE} <domainsnapshot><name>q</name></domainsnapshot>",
        "QEMU guest agent is not configured")
    assert not (guest.directory / "disk0.q").exists()
    assert guest.tell("list") == ""


def without_metadata_the_definition_follows_all_the_same(guest):
    guest.tell("start")
    guest.create("n", CREATE_DISK_ONLY | CREATE_NO_METADATA)
    assert guest.tell("list") == ""
    assert str(guest.directory / "disk0.n") in guest.tell("xml")


def kinds(guest):
    """The kinds of live snapshots: flags, the rest of the document, and the files they make."""
    memory = guest.directory / "s.memory"
    return [
        (0, "", []),
        (CREATE_DISK_ONLY, "", ["disk0.s", "disk1.s"]),
        (0, f"<memory snapshot='external' file='{memory}'/>", ["disk0.s", "disk1.s", "s.memory"]),
    ]


def each_refused_command_is_rolled_back(guest):
    guest.tell("start")
    guest.write(0, 0x11)
    guest.command("cont")
    definition = guest.tell("xml")
    for flags, more, files in kinds(guest):
        rolled_back = 0
        for at in range(200):
            guest.proxy.arm(at, refuse)
            try:
                guest.create("s", flags, more)
                break
            except Failed as error:
                what = f"command {at} of {flags} {more}: {error}"
            assert guest.proxy.is_met(), what
            guest.proxy.at = None
            rolled_back += 1
            assert guest.state() == RUNNING, what
            assert guest.tell("list") == "" and guest.tell("xml") == definition, what
            assert guest.held(0) == guest.held(1) == [], what
            left = [file for file in files if (guest.directory / file).exists()]
            assert left == [], f"{what}: {left}"
        guest.proxy.at = None
        assert rolled_back >= 5, rolled_back
        # A command whose failure does not matter ends the sweep by success: begin afresh.
        guest.tell("kill")
        guest.restart()
        guest.tell("start")
        guest.command("cont")
        definition = guest.tell("xml")


def a_guest_killed_at_each_command_leaves_before_or_after(guest):
    for number in range(3):
        for at in range(200):
            guest.tell("start")
            guest.write(0, 0x11)
            guest.command("cont")
            before = guest.tell("xml")
            pid = int(guest.tell("pid"))
            flags, more, files = kinds(guest)[number]

            def kill(_request, _client):
                os.kill(pid, 9)
                return b""

            guest.proxy.arm(at, kill)
            try:
                guest.create("s", flags, more)
                is_done = True
            except Failed as error:
                is_done = False
                what = f"command {at} of {flags} {more}: {error}"
            is_met, guest.proxy.at = guest.proxy.is_met(), None
            guest.tell("kill")
            assert guest.state() == SHUTOFF
            if not is_done:
                # The next operation settles what was cut off.
                guest.create("probe")
                guest.tell("delete 0 probe")
                assert guest.tell("list") == "" and guest.tell("xml") == before, what
                assert guest.held(0) == guest.held(1) == [], what
                left = [file for file in files if (guest.directory / file).exists()]
                assert left == [], f"{what}: {left}"
                assert guest.found(guest.images[0], 0x11), what
            if not is_met:
                break
            if is_done:
                guest.restart()
        guest.restart()


def disks_come_back_as_if_the_power_had_been_cut(guest):
    guest.tell("start")
    guest.write(0, 0x11)
    guest.create("e1", CREATE_DISK_ONLY)
    for byte in (0x22, 0x33):
        guest.write(0, byte)
        guest.tell("revert 0 e1")
        assert guest.state() == SHUTOFF
        guest.tell("start")
        assert guest.holds(0, 0x11) and guest.holds(1, 0)
    guest.write(0, 0x44)
    guest.tell(f"revert {REVERT_RUNNING} e1")
    assert guest.state() == RUNNING
    assert guest.holds(0, 0x11)
    assert guest.found(guest.images[0], 0x11)
    assert guest.tell("current") == "e1"


def memory_comes_back_from_its_file(guest):
    guest.tell("start")
    guest.run_for(0.5)
    guest.write(0, 0x11)
    memory = guest.memory()
    file = guest.directory / "m.memory"
    guest.create("m", 0, f"<memory snapshot='external' file='{file}'/>")
    guest.refused("delete 0 m", "resume it first")
    for _ in range(2):
        guest.run_for(0.2)
        guest.write(0, 0x33)
        guest.tell("revert 0 m")
        assert guest.state() == PAUSED
        assert guest.memory() == memory
        assert guest.holds(0, 0x11)
    guest.tell("stop")
    guest.tell(f"revert {REVERT_RUNNING} m")
    assert guest.state() == RUNNING
    # A file that is not whole is found before the guest is stopped.
    whole = file.read_bytes()
    file.write_bytes(b"LibvirtQemudPart" + whole[16:])
    guest.refused("revert 0 m", "is incomplete")
    assert guest.state() == RUNNING
    file.write_bytes(whole)
    guest.tell("delete 0 m")
    assert not file.exists()
    assert guest.state() == RUNNING


def layers_merge_while_the_guest_runs(guest):
    guest.tell("start")
    before = guest.tell("xml")
    guest.write(0, 0x11)
    for name, disk, byte in (("e1", 0, 0x22), ("e2", 1, 0x33), ("e3", 1, 0x44)):
        guest.create(name, CREATE_DISK_ONLY)
        guest.write(disk, byte)
    guest.command("cont")

    def check(left):
        assert guest.state() == RUNNING
        assert guest.tell("list").split() == left
        assert guest.holds(0, 0x22) and guest.holds(1, 0x44)
        layers = sum(1 for path in guest.directory.iterdir() if path.name.startswith("disk0."))
        assert layers == 1 + len(left), layers

    guest.tell("delete 0 e2")
    check(["e1", "e3"])
    assert guest.found(guest.directory / "disk1.e1", 0x33)
    guest.tell("delete 0 e3")
    check(["e1"])
    assert guest.tell("current") == "e1"
    assert guest.found(guest.images[0], 0x11) and guest.found(guest.images[1], 0)
    guest.tell("delete 0 e1")
    check([])
    assert guest.tell("xml") == before
    guest.tell("stop")
    guest.tell("start")
    assert guest.holds(0, 0x22) and guest.holds(1, 0x44)


def overlays_of_the_caller_are_used_as_they_are(guest):
    guest.tell("start")
    guest.write(0, 0x11)
    disks = []
    for number, image in enumerate(guest.images):
        own = guest.directory / f"own{number}"
        subprocess.run(
            ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", image, own, "1M"],
            check=True)
        disks.append(f"<disk name='vd{'ab'[number]}'><source file='{own}'/></disk>")
    flags = CREATE_DISK_ONLY | CREATE_REUSE_EXT
    guest.create("r", flags, f"<disks>{''.join(disks)}</disks>")
    assert guest.holds(0, 0x11)
    guest.write(0, 0x22)
    assert guest.found(guest.images[0], 0x11) and guest.found(guest.directory / "own0", 0x22)
    guest.refused(f"create {flags} <domainsnapshot><name>absent</name></domainsnapshot>", "absent")
    assert guest.tell("list") == "r"


def a_manual_disk_leaves_the_guest_paused(guest):
    guest.tell("start")
    guest.command("cont")
    guest.create("m", CREATE_DISK_ONLY, "<disks><disk name='vdb' snapshot='manual'/></disks>")
    assert guest.state() == PAUSED
    guest.command("cont")
    assert (guest.directory / "disk0.m").exists()
    assert not (guest.directory / "disk1.m").exists()


def what_cannot_be_mixed_is_refused_before_anything_is_touched(guest):
    guest.tell("start")
    guest.command("cont")
    before = guest.tell("xml")
    internal = "<disks><disk name='vda' snapshot='internal'/></disks>"
    external = "<disks><disk name='vda' snapshot='external'/></disks>"
    memory = f"<memory snapshot='external' file='{guest.directory / 'x'}'/>"
    for flags, more, text in (
        (CREATE_DISK_ONLY, internal, "require external disk snapshots; disk vda"),
        (0, memory + internal, "mixing internal and external"),
        (0, external, "must use snapshot mode 'internal'"),
        (0, "<memory snapshot='no'/>", "must include the memory state"),
    ):
        guest.refused(
            f"create {flags} <domainsnapshot><name>x</name>{more}</domainsnapshot>", text)
        assert guest.state() == RUNNING and guest.tell("xml") == before
        assert guest.tell("list") == "" and guest.held(0) == []
        assert not (guest.directory / "x").exists()


def a_document_is_checked_while_the_guest_has_the_images(guest):
    guest.tell("start")
    guest.create("s")
    document = "<domainsnapshot><name>{}</name><state>running</state>"
    document += f"<creationTime>1</creationTime>{guest.tell('xml')}</domainsnapshot>"
    guest.refused(f"create 1 {document.format('unknown')}", "disk0.qcow2")
    assert guest.tell("list") == "s"


def a_merge_that_is_cut_off_at_each_command_ends_well(guest):
    """A command is refused, or the guest killed at it: each disk shows what it did, and the same
    call again ends it."""
    for kills in (False, True):
        guest.tell("start")
        guest.write(0, 0x11)
        trials = 0
        for at in range(200):
            guest.create("s", CREATE_DISK_ONLY)
            guest.write(0, 0x22)
            guest.write(1, 0x33)
            pid = int(guest.tell("pid"))

            def kill(_request, _client):
                os.kill(pid, 9)
                return b""

            guest.proxy.arm(at, kill if kills else refuse)
            try:
                guest.tell("delete 0 s")
                what = f"command {at} without failure"
            except Failed as error:
                what = f"command {at}: {error}"
            is_met, guest.proxy.at = guest.proxy.is_met(), None
            trials += 1
            if kills and is_met:
                guest.tell("kill")
                # The definition that is stored names what the guest wrote to.
                if guest.tell("list") == "s":
                    guest.tell("delete 0 s")
                guest.tell("start")
            elif guest.tell("list") == "s":
                guest.tell("delete 0 s")
            assert guest.tell("list") == "", what
            assert guest.holds(0, 0x22) and guest.holds(1, 0x33), what
            if left_of(guest):
                # What cannot be removed at once is removed by the next change.
                guest.create("probe")
                guest.tell("delete 0 probe")
            assert left_of(guest) == [], f"{what}: {left_of(guest)}"
            if not is_met:
                break
        assert trials >= 5, trials
        guest.restart()


def a_revert_that_is_refused_at_each_command_can_be_done_again(guest):
    """Its images and its memory are whole whatever was refused, and the tree is as it was."""
    guest.tell("start")
    guest.run_for(0.2)
    guest.write(0, 0x11)
    memory = guest.memory()
    file = guest.directory / "file.memory"
    guest.create("inside")
    guest.create("file", 0, f"<memory snapshot='external' file='{file}'/>{NO_DISKS}")
    guest.refused("revert 0 inside", "resume it first")
    guest.run_for(0.1)
    for name in ("inside", "file"):
        trials = 0
        for at in range(100):
            guest.proxy.at = None
            guest.tell("revert 0 inside")
            guest.run_for(0.1)
            guest.write(0, 0x22)
            guest.proxy.arm(at, refuse)
            try:
                guest.tell(f"revert 0 {name}")
            except Failed:
                trials += 1
            is_met, guest.proxy.at = guest.proxy.is_met(), None
            assert guest.tell("list") == "inside file", at
            assert guest.state() in (RUNNING, PAUSED, SHUTOFF), at
            guest.tell(f"revert 0 {name}")
            assert guest.state() == PAUSED and guest.memory() == memory, at
            assert guest.holds(0, 0x11 if name == "inside" else 0x22), at
            if name == "file":
                guest.command("cont")
            if not is_met:
                break
        assert trials >= 3, trials


def left_of(guest):
    """The overlays of snapshot s that there are."""
    return [path.name for path in guest.directory.iterdir() if path.name.endswith(".s")]


TESTS = [
    disks_come_back_as_if_the_power_had_been_cut,
    memory_comes_back_from_its_file,
    layers_merge_while_the_guest_runs,
    overlays_of_the_caller_are_used_as_they_are,
    a_manual_disk_leaves_the_guest_paused,
    what_cannot_be_mixed_is_refused_before_anything_is_touched,
    a_document_is_checked_while_the_guest_has_the_images,
    a_merge_that_is_cut_off_at_each_command_ends_well,
    a_revert_that_is_refused_at_each_command_can_be_done_again,
    each_refused_command_is_rolled_back,
    a_guest_killed_at_each_command_leaves_before_or_after,
    overlays_grow_while_the_guest_runs,
    memory_goes_to_a_file_at_the_same_instant,
    no_file_is_overwritten,
    without_metadata_the_definition_follows_all_the_same,
    a_guest_comes_and_goes,
    memory_and_disks_are_kept_and_come_back,
    a_guest_that_is_off_is_started_with_its_memory,
    an_offline_snapshot_stops_the_guest,
    nothing_is_stopped_for_a_snapshot_that_is_not_whole,
    halt_stops_the_guest,
    names_are_kept_as_they_are,
    a_killed_guest_leaves_metadata_and_images_alike,
]


def main(program, *names):
    for test in TESTS:
        if names and test.__name__ not in names:
            continue
        with tempfile.TemporaryDirectory() as directory, Guest(program, directory, 2) as guest:
            test(guest)
        print(f"ok {test.__name__}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
