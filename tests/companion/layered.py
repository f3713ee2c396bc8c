"""A guest with two disks that is off, and what stands on its images."""

import json
import os
import shutil
import subprocess
import sys

from world import PRELOAD, World, qemu_img

LAYERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.py")

# At the n-th call: fails, kills who has called after the work, or has the guest started.
WRAPPER = """#!/bin/sh
n=$(($(cat {counter} 2>/dev/null || echo 0) + 1)); echo $n > {counter}
if [ "$n" -eq {at} ]; then
    case {what} in
        fail) echo "qemu-img: made to fail" >&2; exit 1;;
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

    def layers(self, *arguments, check=True, path=None, under=()):
        """Runs layers.py, perhaps under a program that preloads the library for it."""
        preload = {} if under else {"LD_PRELOAD": PRELOAD}
        environment = {**self.environment, **preload}
        if path:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        done = subprocess.run(
            [*under, sys.executable, LAYERS, self.uri, "guest", *map(str, arguments)],
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


def comparable(seen):
    """Without names of files, which have a time in them."""
    return {key: value for key, value in seen.items() if key != "files"}
