"""How often something may be done that costs time: so seldom that it takes a small share of it."""

from __future__ import annotations

import time
from collections.abc import Callable

SHARE = 0.05  # of the time, spent on writing what may change at any moment


class Pace:
    """Lets something costly be done as often as it takes no more than a share of the time.

    Args:
        share: of the time, between 0 and 1.
        clock: a monotonic clock in seconds.
    """

    __slots__ = ("_began", "_clock", "_factor", "_next")

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._factor = 1 / share - 1
        self._next = self._began = clock()

    def __repr__(self) -> str:
        return f"<Pace next in {max(0.0, self._next - self._clock()):.3f} s>"

    def begin(self) -> bool:
        """Whether it may be done now; if so, the time that it takes counts from here to `end`."""
        now = self._clock()
        if now < self._next:
            return False
        self._began = now
        return True

    def has_taken(self, seconds: float) -> bool:
        """Whether more than so many seconds passed since `begin`."""
        return self._clock() - self._began > seconds

    def end(self) -> None:
        """It is done: the pause that its time calls for begins."""
        now = self._clock()
        self._next = now + (now - self._began) * self._factor
