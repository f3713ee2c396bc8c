"""virsh with this library in front of libvirt says what it says with libvirt alone."""

import os
import unittest

from world import World, masked, snapshots_in

FULL = ["snapshot-list {d} --tree", "snapshot-list {d} --parent --from r", "snapshot-info {d} r",
        "snapshot-current {d} --name", "snapshot-parent {d} b", "snapshot-dumpxml {d} b",
        "snapshot-dumpxml {d} b --security-info"]

TREE = [
    "snapshot-create-as {d} r 'first of all'",
    "snapshot-create-as {d} a",
    "snapshot-create-as {d} b",
    *FULL,
    "snapshot-list {d} --roots --name",
    "snapshot-list {d} --leaves --name",
    "snapshot-list {d} --no-leaves --topological --name",
    "snapshot-list {d} --inactive --name",
    "snapshot-list {d} --active --topological --name",
    "snapshot-list {d} --disk-only --name",
    "snapshot-list {d} --external --name",
    "snapshot-list {d} --internal --topological --name",
    "snapshot-list {d} --metadata --topological --name",
    "snapshot-list {d} --no-metadata --name",
    "snapshot-list {d} --from r --descendants --topological --name",
    "snapshot-revert {d} a",
    "snapshot-current {d} --name",
    "snapshot-delete {d} a",
    "snapshot-list {d} --tree",
    "snapshot-current {d} --name",
    "snapshot-create-as {d} c",
    "snapshot-delete {d} c",
]

MISTAKES = [
    "snapshot-create-as {d} r",
    "snapshot-create-as {d} r",
    "snapshot-create {d} {root}/not-there.xml",
    "snapshot-create {d} {root}/broken.xml",
    "snapshot-create {d} {root}/disk.xml",
    "snapshot-create {d} {root}/taken.xml",
    "snapshot-create {d} {root}/taken.xml --redefine",
    "snapshot-create {d} {root}/orphan.xml --redefine",
    "snapshot-info {d} nope",
    "snapshot-dumpxml {d} nope",
    "snapshot-revert {d} nope",
    "snapshot-delete {d} nope",
    "snapshot-parent {d} r",
    "snapshot-list nobody",
    "snapshot-delete {d} r --children --children-only",
    "snapshot-revert {d} r --running --paused",
    "snapshot-list {d} --name",
]

DOCUMENTS = {
    "broken.xml": "<domainsnapshot><name>x</name>",
    "disk.xml": "<domainsnapshot><name>x</name><disks><disk name='sdz'/></disks></domainsnapshot>",
    # Two faults: libvirt finds the disk before the name.
    "taken.xml": "<domainsnapshot><name>r</name><disks><disk name='sdz'/></disks></domainsnapshot>",
    "orphan.xml": "<domainsnapshot><name>x</name><state>shutoff</state><creationTime>5</creationTime>"
                  "<parent><name>nope</name></parent></domainsnapshot>",
}


class Sessions(World):
    maxDiff = None

    def setUp(self):
        super().setUp()
        for name, text in DOCUMENTS.items():
            self.write(name, text)

    def said(self, uri, commands, domain, preload):
        commands = [command.format(d=domain, root=self.root) for command in commands]
        output, errors = self.virsh(uri, *commands, preload=preload)
        return masked(output), masked(errors)

    def assert_same(self, commands, sides, domain):
        """`sides`: URI of the one with this library, URI of libvirt alone."""
        ours, theirs = sides
        expected = self.said(theirs, commands, domain, preload=False)
        answer = self.said(ours, commands, domain, preload=True)
        directories = [(uri.partition("root=")[2], "ROOT") for uri in sides]
        for before, after in directories:
            if before:
                expected = tuple(text.replace(before, after) for text in expected)
                answer = tuple(text.replace(before, after) for text in answer)
        self.assertNotIn("symbol lookup", answer[1])
        self.assertEqual(expected[0], answer[0])
        self.assertEqual(expected[1], answer[1])

    def two_drivers(self, **domain):
        """The same domain in two embedded drivers."""
        uris = []
        for name in ("ours", "libv"):
            uri = self.embedded(name)
            file = self.domain_file(name, **domain)
            self.virsh(uri, f"define {file}", preload=False)
            uris.append(uri)
        return uris

    def test_tree_on_the_test_driver(self):
        self.assert_same(TREE, ["test:///default"] * 2, "test")

    def test_mistakes_on_the_test_driver(self):
        self.assert_same(MISTAKES, ["test:///default"] * 2, "test")

    def test_the_test_driver_leaves_nothing_on_disk(self):
        self.said("test:///default", TREE, "test", preload=True)
        self.assertEqual(os.listdir(self.state), [])
        output, _ = self.virsh("test:///default", "snapshot-list test --name")
        self.assertEqual(output.strip(), "")

    def test_flags_that_the_test_driver_does_not_know(self):
        commands = ["snapshot-create-as {d} x --disk-only", "snapshot-create-as {d} x --no-metadata",
                    "snapshot-create-as {d} x --reuse-external", "snapshot-create-as {d} x",
                    "snapshot-delete {d} x --metadata", "snapshot-revert {d} x --reset-nvram",
                    "snapshot-list {d} --name"]
        answer = self.said("test:///default", commands, "test", preload=True)
        expected = self.said("test:///default", commands, "test", preload=False)
        self.assertEqual(expected[0], answer[0])
        # The texts name a function: libvirt's driver's there, the API's here (differences.md, D57).
        self.assertEqual(expected[1].count("unsupported flags (0x"), 5)
        self.assertEqual(answer[1].count("unsupported flags (0x"), 5)

    def test_tree_of_a_shut_off_guest(self):
        sides = self.two_drivers(disks=("vda", "vdb"))
        self.assert_same(TREE, sides, "guest")
        for disk in ("vda", "vdb"):
            images = [self.path(side, f"guest-{disk}.qcow2") for side in ("ours", "libv")]
            self.assertEqual(snapshots_in(images[0]), snapshots_in(images[1]))
        kept, _ = self.virsh(sides[0], "snapshot-list guest --name", preload=False)
        self.assertEqual(kept.strip(), "", "libvirt has kept metadata")

    def test_mistakes_on_a_shut_off_guest(self):
        self.assert_same(MISTAKES, self.two_drivers(), "guest")

    def test_names_that_the_qemu_driver_refuses(self):
        commands = ["snapshot-create-as {d} a/b", "snapshot-create-as {d} .a",
                    "snapshot-list {d} --name"]
        self.assert_same(commands, self.two_drivers(), "guest")

    def test_external_snapshots_of_a_shut_off_guest(self):
        # What libvirt refuses to do with them is in test_layers.py.
        commands = ["snapshot-create-as {d} e1 --disk-only", "snapshot-dumpxml {d} e1",
                    "domblklist {d}", "snapshot-create-as {d} e2 --disk-only --atomic",
                    "snapshot-list {d} --external --topological --name",
                    "snapshot-delete {d} e2 --metadata", "snapshot-list {d} --tree"]
        self.assert_same(commands, self.two_drivers(), "guest")

    def test_a_running_guest(self):
        commands = [
            "start {d}",
            *TREE,
            "domstate {d}",
            "snapshot-create-as {d} m --memspec file=ROOT/m.mem --diskspec vda,file=ROOT/m.qcow2",
            "snapshot-list {d} --external --name",
            "snapshot-create-as {d} d --disk-only --diskspec vda,file=ROOT/d.qcow2",
            "snapshot-list {d} --disk-only --name",
            "domblklist {d}",
            "snapshot-delete {d} d",
            "domblklist {d}",
            "snapshot-list {d} --tree",
            "snapshot-create-as {d} h --halt --disk-only --diskspec vda,file=ROOT/h.qcow2",
            "domstate {d}",
        ]
        answers = []
        for uri, preload in zip(self.two_drivers(), (True, False)):
            directory = uri.partition("root=")[2]
            here = [command.replace("ROOT", directory) for command in commands]
            answer = self.said(uri, here, "guest", preload)
            answers.append([text.replace(directory, "ROOT") for text in answer])
        self.assertEqual(answers[1][0], answers[0][0])
        self.assertEqual(answers[1][1], answers[0][1])

    def test_revert_changes_the_state_as_libvirt_does(self):
        commands = ["snapshot-create-as {d} off", "start {d}", "snapshot-create-as {d} on",
                    "suspend {d}", "snapshot-create-as {d} paused", "snapshot-revert {d} off",
                    "domstate {d}", "snapshot-revert {d} off --running", "domstate {d}",
                    "snapshot-revert {d} on --paused", "domstate {d}", "snapshot-revert {d} paused",
                    "domstate {d}", "snapshot-revert {d} on", "domstate {d}",
                    "snapshot-revert {d} off --paused", "domstate {d}", "destroy {d}"]
        self.assert_same(commands, self.two_drivers(), "guest")

    def test_a_transient_guest(self):
        sides = self.two_drivers()
        answers = []
        for uri, name, preload in zip(sides, ("ours", "libv"), (True, False)):
            file = self.domain_file(name, name="fleeting", uuid=UUID_OF_THE_FLEETING)
            commands = [f"create {file}", "snapshot-create-as fleeting a --halt",
                        "snapshot-create-as fleeting a", "snapshot-list fleeting --name",
                        "destroy fleeting"]
            answers.append(tuple(
                text.replace(self.path(name), "ROOT")
                for text in self.said(uri, commands, "fleeting", preload)))
        self.assertEqual(answers[1], answers[0])

    def test_undefine_is_guarded(self):
        commands = ["snapshot-create-as {d} a", "undefine {d}", "list --all --name",
                    "undefine {d} --snapshots-metadata", "list --all --name"]
        sides = self.two_drivers()
        self.assert_same(commands, sides, "guest")
        left = [name for _, _, names in os.walk(os.path.join(self.state, "snapshot"))
                for name in names]
        self.assertEqual(left, [])

    def test_a_read_only_connection_changes_nothing(self):
        sides = self.two_drivers()
        for uri, preload in zip(sides, (True, False)):
            self.virsh(uri, "snapshot-create-as guest a", preload=preload)
        commands = ["snapshot-list guest --name", "snapshot-create-as guest b",
                    "snapshot-delete guest a", "snapshot-revert guest a", "snapshot-current guest",
                    "snapshot-dumpxml guest a --security-info", "undefine guest",
                    "snapshot-list guest --name"]
        answers = []
        for uri, preload in zip(sides, (True, False)):
            answer = self.virsh(uri, *commands, preload=preload, options=["-r"])
            directory = uri.partition("root=")[2]
            answers.append([masked(text).replace(directory, "ROOT") for text in answer])
        self.assertEqual(answers[1], answers[0])


UUID_OF_THE_FLEETING = "5b7d3a3e-0f5b-4c0e-9d86-7c1f5d6b1a02"

if __name__ == "__main__":
    unittest.main(verbosity=2)
