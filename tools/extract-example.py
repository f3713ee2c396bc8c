"""Takes the first C example out of a Markdown page, exactly as printed.

usage: extract-example.py PAGE OUTPUT
"""

import re
import sys
from pathlib import Path


def main(page, output):
    example = re.search(r"^```c\n(.*?)^```$", Path(page).read_text(), re.DOTALL | re.MULTILINE)
    if example is None:
        raise SystemExit(f"{page}: no C example")
    Path(output).write_text(example.group(1))


if __name__ == "__main__":
    main(*sys.argv[1:])
