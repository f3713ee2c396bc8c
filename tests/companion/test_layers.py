"""External snapshots of a guest that is off, which libvirt 9.0 neither deletes nor reverts to."""

import unittest

from layered import Layers, write
from world import qemu_img


class Content(Layers):
    def test_random_histories(self):
        for seed, kinds in ((11, "external"), (12, "external,internal"), (13, "external,external,internal")):
            with self.subTest(seed=seed, kinds=kinds):
                self.layers("random", seed, 24, kinds)
                # The images that the guest began with are there again, and nothing else.
                if kinds == "external":
                    self.assertEqual(self.files(), ["guest-vda.qcow2", "guest-vdb.qcow2"])
                output, _ = self.virsh(self.uri, "snapshot-list guest --name", preload=False)
                self.assertEqual(output.strip(), "", "libvirt keeps what it was lent")

    def test_a_revert_starts_the_guest_if_asked(self):
        self.chain("a", "b")
        for option, state in (("--running", "running"), ("--paused", "paused")):
            said = self.ok(f"snapshot-revert guest a {option}", "domstate guest", "destroy guest")
            self.assertIn(state, said.splitlines())
        self.assertEqual(self.shows()["guest"]["vda"][:3], [0, 1, 0])

    def test_everything_else_of_the_definition_stays(self):
        self.chain("a", "b")
        before = self.ok("dumpxml guest --inactive --security-info")
        images = self.images()
        self.ok("snapshot-delete guest a", "snapshot-delete guest b")
        after = self.ok("dumpxml guest --inactive --security-info")
        for old, new in zip(images, self.images()):
            after = after.replace(f"'{new}'", f"'{old}'")
        self.assertEqual(after, before)

    def test_internal_and_external_disks_in_one(self):
        images = self.images()
        write(images[0], "qcow2", 1, 7)
        write(images[1], "qcow2", 1, 7)
        self.ok("snapshot-create-as guest m --disk-only --diskspec vda,snapshot=no")
        qemu_img("snapshot", "-c", "m", images[0])
        document = self.ok("snapshot-dumpxml guest m --security-info")
        document = document.replace("<disk name='vda' snapshot='no'/>", "<disk name='vda' snapshot='internal'/>")
        self.ok("snapshot-delete guest m --metadata",
                f"snapshot-create guest {self.write('m.xml', document)} --redefine --current")
        for image in self.images():
            write(image, "qcow2", 1, 8)
        self.ok("snapshot-revert guest m")
        seen = self.shows()
        self.assertEqual([seen["guest"][disk][1] for disk in ("vda", "vdb")], [7, 7])
        self.assertEqual(seen["snapshots"]["m"], seen["guest"])
        self.ok("snapshot-delete guest m")
        self.assertEqual(self.shows()["guest"], seen["guest"])
        self.assertEqual(self.images(), images)
        self.assertEqual(self.files(), ["guest-vda.qcow2", "guest-vdb.qcow2"])

    def test_images_of_another_domain_of_libvirts_stay(self):
        self.chain("a", "b")
        base = self.path("guest-vda.qcow2")
        other = self.path("other.qcow2")
        qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, other)
        file = self.domain_file("libvirt", name="other", uuid="5b7d3a3e-0f5b-4c0e-9d86-7c1f5d6b1a05")
        with open(file, encoding="utf-8") as text:
            definition = text.read().replace(self.path("libvirt", "other-vda.qcow2"), other)
        self.ok(f"define {self.write('other.xml', definition)}")
        seen = self.shows()
        self.ok("snapshot-delete guest a")
        now = self.shows()
        self.assertEqual(now["guest"], seen["guest"])
        self.assertEqual(now["snapshots"]["b"], seen["snapshots"]["b"])
        # It shows what the first snapshot showed.
        raw = self.path("other.raw")
        qemu_img("convert", "-f", "qcow2", "-O", "raw", other, raw)
        with open(raw, "rb") as image:
            content = image.read()
        self.assertEqual([content[block * 65536] for block in range(4)], [0, 1, 0, 0])

    def test_memory_that_libvirt_saved_keeps_its_images(self):
        self.chain("a")
        self.ok("start guest", "managedsave guest")
        seen = self.shows()
        _, errors = self.virsh(self.uri, "snapshot-revert guest a")
        self.assertIn("revert requires force: snapshot without memory state, removal of existing", errors)
        _, errors = self.virsh(self.uri, "snapshot-delete guest a")
        self.assertIn("has a managed save image", errors)
        self.assertEqual(self.shows(), seen)
        self.ok("managedsave-remove guest", "snapshot-delete guest a")

    def test_what_others_stand_on_is_not_reverted_by_a_guest_that_runs(self):
        self.ok("snapshot-create-as guest i")
        self.chain("e")
        seen = self.shows()
        _, errors = self.virsh(self.uri, "start guest", "snapshot-revert guest i", "destroy guest")
        self.assertIn("inside of an image that other snapshots stand on", errors)
        self.assertEqual(self.shows(), seen)
        self.ok("snapshot-revert guest i")
        self.assertEqual(self.shows()["snapshots"], seen["snapshots"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
