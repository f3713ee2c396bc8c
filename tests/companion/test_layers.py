"""External snapshots of a guest that is off, which libvirt 9.0 neither deletes nor reverts to."""

import json
import os
import shutil
import subprocess
import unittest

from world import PRELOAD, World, qemu_img

LAYERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.py")

CHILDREN = 1

# At the n-th call: fails, kills who has called before or after the work, or has the guest started.
WRAPPER = """#!/bin/sh
n=$(($(cat {counter} 2>/dev/null || echo 0) + 1)); echo $n > {counter}
if [ "$n" -eq {at} ]; then
    case {what} in
        fail) echo "qemu-img: made to fail" >&2; exit 1;;
        kill) kill -9 $PPID; exit 1;;
        kill-after) /usr/bin/qemu-img "$@"; kill -9 $PPID; exit 1;;
        start) : > {fifo}; sleep 1;;
    esac
fi
exec /usr/bin/qemu-img "$@"
"""


def write(image, kind, block, value):
    subprocess.run(
        ["qemu-io", "-f", kind, "-c", f"write -P {value} {block * 65536} 65536", image],
        stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=60)


class Layers(World):
    """A guest with two disks, in a directory that can be set back."""

    def setUp(self):
        super().setUp()
        self.uri = self.embedded("libvirt")
        for disk in ("vda", "vdb"):
            qemu_img("create", "-q", "-f", "qcow2", self.path(f"guest-{disk}.qcow2"), "512K")
        self.define()
        self.fifo = self.path("fifo")
        os.mkfifo(self.fifo)
        self.saved = None

    def define(self):
        file = self.domain_file("libvirt", disks=("vda", "vdb"))
        with open(file, encoding="utf-8") as text:
            definition = text.read().replace(self.path("libvirt", "guest-"), self.path("guest-"))
        self.virsh(self.uri, f"define {self.write('guest.xml', definition)}", preload=False)

    def layers(self, *arguments, check=True, path=None):
        environment = {**self.environment, "LD_PRELOAD": PRELOAD}
        if path:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        done = subprocess.run(
            ["/usr/bin/python3", LAYERS, self.uri, "guest", *map(str, arguments)],
            stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True, timeout=300,
            env=environment)
        if check:
            self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr[-2000:]}")
        return done

    def shows(self):
        return json.loads(self.layers("show").stdout)

    def images(self):
        """The guest's own images now."""
        return self.shows()["files"]

    def ok(self, *commands, **options):
        output, errors = self.virsh(self.uri, *commands, **options)
        self.assertEqual(errors.strip(), "")
        return output

    def chain(self, *names):
        """Takes external snapshots, a value of its own written before each."""
        value = 0
        for name in names:
            value += 1
            for image in self.images():
                write(image, "qcow2", value, value)
            self.ok(f"snapshot-create-as guest {name} --disk-only")
        for image in self.images():
            write(image, "qcow2", 0, 99)

    def save(self):
        self.saved = self.root + ".saved"
        shutil.copytree(self.root, self.saved, ignore=lambda _, names: {"fifo"} & set(names))
        self.addCleanup(shutil.rmtree, self.saved)

    def restore(self):
        for entry in os.listdir(self.root):
            path = self.path(entry)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif entry != "fifo":
                os.remove(path)
        shutil.copytree(self.saved, self.root, dirs_exist_ok=True)

    def wrapper(self, at, what):
        """A directory with a qemu-img that does something at that call."""
        counter = self.path("count")
        if os.path.exists(counter):
            os.remove(counter)
        os.makedirs(self.path("bin"), exist_ok=True)
        program = self.write("bin/qemu-img", WRAPPER.format(
            counter=counter, at=at, what=what, fifo=self.fifo))
        os.chmod(program, 0o755)
        return self.path("bin")

    def calls(self):
        with open(self.path("count"), encoding="ascii") as file:
            return int(file.read())

    def files(self):
        return sorted(name for name in os.listdir(self.root) if name.startswith("guest-"))


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


class Faults(Layers):
    """Each call of qemu-img fails, or who made it dies before or after it: before or after, and a plain
    retry ends well."""

    def setUp(self):
        super().setUp()
        self.chain("a", "b", "c")
        self.save()

    def sweep(self, *operation):
        before = self.shows()
        done = self.layers("do", *operation, path=self.wrapper(0, "none"))
        self.assertEqual(done.stdout.strip(), "")
        calls, after = self.calls(), self.shows()
        self.assertGreater(calls, 1)
        for what in ("fail", "kill", "kill-after"):
            for at in range(1, calls + 1):
                with self.subTest(what=what, at=at):
                    self.trial(what, at, operation, before, after)

    def trial(self, what, at, operation, before, after):
        self.restore()
        done = self.layers("do", *operation, check=False, path=self.wrapper(at, what))
        if what != "fail":
            self.assertEqual(done.returncode, -9, done.stderr)
        seen = self.shows()
        is_before = comparable(seen) == comparable(before)
        if not is_before:
            self.assertEqual(comparable(seen), comparable(after))
        if done.returncode == 0:
            self.assertEqual(done.stdout.strip() != "", is_before, done.stdout)
        if is_before:
            done = self.layers("do", *operation)
            self.assertEqual(done.stdout.strip(), "")
        self.assertEqual(comparable(self.shows()), comparable(after))
        self.assertEqual(os.listdir(os.path.join(self.state, "journal")), [])
        self.end()

    def end(self):
        """Without any snapshot the images are those of the beginning: nothing was left lying about."""
        for name in self.shows()["snapshots"]:
            self.assertEqual(self.layers("do", "delete", name, 0).stdout.strip(), "")
        self.assertEqual(self.files(), ["guest-vda.qcow2", "guest-vdb.qcow2"])

    def test_delete_in_the_middle(self):
        self.sweep("delete", "b", 0)

    def test_revert(self):
        self.sweep("revert", "a", 0)


def comparable(seen):
    """Without names of files, which have a time in them."""
    return {key: value for key, value in seen.items() if key != "files"}


class Races(Layers):
    """R10: the guest is started between the look at it and the work."""

    def setUp(self):
        super().setUp()
        self.chain("a", "b")
        self.save()

    def each_call(self, check, *operation):
        """Answers how often the guest was started."""
        before = self.shows()
        self.layers("do", *operation, path=self.wrapper(0, "none"))
        calls, after = self.calls(), self.shows()
        started = 0
        for at in range(1, calls + 1):
            with self.subTest(at=at):
                self.restore()
                done = self.layers("race", self.fifo, *operation, path=self.wrapper(at, "start"))
                said = json.loads(done.stdout)
                started += said["start"] == ""
                check(said, before, after)
        return started

    def check_deleted(self, said, before, after):
        seen = self.shows()
        if "wrote" in said:
            # What the guest wrote is there, whatever became of the deletion.
            self.assertRegex(said["error"], 'was started|Failed to get (shared )?"write" lock', said)
            self.assertEqual(seen["guest"]["vda"][0], 119, said)
            # Where nothing was done yet libvirt can do it. Else it goes on when the guest is off.
            self.assertRegex(said["again"], "^$|was started", said)
        else:
            self.assertEqual(said["error"], "", said)
            self.assertEqual(seen["guest"], after["guest"])
        self.assertEqual(seen["snapshots"]["a"], before["snapshots"]["a"])
        if "b" in seen["snapshots"]:
            self.assertEqual(seen["snapshots"]["b"], before["snapshots"]["b"])
            self.assertEqual(self.layers("do", "delete", "b", 0).stdout.strip(), "")
        now = self.shows()
        self.assertEqual(sorted(now["snapshots"]), ["a"])
        self.assertEqual(now["guest"], seen["guest"])
        self.assertEqual(now["guest"]["vda"][1:], after["guest"]["vda"][1:])

    def test_delete(self):
        started = self.each_call(self.check_deleted, "delete", "b", 0)
        self.assertGreater(started, 1)

    def check_reverted(self, said, before, after):
        # Its images are held: it cannot start.
        self.assertEqual(said["error"], "", said)
        self.assertIn("lock", said["start"], said)
        self.assertEqual(comparable(self.shows()), comparable(after), said)
        self.assertEqual(before["snapshots"], after["snapshots"])

    def test_revert(self):
        self.assertEqual(self.each_call(self.check_reverted, "revert", "a", 0), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
