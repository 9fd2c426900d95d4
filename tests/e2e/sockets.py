"""A client of one WebSocket that asks and hears in the test's own thread. Knows no app."""

from __future__ import annotations

from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.deadlines import DEADLINE
from tests.e2e.versioned import VersionedServer


def open_socket(server: VersionedServer, path: str, **options: Any) -> ClientConnection:
    """A client of a WebSocket; leaving its context closes it."""
    client: ClientConnection = connect(f"{server.ws_url}{path}", proxy=None, **options)
    return client


def ask(socket: ClientConnection, text: str) -> str:
    """Send a message and return what comes next."""
    socket.send(text)
    return hear(socket)


def hear(socket: ClientConnection) -> str:
    """What comes next."""
    return socket.recv(DEADLINE, decode=True)


def close_of(socket: ClientConnection) -> tuple[int, str]:
    """The code and the reason with which the server closes it, after whatever it still says; 1006 if it breaks off."""
    try:
        while True:
            hear(socket)
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
