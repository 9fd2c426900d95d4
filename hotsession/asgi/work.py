"""What one request or connection is to who may have to end it: its app sees the client leave, then it is cancelled.

Knows no kind of message but those that it is given. Works on asyncio and trio.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import ClassVar, Protocol

import anyio
from starlette.types import Message, Receive, Scope, Send

from hotsession.asgi.direct_inbox import DirectInbox
from hotsession.asgi.inbox import Inbox

logger = logging.getLogger("hotsession")

# What the disconnect that an app sees gives as its reason: its client is coming back, or never noticed.
RELOADED = "the server's code was reloaded"
# What a client has to take the last message, and then an app to notice that its client is gone. About as long as
# uvicorn needs anyway to see that it is to end and that its connections have ended (0.1 s each).
SECONDS = 0.25


class StreamEnded(OSError):
    """An app sent more to a client that was told the end: what servers raise when the client has left."""


class Cancellable(Protocol):
    """What an app runs in: a task of asyncio's, or a scope of trio's."""

    def cancel(self) -> object:
        """Let it end."""


class Work:
    """One request or connection.

    Args:
        scope: the ASGI scope.
        receive: the server's.
        send: the server's.

    Attributes:
        cancelled: how often it was cancelled, because its app did not notice that it was ended.
        finished: whether it was told to end.
        inbox: makes what the client's messages go through.
        scope: as given.
        task: what the app runs in.
    """

    gone: ClassVar[Message]
    """What tells the app that its client has left."""

    # What is so for nearly all of them stands here: there is one for every request, and each assignment takes time.
    cancelled: int = 0
    finished: bool = False
    inbox: type[Inbox | DirectInbox] = Inbox
    _inbox: Inbox | DirectInbox | None = None
    _left: anyio.Event | None = None  # set when the client is gone, as far as the app is concerned
    _released: bool = False
    _told: bool = False

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        try:
            self.task: Cancellable | None = asyncio.current_task()
        except RuntimeError:  # on trio tasks can't be cancelled: who wants to puts a scope here
            self.task = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.describe()}>"

    def describe(self) -> str:
        """What the log calls it."""
        return str(self.scope["path"])

    @property
    def told(self) -> bool:
        """Whether its app has learned that it was ended."""
        return self._told or (self._inbox is not None and self._inbox.told)

    @property
    def cancelled_by_others(self) -> bool:
        """Whether a cancellation that leaves the app is not, or not only, ours."""
        return not self.cancelled or (isinstance(self.task, asyncio.Task) and self.task.cancelling() > self.cancelled)

    def cancel(self) -> None:
        """Cancel the task that runs the app."""
        if self.task is not None:
            self.cancelled += 1
            self.task.cancel()

    def release(self) -> None:
        """Let go of the server: the app is done."""
        self._released = True
        if self._inbox is not None:
            self._inbox.close()
        if self.cancelled and isinstance(self.task, asyncio.Task):
            for _ in range(self.cancelled):
                self.task.uncancel()

    async def said(self) -> None:
        """Wait until its client has got our last words, or has had its time for that."""
        if self._left is not None:
            await self._left.wait()

    def _next(self) -> Awaitable[Message]:
        """The client's next message; a wait for it ends when the work is ended."""
        if self._inbox is None:
            self._inbox = self.inbox(self._receive, {**self.gone})
            if self._left is not None and self._left.is_set():
                self._inbox.end()
        return self._inbox.next()

    async def _refuse_to_send(self) -> None:
        """Tell the app that its client is gone, as servers do; not before it is."""
        if self._left is not None:
            await self._left.wait()
        if self._is_someone_else():
            return
        self._told = True
        raise StreamEnded(RELOADED)

    def _is_someone_else(self) -> bool:
        """Whether another than the app that answers here is sending."""
        return False

    def _end_with(self, last: Message | None) -> None:
        """Let the client have this message as the last one, and the app see it leave then."""
        self.finished = True
        self._left = left = anyio.Event()
        if last is None:
            self._leave()
        else:
            if self._inbox is not None:
                self._inbox.stop()  # while somebody waits for a WebSocket's next message, granian does not close it
            in_background(lambda: self._say(last))
        in_background(lambda: self._see_to_it(left))

    async def _say(self, last: Message) -> None:
        """Granian cuts the connection when the app returns, so the message has to be with the server before."""
        try:
            await self._send(last)
        finally:
            self._leave()

    async def _see_to_it(self, left: anyio.Event) -> None:
        """Wait for no client that takes nothing, and for no app that neither listens nor sends."""
        with anyio.move_on_after(SECONDS):
            await left.wait()
        self._leave()
        await anyio.sleep(SECONDS)
        if not self.told and not self._released:
            self.cancel()

    def _leave(self) -> None:
        if self._left is not None:
            self._left.set()
        if self._inbox is not None:
            self._inbox.end()


_background: set[asyncio.Task[None]] = set()


def in_background(function: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function without waiting for it."""

    async def run() -> None:
        try:
            await function()
        except Exception as error:  # noqa: BLE001  servers differ in what they raise
            logger.debug("A client had left before it could be told the end: %r", error)

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        sys.modules["trio"].lowlevel.spawn_system_task(run)
    else:
        task = loop.create_task(run())
        _background.add(task)  # the loop itself holds its tasks only weakly
        task.add_done_callback(_background.discard)
