"""Snapshots of a running guest, taken through examples/minivmm with a real QEMU."""

from .guest import Failed, Guest, facts

__all__ = ["Failed", "Guest", "facts"]
