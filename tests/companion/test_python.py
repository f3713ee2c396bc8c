"""A Python program with Debian's libvirt bindings, and this library in front of libvirt.

The interpreter loads libvirt into a scope of its own; that is where it must be found.
"""

import os
import subprocess
import sys
import unittest

from world import PRELOAD, World, snapshots_in

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py")


# Writes a byte, takes a snapshot, writes another one; goes back and forth.
CONTENTS = """
import subprocess, sys, libvirt
uri, image = sys.argv[1:]
libvirt.virEventRegisterDefaultImpl()
dom = libvirt.open(uri).lookupByName("guest")

def write(byte):
    subprocess.run(["qemu-io", "-c", f"write -q -P {byte} 0 64k", image], check=True)

def read():
    subprocess.run(
        ["qemu-img", "dd", "-f", "qcow2", "-O", "raw", "bs=1", "count=1", f"if={image}", f"of={image}.byte"],
        check=True, stdout=subprocess.DEVNULL)
    with open(f"{image}.byte", "rb") as file:
        return file.read(1)[0]

snapshots = []
for name, byte in (("r", 17), ("a", 34)):
    write(byte)
    snapshots.append(dom.snapshotCreateXML(f"<domainsnapshot><name>{name}</name></domainsnapshot>"))
write(51)
current = dom.snapshotCurrent().getName(), snapshots[1].getParent().getName()
dom.revertToSnapshot(snapshots[0])
first = read()
dom.revertToSnapshot(snapshots[1])
print(*current, first, read(), [one.getName() for one in dom.listAllSnapshots(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL)])
"""


class Python(World):
    def run_program(self, uri, *arguments):
        environment = {
            **self.environment,
            "LD_PRELOAD": PRELOAD,
            # The program defines a snapshot again whose data is gone. libvirt does not look.
            "VIRSNAP_REDEFINE_CHECK": "trust",
        }
        done = subprocess.run(
            [sys.executable, PROGRAM, uri, *arguments], stdin=subprocess.DEVNULL, check=False, capture_output=True,
            text=True, env=environment, timeout=180,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_the_test_driver(self):
        self.assertEqual(self.run_program("test:///default", "test"), "everything holds\n")
        self.assertEqual(os.listdir(self.state), [])

    def test_a_shut_off_guest(self):
        uri = self.embedded("libvirt")
        self.virsh(uri, f"define {self.domain_file('libvirt')}", preload=False)
        self.assertEqual(self.run_program(uri, "guest"), "everything holds\n")

    def test_an_embedded_connection(self):
        # As libvirt, which defines a snapshot again whose data is gone.
        uri = f"virsnap://{self.path('own')}?redefine_check=trust"
        file = self.domain_file(".")
        self.virsh(uri, f"define {file}")
        self.assertEqual(self.run_program(uri, "guest"), "everything holds\n")

    def test_data_goes_back(self):
        """What the guest has written is what the snapshot shows: on both connections, by the same program."""
        own = f"virsnap://{self.path('own')}"
        theirs = self.embedded("libvirt")
        for uri, directory in ((own, "."), (theirs, "libvirt")):
            _, errors = self.virsh(uri, f"define {self.domain_file(directory)}", preload=uri == own)
            self.assertEqual(errors, "")
            program = self.write("contents.py", CONTENTS)
            done = subprocess.run(
                [sys.executable, program, uri, self.path(directory, "guest-vda.qcow2")], stdin=subprocess.DEVNULL,
                check=False, capture_output=True, text=True, env={**self.environment, "LD_PRELOAD": PRELOAD}, timeout=180)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout, "a r 17 34 ['r', 'a']\n")
            self.assertEqual(snapshots_in(self.path(directory, "guest-vda.qcow2")), ["r", "a"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
