"""Reads virsnap.map, the list of what the library exports."""

import re
from pathlib import Path

NODE = re.compile(r"(\S+)\s*\{(.*?)\}", re.DOTALL)
GLOBAL = re.compile(r"global:(.*?)(?:local:|$)", re.DOTALL)


def read(path):
    """Version node of each exported function."""
    text = re.sub(r"#.*", "", Path(path).read_text())
    symbols = {}
    for node, body in NODE.findall(text):
        for names in GLOBAL.findall(body):
            for name in names.replace(";", " ").split():
                if name in symbols:
                    raise SystemExit(f"{path}: {name} stands in {symbols[name]} and {node}")
                symbols[name] = node
    return symbols
