"""The event loop that code runs in, asyncio's or trio's, and how other threads and loops reach it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import anyio

AsyncFunction = Callable[[], Coroutine[Any, Any, None]]


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

    def soon(self, function: Callable[..., object], *arguments: object) -> bool:
        """Call a function in the loop as soon as it gets to it; False when the loop is over."""
        try:
            if self._loop is None:
                self._token.run_sync_soon(function, *arguments)
            else:  # in a context of its own, so that the loop holds nothing of the calling request or load
                self._loop.call_soon_threadsafe(function, *arguments, context=contextvars.Context())
        except RuntimeError:  # it is closed; trio's RunFinishedError is one too
            return False
        return True

    def start(self, function: AsyncFunction) -> bool:
        """Run a coroutine function, which must not raise, as a task of the loop; False when the loop does not run."""
        if self._loop is None:
            return self.soon(sys.modules["trio"].lowlevel.spawn_system_task, function)
        return self._loop.is_running() and self.soon(self._start_task, function)

    def _start_task(self, function: AsyncFunction) -> None:
        task = asyncio.get_running_loop().create_task(function())
        self._tasks.add(task)  # the loop itself holds its tasks only weakly
        task.add_done_callback(self._tasks.discard)


class Waiter:
    """One task that waits in its own loop for something that happens in whatever thread."""

    def __init__(self) -> None:
        self._home = Home()
        self._event = anyio.Event()

    async def wait(self) -> None:
        """Wait until `wake` was called."""
        await self._event.wait()

    def wake(self) -> None:
        """End the waiting, from whatever thread. Where the loop is over nobody waits any more."""
        self._home.soon(self._event.set)
