"""The table of docs/differences.md: a row for each excuse, and for each row an excuse or a test."""

import re
from collections import Counter

# The first and the last cell.
ROW = re.compile(r"\| ([^|]+?) \|.*\| ([^|]+?) \|")

TEST = re.compile(r"(?:c-tests|tests|src)/[\w./]*\w")


def wrong(page, excuses):
    """What is wrong with the table, as sentences; `excuses` are the names of all."""
    lines = [ROW.fullmatch(line) for line in page.read_text().splitlines()]
    rows = [(line[1], line[2]) for line in lines if line][1:]
    counts = Counter(name for name, _ in rows)
    found = [
        f"{page.name}: {counts[name]} rows for the excuse '{name}'"
        for name in sorted(excuses)
        if counts[name] != 1
    ]
    for name, reason in rows:
        if name in excuses or set(name) == {"-"}:
            continue
        tests = [page.parents[1] / test for test in TEST.findall(reason)]
        if not any(test.exists() for test in tests):
            found.append(f"{page.name}: the row '{name}' has neither an excuse nor a test")
    return found
