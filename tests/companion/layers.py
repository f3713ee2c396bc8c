"""Snapshots of a guest that is off, and what they show. Run with this library preloaded, in front of
libvirt.

usage: layers.py URI DOMAIN random SEED STEPS KINDS   random snapshots taken, reverted to and deleted;
                                                      what each shows is read after every step
       layers.py URI DOMAIN show                      what guest and snapshots show, as JSON
       layers.py URI DOMAIN do OPERATION NAME FLAGS   revert or delete; prints the error, if any
       layers.py URI DOMAIN aftermath OPERATION NAME FLAGS
                                                      what they show after that was cut off; after it was done
                                                      again, if it was not done; then deletes all
       layers.py URI DOMAIN race FIFO OPERATION NAME FLAGS
                                                      the same, and starts the guest when the FIFO says so
"""

import json
import random
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree as ET

import libvirt
import libvirt_qemu

BLOCK = 65536
BLOCKS = 8
SIZE = BLOCK * BLOCKS

DISK_ONLY = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
CHILDREN = libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN
CHILDREN_ONLY = libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY


def run(*command):
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=60)


def images(definition):
    """Path and format of each disk's image, by target."""
    found = {}
    for disk in definition.iter("disk"):
        source, driver = disk.find("source"), disk.find("driver")
        if source is not None and disk.find("target") is not None:
            kind = driver.get("type", "raw") if driver is not None else "raw"
            found[disk.find("target").get("dev")] = (source.get("file"), kind)
    return found


def content(path, kind, snapshot=None):
    """What an image shows, or a snapshot in it."""
    with tempfile.NamedTemporaryFile() as raw:
        named = ["-l", f"snapshot.name={snapshot}"] if snapshot else []
        run("qemu-img", "convert", "-U", "-f", kind, "-O", "raw", *named, path, raw.name)
        with open(raw.name, "rb") as file:
            return file.read()


class Guest:
    """A domain, and a model of what it and its snapshots must show."""

    def __init__(self, uri, name):
        self.connection = libvirt.open(uri)
        self.domain = self.connection.lookupByName(name)
        own = self.images().items()
        self.shown = {disk: bytearray(content(path, kind)) for disk, (path, kind) in own}
        self.kept = {}
        self.children = {}
        self.current = None
        self.counter = 0

    def images(self):
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE
        return images(ET.fromstring(self.domain.XMLDesc(flags)))

    def write(self, chance):
        self.counter += 1
        value = self.counter % 255 + 1
        disk = chance.choice(sorted(self.shown))
        block = chance.randrange(BLOCKS)
        path, kind = self.images()[disk]
        run("qemu-io", "-f", kind, "-c", f"write -P {value} {block * BLOCK} {BLOCK}", path)
        self.shown[disk][block * BLOCK : (block + 1) * BLOCK] = bytes([value]) * BLOCK

    def create(self, kind):
        name = f"s{self.counter}"
        self.counter += 1
        flags = DISK_ONLY if kind == "external" else 0
        self.domain.snapshotCreateXML(f"<domainsnapshot><name>{name}</name></domainsnapshot>", flags)
        self.kept[name] = {disk: bytes(shown) for disk, shown in self.shown.items()}
        self.children[name] = []
        if self.current:
            self.children[self.current].append(name)
        self.current = name

    def revert(self, name):
        self.domain.revertToSnapshot(self.domain.snapshotLookupByName(name))
        self.shown = {disk: bytearray(shown) for disk, shown in self.kept[name].items()}
        self.current = name

    def below(self, name):
        return [name] + [one for child in self.children[name] for one in self.below(child)]

    def delete(self, name, flags):
        self.domain.snapshotLookupByName(name).delete(flags)
        gone = self.below(name) if flags else [name]
        if flags == CHILDREN_ONLY:
            gone = gone[1:]
        parent = next((each for each, below in self.children.items() if name in below), None)
        heir = name if flags == CHILDREN_ONLY else parent
        if self.current in gone:
            self.current = heir
        for one in gone:
            orphans = [child for child in self.children.pop(one) if child not in gone]
            del self.kept[one]
            if heir:
                self.children[heir].extend(orphans)
        for below in self.children.values():
            below[:] = [child for child in below if child not in gone]

    def check(self):
        seen = shows(self.domain)
        assert set(seen["snapshots"]) == set(self.kept), (sorted(seen["snapshots"]), sorted(self.kept))
        assert seen["current"] == self.current, (seen["current"], self.current)
        assert seen["guest"] == blocks(self.shown), ("the guest", seen["guest"], blocks(self.shown))
        for name, shown in seen["snapshots"].items():
            assert shown == blocks(self.kept[name]), (name, shown, blocks(self.kept[name]))


def blocks(shown):
    """The value that each block is filled with, by disk; what is torn has none."""
    def value(block):
        return block[0] if len(set(block)) == 1 else None

    return {
        disk: [value(image[at : at + BLOCK]) for at in range(0, len(image), BLOCK)]
        for disk, image in shown.items()
    }


def shows(domain):
    """What guest and snapshots show. What was cut off is settled first."""
    listed = domain.listAllSnapshots()
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE
    own = images(ET.fromstring(domain.XMLDesc(flags)))
    snapshots = {}
    for snapshot in listed:
        document = ET.fromstring(snapshot.getXMLDesc())
        modes = {disk.get("name"): disk.get("snapshot") for disk in document.find("disks")}
        kept = images(document.find("domain"))
        snapshots[snapshot.getName()] = blocks({
            disk: content(path, kind, snapshot.getName() if modes[disk] == "internal" else None)
            for disk, (path, kind) in kept.items()
        })
    return {
        "guest": blocks({disk: content(path, kind) for disk, (path, kind) in own.items()}),
        "snapshots": snapshots,
        "current": domain.snapshotCurrent().getName() if domain.hasCurrentSnapshot() else None,
        "files": sorted(path for path, _ in own.values()),
    }


def step(guest, chance, kinds):
    """One random operation; what it was."""
    guest.write(chance)
    names = sorted(guest.kept)
    what = chance.random()
    if not names or what < 0.5 and len(names) < 14:
        kind = chance.choice(kinds)
        guest.create(kind)
        return f"create {kind}"
    name = chance.choice(names)
    if what < 0.75:
        guest.revert(name)
        return f"revert {name}"
    flags = chance.choice((0, 0, 0, CHILDREN, CHILDREN_ONLY))
    guest.delete(name, flags)
    return f"delete {name} {flags}"


def histories(uri, name, seed, steps, kinds):
    chance = random.Random(int(seed))
    guest = Guest(uri, name)
    history = []
    try:
        for _ in range(int(steps)):
            history.append(step(guest, chance, kinds.split(",")))
            guest.check()
        for snapshot in sorted(guest.kept):
            history.append(f"delete {snapshot}")
            guest.delete(snapshot, 0)
            guest.check()
    except Exception:
        print("\n".join(history))
        raise


def operate(domain, operation, name, flags):
    """The error's text; nothing after success."""
    snapshot = domain.snapshotLookupByName(name)
    try:
        if operation == "revert":
            domain.revertToSnapshot(snapshot, int(flags))
        else:
            snapshot.delete(int(flags))
    except libvirt.libvirtError as error:
        return f"{error.get_error_code()}: {error}"
    return ""


def aftermath(domain, operation, name, flags):
    said = {"seen": shows(domain)}
    is_done = {
        "delete": name not in said["seen"]["snapshots"],
        "revert": name == said["seen"]["current"],
    }
    if not is_done[operation]:
        said["again"] = operate(domain, operation, name, flags)
    said["now"] = shows(domain)
    for snapshot in domain.listAllSnapshots():
        snapshot.delete()
    print(json.dumps(said))


def race(domain, fifo, *operation):
    """Does it, and starts the guest when somebody opens the FIFO. A guest that runs afterwards writes to
    its disk, and is ended."""
    said = {}

    def start():
        with open(fifo, encoding="ascii"):
            try:
                domain.create()
                said["start"] = ""
            except libvirt.libvirtError as error:
                said["start"] = str(error)

    starter = threading.Thread(target=start, daemon=True)
    starter.start()
    said["error"] = operate(domain, *operation)
    if domain.isActive():
        write = 'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P 119 0 65536"'
        said["wrote"] = libvirt_qemu.qemuMonitorCommand(
            domain, write, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
        said["names"] = [snapshot.getName() for snapshot in domain.listAllSnapshots()]
        said["again"] = operate(domain, *operation) if said["error"] else ""
        domain.destroy()
    print(json.dumps(said))


def main():
    uri, name, what, *rest = sys.argv[1:]
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()
    if what == "random":
        return histories(uri, name, *rest)
    connection = libvirt.open(uri)
    domain = connection.lookupByName(name)
    if what == "show":
        print(json.dumps(shows(domain)))
    elif what == "aftermath":
        aftermath(domain, *rest)
    elif what == "race":
        race(domain, *rest)
    else:
        print(operate(domain, *rest))
    return 0


if __name__ == "__main__":
    sys.exit(main())
