"""What libvirt has and this library does not: given our handles it answers with an error."""

import os
import re
import subprocess
import sys
import unittest

from world import PRELOAD, World

HERE = os.path.dirname(os.path.abspath(__file__))
MAP = os.path.join(HERE, "..", "..", "virsnap.map")

# Their first argument is no handle, or what they were given is theirs to free.
NO_HANDLE = re.compile(
    r"virInitialize|virGetVersion|virConnectOpen\w*|virEvent\w+|virTypedParam\w+|virDomainStatsRecordListFree"
    r"|virDomainIOThreadInfoFree|virDomainFSInfoFree|virDomainInterfaceFree|virNetworkDHCPLeaseFree"
    r"|virDomainListGetStats|virDomainAuthorizedSSHKeys\w*Free|\w*Error\w*|virConnectAuthPtrDefault"
    r"|virDefaultErrorFunc|virCopyLastError")


# libvirt 9.0 follows whatever these are given, NULL too, before it looks at it.
UNCHECKED = ["virConnectSetIdentity", "virDomainFDAssociate"]


def libvirt_path():
    directory = subprocess.run(
        ["pkg-config", "--variable=libdir", "libvirt"], check=True, capture_output=True, text=True)
    return os.path.join(directory.stdout.strip(), "libvirt.so.0")


def foreign_functions(path):
    """The names that libvirt offers to programs and we do not."""
    symbols = subprocess.run(
        ["readelf", "--dyn-syms", "--wide", path], check=True, capture_output=True, text=True).stdout
    public = set(re.findall(r"FUNC .* (vir\w+)@@LIBVIRT_\d", symbols))
    with open(MAP, encoding="ascii") as file:
        ours = set(re.findall(r"\bvir\w+", file.read()))
    return sorted(name for name in public - ours if not NO_HANDLE.fullmatch(name))


class Foreign(World):
    def faults(self, path, names):
        """What the program tells of these functions."""
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, "foreign.py"), PRELOAD, path,
             f"virsnap://{self.path('own')}"],
            input="\n".join(names), check=False, capture_output=True, text=True,
            env=self.environment, timeout=300,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def test_every_function_of_libvirts_refuses_our_handles(self):
        path = libvirt_path()
        names = [name for name in foreign_functions(path) if name not in UNCHECKED]
        self.assertGreater(len(names), 300)
        ours = [fault for fault in self.faults(path, names) if "(nothing)" not in fault]
        self.assertEqual(ours, [])

    def test_those_that_check_nothing_die_of_null_too(self):
        faults = self.faults(libvirt_path(), UNCHECKED)
        for name in UNCHECKED:
            self.assertIn(f"{name}(nothing): ends with signal 11", faults)


if __name__ == "__main__":
    unittest.main(verbosity=2)
