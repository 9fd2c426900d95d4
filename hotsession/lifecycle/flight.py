"""Single flight: one call per key at a time, whoever asks, from however many tasks, threads and event loops.

The call runs in a task of its own, so a caller that is cancelled takes nobody else along, and in the event loop of
whoever came first; if that loop ends, the next caller starts anew. Bound to no event loop: between calls it holds a
lock and an empty dict. Runs on asyncio and trio. Knows nothing about sessions.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from types import TracebackType
from typing import Any, Generic, TypeVar

from hotsession.loops import Waiter

T = TypeVar("T")

logger = logging.getLogger("hotsession")
_above: contextvars.ContextVar[tuple[object, ...]] = contextvars.ContextVar("hotsession_flights", default=())


class _Flight(Generic[T]):
    """One call on its way. It lands with a result or an error, or with neither when its event loop ended under it."""

    def __init__(self) -> None:
        self.waiters: dict[Waiter, None] = {}  # an ordered set: a thousand may wait
        self.task: object = None  # the loop itself holds its tasks only weakly
        self.result: tuple[T] | None = None
        self.error: Exception | None = None
        self.traceback: TracebackType | None = None


class Flights(Generic[T]):
    """The calls on their way, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight[T]] = {}

    def __repr__(self) -> str:
        return f"<Flights {list(self._flights)}>"

    def waiting(self, key: Hashable) -> int:
        """How many wait for the call that is on its way for `key`."""
        with self._lock:
            flight = self._flights.get(key)
            return 0 if flight is None else len(flight.waiters)

    async def run(self, key: Hashable, call: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Wait for the call that is on its way for `key`; if there is none, start `call`.

        Returns:
            Its result, and whether it was this call that was made.

        Raises:
            Exception: what the call raised; all who wait get it, and the next one calls again.
            RuntimeError: the call waits for itself, or was cancelled.
        """
        while True:
            waiter = Waiter()
            flight, first = self._join(key, waiter)
            if first:
                flight.task = _start(self._fly(key, flight, call))
            try:
                await waiter.wait()
            finally:
                with self._lock:
                    del flight.waiters[waiter]
            if flight.error is not None:
                # With the traceback of the call alone: each raise adds to it, and all who wait raise the same error.
                raise flight.error.with_traceback(flight.traceback)
            if flight.result is not None:
                return flight.result[0], first
            if first:  # others try again, each once at most: a call that cancels itself can't go round for ever
                raise RuntimeError(f"what makes {key!r} was cancelled before it was done")

    def _join(self, key: Hashable, waiter: Waiter) -> tuple[_Flight[T], bool]:
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None and flight in _above.get():
                raise RuntimeError(f"what makes {key!r} asks for {key!r} itself, and would wait for ever")
            first = flight is None
            if flight is None:
                flight = self._flights[key] = _Flight()
            flight.waiters[waiter] = None
            return flight, first

    async def _fly(self, key: Hashable, flight: _Flight[T], call: Callable[[], Awaitable[T]]) -> None:
        _above.set((*_above.get(), flight))
        try:
            flight.result = (await call(),)
        except Exception as error:  # noqa: BLE001 - all who wait raise it; without them it is logged
            flight.error, flight.traceback = error, error.__traceback__
        finally:
            self._land(key, flight)

    def _land(self, key: Hashable, flight: _Flight[T]) -> None:
        """Make room for the next call, and then tell those who wait how this one ended."""
        with self._lock:
            del self._flights[key]
            waiters = list(flight.waiters)
        if flight.error is not None and not waiters:
            logger.error("making %r failed, and nobody waits for it any more", key, exc_info=flight.error)
        for waiter in waiters:
            waiter.wake()


def _start(coroutine: Coroutine[Any, Any, None]) -> object:
    """Run `coroutine` in a task that outlives the caller, on asyncio or trio."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:

        async def fly() -> None:
            await coroutine

        return sys.modules["trio"].lowlevel.spawn_system_task(fly, context=contextvars.copy_context())
    return loop.create_task(coroutine)
