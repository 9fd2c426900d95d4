"""Workers that are killed -9 at random moments under load lose nothing that a client was told.

It kills 25 times under each server. For 100, which takes some minutes:
``E2E_KILLS=100 python -m pytest tests/e2e/test_killed_workers.py``.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from tests.e2e.reloaders import DEADLINE, HOTSESSION, UVICORN, ReloadedServer, Reloader
from tests.e2e.servers import wait_until, write_project

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("E2E_KILLS", "25"))
COUNTER = """
    import os
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
        who: names the client.
        count: the last number that was acknowledged.
        unanswered: how often it asked since then without an answer; each may have been counted or not.
        pid: the worker that gave the last answer.
        answers: how many answers there were.
    """

    who: str
    count: int = 0
    unanswered: int = 0
    pid: int = 0
    answers: int = 0

    def told(self, answer: dict[str, int]) -> None:
        """Check a number: it follows the last one, but for what was asked and not answered."""
        least, most = self.count + 1, self.count + 1 + self.unanswered
        assert least <= answer["count"] <= most, f"{self} was told {answer}, which had to be {least} to {most}"
        self.count, self.unanswered, self.pid = answer["count"], 0, answer["pid"]
        self.answers += 1


def ask_over_http(url: str, tally: Tally, done: threading.Event) -> None:
    """Count up over HTTP, until it is done."""
    with httpx.Client(trust_env=False, timeout=DEADLINE) as client:
        while not done.is_set():
            try:
                answer = client.get(url)
            except httpx.TransportError:
                tally.unanswered += 1
                continue
            tally.told(answer.raise_for_status().json())


def ask_over_websocket(url: str, tally: Tally, done: threading.Event) -> None:
    """Count up over a WebSocket, and over the next one when it breaks, until it is done."""
    with httpx.Client(trust_env=False, timeout=DEADLINE) as client:
        cookie = client.get(url.removesuffix("talk")).raise_for_status().headers["set-cookie"]
    tally.count = 1
    headers = {"Cookie": cookie.partition(";")[0]}
    while not done.is_set():
        try:
            with connect(f"ws{url.removeprefix('http')}", additional_headers=headers, proxy=None) as socket:
                while not done.is_set():
                    tally.unanswered += 1
                    socket.send("count")
                    answer = json.loads(socket.recv(DEADLINE))
                    tally.unanswered -= 1
                    tally.told(answer)
        except (OSError, EOFError, InvalidHandshake, ConnectionClosed):
            continue


CLIENTS: dict[str, Callable[[str, Tally, threading.Event], None]] = {
    "/plain/": ask_over_http,
    "/plain/thread": ask_over_http,
    "/around/": ask_over_http,
    "/within/": ask_over_http,
    "/plain/talk": ask_over_websocket,
    "/around/talk": ask_over_websocket,
}

DEADLY = [f"/{app}/{path}" for app in ("plain", "around", "within") for path in ("", "thread", "stream", "talk")]


@pytest.mark.parametrize("reloader", [UVICORN, HOTSESSION], ids=str)
def test_what_was_acknowledged_is_there_after_kill_9(reloader: Reloader, tmp_path: Path) -> None:
    """Plain, from threads, under and around BaseHTTPMiddleware and over WebSockets every number follows the last."""
    project = write_project(tmp_path / "project", {"counter.py": COUNTER})
    seed = random.randrange(10**6)
    print(f"the moments are those of seed {seed}")
    done = threading.Event()
    tallies = [Tally(path) for path in CLIENTS]
    with (
        ReloadedServer(reloader, "counter:app", project, more=("--no-access-log",), ready="/plain/") as server,
        ThreadPoolExecutor(len(CLIENTS)) as pool,
    ):
        clients = [pool.submit(CLIENTS[tally.who], f"{server.url}{tally.who}", tally, done) for tally in tallies]
        try:
            kill_again_and_again(server, tallies, clients, random.Random(seed))
        finally:
            done.set()
        for client in clients:
            client.result()
    print({tally.who: tally.answers for tally in tallies})


@pytest.mark.parametrize("reloader", [UVICORN, HOTSESSION], ids=str)
def test_what_was_acknowledged_is_there_however_soon_the_worker_died(reloader: Reloader, tmp_path: Path) -> None:
    """A worker that is killed right after the last byte went out had written before, whatever is around the session."""
    project = write_project(tmp_path / "project", {"counter.py": COUNTER})
    with ReloadedServer(reloader, "counter:app", project, more=("--no-access-log",), ready="/plain/") as server:
        server.client.cookies.clear()
        told = [server.get("/plain/").json()["count"]]
        for number, path in enumerate(DEADLY):
            told.append(last_word(server, path))
            if not reloader.in_place:
                server.edit("counter.py", f"SAVES = {1000 + number}", f"SAVES = {1001 + number}")
            told.append(server.patiently(lambda: server.get("/plain/").json()["count"]))
    assert told == [*range(1, 2 * len(DEADLY) + 2)]


def last_word(server: ReloadedServer, path: str) -> int:
    """Ask the worker for a number after which it kills itself."""
    if not path.endswith("/talk"):
        answer: dict[str, int] = server.get(f"{path}?die").raise_for_status().json()
        return answer["count"]
    cookie = f"session={server.client.cookies['session']}"
    with connect(f"{server.ws_url}{path}?die", additional_headers={"Cookie": cookie}, proxy=None) as socket:
        socket.send("count")
        count: int = json.loads(socket.recv(DEADLINE))["count"]
        return count


def kill_again_and_again(
    server: ReloadedServer, tallies: list[Tally], clients: list[Future[None]], moments: random.Random
) -> None:
    """Kill the worker, once every client has heard of it, and bring the next one where only a save does."""
    wait_for_others_than(0, tallies, clients)
    for number in range(KILLS):
        time.sleep(moments.uniform(0, 0.05))  # nothing is ordered by it: this is the random moment
        killed = tallies[0].pid
        os.kill(killed, signal.SIGKILL)
        if not server.reloader.in_place:
            server.edit("counter.py", f"SAVES = {1000 + number}", f"SAVES = {1001 + number}")
        wait_for_others_than(killed, tallies, clients)


def wait_for_others_than(killed: int, tallies: list[Tally], clients: list[Future[None]]) -> None:
    """Wait until every client has an answer of another worker than the killed one."""

    def heard() -> bool:
        for client in clients:
            if client.done():
                client.result()
        return all(tally.pid != killed for tally in tallies)

    wait_until(heard, 2 * DEADLINE, f"answers of another worker than {killed}: {tallies}")
