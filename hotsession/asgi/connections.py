"""One request or connection: what an app is handed in place of the server's callables, so that it can be told to end.

Under a host of ours they move on to newer code: see `hotsession.asgi.carried_exchange` and `hotsession.asgi.stay`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import ClassVar

import anyio
from starlette.types import Message, Receive, Scope, Send

from hotsession.asgi.event_stream import EventStream
from hotsession.asgi.work import RELOADED, SECONDS, StreamEnded, Work, in_background

__all__ = ["SERVICE_RESTART", "HTTPExchange", "StreamEnded", "WebSocketConnection", "refuse"]

# WebSocket close code "Service Restart": the client may come back at once.
# (https://www.iana.org/assignments/websocket/websocket.xhtml)
SERVICE_RESTART = 1012


class HTTPExchange(Work):
    """One HTTP request and its response. Never ends before the app is done, unless it is a stream without end.

    Args:
        scope: the ASGI scope.
        receive: the server's.
        send: the server's.
        close: whether the client is asked to close its connection after the response.

    Attributes:
        last: whether a stream that begins now ends at once, because another process is about to take over.
    """

    gone: ClassVar[Message] = {"type": "http.disconnect"}

    close: bool = False
    last: bool = False
    _heard: bool = False  # the whole request: who goes on to listen waits for the client to leave
    _sending: int = 0  # parts of the stream that the server has not taken yet
    _stream: EventStream | None = None

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, close: bool = False) -> None:
        super().__init__(scope, receive, send)
        if close:
            self.close = True

    def describe(self) -> str:
        """Method and path."""
        return f"{self.scope['method']} {self.scope['path']}"

    @property
    def endless(self) -> bool:
        """Whether it turned out to be an event stream, or pictures that replace each other.

        An answer to a POST comes to its end: a model's, say, which would have to be asked for again.
        """
        return self._stream is not None and self.scope["method"] in ("GET", "HEAD")

    async def receive(self) -> Message:
        """What the app awaits for the next message from the client."""
        if self._heard or self._stream is not None:
            return await self._next()
        message = await self._receive()
        self._heard = message["type"] == "http.request" and not message.get("more_body", False)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """What the app calls with its next message to the client."""
        if message["type"] == "http.response.start":
            self._stream = EventStream.begun_by(message.get("headers", ()))
            if self.close or self.last:
                return self._begin_with_an_end(message)
        elif self._stream is not None:
            return self._pass_on(self._stream, message)
        return self._send(message)

    def _begin_with_an_end(self, message: Message) -> Awaitable[None]:
        """Send the start of a response whose client is asked to come back to who takes over."""
        if self.close:
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        return self._begin_and_finish(message) if self.endless else self._send(message)

    async def _begin_and_finish(self, message: Message) -> None:
        """Let a stream begin that has no time left: its client comes back to who takes over."""
        await self._send(message)
        self.finish()

    async def _pass_on(self, stream: EventStream, message: Message) -> None:
        """Send more of a stream. Once it was told to end, what completes the event that has begun is the last of it."""
        if self.finished and stream.over:
            return await self._refuse_to_send()
        message = stream.take(stream.up_to_border(message) if self.finished else message)
        self._sending += 1
        try:
            await self._send(message)
        finally:
            self._sending -= 1
        if self.finished and not stream.over and stream.between_events:
            self._end_with(stream.last())
        return None

    def finish(self) -> None:
        """End a stream without end: its client sees a complete response, its app sees the client leave."""
        stream = self._stream
        if self.finished or stream is None or stream.over:
            return
        if self._sending or not stream.between_events:
            self.finished = True
            in_background(lambda: self._finish_anyway(stream))
        else:
            self._end_with(stream.last())

    async def _finish_anyway(self, stream: EventStream) -> None:
        """End a stream whose app does not complete the event that it has begun."""
        await anyio.sleep(SECONDS)
        if not stream.over:
            self._end_with(stream.last())


class WebSocketConnection(Work):
    """One WebSocket.

    Args:
        scope: the ASGI scope.
        receive: the server's.
        send: the server's.
    """

    endless = True
    gone: ClassVar[Message] = {"type": "websocket.disconnect", "code": SERVICE_RESTART, "reason": RELOADED}

    close: bool = False
    last: bool = False
    _closed: bool = False

    def describe(self) -> str:
        """That it is a WebSocket, and its path."""
        return f"WebSocket {self.scope['path']}"

    def receive(self) -> Awaitable[Message]:
        """What the app awaits for the next message from the client."""
        return self._next()

    async def send(self, message: Message) -> None:
        """What the app calls with its next message to the client."""
        if self.finished:
            return await self._refuse_to_send()
        if message["type"] == "websocket.close":
            self._closed = True
        return await self._send(message)

    def _is_someone_else(self) -> bool:
        """A request that tells all WebSockets something must not fail for one that was ended just now."""
        return not isinstance(self.task, asyncio.Task) or asyncio.current_task() is not self.task

    def finish(self) -> None:
        """Close it as a restarting server does: its client gets 1012, or no handshake, and its app a disconnect."""
        if not self.finished:
            closing = {"type": "websocket.close", "code": SERVICE_RESTART, "reason": RELOADED}
            self._end_with(None if self._closed else closing)


async def refuse(receive: Receive, send: Send, why: str) -> None:
    """Refuse a WebSocket that asks to be accepted; its client may come back at once."""
    await receive()
    await send({"type": "websocket.close", "code": SERVICE_RESTART, "reason": why})
