"""The changes that wait to be acted on, handed from the watcher's thread to the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from hotsession.events import Change


class ChangeFeed:
    """Collects changes until somebody takes them.

    Args:
        relevant: returns what of a batch means anything to the app; the rest is forgotten.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        relevant: Callable[[frozenset[Change]], frozenset[Change]],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._relevant = relevant
        self._clock = clock
        self._changes: set[Change] = set()
        self._arrived = asyncio.Event()
        self._first_at = 0.0

    def __bool__(self) -> bool:
        """Whether changes wait."""
        return bool(self._changes)

    def put(self, changes: frozenset[Change], *, at: float | None = None) -> None:
        """Add what changed, seen at the time `at` of the clock. To be called on the event loop."""
        changes = self._relevant(changes)
        if changes:
            if not self._changes:
                self._first_at = self._clock() if at is None else at
            self._changes |= changes
            self._arrived.set()

    def take(self) -> frozenset[Change]:
        """All that waits; afterwards nothing does."""
        changes = frozenset(self._changes)
        self._changes.clear()
        self._arrived.clear()
        return changes

    async def wait(self) -> float:
        """Return when something waits: the time of the clock at which the first of it was seen."""
        await self._arrived.wait()
        return self._first_at

    async def quiet(self, seconds: float) -> bool:
        """Return when nothing has arrived for `seconds`, or True as soon as something waits."""
        if self._arrived.is_set():  # `wait_for` would not look when no time is given
            return True
        try:
            await asyncio.wait_for(self._arrived.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def settle(self, seconds: float, *, at_most: float = 1.0) -> frozenset[Change]:
        """Take what waits and what follows, until nothing has followed for `seconds` or `at_most` seconds are over."""
        changes = self.take()
        end = self._clock() + at_most
        while self._clock() < end and await self.quiet(seconds):
            changes |= self.take()
        return changes
