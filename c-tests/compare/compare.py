#!/usr/bin/env python3
"""Runs the same random calls against two libraries and compares every answer.

usage: compare.py --program PROGRAM --preloaded PROGRAM --libvirt LIBRARY --virsnap LIBRARY
                  [--seed N[..M]] [--steps N] [--pair NAME] [--show N] [--verbose]

PROGRAM loads the library that it is told of; the preloaded one is linked with libvirt.

Each pair of PAIRS is compared in slices of sequences, each library in a process of its own. A line
that differs must be excused by an entry of excuses.py, which docs/differences.md explains under the
same name; else the run fails. The seed is printed: the same one makes the same calls again.
"""

import argparse
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import excuses  # noqa: F401 (its entries enter themselves)
import judging
import rows

DIFFERENCES = Path(__file__).resolve().parents[2] / "docs" / "differences.md"

# Calls in a sequence (compare.c), and sequences in a process: the real libvirt's embedded driver
# takes a while to open, and slows down with what it has seen.
STEPS = 30
SLICE = 25

# What meson counts as skipped.
SKIPPED = 77

# Slices that run at the same time.
TOGETHER = 3

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
    # In front of libvirt, in a program that is linked with that.
    is_preloaded: bool = False


LIBVIRT_QEMU = Side("libvirt", "qemu:///embed?root={root}/libvirt")
LIBVIRT_TEST = Side("libvirt", "test:///default")
EMBEDDED = Side("virsnap", "virsnap://{root}/state?redefine_current=flag&redefine_check=trust")
COMPANION_QEMU = Side("virsnap", LIBVIRT_QEMU.uri, is_preloaded=True)
COMPANION_TEST = Side("virsnap", LIBVIRT_TEST.uri, is_preloaded=True)


@dataclass(frozen=True)
class Pair:
    """Two sides that must answer the same."""

    theirs: Side
    ours: Side
    domain_type: str
    options: tuple = ()


PAIRS = {
    "qemu-embedded": Pair(LIBVIRT_QEMU, EMBEDDED, "qemu", ("external", "rename")),
    "test-embedded": Pair(LIBVIRT_TEST, EMBEDDED, "test", ("common", "rename", "dataless")),
    "qemu-companion": Pair(LIBVIRT_QEMU, COMPANION_QEMU, "qemu", ("external", "rename")),
    "test-companion": Pair(
        LIBVIRT_TEST, COMPANION_TEST, "test", ("external", "rename", "guests", "dataless")
    ),
}


# What is declared in libvirt-domain-snapshot.h.
FUNCTIONS = (
    "virDomainHasCurrentSnapshot",
    "virDomainListAllSnapshots",
    "virDomainRevertToSnapshot",
    "virDomainSnapshotCreateXML",
    "virDomainSnapshotCurrent",
    "virDomainSnapshotDelete",
    "virDomainSnapshotFree",
    "virDomainSnapshotGetConnect",
    "virDomainSnapshotGetDomain",
    "virDomainSnapshotGetName",
    "virDomainSnapshotGetParent",
    "virDomainSnapshotGetXMLDesc",
    "virDomainSnapshotHasMetadata",
    "virDomainSnapshotIsCurrent",
    "virDomainSnapshotListAllChildren",
    "virDomainSnapshotListChildrenNames",
    "virDomainSnapshotListNames",
    "virDomainSnapshotLookupByName",
    "virDomainSnapshotNum",
    "virDomainSnapshotNumChildren",
    "virDomainSnapshotRef",
)

# From so many steps on a run in which one of them never succeeded shows too little.
ENOUGH_STEPS = 2000


class Failure(Exception):
    """A run that could not be made, as opposed to one that shows a difference."""


class Missing(Failure):
    """libvirt's driver cannot be opened here."""


class Runner:
    """Runs the C program."""

    def __init__(self, arguments, directory):
        # Each process is started in another directory than this one.
        self.program = Path(arguments.program).absolute()
        self.preloaded = Path(arguments.preloaded).absolute()
        libraries = {"libvirt": arguments.libvirt, "virsnap": arguments.virsnap}
        self.libraries = {name: Path(library).absolute() for name, library in libraries.items()}
        self.directory = Path(directory)
        self.numbers = itertools.count(1)

    def root(self):
        """A new directory for one process. Both sides' have names of one length."""
        root = self.directory / f"{next(self.numbers):06}"
        (root / "libvirt" / "etc").mkdir(parents=True)
        (root / "libvirt" / "etc" / "qemu.conf").write_text(QEMU_CONFIGURATION)
        return root

    def start(self, side, root, before, after, output):
        """Starts the program: BEFORE, URI, ROOT, AFTER are its arguments."""
        program = self.preloaded if side.is_preloaded else self.program
        words = [program, *before, side.uri.format(root=root), root, *after]
        library = {"LD_PRELOAD" if side.is_preloaded else "VIRSNAP_TEST_LIBRARY": str(self.libraries[side.library])}
        environment = dict(
            os.environ, LC_ALL="C.UTF-8", VIRSNAP_STATE_DIR=str(root / "companion"), VIRSNAP_REDEFINE_CHECK="trust",
            **library,
        )
        log = open(root / "stderr", "wb")
        return subprocess.Popen(
            [str(word) for word in words], stdout=output, stderr=log, env=environment, cwd="/"
        )

    def definitions(self, pair):
        """The definitions of domains, as libvirt writes them."""
        directory = self.directory / f"definitions-{next(self.numbers)}"
        directory.mkdir()
        root = self.root()
        after = [directory, pair.domain_type]
        process = self.start(pair.theirs, root, ["--definitions"], after, subprocess.DEVNULL)
        if process.wait() != 0:
            raise Missing((root / "stderr").read_text())
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
            [json.loads(line) for line in steady(file.read_bytes().decode(errors="replace")).split("\n")[:-1]]
            for file in files
        ]
        unordered = (roots[1] / "stderr").read_text(errors="replace")
        for root in roots:
            shutil.rmtree(root)
        if "before its parent" in unordered:
            raise Failure(unordered)
        return lines


# What differs from run to run of one and the same library, and what is compared instead.
UNSTEADY = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "TIME"),
    # Counted by the process, also in sequences in which the two have gone different ways.
    (re.compile(r"<domain type='(\w+)' id='\d+'>"), r"<domain type='\1' id='ID'>"),
    # Who sees first that QEMU has ended.
    (
        re.compile(r"process exited while connecting to monitor|qemu unexpectedly closed the monitor"),
        "QEMU ended",
    ),
)


def steady(text):
    """The text without what is not the same each time."""
    for form, instead in UNSTEADY:
        text = form.sub(instead, text)
    return text


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
        self.made = Counter()
        self.calls = 0
        self.succeeded = Counter()
        self.used = Counter()
        self.cut = 0
        self.uncompared = 0
        self.differences = []

    def count(self, line):
        """Counts a call that is compared."""
        if line["call"] in ("state", "images"):
            return
        function = line["call"].split("(")[0]
        self.calls += 1
        self.made[function] += 1
        if line["error"] is None:
            self.succeeded[function] += 1

    def untried(self):
        """Functions that the run is about, and of which no call, or no successful one, was seen."""
        return sorted(name for name in FUNCTIONS if not self.succeeded[name])

    def sequence(self, theirs, ours):
        """Compares one sequence, up to where the two may go different ways."""
        run = judging.Run(self.pair_name)
        for index, (their_line, our_line) in enumerate(zip(theirs, ours)):
            self.count(their_line)
            if their_line == our_line:
                run.note(our_line)
                continue
            verdict = judging.judge(their_line, our_line, run)
            run.note(our_line)
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
            judging.show_field(field, left, right)


def compare_pair(runner, name, seed, arguments):
    """Compares one pair; whether nothing differs that is not excused."""
    pair = PAIRS[name]
    definitions = runner.definitions(pair)
    sequences = max(1, arguments.steps // STEPS)
    comparison = Comparison(name)
    slices = [
        (first, min(first + SLICE, sequences) - 1) for first in range(0, sequences, SLICE)
    ]
    # Most of the time is spent waiting: for qemu-img, for a QEMU that libvirt starts.
    with ThreadPoolExecutor(max_workers=TOGETHER) as pool:
        runs = pool.map(lambda ends: runner.slice(pair, definitions, seed, *ends), slices)
        for lines in runs:
            theirs, ours = map(by_sequence, lines)
            for number in theirs:
                comparison.sequence(theirs[number], ours.get(number, []))
    print(
        f"{name}: seed {seed}, {sequences} sequences, {comparison.calls} calls compared, "
        f"{len(comparison.differences)} unexcused; {comparison.cut} sequences cut at an excused "
        f"difference ({comparison.uncompared} lines after it)"
    )
    for excuse, count in sorted(comparison.used.items()):
        print(f"    excused {count:5} × {excuse}")
    if arguments.verbose:
        for call, count in sorted(comparison.succeeded.items()):
            print(f"    succeeded {count:5} of {comparison.made[call]:5} × {call}")
    for difference in comparison.differences[: arguments.show]:
        show(difference, arguments.verbose)
    untried = comparison.untried() if arguments.steps >= ENOUGH_STEPS else []
    for function in untried:
        print(f"    {function} never succeeded: the run shows too little")
    return not comparison.differences and not untried


def seeds(text):
    """The seeds that N or N..M names."""
    first, _, last = text.partition("..")
    return range(int(first), int(last or first) + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--preloaded", required=True)
    parser.add_argument("--libvirt", required=True)
    parser.add_argument("--virsnap", required=True)
    parser.add_argument("--seed", type=seeds, default=[1], help="N, or N..M")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--pair", choices=PAIRS, action="append")
    parser.add_argument("--show", type=int, default=10, help="differences to print")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    wrong = rows.wrong(DIFFERENCES, judging.names())
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="virsnap-compare-") as directory:
        runner = Runner(arguments, directory)
        try:
            results = [
                compare_pair(runner, name, seed, arguments)
                for name in arguments.pair or PAIRS
                for seed in arguments.seed
            ]
        except Missing as missing:
            print(f"skipped: {missing}", file=sys.stderr)
            return SKIPPED
        except Failure as failure:
            print(failure, file=sys.stderr)
            return 1
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
