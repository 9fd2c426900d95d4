"""Collects old generations as garbage soon after they have gone, when it holds up nobody.

Modules, their functions and classes refer to each other in cycles, so an old generation stays in memory until Python's
own full collection, which can be many saves away. A full collection stops everything for 3 ms in a small app, for
40 ms beside large libraries and for seconds beside millions of objects, so it waits for a moment in which nobody asks
for anything, and takes no more than a hundredth of the time.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

QUIET = 0.5  # seconds; the app is at rest when it was not asked for anything for this long
SHARE = 0.01  # of the time is spent on it at most: a slow one is followed by a long rest
_PATIENCE = 20  # looks for such a moment so often, then leaves it to Python's own collector


class Sweeper:
    """Collects garbage once per `soon`, when the app is at rest.

    Args:
        activity: counts up whenever the app is asked for something.
        collect: does it.
        quiet: seconds without activity after which the app is at rest.
    """

    def __init__(
        self, activity: Callable[[], int], collect: Callable[[], object] = gc.collect, *, quiet: float = QUIET
    ) -> None:
        self._activity = activity
        self._collect = collect
        self._quiet = quiet
        self._not_before = 0.0  # in the time of the loop
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Sweeper waiting={self._timer is not None}>"

    def soon(self) -> None:
        """Collect at the next moment of rest."""
        self.stop()
        self._wait(_PATIENCE)

    def stop(self) -> None:
        """Collect nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, patience: int) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(max(loop.time(), self._not_before), self._begin, patience)

    def _begin(self, patience: int) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._quiet, self._look, self._activity(), patience)

    def _look(self, before: int, patience: int) -> None:
        self._timer = None
        if self._activity() == before:
            self._do()
        elif patience > 1:
            self._wait(patience - 1)

    def _do(self) -> None:
        began = time.perf_counter()
        self._collect()
        took = time.perf_counter() - began
        self._not_before = asyncio.get_running_loop().time() + took / SHARE
