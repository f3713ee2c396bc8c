"""Migration where libvirt takes part: refused or let through, adopted from it, replayed to it."""

import os
import subprocess
import unittest

from world import PRELOAD, UUID, World, snapshots_in

CARRY = os.environ["VIRSNAP_CARRY"]
QEMU_TEST = "test:///default"

PROGRAM = """
import sys
import libvirt
libvirt.registerErrorHandler(lambda _, error: None, None)
conn = libvirt.open(sys.argv[1])
dom = conn.listAllDomains()[0]

def create(name="s"):
    dom.snapshotCreateXML(f"<domainsnapshot><name>{name}</name></domainsnapshot>")

def tell(call, *arguments):
    try:
        call(*arguments)
    except libvirt.libvirtError as error:
        print(error.get_error_code(), error.get_error_domain(), error)

def migrate():
    tell(dom.migrateToURI, "qemu:///system", 0, None, 0)
    tell(dom.migrateToURI3, "qemu:///system", {}, 0)
    tell(dom.migrate3, conn, {}, 0)

"""


class Migrate(World):
    def carry(self, *words, status=0):
        done = subprocess.run(
            [CARRY, *words], stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True,
            env=self.environment, timeout=180)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr

    def plain(self, uri, *commands):
        output, errors = self.virsh(uri, *commands, preload=False)
        self.assertEqual(errors, "")
        return output

    def hierarchy(self, uri, preload=False):
        """Names, documents with secrets, and the current one."""
        output, _ = self.virsh(uri, "snapshot-list guest --name", preload=preload)
        names = sorted(output.split())
        commands = [f"snapshot-dumpxml guest {name} --security-info" for name in names]
        documents, errors = self.virsh(uri, *commands, preload=preload)
        self.assertEqual(errors, "")
        current, _ = self.virsh(uri, "snapshot-current guest --name", preload=preload)
        return names, documents, current.strip()

    def program(self, uri, text, preload=True, **variables):
        """What a Python program says of a connection `conn`. Not virsh: it waits for ever where a
        migration fails at once."""
        environment = {**self.environment, **variables}
        if preload:
            environment["LD_PRELOAD"] = PRELOAD
        done = subprocess.run(
            ["/usr/bin/python3", "-c", PROGRAM + text, uri], stdin=subprocess.DEVNULL, check=False,
            capture_output=True, text=True, env=environment, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_domain_with_snapshots_is_not_migrated(self):
        refusal = "55 10 Requested operation is not valid: cannot migrate domain with 1 snapshots\n"
        said = self.program(QEMU_TEST, "create(); migrate(); print(dom.snapshotListNames())")
        self.assertEqual(said, refusal.replace(" 10 ", " 12 ") * 3 + "['s']\n")

    def test_carry_lets_libvirt_decide(self):
        refusal = self.program(QEMU_TEST, "migrate()", preload=False)
        self.assertEqual(self.program(QEMU_TEST, "migrate()"), refusal)
        said = self.program(
            QEMU_TEST, "create(); migrate(); print(dom.snapshotListNames()); create('t')",
            VIRSNAP_MIGRATE="carry")
        self.assertEqual(said, refusal + "['s']\n")

    def test_an_embedded_domain_is_none_of_libvirts(self):
        uri = f"virsnap://{self.path('own')}"
        self.virsh(uri, f"define {self.domain_file('.')}")
        said = self.program(uri, "migrate()")
        self.assertEqual([line.split()[0] for line in said.splitlines()], ["7"] * 3)

    def test_a_round_trip_loses_nothing(self):
        first, second = self.embedded("first"), self.embedded("second")
        own = f"virsnap://{self.path('own')}"
        file = self.domain_file(".", disks=("vda", "vdb"))
        self.plain(
            first, f"define {file}", "snapshot-create-as guest r 'the first & best'",
            "snapshot-create-as guest a", "snapshot-create-as guest a1", "snapshot-revert guest r",
            "snapshot-create-as guest b", "snapshot-create-as guest b1", "snapshot-revert guest b")
        before = self.hierarchy(first)
        self.assertEqual((before[0], before[2]), (["a", "a1", "b", "b1", "r"], "b"))
        self.carry("adopt", first, own, "guest")
        self.assertEqual(self.hierarchy(first), before)
        self.carry("adopt", first, own, "guest", "forget")
        self.assertEqual(self.plain(first, "snapshot-list guest --name").split(), [])
        self.assertEqual(self.hierarchy(own, preload=True), before)
        self.carry("replay", own, second, "guest")
        self.assertEqual(self.hierarchy(second), before)
        output, _ = self.virsh(own, "snapshot-list guest --name")
        self.assertEqual(output.split(), [])
        # It is libvirt's for good, with its data.
        self.plain(second, "snapshot-revert guest a1", "snapshot-delete guest r")
        for disk in ("vda", "vdb"):
            self.assertEqual(
                sorted(snapshots_in(self.path(f"guest-{disk}.qcow2"))), ["a", "a1", "b", "b1"])

    def test_a_replay_that_fails_midway_is_undone(self):
        target = self.embedded("target")
        own = f"virsnap://{self.path('own')}"
        self.virsh(own, f"define {self.domain_file('.')}")
        for name, parent, unit in (("r", None, "MiB"), ("a", "r", "MiB"), ("b", "a", "nonsense")):
            above = f"<parent><name>{parent}</name></parent>" if parent else ""
            document = self.write(f"{name}.xml", (
                f"<domainsnapshot><name>{name}</name><state>shutoff</state>{above}"
                f"<creationTime>7</creationTime><domain type='qemu'><name>guest</name>"
                f"<uuid>{UUID}</uuid><memory unit='{unit}'>16</memory><os><type>hvm</type></os>"
                "</domain></domainsnapshot>"))
            _, errors = self.virsh(own, f"snapshot-create guest {document} --redefine")
            self.assertEqual(errors, "")
        errors = self.carry("replay", own, target, "guest", status=1)
        self.assertIn("replay: ", errors)
        self.assertNotIn("the undo failed", errors)
        self.assertEqual(self.plain(target, "snapshot-list guest --name").split(), [])
        # The source has it all, and goes on.
        output, errors = self.virsh(own, "snapshot-list guest --name", "snapshot-delete guest b --metadata")
        self.assertEqual((output.split()[:3], errors), (["a", "b", "r"], ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
