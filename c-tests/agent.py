"""QUIESCE with a real guest agent that freezes a real file system (agent_room.py).

usage: agent.py MINIVMM [TEST...]

The agent runs on the host, in a room of its own, and stands for the one in the guest: the library
sees nothing but its socket. Needs root, mount namespaces and a loop device; where they cannot be had
it says so and is skipped (77).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from live.guest import CREATE_DISK_ONLY, CREATE_QUIESCE, RUNNING, Guest
from live.proxy import FORWARD, refuse

SKIPPED = 77
QUIESCED = CREATE_DISK_ONLY | CREATE_QUIESCE
HERE = Path(__file__).resolve().parent


class Room:
    """The agent, and its file system."""

    def __init__(self, directory):
        image = Path(directory) / "file-system"
        with open(image, "wb") as file:
            file.truncate(8 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        self.process = subprocess.Popen(
            [sys.executable, HERE / "agent_room.py", image],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise OSError("no room for an agent can be made here")
        self.agent = int(line)
        self.root = f"/proc/{self.agent}/root"
        self.socket = f"{self.root}/run/agent"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.agent, signal.SIGCONT)
        self.process.stdin.close()
        assert self.process.wait(30) == 0

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as own:
            own.settimeout(10)
            own.connect(self.socket)
            lines = own.makefile("rw")
            lines.write(json.dumps({"execute": command}) + "\n")
            lines.flush()
            return json.loads(lines.readline())["return"]

    def status(self):
        return self.ask("guest-fsfreeze-status")

    def takes_writes(self):
        """Whether the file system takes a write within a second: not while it is frozen."""
        writer = subprocess.Popen(
            ["sh", "-c", f"echo x > {self.root}/fs/probe"], stdin=subprocess.DEVNULL)
        try:
            return writer.wait(1) == 0
        except subprocess.TimeoutExpired:
            self.writer = writer
            return False


class Each:
    """Every command, whatever its number."""

    def __eq__(self, _):
        return True


def at_transaction(guest, mischief):
    """Mischief, or a look, at the one command that switches the disks."""
    met = []

    def spy(request, monitor):
        if request["execute"] != "transaction":
            return FORWARD
        met.append(request)
        answer = mischief(request, monitor)
        return FORWARD if answer is None else answer

    guest.proxy.arm(Each(), spy)
    return met


def nothing_was_made(guest):
    assert guest.state() == RUNNING
    assert guest.tell("list") == ""
    assert not (guest.directory / "disk0.s").exists()


def file_systems_are_frozen_for_the_switch_alone(guest, room):
    seen = []

    def look(_request, _monitor):
        seen.extend([room.status(), room.takes_writes()])

    at_transaction(guest, look)
    guest.create("s", QUIESCED)
    assert seen == ["frozen", False], seen
    # The write that had to wait is done.
    assert room.writer.wait(10) == 0
    assert room.status() == "thawed" and room.takes_writes()
    assert guest.tell("list") == "s" and guest.state() == RUNNING


def without_quiesce_nothing_is_frozen(guest, room):
    seen = []
    at_transaction(guest, lambda *_: seen.append(room.status()))
    guest.create("s", CREATE_DISK_ONLY)
    assert seen == ["thawed"], seen


def a_refused_switch_is_thawed(guest, room):
    met = at_transaction(guest, refuse)
    guest.refused(f"create {QUIESCED} <domainsnapshot><name>s</name></domainsnapshot>", "mischief")
    assert met
    assert room.status() == "thawed" and room.takes_writes()
    nothing_was_made(guest)


def what_somebody_else_has_frozen_stays_frozen(guest, room):
    assert room.ask("guest-fsfreeze-freeze") == 1
    guest.refused(
        f"create {QUIESCED} <domainsnapshot><name>s</name></domainsnapshot>", "frozen already")
    assert room.status() == "frozen"
    nothing_was_made(guest)
    assert room.ask("guest-fsfreeze-thaw") == 1


def an_agent_that_hangs_is_given_up(guest, room):
    os.kill(room.agent, signal.SIGSTOP)
    begun = time.monotonic()
    guest.refused(
        f"create {QUIESCED} <domainsnapshot><name>s</name></domainsnapshot>",
        "did not answer in time")
    assert time.monotonic() - begun < 30
    nothing_was_made(guest)
    os.kill(room.agent, signal.SIGCONT)
    guest.create("s", QUIESCED)
    assert room.status() == "thawed"


def an_agent_that_hangs_with_all_frozen_thaws_when_it_wakes(guest, room):
    at_transaction(guest, lambda *_: os.kill(room.agent, signal.SIGSTOP))
    begun = time.monotonic()
    guest.refused(
        f"create {QUIESCED} <domainsnapshot><name>s</name></domainsnapshot>",
        "did not answer in time")
    assert time.monotonic() - begun < 60
    guest.proxy.at = None
    nothing_was_made(guest)
    assert not room.takes_writes()
    # Nobody asks it again: the command was left for it.
    os.kill(room.agent, signal.SIGCONT)
    assert room.writer.wait(10) == 0


def beside_a_manual_disk_it_is_refused(guest, room):
    manual = "<disks><disk name='vdb' snapshot='manual'/></disks>"
    guest.refused(
        f"create {QUIESCED} <domainsnapshot><name>s</name>{manual}</domainsnapshot>",
        "waits for its caller's own snapshot")
    assert room.status() == "thawed"
    nothing_was_made(guest)


def a_dead_agent_is_an_error(guest, room):
    """The socket stays, and nobody listens."""
    os.kill(room.agent, signal.SIGSTOP)
    stays = Path(room.socket)
    stays.rename(f"{room.root}/run/elsewhere")
    guest.refused(f"create {QUIESCED} <domainsnapshot><name>s</name></domainsnapshot>", "agent")
    nothing_was_made(guest)


TESTS = [
    file_systems_are_frozen_for_the_switch_alone,
    without_quiesce_nothing_is_frozen,
    a_refused_switch_is_thawed,
    what_somebody_else_has_frozen_stays_frozen,
    an_agent_that_hangs_is_given_up,
    an_agent_that_hangs_with_all_frozen_thaws_when_it_wakes,
    beside_a_manual_disk_it_is_refused,
    a_dead_agent_is_an_error,
]


def main(program, *names):
    for test in TESTS:
        if names and test.__name__ not in names:
            continue
        with tempfile.TemporaryDirectory() as directory:
            try:
                room = Room(directory)
            except OSError as error:
                print(f"SKIPPED: {error}", flush=True)
                sys.exit(SKIPPED)
            with room:
                os.environ["MINIVMM_AGENT"] = room.socket
                with Guest(program, directory, 2) as guest:
                    guest.tell("start")
                    guest.command("cont")
                    test(guest, room)
        print(f"ok {test.__name__}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
