"""Writes a man page for each function of virsnap.h, out of its comment there.

usage: make-man.py --names HEADER
       make-man.py HEADER DIFFERENCES VERSION OUTPUT_DIRECTORY

DIFFERENCES is docs/differences.md: the page of a function has the rows whose test is of its family.
"""

import re
import sys
import textwrap
from pathlib import Path

from c_header import enums, functions

CALL = re.compile(r"\b(vir\w+)\(\)")
# What the last paragraphs of a comment begin with, in their order, and their sections.
LABELS = ["Errors", "Threads", "Ownership", "Since", "Source", "Safety"]

# Which functions a family of tests is about.
FAMILIES = {
    "create": ["virDomainSnapshotCreateXML"],
    "delete": ["virDomainSnapshotDelete"],
    "disks": ["virDomainSnapshotCreateXML"],
    "document": ["virDomainSnapshotCreateXML"],
    "errors": ["virGetLastError", "virGetLastErrorMessage", "virSaveLastError"],
    "list": [
        "virDomainListAllSnapshots", "virDomainSnapshotListAllChildren",
        "virDomainSnapshotListChildrenNames", "virDomainSnapshotListNames",
    ],
    "redefine": ["virDomainSnapshotCreateXML"],
    "revert": ["virDomainRevertToSnapshot"],
    "snapshot_xml": ["virDomainSnapshotCreateXML", "virDomainSnapshotGetXMLDesc"],
}


def differences(page):
    """What a Markdown page of differences says of each function."""
    said = {}
    for line in page.splitlines():
        if not line.startswith("| ") or line.startswith("| ---") or line.startswith("| name"):
            continue
        name, theirs, ours, why = (cell.strip() for cell in line.strip("|").split(" | ", 3))
        families = re.findall(r"(?:c-tests|tests/data)/(\w+)\.(?:c|rs)", why)
        for function in {of for family in families for of in FAMILIES.get(family, [])}:
            said.setdefault(function, []).append((name, theirs, ours))
    return said


def escaped(text):
    """Text as roff takes it."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "")
    return re.sub(r"^([.])", r"\\&\1", text, flags=re.MULTILINE)


def filled(text):
    """A paragraph: names of functions and constants stand out."""
    text = escaped(" ".join(text.split()))
    text = CALL.sub(r"\\fB\1\\fP()", text)
    text = re.sub(r"\b(VIR_[A-Z0-9_]+)\b", r"\\fB\1\\fP", text)
    return "\n".join(textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False))


def parts(comment):
    """A comment as its summary, parameters, paragraphs, what it returns, and what is labelled."""
    blocks = [block for block in comment.split("\n\n") if block.strip()]
    parameters, body, returns, labelled = [], [], [], {}
    for block in blocks[1:]:
        first = re.match(r"(\w+):", block)
        if block.startswith("@"):
            parameters += re.findall(r"@(\w+): (.*?)(?=\n@|\Z)", block, re.DOTALL)
        elif first and first[1] in LABELS:
            words = re.split(rf"(?:^|(?<=[\s])){'(' + '|'.join(LABELS) + ')'}: ", block)
            labelled.update(zip(words[1::2], (text.strip() for text in words[2::2])))
        elif block.startswith("Returns "):
            returns.append(block)
        else:
            body.append(block)
    return blocks[0], parameters, body, returns, labelled


def summary(text):
    """The first sentence as the line of NAME, and what is left."""
    sentence, _, rest = " ".join(text.split()).partition(". ")
    sentence = sentence.rstrip(".")
    return sentence[0].lower() + sentence[1:], rest


def tagged(tag, text):
    return [".TP", tag, filled(text)]


def section(title, lines):
    return [f".SH {title}", *lines] if lines else []


def paragraphs(texts):
    lines = []
    for text in texts:
        lines += ([".PP"] if lines else []) + [filled(text)]
    return lines


def synopsis(prototype):
    lines = [".nf", ".B #include <virsnap.h>", ".PP"]
    lines += [f"\\fB{escaped(line)}\\fP" for line in f"{prototype};".splitlines()]
    return [*lines, ".PP", "Link with \\fI\\-lvirsnap\\fP.", ".fi"]


def constants(text, known):
    """What the enums that are mentioned consist of."""
    lines = []
    for name in dict.fromkeys(re.findall(r"\b(vir\w+)\b", text)):
        for constant, value, comment in known.get(name, []):
            lines += tagged(f"\\fB{constant}\\fP = {escaped(value)}", comment)
    return lines


def differing(rows):
    lines = []
    for name, theirs, ours in rows:
        lines += tagged(filled(name), f"libvirt 9.0: {theirs}. Here: {ours}.")
    return lines


def page(name, prototype, comment, known, rows, all_names, version):
    first, parameters, body, returns, labelled = parts(comment)
    line, rest = summary(first)
    described = [tagged(f"\\fI{parameter}\\fP", text) for parameter, text in parameters]
    mentioned = [other for other in CALL.findall(comment) if other in all_names and other != name]
    notes = [labelled[label] for label in ("Threads", "Ownership") if label in labelled]
    notes = [f"{label}: {text}" for label, text in zip(("Threads", "Ownership"), notes)]
    if "Safety" in labelled:
        notes.append(f"The caller sees to it that {labelled['Safety']}")
    history = [f"Since {labelled['Since']}"] if "Since" in labelled else []
    if "Source" in labelled:
        history.append(f"Declared in {labelled['Source']}")
    see = ", ".join(f"\\fB{other}\\fP(3)" for other in sorted(set(mentioned)))
    lines = [
        f'.TH {name} 3 "" "virsnap {version}" "virsnap"',
        # Names of functions and constants stay whole.
        ".nh",
        ".ad l",
        *section("NAME", [f"{name} \\- {escaped(line)}"]),
        *section("SYNOPSIS", synopsis(prototype)),
        *section("DESCRIPTION", paragraphs([line[0].upper() + line[1:] + ". " + rest, *body])),
        *section("PARAMETERS", [line for lines in described for line in lines]),
        *section("CONSTANTS", constants(comment, known)),
        *section("RETURN VALUE", paragraphs(returns)),
        *section("ERRORS", paragraphs([labelled["Errors"]] if "Errors" in labelled else [])),
        *section("NOTES", paragraphs(notes)),
        *section("DIFFERENCES TO LIBVIRT", differing(rows)),
        *section("HISTORY", paragraphs(history)),
        *section("SEE ALSO", [see] if see else []),
    ]
    return "\n".join(lines) + "\n"


def main(*arguments):
    if arguments[0] == "--names":
        print("\n".join(name for name, _, _ in functions(Path(arguments[1]).read_text())))
        return
    header, differences_page, version, directory = arguments
    header = Path(header).read_text()
    known, rows = enums(header), differences(Path(differences_page).read_text())
    found = functions(header)
    names = {name for name, _, _ in found}
    for name, prototype, comment in found:
        text = page(name, prototype, comment, known, rows.get(name, []), names, version)
        Path(directory, f"{name}.3").write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
