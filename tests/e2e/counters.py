"""An app that counts, in every way to have a session, and clients that check that no number is ever lost.

It knows nothing about how the server is restarted or killed meanwhile.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from tests.deadlines import DEADLINE
from tests.e2e.servers import wait_until

COUNTER = """
    import asyncio
    import os
    import pathlib
    import signal

    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Mount, Route, WebSocketRoute

    from hotsession import HotSessionMiddleware

    SAVES = 1000
    PADDING = "x" * 2000

    def counted(session):
        seen = session.setdefault("seen", {"padding": PADDING, "count": 0})
        seen["count"] += 1
        return {"count": seen["count"], "pid": os.getpid(), "saves": SAVES}

    async def count(request):
        return JSONResponse(counted(request.session))

    def count_in_thread(request):
        return JSONResponse(counted(request.session))

    async def count_slowly(request):
        pathlib.Path("arrived").touch()
        while not pathlib.Path("go").exists():
            await asyncio.sleep(0.01)
        return JSONResponse(counted(request.session))

    async def look(request):
        return JSONResponse({"count": request.session.get("seen", {}).get("count", 0), "pid": os.getpid()})

    async def talk(websocket):
        await websocket.accept()
        async for _ in websocket.iter_text():
            await websocket.send_json(counted(websocket.session))

    async def dispatch(request, call_next):
        return await call_next(request)

    async def stream(request):
        told = counted(request.session)

        async def parts():
            yield "{"
            yield ", ".join(f'"{name}": {value}' for name, value in told.items())
            yield "}"

        return StreamingResponse(parts(), media_type="application/json")

    class Deadly:
        # Kills the process as soon as the last byte of an answer has gone out, if it is asked to.

        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            left = None

            async def sent(message):
                nonlocal left
                await send(message)
                if message["type"] == "http.response.start":
                    length = dict(message["headers"]).get(b"content-length")
                    left = None if length is None else int(length)
                elif message["type"] == "http.response.body":
                    left = None if left is None else left - len(message.get("body", b""))
                    if left == 0 or not message.get("more_body"):
                        os.kill(os.getpid(), signal.SIGKILL)
                elif message["type"] == "websocket.send":
                    os.kill(os.getpid(), signal.SIGKILL)

            deadly = scope["type"] != "lifespan" and scope["query_string"] == b"die"
            await self.app(scope, receive, sent if deadly else send)

    sessions, base = Middleware(HotSessionMiddleware), Middleware(BaseHTTPMiddleware, dispatch=dispatch)
    routes = [
        Route("/", count),
        Route("/thread", count_in_thread),
        Route("/stream", stream),
        Route("/slow", count_slowly),
        Route("/look", look),
        WebSocketRoute("/talk", talk),
    ]
    app = Deadly(Starlette(routes=[
        Mount("/plain", Starlette(routes=routes, middleware=[sessions])),
        Mount("/around", Starlette(routes=routes, middleware=[base, sessions])),
        Mount("/within", Starlette(routes=routes, middleware=[sessions, base])),
    ]))
"""


@dataclass
class Tally:
    """What one client was told.

    Args:
        path: what it asks for.
        count: the last number that was acknowledged.
        unanswered: how often it asked since then without an answer; each may have been counted or not.
        broken: how often it got no answer at all.
        answers: how many answers there were.
        pid: the worker that gave the last one.
    """

    path: str
    count: int = 0
    unanswered: int = 0
    broken: int = 0
    answers: int = 0
    pid: int = 0

    def told(self, answer: dict[str, int]) -> None:
        """Check a number: it follows the last one, but for what was asked and not answered."""
        least, most = self.count + 1, self.count + 1 + self.unanswered
        assert least <= answer["count"] <= most, f"{self} was told {answer}, which had to be {least} to {most}"
        self.count, self.unanswered, self.pid = answer["count"], 0, answer["pid"]
        self.answers += 1

    def not_told(self) -> None:
        """Note that a number may have been counted, and nobody heard of it."""
        self.unanswered += 1
        self.broken += 1


class Load:
    """Clients that count up without a pause, each in a way of its own, while the context lasts; leaving it checks them.

    Args:
        url: of the server that serves `COUNTER`.
    """

    def __init__(self, url: str) -> None:
        self.tallies = [Tally(path) for path in CLIENTS]
        self._url = url
        self._done = threading.Event()
        self._pool = ThreadPoolExecutor(len(CLIENTS))
        self._clients: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._clients = [
            self._pool.submit(CLIENTS[tally.path], f"{self._url}{tally.path}", tally, self._done)
            for tally in self.tallies
        ]
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._pool.shutdown()
        for client in self._clients:
            client.result()

    def wait_for_another_than(self, worker: int) -> int:
        """Wait until every client has heard of another worker than that process, and return which."""
        self._wait_until(lambda: all(tally.pid != worker for tally in self.tallies))
        return self.tallies[0].pid

    def wait_for_answers(self) -> None:
        """Wait until every client has one more answer."""
        before = [tally.answers for tally in self.tallies]
        self._wait_until(lambda: all(tally.answers > old for tally, old in zip(self.tallies, before, strict=True)))

    def _wait_until(self, heard: Callable[[], bool]) -> None:
        def heard_or_failed() -> bool:
            for client in self._clients:
                if client.done():
                    client.result()
            return heard()

        wait_until(heard_or_failed, 2 * DEADLINE, f"answers to all of {self.tallies}")


def _ask_over_http(url: str, tally: Tally, done: threading.Event) -> None:
    with httpx.Client(trust_env=False, timeout=DEADLINE) as client:
        while not done.is_set():
            try:
                answer = client.get(url)
            except httpx.ConnectError:
                tally.broken += 1  # nobody can have counted
            except httpx.TransportError:
                tally.not_told()
            else:
                tally.told(answer.raise_for_status().json())


def _ask_over_websocket(url: str, tally: Tally, done: threading.Event) -> None:
    """Count up over a WebSocket, and over the next one when it breaks."""
    with httpx.Client(trust_env=False, timeout=DEADLINE) as client:
        answer = client.get(url.removesuffix("talk")).raise_for_status()
    tally.told(answer.json())
    headers = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    while not done.is_set():
        try:
            with connect(
                f"ws{url.removeprefix('http')}", additional_headers=headers, proxy=None, open_timeout=DEADLINE
            ) as socket:
                while not done.is_set():
                    _count_once(socket, tally)
        except (OSError, EOFError, InvalidHandshake, ConnectionClosed):
            continue


def _count_once(socket: ClientConnection, tally: Tally) -> None:
    try:
        socket.send("count")
        answer = json.loads(socket.recv(DEADLINE))
    except (OSError, EOFError, ConnectionClosed):
        tally.not_told()
        raise
    tally.told(answer)


CLIENTS: dict[str, Callable[[str, Tally, threading.Event], None]] = {
    "/plain/": _ask_over_http,
    "/plain/thread": _ask_over_http,
    "/plain/stream": _ask_over_http,
    "/around/": _ask_over_http,
    "/within/": _ask_over_http,
    "/plain/talk": _ask_over_websocket,
    "/around/talk": _ask_over_websocket,
}
