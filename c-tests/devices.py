"""Overlays of a running guest on block devices, which loop devices stand for.

usage: devices.py MINIVMM [TEST...]

Where no loop device can be had it says so and is skipped (77).
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from live.guest import (
    CREATE_DISK_ONLY, CREATE_REUSE_EXT, RUNNING, SHUTOFF, Failed, Guest, facts,
)
from live.proxy import kill, refuse

SKIPPED = 77


class Device:
    """A loop device on a file of its own."""

    def __init__(self, directory, name):
        self.file = Path(directory) / name
        with open(self.file, "wb") as file:
            file.truncate(4 << 20)
        try:
            self.path = subprocess.run(
                ["losetup", "-f", "--show", self.file], check=True, capture_output=True, text=True,
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            raise OSError(f"no loop device can be had: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["losetup", "-d", self.path], check=True)



def on(device):
    return (f"<disks><disk name='vda' type='block'><source dev='{device.path}'/></disk>"
            "<disk name='vdb' snapshot='no'/></disks>")


def a_device_becomes_the_guests_image(guest, device):
    guest.write(0, 0x11)
    guest.create("s", CREATE_DISK_ONLY, on(device))
    assert guest.state() == RUNNING
    assert guest.backing(device.path) == str(guest.images[0])
    assert f"<source dev='{device.path}'" in guest.tell("xml")
    assert guest.holds(0, 0x11)
    guest.write(0, 0x22)
    assert guest.found(guest.images[0], 0x11) and guest.found(device.path, 0x22)
    # The guest that is started from the new definition goes on there.
    guest.tell("stop")
    guest.tell("start")
    assert guest.holds(0, 0x22)
    # A snapshot above it, merged again.
    over = guest.directory / "over"
    guest.create("t", CREATE_DISK_ONLY, f"<disks><disk name='vda'><source file='{over}'/></disk>"
                 "<disk name='vdb' snapshot='no'/></disks>")
    guest.write(0, 0x33)
    guest.tell("delete 0 t")
    assert not over.exists()
    assert guest.holds(0, 0x33) and guest.found(device.path, 0x33)
    # A device is nobody's to remove.
    guest.tell("revert 0 s")
    assert guest.state() == SHUTOFF
    guest.tell("start")
    assert guest.holds(0, 0x11)
    assert os.path.exists(device.path)


def a_callers_image_on_a_device_is_used_as_it_is(guest, device):
    guest.write(0, 0x11)
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b",
                    guest.images[0], device.path, "1M"], check=True)
    guest.create("s", CREATE_DISK_ONLY | CREATE_REUSE_EXT, on(device))
    assert guest.holds(0, 0x11)
    guest.write(0, 0x22)
    assert guest.found(guest.images[0], 0x11) and guest.found(device.path, 0x22)


def leave_overlay(guest, device, base):
    """Content of others on the device."""
    older = guest.top / "older"
    for words in (
        ["qemu-img", "create", "-q", "-f", "qcow2", older, "1M"],
        ["qemu-io", "-f", "qcow2", "-c", "write -q -P 0x66 0 64k", older],
        ["qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base, older],
    ):
        subprocess.run(words, check=True)
    Path(device.path).write_bytes(older.read_bytes())


def an_older_overlay_of_the_image_is_not_taken_for_a_new_one(guest, device):
    leave_overlay(guest, device, guest.images[0])
    guest.refused(
        f"create {CREATE_DISK_ONLY} <domainsnapshot><name>s</name>{on(device)}</domainsnapshot>",
        "holds an overlay of the image already")
    assert guest.backing(device.path) == str(guest.images[0])
    assert guest.state() == RUNNING and guest.tell("list") == ""


def what_a_device_held_before_is_never_the_guests(guest, device):
    """Each command is refused, or the guest killed at it."""
    guest.write(0, 0x11)

    def begin_again():
        guest.tell("kill")
        guest.restart()
        guest.tell("start")
        guest.command("cont")
        guest.write(0, 0x11)

    for kills in (False, True):
        for at in range(100):
            leave_overlay(guest, device, "/elsewhere")
            before = guest.tell("xml")
            guest.proxy.arm(at, kill if kills else refuse)
            try:
                guest.create("s", CREATE_DISK_ONLY, on(device))
                is_done = True
            except Failed:
                is_done = False
            is_met, guest.proxy.at = guest.proxy.is_met(), None
            what = f"command {at} {'kills' if kills else 'is refused'}"
            if is_done:
                # Of a guest that was found dead at once, or by a command whose failure is nothing.
                begin_again()
                if is_met and kills:
                    continue
                break
            if kills:
                guest.tell("kill")
                guest.create("probe")
                guest.tell("delete 0 probe")
                guest.tell("start")
                guest.command("cont")
            assert guest.tell("list") == "" and guest.tell("xml") == before, what
            assert guest.holds(0, 0x11), what
            assert guest.state() == RUNNING, f"{what}: {guest.state()}"
        assert at >= 5, at


def a_missing_device_is_refused(guest, device):
    missing = on(device).replace(device.path, "/dev/virsnap-none")
    guest.refused(
        f"create {CREATE_DISK_ONLY} <domainsnapshot><name>s</name>{missing}</domainsnapshot>",
        "block device snapshot target '/dev/virsnap-none' doesn't exist")
    assert guest.tell("list") == ""
    assert facts(guest.images[0])["format"] == "qcow2"


TESTS = [
    a_device_becomes_the_guests_image,
    a_callers_image_on_a_device_is_used_as_it_is,
    an_older_overlay_of_the_image_is_not_taken_for_a_new_one,
    what_a_device_held_before_is_never_the_guests,
    a_missing_device_is_refused,
]


def main(program, *names):
    for test in TESTS:
        if names and test.__name__ not in names:
            continue
        with tempfile.TemporaryDirectory() as directory:
            try:
                device = Device(directory, "device")
            except OSError as error:
                print(f"SKIPPED: {error}", flush=True)
                sys.exit(SKIPPED)
            with device, Guest(program, directory, 2) as guest:
                guest.tell("start")
                guest.command("cont")
                test(guest, device)
        print(f"ok {test.__name__}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
