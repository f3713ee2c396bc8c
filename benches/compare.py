"""Runs the benchmark on the real libvirt and on this library in turn, and writes docs/benchmarks.md.

usage: compare.py SNAPBENCH OUR_LIBRARY LIBVIRT_LIBRARY [--memory DIR] [--disk DIR] [--rounds N]
                  [--sizes N,...] [--results FILE] [--output DIR] [--remark TEXT]

CPU figures are taken on a memory file system (--memory), durable ones on a disk (--disk). Each
step is run A B A B ...; the figure is the median. --results keeps every line that is measured, as
soon as it is; with --output '' no report is written. `compare.py --report FILE [--output DIR]` makes
the report of such lines again.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict, namedtuple
from pathlib import Path

import instructions
import processes
import report

EMBEDDED = """user="root"
group="root"
dynamic_ownership=0
remember_owner=0
security_driver="none"
cgroup_controllers=[]
namespaces=[]
stdio_handler="file"
"""

# What a domain is defined by (a file here), and where its images are.
Domain = namedtuple("Domain", "definition images")
# Where no image is needed none is there.
DOMAIN = Domain("domain.xml", "/srv/images")
LIBRARIES = ("libvirt", "virsnap")
SIZES = "100,1000,10000,100000"
# libvirt needs hours for more, or dies.
LIBVIRT_REACH = 10000
# Seconds that one process may take.
TIME_LIMIT = 300


class Bench:
    def __init__(self, options):
        self.program = options.program
        self.paths = {"libvirt": options.libvirt, "virsnap": options.ours}
        self.rounds = options.rounds
        self.results = options.results
        self.lines = []
        self.templates = {}

    def run(self, library, root, shape, count, group, domain=DOMAIN, place="memory",
            keep=True):
        """One process of the benchmark; False if it failed or took too long."""
        command = self.command(library, root, shape, count, domain)
        try:
            done = subprocess.run(
                command + [group], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            print(f"{library} {shape} {count} {group}: given up after {TIME_LIMIT} s", file=sys.stderr)
            return False
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"{library} {shape} {count} {group}: ends with {done.returncode}: {said}",
                  file=sys.stderr)
            return False
        for line in done.stdout.splitlines():
            if keep:
                self.keep({**json.loads(line), "place": place})
        return True

    def count_instructions(self, directory, shape, count):
        """The instructions of each small call, and of REDEFINE."""
        for group, filled in (("calls", True), ("build", False)):
            for library in LIBRARIES:
                print(f"instructions of {group}, {library} {shape} {count}", flush=True)
                if filled:
                    state = self.stored(library, directory, shape, count)
                else:
                    state = self.fresh(library, directory)
                command = self.command(library, state, shape, count) + ["-t", "0.001", group]
                for call, (_, each) in (instructions.count(command) or {}).items():
                    self.keep({
                        "place": "memory", "library": library, "shape": shape, "n": count,
                        "phase": call, "instructions": each})
                shutil.rmtree(state)

    def time_processes(self, directory, shape, count):
        """virsh from its start to its end."""
        for _ in range(self.rounds):
            for library in LIBRARIES:
                print(f"virsh, {library} {shape} {count}", flush=True)
                state = self.stored(library, directory, shape, count)
                path = os.path.abspath(self.paths[library])
                for phase, times in processes.list_names(library, path, state, count).items():
                    self.keep({
                        "place": "memory", "library": library, "shape": shape, "n": count,
                        "phase": phase, **times})
                shutil.rmtree(state)

    def command(self, library, root, shape, count, domain=DOMAIN):
        """A run of the benchmark but for its group."""
        command = [self.program, "-r", root, "-s", shape, "-n", str(count), "-i", domain.images]
        command += ["-d", str(Path(__file__).parent / domain.definition)]
        if library != "machine":
            command += ["-l", self.paths[library]]
        return command

    def keep(self, line):
        self.lines.append(line)
        if self.results:
            with open(self.results, "a", encoding="utf-8") as results:
                results.write(json.dumps(line) + "\n")

    def fresh(self, library, directory, domain=DOMAIN):
        """A state of that library with the domain defined and no snapshots."""
        template = self.templates.get((library, directory, domain, None))
        if not template:
            template = tempfile.mkdtemp(prefix=f"{library}-", dir=directory)
            if library == "libvirt":
                (Path(template) / "etc").mkdir()
                (Path(template) / "etc" / "qemu.conf").write_text(EMBEDDED)
            if not self.run(library, template, "chain", 1, "define", domain, keep=False):
                sys.exit(f"{library} does not work here")
            self.templates[library, directory, domain, None] = template
        return copied(template)

    def stored(self, library, directory, shape, count, domain=DOMAIN):
        """A state with that hierarchy in the files that libvirt wrote, or our own beyond its reach."""
        key = (library, directory, domain, shape, count)
        if key not in self.templates:
            state = self.fresh(library, directory, domain)
            source = self.written(directory, shape, count)
            shutil.copytree(source, folder(library, state), dirs_exist_ok=True)
            self.templates[key] = state
        return copied(self.templates[key])

    def written(self, directory, shape, count):
        """The snapshot files of a hierarchy, from libvirt where it can build one in a minute."""
        key = (directory, shape, count)
        if key not in self.templates:
            library = "libvirt" if count <= LIBVIRT_REACH + 1000 else "virsnap"
            state = self.fresh(library, directory)
            if not self.run(library, state, shape, count, "build", keep=False):
                sys.exit("no hierarchy to measure with")
            self.templates[key] = folder(library, state)
        return self.templates[key]

    def forget(self, count):
        """Removes the hierarchies of that size: the largest do not fit into memory side by side."""
        for key in [key for key in self.templates if key[-1] == count]:
            shutil.rmtree(self.templates.pop(key))

    def pair(self, group, directory, shape, count, *, filled=True, libraries=LIBRARIES, rounds=None,
             place="memory", domain=DOMAIN):
        """The libraries in turn, each time on a state of its own."""
        print(f"{group} {shape} {count} ({place})", flush=True)
        for _ in range(rounds or self.rounds):
            for library in libraries:
                if filled:
                    state = self.stored(library, directory, shape, count, domain)
                else:
                    state = self.fresh(library, directory, domain)
                self.run(library, state, shape, count, group, domain, place)
                if place != "disk":
                    remove(state)


def remove(state):
    """Removes a state and what a run has put beside it."""
    for directory in (Path(state), *Path(state).parent.glob(f"{Path(state).name}-*")):
        shutil.rmtree(directory)


def spread(directory):
    """Gives each directory below this one inodes from another part of the disk, where the file system is
    ext4: without a journal it passes over every inode that was freed within minutes, so that a file is
    made the slower the more of them were removed beside it before. For the same reason a state on the
    disk stays until the end."""
    if shutil.which("chattr"):
        subprocess.run(["chattr", "+T", directory], stderr=subprocess.DEVNULL, check=False)


def copied(state):
    copy = tempfile.mkdtemp(prefix="state-", dir=Path(state).parent)
    shutil.copytree(state, copy, dirs_exist_ok=True, symlinks=True, ignore=ignore_sockets)
    os.chmod(copy, 0o700)
    return copy


def ignore_sockets(directory, names):
    return [name for name in names if (Path(directory) / name).is_socket()]


def folder(library, state):
    inside = "lib/qemu/snapshot" if library == "libvirt" else "snapshot"
    return Path(state) / inside / "guest-a"


def measure(bench, memory, disk, sizes):
    for place, directory in (("memory", memory), ("disk", disk)):
        root = tempfile.mkdtemp(dir=directory)
        bench.run("machine", root, "random", 500, "limits", place=place)
    bench.pair("empty", memory, "random", 0, filled=False)
    for count in (size for size in sizes if size <= LIBVIRT_REACH):
        few = 1 if count >= 10000 else None
        for shape in ("wide", "random", "balanced", "chain"):
            bench.pair("build", memory, shape, count, filled=False, rounds=few)
        for shape in ("random", "chain", "wide", "unlike"):
            bench.pair("load", memory, shape, count)
        bench.pair("load-again", memory, "random", count)
        bench.pair("calls", memory, "random", count)
        for shape in ("random", "chain"):
            bench.pair("lists", memory, shape, count)
        bench.pair("delete-leaves", memory, "wide", count + 200)
        bench.pair("transfer", memory, "random", count, rounds=few)
        bench.pair("import", memory, "random", count, libraries=("virsnap",))
        bench.pair("undefine", memory, "random", count)
        bench.pair("delete-root", memory, "chain", count)
    bench.time_processes(memory, "random", min(max(sizes), LIBVIRT_REACH))
    bench.count_instructions(memory, "random", min(1000, max(sizes)))
    bench.pair("threads", memory, "random", 1000)
    bench.pair("delete-node", memory, "group", 1002)
    # libvirt needs about N * N / 2 writes for a chain, and dies in a branching subtree.
    bench.pair("delete-subtree", memory, "chain", 100)
    bench.pair("delete-subtree", memory, "random", 1000, libraries=("virsnap",))
    for count in (size for size in sizes if size > LIBVIRT_REACH):
        measure_alone(bench, memory, count)
    bench.pair("durable", disk, "wide", 200, filled=False, place="disk")
    bench.pair("durable-domains", disk, "wide", 320, filled=False, place="disk")
    bench.pair("durable-threads", disk, "wide", 320, filled=False, place="disk")
    bench.pair("delete-node", disk, "group", 1002, place="disk", rounds=1)
    bench.pair("delete-root", disk, "chain", 1000, place="disk", rounds=1)
    bench.pair("delete-subtree", disk, "chain", 100, place="disk", rounds=1)
    bench.pair("delete-subtree", disk, "random", 1000, place="disk", libraries=("virsnap",))
    bench.pair("import", disk, "random", min(max(sizes), LIBVIRT_REACH), place="disk", libraries=("virsnap",))
    measure_images(bench, disk, (min(sizes), min(max(sizes), LIBVIRT_REACH)))


def measure_images(bench, disk, sizes):
    """What is done to images, by qemu-img or by guests that run."""
    images = tempfile.mkdtemp(dir=disk)
    one = Domain("one-disk.xml", images)
    for count in sizes:
        bench.pair("real", disk, "random", count, place="disk", domain=Domain("domain.xml", images), rounds=2)
        bench.pair("one-disk", disk, "random", count, place="disk", domain=one, rounds=2)
    for group in ("merge", "live"):
        bench.pair(group, disk, "chain", 1, filled=False, place="disk", domain=one, rounds=2)


def measure_alone(bench, memory, count):
    """What is beyond libvirt's reach."""
    for shape in ("random", "chain"):
        for group in ("build", "load", "calls", "lists"):
            bench.pair(group, memory, shape, count, filled=group != "build", libraries=("virsnap",),
                       rounds=1)
        bench.forget(count)
    bench.pair("delete-leaves", memory, "wide", count + 200, libraries=("virsnap",), rounds=1)
    bench.forget(count + 200)


def medians(lines):
    """The median of each figure, by place, library, shape, size and phase."""
    groups = defaultdict(lambda: defaultdict(list))
    for line in lines:
        key = tuple(line[name] for name in ("place", "library", "shape", "n", "phase"))
        for name in ("cpu_us", "wall_us", "bytes", "bytes_each", "documents", "instructions"):
            if name in line:
                groups[key][name].append(line[name])
    return {
        key: {name: statistics.median(values) for name, values in figures.items()}
        for key, figures in groups.items()
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?")
    parser.add_argument("ours", nargs="?")
    parser.add_argument("libvirt", nargs="?")
    parser.add_argument("--report")
    parser.add_argument("--memory", default="/dev/shm")
    parser.add_argument("--disk", default=tempfile.gettempdir())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--results")
    parser.add_argument("--output", default="docs")
    parser.add_argument("--remark", default="", help="a sentence for the report, about this run")
    options = parser.parse_args()
    if options.report:
        lines = Path(options.report).read_text().splitlines()
        how = "`benches/compare.py --report`, from results kept before,"
        return report.write(medians(map(json.loads, lines)), Path(options.output), how, options.remark)
    if not options.libvirt:
        parser.error("a program and two libraries are needed")
    bench = Bench(options)
    with (
        tempfile.TemporaryDirectory(prefix="snapbench-", dir=options.memory) as memory,
        tempfile.TemporaryDirectory(prefix="snapbench-", dir=options.disk) as disk,
    ):
        spread(disk)
        measure(bench, memory, disk, [int(size) for size in options.sizes.split(",")])
    if options.output:
        how = f"`make bench BENCH_FLAGS='--rounds {options.rounds} --sizes {options.sizes}'`, in one run,"
        report.write(medians(bench.lines), Path(options.output), how, options.remark)


if __name__ == "__main__":
    main()
