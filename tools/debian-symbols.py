"""Keeps debian/libvirsnap0.symbols as virsnap.map says.

usage: debian-symbols.py [--write] MAP SYMBOLS VERSION

A symbol that the file has already keeps the version it came with; another one gets VERSION.
"""

import re
import sys
from pathlib import Path

import version_map

HEAD = "libvirsnap.so.0 libvirsnap0 #MINVER#\n* Build-Depends-Package: libvirsnap-dev\n"
SYMBOL = re.compile(r"^ (\S+@\S+) (\S+)$", re.MULTILINE)


def wanted(symbols, known, version):
    """The file: each node, and each function with its node."""
    names = {f"{name}@{node}" for name, node in symbols.items()} | {f"{node}@{node}" for node in symbols.values()}
    return HEAD + "".join(f" {name} {known.get(name, version)}\n" for name in sorted(names))


def main(*arguments):
    is_write = arguments[0] == "--write"
    map_path, symbols_path, version = arguments[is_write:]
    file = Path(symbols_path)
    text = file.read_text() if file.exists() else ""
    expected = wanted(version_map.read(map_path), dict(SYMBOL.findall(text)), version)
    if is_write:
        file.write_text(expected)
    elif text != expected:
        print(f"{symbols_path} is not as {map_path} says: `make header` writes it anew")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
