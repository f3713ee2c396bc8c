"""Reads virsnap.h: its functions and its constants, with their comments."""

import re

FUNCTION = re.compile(r"^/\*\*\n((?: \*.*\n)+?) \*/\n(\w[^;{}#]*?(\w+)\([^;{}]*\));\n", re.MULTILINE)
ENUM = re.compile(r"^(?:typedef )?enum ?(\w*) \{\n(.*?)^\} ?(\w*);\n", re.MULTILINE | re.DOTALL)
CONSTANT = re.compile(r"/\*\*\n((?: +\*.*\n)+?) +\*/\n +(\w+) = (-?\w+),")
COMMENT = re.compile(r"^ *\* ?", re.MULTILINE)


def plain(comment):
    return COMMENT.sub("", comment).rstrip("\n")


def functions(header):
    """Name, prototype and comment of each."""
    return [
        (name, prototype, plain(comment)) for comment, prototype, name in FUNCTION.findall(header)
    ]


def enums(header):
    """The constants of each enum: name, value, comment."""
    found = {}
    for before, body, behind in ENUM.findall(header):
        found[before or behind] = [
            (name, value, " ".join(plain(comment).split()))
            for comment, name, value in CONSTANT.findall(body)
        ]
    return found
