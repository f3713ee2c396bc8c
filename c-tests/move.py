"""Moves running guests between two minivmm processes, with all their snapshots.

usage: move.py MINIVMM [TEST...]
"""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from live.guest import (
    CREATE_DISK_ONLY, DISK, DOMAIN, PAUSED, REVERT_PAUSED, REVERT_RUNNING, RUNNING, SHUTOFF, Failed,
    Guest, facts,
)
from live.proxy import shut

NONE, OUTGOING, INCOMING, FINISHED, CONFIRMED, CANCELLED = range(6)

# A boot sector that counts at 0x8000, so a guest that was started anew is told from one that goes on:
# cli; xor ax, ax; mov ds, ax; again: add dword [0x8000], 1; adc dword [0x8004], 0; jmp again
BOOT = bytes.fromhex("fa 31c0 8ed8 668306008001 668316048000 ebf2").ljust(510, b"\0") + b"\x55\xaa"
COUNTER = 0x8000
# Behind the boot sector.
WHERE = "64k 64k"


class Relay:
    """Stands between two minivmms: passes bytes on, and tells which message passes.

    `meets` is called with what the source says (`>`) or the destination answers (`<`) before that goes
    on, or with `ram` when the guest's memory comes. If it answers true the connection is cut there."""

    def __init__(self, path, target, meets):
        self.meets = meets
        self.listeners = []
        for suffix, is_ram in (("", False), (".ram", True)):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(f"{path}{suffix}")
            listener.listen()
            self.listeners.append(listener)
            threading.Thread(
                target=self.accept, args=(listener, f"{target}{suffix}", is_ram), daemon=True,
            ).start()

    def accept(self, listener, target, is_ram):
        try:
            source = listener.accept()[0]
        except OSError:
            return
        destination = socket.socket(socket.AF_UNIX)
        destination.connect(target)
        for mark, end, other in ((">", source, destination), ("<", destination, source)):
            threading.Thread(
                target=self.carry, args=("ram" if is_ram else mark, end, other), daemon=True,
            ).start()

    def carry(self, mark, end, other):
        try:
            while data := end.recv(1 << 16):
                text = data[:16].decode(errors="replace")
                if self.meets(mark if mark == "ram" else f"{mark} {text}"):
                    shut(end)
                    break
                other.sendall(data)
        except OSError:
            pass
        shut(other)

    def close(self):
        for listener in self.listeners:
            shut(listener)
            listener.close()


class Host(Guest):
    """A minivmm with a state directory of its own. It can die, and come back."""

    def __init__(self, program, directory, images, definition=None):
        self.program, self.directory, self.images = program, Path(directory), images
        self.directory.mkdir()
        self.definition = self.directory / "guest.xml"
        if definition:
            self.definition.write_text(definition)
        self.said = open(self.directory / "said", "w+")
        self.begin()

    def begin(self):
        self.process = subprocess.Popen(
            ["stdbuf", "-o0", self.program, self.directory / "state", self.definition],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True,
        )

    def say(self, line):
        """A command whose answer comes later."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self):
        return self.process.stdout.readline().rstrip("\n")

    def die(self):
        """The manager dies; its guest goes on."""
        self.process.send_signal(signal.SIGKILL)

    def lose_guest(self):
        """Its guest dies, if there is one: whoever listens there."""
        with socket.socket(socket.AF_UNIX) as own:
            try:
                own.connect(f"{self.definition}.own")
            except OSError:
                return
            peer = own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        os.kill(struct.unpack("3i", peer)[0], signal.SIGKILL)

    def come_back(self):
        self.process.wait(60)
        self.process.stdin.close()
        self.process.stdout.close()
        self.begin()

    def io(self, disk, command):
        return super().io(disk, command.replace("0 64k", WHERE))

    def counter(self):
        file = self.directory / "counter"
        self.command("pmemsave", val=COUNTER, size=8, filename=str(file))
        return int.from_bytes(file.read_bytes(), "little")

    def boots(self):
        """Waits until the guest counts."""
        for _ in range(600):
            if self.counter():
                return
            time.sleep(0.05)
        raise AssertionError("the guest does not boot")

    def has_domain(self):
        try:
            self.tell("xml")
        except Failed as error:
            assert "no domain" in str(error), error
            return False
        return True

    def migration(self):
        return int(self.tell("migration")) if self.has_domain() else NONE

    def goes_on(self, before):
        """The guest runs, and is the one that had counted so far."""
        assert self.state() == RUNNING
        first = self.counter()
        assert first >= before, (first, before)
        for _ in range(600):
            if self.counter() > first:
                return
            time.sleep(0.05)
        raise AssertionError("the guest does not go on")


class Pair:
    """Two hosts, and images that both reach."""

    def __init__(self, program, directory):
        self.top = Path(directory)
        self.images = [self.top / f"disk{number}.qcow2" for number in range(2)]
        for image in self.images:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
        boot = self.top / "boot"
        boot.write_bytes(BOOT)
        subprocess.run(
            ["qemu-io", "-f", "qcow2", "-c", f"write -q -s {boot} 0 512", self.images[0]], check=True)
        disks = "".join(
            DISK.format(file=image, letter="ab"[number]) for number, image in enumerate(self.images))
        definition = DOMAIN.format(disks=disks)
        self.source = Host(program, self.top / "source", self.images, definition)
        self.destination = Host(program, self.top / "destination", self.images)
        self.hosts = (self.source, self.destination)
        self.moves = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for host in self.hosts:
            host.__exit__()

    def move(self, meets=lambda message: None, source=None, destination=None, mapping=""):
        """Both ends' answers to a move, through a relay."""
        source, destination = source or self.source, destination or self.destination
        self.moves += 1
        here, there = (self.top / f"{name}{self.moves}" for name in ("out", "in"))
        destination.say(f"incoming {there} {mapping}")
        while not there.exists():
            time.sleep(0.01)
        relay = Relay(here, there, meets)
        source.say(f"migrate-to {here}")
        answers = [source.answer(), destination.answer()]
        relay.close()
        return answers

    def moves_well(self, **more):
        answers = self.move(**more)
        assert answers == ["ok", "ok"], answers


def has_nothing(host):
    """A host that the domain has left: no guest, no snapshots, and it starts none."""
    assert host.migration() == CONFIRMED
    assert host.state() == SHUTOFF and host.tell("pid") == "0"
    assert host.tell("list") == ""
    host.refused("start", "has moved")


class History:
    """Takes snapshots of a guest, and knows what each of them has to bring back."""

    def __init__(self, host):
        self.host, self.taken = host, {}

    def take(self, name, flags=0, more=""):
        """Each has a byte of its own on both disks."""
        host, byte = self.host, len(self.taken) + 1
        is_on = host.state() != SHUTOFF
        counter = None
        for disk in range(2):
            if is_on:
                host.write(disk, byte)
            else:
                offline_write(host.images[disk], byte)
        if is_on and not flags & CREATE_DISK_ONLY:
            host.command("stop")
            counter = host.counter()
            host.create(name, flags, more)
            host.command("cont")
        else:
            host.create(name, flags, more)
        self.taken[name] = (byte, counter)

    def with_memory(self, name):
        file = self.host.directory.parent / f"{name}.memory"
        self.take(name, 0, f"<memory snapshot='external' file='{file}'/>")

    def comes_back(self, host, name):
        """Reverts, and looks at disks and memory."""
        byte, counter = self.taken[name]
        host.tell(f"revert {REVERT_PAUSED} {name}")
        assert host.state() == PAUSED, name
        assert host.tell("current") == name
        assert host.holds(0, byte) and host.holds(1, byte), name
        assert counter is None or host.counter() == counter, name


def offline_write(image, byte):
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -q -P {byte} {WHERE}", image], check=True)


def grow(host):
    """A hierarchy of 22 snapshots of all kinds, its guest running at the end:

    off1 - off2 - e1 - { i1 - i2 - i3 - m1 - e2 - e3
                         i4 - i5 - i6 - m2 - { e4 ; i7 - i8 - m3 - { e5 - i9 - i10 ; i11 - i12 } } }"""
    history = History(host)
    history.take("off1")
    history.take("off2")
    host.tell("start")
    host.command("cont")
    host.boots()
    history.take("e1", CREATE_DISK_ONLY)
    for name in ("i1", "i2", "i3"):
        history.take(name)
    history.with_memory("m1")
    history.take("e2", CREATE_DISK_ONLY)
    history.take("e3", CREATE_DISK_ONLY)
    host.tell(f"revert {REVERT_RUNNING} e1")
    host.boots()
    for name in ("i4", "i5", "i6"):
        history.take(name)
    history.with_memory("m2")
    history.take("e4", CREATE_DISK_ONLY)
    host.tell(f"revert {REVERT_RUNNING} m2")
    for name in ("i7", "i8"):
        history.take(name)
    history.with_memory("m3")
    history.take("e5", CREATE_DISK_ONLY)
    for name in ("i9", "i10"):
        history.take(name)
    host.tell(f"revert {REVERT_RUNNING} m3")
    for name in ("i11", "i12"):
        history.take(name)
    assert len(host.tell("list").split()) == 22
    return history


def a_running_guest_moves_with_22_snapshots(pair):
    source, destination = pair.hosts
    history = grow(source)
    names, definition = source.tell("list"), source.tell("xml")
    for disk in range(2):
        source.write(disk, 0x77)
    source.command("cont")
    before = source.counter()
    memories = []

    def meets(message):
        # QEMU has sent the guest and nothing runs anywhere: its memory is the same at both ends.
        if message.startswith("> finish"):
            assert destination.command("query-status")["status"] in ("paused", "inmigrate")
            while destination.command("query-status")["status"] == "inmigrate":
                time.sleep(0.01)
            memories.extend([source.memory(), destination.memory()])

    pair.moves_well(meets=meets)
    assert len(memories) == 2 and memories[0] == memories[1]
    has_nothing(source)
    assert destination.migration() == FINISHED
    destination.goes_on(before)
    assert destination.tell("list") == names
    assert destination.tell("current") == "i12"
    assert destination.tell("xml") == definition
    assert destination.holds(0, 0x77) and destination.holds(1, 0x77)
    # What the hierarchy says is there, on every branch and of every kind.
    for name in ("i12", "m1", "off2", "i10", "m2", "e4", "e3"):
        history.comes_back(destination, name)
    # And it can be changed, the guest on or off: what is left keeps what it had.
    for name in ("i11", "e2", "i9", "i5"):
        destination.tell(f"delete 0 {name}")
    destination.tell("stop")
    destination.tell("delete 0 off1")
    for name in ("i12", "e3", "m3", "i10", "off2", "e1"):
        history.comes_back(destination, name)
    destination.tell("delete 1 m2")
    assert destination.tell("list").split() == "off2 e1 i1 i2 i3 m1 e3 i4 i6".split()
    history.comes_back(destination, "e3")
    destination.command("cont")
    history.host = destination
    history.take("new", CREATE_DISK_ONLY)
    history.comes_back(destination, "new")


def grow_a_little(host):
    """One snapshot of each kind, and a guest that runs."""
    history = History(host)
    history.take("off")
    host.tell("start")
    host.command("cont")
    host.boots()
    history.take("disks", CREATE_DISK_ONLY)
    history.with_memory("memory")
    history.take("inside")
    return history


def is_whole(host, history, names="off disks memory inside"):
    """A host has the domain, can bring it back and change it."""
    assert host.tell("list") == names
    assert host.tell("current") == "inside"
    for name in ("memory", "inside"):
        history.comes_back(host, name)
    host.create("later", CREATE_DISK_ONLY)
    host.tell("delete 0 later")
    host.tell("delete 0 disks")
    history.comes_back(host, "memory")


def a_paused_guest_moves_and_comes_back(pair):
    source, destination = pair.hosts
    history = grow_a_little(source)
    source.command("stop")
    memory = source.memory()
    for here, there in ((source, destination), (destination, source)):
        pair.moves_well(source=here, destination=there)
        has_nothing(here)
        assert there.state() == PAUSED
        assert there.memory() == memory
    is_whole(source, history)


def what_a_move_needs_is_refused_before_the_guest_has_gone(pair):
    source, destination = pair.hosts
    history = grow_a_little(source)
    source.tell("begin")
    for _ in range(2):
        source.refused("confirm", "its guest is still here")
        source.command("stop")
    source.command("cont")
    source.refused("create 0 <domainsnapshot/>", "going to another host")
    source.tell("cancel")
    is_whole(source, history)


def a_guest_that_cannot_be_sent_stays(pair):
    """Its QEMU at the destination dies while memory comes: both ends give up, and try again."""
    source, destination = pair.hosts
    history = grow_a_little(source)
    before = source.counter()
    met = []

    def meets(message):
        if message == "ram" and not met:
            met.append(message)
            destination.lose_guest()

    answers = pair.move(meets=meets)
    assert met and all(answer.startswith("error: ") for answer in answers), answers
    assert source.migration() == CANCELLED and destination.migration() == NONE
    source.goes_on(before)
    pair.moves_well()
    has_nothing(source)
    destination.goes_on(before)
    is_whole(destination, history)


def storage_that_was_copied_is_found_below_other_paths(pair):
    """A guest that is off: its files go to another directory, and their paths are mapped."""
    source, destination = pair.hosts
    history = History(source)
    history.take("off")
    history.take("disks", CREATE_DISK_ONLY)
    source.tell("start")
    source.command("cont")
    source.boots()
    history.with_memory("memory")
    history.take("inside")
    source.tell("stop")
    there = pair.top / "there"
    there.mkdir()
    for file in pair.top.iterdir():
        if file.is_file():
            shutil.copy(file, there)
    for image in there.glob("disk*"):
        if below := facts(image).get("backing-filename"):
            below = there / Path(below).name
            subprocess.run(
                ["qemu-img", "rebase", "-u", "-F", "qcow2", "-b", below, image], check=True)
    pair.moves_well(mapping=f"{pair.top} {there}")
    has_nothing(source)
    destination.images = [there / image.name for image in pair.images]
    for file in pair.top.iterdir():
        if file.name.startswith("disk") or file.suffix == ".memory":
            file.unlink()
    assert str(there / "disk0") in destination.tell("xml")
    assert destination.state() == SHUTOFF
    is_whole(destination, history)


# Where a move is cut off, who dies there, and how it is ended.
POINTS = ["> domain", "< ready", "ram", "> finish", "< finished"]


def cut_off(pair, point, victim, with_guest):
    """The victim dies when that is said, and its guest with it if its whole host does."""
    met = []

    def meets(message):
        if not message.startswith(point) or met:
            return False
        met.append(message)
        victim.die()
        if with_guest:
            victim.lose_guest()
        # QEMU goes on sending where nobody looks after it any more.
        return point != "ram"

    answers = pair.move(meets=meets)
    assert met and answers[pair.hosts.index(victim)] == "", (point, answers)
    victim.come_back()


def settled(pair, way):
    """Does what docs/migration.md says about two ends; answers who has the domain then, and who not."""
    source, destination = pair.hosts
    states = (source.migration(), destination.migration())
    assert states in (
        (NONE, NONE), (OUTGOING, NONE), (OUTGOING, INCOMING), (OUTGOING, FINISHED),
        (CONFIRMED, FINISHED)), states
    for host, state in zip(pair.hosts, states):
        if state in (OUTGOING, INCOMING):
            host.refused("create 0 <domainsnapshot/>", "another host")
    has_arrived = states[1] == INCOMING and destination.state() != SHUTOFF
    if has_arrived and way == "finish":
        try:
            destination.tell(f"finish {source.tell('begin')}")
        except Failed as error:
            assert "has not arrived" in str(error), error
    if destination.migration() == FINISHED:
        destination.refused("cancel", "for good")
        if states[0] == OUTGOING:
            destination.tell(f"finish {source.tell('begin')}")
        source.tell("confirm")
        return destination, source
    if states[1] != NONE:
        destination.tell("cancel")
    elif destination.has_domain():
        # It was prepared, and nothing has come in.
        destination.tell("undefine")
    source.tell("cancel")
    return source, destination


def each_end_killed(program, victim_number, with_guest):
    """At each point, and ended in each way: one host has the domain, all of it, and its guest."""
    for point in POINTS:
        for way in ("finish", "cancel"):
            what = f"{point} {way}"
            with tempfile.TemporaryDirectory() as directory, Pair(program, directory) as pair:
                history = grow_a_little(pair.source)
                before = pair.source.counter()
                cut_off(pair, point, pair.hosts[victim_number], with_guest)
                owner, other = settled(pair, way)
                if point == "< finished":
                    assert owner is pair.destination, what
                elif point in ("> domain", "< ready") or way == "cancel":
                    # The guest was not sent.
                    assert owner is pair.source, what
                elif point == "> finish" and (victim_number == 0 or not with_guest):
                    assert owner is pair.destination, what
                if with_guest and owner is pair.hosts[victim_number]:
                    assert owner.state() == SHUTOFF, what
                    owner.tell("start")
                    owner.command("cont")
                    owner.boots()
                else:
                    owner.goes_on(before)
                is_gone(other)
                is_whole(owner, history)


@contextlib.contextmanager
def dies_at_rename(host, number):
    """A manager that dies at its n-th rename from now on: where a change is decided or carried out."""
    inject = f"inject=renameat:signal=SIGKILL:when={number}"
    tracer = subprocess.Popen(
        ["strace", "-p", str(host.process.pid), "-o", "/dev/null", "-e", "trace=renameat", "-e", inject],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    assert "attached" in tracer.stderr.readline()
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait(60)
        tracer.stderr.close()


def each_rename_killed(program, victim_number):
    """Within the phases, while a guest comes. tools/crash does so at every call, without a guest."""
    seen = set()
    for number in range(1, 100):
        with tempfile.TemporaryDirectory() as directory, Pair(program, directory) as pair:
            history = grow_a_little(pair.source)
            before = pair.source.counter()
            victim = pair.hosts[victim_number]
            with dies_at_rename(victim, number):
                answers = pair.move()
            if answers == ["ok", "ok"]:
                return seen
            assert answers[victim_number] == "", answers
            victim.come_back()
            seen.add(victim.migration())
            owner, other = settled(pair, "finish" if number % 2 else "cancel")
            owner.goes_on(before)
            is_gone(other)
            is_whole(owner, history)
    raise AssertionError("it never ends")


def a_source_that_is_killed_at_each_rename(program):
    assert each_rename_killed(program, 0) == {NONE, OUTGOING, CONFIRMED}


def a_destination_that_is_killed_at_each_rename(program):
    assert each_rename_killed(program, 1) == {NONE, INCOMING, FINISHED}


def is_gone(host):
    """Neither domain nor guest is there, or a domain that it may not start."""
    if host.has_domain():
        has_nothing(host)


def a_source_that_is_killed_anywhere(program):
    each_end_killed(program, 0, with_guest=False)


def a_destination_that_is_killed_anywhere(program):
    each_end_killed(program, 1, with_guest=False)


def a_source_that_dies_with_its_guest_anywhere(program):
    each_end_killed(program, 0, with_guest=True)


def a_destination_that_dies_with_its_guest_anywhere(program):
    each_end_killed(program, 1, with_guest=True)


MOVES = [
    a_running_guest_moves_with_22_snapshots,
    a_paused_guest_moves_and_comes_back,
    what_a_move_needs_is_refused_before_the_guest_has_gone,
    a_guest_that_cannot_be_sent_stays,
    storage_that_was_copied_is_found_below_other_paths,
]
DEATHS = [
    a_source_that_is_killed_anywhere,
    a_destination_that_is_killed_anywhere,
    a_source_that_dies_with_its_guest_anywhere,
    a_destination_that_dies_with_its_guest_anywhere,
    a_source_that_is_killed_at_each_rename,
    a_destination_that_is_killed_at_each_rename,
]


def main(program, *names):
    for test in MOVES + DEATHS:
        if names and test.__name__ not in names:
            continue
        if test in DEATHS:
            test(program)
        else:
            with tempfile.TemporaryDirectory() as directory, Pair(program, directory) as pair:
                test(pair)
        print(f"ok {test.__name__}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
