"""Counts the instructions of public calls with callgrind: the same on a busy machine as on a quiet one."""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

# What the benchmark's groups call often enough to be told apart from its first time.
CALLS = (
    "virDomainSnapshotLookupByName",
    "virDomainSnapshotFree",
    "virDomainSnapshotGetParent",
    "virDomainSnapshotNumChildren",
    "virDomainSnapshotIsCurrent",
    "virDomainSnapshotHasMetadata",
    "virDomainHasCurrentSnapshot",
    "virDomainSnapshotGetXMLDesc",
    "virDomainSnapshotCreateXML",
)
# Of functions that are called fewer times the first call, which loads, is most of the sum.
OFTEN = 500
TIME_LIMIT = 600


def count(command):
    """Instructions of one call by function, with all that it calls; None if it failed."""
    with tempfile.TemporaryDirectory() as directory:
        profile = Path(directory) / "profile"
        callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"]
        try:
            done = subprocess.run(
                callgrind + command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True, timeout=TIME_LIMIT)
        except (FileNotFoundError, subprocess.TimeoutExpired) as error:
            print(f"instructions: {error}", file=sys.stderr)
            return None
        if done.returncode != 0:
            print(f"instructions: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return None
        return parse(profile.read_text(errors="replace").splitlines())


def parse(lines):
    """Reads callgrind's format: `cfn=` says who is called, `calls=` how often, the line behind it
    at which cost. Names are written once and are numbers from then on."""
    names, costs = {}, defaultdict(lambda: [0, 0])
    called = None
    lines = iter(lines)
    for line in lines:
        if line.startswith(("fn=", "cfn=")):
            number, _, name = line.split("=", 1)[1].partition(" ")
            if name:
                # A function that calls itself is numbered.
                names[number] = re.sub(r"'\d+$", "", name)
            if line.startswith("cfn="):
                called = names.get(number)
        elif line.startswith("calls="):
            cost = next(lines, "0 0").split()
            if called in CALLS:
                costs[called][0] += int(line[len("calls="):].split()[0])
                costs[called][1] += int(cost[1])
    return {name: (calls, total / calls) for name, (calls, total) in costs.items() if calls >= OFTEN}
