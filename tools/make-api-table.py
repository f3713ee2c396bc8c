"""Writes the C harness's table of function pointers from virsnap.map.

usage: make-api-table.py MAP OUTPUT
"""

import sys
from pathlib import Path

import version_map


def main(map_path, output):
    names = sorted(version_map.read(map_path))
    lines = [
        "/* Made from virsnap.map by tools/make-api-table.py. */",
        "struct api {",
        *(f"    __typeof__(&{name}) {name};" for name in names),
        "};",
        "",
        "#define API_FUNCTIONS(FUNCTION) \\",
        *(f"    FUNCTION({name}) \\" for name in names),
        "    /* end */",
        "",
        "#ifndef API_TABLE_ONLY",
        "extern struct api api;",
        *(f"#define {name} (*api.{name})" for name in names),
        "#endif",
    ]
    Path(output).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
