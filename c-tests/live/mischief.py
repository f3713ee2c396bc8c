"""Commands to the monitor that come too late, get lost, or end the guest, in the middle of every kind of
operation: what was done is done whole or not at all, and the same call again works.

MISCHIEF_EACH=1 meets every command in each of these ways; without it each operation meets one of them
at every ninth.
"""

import copy
import os
import tempfile
from dataclasses import dataclass
from typing import Callable

from .guest import CREATE_DISK_ONLY, Failed, Guest, REVERT_PAUSED, REVERT_RUNNING, SHUTOFF
from .proxy import delay, drop, kill
from .trees import KINDS, Tree

# The library's limit for an answer, and more than that.
REPLY_SECONDS, LATE_SECONDS = 4, 5
INSIDE, _, DISKS, FILE, MIXED_INSIDE, MIXED_FILE, MIXED_DISKS = KINDS


@dataclass
class Operation:
    """What is done before each trial, the call itself, and what makes the tree small again."""

    name: str
    before: Callable
    call: Callable
    after: Callable


def nothing(_tree):
    """No step."""


def creating(kind):
    return Operation(
        f"create, {kind.name}", nothing, lambda tree: tree.create(kind),
        lambda tree: tree.delete(tree.current))


def reverting(*kinds, flags):
    """To the first of snapshots of these kinds, from the last one."""

    def before(tree):
        for kind in kinds[len(tree.taken):]:
            tree.create(kind)
            tree.live_on(paused=False)
        if tree.current != last(tree):
            tree.revert(last(tree), REVERT_RUNNING)
            tree.live_on(paused=False)

    def last(tree):
        return list(tree.taken)[-1]

    return Operation(
        f"revert, {kinds[0].name} below {len(kinds) - 1}", before,
        lambda tree: tree.revert(list(tree.taken)[0], flags), nothing)


def deleting(*kinds):
    """Of the first of snapshots of these kinds; the others go by themselves."""

    def before(tree):
        for kind in kinds:
            tree.create(kind)
            tree.live_on(paused=False)

    def after(tree):
        for name in list(tree.taken):
            tree.delete(name)

    return Operation(
        f"delete, {kinds[0].name} below {len(kinds) - 1}", before,
        lambda tree: tree.delete(list(tree.taken)[0]), after)


OPERATIONS = [
    creating(INSIDE), creating(DISKS), creating(FILE), creating(MIXED_INSIDE), creating(MIXED_FILE),
    creating(MIXED_DISKS),
    reverting(INSIDE, INSIDE, flags=REVERT_PAUSED),
    reverting(INSIDE, DISKS, flags=REVERT_PAUSED),
    reverting(MIXED_INSIDE, MIXED_INSIDE, flags=REVERT_RUNNING),
    reverting(FILE, DISKS, flags=REVERT_RUNNING),
    reverting(DISKS, INSIDE, flags=REVERT_RUNNING),
    deleting(INSIDE, DISKS), deleting(DISKS, DISKS), deleting(MIXED_INSIDE, FILE),
]


class Trial:
    """One call that meets mischief at a command."""

    def __init__(self, tree, operation):
        self.tree, self.guest, self.operation = tree, tree.guest, operation
        self.is_met = False

    def meets(self, at, mischief):
        """Whether there was such a command."""
        tree = self.tree
        tree.live_on(paused=False)
        self.operation.before(tree)
        model = copy.deepcopy((tree.taken, tree.current, tree.shown))
        if not self.try_call(at, mischief):
            tree.taken, tree.current, tree.shown = model
            if self.settle():
                tree.verify()
                tree.live_on(paused=False)
                self.operation.call(tree)
        tree.verify()
        tree.live_on(paused=False)
        self.operation.after(tree)
        return self.is_met

    def try_call(self, at, mischief):
        tree, proxy = self.tree, self.guest.proxy

        def end():
            self.is_met, proxy.at = proxy.is_met(), None

        tree.begins, tree.ends = lambda: proxy.arm(at, mischief), end
        tree.may_end = mischief is kill
        try:
            self.operation.call(tree)
            return True
        except Failed as error:
            tree.steps.append(f"  command {at}: {error}")
            return False
        finally:
            tree.begins = tree.ends = lambda: None
            tree.may_end = False

    def settle(self):
        """The next change ends what was cut off. Answers whether the call is still to be made."""
        tree = self.tree
        current = self.guest.tell("current") if tree.taken else None
        if current and current != tree.current:
            # The disks are the snapshot's, and the guest could not be given its memory.
            tree.reverted(current)
        self.guest.create("probe", 0 if self.guest.state() == SHUTOFF else CREATE_DISK_ONLY)
        self.guest.tell("delete 0 probe")
        gone = set(tree.taken) - set(self.guest.tell("list").split())
        assert len(gone) < 2, gone
        for name in gone:
            # It is finished although its call failed.
            tree.deleted(name)
        return not gone


MISCHIEFS = {"delay": delay(LATE_SECONDS), "drop": drop, "kill": kill}


def meet_all(program, operation, mischief, stride):
    """A guest of its own, whose monitor is not waited for so long."""
    parameters = "" if mischief == "kill" else f"monitor_reply={REPLY_SECONDS}"
    with tempfile.TemporaryDirectory() as top, Guest(program, top, 2, parameters) as guest:
        tree = Tree(guest, 1)
        at = 0
        try:
            while Trial(tree, operation).meets(at, MISCHIEFS[mischief]):
                at += stride
        except (AssertionError, Failed):
            print(f"{operation.name}: {mischief} at {at}", *tree.steps, sep="\n  ", flush=True)
            raise
        assert at > 0


def every_operation_survives_mischief_at_its_commands(guest):
    stride = int(os.environ.get("MISCHIEF_EACH", "0"))
    for number, operation in enumerate(OPERATIONS):
        if stride:
            for mischief in MISCHIEFS:
                meet_all(guest.program, operation, mischief, stride)
        else:
            meet_all(guest.program, operation, list(MISCHIEFS)[number % len(MISCHIEFS)], 9)


TESTS = [every_operation_survives_mischief_at_its_commands]
