"""Somebody who talks to the chat example, over real HTTP and a real WebSocket."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any, Self

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server

THRIFTY, GRAND = "demo-thrifty", "demo-grand"


class Visitor:
    """Somebody who chats: a cookie, and a WebSocket that comes back when the server closes it, as the page's does."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ids = itertools.count()
        self.stack = contextlib.ExitStack()
        self.history()  # for the cookie
        self.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def connect(self) -> None:
        cookies = "; ".join(f"{name}={value}" for name, value in self.server.client.cookies.items())
        url = f"{self.server.ws_url}/api/talk"
        self.stack.close()
        self.socket = self.stack.enter_context(
            connect(url, additional_headers={"Cookie": cookies}, proxy=None, open_timeout=DEADLINE)
        )
        self.hello: dict[str, Any] = json.loads(self.socket.recv(DEADLINE))

    def history(self) -> dict[str, Any]:
        chat: dict[str, Any] = self.server.get("/api/chat").raise_for_status().json()
        return chat

    def texts(self) -> list[str]:
        return [message["text"] for message in self.history()["messages"]]

    def come_back(self) -> int | None:
        """Wait for the server to close the WebSocket, connect again, and return the code that it was closed with."""
        with pytest.raises(ConnectionClosed) as closed:
            self.socket.recv(DEADLINE)
        self.connect()
        return closed.value.rcvd.code if closed.value.rcvd else None

    def ask(self, text: str, api_key: str = THRIFTY) -> dict[str, Any]:
        return self.send({"id": str(next(self.ids)), "text": text, "api_key": api_key})

    def send(self, message: object) -> dict[str, Any]:
        self.socket.send(message if isinstance(message, str) else json.dumps(message))
        reply: dict[str, Any] = json.loads(self.socket.recv(DEADLINE))
        return reply
