#!/usr/bin/env python3
"""Runs the same random calls against two libraries and compares every answer.

usage: compare.py --program PROGRAM --libvirt LIBRARY --virsnap LIBRARY
                  [--seed N] [--steps N] [--pair NAME] [--show N] [--verbose]

Each pair of PAIRS is compared in slices of sequences, each library in a process of its own. A line
that differs must be excused by an entry of excuses.py, which docs/differences.md explains under the
same name; else the run fails. The seed is printed: the same one makes the same calls again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import excuses

# Calls in a sequence (compare.c), and sequences in a process: the real libvirt's embedded driver
# takes a while to open, and slows down with what it has seen.
STEPS = 30
SLICE = 25

QEMU_CONFIGURATION = """\
user="root"
group="root"
dynamic_ownership=0
remember_owner=0
security_driver="none"
cgroup_controllers=[]
namespaces=[]
stdio_handler="file"
"""


@dataclass(frozen=True)
class Side:
    """One library on one connection; {root} is a directory of the process alone."""

    library: str
    uri: str


LIBVIRT_QEMU = Side("libvirt", "qemu:///embed?root={root}/libvirt")
LIBVIRT_TEST = Side("libvirt", "test:///default")
EMBEDDED = Side("virsnap", "virsnap://{root}/state?redefine_current=flag&redefine_check=trust")


@dataclass(frozen=True)
class Pair:
    """Two sides that must answer the same."""

    theirs: Side
    ours: Side
    domain_type: str
    options: tuple = ()
    # Of the steps asked for, how many percent go here.
    share: int = 50


PAIRS = {
    "qemu-embedded": Pair(LIBVIRT_QEMU, EMBEDDED, "qemu", ("external",), 70),
    "test-embedded": Pair(LIBVIRT_TEST, EMBEDDED, "test", ("test",), 30),
}


class Failure(Exception):
    """A run that could not be made, as opposed to one that shows a difference."""


class Runner:
    """Runs the C program."""

    def __init__(self, arguments, directory):
        self.program = arguments.program
        self.libraries = {"libvirt": arguments.libvirt, "virsnap": arguments.virsnap}
        self.directory = Path(directory)
        self.made = 0

    def root(self):
        """A new directory for one process. Both sides' have names of one length."""
        self.made += 1
        root = self.directory / f"{self.made:06}"
        (root / "libvirt" / "etc").mkdir(parents=True)
        (root / "libvirt" / "etc" / "qemu.conf").write_text(QEMU_CONFIGURATION)
        return root

    def start(self, side, root, before, after, output):
        """Starts the program: BEFORE, URI, ROOT, AFTER are its arguments."""
        words = [self.program, *before, side.uri.format(root=root), root, *after]
        environment = dict(os.environ, LC_ALL="C.UTF-8", VIRSNAP_TEST_LIBRARY=self.libraries[side.library])
        log = open(root / "stderr", "wb")
        return subprocess.Popen(
            [str(word) for word in words], stdout=output, stderr=log, env=environment, cwd="/"
        )

    def definitions(self, pair):
        """The definitions of domains, as libvirt writes them."""
        directory = self.directory / f"definitions-{pair.domain_type}"
        directory.mkdir()
        root = self.root()
        after = [directory, pair.domain_type]
        process = self.start(pair.theirs, root, ["--definitions"], after, subprocess.DEVNULL)
        if process.wait() != 0:
            raise Failure((root / "stderr").read_text())
        shutil.rmtree(root)
        return directory

    def slice(self, pair, definitions, seed, first, last):
        """The lines of both sides for some sequences."""
        after = [definitions, seed, first, last, *pair.options]
        roots, files, processes = [], [], []
        for side in (pair.theirs, pair.ours):
            root = self.root()
            roots.append(root)
            files.append(root / "stdout")
            with open(files[-1], "wb") as output:
                processes.append(self.start(side, root, [], after, output))
        for side, root, process in zip((pair.theirs, pair.ours), roots, processes):
            status = process.wait()
            if status != 0:
                log = (root / "stderr").read_text(errors="replace")
                tail = (root / "stdout").read_bytes()[-600:].decode(errors="replace")
                raise Failure(f"{side.uri}: ended with status {status}\n{log}\n…{tail}")
        lines = [
            [json.loads(line) for line in file.read_bytes().decode(errors="replace").splitlines()]
            for file in files
        ]
        unordered = (roots[1] / "stderr").read_text(errors="replace")
        for root in roots:
            shutil.rmtree(root)
        if "before its parent" in unordered:
            raise Failure(unordered)
        return lines


def by_sequence(lines):
    """The lines of each sequence, in order."""
    sequences = {}
    for line in lines:
        sequences.setdefault(line["sequence"], []).append(line)
    return sequences


class Comparison:
    """What the lines of one pair showed."""

    def __init__(self, pair_name):
        self.pair_name = pair_name
        self.calls = 0
        self.succeeded = Counter()
        self.used = Counter()
        self.cut = 0
        self.uncompared = 0
        self.differences = []

    def sequence(self, theirs, ours):
        """Compares one sequence, up to where the two may go different ways."""
        for index, (their_line, our_line) in enumerate(zip(theirs, ours)):
            if their_line["call"] not in ("state", "images"):
                self.calls += 1
                if their_line["error"] is None:
                    self.succeeded[their_line["call"].split("(")[0]] += 1
            if their_line == our_line:
                continue
            verdict = excuses.judge(their_line, our_line, self.pair_name)
            self.used.update(verdict.names)
            if not verdict.is_excused:
                self.differences.append((theirs[: index + 1], their_line, our_line))
            has_other_value = not verdict.is_excused and their_line["value"] != our_line["value"]
            if verdict.ends_sequence or has_other_value:
                self.cut += 1
                self.uncompared += len(theirs) - index - 1
                return


def show(difference, verbose):
    """Prints two lines that differ, field by field."""
    before, theirs, ours = difference
    place = f"sequence {theirs['sequence']} step {theirs['step']} kind {theirs['kind']}"
    print(f"\n--- {place}\n    {theirs['call']}")
    if verbose:
        for line in before[:-1]:
            if line["call"] not in ("state", "images"):
                print(f"      {line['step']}: {line['call']} = {json.dumps(line['value'])[:100]}")
    if theirs["call"] == "state" and len(before) > 1:
        print(f"    after: {before[-2]['call']}")
        if "input" in before[-2]:
            print("    " + before[-2]["input"].replace("\n", "\n    "))
    if "input" in theirs:
        print("    " + theirs["input"].replace("\n", "\n    "))
    for field in sorted(theirs.keys() | ours.keys()):
        left, right = theirs.get(field), ours.get(field)
        if left != right:
            excuses.show_field(field, left, right)


def compare_pair(runner, name, arguments):
    """Compares one pair; whether nothing differs that is not excused."""
    pair = PAIRS[name]
    definitions = runner.definitions(pair)
    sequences = max(1, arguments.steps * pair.share // 100 // STEPS)
    comparison = Comparison(name)
    for first in range(0, sequences, SLICE):
        last = min(first + SLICE, sequences) - 1
        theirs, ours = map(
            by_sequence, runner.slice(pair, definitions, arguments.seed, first, last)
        )
        for number in theirs:
            comparison.sequence(theirs[number], ours[number])
    print(
        f"{name}: seed {arguments.seed}, {sequences} sequences, {comparison.calls} calls compared, "
        f"{len(comparison.differences)} unexcused; {comparison.cut} sequences cut at an excused "
        f"difference ({comparison.uncompared} lines after it)"
    )
    for excuse, count in sorted(comparison.used.items()):
        print(f"    excused {count:5} × {excuse}")
    if arguments.verbose:
        for call, count in sorted(comparison.succeeded.items()):
            print(f"    succeeded {count:5} × {call}")
    for difference in comparison.differences[: arguments.show]:
        show(difference, arguments.verbose)
    return not comparison.differences


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--libvirt", required=True)
    parser.add_argument("--virsnap", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--pair", choices=PAIRS, action="append")
    parser.add_argument("--show", type=int, default=10, help="differences to print")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="virsnap-compare-") as directory:
        runner = Runner(arguments, directory)
        try:
            results = [compare_pair(runner, name, arguments) for name in arguments.pair or PAIRS]
        except Failure as failure:
            print(failure, file=sys.stderr)
            return 1
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
