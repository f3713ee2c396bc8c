"""Compares the shared library's dynamic symbols with virsnap.map, and the map with libvirt.

usage: check-symbols.py LIBRARY MAP [LIBVIRT]

The library must export each name of the map under its node, and nothing else; each node of a
function that libvirt has must be libvirt's. An empty LIBVIRT leaves the second half out, loudly.
"""

import subprocess
import sys

import version_map

SONAME = "libvirsnap.so.0"


def exported(library):
    """Name, separator and node of each symbol that a shared library defines; nodes themselves left out."""
    lines = subprocess.run(
        ["nm", "-D", "--defined-only", "--with-symbol-versions", library],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    fields = [line.split() for line in lines]
    return {symbol for *_, kind, symbol in fields if kind != "A"}


def soname(library):
    """What the dynamic section gives as the library's name."""
    dynamic = subprocess.run(
        ["readelf", "-d", "-W", library], check=True, capture_output=True, text=True
    ).stdout
    names = [line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(SONAME)" in line]
    return names[0] if names else None


def differences(found, expected, where):
    """One line for each symbol that is only on one side."""
    return [f"{where}: missing {symbol}" for symbol in sorted(expected - found)] + [
        f"{where}: must not export {symbol}" for symbol in sorted(found - expected)
    ]


def main(library, map_path, libvirt=""):
    symbols = version_map.read(map_path)
    expected = {f"{name}@@{node}" for name, node in symbols.items()}
    faults = differences(exported(library), expected, library)
    if soname(library) != SONAME:
        faults.append(f"{library}: SONAME is {soname(library)}, not {SONAME}")

    ours = {symbol for symbol in expected if symbol.startswith("virSnap")}
    faults += [f"{map_path}: {s} needs a VIRSNAP node" for s in ours if "@@VIRSNAP_" not in s]
    if libvirt:
        reference = exported(libvirt)
        faults += [f"{map_path}: {libvirt} has no {s}" for s in sorted(expected - ours - reference)]
    else:
        print("SKIPPED: no libvirt.so.0 here, version nodes not compared with libvirt's")

    print("\n".join(faults) if faults else f"{len(expected)} symbols, as {map_path} lists them")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
