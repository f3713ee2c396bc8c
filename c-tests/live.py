"""Drives examples/minivmm with a real QEMU: snapshots of a running guest, contents checked.

usage: live.py MINIVMM [TEST...]

TREE_SEEDS=1..20 chooses the random trees, MISCHIEF_EACH=1 meets every command.
"""

import sys
import tempfile

from live import contents, faults, mischief, trees
from live.guest import Guest

TESTS = contents.TESTS + faults.TESTS + trees.TESTS + mischief.TESTS


def main(program, *names):
    for test in TESTS:
        if names and test.__name__ not in names:
            continue
        with tempfile.TemporaryDirectory() as directory, Guest(program, directory, 2) as guest:
            test(guest)
        print(f"ok {test.__name__}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
