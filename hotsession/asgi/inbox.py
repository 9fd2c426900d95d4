"""A client's messages, for an app whose connection may be ended by us, or handed on to another app: it then sees the
client leave.

The server's `receive` is awaited in the task of the app that asks, so that it costs, and behaves, as without us. Who
waits when the connection is ended is cancelled, which here, where nothing of the app runs, is turned into the message
that the client is gone. As with every server, a `receive` that is cancelled loses no message: `asyncio.wait_for` and
Starlette's `is_disconnected` cancel it all the time.
"""

from __future__ import annotations

import asyncio
from asyncio import current_task
from collections.abc import Callable

from starlette.types import Message, Receive


class Inbox:
    """The messages of one connection.

    Args:
        receive: the server's.
        gone: the message that tells the app that the client has left.

    Attributes:
        ended: whether it was ended.
        heard: how many messages the app was given.
        heard_at: when it was given the last one, by the clock of the event loop; None if it was given none.
        last: the type of the last one.
        on_told: is called when the app is given the message that the client has left.
        told: whether it was given that.
        waiting: who waits for a message, and how often it was cancelled before it did: more often is a cancellation of
            somebody's now.
    """

    __slots__ = (
        "_gone",
        "_interrupted",
        "_now",
        "_over",
        "_receive",
        "_stopped",
        "ended",
        "heard",
        "heard_at",
        "last",
        "on_told",
        "told",
        "waiting",
    )

    def __init__(self, receive: Receive, gone: Message, on_told: Callable[[], None] | None = None) -> None:
        self.told = self.ended = self._stopped = False
        self.heard = 0
        self.heard_at: float | None = None
        self.last: str | None = None
        self.on_told = on_told
        self.waiting: dict[asyncio.Task[object], int] = {}
        self._gone = gone
        self._now = asyncio.get_running_loop().time
        self._receive = receive
        self._interrupted: set[asyncio.Task[object]] = set()  # by us
        self._over: asyncio.Event | None = None  # set when it is ended, once somebody waits for that

    def __repr__(self) -> str:
        return f"<Inbox waiting={bool(self.waiting)} ended={self.ended}>"

    async def next(self) -> Message:
        """The next message, or that the client is gone when the connection is ended first."""
        if not self._stopped:
            task = current_task()
            if task is None:
                raise RuntimeError("a client's messages are received in a task")
            self.waiting[task] = task.cancelling()
            try:
                message = await self._receive()
            except asyncio.CancelledError:
                if not self._is_ours(task):
                    raise
            else:
                self.last = message.get("type")
                self.heard += 1
                self.heard_at = self._now()
                return message
            finally:
                if self._interrupted:  # if it still is, the server took no notice
                    self._is_ours(task)
                del self.waiting[task]
        if not self.ended:
            self._over = self._over or asyncio.Event()
            await self._over.wait()
        self.told = True
        if self.on_told is not None:
            self.on_told()
        return self._gone

    def stop(self) -> None:
        """Ask the server for nothing more, and let the app wait for the end, which is about to come."""
        self._stopped = True
        for task in self.waiting.keys() - self._interrupted:
            self._interrupted.add(task)
            task.cancel()

    def end(self) -> None:
        """Tell the app from now on that its client is gone."""
        self.ended = True
        self.stop()
        if self._over is not None:
            self._over.set()

    def close(self) -> None:
        """Nothing is asked of the server once nobody waits."""

    def _is_ours(self, task: asyncio.Task[object]) -> bool:
        """Take back our cancellation of a task; return whether it was ours alone."""
        if task not in self._interrupted:
            return False
        self._interrupted.discard(task)
        return task.uncancel() <= self.waiting[task]
