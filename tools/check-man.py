"""Fails unless each exported function has a man page that is whole, and that groff takes without a word.

usage: check-man.py GROFF MAP PAGE...
"""

import re
import subprocess
import sys
from pathlib import Path

import version_map

SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "ERRORS", "NOTES", "HISTORY"]
# As mandb finds it for `man -k`.
NAME = re.compile(r'^\.SH NAME\n(\w+) \\- (.{10,})$', re.MULTILINE)


def problems(groff, page, exports):
    text = page.read_text()
    for section in SECTIONS:
        if f"\n.SH {section}\n" not in text:
            yield f"has no section {section}"
    named = NAME.search(text)
    if named is None or named[1] != page.stem:
        yield "does not say what it is about"
    prototype = text.partition(".SH SYNOPSIS")[2].partition(".SH ")[0]
    if f"{page.stem}(" not in prototype:
        yield "does not say how it is called"
    is_void = f"void {page.stem}(" in prototype
    if is_void == ("\n.SH RETURN VALUE\n" in text):
        yield "does not say what is returned"
    for other in re.findall(r"\\fB(\w+)\\fP\(3\)", text):
        if other not in exports:
            yield f"leads to {other}, which is not there"
    said = subprocess.run(
        [groff, "-man", "-Tutf8", "-ww", "-rLL=80n", "-z", page],
        check=True, capture_output=True, text=True,
    ).stderr
    yield from said.splitlines()


def main(groff, map_path, *pages):
    exports = set(version_map.read(map_path))
    found = {Path(page).stem: Path(page) for page in pages}
    said = [f"{name}: has no page" for name in sorted(exports - set(found))]
    for name, page in sorted(found.items()):
        said += [f"{name}: {problem}" for problem in problems(groff, page, exports)]
    print("\n".join(said) or f"{len(found)} man pages")
    sys.exit(bool(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
