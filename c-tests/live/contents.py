"""Snapshots of a running guest: what its disks and its memory hold after each call."""

import os
import subprocess
import time

from .guest import (
    CREATE_DISK_ONLY, CREATE_HALT, CREATE_LIVE, CREATE_NO_METADATA, CREATE_QUIESCE, CREATE_REUSE_EXT,
    NO_DISKS, PAUSED, REVERT_PAUSED, REVERT_RUNNING, RUNNING, SHUTOFF, facts,
)
from .proxy import FORWARD


def a_guest_comes_and_goes(guest):
    assert guest.state() == SHUTOFF
    guest.tell("start")
    assert guest.state() == PAUSED
    guest.command("cont")
    assert guest.state() == RUNNING
    guest.tell("kill")
    assert guest.state() == SHUTOFF


def memory_and_disks_are_kept_and_come_back(guest):
    guest.tell("start")
    guest.run_for(0.5)
    guest.write(0, 0x11)
    guest.write(1, 0x22)
    memory = guest.memory()
    guest.create("paused")
    assert guest.state() == PAUSED
    guest.command("cont")
    guest.create("running")
    assert guest.state() == RUNNING
    assert guest.held(0) == guest.held(1) == ["paused", "running"]
    guest.write(0, 0x33)
    guest.write(1, 0x44)
    guest.tell("revert 0 paused")
    assert guest.state() == PAUSED
    assert guest.memory() == memory
    assert guest.holds(0, 0x11) and guest.holds(1, 0x22)
    assert guest.tell("current") == "paused"
    guest.tell("revert 0 running")
    assert guest.state() == RUNNING
    guest.tell(f"revert {REVERT_PAUSED} running")
    assert guest.state() == PAUSED
    guest.tell(f"revert {REVERT_RUNNING} paused")
    assert guest.state() == RUNNING
    guest.tell("delete 0 paused")
    assert guest.held(0) == guest.held(1) == ["running"]
    assert guest.tell("list") == "running"


def a_guest_that_is_off_is_started_with_its_memory(guest):
    guest.tell("start")
    guest.run_for(0.5)
    guest.write(0, 0x11)
    memory = guest.memory()
    guest.create("kept")
    guest.write(0, 0x33)
    guest.tell("stop")
    assert guest.state() == SHUTOFF
    guest.tell("revert 0 kept")
    assert guest.state() == PAUSED
    assert guest.memory() == memory
    assert guest.holds(0, 0x11)


def an_offline_snapshot_stops_the_guest(guest):
    guest.create("off")
    guest.tell("start")
    guest.write(0, 0x55)
    guest.tell("revert 0 off")
    assert guest.state() == SHUTOFF
    guest.tell("start")
    assert guest.holds(0, 0)
    guest.tell(f"revert {REVERT_RUNNING} off")
    assert guest.state() == RUNNING
    guest.tell(f"revert {REVERT_PAUSED} off")
    assert guest.state() == PAUSED


def nothing_is_stopped_for_a_snapshot_that_is_not_whole(guest):
    guest.create("off")
    guest.tell("start")
    guest.create("on")
    guest.tell("stop")
    subprocess.run(["qemu-img", "snapshot", "-d", "off", guest.images[1]], check=True)
    subprocess.run(["qemu-img", "snapshot", "-d", "on", guest.images[1]], check=True)
    guest.tell("start")
    guest.command("cont")
    for name in ("off", "on"):
        guest.refused(f"revert 0 {name}", "not found in image")
        assert guest.state() == RUNNING
    assert guest.held(0) == ["off", "on"]


def halt_stops_the_guest(guest):
    guest.tell("start")
    guest.create("last", CREATE_HALT)
    assert guest.state() == SHUTOFF
    assert guest.held(0) == guest.held(1) == ["last"]
    memory = f"<memory snapshot='external' file='{guest.directory / 'm.memory'}'/>"
    for name, byte, flags, more in (("e", 0x11, CREATE_DISK_ONLY, ""), ("m", 0x22, 0, memory)):
        guest.tell("start")
        guest.write(0, byte)
        guest.command("cont")
        guest.create(name, CREATE_HALT | flags, more)
        assert guest.state() == SHUTOFF
        overlay = guest.directory / f"disk0.{name}"
        assert f"'{overlay}'" in guest.tell("xml") and guest.found(overlay, byte)
    guest.tell("revert 0 m")
    assert guest.state() == RUNNING and guest.holds(0, 0x22)
    guest.tell("revert 0 e")
    assert guest.state() == SHUTOFF
    guest.tell("start")
    assert guest.holds(0, 0x11)


def names_are_kept_as_they_are(guest):
    guest.tell("start")
    for name in ("a&quot;b", "c\\d", "e f"):
        guest.create(name)
    assert guest.held(0) == ['a"b', "c\\d", "e f"]
    guest.refused(
        "create 0 <domainsnapshot><name>e f</name></domainsnapshot>", "already exists")


def a_killed_guest_leaves_metadata_and_images_alike(guest):
    guest.tell("start")
    guest.create("one")
    os.kill(int(guest.tell("pid")), 9)
    time.sleep(0.5)
    assert guest.state() == SHUTOFF
    guest.create("two")
    assert guest.held(0) == guest.held(1) == ["one", "two"]
    guest.tell("delete 0 one")
    assert guest.held(0) == guest.held(1) == ["two"]


def overlays_grow_while_the_guest_runs(guest):
    guest.tell("start")
    guest.write(0, 0x11)
    guest.command("cont")
    guest.create("e1", CREATE_DISK_ONLY)
    assert guest.state() == RUNNING
    guest.write(0, 0x22)
    guest.create("e2", CREATE_DISK_ONLY)
    guest.write(1, 0x33)
    layers = [guest.directory / name for name in ("disk0.qcow2", "disk0.e1", "disk0.e2")]
    assert guest.found(layers[0], 0x11) and guest.found(layers[1], 0x22)
    assert [guest.backing(layer) for layer in layers] == [None, str(layers[0]), str(layers[1])]
    assert f"file='{layers[2]}'" in guest.tell("xml")
    assert guest.tell("current") == "e2"
    # The guest that is started from the new definition sees what it has written.
    guest.tell("stop")
    guest.tell("start")
    assert guest.holds(0, 0x22) and guest.holds(1, 0x33)


def memory_goes_to_a_file_at_the_same_instant(guest):
    guest.tell("start")
    guest.command("cont")
    for name, flags in (("paused", 0), ("live", CREATE_LIVE)):
        file = guest.directory / f"{name}.memory"
        guest.create(name, flags, f"<memory snapshot='external' file='{file}'/>")
        assert guest.state() == RUNNING
        assert file.read_bytes().startswith(b"LibvirtQemudSave")
        assert file.stat().st_mode & 0o777 == 0o600
        definition = file.read_bytes()[92:].split(b"\0")[0].decode()
        assert definition.startswith("<domain ") and definition.endswith("</domain>")
    assert guest.tell("list") == "paused live"
    assert guest.backing(guest.directory / "disk1.live") == str(guest.directory / "disk1.paused")


def no_file_is_overwritten(guest):
    guest.tell("start")
    precious = guest.directory / "disk1.e"
    precious.write_text("precious")
    for flags, more, text in (
        (CREATE_DISK_ONLY, "", "already exists"),
        (0, f"<memory snapshot='external' file='{precious}'/>{NO_DISKS}", "exists already"),
    ):
        document = f"<domainsnapshot><name>e</name>{more}</domainsnapshot>"
        guest.refused(f"create {flags} {document}", text)
        assert precious.read_text() == "precious"
        assert not (guest.directory / "disk0.e").exists()
    guest.refused(
        f"create {CREATE_DISK_ONLY | CREATE_QUIESCE} <domainsnapshot><name>q</name></domainsnapshot>",
        "QEMU guest agent is not configured")
    assert not (guest.directory / "disk0.q").exists()
    assert guest.tell("list") == ""


def without_metadata_the_definition_follows_all_the_same(guest):
    guest.tell("start")
    guest.create("n", CREATE_DISK_ONLY | CREATE_NO_METADATA)
    assert guest.tell("list") == ""
    assert str(guest.directory / "disk0.n") in guest.tell("xml")


def disks_come_back_as_if_the_power_had_been_cut(guest):
    guest.tell("start")
    guest.write(0, 0x11)
    guest.create("e1", CREATE_DISK_ONLY)
    for byte in (0x22, 0x33):
        guest.write(0, byte)
        guest.tell("revert 0 e1")
        assert guest.state() == SHUTOFF
        guest.tell("start")
        assert guest.holds(0, 0x11) and guest.holds(1, 0)
    guest.write(0, 0x44)
    guest.tell(f"revert {REVERT_RUNNING} e1")
    assert guest.state() == RUNNING
    assert guest.holds(0, 0x11)
    assert guest.found(guest.images[0], 0x11)
    assert guest.tell("current") == "e1"


def memory_comes_back_from_its_file(guest):
    guest.tell("start")
    guest.run_for(0.5)
    guest.write(0, 0x11)
    memory = guest.memory()
    file = guest.directory / "m.memory"
    guest.create("m", 0, f"<memory snapshot='external' file='{file}'/>")
    guest.refused("delete 0 m", "resume it first")
    for _ in range(2):
        guest.run_for(0.2)
        guest.write(0, 0x33)
        guest.tell("revert 0 m")
        assert guest.state() == PAUSED
        assert guest.memory() == memory
        assert guest.holds(0, 0x11)
    guest.tell("stop")
    guest.tell(f"revert {REVERT_RUNNING} m")
    assert guest.state() == RUNNING
    # A file that is not whole is found before the guest is stopped.
    whole = file.read_bytes()
    file.write_bytes(b"LibvirtQemudPart" + whole[16:])
    guest.refused("revert 0 m", "is incomplete")
    assert guest.state() == RUNNING
    file.write_bytes(whole)
    guest.tell("delete 0 m")
    assert not file.exists()
    assert guest.state() == RUNNING


def layers_merge_while_the_guest_runs(guest):
    guest.tell("start")
    before = guest.tell("xml")
    guest.write(0, 0x11)
    for name, disk, byte in (("e1", 0, 0x22), ("e2", 1, 0x33), ("e3", 1, 0x44)):
        guest.create(name, CREATE_DISK_ONLY)
        guest.write(disk, byte)
    guest.command("cont")

    def check(left):
        assert guest.state() == RUNNING
        assert guest.tell("list").split() == left
        assert guest.holds(0, 0x22) and guest.holds(1, 0x44)
        layers = sum(1 for path in guest.directory.iterdir() if path.name.startswith("disk0."))
        assert layers == 1 + len(left), layers

    guest.tell("delete 0 e2")
    check(["e1", "e3"])
    assert guest.found(guest.directory / "disk1.e1", 0x33)
    guest.tell("delete 0 e3")
    check(["e1"])
    assert guest.tell("current") == "e1"
    assert guest.found(guest.images[0], 0x11) and guest.found(guest.images[1], 0)
    guest.tell("delete 0 e1")
    check([])
    assert guest.tell("xml") == before
    guest.tell("stop")
    guest.tell("start")
    assert guest.holds(0, 0x22) and guest.holds(1, 0x44)


def overlays_of_the_caller_are_used_as_they_are(guest):
    guest.tell("start")
    guest.write(0, 0x11)
    disks = []
    for number, image in enumerate(guest.images):
        own = guest.directory / f"own{number}"
        subprocess.run(
            ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", image, own, "1M"],
            check=True)
        disks.append(f"<disk name='vd{'ab'[number]}'><source file='{own}'/></disk>")
    flags = CREATE_DISK_ONLY | CREATE_REUSE_EXT
    guest.create("r", flags, f"<disks>{''.join(disks)}</disks>")
    assert guest.holds(0, 0x11)
    guest.write(0, 0x22)
    assert guest.found(guest.images[0], 0x11) and guest.found(guest.directory / "own0", 0x22)
    guest.refused(f"create {flags} <domainsnapshot><name>absent</name></domainsnapshot>", "absent")
    assert guest.tell("list") == "r"


def a_manual_disk_leaves_the_guest_paused(guest):
    guest.tell("start")
    guest.command("cont")
    guest.create("m", CREATE_DISK_ONLY, "<disks><disk name='vdb' snapshot='manual'/></disks>")
    assert guest.state() == PAUSED
    guest.command("cont")
    assert (guest.directory / "disk0.m").exists()
    assert not (guest.directory / "disk1.m").exists()


def mixed(kind, *modes):
    """A document's part: a mode for each disk, and where the memory goes."""
    disks = "".join(
        f"<disk name='vd{letter}' snapshot='{mode}'/>" for letter, mode in zip("ab", modes))
    return f"<disks>{disks}</disks>{kind}"


def disks_inside_and_overlays_are_of_one_instant(guest):
    guest.tell("start")
    guest.run_for(0.5)
    guest.write(0, 0x11)
    guest.write(1, 0x22)
    memory = guest.memory()
    guest.create("inside", 0, mixed("", "internal", "external"))
    assert guest.state() == PAUSED and guest.held(0) == ["inside"] and guest.held(1) == []
    assert guest.backing(guest.directory / "disk1.inside") == str(guest.images[1])
    guest.command("cont")
    file = guest.directory / "file.memory"
    guest.create("file", 0, mixed(
        f"<memory snapshot='external' file='{file}'/>", "internal", "external"))
    guest.create("disks", CREATE_DISK_ONLY, mixed("", "internal", "external"))
    assert guest.state() == RUNNING and guest.held(0) == ["inside", "file", "disks"]
    guest.write(0, 0x33)
    guest.write(1, 0x44)
    for name, state in (("inside", PAUSED), ("file", PAUSED), ("disks", SHUTOFF)):
        flags = 0 if name == "disks" else REVERT_PAUSED
        guest.tell(f"revert {flags} {name}")
        assert guest.state() == state
        if name == "inside":
            assert guest.memory() == memory
        if state == SHUTOFF:
            guest.tell("start")
        assert guest.holds(0, 0x11) and guest.holds(1, 0x22)
        guest.command("cont")
        guest.write(0, 0x55)
        guest.write(1, 0x66)
    for name in ("inside", "disks", "file"):
        guest.tell(f"delete 0 {name}")
        assert guest.holds(0, 0x55) and guest.holds(1, 0x66)
    assert guest.held(0) == [] and guest.tell("list") == "" and not file.exists()


def a_guest_that_runs_is_saved_with_a_disk_inside(guest):
    """Its disks are of the instant of its memory: it has stopped, and has not given its images away."""
    guest.tell("start")
    guest.run_for(0.3)
    guest.command("cont")
    guest.write(0, 0x11)
    guest.write(1, 0x22)
    seen, memory = {}, []

    def look(request, _monitor):
        if request["execute"] in ("migrate", "transaction"):
            seen[request["execute"]] = guest.command("query-status")["status"]
        if request["execute"] == "transaction":
            memory.append(guest.memory())
        guest.proxy.arm(0, look)
        return FORWARD

    guest.proxy.arm(0, look)
    file = guest.directory / "live.memory"
    guest.create("live", CREATE_LIVE, mixed(
        f"<memory snapshot='external' file='{file}'/>", "internal", "external"))
    guest.proxy.at = None
    assert seen == {"migrate": "running", "transaction": "finish-migrate"}, seen
    assert guest.state() == RUNNING and guest.held(0) == ["live"] and guest.held(1) == []
    # The next migration is the manager's, and as he wants it.
    assert not any(entry["state"] for entry in guest.command("query-migrate-capabilities")
                   if entry["capability"] == "pause-before-switchover")
    guest.write(0, 0x33)
    guest.write(1, 0x44)
    guest.tell(f"revert {REVERT_PAUSED} live")
    assert guest.state() == PAUSED and [guest.memory()] == memory
    assert guest.holds(0, 0x11) and guest.holds(1, 0x22)
    guest.command("cont")
    guest.tell("delete 0 live")
    assert guest.held(0) == [] and not file.exists()


def a_raw_disk_gets_an_overlay_beside_memory_inside_of_another(guest):
    raw = guest.directory / "raw"
    raw.write_bytes(b"\x11" * (1 << 20))
    guest.images[1] = raw
    definition = guest.tell("xml").replace(
        f"type='qcow2'/> <source file='{guest.directory / 'disk1.qcow2'}'",
        f"type='raw'/> <source file='{raw}'")
    guest.tell(f"define {definition}")
    guest.tell("start")
    guest.run_for(0.3)
    memory = guest.memory()
    guest.create("m", 0, mixed("", "internal", "external"))
    guest.write(0, 0x22)
    guest.write(1, 0x22)
    guest.tell("revert 0 m")
    assert guest.state() == PAUSED and guest.memory() == memory
    assert guest.holds(0, 0) and guest.holds(1, 0x11)
    assert raw.read_bytes() == b"\x11" * (1 << 20)


def memory_below_other_snapshots_comes_back_in_a_copy(guest):
    guest.tell("start")
    guest.run_for(0.3)
    guest.write(0, 0x11)
    guest.create("other")
    guest.write(0, 0x22)
    memory = guest.memory()
    guest.create("i")
    guest.write(0, 0x33)
    guest.create("e", CREATE_DISK_ONLY)
    guest.write(0, 0x44)
    for _ in range(2):
        before = [image.read_bytes() for image in guest.images]
        guest.tell("revert 0 i")
        assert guest.state() == PAUSED and guest.memory() == memory
        assert guest.holds(0, 0x22) and guest.holds(1, 0)
        assert [image.read_bytes() for image in guest.images] == before
        copies = [path for path in guest.directory.glob("disk?.[0-9]*")]
        assert len(copies) == 2, copies
        for copy in copies:
            # It holds no snapshot, so nothing keeps it when it is of no use any more.
            assert "snapshots" not in facts(copy) and guest.backing(copy) is None
            assert copy.stat().st_mode & 0o777 == 0o600
        guest.write(0, 0x55)
    # What the guest has open below its own gives up a snapshot, too.
    guest.tell("revert 0 e")
    guest.tell("start")
    assert guest.holds(0, 0x33)
    guest.tell("delete 0 other")
    assert guest.held(0) == guest.held(1) == ["i"]
    guest.tell("delete 0 i")
    assert guest.held(0) == guest.held(1) == [] and guest.holds(0, 0x33)
    assert guest.found(guest.images[0], 0x33)


def what_nobody_writes_to_is_left_out(guest):
    """A read-only disk, a CD-ROM, an empty drive, and a chain of the caller's below a disk."""
    base, read_only, medium = (guest.directory / name for name in ("base.raw", "ro.qcow2", "cd.iso"))
    for file in (base, medium):
        file.write_bytes(b"\x77" * (1 << 20))
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, guest.images[0]], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", read_only, "1M"], check=True)
    more = (
        f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{read_only}'/>"
        "<target dev='vdc'/><readonly/></disk>"
        f"<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{medium}'/>"
        "<target dev='hda'/></disk><disk type='file' device='cdrom'><target dev='hdb'/></disk>")
    definition = guest.tell("xml").replace("</devices>", f"{more}</devices>")
    guest.tell(f"define {definition}")
    untouched = [(file, file.read_bytes()) for file in (base, read_only, medium)]

    def check(disk):
        assert guest.holds(0, disk)
        assert all(file.read_bytes() == content for file, content in untouched)
        assert all(f"'{file}'" in guest.tell("xml") for file in (read_only, medium))
        assert not [path for name in ("ro", "cd") for path in guest.directory.glob(f"{name}.[!qi]*")]

    guest.tell("start")
    guest.run_for(0.3)
    check(0x77)
    guest.create("inside")
    assert guest.held(0) == guest.held(1) == ["inside"]
    guest.write(0, 0x11)
    guest.create("e", CREATE_DISK_ONLY)
    guest.write(0, 0x22)
    guest.command("cont")
    guest.create("m", 0, f"<memory snapshot='external' file='{guest.directory / 'm.memory'}'/>")
    guest.write(0, 0x33)
    for name, disk in (("m", 0x22), ("inside", 0x77), ("e", 0x11)):
        guest.tell(f"revert {REVERT_RUNNING} {name}")
        check(disk)
        guest.write(0, 0x44)
    for name in ("m", "e", "inside"):
        guest.tell(f"delete 0 {name}")
        check(0x44)
    assert guest.tell("list") == ""


def what_cannot_be_taken_is_refused_before_anything_is_touched(guest):
    guest.tell("start")
    guest.command("cont")
    before = guest.tell("xml")
    for flags, more, text in (
        (0, mixed("", "external", "external"), "require all disks to be selected"),
        (0, mixed("", "internal", "no"), "require all disks to be selected"),
        (0, "<memory snapshot='no'/>", "must include the memory state"),
    ):
        guest.refused(
            f"create {flags} <domainsnapshot><name>x</name>{more}</domainsnapshot>", text)
        assert guest.state() == RUNNING and guest.tell("xml") == before
        assert guest.tell("list") == "" and guest.held(0) == []
        assert not (guest.directory / "x").exists()


def a_guest_that_gave_its_images_away_is_left_alone(guest):
    """Its memory went to a file while it was paused: until it is resumed QEMU writes to no image."""
    guest.tell("start")
    guest.write(0, 0x11)
    guest.create("inside")
    guest.create("e", CREATE_DISK_ONLY)
    guest.command("cont")
    guest.command("stop")
    guest.create("m", 0, f"<memory snapshot='external' file='{guest.directory / 'm.memory'}'/>")
    files = sorted(path.name for path in guest.directory.iterdir())
    definition = guest.tell("xml")
    pid = guest.tell("pid")
    for line in (
        "create 0 <domainsnapshot><name>x</name></domainsnapshot>",
        f"create {CREATE_DISK_ONLY} <domainsnapshot><name>x</name>"
        f"{mixed('', 'internal', 'external')}</domainsnapshot>",
        f"create 0 <domainsnapshot><name>x</name>"
        f"<memory snapshot='external' file='{guest.directory / 'x'}'/></domainsnapshot>",
        "delete 0 m", "delete 0 e", "delete 0 inside",
    ):
        guest.refused(line, "resume it first")
        assert guest.tell("pid") == pid and guest.state() == PAUSED, line
        assert guest.tell("list") == "inside e m" and guest.tell("xml") == definition, line
        assert sorted(path.name for path in guest.directory.iterdir()) == files, line
        assert guest.held(0) == guest.held(1) == ["inside"], line
    # New overlays are put on images that QEMU has not to write to.
    guest.create("x", CREATE_DISK_ONLY)
    guest.command("cont")
    assert guest.holds(0, 0x11)
    for name in ("inside", "m", "e", "x"):
        guest.tell(f"delete 0 {name}")
    assert guest.holds(0, 0x11) and guest.state() == RUNNING


def a_document_is_checked_while_the_guest_has_the_images(guest):
    guest.tell("start")
    guest.create("s")
    document = "<domainsnapshot><name>{}</name><state>running</state>"
    document += f"<creationTime>1</creationTime>{guest.tell('xml')}</domainsnapshot>"
    guest.refused(f"create 1 {document.format('unknown')}", "disk0.qcow2")
    assert guest.tell("list") == "s"


TESTS = [
    a_guest_comes_and_goes,
    memory_and_disks_are_kept_and_come_back,
    a_guest_that_is_off_is_started_with_its_memory,
    an_offline_snapshot_stops_the_guest,
    nothing_is_stopped_for_a_snapshot_that_is_not_whole,
    halt_stops_the_guest,
    names_are_kept_as_they_are,
    a_killed_guest_leaves_metadata_and_images_alike,
    overlays_grow_while_the_guest_runs,
    memory_goes_to_a_file_at_the_same_instant,
    no_file_is_overwritten,
    without_metadata_the_definition_follows_all_the_same,
    disks_come_back_as_if_the_power_had_been_cut,
    memory_comes_back_from_its_file,
    layers_merge_while_the_guest_runs,
    overlays_of_the_caller_are_used_as_they_are,
    a_manual_disk_leaves_the_guest_paused,
    disks_inside_and_overlays_are_of_one_instant,
    a_guest_that_runs_is_saved_with_a_disk_inside,
    a_raw_disk_gets_an_overlay_beside_memory_inside_of_another,
    memory_below_other_snapshots_comes_back_in_a_copy,
    what_nobody_writes_to_is_left_out,
    what_cannot_be_taken_is_refused_before_anything_is_touched,
    a_guest_that_gave_its_images_away_is_left_alone,
    a_document_is_checked_while_the_guest_has_the_images,
]
