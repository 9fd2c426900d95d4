"""What goes wrong with a snapshot. The app serves on without it: who catches these says so once and goes on."""

from __future__ import annotations


class SnapshotUnusable(Exception):
    """The snapshot can't be used; the message says why and what to do."""


class SnapshotFull(SnapshotUnusable):
    """There is no room for what was to be written. What is there can be read, and a later write may find room."""


class SnapshotDamaged(SnapshotUnusable):
    """The file does not hold what was written into it."""
