"""A Python program with Debian's libvirt bindings, and this library in front of libvirt.

The interpreter loads libvirt into a scope of its own; that is where it must be found.
"""

import os
import subprocess
import sys
import unittest

from world import PRELOAD, World

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py")


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


if __name__ == "__main__":
    unittest.main(verbosity=2)
