"""Small projects on disk, served by a host in the test's own process and event loop: no server, no watcher, no client.

A project's `main.py` usually ends in ``app = answering(globals())``: then ``GET /name`` calls its function `name`.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import os
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hotsession.asgi.host import Host, HostOptions
from hotsession.events import Change, LoadFailed, Reloaded
from hotsession.registry import registry
from hotsession.reload.imports import Importer
from hotsession.reload.report import error_text
from hotsession.target import Target
from tests.deadlines import DEADLINE

App = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


def answering(namespace: Mapping[str, Any]) -> App:
    """An ASGI app that answers ``/name`` with what the function `name` of a module returns.

    A function that takes arguments gets the ASGI callables and answers by itself. The app has a lifespan if the module
    has functions `startup`, which gets the lifespan's state, or `shutdown`.
    """

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(namespace, scope, receive, send)
            return
        function = namespace[scope["path"].strip("/") or "index"]
        if inspect.signature(function).parameters:
            await function(scope, receive, send)
            return
        result = function()
        if inspect.isawaitable(result):
            result = await result
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(result).encode()})

    return app


async def _live(namespace: Mapping[str, Any], scope: Any, receive: Any, send: Any) -> None:
    assert "startup" in namespace or "shutdown" in namespace, "this app has no lifespan"
    for phase, arguments in (("startup", (scope["state"],)), ("shutdown", ())):
        await receive()
        try:
            result = namespace.get(phase, lambda *_: None)(*arguments)
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
            raise
        await send({"type": f"lifespan.{phase}.complete"})


class Barrier:
    """Holds whoever comes by until it is opened: a module that is being imported, a request, a lifespan."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()
        self._open.set()

    def close(self) -> None:
        """Hold who comes by from now on."""
        self._reached.clear()
        self._open.clear()

    def open(self) -> None:
        """Let go whoever is held."""
        self._open.set()

    def wait(self) -> None:
        """What is called by who can be held, in a thread that may block."""
        self._reached.set()
        assert self._open.wait(DEADLINE), "nobody opened the barrier"

    async def wait_async(self) -> None:
        """The same on an event loop, which goes on meanwhile."""
        await asyncio.to_thread(self.wait)

    async def reached(self) -> None:
        """Return when somebody is held."""
        assert await asyncio.to_thread(self._reached.wait, DEADLINE), "nobody came to the barrier"


barrier = Barrier()
"""What modules of a project import to be held: ``from tests.projects import barrier``."""

trace: list[Any] = []
"""Where modules of a project note what happened: ``from tests.projects import trace``."""


class Exchange:
    """A client's side of one request or connection to an ASGI app.

    Args:
        app: the app.
        path: what is asked for.
        kind: ``"http"`` or ``"websocket"``.
        headers: of the request.
        scope: further parts of the ASGI scope.
    """

    def __init__(
        self,
        app: App,
        path: str = "/",
        *,
        kind: str = "http",
        headers: tuple[tuple[bytes, bytes], ...] = (),
        **scope: Any,
    ) -> None:
        self.sent: list[dict[str, Any]] = []
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.scope = {
            "type": kind,
            "asgi": {"version": "3.0"},
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 4711),
            **scope,
        }
        self.say({"type": "http.request"} if kind == "http" else {"type": "websocket.connect"})
        self.task = asyncio.ensure_future(app(self.scope, self._incoming.get, self._send))

    def say(self, message: dict[str, Any]) -> None:
        """Send a message to the app."""
        self._incoming.put_nowait(message)

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self._outgoing.put_nowait(message)

    async def next(self) -> dict[str, Any]:
        """The next message of the app."""
        async with asyncio.timeout(DEADLINE):
            return await self._outgoing.get()

    async def end(self) -> Exchange:
        """Return when the app has ended."""
        async with asyncio.timeout(DEADLINE):
            await self.task
        return self

    @property
    def status(self) -> int:
        """The status of the response."""
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def text(self) -> str:
        """The body of the response so far."""
        return b"".join(message.get("body", b"") for message in self.sent).decode()


class Project:
    """Files below a directory, and the host that serves them.

    Args:
        path: the directory; nothing but the project lies in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.restarts: list[str] = []
        self._modules = set(sys.modules)
        self._search_path = list(sys.path)
        self._lifespan: Exchange | None = None

    async def __aenter__(self) -> Self:
        trace.clear()
        barrier.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        barrier.open()
        try:
            await self.stop()
        finally:
            self.leave_no_trace()

    def leave_no_trace(self) -> None:
        """Take what the project did to the process back."""
        importer: Importer = registry.object("importer", Importer)
        importer.uninstall()
        sys.path[:] = self._search_path
        for name in set(sys.modules) - self._modules:
            module = sys.modules[name]
            places = (getattr(module, "__file__", None), *getattr(module, "__path__", ()))
            if any(str(place).startswith(f"{self.path}{os.sep}") for place in places):
                del sys.modules[name]

    # files

    def write(self, files: Mapping[str, str | None]) -> frozenset[Change]:
        """Write files, or delete those that are None; return what a watcher would say."""
        changes = set()
        for name, text in files.items():
            path = self.path / name
            kind: Any = "deleted" if text is None else "modified" if path.exists() else "added"
            changes.add(Change(str(path), kind))
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text), encoding="utf-8")
        return frozenset(changes)

    # life

    async def start(self, files: Mapping[str, str | None], target: str = "main:app", **options: Any) -> bool:
        """Write files, import the app and start it; return whether it could be imported."""
        self.write(files)
        module, _, attribute = target.partition(":")
        defaults = {"watch_dirs": (self.path,), "watch": False}
        self.host = Host(
            Target(module, attribute or None, False, self.path),
            HostOptions(**{**defaults, **options}),
            on_restart=self.restarts.append,
        )
        loaded = await self.host.load()
        self._lifespan = Exchange(self.host, kind="lifespan")
        self._lifespan._incoming.get_nowait()
        self._lifespan.say({"type": "lifespan.startup"})
        assert (await self._lifespan.next())["type"] == "lifespan.startup.complete"
        return loaded

    async def stop(self) -> None:
        """Shut down as a server does."""
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is not None:
            lifespan.say({"type": "lifespan.shutdown"})
            assert (await lifespan.next())["type"] == "lifespan.shutdown.complete"
            await lifespan.end()

    async def save(self, files: Mapping[str, str | None]) -> Reloaded | LoadFailed | None:
        """Write files and act on that."""
        return await self.host.act(self.write(files))

    async def reload(self, files: Mapping[str, str | None]) -> Reloaded:
        """Write files, and insist on a new generation."""
        outcome = await self.save(files)
        if isinstance(outcome, LoadFailed):
            raise AssertionError(error_text(outcome.error, lambda path: True))
        assert outcome is not None, "nothing was reloaded"
        return outcome

    async def fail(self, files: Mapping[str, str | None]) -> LoadFailed:
        """Write files, and insist on a load that fails."""
        outcome = await self.save(files)
        assert isinstance(outcome, LoadFailed), outcome
        return outcome

    async def begin(self, files: Mapping[str, str | None]) -> asyncio.Task[Reloaded]:
        """Write files, and return when the load of them is held by the barrier."""
        barrier.close()
        task = asyncio.create_task(self.reload(files))
        reached = asyncio.create_task(barrier.reached())
        await asyncio.wait([task, reached], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            barrier.open()
            raise AssertionError(f"the load ended without coming to the barrier: {task.exception() or task.result()!r}")
        return task

    # requests

    def open(self, path: str = "/", **options: Any) -> Exchange:
        """Begin a request or connection."""
        return Exchange(self.host, path, **options)

    async def get(self, path: str = "/") -> str:
        """The body of an answer with status 200."""
        answer = await self.open(path).end()
        assert answer.status == 200, answer.text
        return answer.text

    async def drained(self) -> None:
        """Return when no generation but the one that serves has work left."""
        async with asyncio.timeout(DEADLINE):
            while others := [task for task in asyncio.all_tasks() if task.get_name().startswith("hotsession retires")]:
                await asyncio.wait(others)

    async def collect(self, found: Sequence[weakref.ref[Any]]) -> list[Any]:
        """Collect garbage until all of these are gone; return those that are not when the time is over.

        A thread that has done its work may need a moment to let go of it.
        """
        await self.drained()
        end = time.monotonic() + DEADLINE
        while True:
            gc.collect()
            alive = [each for each in found if each() is not None]
            if not alive or time.monotonic() > end:
                return [each() for each in alive]
            await asyncio.sleep(0.001)


async def until(condition: Callable[[], bool]) -> None:
    """Look until it is so, or the time is over."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def lines(caplog: Any, level: int = logging.INFO) -> list[str]:
    """What hotsession logged at this level or above."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= level and record.name.partition(".")[0] == "hotsession"
    ]
