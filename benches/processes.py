"""Times virsh as a whole process: on libvirt's driver inside it, and with this library preloaded."""

import os
import resource
import subprocess
import sys
import time

# A summary does not keep a file that was changed less than three seconds ago.
SETTLED_SECONDS = 4
TIME_LIMIT = 300


def list_names(library, path, state, count):
    """What `virsh snapshot-list --name` takes, by phase: the first time after the snapshots were
    written, and once more."""
    time.sleep(SETTLED_SECONDS)
    spent = {phase: run(library, path, state, count) for phase in ("process_list", "process_list_again")}
    return {phase: times for phase, times in spent.items() if times}


def run(library, path, state, count):
    """Wall and CPU time of one process; None if it failed."""
    uri = f"qemu:///embed?root={state}" if library == "libvirt" else f"virsnap://{state}"
    environment = os.environ if library == "libvirt" else {**os.environ, "LD_PRELOAD": path}
    before, start = cpu_seconds(), time.monotonic()
    try:
        done = subprocess.run(
            ["virsh", "-c", uri, "snapshot-list", "guest-a", "--name"], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=TIME_LIMIT)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        print(f"processes: {error}", file=sys.stderr)
        return None
    times = {"wall_us": 1e6 * (time.monotonic() - start), "cpu_us": 1e6 * (cpu_seconds() - before)}
    if len(done.stdout.split()) != count:
        print(f"processes: {library}: not {count} names: {done.stderr.strip()}", file=sys.stderr)
        return None
    return times


def cpu_seconds():
    """Of all processes that have been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
