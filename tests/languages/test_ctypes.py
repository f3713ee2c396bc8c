"""A Python session by `ctypes` alone: no bindings, no libvirt, the library opened by its name."""

import ctypes
import os
import re
import subprocess
import sys
import unittest
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_uint, c_ulong, c_ulonglong, c_void_p
from xml.etree import ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "companion"))
from world import PRELOAD, UUID, World, snapshots_in  # noqa: E402

MAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "virsnap.map")
REDEFINE, CURRENT = 1, 2
METADATA_ONLY, CHILDREN_ONLY = 2, 4
TOPOLOGICAL = 1 << 10
SHUTOFF = 5
NO_DOMAIN_SNAPSHOT, FROM_QEMU = 72, 10


class Error(Structure):
    """virError, as far as it is looked at."""
    _fields_ = [("code", c_int), ("domain", c_int), ("message", c_char_p), ("level", c_int)]


ErrorFunc = CFUNCTYPE(None, c_void_p, POINTER(Error))
GetInt = CFUNCTYPE(c_int, c_void_p)
WithDocument = CFUNCTYPE(c_int, c_void_p, c_char_p, c_uint)
Document = CFUNCTYPE(c_int, c_void_p, c_char_p)
Release = CFUNCTYPE(None, c_void_p)


class Callbacks(Structure):
    """virSnapDomainCallbacks; members that stay NULL are pointers without a type."""
    _fields_ = [
        ("size", c_ulong), ("getState", GetInt), ("getDefinition", c_void_p), ("setDefinition", c_void_p),
        ("start", c_void_p), ("stop", c_void_p), ("pause", c_void_p), ("resume", c_void_p),
        ("monitorCommand", c_void_p), ("agentCommand", c_void_p), ("createData", WithDocument),
        ("revertData", WithDocument), ("deleteData", Document),
        ("progress", CFUNCTYPE(c_int, c_void_p, c_ulonglong, c_ulonglong)), ("release", Release),
    ]


def load():
    """The library with the types of what is called here; a pointer must not be cut to an int."""
    library = ctypes.CDLL(PRELOAD)
    pointers = """virConnectOpen virDomainDefineXML virDomainSnapshotCreateXML virDomainSnapshotLookupByName
        virDomainSnapshotCurrent virDomainSnapshotGetParent virDomainSnapshotGetXMLDesc"""
    for name in pointers.split():
        getattr(library, name).restype = c_void_p
    library.virDomainSnapshotGetName.restype = c_char_p
    library.virGetLastError.restype = POINTER(Error)
    library.virSetErrorFunc.restype = None
    return library


class Ctypes(World):
    def setUp(self):
        super().setUp()
        self.virsnap = load()
        self.free = ctypes.CDLL(None).free
        self.told = []
        self.handler = ErrorFunc(lambda _, error: self.told.append(error.contents.code))
        self.virsnap.virSetErrorFunc(None, self.handler)
        self.addCleanup(self.virsnap.virSetErrorFunc, None, None)
        self.conn = c_void_p(self.virsnap.virConnectOpen(f"virsnap://{self.path('own')}".encode()))
        with open(self.domain_file("."), "rb") as file:
            self.domain = c_void_p(self.virsnap.virDomainDefineXML(self.conn, file.read()))
        self.image = self.path("guest-vda.qcow2")
        self.assertTrue(self.conn and self.domain)

    def close(self, *snapshots):
        for snapshot in snapshots:
            self.assertEqual(self.virsnap.virDomainSnapshotFree(snapshot), 0)
        self.assertEqual(self.virsnap.virDomainFree(self.domain), 0)
        self.assertEqual(self.virsnap.virConnectClose(self.conn), 0, "all handles are given back")

    def guest(self, command):
        done = subprocess.run(["qemu-io", "-c", command, self.image], check=True, capture_output=True, text=True)
        self.assertEqual(done.stdout, "")

    def take(self, document, flags=0):
        if not document.startswith("<"):
            document = f"<domainsnapshot><name>{document}</name></domainsnapshot>"
        return c_void_p(self.virsnap.virDomainSnapshotCreateXML(self.domain, document.encode(), flags))

    def names(self):
        """By the array of handles, which the caller frees, and by the array of names."""
        array = c_void_p()
        count = self.virsnap.virDomainListAllSnapshots(self.domain, byref(array), TOPOLOGICAL)
        handles = ctypes.cast(array, POINTER(c_void_p))
        listed = []
        for index in range(count):
            handle = c_void_p(handles[index])
            listed.append(self.virsnap.virDomainSnapshotGetName(handle).decode())
            self.virsnap.virDomainSnapshotFree(handle)
        self.assertIsNone(handles[count])
        self.free(array)
        texts = (c_void_p * 8)()
        self.assertEqual(self.virsnap.virDomainSnapshotListNames(self.domain, texts, 8, TOPOLOGICAL), count)
        self.assertEqual([ctypes.string_at(text).decode() for text in texts[:count]], listed)
        for text in texts[:count]:
            self.free(c_void_p(text))
        return listed

    def document(self, snapshot):
        text = c_void_p(self.virsnap.virDomainSnapshotGetXMLDesc(snapshot, 1))
        document = ctypes.string_at(text).decode()
        self.free(text)
        return document

    def test_a_session(self):
        virsnap = self.virsnap
        self.guest("write -q -P 0x11 0 64k")
        root = self.take("r")
        self.guest("write -q -P 0x22 0 64k")
        leaf = self.take("<domainsnapshot><name>ä &amp; b</name></domainsnapshot>")
        self.guest("write -q -P 0x33 0 64k")
        self.assertEqual(self.names(), ["r", "ä & b"])
        self.assertEqual(snapshots_in(self.image)[0], "r")

        read = ElementTree.fromstring(self.document(leaf))
        self.assertEqual(
            [read.findtext(path) for path in ("name", "parent/name", "state", "domain/uuid")],
            ["ä & b", "r", "shutoff", UUID])
        parent = c_void_p(virsnap.virDomainSnapshotGetParent(leaf, 0))
        self.assertEqual(virsnap.virDomainSnapshotGetName(parent), b"r")
        self.assertEqual((virsnap.virDomainSnapshotIsCurrent(root, 0), virsnap.virDomainSnapshotIsCurrent(leaf, 0)), (0, 1))

        self.assertEqual(virsnap.virDomainRevertToSnapshot(root, 0), 0)
        self.guest("read -q -P 0x11 0 64k")
        current = c_void_p(virsnap.virDomainSnapshotCurrent(self.domain, 0))
        self.assertEqual(virsnap.virDomainSnapshotGetName(current), b"r")

        document = self.document(leaf)
        self.assertEqual(virsnap.virDomainSnapshotDelete(leaf, METADATA_ONLY), 0)
        self.assertEqual((self.names(), len(snapshots_in(self.image))), (["r"], 2))
        again = self.take(document, REDEFINE | CURRENT)
        self.assertEqual(virsnap.virDomainRevertToSnapshot(again, 0), 0)
        self.guest("read -q -P 0x22 0 64k")

        self.assertEqual(virsnap.virDomainSnapshotDelete(root, CHILDREN_ONLY), 0)
        self.assertEqual((self.names(), snapshots_in(self.image), self.told), (["r"], ["r"], []))
        self.close(root, leaf, parent, current, again)

    def test_errors(self):
        self.assertIsNone(self.virsnap.virDomainSnapshotLookupByName(self.domain, b"nope", 0))
        error = self.virsnap.virGetLastError().contents
        self.assertEqual(
            (error.code, error.domain, error.level, error.message.decode()),
            (NO_DOMAIN_SNAPSHOT, FROM_QEMU, 2,
             "Domain snapshot not found: no domain snapshot with matching name 'nope'"))
        self.assertEqual(self.told, [NO_DOMAIN_SNAPSHOT])
        # What is no handle is an error, whatever Python gives: a number, a handle of another kind, one that is freed.
        root = self.take("r")
        self.assertEqual(self.virsnap.virDomainSnapshotNum(c_void_p(12345), 0), -1)
        self.assertEqual(self.virsnap.virDomainSnapshotIsCurrent(self.domain, 0), -1)
        self.assertEqual(self.virsnap.virDomainSnapshotFree(root), 0)
        self.assertEqual(self.virsnap.virDomainSnapshotFree(root), -1)
        self.assertEqual(self.told[1:], [7, 71, 71])
        self.assertEqual(self.virsnap.virDomainSnapshotNum(self.domain, 0), 1)
        self.assertFalse(self.virsnap.virGetLastError())
        self.close()

    def test_functions_of_a_program_in_python(self):
        kept, calls = {}, []

        def create(_, xml, _flags):
            name = ElementTree.fromstring(xml).findtext("name")
            calls.append(f"create {name}")
            if name == "refused":
                self.virsnap.virSnapSetCallbackError(b"Python says no")
                return -1
            kept[name] = "data"
            return 0

        def revert(_, xml, _flags):
            calls.append(f"revert {ElementTree.fromstring(xml).findtext('name')}")
            return 0

        def delete(_, xml):
            kept.pop(ElementTree.fromstring(xml).findtext("name"), None)
            return 0

        hooks = Callbacks(
            size=ctypes.sizeof(Callbacks), getState=GetInt(lambda _: SHUTOFF), createData=WithDocument(create),
            revertData=WithDocument(revert), deleteData=Document(delete), release=Release(lambda _: calls.append("release")))
        self.assertEqual(self.virsnap.virSnapDomainSetCallbacks(self.domain, byref(hooks), None, 0), 0)
        root = self.take("r")
        self.assertEqual(self.virsnap.virDomainRevertToSnapshot(root, 0), 0)
        self.assertFalse(self.take("refused"))
        self.assertIn(b"Python says no", self.virsnap.virGetLastError().contents.message)
        self.assertEqual((self.names(), kept, snapshots_in(self.image)), (["r"], {"r": "data"}, []))
        self.assertEqual(self.virsnap.virDomainSnapshotDelete(root, 0), 0)
        self.assertEqual((self.names(), kept), ([], {}))
        self.close(root)
        self.assertEqual(calls, ["create r", "revert r", "create refused", "release"])

    def test_every_function_is_found(self):
        with open(MAP, encoding="utf-8") as file:
            names = re.findall(r"^ +(vir\w+);", file.read(), re.MULTILINE)
        self.assertGreater(len(names), 100)
        self.assertEqual([name for name in names if not hasattr(self.virsnap, name)], [])
        self.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
