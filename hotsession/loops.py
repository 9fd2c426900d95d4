"""The event loop that code runs in, asyncio's or trio's, and how to start something there from elsewhere."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import anyio

AsyncFunction = Callable[[], Coroutine[Any, Any, None]]


class Waiter:
    """One task that waits in its own event loop; whatever thread may wake it."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._call_soon: Callable[[Callable[[], None]], object]
        try:
            self._call_soon = asyncio.get_running_loop().call_soon_threadsafe
        except RuntimeError:
            self._call_soon = sys.modules["trio"].lowlevel.current_trio_token().run_sync_soon

    async def wait(self) -> None:
        """Wait until somebody wakes it; at once when that has been done."""
        await self._event.wait()

    def wake(self) -> None:
        """Wake it, from any thread."""
        with suppress(RuntimeError):  # its loop is over, so nobody waits there; trio's RunFinishedError is one too
            self._call_soon(self._event.set)


class Home:
    """The event loop of the code that makes it; it may be used from any thread."""

    def __init__(self) -> None:
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
            self._token = sys.modules["trio"].lowlevel.current_trio_token()
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Home in {self._loop or self._token!r}>"

    def start(self, function: AsyncFunction) -> bool:
        """Run a coroutine function, which must not raise, as a task of the loop; False when the loop does not run."""
        if self._loop is not None and not self._loop.is_running():
            return False
        try:
            if self._loop is None:
                self._token.run_sync_soon(sys.modules["trio"].lowlevel.spawn_system_task, function)
            else:  # in a context of its own, so that the loop holds nothing of the calling request or load
                self._loop.call_soon_threadsafe(self._start_task, function, context=contextvars.Context())
        except RuntimeError:  # it ended just now; trio's RunFinishedError is one too
            return False
        return True

    def _start_task(self, function: AsyncFunction) -> None:
        task = asyncio.get_running_loop().create_task(function())
        self._tasks.add(task)  # the loop itself holds its tasks only weakly
        task.add_done_callback(self._tasks.discard)
