"""How two lines are judged, and what entries of excuses.py need to read them.

An entry either changes what is compared in both lines (`rewrite`), so that all the rest of them must
still agree, or says that from here on the two libraries go different ways, and the sequence ends
(`parting`).
"""

import copy
import difflib
import re
from dataclasses import dataclass, field

REWRITES = []
PARTINGS = []

PASSWORD = re.compile(r" passwd='[^']*'")
DEFINITION = re.compile(r"<domain type=.*?</domain>", re.DOTALL)


@dataclass
class Verdict:
    """What is to be thought of two lines that differ."""

    is_excused: bool
    ends_sequence: bool = False
    names: list = field(default_factory=list)


class Run:
    """What the sequence has shown up to a line."""

    def __init__(self, pair):
        self.pair = pair
        self.given = set()
        self.own = set()

    def note(self, line):
        """Remembers the definitions that a call was given, and those that the domain had."""
        self.given.update(map(told, DEFINITION.findall(line.get("input") or "")))
        if line["call"] == "state":
            self.own.add(told(line["value"]["domain"] or ""))


def names():
    """The names of all entries."""
    return {name for name, _ in REWRITES + PARTINGS}


def rewrite(name):
    """Enters a function (theirs, ours, run) that may change both lines."""

    def enter(function):
        REWRITES.append((name, function))
        return function

    return enter


def parting(name):
    """Enters a function (theirs, ours, run) that says whether the two go different ways."""

    def enter(function):
        PARTINGS.append((name, function))
        return function

    return enter


def judge(theirs, ours, run):
    """Compares two lines that differ."""
    for name, parts in PARTINGS:
        if parts(theirs, ours, run):
            return Verdict(True, True, [name])
    theirs, ours = copy.deepcopy(theirs), copy.deepcopy(ours)
    names = []
    for name, change in REWRITES:
        before = copy.deepcopy((theirs, ours))
        change(theirs, ours, run)
        if (theirs, ours) != before:
            names.append(name)
        if theirs == ours:
            return Verdict(True, False, names)
    return Verdict(False)


def show_field(name, theirs, ours):
    """Prints what differs in one field of two lines."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            if theirs.get(key) != ours.get(key):
                show_field(f"{name}.{key}", theirs.get(key), ours.get(key))
        return
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (left, right) in enumerate(zip(theirs, ours)):
            if left != right:
                show_field(f"{name}[{index}]", left, right)
        return
    if isinstance(theirs, str) and isinstance(ours, str) and "\n" in theirs:
        print(f"  {name}:")
        lines = difflib.unified_diff(theirs.splitlines(), ours.splitlines(), "theirs", "ours", "", "", 1, "")
        for line in lines:
            print(f"      {line}")
        return
    print(f"  {name}\n      theirs: {theirs!r}\n      ours:   {ours!r}")


def error_code(line):
    """The code of the line's error, or 0."""
    return line["error"]["code"] if line["error"] else 0


def error_domain(line):
    """The error domain of the line's error, or 0."""
    return line["error"]["domain"] if line["error"] else 0


def message(line):
    """The message of the line's error, or nothing."""
    return line["error"]["message"] if line["error"] else ""


def documents(line):
    """Where a state has documents: the holder and the key of each."""
    if line["call"] == "state":
        yield line["value"], "domain"
        for snapshot in line["value"]["snapshots"]:
            yield snapshot, "xml"
    elif line["call"].startswith("virDomainSnapshotGetXMLDesc") and line["value"]:
        yield line, "value"
    elif "input" in line:
        yield line, "input"


def document_pairs(theirs, ours):
    """The documents of two lines side by side, as far as both have them."""
    for (holder, key), (our_holder, our_key) in zip(documents(theirs), documents(ours)):
        if isinstance(holder[key], str) and isinstance(our_holder[our_key], str):
            if holder[key] != our_holder[our_key]:
                yield holder, our_holder, key


def shows_secrets(line):
    """Whether the documents of a line may have passwords."""
    return line["call"] == "state" or not re.search(r"GetXMLDesc\(.*, 0\)$", line["call"])


def told(definition):
    """What a definition says, however it is indented; a rename or a revert gives it the domain's name."""
    text = re.sub("<name>[^<]*</name>", "<name/>", PASSWORD.sub("", definition), count=1)
    return tuple(line.strip() for line in text.splitlines())
