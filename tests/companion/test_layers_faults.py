"""External snapshots of a guest that is off, where something fails or comes between."""

import json
import os
import re
import shutil
import unittest

from layered import Layers, comparable
from world import PRELOAD


class Faults(Layers):
    """Each call of qemu-img fails, or who made it dies before or after it: before or after, and a plain
    retry ends well."""

    def setUp(self):
        super().setUp()
        self.chain("a", "b", "c")
        self.save()

    def done(self, operation, **options):
        return self.layers("do", *operation, **options).stdout.strip()

    def check(self, run, operation, before, after):
        said = json.loads(self.layers("aftermath", *operation).stdout)
        is_before = comparable(said["seen"]) == comparable(before)
        if not is_before:
            self.assertEqual(comparable(said["seen"]), comparable(after))
        if run.returncode == 0:
            self.assertEqual(run.stdout.strip() != "", is_before, run.stdout)
        self.assertEqual(said.get("again"), "" if is_before else None)
        self.assertEqual(comparable(said["now"]), comparable(after))
        self.assertEqual(os.listdir(os.path.join(self.state, "journal")), [])
        # Without any snapshot the images are those of the beginning: nothing was left lying about.
        self.assertEqual(self.files(), ["guest-vda.qcow2", "guest-vdb.qcow2"])

    def calls_fail(self, *operation):
        before = self.shows()
        self.assertEqual(self.done(operation, path=self.wrapper(0, "none")), "")
        calls, after = self.calls(), self.shows()
        self.assertGreater(calls, 1)
        for what in ("fail", "kill-after"):
            for at in range(1, calls + 1):
                with self.subTest(what=what, at=at):
                    self.restore()
                    run = self.layers("do", *operation, check=False, path=self.wrapper(at, what))
                    if what != "fail":
                        self.assertEqual(run.returncode, -9, run.stderr)
                    self.check(run, operation, before, after)

    def changes_are_cut_off(self, *operation):
        """As above, at each file that is renamed or removed, here or by libvirt."""
        before = self.shows()
        done = self.layers("do", *operation, under=self.strace())
        self.assertEqual(done.stdout.strip(), "")
        with open(self.path("strace"), encoding="utf-8") as log:
            calls = [line for line in log if re.match("(rename|unlink)", line)]
        names = [call.split("(")[0] for call in calls]
        first = next(at for at, call in enumerate(calls) if ".journal" in call)
        after = self.shows()
        for at in range(first, len(calls)):
            with self.subTest(call=calls[at]):
                self.restore()
                # strace counts each kind of call by itself.
                kill = f"inject={names[at]}:signal=KILL:when={names[: at + 1].count(names[at])}"
                run = self.layers("do", *operation, check=False, under=self.strace("-e", kill))
                self.assertNotEqual(run.returncode, 0)
                self.check(run, operation, before, after)

    def strace(self, *options):
        calls = "rename,renameat,renameat2,unlink,unlinkat"
        return ["strace", "-o", self.path("strace"), "-e", f"trace={calls}", *options,
                "-E", f"LD_PRELOAD={PRELOAD}"]

    def test_delete_in_the_middle(self):
        self.calls_fail("delete", "b", 0)

    def test_delete_of_the_last(self):
        self.calls_fail("delete", "c", 0)

    def test_revert(self):
        self.calls_fail("revert", "a", 0)

    @unittest.skipUnless(shutil.which("strace"), "strace is missing")
    def test_delete_that_is_cut_off(self):
        self.changes_are_cut_off("delete", "c", 0)

    @unittest.skipUnless(shutil.which("strace"), "strace is missing")
    def test_revert_that_is_cut_off(self):
        self.changes_are_cut_off("revert", "a", 0)


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
                started += said.get("start") == ""
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
        seen = self.shows()
        self.assertEqual(seen["snapshots"], before["snapshots"], said)
        if said["error"]:
            # On a busy host QEMU comes late: it has the old images, and libvirt the old definition.
            self.assertRegex(said["error"], "was started|lock", said)
            self.assertEqual(seen["current"], before["current"], said)
            self.assertEqual(seen["files"], before["files"], said)
        else:
            # While its images are held it cannot start.
            self.assertRegex(said.get("start", "lock"), "^$|lock", said)
            self.assertEqual(seen["current"], after["current"], said)
            self.assertEqual(seen["guest"]["vdb"], after["guest"]["vdb"], said)

    def test_revert(self):
        self.each_call(self.check_reverted, "revert", "a", 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
