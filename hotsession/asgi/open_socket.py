"""What a stay knows of the WebSocket that it is a part of."""

from __future__ import annotations

from typing import Any, Protocol

from starlette.types import Receive, Scope, Send


class Socket(Protocol):
    """The connection, which outlives its stays.

    Attributes:
        scope: the ASGI scope.
        receive: the server's.
        forward: the server's `send`.
        opened: whether a handler was given the server's ``websocket.connect``.
        accepted: whether a handler has accepted it.
        closed: whether a handler has closed or refused it.
        gone: whether a handler has seen the client leave.
        carried: what its sessions are.
        connection: its id.
        state: of the app's own.
    """

    state: dict[str, Any]
    carried: dict[str, Any]
    connection: str
    scope: Scope
    receive: Receive
    forward: Send
    opened: bool
    accepted: bool
    closed: bool
    gone: bool

    def move(self) -> None:
        """Let the next stay begin, though the last one goes on."""
        ...
