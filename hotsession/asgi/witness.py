"""Sees to it that what a request changed is in the snapshot before its client can know that it is done.

It stands outside of everything else that belongs to the app, between it and the server, and only where there is a
snapshot: under a reloader. Knows the carrier, not what it carries.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hotsession.snapshot import touches

if TYPE_CHECKING:
    from hotsession.snapshot.carrier import Carrier

Around = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]

# Other messages that a body may end with.
_ENDS = frozenset({"http.response.pathsend", "http.response.zerocopysend", "http.response.trailers"})
_BODILESS = frozenset({204, 205, 304})  # complete for the client with their headers

# In the scope of who is witnessed. Not the context tells that: asyncio runs the next request of a connection in the
# context of one before it which paused and resumed reading, as a large upload does.
WITNESSED = "hotsession.witnessed"


async def run_witnessed(
    carrier: Carrier, app: ASGIApp, scope: Scope, receive: Receive, send: Send, around: Around | None = None
) -> None:
    """Run an app for one request or connection, and write what it changes in time.

    Args:
        carrier: writes it.
        app: the ASGI app.
        scope: of an HTTP request or a WebSocket.
        receive: the server's.
        send: the server's.
        around: runs the app, if it is not just to be called.
    """
    scope[WITNESSED] = True
    mine = carrier.records.touches.begin()
    reset = touches.current.set(mine)
    witness = Witness(carrier, mine, app)
    try:
        if around is None:
            await witness(scope, receive, send)
        else:
            await around(witness, scope, receive, send)
    finally:
        touches.current.reset(reset)
        carrier.after_request(mine)


class Witness:
    """Stands between an app and its server during one request or connection; it is called in place of the app.

    Args:
        carrier: writes what was changed.
        mine: what this request was given.
        app: the ASGI app.
    """

    __slots__ = ("_app", "_carrier", "_mine", "_progress", "_receive", "_send")

    def __init__(self, carrier: Carrier, mine: touches.Touches, app: ASGIApp) -> None:
        self._carrier = carrier
        self._mine = mine
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Run the app with `receive` and `send` that have its changes written in time."""
        self._receive = receive
        self._send = send
        if scope["type"] == "websocket":
            return self._app(scope, self.receive_from_socket, self.send_to_socket)
        self._progress = Progress(scope["method"])
        return self._app(scope, receive, self.send_response)

    def __repr__(self) -> str:
        return f"<Witness {self._mine!r}>"

    def send_response(self, message: Message) -> Awaitable[None]:
        """Pass on a message of a response; before the one that completes it, write."""
        self._progress.write_before(message, self._carrier, self._mine)
        return self._send(message)

    def send_to_socket(self, message: Message) -> Awaitable[None]:
        """Pass on a message of a WebSocket; before any, write."""
        if self._mine:
            self._carrier.acknowledge(self._mine)
        return self._send(message)

    def receive_from_socket(self) -> Awaitable[Message]:
        """Wait for the client's next message: what the last one led to is done, so write."""
        if self._mine:
            self._carrier.acknowledge(self._mine)
        return self._receive()


class Progress:
    """How far a response has come.

    Args:
        method: of its request.
    """

    __slots__ = ("_is_head", "_left")

    def __init__(self, method: str) -> None:
        self._is_head = method == "HEAD"  # the client asks for the headers alone
        self._left: int | None = None  # bytes up to Content-Length

    def __repr__(self) -> str:
        return f"<Progress {self._left} bytes left>"

    def write_before(self, message: Message, carrier: Carrier, mine: touches.Touches) -> None:
        """Write what the request changed, if this message completes the response for its client.

        Args:
            message: that is about to be sent; each of a response is to be told, in order.
            carrier: writes it.
            mine: what the request was given.
        """
        kind = message["type"]
        if kind == "http.response.start":
            self._left = _content_length(message)
            if self._is_head or self._left == 0 or message["status"] in _BODILESS:
                carrier.acknowledge(mine)
        elif kind == "http.response.body":
            if self._left is not None:
                self._left -= len(message.get("body", b""))
            if not message.get("more_body", False) or (self._left is not None and self._left <= 0):
                carrier.acknowledge(mine)
            else:
                carrier.keep_up(mine)
        elif kind in _ENDS:
            carrier.acknowledge(mine)


def _content_length(message: Message) -> int | None:
    """The length that the headers of a response promise, if they do."""
    for name, value in message.get("headers", ()):
        if name.lower() == b"content-length":
            try:
                return int(value)
            except ValueError:  # the server will say so
                return None
    return None
