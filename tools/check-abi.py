"""Compares what C programs see of the library with a dump of it that is kept: abidiff (libabigail) finds what changed.

usage: check-abi.py HEADER MAP DUMP
       check-abi.py --write HEADER MAP DUMP

The ABI is virsnap.h and virsnap.map: a library is made of them whose functions are empty, because the debug
information of the real one describes Rust's types. That the real one exports the map and has the header's
functions is checked elsewhere (check-symbols.py, tests/header.rs). What was removed or changed is an error, what was
added is none. So that this cannot rot, changes of each kind are tried as well.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import c_header

COMPILE = ["cc", "-std=c11", "-g", "-fPIC", "-shared", "-fno-eliminate-unused-debug-types", "-Wl,-soname,libvirsnap.so.0"]
DUMP = ["abidw", "--load-all-types", "--no-show-locs", "--no-corpus-path", "--no-comp-dir-path", "--type-id-style", "hash"]
COUNTS = re.compile(r"^(?:Functions changes|Variables changes|Unreachable types) summary: (\d+) removed, (\d+) changed", re.M | re.I)

# What is tried: whether it breaks programs, where, and what becomes of which text.
TRIALS = [
    ("a function is removed", True, "map", r"^ +virDomainSnapshotNumChildren;\n", ""),
    ("a function gets another node", True, "map", r"(LIBVIRT_0\.9\.7)( \{)", r"LIBVIRT_0.9.6\2"),
    ("a parameter changes", True, "header", r"(virDomainSnapshotFree\()virDomainSnapshotPtr", r"\1virDomainPtr"),
    ("a result changes", True, "header", r"^int( virSnapGetVersion\()", r"long\1"),
    ("a constant changes", True, "header", r"(VIR_SNAP_MIGRATE_STATE_CANCELLED = )5", r"\g<1>6"),
    ("a constant is removed", True, "header", r"^ +VIR_SNAP_REPAIR_REROOT = 4,\n", ""),
    ("a member changes", True, "header", r"^(struct _virSnapProblem \{[^}]*?)int kind;", r"\1long kind;"),
    ("a function is added", False, "both", r"virSnapGetVersion", "virSnapGetAnother"),
    ("a constant is added", False, "header", r"^( +)(VIR_SNAP_REPAIR_REROOT = 4,)\n", r"\1\2\n\1VIR_SNAP_REPAIR_ALL = 512,\n"),
    ("a type is added", False, "header", r"^struct _virSnapProblem \{", r"struct _virSnapNew { int a; };\n\g<0>"),
]


def dump(header, version_map, directory):
    """The ABI of a header and a map, as abidw writes it."""
    prototypes = [prototype for _, prototype, _ in c_header.functions(header)]
    body = "".join(f"{prototype}\n{{\n    abort();\n}}\n" for prototype in prototypes)
    Path(directory, "virsnap.h").write_text(header)
    Path(directory, "map").write_text(version_map)
    Path(directory, "stub.c").write_text(
        f"#define VIRSNAP_OWN_TYPES\n#include <stdlib.h>\n#include \"virsnap.h\"\n{body}")
    library = Path(directory, "libvirsnap.so.0")
    subprocess.run(
        [*COMPILE, "stub.c", "-o", library.name, "-Wl,--version-script=map"], check=True, cwd=directory)
    return subprocess.run([*DUMP, library], check=True, capture_output=True, text=True).stdout


def broken(old, header, version_map):
    """What abidiff says if the ABI of a header and a map breaks programs of the old one."""
    with tempfile.TemporaryDirectory() as directory:
        new = Path(directory, "new.abi")
        new.write_text(dump(header, version_map, directory))
        done = subprocess.run(
            ["abidiff", "--non-reachable-types", "--no-added-syms", old, new], check=False, capture_output=True, text=True)
    if done.returncode & 3:
        raise SystemExit(f"abidiff failed: {done.stdout}{done.stderr}")
    counts = [int(number) for pair in COUNTS.findall(done.stdout) for number in pair]
    # Bit 2 alone: something changed, which may be that something was added; the counts tell.
    is_broken = done.returncode & 8 or (done.returncode and not counts) or any(counts)
    return done.stdout if is_broken else None


def faults_of_guard(header, version_map):
    """Changes that are not seen, or seen where there is none."""
    with tempfile.TemporaryDirectory() as directory:
        old = Path(directory, "old.abi")
        old.write_text(dump(header, version_map, directory))
        for what, breaks, where, pattern, instead in TRIALS:
            texts = {"header": header, "map": version_map}
            if where == "both":
                added = re.search(rf"^/\*\*\n(?: \*.*\n)+? \*/\n[^;]*{pattern}[^;]*;\n", header, re.M)[0]
                texts["header"] = header.replace(added, added + re.sub(pattern, instead, added))
                texts["map"] = version_map.replace(f"{pattern};", f"{pattern}; {instead};")
            else:
                texts[where] = re.sub(pattern, instead, texts[where], count=1, flags=re.M)
            if texts == {"header": header, "map": version_map}:
                yield f"{what}: not tried, there is no {pattern}"
            elif bool(broken(old, texts["header"], texts["map"])) != breaks:
                yield f"{what}: {'passes' if breaks else 'is refused'}"


def main(*arguments):
    is_write = arguments[0] == "--write"
    header_path, map_path, kept = (Path(argument) for argument in arguments[is_write:])
    header, version_map = header_path.read_text(), map_path.read_text()
    if is_write:
        with tempfile.TemporaryDirectory() as directory:
            kept.write_text(dump(header, version_map, directory))
        return 0
    faults = list(faults_of_guard(header, version_map))
    change = broken(kept, header, version_map)
    if change:
        faults.append(f"{change}\nPrograms break. If that is meant, `make abi` writes {kept.name} anew.")
    print("\n".join(faults) if faults else f"no program breaks; {len(TRIALS)} changes tried")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
