"""A room for a real guest agent: a mount namespace in which it can freeze one small file system.

usage: agent_room.py IMAGE

The root is a tmpfs of its own with nothing in it but the agent, its libraries, /proc and the file
system in IMAGE (ext4) at /fs; the host's root is unmounted before the agent starts, so FIFREEZE
cannot reach any file system of the host. That is looked up in the namespace's own list of mounts, and
nothing is started if it is not so.

Prints the agent's process id when it listens, at /run/agent of the room (from outside
/proc/PID/root/run/agent), and ends all, thawed, when its input ends.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

AGENT = "/usr/sbin/qemu-ga"
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 0x40000, 2
PIVOT_ROOT, FITHAW = 155, 0xC0045878
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


def call(what, answer):
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source, target, kind, flags=0):
    given = kind.encode() if kind else None
    call(f"mount {target}", libc.mount(source.encode(), str(target).encode(), given, flags, None))


def libraries(program):
    said = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    words = (word for line in said.splitlines() for word in line.split())
    return [word for word in words if word.startswith("/")]


def copy(file, root):
    target = root / file.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, target)


def furnish(image):
    """The room is on this directory; afterwards it is the root."""
    # Its path may be below the directory that the room hides.
    held = os.open(image, os.O_RDWR)
    call("unshare", libc.unshare(CLONE_NEWNS))
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    root = Path("/tmp")
    mount("tmpfs", root, "tmpfs")
    for name in ("proc", "fs", "run", "old", "dev"):
        (root / name).mkdir()
    for file in [AGENT, *libraries(AGENT)]:
        copy(file, root)
    # A file of the room, as /dev would be the host's.
    os.mknod(root / "dev/null", 0o666 | 0o020000, os.makedev(1, 3))
    source = f"/proc/self/fd/{held}"
    subprocess.run(
        ["mount", "-t", "ext4", "-o", "loop", source, root / "fs"], check=True, pass_fds=[held])
    os.close(held)
    mount("proc", root / "proc", "proc")
    os.chdir(root)
    libc.syscall(PIVOT_ROOT, b".", b"old")
    os.chroot(".")
    os.chdir("/")
    call("umount of the host's root", libc.umount2(b"/old", MNT_DETACH))


def check():
    """What the agent reads to know what to freeze."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    kinds = {words[4]: words[words.index("-") + 1] for words in mounts}
    assert kinds == {"/": "tmpfs", "/fs": "ext4", "/proc": "proc"}, kinds


def thaw():
    place = os.open("/fs", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(place, FITHAW, 0)
    except OSError:
        pass  # it is not frozen
    os.close(place)


def main(image):
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    # Ended by a signal, the room is cleared all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    furnish(image)
    check()
    agent = os.fork()
    if agent == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.execv(AGENT, [AGENT, "-m", "unix-listen", "-p", "/run/agent", "-t", "/run"])
    try:
        while not os.path.exists("/run/agent"):
            assert os.waitpid(agent, os.WNOHANG) == (0, 0), "the agent has ended"
            time.sleep(0.02)
        print(agent, flush=True)
        sys.stdin.read()
    finally:
        os.kill(agent, signal.SIGKILL)
        os.waitpid(agent, 0)
        thaw()
        # Detached: somebody may still be about to close a file in it.
        call("umount", libc.umount2(b"/fs", MNT_DETACH))


if __name__ == "__main__":
    main(sys.argv[1])
