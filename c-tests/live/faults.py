"""Each command to the monitor refused in turn, or the guest killed at it."""

import os
import time

from .guest import CREATE_DISK_ONLY, CREATE_LIVE, Failed, NO_DISKS, PAUSED, RUNNING, SHUTOFF
from .proxy import FORWARD, kill, refuse


def kinds(guest):
    """The kinds of live snapshots: flags, the rest of the document, and the files they make."""
    memory = guest.directory / "s.memory"
    return [
        (0, "", []),
        (CREATE_DISK_ONLY, "", ["disk0.s", "disk1.s"]),
        (0, f"<memory snapshot='external' file='{memory}'/>", ["disk0.s", "disk1.s", "s.memory"]),
        (CREATE_LIVE, "<disks><disk name='vda' snapshot='internal'/><disk name='vdb' snapshot='external'/>"
         f"</disks><memory snapshot='external' file='{memory}'/>", ["disk1.s", "s.memory"]),
    ]


def each_refused_command_is_rolled_back(guest):
    guest.tell("start")
    guest.write(0, 0x11)
    guest.command("cont")
    definition = guest.tell("xml")
    for number in range(len(kinds(guest))):
        # In the directory that the guest has now.
        flags, more, files = kinds(guest)[number]
        rolled_back = 0
        for at in range(200):
            guest.proxy.arm(at, refuse)
            try:
                guest.create("s", flags, more)
                break
            except Failed as error:
                what = f"command {at} of {flags} {more}: {error}"
            assert guest.proxy.is_met(), what
            guest.proxy.at = None
            rolled_back += 1
            assert guest.state() == RUNNING, what
            assert guest.tell("list") == "" and guest.tell("xml") == definition, what
            assert guest.held(0) == guest.held(1) == [], what
            left = [file for file in files if (guest.directory / file).exists()]
            assert left == [], f"{what}: {left}"
        guest.proxy.at = None
        assert rolled_back >= 5, rolled_back
        # A command whose failure does not matter ends the sweep by success: begin afresh.
        guest.tell("kill")
        guest.restart()
        guest.tell("start")
        guest.command("cont")
        definition = guest.tell("xml")


def a_guest_killed_at_each_command_leaves_before_or_after(guest):
    for number in range(len(kinds(guest))):
        for at in range(200):
            guest.tell("start")
            guest.write(0, 0x11)
            guest.command("cont")
            before = guest.tell("xml")
            flags, more, files = kinds(guest)[number]

            guest.proxy.arm(at, kill)
            try:
                guest.create("s", flags, more)
                is_done = True
            except Failed as error:
                is_done = False
                what = f"command {at} of {flags} {more}: {error}"
            is_met, guest.proxy.at = guest.proxy.is_met(), None
            guest.tell("kill")
            assert guest.state() == SHUTOFF
            if not is_done:
                # The next operation settles what was cut off.
                guest.create("probe")
                guest.tell("delete 0 probe")
                assert guest.tell("list") == "" and guest.tell("xml") == before, what
                assert guest.held(0) == guest.held(1) == [], what
                left = [file for file in files if (guest.directory / file).exists()]
                assert left == [], f"{what}: {left}"
                assert guest.found(guest.images[0], 0x11), what
            if not is_met:
                break
            if is_done:
                guest.restart()
        guest.restart()


def a_merge_that_is_cut_off_at_each_command_ends_well(guest):
    """A command is refused, or the guest killed at it: each disk shows what it did, and the same
    call again ends it."""
    for kills in (False, True):
        guest.tell("start")
        guest.write(0, 0x11)
        trials = 0
        for at in range(200):
            guest.create("s", CREATE_DISK_ONLY)
            guest.write(0, 0x22)
            guest.write(1, 0x33)

            guest.proxy.arm(at, kill if kills else refuse)
            try:
                guest.tell("delete 0 s")
                what = f"command {at} without failure"
            except Failed as error:
                what = f"command {at}: {error}"
            is_met, guest.proxy.at = guest.proxy.is_met(), None
            trials += 1
            if kills and is_met:
                guest.tell("kill")
                # The definition that is stored names what the guest wrote to.
                if guest.tell("list") == "s":
                    guest.tell("delete 0 s")
                guest.tell("start")
            elif guest.tell("list") == "s":
                guest.tell("delete 0 s")
            assert guest.tell("list") == "", what
            assert guest.holds(0, 0x22) and guest.holds(1, 0x33), what
            if left_of(guest):
                # What cannot be removed at once is removed by the next change.
                guest.create("probe")
                guest.tell("delete 0 probe")
            assert left_of(guest) == [], f"{what}: {left_of(guest)}"
            if not is_met:
                break
        assert trials >= 5, trials
        guest.restart()


def a_revert_that_is_refused_at_each_command_can_be_done_again(guest):
    """Its images and its memory are whole whatever was refused, and the tree is as it was."""
    guest.tell("start")
    guest.run_for(0.2)
    guest.write(0, 0x11)
    memory = guest.memory()
    file = guest.directory / "file.memory"
    guest.create("inside")
    guest.create("file", 0, f"<memory snapshot='external' file='{file}'/>{NO_DISKS}")
    guest.refused("revert 0 inside", "resume it first")
    guest.run_for(0.1)
    for name in ("inside", "file"):
        trials = 0
        for at in range(100):
            guest.proxy.at = None
            guest.tell("revert 0 inside")
            guest.run_for(0.1)
            guest.write(0, 0x22)
            guest.proxy.arm(at, refuse)
            try:
                guest.tell(f"revert 0 {name}")
            except Failed:
                trials += 1
            is_met, guest.proxy.at = guest.proxy.is_met(), None
            assert guest.tell("list") == "inside file", at
            assert guest.state() in (RUNNING, PAUSED, SHUTOFF), at
            guest.tell(f"revert 0 {name}")
            assert guest.state() == PAUSED and guest.memory() == memory, at
            assert guest.holds(0, 0x11 if name == "inside" else 0x22), at
            if name == "file":
                guest.command("cont")
            if not is_met:
                break
        assert trials >= 3, trials


def a_manager_killed_in_a_revert_leaves_no_file_to_two_guests(guest):
    """The guest that it has started for the revert lives on, on copies that nobody knows of."""
    guest.tell("start")
    guest.write(0, 0x11)
    guest.create("i")
    guest.create("e", CREATE_DISK_ONLY)
    guest.write(0, 0x22)

    def kill_manager(request, _guest):
        if request["execute"] == "snapshot-load":
            guest.process.kill()
            guest.process.wait()
        else:
            guest.proxy.arm(0, kill_manager)
        return FORWARD

    guest.proxy.arm(0, kill_manager)
    try:
        guest.tell("revert 0 i")
    except (Failed, BrokenPipeError):
        pass
    guest.proxy.at = None
    copies = {path: path.stat().st_ino for path in guest.directory.glob("disk?.[0-9]*")}
    assert len(copies) == 2, copies
    # This manager does not find the guest: it would take it over.
    own = f"{guest.definition}.own"
    os.rename(own, f"{own}.hidden")
    guest.manage()
    guest.refused("delete 0 e", "has it open; end it first")
    os.rename(f"{own}.hidden", own)
    assert {path: path.stat().st_ino for path in copies} == copies
    guest.command("quit")
    time.sleep(1)
    guest.tell("delete 0 e")
    assert guest.tell("list") == guest.tell("current") == "i"
    guest.tell("start")
    assert guest.holds(0, 0x11) and guest.found(guest.images[0], 0x11)
    guest.tell("revert 0 i")
    assert guest.state() == PAUSED


def left_of(guest):
    """The overlays of snapshot s that there are."""
    return [path.name for path in guest.directory.iterdir() if path.name.endswith(".s")]


TESTS = [
    each_refused_command_is_rolled_back,
    a_guest_killed_at_each_command_leaves_before_or_after,
    a_merge_that_is_cut_off_at_each_command_ends_well,
    a_revert_that_is_refused_at_each_command_can_be_done_again,
    a_manager_killed_in_a_revert_leaves_no_file_to_two_guests,
]
