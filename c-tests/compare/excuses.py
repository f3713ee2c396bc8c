"""The differences from libvirt 9.0 that are meant, one entry each, as narrow as can be.

docs/differences.md says why, under the same names. An entry either changes what is compared in both
lines (`rewrite`), so that all the rest of them must still agree, or says that from here on the two
libraries go different ways, and the sequence ends (`parts`).
"""

import copy
import difflib
import re
from dataclasses import dataclass, field

REWRITES = []
PARTINGS = []


@dataclass
class Verdict:
    """What is to be thought of two lines that differ."""

    is_excused: bool
    ends_sequence: bool = False
    names: list = field(default_factory=list)


def rewrite(name):
    """Enters a function (theirs, ours, pair) that may change both lines."""

    def enter(function):
        REWRITES.append((name, function))
        return function

    return enter


def parting(name):
    """Enters a function (theirs, ours, pair) that says whether the two go different ways."""

    def enter(function):
        PARTINGS.append((name, function))
        return function

    return enter


def judge(theirs, ours, pair):
    """Compares two lines that differ."""
    for name, parts in PARTINGS:
        if parts(theirs, ours, pair):
            return Verdict(True, True, [name])
    theirs, ours = copy.deepcopy(theirs), copy.deepcopy(ours)
    names = []
    for name, change in REWRITES:
        before = copy.deepcopy((theirs, ours))
        change(theirs, ours, pair)
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


@rewrite("D57")
def function_names_in_flag_errors(theirs, ours, _pair):
    form = re.compile(r"(unsupported flags \(0x[0-9a-f]+\) in function )\w+")
    found = [form.fullmatch(message(line)) for line in (theirs, ours)]
    if all(found):
        for line, match in zip((theirs, ours), found):
            line["error"]["message"] = match[1]
            line["error"]["str1"] = "function"
            continue
    # Flag pairs that libvirt checks in its driver name the driver's function, too.
    if message(theirs) == message(ours) and " flag" in message(theirs).lower():
        if theirs["error"]["str1"].startswith(("qemu", "test")) and error_domain(theirs) in (10, 12):
            ours["error"]["str1"] = theirs["error"]["str1"]


@rewrite("D50")
def leaves_and_no_leaves(theirs, ours, _pair):
    def count(line):
        value = line["value"]
        return value["count"] if isinstance(value, dict) else value

    if "equivalent" in ours and count(theirs) == 0:
        expected = ours["equivalent"]
        room = ours["value"].get("room") if isinstance(ours["value"], dict) else None
        if room is not None and room > 0:
            expected = min(expected, room)
        if count(ours) == expected:
            theirs["value"] = ours["value"]


@rewrite("D1")
def more_names_than_room(theirs, ours, _pair):
    left, right = theirs["value"], ours["value"]
    if isinstance(left, dict) and isinstance(right, dict) and "room" in left:
        if left["count"] > left["room"] > 0 and right["count"] == left["room"]:
            left["count"] = right["count"]


@rewrite("parser-messages")
def not_well_formed(theirs, ours, _pair):
    errors = [theirs["error"], ours["error"]]
    start = re.compile(r"\((domain_snapshot|domain_definition)\):\d+: ")
    if all(errors) and all(error["code"] == 35 and start.match(error["message"]) for error in errors):
        for error in errors:
            error["message"] = start.match(error["message"])[1]
            error["str2"] = ""


@rewrite("schema-messages")
def schema_messages(theirs, ours, _pair):
    start = "XML document failed to validate against schema: Unable to validate doc against "
    if message(theirs).startswith(start) and message(ours).startswith(start):
        for line in (theirs, ours):
            line["error"]["message"] = start
            line["error"]["str2"] = ""


@rewrite("test-driver-number")
def test_driver_number(theirs, ours, pair):
    if pair == "test-embedded" and theirs["error"] and ours["error"]:
        if theirs["error"]["domain"] == 12 and ours["error"]["domain"] == 10:
            theirs["error"]["domain"] = 10
