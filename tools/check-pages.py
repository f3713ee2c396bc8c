"""Compiles, runs or parses every code block of README.md and docs/, and follows every link.

usage: check-pages.py [PAGE...]

The blocks of a page are taken in order, in one temporary directory, as a reader would type them. What
the line that opens a block says decides:

    c | python             a whole program: compiled with every warning, run
    c fragment             statements about `conn`, `domain` and `snapshot`: compiled
    sh                     run, and must succeed
    sh not-run             syntax, and that the targets of `make` in it exist
    xml                    must parse; several elements side by side may stand there
    output                 what the last program or sh block printed; an ellipsis is any text
    text                   a picture, a layout: what is no code
    console                a session with the tool, which cli/tests/session.rs runs: on its page alone
    LANGUAGE NAME          appended to that file, which a later sh block must name

Anything else is an error, so nothing is printed untested by oversight. The library is found as a user's
compiler and loader find it: by PKG_CONFIG_PATH and LD_LIBRARY_PATH.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
SUMMARY = SOURCE / "docs" / "SUMMARY.md"
SESSIONS = SOURCE / "cli" / "tests" / "session.rs"
FENCE = re.compile(r"^( *)(```+|~~~+)(.*)$")
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
FRAGMENT = """\
#include <stdio.h>
#include <stdlib.h>
#include <virsnap.h>

int fragment(virConnectPtr conn, virDomainPtr domain, virDomainSnapshotPtr snapshot);

int fragment(virConnectPtr conn, virDomainPtr domain, virDomainSnapshotPtr snapshot)
{
    (void)conn, (void)domain, (void)snapshot;
%s
    return 0;
}
"""


class Fault(Exception):
    """What is wrong with a block or a link."""


class Block:
    def __init__(self, line, info, text):
        self.line, self.info, self.text = line, info, text

    @property
    def language(self):
        return self.info.split(" ", 1)[0]

    @property
    def word(self):
        return self.info.partition(" ")[2].strip()


def blocks(text):
    """The fenced blocks of a page."""
    found, start, before = [], None, ""
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if fence and start is None:
            if fence[1] or fence[2] != "```":
                raise Fault(f"{number}: a block is opened by ``` at the beginning of the line")
            start, info, lines = number, fence[3].strip(), []
        elif fence and not fence[3].strip():
            found.append(Block(start, info, "".join(line + "\n" for line in lines)))
            start = None
        elif start is not None:
            lines.append(line)
        elif "<pre" in line or (line.startswith("    ") and not before.strip()):
            raise Fault(f"{number}: code stands between ```, where it is tested")
        before = line
    if start is not None:
        raise Fault(f"{start}: a block has no end")
    return found


class Reader:
    """Somebody who types a page's blocks in, one after the other."""

    def __init__(self, page, directory):
        self.page, self.directory = page, directory
        self.printed = None
        self.unnamed = {}
        self.environment = {
            **os.environ,
            "HOME": directory,
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            # Companion mode's snapshots are this page's.
            "VIRSNAP_STATE_DIR": os.path.join(directory, "virsnap-state"),
        }

    def run(self, command, text=None):
        """What a command prints; it must succeed."""
        done = subprocess.run(
            command, cwd=self.directory, env=self.environment, input=text or "", check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
        )
        if done.returncode:
            raise Fault(f"status {done.returncode}:\n{done.stdout}")
        return done.stdout

    def stop_guests(self):
        """What a block that failed has left running."""
        for file in Path(self.directory).glob("*.pid"):
            pid = file.read_text(encoding="ascii").strip()
            if Path(f"/proc/{pid}/comm").exists() and "qemu" in Path(f"/proc/{pid}/comm").read_text(encoding="ascii"):
                os.kill(int(pid), signal.SIGTERM)

    def compiled(self, text, *options):
        """A program of a text in C."""
        flags = shlex.split(self.run(["pkg-config", "--cflags", "--libs", "virsnap"]))
        program = os.path.join(self.directory, "a.out")
        self.run(["cc", *WARNINGS, "-x", "c", "-", *options, "-o", program, "-x", "none", *flags], text)
        return program

    def take(self, block):
        """Does what the block's first line asks for."""
        kind = block.info if block.info in ("c fragment", "sh not-run") else block.language
        action = getattr(self, "take_" + re.sub(r"\W", "_", kind), None)
        if block.word and kind == block.language:
            self.write(block)
        elif action is None:
            raise Fault(f"`{block.info}` is no kind of block that is tested (tools/check-pages.py)")
        else:
            action(block.text)

    def write(self, block):
        if "/" in block.word or " " in block.word:
            raise Fault(f"`{block.word}` is no file name")
        if block.language == "xml":
            self.take_xml(block.text)
        # What a block before it has named may grow again.
        self.unnamed[block.word] = block.line
        with open(os.path.join(self.directory, block.word), "a", encoding="utf-8") as file:
            file.write(block.text)

    def take_c(self, text):
        self.printed = self.run([self.compiled(text)])

    def take_c_fragment(self, text):
        self.compiled(FRAGMENT % text, "-c")

    def take_python(self, text):
        self.printed = self.run(["/usr/bin/python3", "-"], text)

    def take_sh(self, text):
        self.unnamed = {name: line for name, line in self.unnamed.items() if name not in text}
        # A file, so that what it runs has no standard input to eat.
        script = Path(self.directory, ".block")
        script.write_text(text, encoding="utf-8")
        self.printed = self.run(["sh", "-eu", script.name])

    def take_sh_not_run(self, text):
        self.run(["sh", "-n"], text)
        targets = re.findall(r"^([\w-]+):", (SOURCE / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        for target in re.findall(r"^make ([\w-]+)", text, re.MULTILINE):
            if target not in targets:
                raise Fault(f"there is no `make {target}`")

    def take_xml(self, text):
        try:
            ElementTree.fromstring(f"<all>{text}</all>")
        except ElementTree.ParseError as error:
            raise Fault(str(error)) from error

    def take_output(self, text):
        if self.printed is None:
            raise Fault("nothing was printed before")
        pattern = ".*?".join(re.escape(part) for part in text.rstrip().split("…"))
        if not re.fullmatch(pattern, self.printed.rstrip(), re.DOTALL):
            raise Fault(f"what was printed is another text:\n{self.printed}")

    def take_text(self, _):
        pass

    def take_console(self, _):
        if not SESSIONS.exists() or f"/docs/{self.page}" not in SESSIONS.read_text(encoding="utf-8"):
            raise Fault("nobody runs a session on this page (cli/tests/session.rs); `sh` and `output` are run here")


def anchors(text):
    """What a link to a heading of this page may be called, as GitHub and mdBook call it."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page, text):
    """What a page leads to that is not there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists():
            yield f"a link leads to {target}, which is not there"
        elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
            yield f"a link leads to {target}: there is no such heading"


def check_blocks(page, text):
    """How many blocks of each kind a page has; a Fault begins with the line."""
    counts = {}
    with tempfile.TemporaryDirectory(prefix="virsnap-page-") as directory:
        reader = Reader(page.name, directory)
        try:
            for block in blocks(text):
                try:
                    reader.take(block)
                except Fault as fault:
                    raise Fault(f"{block.line}: {fault}") from fault
                counts[block.info] = counts.get(block.info, 0) + 1
        finally:
            reader.stop_guests()
        for name, line in reader.unnamed.items():
            raise Fault(f"{line}: no later block does anything with {name}")
    return counts


def unlisted():
    """Pages that the index does not have."""
    linked = re.findall(r"\]\(([^)#\s]+)\)", SUMMARY.read_text(encoding="utf-8"))
    return sorted(page.name for page in SUMMARY.parent.glob("*.md") if page != SUMMARY and page.name not in linked)


def main(*names):
    pages = [Path(name).resolve() for name in names] or [SOURCE / "README.md", *sorted(SUMMARY.parent.glob("*.md"))]
    faults = [f"docs/SUMMARY.md does not list {name}" for name in unlisted()]
    for page in pages:
        name = os.path.relpath(page, SOURCE)
        text = page.read_text(encoding="utf-8")
        faults += [f"{name}: {fault}" for fault in broken_links(page, text)]
        try:
            counts = check_blocks(page, text)
        except Fault as fault:
            faults.append(f"{name}:{fault}")
        else:
            said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            print(f"{name}: {said or 'no blocks'}", flush=True)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
