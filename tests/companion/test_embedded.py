"""virsh on a connection of ours: all snapshot commands; what we do not have is refused politely."""

import unittest

from world import World, masked, snapshots_in

# Commands whose functions only libvirt has. Not save, managedsave, dump and migrate: virsh 9.0 may
# wait for ever where those fail at once, with libvirt alone, too. test_foreign.py calls what they call.
FOREIGN = [
    "suspend guest", "resume guest", "start guest", "destroy guest", "reboot guest", "shutdown guest",
    "dommemstat guest",
    "domblkstat guest vda", "domblkinfo guest vda", "vcpuinfo guest", "vcpucount guest",
    "setmem guest 1M", "setvcpus guest 1", "autostart guest", "schedinfo guest", "domjobinfo guest",
    "attach-disk guest FILE vdz", "blockcommit guest vda", "blockpull guest vda",
    "domtime guest", "domhostname guest", "metadata guest x",
    "checkpoint-list guest", "checkpoint-create-as guest c", "qemu-monitor-command guest x",
    "domcapabilities", "capabilities", "nodeinfo", "nodecpustats", "net-list", "pool-list",
    "iface-list", "nwfilter-list", "secret-list", "nodedev-list", "sysinfo", "maxvcpus", "freecell",
    "domstats", "cpu-stats guest", "screenshot guest",
    "send-key guest 1", "inject-nmi guest", "console guest", "vncdisplay guest",
    "iothreadinfo guest", "guestinfo guest", "domfsinfo guest", "perf guest", "numatune guest",
]


class Embedded(World):
    def setUp(self):
        super().setUp()
        self.uri = f"virsnap://{self.path('own')}"
        self.file = self.domain_file(".")

    def test_the_snapshot_commands(self):
        output, errors = self.virsh(
            self.uri, f"define {self.file}", "list --all", "domstate guest", "domuuid guest",
            "dumpxml guest", "domblklist guest", "snapshot-create-as guest r 'the first'", "snapshot-create-as guest a",
            "snapshot-list guest --tree", "snapshot-info guest a", "snapshot-current guest --name",
            "snapshot-parent guest a", "snapshot-dumpxml guest r", "snapshot-revert guest r",
            "snapshot-list guest --parent", "snapshot-delete guest a",
            "snapshot-list guest --roots --name", "snapshot-create-as guest r")
        self.assertEqual(errors.strip(), "error: operation failed: domain moment r already exists")
        output = masked(output)
        for expected in (
                " -    guest   shut off\n", "r\n  |\n  +- a\n", "Parent:         r\n",
                "<description>the first</description>", "Domain snapshot r reverted\n",
                " r      TIME   shutoff   \n", "Domain snapshot a deleted\n"):
            self.assertIn(expected, output)
        self.assertEqual(snapshots_in(self.path(".", "guest-vda.qcow2")), ["r"])

    def test_what_we_do_not_have_is_refused(self):
        self.virsh(self.uri, f"define {self.file}")
        for command in FOREIGN:
            with self.subTest(command=command):
                # virsh() fails the test if virsh dies of a signal.
                _, errors = self.virsh(self.uri, command.replace("FILE", self.path("file")))
                self.assertIn("error: ", errors)
        output, errors = self.virsh(self.uri, "list --all --name")
        self.assertEqual((output.split(), errors), (["guest"], ""))

    def test_a_domain_goes(self):
        """virsh asks first whether memory is saved, and how many snapshots there are."""
        guard = "error: Requested operation is not valid: cannot delete inactive domain with 1 snapshots"
        output, errors = self.virsh(
            self.uri, f"define {self.file}", "snapshot-create-as guest a", "undefine guest", "list --all --name")
        self.assertEqual(errors.splitlines()[1:], [guard], errors)
        self.assertEqual(output.split()[-1], "guest")
        output, errors = self.virsh(self.uri, "undefine guest --snapshots-metadata", "list --all --name")
        self.assertEqual((output.split("\n", 1), errors), (["Domain 'guest' has been undefined", "\n\n"], ""))
        # Its data stays, as with libvirt.
        self.assertEqual(snapshots_in(self.path(".", "guest-vda.qcow2")), ["a"])

    def test_both_libraries_in_one_process(self):
        output, errors = self.virsh(
            self.uri, f"define {self.file}", "snapshot-create-as guest a", "connect test:///default",
            "snapshot-create-as test b", "snapshot-list test --name", f"connect {self.uri}",
            "snapshot-list guest --name", "snapshot-info guest nope", "connect test:///default",
            "snapshot-info test nope")
        self.assertIn("b\n", output)
        self.assertIn("a\n", output)
        missing = "error: Domain snapshot not found: no domain snapshot with matching name 'nope'"
        self.assertEqual(errors.count(missing), 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
