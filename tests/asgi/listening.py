"""A client of event streams for tests: httpx's ASGI transport waits for the end of a response, and these have none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
from anyio.abc import TaskGroup
from starlette.types import ASGIApp, Message

from tests.deadlines import DEADLINE


class Event(NamedTuple):
    """One event as a browser reads it."""

    name: str
    id: str
    data: Any


class Listener:
    """One request for an event stream, read event by event.

    Args:
        path: with the query.
        headers: of the request.
        method: of the request.
    """

    def __init__(self, path: str, headers: dict[str, str], method: str = "GET") -> None:
        self.path, _, self.query = path.partition("?")
        self.headers = headers
        self.method = method
        self.status = 0
        self.answered: dict[str, str] = {}
        self.body = b""
        self.ended = False  # by the app, with a last message
        self.done = anyio.Event()
        self.takes = anyio.Event()  # the network takes what is sent
        self.takes.set()
        self.is_gone = False
        self._leaving = anyio.Event()
        self._more = anyio.Event()
        self._read = 0

    async def run(self, app: ASGIApp) -> None:
        """Ask an app, and listen until it has answered."""
        scope = {
            "type": "http",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "root_path": "",
            "query_string": self.query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in {"host": "test", **self.headers}.items()],
            "client": ("127.0.0.1", 1234),
            "server": ("test", 80),
            "scheme": "http",
            "http_version": "1.1",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
        }
        await app(scope, self._receive, self._send)
        self.done.set()
        self._more.set()

    def leave(self) -> None:
        """Close the connection."""
        self._leaving.set()

    async def next(self, *names: str) -> Event:
        """The next event, or the next with one of these names."""
        with anyio.fail_after(DEADLINE):
            while True:
                block, border, _ = self.body[self._read :].partition(b"\n\n")
                if not border:
                    assert not self.done.is_set(), f"the stream ended: {self.body!r}"
                    self._more = anyio.Event()
                    await self._more.wait()
                    continue
                self._read += len(block) + 2
                event = parsed(block.decode())
                if event is not None and (not names or event.name in names):
                    return event

    async def until(self, text: bytes) -> None:
        """Wait until the stream has a text."""
        with anyio.fail_after(DEADLINE):
            while text not in self.body:
                self._more = anyio.Event()
                await self._more.wait()

    async def _receive(self) -> Message:
        if self.status == 0:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._leaving.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self.is_gone:
            raise OSError("the client is gone")
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.answered = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        await self.takes.wait()
        self.body += message.get("body", b"")
        self.ended = not message.get("more_body", False)
        self._more.set()


async def eventually(predicate: Callable[[], object]) -> None:
    """Wait until something is so, of which nobody tells."""
    with anyio.fail_after(DEADLINE):
        while not predicate():  # noqa: ASYNC110  the pause of a poll with a deadline
            await anyio.sleep(0.001)


def parsed(block: str) -> Event | None:
    """An event of its lines; None for a block that has none, such as a comment."""
    fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
    return Event(fields["event"], fields["id"], json.loads(fields["data"])) if "event" in fields else None


class Audience:
    """Who listens to one app.

    Args:
        app: the app.
        group: what they run in.
    """

    def __init__(self, app: ASGIApp, group: TaskGroup) -> None:
        self.app = app
        self._group = group

    def listen(self, path: str = "/events", method: str = "GET", **headers: str) -> Listener:
        """Let one more listen; ``last_event_id`` is the header ``Last-Event-ID``."""
        listener = Listener(path, {name.replace("_", "-"): value for name, value in headers.items()}, method)
        self._group.start_soon(listener.run, self.app)
        return listener


@asynccontextmanager
async def audience(app: ASGIApp) -> AsyncIterator[Audience]:
    """Who listens to an app, until the test is over."""
    async with anyio.create_task_group() as group:
        yield Audience(app, group)
        group.cancel_scope.cancel()
