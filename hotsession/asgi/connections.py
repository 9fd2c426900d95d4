"""One request or connection on one generation: what the host hands to the app in place of the server's callables.

Here is the place for carrying connections over to the next generation: the app never holds the server's own
`receive` and `send`, so that what is behind them can change hands.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import anyio
from starlette.types import Message, Receive, Scope, Send

from hotsession.asgi.event_stream import EventStream
from hotsession.asgi.inbox import Inbox

if TYPE_CHECKING:
    from hotsession.asgi.trio_inbox import TrioInbox

logger = logging.getLogger("hotsession")

# WebSocket close code "Service Restart": the client may come back at once.
# (https://www.iana.org/assignments/websocket/websocket.xhtml)
SERVICE_RESTART = 1012
_REASON = "the server's code was reloaded"
# What an app that is in the middle of an event has to complete it. As long as uvicorn takes anyway to look, and to look
# again (0.1 s each).
_EVENT_SECONDS = 0.25


class StreamEnded(OSError):
    """An app sent more of an event stream that was ended: what servers raise when the client has left."""


class Cancellable(Protocol):
    """What an app runs in: a task of asyncio's, or a scope of trio's."""

    def cancel(self) -> object:
        """Let it end."""


class HTTPExchange:
    """One HTTP request and its response. Never ends before the app is done, unless it is a stream without end.

    Args:
        scope: the ASGI scope.
        receive: the server's.
        send: the server's.
        close: whether the client is asked to close its connection after the response.

    Attributes:
        finished: whether it was told to end.
        last: whether a stream that begins now ends at once, because another process is about to take over.
        task: what the app runs in.
    """

    __slots__ = (
        "_heard",
        "_inbox",
        "_receive",
        "_scope",
        "_send",
        "_sending",
        "_stream",
        "_told",
        "close",
        "finished",
        "last",
        "task",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, close: bool = False) -> None:
        self.close = close
        self.last = False
        self.finished = False
        self.task = _current_task()
        self._scope = scope
        self._receive = receive
        self._send = send
        self._inbox: Inbox | TrioInbox | None = None
        self._heard = False  # the whole request: who goes on to listen waits for the client to leave
        self._stream: EventStream | None = None
        self._sending = 0  # parts of the stream that the server has not taken yet
        self._told = False

    def __repr__(self) -> str:
        return f"<HTTPExchange {self.describe()}>"

    def describe(self) -> str:
        """Method and path."""
        return f"{self._scope['method']} {self._scope['path']}"

    @property
    def endless(self) -> bool:
        """Whether it turned out to be an event stream, or pictures that replace each other."""
        return self._stream is not None

    @property
    def told(self) -> bool:
        """Whether its app has learned that it was ended."""
        return self._told or (self._inbox is not None and self._inbox.told)

    async def receive(self) -> Message:
        """What the app awaits for the next message from the client."""
        if self._heard or self._stream is not None:
            if self._inbox is None:
                self._inbox = _inbox(self._receive, {"type": "http.disconnect"})
                if self.finished and (self._stream is None or self._stream.over):
                    self._inbox.end()
            return await self._inbox.next()
        message = await self._receive()
        self._heard = message["type"] == "http.request" and not message.get("more_body", False)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """What the app calls with its next message to the client."""
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            self._stream = EventStream.begun_by(headers)
            if self.close:
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
            if self._stream is not None and (self.close or self.last):
                return self._begin_and_finish(message)
        elif self._stream is not None:
            return self._pass_on(self._stream, message)
        return self._send(message)

    async def _begin_and_finish(self, message: Message) -> None:
        """Let a stream begin that has no time left: its client comes back to who takes over."""
        await self._send(message)
        self.finish()

    async def _pass_on(self, stream: EventStream, message: Message) -> None:
        """Send more of a stream. Once it was told to end, what completes the event that has begun is the last of it."""
        if self.finished and stream.over:
            self._told = True
            raise StreamEnded(_REASON)
        message = stream.take_to_border(message) if self.finished else stream.take(message)
        self._sending += 1
        try:
            await self._send(message)
        finally:
            self._sending -= 1
        if self.finished and not stream.over and stream.between_events:
            await self._send(self._end(stream))

    def finish(self) -> None:
        """End a stream without end: its app sees the client leave, its client sees a complete response."""
        stream = self._stream
        if self.finished or stream is None or stream.over:
            return
        self.finished = True
        if self._sending or not stream.between_events:
            _in_background(lambda: self._end_soon(stream))
        else:
            message = self._end(stream)
            _in_background(lambda: self._send(message))

    async def _end_soon(self, stream: EventStream) -> None:
        await anyio.sleep(_EVENT_SECONDS)
        if not stream.over:
            await self._send(self._end(stream))

    def _end(self, stream: EventStream) -> Message:
        """Let nothing more of a stream through from this moment on; return the message that ends it."""
        if self._inbox is not None:
            self._inbox.end()
        return stream.last()

    def cancel(self) -> None:
        """Cancel the task that runs the app."""
        if self.task is not None:
            self.task.cancel()

    def release(self) -> None:
        """Let go of the server: the app is done."""
        if self._inbox is not None:
            self._inbox.close()


class WebSocketConnection:
    """One WebSocket. It stays on the generation that it was opened on until it ends or is told to.

    Args:
        scope: the ASGI scope.
        receive: the server's.
        send: the server's.

    Attributes:
        task: what the app runs in.
    """

    endless = True
    close = False
    last = False

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.task = _current_task()
        self._scope = scope
        self._send = send
        gone = {"type": "websocket.disconnect", "code": SERVICE_RESTART, "reason": _REASON}
        self._inbox = _inbox(receive, gone)
        self._closed = False

    def __repr__(self) -> str:
        return f"<WebSocketConnection {self.describe()}>"

    def describe(self) -> str:
        """That it is a WebSocket, and its path."""
        return f"WebSocket {self._scope['path']}"

    def receive(self) -> Awaitable[Message]:
        """What the app awaits for the next message from the client."""
        return self._inbox.next()

    async def send(self, message: Message) -> None:
        """What the app calls with its next message to the client."""
        if self._inbox.ended:
            return
        if message["type"] == "websocket.close":
            self._closed = True
        await self._send(message)

    @property
    def finished(self) -> bool:
        """Whether it was told to end."""
        return self._inbox.ended

    @property
    def told(self) -> bool:
        """Whether its app has learned that it was ended."""
        return self._inbox.told

    def finish(self) -> None:
        """Close it as a restarting server does: its client gets 1012, or no handshake, and its app a disconnect."""
        if not self._inbox.ended:
            self._inbox.end()
            if not self._closed:
                message = {"type": "websocket.close", "code": SERVICE_RESTART, "reason": _REASON}
                _in_background(lambda: self._send(message))

    def cancel(self) -> None:
        """Cancel the task that runs the app."""
        if self.task is not None:
            self.task.cancel()

    def release(self) -> None:
        """Let go of the server: the app is done."""
        self._inbox.close()


async def refuse(receive: Receive, send: Send, why: str) -> None:
    """Refuse a WebSocket that asks to be accepted; its client may come back at once."""
    await receive()
    await send({"type": "websocket.close", "code": SERVICE_RESTART, "reason": why})


def _current_task() -> Cancellable | None:
    """The task that runs the app; on trio there are scopes in place of tasks, and who wants to cancel sets one."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _inbox(receive: Receive, gone: Message) -> Inbox | TrioInbox:
    try:
        return Inbox(receive, gone)
    except RuntimeError:  # no loop of asyncio's runs
        from hotsession.asgi.trio_inbox import TrioInbox

        return TrioInbox(receive, gone)


_background: set[asyncio.Task[None]] = set()


def _in_background(send: Callable[[], Awaitable[None]]) -> None:
    """Send a last message without waiting for it."""

    async def sending() -> None:
        try:
            await send()
        except Exception as error:  # noqa: BLE001  servers differ in what they raise
            logger.debug("A client had left before it could be told the end: %r", error)

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        sys.modules["trio"].lowlevel.spawn_system_task(sending)
    else:
        task = loop.create_task(sending())
        _background.add(task)  # the loop itself holds its tasks only weakly
        task.add_done_callback(_background.discard)
