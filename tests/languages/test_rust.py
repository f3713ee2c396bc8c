"""A Rust program with the `virt` crate: linked with this library in libvirt's place, and with libvirt and ours preloaded."""

import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "companion"))
from world import PRELOAD, World, snapshots_in  # noqa: E402

CRATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rust", "Cargo.toml")
BUILT = os.environ["VIRSNAP_LANGUAGES"]

# What virt-sys looks for, as a system would have it that has this library alone.
IN_PLACE = """\
Name: libvirt
Description: virsnap in the place of libvirt
Version: 9.0.0
Libs: -L{directory} -lvirsnap
"""


class Rust(World):
    def build(self, name, **variables):
        """The program, and which of the two libraries it needs."""
        target = os.path.join(BUILT, name)
        environment = {**os.environ, **variables}
        subprocess.run(
            ["cargo", "build", "--quiet", "--locked", "--manifest-path", CRATE, "--target-dir", target],
            check=True, env=environment, timeout=900)
        program = os.path.join(target, "debug", "virsnap-by-virt")
        dynamic = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True).stdout
        return program, [name for name in ("libvirt.so.0", "libvirsnap.so.0") if f"[{name}]" in dynamic]

    def run_program(self, program, *words, **variables):
        done = subprocess.run(
            [program, *words], stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True,
            env={**self.environment, **variables}, timeout=180)
        self.assertEqual((done.returncode, done.stdout), (0, "everything holds\n"), done.stderr)

    def guest(self):
        """An embedded connection with a guest; its URI, and the guest's image."""
        uri = f"virsnap://{self.path('own')}"
        _, errors = self.virsh(uri, f"define {self.domain_file('.')}")
        self.assertEqual(errors, "")
        return uri, self.path("guest-vda.qcow2")

    def test_in_the_place_of_libvirt(self):
        directory = os.path.dirname(PRELOAD)
        os.makedirs(os.path.join(BUILT, "pkgconfig"), exist_ok=True)
        with open(os.path.join(BUILT, "pkgconfig", "libvirt.pc"), "w", encoding="ascii") as file:
            file.write(IN_PLACE.format(directory=directory))
        program, needed = self.build("in-place", PKG_CONFIG_PATH=os.path.join(BUILT, "pkgconfig"))
        self.assertEqual(needed, ["libvirsnap.so.0"])
        uri, image = self.guest()
        self.run_program(program, uri, "guest", "qemu", image, LD_LIBRARY_PATH=directory)
        self.assertEqual(snapshots_in(image), ["r"])

    def test_preloaded(self):
        program, needed = self.build("with-libvirt")
        self.assertEqual(needed, ["libvirt.so.0"])
        uri, image = self.guest()
        self.run_program(program, uri, "guest", "qemu", image, LD_PRELOAD=PRELOAD)
        self.assertEqual(snapshots_in(image), ["r"])
        self.run_program(program, "test:///default", "test", "test", LD_PRELOAD=PRELOAD)
        self.assertEqual(os.listdir(self.state), [])


if __name__ == "__main__":
    if not shutil.which("cargo"):
        raise SystemExit("cargo is missing")
    unittest.main(verbosity=2)
