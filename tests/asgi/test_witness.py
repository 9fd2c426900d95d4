"""What a request changed is in the snapshot before its client can know that it is done."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from hotsession.asgi.middleware import HotSessionMiddleware
from hotsession.lifecycle.current import current_session
from hotsession.snapshot import touches
from tests.asgi.browser import Browser
from tests.asgi.observed import Server, reloaded
from tests.effort import times
from tests.snapshot.carriers import Process, Start

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both of anyio's backends."""
    return str(request.param)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a process under a reloader."""
    with reloaded(tmp_path / "snapshot", monkeypatch) as found:
        yield found


def say(request: Any) -> list[str]:
    """Change the session in a way that nobody is told of."""
    said: list[str] = request.session["said"]
    said.append(f"{len(said)}")
    return said


async def begin(request: Request) -> Response:
    request.session["said"] = []
    return PlainTextResponse("begun")


async def plain(request: Request) -> Response:
    return JSONResponse(say(request))


async def chunked(request: Request) -> Response:
    async def stream() -> AsyncIterator[str]:
        for _ in range(3):
            yield "".join(say(request))

    return StreamingResponse(stream())


async def sized(request: Request) -> Response:
    """A stream whose last part is not known as such, and which goes on changing things after it."""

    async def stream() -> AsyncIterator[str]:
        yield "".join(say(request))
        yield "".join(say(request))
        say(request)

    return StreamingResponse(stream(), headers={"content-length": "3"})


async def empty(request: Request) -> Response:
    say(request)
    return Response(status_code=int(request.path_params["status"]))


async def none_of_it(request: Request) -> Response:
    say(request)
    return Response(headers={"content-length": "0"})


async def file(request: Request) -> Response:
    say(request)
    return FileResponse(__file__)


class Trailers:
    """An answer with trailers, before which the session changes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        say(Request(scope))
        await send({"type": "http.response.trailers", "headers": [], "more_trailers": False})


async def later(request: Request) -> Response:
    return PlainTextResponse("done", background=BackgroundTask(say, request))


class AfterTheAnswer:
    """Changes the session when all is sent, in one go with it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await PlainTextResponse("done")(scope, receive, send)
        say(Request(scope))


async def fails(request: Request) -> Response:
    say(request)
    raise ZeroDivisionError


async def session_of_key(request: Request) -> Response:
    session = current_session()
    assert session is not None
    session.data["said"].append("through the session")
    return PlainTextResponse("done")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for _ in socket.iter_json():
        await socket.send_json(say(socket))


async def listen(socket: WebSocket) -> None:
    await socket.accept()
    async for _ in socket.iter_json():
        say(socket)


async def refuse(socket: WebSocket) -> None:
    await socket.receive()
    say(socket)
    await socket.send_denial_response(PlainTextResponse("not here", status_code=403))


ROUTES = [
    Route("/begin", begin, methods=["POST"]),
    Route("/plain", plain),
    Route("/chunked", chunked),
    Route("/sized", sized),
    Route("/empty/{status}", empty),
    Route("/none", none_of_it),
    Route("/file", file),
    Route("/trailers", Trailers()),
    Route("/later", later),
    Route("/after", AfterTheAnswer()),
    Route("/fails", fails),
    Route("/session", session_of_key),
    WebSocketRoute("/echo", echo),
    WebSocketRoute("/listen", listen),
    WebSocketRoute("/refuse", refuse),
]


class Around(BaseHTTPMiddleware):
    """A middleware of a user's that does nothing."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Pass it on."""
        return await call_next(request)


SESSIONS = Middleware(HotSessionMiddleware)
STACKS = {
    "alone": [SESSIONS],
    "inside": [Middleware(Around), SESSIONS],
    "outside": [SESSIONS, Middleware(Around), Middleware(Around)],
    "twice": [SESSIONS, SESSIONS],
    "gzip": [Middleware(GZipMiddleware, minimum_size=1), SESSIONS, Middleware(GZipMiddleware, minimum_size=1)],
}


async def begun(start: Start, stack: str = "alone") -> tuple[Browser, Server]:
    """A browser that has a session, and the server that it asks."""
    server = Server(Starlette(routes=ROUTES, middleware=STACKS[stack]), start())
    browser = Browser(server)
    await browser.post("/begin")
    assert server.stored == {"said": []}
    return browser, server


@pytest.mark.parametrize("stack", STACKS)
async def test_before_the_end_of_an_answer(start: Start, stack: str) -> None:
    """The message that completes the answer finds the change in the snapshot, whatever stands around the app."""
    browser, server = await begun(start, stack)
    for number in range(3):
        assert (await browser.get("/plain")).status == 200
        bodies = [seen for seen in server.seen if seen.type == "http.response.body"]
        assert [seen.data for seen in bodies] == [{"said": [str(each) for each in range(number + 1)]}] * len(bodies)


@pytest.mark.parametrize("stack", STACKS)
async def test_before_the_end_of_an_answer_in_parts(start: Start, stack: str) -> None:
    """What was changed up to the last part is there with it, and with the end of the call at the latest."""
    browser, server = await begun(start, stack)
    await browser.get("/chunked")
    assert server.at("http.response.body") == [{"said": ["0", "1", "2"]}]


async def test_parts_in_between_cost_nothing_unless_it_is_time(start: Start) -> None:
    """A stream is written in its share of the time."""
    browser, server = await begun(start)
    await browser.get("/chunked")
    assert server.at("http.response.body", more=True) == [{"said": []}] * 3


@pytest.mark.parametrize("stack", ["alone", "outside"])
async def test_before_the_part_that_completes_content_length(start: Start, stack: str) -> None:
    """The client has all of it then, though an empty part follows; and what that brings is written, too."""
    browser, server = await begun(start, stack)
    await browser.get("/sized")
    first, second = server.at("http.response.body", more=True)[:2]
    assert first == {"said": []}
    assert second["said"][:2] == ["0", "1"]
    assert server.stored == {"said": ["0", "1", "2"]}


@pytest.mark.parametrize("path", ["/empty/204", "/empty/304", "/none"])
async def test_before_headers_that_are_all(start: Start, path: str) -> None:
    """No body follows them, so the client knows it when it has read them."""
    browser, server = await begun(start)
    await browser.get(path)
    assert server.at("http.response.start") == [{"said": ["0"]}]


async def test_before_the_headers_of_head(start: Start) -> None:
    """The server leaves the body out."""
    browser, server = await begun(start)
    await browser._ask("HEAD", "/plain", b"")
    assert server.at("http.response.start") == [{"said": ["0"]}]


async def test_before_a_file_is_handed_to_the_server(start: Start) -> None:
    """The server sends it by itself, and to its end."""
    browser, server = await begun(start)
    app = server._app

    async def with_extension(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "extensions": {"http.response.pathsend": {}}}, receive, send)

    server._app = with_extension
    await browser.get("/file")
    assert server.at("http.response.pathsend") == [{"said": ["0"]}]


async def test_before_trailers(start: Start) -> None:
    """An answer with trailers ends with those, after its body."""
    browser, server = await begun(start)
    await browser.get("/trailers")
    assert server.at("http.response.body") == [{"said": []}]
    assert server.at("http.response.trailers") == [{"said": ["0"]}]


@pytest.mark.parametrize("path", ["/later", "/after"])
async def test_what_is_changed_after_the_answer(start: Start, path: str) -> None:
    """It is written when the call returns, as no client waits for it: that of a task, or of code that never waits."""
    browser, server = await begun(start)
    await browser.get(path)
    assert server.at("http.response.body") == [{"said": []}]
    assert server.stored == {"said": ["0"]}


async def test_a_request_leaves_nothing_to_the_garbage_collector(start: Start) -> None:
    """When it is over the server's object, which has `send` and the scope, is given up; its session is not watched."""

    class Cycle:
        def __init__(self) -> None:
            self.scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}

        async def send(self, message: Message) -> None:
            pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["said"] = True
        await PlainTextResponse("done")(scope, receive, send)

    async def no_body() -> Message:
        return {"type": "http.request"}

    process, served = start(), HotSessionMiddleware(app)

    async def ask() -> weakref.ref[Cycle]:
        cycle = Cycle()
        await served(cycle.scope, no_body, cycle.send)
        return weakref.ref(cycle)

    gc.disable()
    try:
        assert (await ask())() is None
        assert not process.carrier.records.may_have_changed()
    finally:
        gc.enable()


async def test_what_a_failing_request_changed(start: Start) -> None:
    """It is there, as it is in memory, before the server answers for the app."""
    browser, server = await begun(start)
    with pytest.raises(ZeroDivisionError):
        await browser.get("/fails")
    assert server.stored == {"said": ["0"]}


async def test_what_is_changed_through_the_session(start: Start) -> None:
    """`current_session()` is the same session."""
    browser, server = await begun(start)
    await browser.get("/session")
    assert server.at("http.response.body") == [{"said": ["through the session"]}]


async def test_before_each_message_of_a_websocket(start: Start) -> None:
    """The client may act on any of them."""
    browser, server = await begun(start)
    answer = await browser.websocket("/echo", ["a", "b"])
    assert answer.received == [["0"], ["0", "1"]]
    assert server.at("websocket.send") == [{"said": ["0"]}, {"said": ["0", "1"]}]


async def test_when_a_websocket_waits_for_the_next_message(start: Start) -> None:
    """What the last one led to is done then, though nothing was said about it."""
    browser, server = await begun(start)
    await browser.websocket("/listen", ["a", "b"])
    counts = [len(data["said"]) for data in server.at("receive")]
    assert counts == [0, 0, 1, 2]


async def test_before_a_websocket_is_refused(start: Start) -> None:
    """With an answer of its own."""
    browser, server = await begun(start)
    await browser.websocket("/refuse")
    assert server.at("websocket.http.response.body") == [{"said": ["0"]}]


async def test_a_connection_that_remembers_another_request(start: Start) -> None:
    """A server may run a request in the context of an earlier one: it has an answer of its own all the same."""
    browser, server = await begun(start)
    stale = touches.Touches()
    reset = touches.current.set(stale)
    await browser.get("/plain")
    touches.current.reset(reset)
    assert server.at("http.response.body") == [{"said": ["0"]}]
    assert stale == set()


async def test_it_costs_no_write_when_nothing_changed(start: Start) -> None:
    """A request that only reads leaves the snapshot alone."""
    process = start()

    async def read(request: Request) -> Response:
        return JSONResponse(list(request.session))

    browser = Browser(Starlette(routes=[*ROUTES, Route("/read", read)], middleware=[SESSIONS]))
    await browser.post("/begin")
    process.store.written.clear()
    for _ in range(5):
        assert (await browser.get("/read")).json == ["said"]
    assert process.writes == []


async def test_a_session_lasts_over_restarts(start: Start) -> None:
    """The browser's cookie opens it in the next process, with all that was acknowledged."""
    browser = Browser(Starlette(routes=ROUTES, middleware=[SESSIONS]))
    start()
    await browser.post("/begin")
    for number in range(5):
        start()
        browser.app = Starlette(routes=ROUTES, middleware=[SESSIONS])
        assert (await browser.get("/plain")).json == [str(each) for each in range(number + 1)]


async def test_sync_endpoints_change_what_is_being_written(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """They run in threads: no request fails for it, nothing is dropped, and what was acknowledged is there."""
    process, steps = start(), times(15, 60, 5)

    def change(request: Request) -> Response:
        worker, step = request.path_params["worker"], request.path_params["step"]
        numbers = request.session["numbers"]
        for each in range(30):
            numbers[f"{worker} {step} {each}"] = Awkward(each)
            request.session["numbers"].pop(f"{worker} {step} {each - 3}", None)
        return PlainTextResponse("done")

    async def begin(request: Request) -> Response:
        request.session["numbers"] = {str(each): Awkward(each) for each in range(500)}
        return PlainTextResponse("begun")

    routes = [Route("/begin", begin, methods=["POST"]), Route("/{worker}/{step}", change)]
    app: ASGIApp = Starlette(routes=routes, middleware=[SESSIONS])
    first = Browser(app)
    await first.post("/begin")

    async def work(worker: str) -> None:
        browser = Browser(app, first.cookies)
        for step in range(steps):
            assert (await browser.get(f"/{worker}/{step}")).status == 200

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        async with anyio.create_task_group() as group:
            for worker in "abcd":
                group.start_soon(work, worker)
    finally:
        sys.setswitchinterval(interval)
    found = process.store.list("default", 0.0)
    assert len(found) == 1
    stored = Server(app, process).stored["numbers"]
    for worker in "abcd":
        for step in range(steps):
            assert [f"{worker} {step} {each}" in stored for each in range(30)] == [False] * 27 + [True] * 3
    assert [line for line in caplog.messages if "can't" in line or "left out" in line] == []


class Awkward:
    """Something whose pickling runs Python code, so that other threads get their turn meanwhile."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getstate__(self) -> dict[str, int]:
        return {"number": sum((self.number, 0))}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_outlives_its_request(start: Start) -> None:
    """What it changes later is found when one looks, as long as it runs."""
    going, over = asyncio.Event(), asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def detached(request: Request) -> Response:
        async def work() -> None:
            await going.wait()
            say(request)
            over.set()

        tasks.append(asyncio.create_task(work()))
        return PlainTextResponse("done")

    process: Process = start()
    server = Server(Starlette(routes=[*ROUTES, Route("/detached", detached)], middleware=[SESSIONS]), process)
    browser = Browser(server)
    await browser.post("/begin")
    await browser.get("/detached")
    going.set()
    await over.wait()
    assert server.stored == {"said": []}
    process.carrier._look_pace.begin = lambda: True  # type: ignore[method-assign]
    process.carrier.look()
    assert server.stored == {"said": ["0"]}
