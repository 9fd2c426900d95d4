"""Whose turn it is to write to the snapshot: one thread at a time, and one process while two of them overlap."""

from __future__ import annotations

import threading


class Turn:
    """What all that is carried has in common when it is to be written.

    Attributes:
        lock: held while something is written.
        is_paused: whether another process is still the one to write.
        is_shared: whether another process has the snapshot open as well.
    """

    __slots__ = ("is_paused", "is_shared", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.is_paused = self.is_shared = False

    def __repr__(self) -> str:
        return f"<Turn is_paused={self.is_paused} is_shared={self.is_shared}>"

    def give_up(self) -> None:
        """Never write again: this process is a fork, of one in which another thread may have held the lock."""
        self.lock = threading.RLock()
        self.is_paused = True
