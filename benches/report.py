"""Writes docs/benchmarks.md and docs/benchmarks.svg from medians."""

import datetime
import os
import platform
import subprocess
from pathlib import Path

import plot

HEADER = """# Benchmarks

Made by {how} on {date}: this library beside the real libvirt {libvirt} and the machine itself, A B A B.
{machine}. Other programs may have used the machine at the same time; ratios of one run bear that, single figures less.
{remark}

One C program (benches/) uses libvirt's public functions only, but for the import, and takes the library by path.
libvirt is its QEMU driver inside the process (`qemu:///embed`): no daemon, no socket, which a real deployment adds to each call.
Each snapshot has three disks and two network cards; its document has {document:.0f} bytes. Both libraries load the same files, libvirt's own, where libvirt
can write so many in a minute. CPU is the process's own; figures are medians.

`python3 benches/compare.py --help` says how to run it elsewhere.

"""

# Title, place, shape, size, phase, figure, unit, factor to the unit.
CPU = [
    ("open an empty state", "random", 0, "open_empty", "cpu_us", "µs", 1),
    ("open an empty state, memory", "random", 0, "open_empty_resident", "bytes", "KiB", 1 / 1024),
    ("load, a snapshot", "random", 10000, "load", "cpu_us", "µs", 1),
    ("load and serve every document, a snapshot", "random", 10000, "load_and_serve", "cpu_us", "µs", 1),
    ("memory after load, a snapshot", "random", 10000, "load_resident", "bytes_each", "B", 1),
    ("load what has been loaded before, a snapshot", "random", 10000, "load_again", "cpu_us", "µs", 1),
    ("memory after that, a snapshot", "random", 10000, "load_again_resident", "bytes_each", "B", 1),
    ("memory after serving every document", "random", 10000, "serve_resident", "bytes_each", "B", 1),
    ("definitions that all differ: load, a snapshot", "unlike", 10000, "load", "cpu_us", "µs", 1),
    ("… memory after load, a snapshot", "unlike", 10000, "load_resident", "bytes_each", "B", 1),
    ("… in documents, as they are served", "unlike", 10000, "load_resident_share", "documents", "×", 1),
    ("… memory after serving every document", "unlike", 10000, "serve_resident", "bytes_each", "B", 1),
    ("… in documents, as they are served", "unlike", 10000, "serve_resident_share", "documents", "×", 1),
    ("redefine", "random", 10000, "redefine", "cpu_us", "µs", 1),
    ("redefine, chain", "chain", 10000, "redefine", "cpu_us", "µs", 1),
    ("redefine, chain, last tenth", "chain", 10000, "redefine_last_tenth", "cpu_us", "µs", 1),
    ("transfer: export and redefine elsewhere", "random", 10000, "transfer", "cpu_us", "µs", 1),
    ("import: all of it at once, a snapshot, both ends", "random", 10000, "import", "cpu_us", "µs", 1),
    ("… memory of the source's process at most", "random", 10000, "import_source_peak", "bytes", "MiB", 2**-20),
    ("… and of the destination's", "random", 10000, "import_destination_peak", "bytes", "MiB", 2**-20),
    ("XML out", "random", 10000, "get_xml", "cpu_us", "ns", 1000),
    ("look-up and free", "random", 10000, "look_up_and_free", "cpu_us", "ns", 1000),
    ("look-up of a missing name", "random", 10000, "look_up_missing", "cpu_us", "ns", 1000),
    ("parent and free", "random", 10000, "get_parent_and_free", "cpu_us", "ns", 1000),
    ("count of children", "random", 10000, "count_children", "cpu_us", "ns", 1000),
    ("is-current", "random", 10000, "is_current", "cpu_us", "ns", 1000),
    ("has-metadata", "random", 10000, "has_metadata", "cpu_us", "ns", 1000),
    ("has-current", "random", 10000, "has_current", "cpu_us", "ns", 1000),
    ("list names, a name", "random", 10000, "list_names", "cpu_us", "ns", 1000),
    ("list all, a handle", "random", 10000, "list_all", "cpu_us", "ns", 1000),
    ("free, a handle", "random", 10000, "list_all_free", "cpu_us", "ns", 1000),
    ("list leaves, a leaf", "random", 10000, "list_leaves", "cpu_us", "ns", 1000),
    ("leaves of a chain counted", "chain", 10000, "count_leaves", "cpu_us", "µs", 1),
    ("descendants counted", "random", 10000, "count_descendants", "cpu_us", "µs", 1),
    ("read by 8 threads, wall", "random", 1000, "read_by_8_threads", "wall_us", "ns", 1000),
    ("`virsh snapshot-list --name`, a whole process, wall", "random", 10000, "process_list", "wall_us",
     "ms", 1 / 1000),
    ("… once another process has loaded the same", "random", 10000, "process_list_again", "wall_us",
     "ms", 1 / 1000),
    ("delete a leaf of a wide node", "wide", 10200, "delete_leaf", "cpu_us", "µs", 1),
    ("delete a node with 1,000 children", "group", 1002, "delete_node_of_1000", "cpu_us", "ms", 1 / 1000),
    ("delete the root of a chain", "chain", 10000, "delete_root", "cpu_us", "µs", 1),
    ("delete a subtree, chain of 100", "chain", 100, "delete_subtree", "cpu_us", "ms", 1 / 1000),
    ("delete a subtree, random 1,000", "random", 1000, "delete_subtree", "cpu_us", "ms", 1 / 1000),
    ("undefine with metadata, a snapshot", "random", 10000, "undefine", "cpu_us", "µs", 1),
]

# As above, with the phase that does the work bare; `min` and `max` are the sizes that were measured.
DISK = [
    ("redefine, durable", "wide", 200, "redefine_durable", "redefine_durable_bare", "µs", 1),
    ("redefine, durable, 8 domains at once", "wide", 320, "redefine_durable_domains",
     "redefine_durable_domains_bare", "µs", 1),
    ("redefine, durable, 8 threads on one domain", "wide", 320, "redefine_durable_threads",
     "redefine_durable_threads_bare", "µs", 1),
    ("delete a node with 1,000 children", "group", 1002, "delete_node_of_1000", None, "ms", 1 / 1000),
    ("delete the root of a chain of 1,000", "chain", 1000, "delete_root", None, "ms", 1 / 1000),
    ("delete a subtree, chain of 100", "chain", 100, "delete_subtree", None, "ms", 1 / 1000),
    ("delete a subtree, random 1,000", "random", 1000, "delete_subtree", None, "ms", 1 / 1000),
    ("import of {} at once, a snapshot", "random", max, "import", "import_bare", "µs", 1),
    ("… begin", "random", max, "import_begin", "import_bare", "µs", 1),
    ("… export and import, until the stream is durable", "random", max, "import_stream", "import_bare", "µs", 1),
    ("… finish", "random", max, "import_finish", "import_bare", "µs", 1),
    ("… afterwards: confirm", "random", max, "import_confirm", None, "µs", 1),
    ("create offline, 3 disks, {} loaded", "random", min, "create_internal", "create_internal_bare",
     "ms", 1 / 1000),
    ("create offline, 3 disks, {} loaded", "random", max, "create_internal", "create_internal_bare",
     "ms", 1 / 1000),
    ("… the sum of three bare `qemu-img snapshot -c`", "random", min, "create_internal_bare", None,
     "ms", 1 / 1000),
    ("… the three side by side", "random", min, "create_internal_beside", "create_internal_bare",
     "ms", 1 / 1000),
    ("delete offline, 3 disks, {} loaded", "random", min, "delete_internal", "delete_internal_bare",
     "ms", 1 / 1000),
    ("delete offline, 3 disks, {} loaded", "random", max, "delete_internal", "delete_internal_bare",
     "ms", 1 / 1000),
    ("… the sum of three bare `qemu-img snapshot -d`", "random", min, "delete_internal_bare", None,
     "ms", 1 / 1000),
    ("… the three side by side", "random", min, "delete_internal_beside", "delete_internal_bare",
     "ms", 1 / 1000),
    ("create offline, 1 disk, {} loaded", "random", min, "create_one_disk", "create_one_disk_bare", "ms", 1 / 1000),
    ("… longer than the bare `qemu-img snapshot -c`", "random", min, "create_one_disk_excess", None, "ms", 1 / 1000),
    ("create offline, 1 disk, {} loaded", "random", max, "create_one_disk", "create_one_disk_bare", "ms", 1 / 1000),
    ("… longer than the bare `qemu-img snapshot -c`", "random", max, "create_one_disk_excess", None, "ms", 1 / 1000),
    ("delete offline, 1 disk, {} loaded", "random", min, "delete_one_disk", "delete_one_disk_bare", "ms", 1 / 1000),
    ("… longer than the bare `qemu-img snapshot -d`", "random", min, "delete_one_disk_excess", None, "ms", 1 / 1000),
    ("delete offline, external, 1 disk, 8 MiB (bare: `qemu-img commit`)", "chain", 1, "delete_external",
     "delete_external_bare", "ms", 1 / 1000),
    ("create of a running guest, memory and 1 disk (bare: `savevm`)", "chain", 1, "live_internal",
     "live_internal_bare", "ms", 1 / 1000),
    ("delete of it (bare: `delvm`)", "chain", 1, "live_internal_delete", "live_internal_delete_bare", "ms", 1 / 1000),
    ("create of a running guest, overlay on 1 disk (bare: `blockdev-snapshot-sync`)", "chain", 1, "live_external",
     "live_external_bare", "ms", 1 / 1000),
    ("delete of it (bare: `block-commit`)", "chain", 1, "live_external_delete", "live_external_delete_bare",
     "ms", 1 / 1000),
]

INSTRUCTIONS = [
    ("look-up, half of them of a missing name", "virDomainSnapshotLookupByName"),
    ("free", "virDomainSnapshotFree"),
    ("parent", "virDomainSnapshotGetParent"),
    ("count of children", "virDomainSnapshotNumChildren"),
    ("is-current", "virDomainSnapshotIsCurrent"),
    ("has-metadata", "virDomainSnapshotHasMetadata"),
    ("has-current", "virDomainHasCurrentSnapshot"),
    ("XML out", "virDomainSnapshotGetXMLDesc"),
    ("redefine", "virDomainSnapshotCreateXML"),
]

LIMITS = [
    ("write, fsync, rename", "write_fsync_rename"),
    ("look up (`lstat`)", "look_up"),
    ("… and fsync of the directory", "write_fsync_rename_fsync_directory"),
    ("open, read, close", "open_read_close"),
    ("unlink", "unlink"),
    ("malloc, copy, free", "malloc_copy_free"),
    ("find every `<`", "find_every_tag"),
]

# Title, shape, phase, figure, unit.
GROWTH = [
    ("load, µs a snapshot", "random", "load", "cpu_us", 1),
    ("redefine, µs (random)", "random", "redefine", "cpu_us", 1),
    ("redefine, µs (chain)", "chain", "redefine", "cpu_us", 1),
    ("XML out, µs", "random", "get_xml", "cpu_us", 1),
    ("look-up and free, ns", "random", "look_up_and_free", "cpu_us", 1000),
    ("is-current, ns", "random", "is_current", "cpu_us", 1000),
    ("list all, ns a handle", "random", "list_all", "cpu_us", 1000),
    ("delete a leaf of a wide node, µs", "wide", "delete_leaf", "cpu_us", 1),
    ("memory, bytes a snapshot", "random", "load_resident", "bytes_each", 1),
]


def libvirt_version():
    command = ["pkg-config", "--modversion", "libvirt"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def number(value):
    if value is None:
        return "–"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def ratio(one, other):
    return f"{number(one / other)} ×" if one and other else "–"


def measured(figures, place, shape, count, phase):
    """The size asked for, or the largest below it that was measured."""
    sizes = [key[3] for key in figures if (key[0], key[2], key[4]) == (place, shape, phase)]
    return max((size for size in sizes if size <= count), default=count)


def row(cells):
    return "| " + " | ".join(cells) + " |\n"


def cpu_table(figures):
    text = "## CPU and memory (memory file system)\n\n"
    text += row(["operation", "N", "libvirt", "virsnap", "unit", "libvirt ÷ virsnap"]) + "| --- " * 6 + "|\n"
    for title, shape, count, phase, figure, unit, factor in CPU:
        count = measured(figures, "memory", shape, count, phase)
        values = [
            figures.get(("memory", library, shape, count, phase), {}).get(figure)
            for library in ("libvirt", "virsnap")
        ]
        if values[1] is None:
            continue
        shown = [number(value * factor) if value is not None else "–" for value in values]
        text += row([title, f"{count:,}", *shown, unit, ratio(*values)])
    return text


def instructions_table(figures):
    """Both libraries' counts of the small calls."""
    text = "\n## Instructions of a call (callgrind, N = 1,000; no system calls)\n\n"
    text += row(["call", "libvirt", "virsnap", "libvirt ÷ virsnap"]) + "| --- " * 4 + "|\n"
    for title, call in INSTRUCTIONS:
        values = [
            figures.get(("memory", library, "random", 1000, call), {}).get("instructions")
            for library in ("libvirt", "virsnap")
        ]
        text += row([title, *map(number, values), ratio(*values)])
    return text


def disk_table(figures):
    text = "\n## On the disk (wall time)\n\n"
    text += "*bare* is the same work by the bare system calls or programs, right after each operation; of several "
    text += "disks one after the other. Running guests are QEMU under TCG with 32 MiB and one disk of 64 MiB, waiting in "
    text += "their firmware; the bare commands go to a twin, by a monitor that is connected already.\n\n"
    columns = ["operation", "libvirt", "÷ bare", "virsnap", "÷ bare", "unit", "libvirt ÷ virsnap"]
    text += row(columns) + "| --- " * len(columns) + "|\n"
    for title, shape, count, phase, bare, unit, factor in DISK:
        if callable(count):
            sizes = [key[3] for key in figures if key[4] == phase and key[0] == "disk"]
            count = count(sizes, default=0)
        cells, values = [title.format(f"{count:,}")], []
        for library in ("libvirt", "virsnap"):
            value = figures.get(("disk", library, shape, count, phase), {}).get("wall_us")
            floor = figures.get(("disk", library, shape, count, bare), {}).get("wall_us")
            cells += [number(value * factor) if value is not None else "–", ratio(value, floor)]
            values.append(value)
        if values[1] is not None:
            text += row([*cells, unit, ratio(*values)])
    return text


def limits_table(figures):
    text = "\n## The machine's limits, for one document\n\n"
    text += row(["limit", "memory, CPU µs", "disk, wall µs"]) + "| --- " * 3 + "|\n"
    for title, phase in LIMITS:
        memory = figures.get(("memory", "machine", "random", 500, phase), {}).get("cpu_us")
        disk = figures.get(("disk", "machine", "random", 500, phase), {}).get("wall_us")
        text += row([title, number(memory), number(disk)])
    count = measured(figures, "memory", "random", 10000, "load_again")
    again = figures.get(("memory", "virsnap", "random", count, "load_again"), {}).get("cpu_us")
    text += row([f"*virsnap, beside them:* load what has been loaded before, a snapshot of {count:,}",
                 number(again), "–"])
    return text


def growth_table(figures, sizes):
    text = "\n## Growth\n\n![CPU over N, libvirt and virsnap](benchmarks.svg)\n\n"
    text += row(["virsnap", *(f"N = {size:,}" for size in sizes)]) + "| --- " * (1 + len(sizes)) + "|\n"
    for title, shape, phase, figure, factor in GROWTH:
        points = dict(series(figures, "virsnap", shape, phase, figure, factor))
        text += row([title, *(number(points.get(size)) for size in sizes)])
    return text


def series(figures, library, shape, phase, figure, factor):
    """Points (size, value); sizes of deletions count what stays."""
    points = []
    for (place, of, has, count, name), values in figures.items():
        if (place, of, has, name) == ("memory", library, shape, phase) and figure in values:
            points.append((round(count, -2) if count < 1000 else round(count, -3), values[figure] * factor))
    return sorted(points)


def write(figures, directory, how, remark=""):
    """Writes the page; `how` names what has made the figures."""
    machine = f"{os.cpu_count()} processors, {platform.system()} {platform.release()}"
    document = figures[("memory", "machine", "random", 500, "document")]["bytes"]
    text = HEADER.format(
        how=how, date=datetime.date.today(),
        libvirt=libvirt_version(), machine=machine, document=document,
        remark=remark)
    text += cpu_table(figures) + instructions_table(figures) + disk_table(figures) + limits_table(figures)
    sizes = {size for _, shape, phase, figure, factor in GROWTH
             for size, _ in series(figures, "virsnap", shape, phase, figure, factor)}
    text += growth_table(figures, sorted(sizes))
    notes = Path(__file__).parent / "notes.md"
    if notes.exists():
        text += "\n" + notes.read_text()
    (directory / "benchmarks.md").write_text(text)
    panels = [
        (title, {library: series(figures, library, shape, phase, figure, factor)
                 for library in ("libvirt", "virsnap")})
        for title, shape, phase, figure, factor in GROWTH
    ]
    (directory / "benchmarks.svg").write_text(plot.svg(panels))
