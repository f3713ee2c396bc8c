"""Random trees of snapshots of a guest that runs: after each step every snapshot holds what it held.

What must be there is a model of Python's: sixteen bytes stand for a disk of sixteen parts, a digest
for the memory, a name for the parent.
"""

import hashlib
import os
import random
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

from .guest import (
    CREATE_DISK_ONLY, CREATE_LIVE, Failed, PAUSED, REVERT_PAUSED, REVERT_RUNNING, RUNNING,
    SHUTOFF, facts,
)

DELETE_CHILDREN, DELETE_CHILDREN_ONLY = 1, 4
PARTS, PART = 16, 65536
SNAPSHOTS = 12


@dataclass
class Taken:
    """What a snapshot must bring back."""

    parent: str | None
    state: int
    disks: dict[int, list[int]] = field(default_factory=dict)
    # The disks that hold it inside of their images.
    inside: set[int] = field(default_factory=set)
    # The digest; of a guest that ran, it is known after the first revert.
    memory: str | None = None
    # The file of external memory, and its digest.
    file: Path | None = None
    kept: str = ""


class Tree:
    """A guest, what it must show, and what its snapshots must hold."""

    def __init__(self, guest, seed):
        self.guest, self.random = guest, random.Random(seed)
        self.taken, self.current, self.count = {}, None, 0
        self.shown = [[0] * PARTS for _ in guest.images]
        self.steps = []
        # Around the calls that change something, and whether the guest may end in one.
        self.begins = self.ends = lambda: None
        self.may_end = False

    def call(self, act, *arguments):
        self.begins()
        try:
            act(*arguments)
        finally:
            self.ends()

    def check_state(self, state):
        """Whether the guest is there; it must do what is expected."""
        found = self.guest.state()
        assert found == state or (self.may_end and found == SHUTOFF), f"{found} for {state}"
        return found != SHUTOFF

    # What the guest does.

    def write(self):
        for disk, parts in enumerate(self.shown):
            first, length = self.random.randrange(PARTS), self.random.randint(1, 4)
            byte = self.random.randint(1, 255)
            last = min(first + length, PARTS)
            said = self.guest.io(disk, f"write -P {byte} {first * PART} {(last - first) * PART}")
            assert "wrote" in said, said
            self.guest.io(disk, "flush")
            parts[first:last] = [byte] * (last - first)

    def live_on(self, *, paused=None):
        """The guest is on, has run and has written; then it runs or is paused."""
        if self.guest.state() == SHUTOFF:
            self.guest.tell("start")
        if self.guest.state() == PAUSED:
            self.guest.command("cont")
        self.write()
        if self.random.randrange(2) if paused is None else paused:
            self.guest.command("stop")

    def memory(self):
        return hashlib.sha256(self.guest.memory()).hexdigest()

    # What is done to its snapshots.

    def create_any(self):
        if self.random.randrange(6) == 0:
            self.guest.tell("stop")
        else:
            self.live_on()
        state = self.guest.state()
        self.create(self.random.choice([kind for kind in KINDS if kind.fits(state)]))

    def create(self, kind):
        self.count += 1
        name, state = f"s{self.count}", self.guest.state()
        modes = [kind.modes[disk % len(kind.modes)] for disk in range(len(self.shown))]
        self.random.shuffle(modes)
        if kind.modes == ("external",) and self.random.randrange(4) == 0:
            modes[0] = "no"
        taken = Taken(self.current, state if kind.memory else SHUTOFF)
        disks = ""
        for disk, mode in enumerate(modes):
            if mode != "no":
                taken.disks[disk] = list(self.shown[disk])
            if mode == "internal":
                taken.inside.add(disk)
            disks += f"<disk name='vd{chr(ord('a') + disk)}' snapshot='{mode}'/>"
        more = f"<disks>{disks}</disks>"
        flags = kind.flags
        if kind.memory == "external":
            taken.file = self.guest.directory / f"{name}.memory"
            more += f"<memory snapshot='external' file='{taken.file}'/>"
            if self.random.randrange(2) and not taken.inside:
                flags |= CREATE_LIVE
        self.steps.append(f"create {name}: {kind.name}, state {state}, {disks}")
        if kind.memory:
            taken.memory = self.memory() if state == PAUSED else ""
        self.call(self.guest.create, name, flags, more)
        self.check_state(state)
        if taken.file:
            taken.kept = digest(taken.file)
        self.taken[name], self.current = taken, name

    def revert_to_any(self):
        self.revert_from_any(self.random.choice(list(self.taken)))

    def revert_from_any(self, name):
        if self.random.randrange(3):
            self.live_on()
        self.revert(name, self.random.choice([0, REVERT_RUNNING, REVERT_PAUSED]))

    def revert(self, name, flags):
        taken = self.taken[name]
        state = {0: taken.state, REVERT_RUNNING: RUNNING, REVERT_PAUSED: PAUSED}[flags]
        self.steps.append(f"revert {flags} {name}")
        self.call(self.guest.tell, f"revert {flags} {name}")
        is_on = self.check_state(state)
        self.reverted(name)
        if taken.memory is not None and state == PAUSED and is_on:
            memory = self.memory()
            assert taken.memory in ("", memory), "another memory"
            taken.memory = memory

    def reverted(self, name):
        for disk, parts in self.taken[name].disks.items():
            self.shown[disk] = list(parts)
        self.current = name

    def delete_any(self):
        if self.random.randrange(4) == 0:
            self.guest.tell("stop")
        elif self.random.randrange(2):
            self.live_on()
        if self.guest.state() == PAUSED:
            # Its images may have gone with its memory; running, it has them back.
            self.guest.command("cont")
        name = self.random.choice(list(self.taken))
        self.delete(name, self.random.choice([0] * 6 + [DELETE_CHILDREN, DELETE_CHILDREN_ONLY]))

    def delete(self, name, flags=0):
        self.steps.append(f"delete {flags} {name}")
        self.call(self.guest.tell, f"delete {flags} {name}")
        self.deleted(name, flags)

    def deleted(self, name, flags=0):
        gone = {other for other in self.taken if flags and self.descends(other, name)}
        if flags != DELETE_CHILDREN_ONLY:
            gone.add(name)
        parent = self.taken[name].parent
        for taken in self.taken.values():
            if taken.parent == name and flags == 0:
                taken.parent = parent
        if self.current in gone:
            self.current = name if flags == DELETE_CHILDREN_ONLY else parent
        for other in gone:
            file = self.taken.pop(other).file
            assert file is None or not file.exists(), file

    def descends(self, name, ancestor):
        while name := self.taken[name].parent:
            if name == ancestor:
                return True
        return False

    # What must be so at all times.

    def verify(self):
        guest = self.guest
        assert set(guest.tell("list").split()) == set(self.taken), guest.tell("list")
        if self.taken and self.current:
            assert guest.tell("current") == self.current, guest.tell("current")
        for name, taken in self.taken.items():
            images = sources(guest.tell(f"snapshot {name}"))
            for disk, parts in taken.disks.items():
                inside = name if disk in taken.inside else None
                found = content(images[disk], inside)
                assert found == parts, f"{name} disk {disk}: {found} for {parts}"
            if taken.file:
                assert digest(taken.file) == taken.kept, name
        is_off = guest.state() == SHUTOFF
        images = sources(guest.tell("xml"))
        for disk, parts in enumerate(self.shown):
            if not is_off:
                guest.io(disk, "flush")
                found = shown(guest, disk)
                assert found == parts, f"the guest's disk {disk}: {found} for {parts}"
            found = content(images[disk])
            assert found == parts, f"image of disk {disk}: {found} for {parts}"
        if is_off:
            for image in guest.directory.iterdir():
                if image.name.startswith("disk"):
                    # 3: clusters that nothing uses, after a guest was killed.
                    checked = subprocess.run(["qemu-img", "check", "-q", image], check=False)
                    assert checked.returncode in (0, 3), image


@dataclass
class Kind:
    """A kind of snapshot: what it is called here, and how it is asked for."""

    name: str
    modes: tuple
    memory: str | None = None
    flags: int = 0
    when: tuple = ()

    def fits(self, state):
        return not self.when or state in self.when


MIXED = ("internal", "external")
KINDS = [
    Kind("internal", ("internal",), "internal", when=(RUNNING, PAUSED)),
    Kind("internal", ("internal",), when=(SHUTOFF,)),
    Kind("external, disks only", ("external",), None, CREATE_DISK_ONLY),
    Kind("external with memory", ("external",), "external", when=(RUNNING, PAUSED)),
    Kind("mixed with memory inside", MIXED, "internal", when=(RUNNING, PAUSED)),
    Kind("mixed with memory in a file", MIXED, "external", when=(RUNNING, PAUSED)),
    Kind("mixed, disks only", MIXED, None, CREATE_DISK_ONLY),
]


def sources(document):
    """The images of the disks in a document, of a domain or a snapshot."""
    root = ET.fromstring(document)
    domain = root if root.tag == "domain" else root.find("domain")
    return [disk.find("source").get("file") for disk in domain.iter("disk")]


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def content(image, inside=None):
    """The parts of an image, or of a snapshot inside of it, whoever has it open."""
    select = ["-l", f"snapshot.name={inside}"] if inside else []
    form = facts(image)["format"]
    with tempfile.NamedTemporaryFile() as raw:
        subprocess.run(
            ["qemu-img", "convert", "-q", "-U", "-f", form, "-O", "raw", *select, image, raw.name],
            check=True)
        return split(raw.read())


def split(data):
    found = []
    for place in range(0, PARTS * PART, PART):
        part = data[place:place + PART]
        assert part == part[:1] * PART, f"a part of two contents at {place}"
        found.append(part[0])
    return found


def shown(guest, disk):
    """The parts as the guest's device reads them: each part's first byte, and that all are alike."""
    found = []
    for part in range(PARTS):
        said = guest.io(disk, f"read -v {part * PART} 1")
        found.append(int(said.split()[1], 16))
    return found


def grow_and_fell(guest, seed):
    """A tree of many snapshots, then back to none."""
    tree = Tree(guest, seed)
    try:
        while len(tree.taken) < SNAPSHOTS:
            if tree.taken and tree.random.randrange(3) == 0:
                tree.revert_to_any()
            else:
                tree.create_any()
            tree.verify()
        for name in list(tree.taken):
            tree.revert_from_any(name)
            tree.verify()
        while tree.taken:
            if tree.random.randrange(4) == 0:
                tree.revert_to_any()
            else:
                tree.delete_any()
            tree.verify()
        left = [path.name for path in guest.directory.iterdir() if path.name.startswith("disk")]
        assert len(left) <= 4, left
    except (AssertionError, Failed, subprocess.CalledProcessError):
        print(f"live.py: TREE_SEEDS={seed} failed after", *tree.steps, sep="\n  ", flush=True)
        raise


def every_content_stays_in_random_trees(guest):
    """One seed; TREE_SEEDS=1..20 takes others."""
    first, _, last = os.environ.get("TREE_SEEDS", "1").partition("..")
    for seed in range(int(first), int(last or first) + 1):
        grow_and_fell(guest, seed)
        guest.tell("kill")
        guest.restart()


TESTS = [every_content_stays_in_random_trees]
