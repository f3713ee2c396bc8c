"""Rules of companion mode that no session shows: docs/companion.md lists them."""

import os
import subprocess
import sys
import unittest

from world import PRELOAD, World, snapshots_in

BYSTANDER = """
import os
maps = open("/proc/self/maps").read()
print(len(os.listdir("/proc/self/task")), "libvirsnap" in maps, "libvirt.so" in maps)
"""

GONE = """
import libvirt, subprocess, sys
libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()
conn = libvirt.open(sys.argv[1])
dom = conn.lookupByName("guest")
snap = dom.snapshotCreateXML("<domainsnapshot><name>a</name></domainsnapshot>")
again = dom.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
snap.delete()
dom.undefine()
for call in (dom.snapshotNum, dom.listAllSnapshots, dom.hasCurrentSnapshot, snap.isCurrent, snap.delete,
             lambda: dom.snapshotCreateXML("<domainsnapshot/>"), lambda: dom.revertToSnapshot(snap)):
    try:
        call()
        print("done")
    except libvirt.libvirtError as error:
        print(error.get_error_code(), error.get_error_domain())
dom = conn.defineXML(again)
print(dom.snapshotNum())
"""

REDEFINE_EXTERNAL = """
import libvirt, sys
libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()
conn = libvirt.open(sys.argv[1])
dom = conn.lookupByName("guest")
snap = dom.snapshotCreateXML("<domainsnapshot><name>e</name></domainsnapshot>",
                             libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY)
dom.snapshotCreateXML(
    "<domainsnapshot><name>e</name><state>shutoff</state><creationTime>5</creationTime>"
    "<disks><disk name='vda' snapshot='external'/></disks></domainsnapshot>",
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)
print("<domain type='qemu'>" in snap.getXMLDesc(), "guest-vda.e'" in snap.getXMLDesc())
"""


class Rules(World):
    def program(self, text, *arguments):
        """What a Python program says that has this library preloaded."""
        done = subprocess.run(
            [sys.executable, "-c", text, *arguments], stdin=subprocess.DEVNULL, check=False,
            capture_output=True, text=True, timeout=120,
            env={**self.environment, "LD_PRELOAD": PRELOAD},
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout, done.stderr

    def guest(self):
        uri = self.embedded("libvirt")
        self.virsh(uri, f"define {self.domain_file('libvirt')}", preload=False)
        return uri

    def test_nothing_happens_before_the_first_call(self):
        before = os.listdir(self.root)
        self.assertEqual(self.program(BYSTANDER), ("1 True False\n", ""))
        self.assertEqual(os.listdir(self.root), before)
        self.assertEqual(os.listdir(self.state), [])

    def test_a_guest_that_is_gone_is_no_domain(self):
        output, _ = self.program(GONE, self.guest())
        self.assertEqual(output, "42 10\n" * 7 + "0\n")

    def test_snapshots_outlive_a_guest_that_was_undefined_while_it_ran(self):
        uri = self.guest()
        file = self.path("libvirt", "guest.xml")
        # libvirt alone drops what it has when the guest ends.
        for preload, left in ((False, ""), (True, "a\n")):
            self.virsh(uri, "snapshot-create-as guest a", "start guest", "undefine guest",
                       "destroy guest", f"define {file}", preload=preload)
            output, _ = self.virsh(uri, "snapshot-list guest --name", preload=preload)
            self.assertEqual(output.strip(), left.strip())
            if not preload:
                self.virsh(uri, "undefine guest", preload=False)
                os.unlink(self.path("libvirt", "guest-vda.qcow2"))
                self.domain_file("libvirt")
                self.virsh(uri, f"define {file}", preload=False)

    def test_d6_a_guest_that_has_lost_a_disk_is_no_crash(self):
        uri = self.embedded("libvirt")
        file = self.domain_file("libvirt", disks=("vda", "vdb"))
        self.virsh(uri, f"define {file}", "snapshot-create-as guest a",
                   "detach-disk guest vdb --config")
        images = [self.path("libvirt", f"guest-{disk}.qcow2") for disk in ("vda", "vdb")]
        for flags in ("", "--children"):
            # virsh lives on: libvirt alone ends here.
            said, errors = self.virsh(
                uri, "start guest", f"snapshot-delete guest a {flags}", "domstate guest", "destroy guest")
            self.assertIn("disk 'vdb' of internal snapshot 'a' is not in the running domain", errors)
            self.assertIn("running", said.splitlines())
            self.assertEqual([snapshots_in(image) for image in images], [["a"]] * 2)
        _, errors = self.virsh(uri, "snapshot-delete guest a")
        self.assertEqual(errors.strip(), "")
        self.assertEqual([snapshots_in(image) for image in images], [[]] * 2)

    def test_an_external_snapshot_redefined_without_definition_has_the_stored_one(self):
        output, _ = self.program(REDEFINE_EXTERNAL, self.guest())
        self.assertEqual(output, "True True\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
