"""A browser in this process: asks an ASGI app and keeps its cookies. Runs on asyncio and trio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Scope


@dataclass
class Answer:
    """What the app sent: all messages, and what they say."""

    messages: list[Message] = field(default_factory=list)

    @property
    def start(self) -> Message:
        """The message with the headers."""
        return next(message for message in self.messages if "headers" in message or "status" in message)

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.start["status"])

    def header(self, name: str) -> list[str]:
        """All values of a header."""
        pairs = self.start.get("headers", [])
        return [value.decode("latin-1") for key, value in pairs if key.lower() == name.encode()]

    @property
    def cookie(self) -> str | None:
        """The one Set-Cookie header, None without."""
        cookies = self.header("set-cookie")
        assert len(cookies) <= 1, cookies
        return cookies[0] if cookies else None

    @property
    def json(self) -> Any:
        """What the body says."""
        return json.loads(b"".join(message.get("body", b"") for message in self.messages))

    @property
    def received(self) -> list[Any]:
        """What came over the WebSocket."""
        return [json.loads(message["text"]) for message in self.messages if message["type"] == "websocket.send"]


class Browser:
    """Asks an app, with the cookies that the app gave.

    Args:
        app: the ASGI app.
        cookies: what it sends at first.
    """

    def __init__(self, app: ASGIApp, cookies: dict[str, str] | None = None) -> None:
        self.app = app
        self.cookies: dict[str, str] = dict(cookies or {})

    async def get(self, path: str) -> Answer:
        """Ask for a path."""
        return await self._ask("GET", path, b"")

    async def post(self, path: str, data: Any = None) -> Answer:
        """Send data to a path."""
        return await self._ask("POST", path, json.dumps(data).encode())

    async def websocket(self, path: str, said: Sequence[Any] = ()) -> Answer:
        """Connect, say something and go."""
        incoming: list[Message] = [{"type": "websocket.connect"}]
        incoming += [{"type": "websocket.receive", "text": json.dumps(each)} for each in said]
        incoming.append({"type": "websocket.disconnect", "code": 1000})
        extensions: dict[str, Any] = {"websocket.http.response": {}}
        return await self._run(
            {**self._scope("websocket", path), "subprotocols": [], "extensions": extensions}, incoming
        )

    async def _ask(self, method: str, path: str, body: bytes) -> Answer:
        return await self._run(
            {**self._scope("http", path), "method": method},
            [{"type": "http.request", "body": body, "more_body": False}],
        )

    def _scope(self, kind: str, path: str) -> Scope:
        headers = [(b"host", b"testserver"), (b"content-type", b"application/json")]
        if self.cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            headers.append((b"cookie", pairs.encode("latin-1")))
        return {
            "type": kind,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "scheme": "http" if kind == "http" else "ws",
            "server": ("testserver", 80),
            "client": ("testclient", 50000),
            "http_version": "1.1",
            "asgi": {"version": "3.0"},
        }

    async def _run(self, scope: Scope, incoming: list[Message]) -> Answer:
        answer, over = Answer(), anyio.Event()

        async def receive() -> Message:
            if incoming:
                return incoming.pop(0)
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            answer.messages.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                over.set()
            self._take_cookies(message)

        await self.app(scope, receive, send)
        return answer

    def _take_cookies(self, message: Message) -> None:
        for name, value in message.get("headers") or ():
            if name.lower() == b"set-cookie":
                for key, morsel in SimpleCookie(value.decode("latin-1")).items():
                    if "1970" in morsel["expires"] or morsel["max-age"] == "0":
                        self.cookies.pop(key, None)
                    else:
                        self.cookies[key] = morsel.value
