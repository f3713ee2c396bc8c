"""Each of the 21 functions with each flag, called once through ctypes; what came of it, as JSON.

usage: calls.py LIBRARY URI DIRECTORY

The domain is shut off, with one qcow2 disk and the snapshots r, a below it, and b below that, which is
current. Calls that change something find that anew each time.
"""

import ctypes
import glob
import json
import os
import subprocess
import sys

UUID = "5b7d3a3e-0f5b-4c0e-9d86-7c1f5d6b1a01"
UNDEFINE_SNAPSHOTS_METADATA = 2
SECURE = 1
REDEFINE, CURRENT, NO_METADATA, HALT, DISK_ONLY = 1, 2, 4, 8, 16
REUSE_EXT, QUIESCE, ATOMIC, LIVE, VALIDATE = 32, 64, 128, 256, 512

CREATE = {
    "0": 0, "REDEFINE": REDEFINE, "REDEFINE, CURRENT": REDEFINE | CURRENT, "CURRENT": CURRENT,
    "NO_METADATA": NO_METADATA, "REDEFINE, NO_METADATA": REDEFINE | NO_METADATA, "HALT": HALT,
    "REDEFINE, HALT": REDEFINE | HALT, "DISK_ONLY": DISK_ONLY, "REUSE_EXT": REUSE_EXT,
    "DISK_ONLY, REUSE_EXT": DISK_ONLY | REUSE_EXT, "QUIESCE": QUIESCE,
    "DISK_ONLY, QUIESCE": DISK_ONLY | QUIESCE, "ATOMIC": ATOMIC, "LIVE": LIVE,
    "REDEFINE, LIVE": REDEFINE | LIVE, "VALIDATE": VALIDATE, "unknown": 1 << 10,
}
LIST = ["METADATA", "LEAVES", "NO_LEAVES", "NO_METADATA", "INACTIVE", "ACTIVE", "DISK_ONLY",
        "INTERNAL", "EXTERNAL", "TOPOLOGICAL", "unknown"]


def list_flags(first):
    singles = {name: 2 << bit for bit, name in enumerate(LIST)}
    return {"0": 0, first: 1, **singles, "LEAVES, NO_LEAVES": 4 | 8}


ONLY_UNKNOWN = {"0": 0, "unknown": 1}
FLAGS = {
    "virDomainSnapshotGetName": {"none": None},
    "virDomainSnapshotGetDomain": {"none": None},
    "virDomainSnapshotGetConnect": {"none": None},
    "virDomainSnapshotCreateXML": CREATE,
    "virDomainSnapshotGetXMLDesc": {"0": 0, "SECURE": SECURE, "unknown": 2},
    "virDomainSnapshotNum": list_flags("ROOTS"),
    "virDomainSnapshotListNames": list_flags("ROOTS"),
    "virDomainListAllSnapshots": list_flags("ROOTS"),
    "virDomainSnapshotNumChildren": list_flags("DESCENDANTS"),
    "virDomainSnapshotListChildrenNames": list_flags("DESCENDANTS"),
    "virDomainSnapshotListAllChildren": list_flags("DESCENDANTS"),
    "virDomainSnapshotLookupByName": ONLY_UNKNOWN,
    "virDomainHasCurrentSnapshot": ONLY_UNKNOWN,
    "virDomainSnapshotCurrent": ONLY_UNKNOWN,
    "virDomainSnapshotGetParent": ONLY_UNKNOWN,
    "virDomainSnapshotIsCurrent": ONLY_UNKNOWN,
    "virDomainSnapshotHasMetadata": ONLY_UNKNOWN,
    "virDomainRevertToSnapshot": {
        "0": 0, "RUNNING": 1, "PAUSED": 2, "RUNNING, PAUSED": 3, "FORCE": 4, "RESET_NVRAM": 8,
        "unknown": 16},
    "virDomainSnapshotDelete": {
        "0": 0, "CHILDREN": 1, "METADATA_ONLY": 2, "CHILDREN_ONLY": 4, "CHILDREN, METADATA_ONLY": 3,
        "CHILDREN, CHILDREN_ONLY": 5, "unknown": 8},
    "virDomainSnapshotRef": {"none": None},
    "virDomainSnapshotFree": {"none": None},
}
CHANGING = ["virDomainSnapshotCreateXML", "virDomainRevertToSnapshot", "virDomainSnapshotDelete"]
POINTERS = [
    "virConnectOpen", "virDomainDefineXML", "virDomainLookupByName", "virDomainSnapshotGetName",
    "virDomainSnapshotGetDomain", "virDomainSnapshotGetConnect", "virDomainSnapshotCreateXML",
    "virDomainSnapshotGetXMLDesc", "virDomainSnapshotLookupByName", "virDomainSnapshotCurrent",
    "virDomainSnapshotGetParent"]
HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class Failed(Exception):
    """A call of the preparation failed."""


class Calls:
    def __init__(self, library, uri, directory):
        self.library = ctypes.CDLL(library)
        self.directory = directory
        self.image = os.path.join(directory, "disk.qcow2")
        self.silent = HANDLER(lambda _, __: None)
        self.library.virSetErrorFunc(None, self.silent)
        # An embedded QEMU driver wants an event loop; that is libvirt's own business.
        ctypes.CDLL("libvirt.so.0").virEventRegisterDefaultImpl()
        for name in POINTERS:
            getattr(self.library, name).restype = ctypes.c_void_p
        self.type = "test" if uri.startswith("test:") else "qemu"
        self.connection = self.must("virConnectOpen", uri.encode())
        self.domain = None

    def call(self, name, *arguments):
        arguments = [ctypes.c_uint(value) if isinstance(value, Bits) else
                     ctypes.c_void_p(value) if isinstance(value, int) else value
                     for value in arguments]
        return getattr(self.library, name)(*arguments)

    def must(self, name, *arguments):
        answer = self.call(name, *arguments)
        if answer is None or answer == -1:
            self.library.virGetLastErrorMessage.restype = ctypes.c_char_p
            raise Failed(f"{name}: {self.library.virGetLastErrorMessage()}")
        return answer

    def make_anew(self):
        """The domain as the calls shall find it."""
        if self.domain:
            if self.call("virDomainIsActive", self.domain) == 1:
                # Only libvirt starts guests, and only there ours is in front of it.
                ctypes.CDLL("libvirt.so.0").virDomainDestroy(ctypes.c_void_p(self.domain))
            self.must("virDomainUndefineFlags", self.domain, Bits(UNDEFINE_SNAPSHOTS_METADATA))
        for file in glob.glob(os.path.join(self.directory, "disk.*")):
            os.unlink(file)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.image, "1M"], check=True)
        xml = (
            f"<domain type='{self.type}'><name>guest</name><uuid>{UUID}</uuid><memory>16384</memory>"
            "<os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>"
            f"<driver name='qemu' type='qcow2'/><source file='{self.image}'/><target dev='vda'/>"
            "</disk></devices></domain>")
        self.domain = self.must("virDomainDefineXML", self.connection, xml.encode())
        for name in "rab":
            self.must("virDomainSnapshotCreateXML", self.domain, document(name), Bits(0))

    def snapshot(self, name):
        return self.must("virDomainSnapshotLookupByName", self.domain, name.encode(), Bits(0))

    def arguments(self, function, flags):
        if function == "virDomainSnapshotCreateXML":
            xml = document("new")
            if flags & REDEFINE:
                text = self.must("virDomainSnapshotGetXMLDesc", self.snapshot("b"), Bits(SECURE))
                xml = ctypes.string_at(text)
            elif flags & REUSE_EXT:
                overlay = os.path.join(self.directory, "disk.reused")
                subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b",
                                self.image, overlay], check=True)
                xml = document("new", f"<disks><disk name='vda'><source file='{overlay}'/></disk></disks>")
            return self.domain, xml
        if function in ("virDomainSnapshotListNames", "virDomainSnapshotListChildrenNames"):
            where = self.snapshot("r") if "Children" in function else self.domain
            return where, (ctypes.c_char_p * 4)(), ctypes.c_int(4)
        if function == "virDomainSnapshotLookupByName":
            return self.domain, b"a"
        if "All" in function:
            where = self.snapshot("r") if "Children" in function else self.domain
            return where, ctypes.byref(ctypes.c_void_p())
        if function in ("virDomainSnapshotNum", "virDomainHasCurrentSnapshot",
                        "virDomainSnapshotCurrent"):
            return (self.domain,)
        return (self.snapshot("r" if function == "virDomainSnapshotNumChildren" else "a"),)

    def outcome(self, function, flags):
        arguments = self.arguments(function, flags or 0)
        if flags is not None:
            arguments = (*arguments, Bits(flags))
        answer = self.call(function, *arguments)
        if answer is None or answer == -1:
            return f"error {self.library.virGetLastErrorCode()}"
        counts = getattr(self.library, function).restype is ctypes.c_int and function not in CHANGING
        return str(answer) if counts else "done"


class Bits(int):
    """Flags, which are no pointer."""


def document(name, more=""):
    return f"<domainsnapshot><name>{name}</name>{more}</domainsnapshot>".encode()


def main(library, uri, directory):
    calls = Calls(library, uri, directory)
    calls.make_anew()
    answers = {}
    for function, rows in FLAGS.items():
        for word, flags in rows.items():
            if function in CHANGING:
                calls.make_anew()
            answers[f"{function} {word}"] = calls.outcome(function, flags)
    calls.make_anew()
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
