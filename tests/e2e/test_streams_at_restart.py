"""Open event streams and WebSockets, and a request that takes its time, when a process reloader restarts the app."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.deadlines import DEADLINE
from tests.e2e.browser import browser, needs_browser
from tests.e2e.reloaders import PROCESS_RELOADERS, UVICORN, ReloadedServer, Reloader
from tests.e2e.servers import wait_until, write_project

pytestmark = pytest.mark.e2e

REQUEST_SECONDS = 2.0
# What a restart may take longer with streams than without: how far two restarts differ on a busy machine.
TOLERANCE = 1.0  # seconds, and half of what it takes
LAST_WORDS = {
    "/events": b"data: 321\n\nretry: 250\n\n",
    "/chatty": b"retry: 250\n\n",
    "/deaf": b"data: deaf\n\nretry: 250\n\n",
    "/pictures": b"--frame\r\ncontent-type: image/jpeg\r\n\r\nnone\r\n",
}
"""What is received of each stream, leaving out ticks."""

APP = '''
    import asyncio

    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Route, WebSocketRoute

    from hotsession import HotSessionMiddleware

    VERSION = "1"
    PAGE = """<!doctype html><title>feed</title><script>
        let lost = null
        const source = new EventSource("/events")
        source.onerror = () => { lost ??= performance.now() }
        source.onmessage = event => {
            const pause = lost === null ? 0 : performance.now() - lost
            document.title = event.data + " after " + Math.round(pause) + " ms"
        }
    </script>"""
    running = []


    async def index(request):
        request.session["visits"] = request.session.get("visits", 0) + 1
        return PlainTextResponse(VERSION)


    async def page(request):
        return HTMLResponse(PAGE)


    async def slow(request):
        running.append("slow")
        await asyncio.sleep(REQUEST_SECONDS)
        return PlainTextResponse(f"slow {VERSION}")


    async def busy(request):
        return PlainTextResponse(" ".join(running))


    async def events(request):
        async def silent():
            yield f"data: {VERSION}\\n\\n"
            await asyncio.Event().wait()

        return StreamingResponse(silent(), media_type="text/event-stream")


    async def chatty(request):
        async def ticking():
            while True:
                yield b"data: tick"
                await asyncio.sleep(0.001)
                yield b"\\n\\n"
                await asyncio.sleep(0.02)

        return StreamingResponse(ticking(), media_type="text/event-stream")


    class Deaf:
        async def __call__(self, scope, receive, send):
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"data: deaf\\n\\n", "more_body": True})
            await asyncio.Event().wait()


    async def pictures(request):
        async def frames():
            yield b"--frame\\r\\ncontent-type: image/jpeg\\r\\n\\r\\nnone\\r\\n"
            await asyncio.Event().wait()

        return StreamingResponse(frames(), media_type="multipart/x-mixed-replace; boundary=frame")


    async def socket(websocket):
        await websocket.accept()
        await websocket.send_text(VERSION)
        while True:
            await websocket.receive_text()


    async def ticker(websocket):
        await websocket.accept()
        while True:
            await websocket.send_text("tick")
            await asyncio.sleep(0.02)


    app = Starlette(
        routes=[
            Route("/", index),
            Route("/page", page),
            Route("/slow", slow),
            Route("/busy", busy),
            Route("/events", events),
            Route("/chatty", chatty),
            Route("/deaf", Deaf()),
            Route("/pictures", pictures),
            WebSocketRoute("/socket", socket),
            WebSocketRoute("/ticker", ticker),
        ]
    )
    app.add_middleware(HotSessionMiddleware)
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_feed(tmp_path / "project", REQUEST_SECONDS)


def write_feed(directory: Path, seconds: float) -> Path:
    """The app, whose slow request takes so long."""
    return write_project(directory, {"feed.py": APP.replace("REQUEST_SECONDS", str(seconds))})


class Stream:
    """A page's event stream, read in the background until it ends."""

    def __init__(self, server: ReloadedServer, path: str) -> None:
        self.received = b""
        self.error: Exception | None = None
        self._began = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(f"{server.url}{path}",), daemon=True)
        self._thread.start()
        assert self._began.wait(DEADLINE), f"{path} did not begin"

    def _read(self, url: str) -> None:
        try:
            with httpx.stream("GET", url, timeout=DEADLINE, trust_env=False) as response:
                for part in response.iter_raw():
                    self.received += part
                    self._began.set()
        except httpx.HTTPError as error:
            self.error = error

    def end(self) -> bytes:
        """What was received in all, once it has ended as a complete response."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), f"it goes on: {self.received!r}"
        assert self.error is None, f"it was cut off: {self.error!r}"
        return self.received


@contextlib.contextmanager
def open_socket(server: ReloadedServer, path: str) -> Iterator[ClientConnection]:
    with connect(f"{server.ws_url}{path}", proxy=None, open_timeout=DEADLINE) as socket:
        socket.recv(DEADLINE)
        yield socket


def close_code(socket: ClientConnection) -> int | None:
    """The code with which the server closes it."""
    try:
        while True:
            socket.recv(DEADLINE)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


@contextlib.contextmanager
def slow_request(server: ReloadedServer) -> Iterator[Future[httpx.Response]]:
    """A request that is being answered when the block begins."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.get, f"{server.url}/slow", timeout=DEADLINE, trust_env=False)
        wait_until(lambda: server.get("/busy").text == "slow", what="the request to arrive")
        yield answer


def restart(server: ReloadedServer, old: str, new: str) -> float:
    """Save a new version, wait until it answers, and return how many seconds that took."""
    began = time.monotonic()
    server.edit("feed.py", f'VERSION = "{old}"', f'VERSION = "{new}"')
    wait_until(lambda: server.get("/").text == new, what=f"version {new}")
    return time.monotonic() - began


@pytest.mark.parametrize("reloader", PROCESS_RELOADERS, ids=str)
def test_open_streams_cost_a_restart_no_time(reloader: Reloader, project: Path, record_property: Any) -> None:
    """The next worker is up as soon as without them; they have ended cleanly, and the request was answered."""
    with ReloadedServer(reloader, "feed:app", project) as server:
        idle = restart(server, "1", "21")
        with slow_request(server):
            without = restart(server, "21", "321")
        with (
            open_socket(server, "/socket") as socket,
            open_socket(server, "/ticker") as ticker,
            slow_request(server) as answer,
        ):
            streams = {path: Stream(server, path) for path in LAST_WORDS}
            took = restart(server, "321", "4321")
            assert answer.result(DEADLINE).text == "slow 321"
            assert [close_code(each) for each in (socket, ticker)] == [1012, 1012]
            received = {path: stream.end() for path, stream in streams.items()}
        for name, seconds in (("idle", idle), ("request", without), ("request and streams", took)):
            record_property(name, f"{seconds:.2f} s")
        print(f"{reloader}: idle {idle:.2f} s, with a request {without:.2f} s, with streams as well {took:.2f} s")
        for path, last in LAST_WORDS.items():
            assert received[path].replace(b"data: tick\n\n", b"") == last
        assert took <= 1.5 * without + TOLERANCE
        assert "Traceback" not in server.log


def test_a_grace_for_requests_is_not_used_up_by_streams(project: Path) -> None:
    """`--timeout-graceful-shutdown` is for requests that take too long: no stream waits for it and is cancelled."""
    patient = dataclasses.replace(UVICORN, command=(*UVICORN.command, "--timeout-graceful-shutdown", "3"))
    with ReloadedServer(patient, "feed:app", project) as server, slow_request(server) as answer:
        stream = Stream(server, "/events")
        restart(server, "1", "21")
        assert answer.result(DEADLINE).text == "slow 1"
        assert stream.end() == b"data: 1\n\nretry: 250\n\n"
        assert "Cancel" not in server.log


@needs_browser
def test_a_page_comes_back_at_once(project: Path, tmp_path: Path) -> None:
    """A browser waits for three seconds before it opens an event stream anew, unless it was told otherwise."""
    with ReloadedServer(UVICORN, "feed:app", project) as server, browser(tmp_path / "profile") as driver:
        driver.get(f"{server.url}/page")
        wait_until(lambda: driver.title == "1 after 0 ms")
        restart(server, "1", "21")
        title = wait_until(lambda: re.fullmatch(r"21 after (\d+) ms", driver.title))
        print(driver.title)
        assert title is not None
        assert int(title[1]) < 2500


def test_stopping_waits_for_no_stream(project: Path) -> None:
    """Ctrl+C ends the dev server at once, whatever is open."""
    with ReloadedServer(UVICORN, "feed:app", project) as server, open_socket(server, "/socket") as socket:
        stream = Stream(server, "/events")
        server.stop()
        assert stream.end() == b"data: 1\n\nretry: 250\n\n"
        assert close_code(socket) == 1012


def test_a_request_that_holds_up_the_restart_is_named(tmp_path: Path) -> None:
    """After ten seconds the log says what the new code is waiting for."""
    with ReloadedServer(UVICORN, "feed:app", write_feed(tmp_path / "project", 12)) as server:
        with slow_request(server) as answer:
            server.edit("feed.py", 'VERSION = "1"', 'VERSION = "21"')
            server.wait_for_line(r"The restart waits for GET /slow, which began 1\d s ago\.")
            assert answer.result(DEADLINE).text == "slow 1"
        wait_until(lambda: server.get("/").text == "21")
