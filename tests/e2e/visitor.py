"""Somebody who talks to the chat example, over real HTTP and a real WebSocket."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any, Self

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
        self.hello = self.receive("hello")

    def history(self) -> dict[str, Any]:
        chat: dict[str, Any] = self.server.get("/api/chat").raise_for_status().json()
        return chat

    def texts(self) -> list[str]:
        return [message["text"] for message in self.history()["messages"]]

    def come_back(self) -> int | None:
        """Wait for the server to close the WebSocket, connect again, and return the code that it was closed with."""
        code = self.wait_for_close()
        self.connect()
        return code

    def wait_for_close(self) -> int | None:
        """Wait for the server to close the WebSocket, and return the code that it was closed with."""
        try:
            while True:
                self.socket.recv(DEADLINE)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None

    def new_code(self) -> str:
        """Wait for newer code to take over, which it says over the open WebSocket, and return what it is called."""
        code: str = self.receive("code")["code"]
        return code

    def ask(self, text: str, api_key: str = THRIFTY) -> dict[str, Any]:
        return self.send({"id": str(next(self.ids)), "text": text, "api_key": api_key})

    def send(self, message: object) -> dict[str, Any]:
        self.socket.send(message if isinstance(message, str) else json.dumps(message))
        return self.receive("answer", "error")

    def receive(self, *types: str) -> dict[str, Any]:
        """The next message of one of these types; others are passed over."""
        while True:
            message: dict[str, Any] = json.loads(self.socket.recv(DEADLINE))
            if message["type"] in types:
                return message
