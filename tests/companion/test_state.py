"""Where snapshots are kept: by UUID in our state directory; libvirt's own are taken over."""

import os
import subprocess
import unittest

from world import UUID, World, qemu_img, snapshots_in

DIRECTORY = UUID


class State(World):
    def setUp(self):
        super().setUp()
        self.uri = self.embedded("libvirt")
        self.virsh(self.uri, f"define {self.domain_file('libvirt')}", preload=False)
        self.image = self.path("libvirt", "guest-vda.qcow2")

    def names(self, preload=True, domain="guest", **variables):
        output, _ = self.virsh(
            self.uri, f"snapshot-list {domain} --topological --name", preload=preload, **variables)
        return output.split()

    def stored(self):
        directory = os.path.join(self.state, "snapshot", DIRECTORY)
        return sorted(os.listdir(directory)) if os.path.isdir(directory) else []

    def ok(self, *commands, **options):
        output, errors = self.virsh(self.uri, *commands, **options)
        self.assertEqual(errors.strip(), "")
        return output

    def test_a_rename_changes_nothing(self):
        self.ok("snapshot-create-as guest a", "domrename guest other", "snapshot-create-as other b")
        self.assertEqual(self.names(domain="other"), ["a", "b"])
        self.ok("snapshot-revert other a")
        self.assertIn("other", self.ok("list --all --name"))
        self.assertEqual(self.stored(), ["a.xml", "b.xml"])

    def test_another_guest_of_that_name_has_no_part_in_it(self):
        self.ok("snapshot-create-as guest a")
        self.virsh(self.uri, "undefine guest", preload=False)
        file = self.domain_file("libvirt", uuid="5b7d3a3e-0f5b-4c0e-9d86-7c1f5d6b1a03")
        self.ok(f"define {file}")
        self.assertEqual(self.names(), [])

    def test_libvirts_own_are_seen_and_taken_over(self):
        self.ok("snapshot-create-as guest r", "snapshot-create-as guest a",
                "snapshot-create-as guest b", "snapshot-revert guest a", preload=False)
        self.assertEqual(self.names(), ["r", "a", "b"])
        self.assertEqual(self.ok("snapshot-current guest --name").strip(), "a")
        self.assertIn("<name>a</name>", self.ok("snapshot-dumpxml guest b"))
        self.assertEqual(self.stored(), [], "a reader has changed something")
        self.assertEqual(len(self.names(preload=False)), 3)

        self.ok("snapshot-create-as guest c")
        self.assertEqual(self.names(preload=False), [], "libvirt still keeps them")
        self.assertEqual(self.stored(), ["a.xml", "b.xml", "c.xml", "r.xml"])
        self.assertEqual(self.ok("snapshot-parent guest c").strip(), "a")
        self.assertEqual(snapshots_in(self.image), ["r", "a", "b", "c"])
        self.ok("snapshot-revert guest b", "snapshot-delete guest r --children")
        self.assertEqual(snapshots_in(self.image), [])

    def test_taking_over_can_be_interrupted(self):
        # As if the process had died after the snapshots were stored here.
        self.ok("snapshot-create-as guest r", "snapshot-create-as guest a", preload=False)
        documents = {name: self.ok(f"snapshot-dumpxml guest {name}", preload=False)
                     for name in ("r", "a")}
        self.ok("snapshot-delete guest r --children --metadata", preload=False)
        files = [self.write(f"{name}.xml", document) for name, document in documents.items()]
        for preload in (True, False):
            for file in files:
                self.ok(f"snapshot-create guest {file} --redefine", preload=preload)
        self.assertEqual(self.names(), ["r", "a"])
        self.ok("snapshot-create-as guest b")
        self.assertEqual(self.names(preload=False), [])
        # Two roots: in which order depends on whether they were made in one second.
        self.assertEqual(sorted(self.names()), ["a", "b", "r"])

    def test_another_snapshot_of_that_name_is_not_lost(self):
        self.ok("snapshot-create-as guest a")
        document = self.ok("snapshot-dumpxml guest a").replace("<creationTime>1", "<creationTime>2")
        file = self.write("other.xml", document)
        self.ok(f"snapshot-create guest {file} --redefine", preload=False)
        _, errors = self.virsh(self.uri, "snapshot-revert guest a")
        self.assertIn("libvirt itself keeps another snapshot named 'a'", errors)
        self.assertEqual(self.names(preload=False), ["a"])
        self.ok("snapshot-create-as guest b")
        self.assertEqual(self.names(), ["a", "b"])
        self.assertEqual(self.names(preload=False), ["a"])

    def crash(self, commands, at):
        """Runs virsh and kills it when libvirt starts the `at`th qemu-img."""
        counter = self.path("count")
        killer = self.write("qemu-img", f"""#!/bin/sh
n=$(($(cat {counter} 2>/dev/null || echo 0) + 1)); echo $n > {counter}
if [ "$n" -eq {at} ]; then kill -9 $PPID; exit 1; fi
exec /usr/bin/qemu-img "$@"
""")
        os.chmod(killer, 0o755)
        if os.path.exists(counter):
            os.remove(counter)
        return self.virsh_killed(commands, killer)

    def virsh_killed(self, commands, killer):
        environment = {**self.environment, "LD_PRELOAD": os.environ["VIRSNAP_PRELOAD"],
                       "PATH": f"{os.path.dirname(killer)}:{os.environ['PATH']}"}
        done = subprocess.run(["virsh", "-c", self.uri, commands], stdin=subprocess.DEVNULL, check=False, env=environment,
                              capture_output=True, timeout=120)
        self.assertEqual(done.returncode, -9, done.stderr)

    def test_a_create_that_is_cut_off_leaves_nothing(self):
        file = self.domain_file("libvirt", name="two", disks=("vda", "vdb"),
                                uuid="5b7d3a3e-0f5b-4c0e-9d86-7c1f5d6b1a04")
        self.ok(f"define {file}")
        images = [self.path("libvirt", f"two-{disk}.qcow2") for disk in ("vda", "vdb")]
        self.ok("snapshot-create-as two before")
        self.crash("snapshot-create-as two cut", at=2)
        self.assertEqual(snapshots_in(images[0]), ["before", "cut"])
        self.assertEqual(self.names(domain="two"), ["before"])
        self.assertEqual([snapshots_in(image) for image in images], [["before"]] * 2)
        self.ok("snapshot-create-as two cut")
        self.assertEqual(self.names(domain="two"), ["before", "cut"])

    def test_a_delete_that_is_cut_off_is_finished(self):
        self.ok("snapshot-create-as guest a", "snapshot-create-as guest b")
        self.crash("snapshot-delete guest a --children", at=1)
        self.assertEqual(self.names(), [])
        self.assertEqual(snapshots_in(self.image), [])
        self.ok("snapshot-create-as guest c")
        self.assertEqual(self.names(preload=False), [])

    def test_a_revert_that_is_cut_off_is_not_repeated(self):
        self.ok("snapshot-create-as guest a", "snapshot-create-as guest b")
        self.crash("snapshot-revert guest a", at=1)
        self.assertEqual(self.ok("snapshot-current guest --name").strip(), "b")
        self.ok("snapshot-revert guest a")
        self.assertEqual(self.ok("snapshot-current guest --name").strip(), "a")
        self.assertEqual(self.names(preload=False), [])

    def test_leftovers_in_an_image_are_in_nobodys_way(self):
        # libvirt would add a second one of that name, and revert to the first (D11).
        qemu_img("snapshot", "-c", "a", self.image)
        _, errors = self.virsh(self.uri, "snapshot-create-as guest a")
        self.assertIn("already holds 1 snapshot(s) named 'a'", errors)
        self.assertEqual(snapshots_in(self.image), ["a"])
        self.assertEqual(self.names(), [])

    def test_a_revert_to_lost_data_touches_nothing(self):
        self.ok("snapshot-create-as guest a")
        qemu_img("snapshot", "-d", "a", self.image)
        _, errors = self.virsh(self.uri, "snapshot-revert guest a")
        self.assertIn("snapshot 'a' not found in image", errors)
        self.assertEqual(self.names(preload=False), [])

    def test_redefine_follows_the_variables(self):
        self.ok("snapshot-create-as guest a", "snapshot-create-as guest b")
        document = self.write("b.xml", self.ok("snapshot-dumpxml guest b"))
        for value, current in (("flag", "a"), ("parent", "b")):
            self.ok("snapshot-delete guest b --metadata")
            self.ok(f"snapshot-create guest {document} --redefine", VIRSNAP_REDEFINE_CURRENT=value)
            self.assertEqual(self.ok("snapshot-current guest --name").strip(), current)
            self.ok("snapshot-create guest --redefine --current " + document)
        for variable in ("VIRSNAP_REDEFINE_CURRENT", "VIRSNAP_REDEFINE_CHECK"):
            _, errors = self.virsh(self.uri, "snapshot-list guest", **{variable: "perhaps"})
            self.assertIn(f"environment variable {variable} is 'perhaps'", errors)

    def test_redefine_looks_at_the_data(self):
        self.ok("snapshot-create-as guest a", "snapshot-create-as guest b")
        document = self.write("b.xml", self.ok("snapshot-dumpxml guest b"))
        redefine = f"snapshot-create guest {document} --redefine"
        self.ok("snapshot-delete guest b --metadata", redefine)
        self.ok("snapshot-delete guest b")
        self.assertEqual(snapshots_in(self.image), ["a"])
        for variables in ({}, {"VIRSNAP_REDEFINE_CHECK": "strict"}):
            _, errors = self.virsh(self.uri, redefine, **variables)
            self.assertIn(f"disk 'vda', image '{self.image}': it holds no snapshot named 'b'", errors)
            self.assertEqual(self.names(), ["a"])
        for word in ("warn", "trust"):
            self.ok(redefine, VIRSNAP_REDEFINE_CHECK=word)
            self.ok("snapshot-delete guest b --metadata")
        self.assertEqual(self.names(preload=False), [])

    def test_several_processes_see_one_tree(self):
        for name in ("a", "b", "c"):
            self.ok(f"snapshot-create-as guest {name}")
        self.assertEqual(self.names(), ["a", "b", "c"])
        self.assertEqual(self.names(preload=False), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
