"""A client's messages, for an app whose connection may be ended by us, or handed on to another app: it then sees the
client leave.

The server's `receive` is awaited in the task of the app that asks, so that it costs, and behaves, as without us. Who
waits when the connection is ended is cancelled, which here, where nothing of the app runs, is turned into the message
that the client is gone. As with every server, a `receive` that is cancelled loses no message: `asyncio.wait_for` and
Starlette's `is_disconnected` cancel it all the time.
"""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive


class Inbox:
    """The messages of one connection.

    Args:
        receive: the server's.
        gone: the message that tells the app that the client has left.

    Attributes:
        told: whether the app was given that message.
        ended: whether it was ended.
    """

    __slots__ = ("_gone", "_interrupted", "_over", "_receive", "_stopped", "_waiting", "ended", "told")

    def __init__(self, receive: Receive, gone: Message) -> None:
        self.told = self.ended = self._stopped = False
        self._gone = gone
        self._receive = receive
        # Who waits, and how often it was cancelled before it did: more often is a cancellation of somebody's now.
        self._waiting: dict[asyncio.Task[object], int] = {}
        self._interrupted: set[asyncio.Task[object]] = set()  # by us
        self._over: asyncio.Event | None = None  # set when it is ended, once somebody waits for that

    def __repr__(self) -> str:
        return f"<Inbox waiting={self.waiting} ended={self.ended}>"

    @property
    def waiting(self) -> bool:
        """Whether the app waits for a message."""
        return bool(self._waiting)

    async def next(self) -> Message:
        """The next message, or that the client is gone when the connection is ended first."""
        if not self._stopped:
            task = asyncio.current_task()
            if task is None:
                raise RuntimeError("a client's messages are received in a task")
            self._waiting[task] = task.cancelling()
            try:
                return await self._receive()
            except asyncio.CancelledError:
                if not self._is_ours(task):
                    raise
            finally:
                if self._interrupted:  # if it still is, the server took no notice
                    self._is_ours(task)
                del self._waiting[task]
        if not self.ended:
            self._over = self._over or asyncio.Event()
            await self._over.wait()
        self.told = True
        return self._gone

    def stop(self) -> None:
        """Ask the server for nothing more, and let the app wait for the end, which is about to come."""
        self._stopped = True
        for task in self._waiting.keys() - self._interrupted:
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
        return task.uncancel() <= self._waiting[task]
