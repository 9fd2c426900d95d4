"""One request or connection on one generation: what the host hands to the app in place of the server's callables.

Here is the place for carrying connections over to the next generation: the app never holds the server's own
`receive` and `send`, so that what is behind them can change hands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from starlette.types import Message, Receive, Scope, Send

from hotsession.asgi.inbox import Inbox

# WebSocket close code "Service Restart": the client may come back at once.
# (https://www.iana.org/assignments/websocket/websocket.xhtml)
SERVICE_RESTART = 1012
_REASON = "the server's code was reloaded"


class StreamEnded(OSError):
    """An app sent more of an event stream that was ended: what servers raise when the client has left."""


class HTTPExchange:
    """One HTTP request and its response. Never ends before the app is done, unless it is an event stream.

    Args:
        scope: the ASGI scope.
        receive: the server's.
        send: the server's.
        close: whether the client is asked to close its connection after the response.

    Attributes:
        endless: whether it turned out to be an event stream.
        finished: whether it was told to end.
    """

    __slots__ = ("_heard", "_inbox", "_receive", "_scope", "_send", "_task", "close", "endless", "finished")

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, close: bool = False) -> None:
        self.close = close
        self.endless = False
        self._scope = scope
        self._receive = receive
        self._send = send
        self._inbox: Inbox | None = None
        self._heard = False  # the whole request: who goes on to listen waits for the client to leave
        self.finished = False
        self._task = asyncio.current_task()

    def __repr__(self) -> str:
        return f"<HTTPExchange {self.describe()}>"

    def describe(self) -> str:
        """Method and path."""
        return f"{self._scope['method']} {self._scope['path']}"

    async def receive(self) -> Message:
        """What the app awaits for the next message from the client."""
        if self._heard or self.endless:
            if self._inbox is None:
                self._inbox = Inbox(self._receive, {"type": "http.disconnect"})
                if self.finished:
                    self._inbox.end()
            return await self._inbox.next()
        message = await self._receive()
        self._heard = message["type"] == "http.request" and not message.get("more_body", False)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """What the app calls with its next message to the client."""
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            self.endless = any(
                name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers
            )
            if self.close:
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
                if self.endless:
                    return self._begin_and_finish(message)
        elif self.finished:
            raise StreamEnded(_REASON)
        return self._send(message)

    async def _begin_and_finish(self, message: Message) -> None:
        """Let an event stream begin that has no time left: its client comes back to who takes over."""
        await self._send(message)
        self.finish()

    def finish(self) -> None:
        """End an event stream: its app sees the client leave, its client sees a complete response."""
        if self.finished or not self.endless:
            return
        self.finished = True
        if self._inbox is not None:
            self._inbox.end()
        _in_background(self._send({"type": "http.response.body", "body": b"", "more_body": False}))

    def cancel(self) -> None:
        """Cancel the task that runs the app."""
        if self._task is not None:
            self._task.cancel()

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
    """

    endless = True
    close = False

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._send = send
        gone = {"type": "websocket.disconnect", "code": SERVICE_RESTART, "reason": _REASON}
        self._inbox = Inbox(receive, gone)
        self._closed = False
        self._task = asyncio.current_task()

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

    def finish(self) -> None:
        """Close it as a restarting server does: its client gets 1012, or no handshake, and its app a disconnect."""
        if not self._inbox.ended:
            self._inbox.end()
            if not self._closed:
                message = {"type": "websocket.close", "code": SERVICE_RESTART, "reason": _REASON}
                _in_background(self._send(message))

    def cancel(self) -> None:
        """Cancel the task that runs the app."""
        if self._task is not None:
            self._task.cancel()

    def release(self) -> None:
        """Let go of the server: the app is done."""
        self._inbox.close()


async def refuse(receive: Receive, send: Send, why: str) -> None:
    """Refuse a WebSocket that asks to be accepted; its client may come back at once."""
    await receive()
    await send({"type": "websocket.close", "code": SERVICE_RESTART, "reason": why})


_background: set[asyncio.Task[None]] = set()


def _in_background(sending: Awaitable[None]) -> None:
    """Send a last message without waiting for it."""

    async def send() -> None:
        await sending

    task = asyncio.get_running_loop().create_task(send())
    _background.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[None]) -> None:
    _background.discard(task)
    if not task.cancelled():
        task.exception()  # the client has left already: there is nobody to tell
