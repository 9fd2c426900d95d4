"""What open requests and connections see when the process is told to end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.websockets import WebSocket, WebSocketDisconnect

from hotsession.asgi import farewell as module
from hotsession.asgi import work
from hotsession.asgi.farewell import Farewell
from hotsession.registry import registry
from hotsession.surroundings.signals import Ending
from tests.deadlines import DEADLINE
from tests.projects import Exchange, lines, until

pytestmark = pytest.mark.anyio

App = Callable[[Any, Any, Any], Awaitable[None]]
RETRY = {"type": "http.response.body", "body": b"retry: 250\n\n", "more_body": False}


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Set the signal handlers back that were there."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    ending: Ending = registry.object("signals", Ending)
    ending.tell()


@pytest.fixture
def farewell() -> Farewell:
    return Farewell()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody have time for anything."""
    monkeypatch.setattr(work, "SECONDS", 0.001)


def through(farewell: Farewell, app: App) -> App:
    """The app as the middleware runs it."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        await farewell.run(app, scope, receive, send)

    return run


async def silent() -> AsyncIterator[str]:
    """One event, and then silence."""
    yield "data: 1\n\n"
    await asyncio.Event().wait()


def stream(events: AsyncIterator[str] | None = None) -> App:
    return StreamingResponse(events or silent(), media_type="text/event-stream")


async def begun(client: Exchange) -> Exchange:
    """A stream of which something has arrived."""
    await client.next()
    await client.next()
    return client


async def echo(scope: Any, receive: Any, send: Any) -> None:
    socket = WebSocket(scope, receive, send)
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect as gone:
        codes.append(gone.code)


codes: list[int] = []


async def test_a_signal_ends_event_streams(farewell: Farewell) -> None:
    """They get the retry line and a clean end; the server hears of the signal as if nobody else had."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    client = await begun(Exchange(through(farewell, stream())))
    os.kill(os.getpid(), signal.SIGTERM)
    assert await client.next() == RETRY
    await client.end()
    await stopped.wait()
    assert repr(farewell) == "<Farewell to 0 requests and connections said=True>"


async def test_websockets(farewell: Farewell) -> None:
    """Their clients get 1012, and their apps a disconnect with it."""
    client = Exchange(through(farewell, echo), kind="websocket")
    await client.next()
    farewell.say()
    closed = await client.next()
    assert (closed["type"], closed["code"]) == ("websocket.close", 1012)
    await client.end()
    assert codes.pop() == 1012


async def test_ordinary_requests_finish(farewell: Farewell) -> None:
    """However long they take, and also those that come late."""
    release = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await PlainTextResponse("done")(scope, receive, send)

    client = Exchange(through(farewell, app))
    await until(lambda: bool(farewell._open))
    farewell.say()
    late = Exchange(through(farewell, app))
    release.set()
    assert (await client.end()).text == (await late.end()).text == "done"
    assert "connection" not in late.headers  # not in HTTP/2


async def test_what_begins_afterwards(farewell: Farewell) -> None:
    """An event stream ends as soon as it has begun, and a WebSocket is refused, without its app."""
    farewell.say()
    client = Exchange(through(farewell, stream()))
    await client.end()
    assert client.sent[1:] == [RETRY]
    socket = Exchange(through(farewell, echo), kind="websocket")
    await socket.end()
    assert [(message["type"], message["code"]) for message in socket.sent] == [("websocket.close", 1012)]
    assert not codes


async def test_a_request_that_turns_into_a_stream_afterwards(farewell: Farewell) -> None:
    """It ends as soon as it has begun."""
    release = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await stream()(scope, receive, send)

    client = Exchange(through(farewell, app))
    await until(lambda: bool(farewell._open))
    farewell.say()
    await until(lambda: all(exchange.last for exchange in farewell._open))
    release.set()
    await client.end()
    assert client.sent[1:] == [RETRY]


async def test_from_another_thread(farewell: Farewell) -> None:
    """Hypercorn's event is heard in one."""
    client = await begun(Exchange(through(farewell, stream())))
    thread = threading.Thread(target=farewell.say)
    thread.start()
    assert await client.next() == RETRY
    await client.end()
    await asyncio.to_thread(thread.join)


async def test_an_event_that_has_begun_is_completed(farewell: Farewell) -> None:
    """The stream ends after it, and the event after that is not begun."""
    go_on = asyncio.Event()

    async def events() -> AsyncIterator[str]:
        yield "data: 1"
        await go_on.wait()
        yield "\n\ndata: 2"
        raise AssertionError

    client = await begun(Exchange(through(farewell, stream(events()))))
    farewell.say()
    await until(lambda: all(exchange.finished for exchange in farewell._open))
    go_on.set()
    await client.end()
    assert client.text == "data: 1\n\nretry: 250\n\n"


@pytest.mark.usefixtures("at_once")
async def test_an_event_that_is_not_completed(farewell: Farewell) -> None:
    """It gets a moment, and is then cut in a way that browsers drop it."""

    async def events() -> AsyncIterator[str]:
        yield "data: 1"
        await asyncio.Event().wait()

    client = await begun(Exchange(through(farewell, stream(events()))))
    farewell.say()
    await client.end()
    assert client.text == "data: 1\nretry: 250\n"


async def test_the_end_is_with_the_server_before_the_app_returns(farewell: Farewell) -> None:
    """Granian cuts a connection whose app returns."""
    order: list[str] = []
    taken = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await stream()(scope, receive, send)

    async def run(scope: Any, receive: Any, send: Any) -> None:
        async def slow(message: Any) -> None:
            if not message.get("more_body", True):
                await taken.wait()
                order.append("end")
            await send(message)

        await farewell.run(app, scope, receive, slow)
        order.append("returned")

    client = await begun(Exchange(run))
    farewell.say()
    await until(lambda: all(exchange.finished for exchange in farewell._open))
    taken.set()
    await client.end()
    assert order == ["end", "returned"]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_client_that_takes_nothing(farewell: Farewell, kind: str) -> None:
    """Its app sees it leave all the same."""
    stuck = asyncio.Event()

    async def run(scope: Any, receive: Any, send: Any) -> None:
        async def stall(message: Any) -> None:
            if message == RETRY or message["type"] == "websocket.close":
                await stuck.wait()
            await send(message)

        await farewell.run(stream() if kind == "http" else echo, scope, receive, stall)

    client = Exchange(run, kind=kind)
    await client.next()
    if kind == "http":
        await client.next()
    farewell.say()
    await client.end()
    stuck.set()
    codes.clear()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_an_app_that_does_not_notice(farewell: Farewell, kind: str) -> None:
    """One that neither listens nor sends is cancelled, and its server sees it return."""

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        if kind == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENT_STREAM)]})
        else:
            await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    async def run(scope: Any, receive: Any, send: Any) -> None:
        await farewell.run(deaf, scope, receive, send)
        task = asyncio.current_task()
        assert task is not None
        left.append(task.cancelling())

    left: list[int] = []
    client = Exchange(run, kind=kind)
    await client.next()
    farewell.say()
    await client.end()
    assert left == [0]


EVENT_STREAM = b"text/event-stream"


async def test_an_app_that_only_sends(farewell: Farewell) -> None:
    """To a WebSocket: it gets the error that servers raise when the client has left. Others are not told."""
    sends: list[Any] = []
    seen: list[str] = []
    message = {"type": "websocket.send", "text": "tick"}

    async def ticker(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        sends.append(send)
        try:
            while True:
                await send(message)
                await asyncio.sleep(0)
        except OSError:
            seen.append("gone")

    client = Exchange(through(farewell, ticker), kind="websocket")
    await client.next()
    farewell.say()
    await client.end()
    await sends[0](message)
    assert seen == ["gone"]
    assert client.sent[-1]["code"] == 1012


@pytest.mark.usefixtures("at_once")
async def test_an_app_that_notices_has_its_time(farewell: Farewell) -> None:
    """What it does when its client has left is not cancelled."""
    release, seen = asyncio.Event(), []

    async def careful(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENT_STREAM)]})
        assert (await receive())["type"] == "http.request"
        seen.append((await receive())["type"])
        await release.wait()
        seen.append("cleaned up")

    client = Exchange(through(farewell, careful))
    await client.next()
    farewell.say()
    await until(lambda: bool(seen))
    await asyncio.sleep(0.05)  # far more than it would have if it had not noticed
    release.set()
    await client.end()
    assert seen == ["http.disconnect", "cleaned up"]


async def test_a_server_that_cancels(farewell: Farewell) -> None:
    """Its cancellation is its own: uvicorn's, when its time for a shutdown is over."""
    client = Exchange(through(farewell, stream()))
    await begun(client)
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task
    assert not farewell._open


async def test_errors(farewell: Farewell, caplog: pytest.LogCaptureFixture) -> None:
    """Those of ordinary requests reach the server; what comes of having been ended is a detail."""
    caplog.set_level(logging.DEBUG)

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("the app's")

    with pytest.raises(ValueError, match="the app's"):
        await Exchange(through(farewell, fails)).end()

    async def sends_on(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENT_STREAM)]})
        while True:
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            await asyncio.sleep(0)

    client = Exchange(through(farewell, sends_on))
    await begun(client)
    farewell.say()
    await client.end()
    assert client.sent[-1] == RETRY
    assert lines(caplog, 0) == [
        'GET /, which was told to end, ended with StreamEnded("the server\'s code was reloaded")'
    ]


async def test_behind_and_before_other_middlewares(farewell: Farewell) -> None:
    """Starlette's `BaseHTTPMiddleware` puts tasks of its own between: streams end through it, on either side."""

    async def events(request: Request) -> StreamingResponse:
        return StreamingResponse(silent(), media_type="text/event-stream")

    async def pass_on(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    class Ours:
        def __init__(self, app: App) -> None:
            self.app = through(farewell, app)

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)

    base = Middleware(BaseHTTPMiddleware, dispatch=pass_on)
    for middleware in ([base, Middleware(Ours)], [Middleware(Ours), base]):
        farewell.said = False
        app: Any = Starlette(routes=[Route("/", events)], middleware=middleware)
        client = await begun(Exchange(app))
        farewell.say()
        await client.end()
        assert client.text == "data: 1\n\nretry: 250\n\n"


async def test_who_holds_up_the_restart(
    farewell: Farewell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After some time the log names what has not ended."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    release = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/events":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENT_STREAM)]})
            await receive()
            await receive()
        await release.wait()

    for path in ("/slow", "/events"):
        Exchange(through(farewell, app), path)
    await until(lambda: len(farewell._open) == 2)
    await asyncio.sleep(0)
    farewell.say()
    await until(lambda: len(lines(caplog)) == 2)
    release.set()
    await until(lambda: not farewell._open)
    assert lines(caplog, logging.WARNING) == [
        "The restart waits for GET /slow, which began 0 s ago.",
        "The restart waits for GET /events, which began 0 s ago and was told to end.",
    ]


async def test_several_event_loops(farewell: Farewell) -> None:
    """Each stream ends on its own loop; one whose loop is gone is nobody's concern."""
    here = await begun(Exchange(through(farewell, stream())))
    ready, texts = threading.Event(), []

    def elsewhere() -> None:
        async def serve() -> None:
            client = await begun(Exchange(through(farewell, stream())))
            ready.set()
            await client.end()
            texts.append(client.text)

        asyncio.run(serve())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(ready.wait)
    farewell.say()
    await here.end()
    await asyncio.to_thread(thread.join)
    assert [here.text, *texts] == ["data: 1\n\nretry: 250\n\n"] * 2


# trio


class TrioClient:
    """A client's side of a request or connection on trio."""

    def __init__(self, kind: str = "http") -> None:
        self.sent: list[Any] = []
        self.scope = {"type": kind, "method": "GET", "path": "/", "headers": [], "asgi": {"version": "3.0"}}
        self._say, self._incoming = trio.open_memory_channel[Any](10)
        self._say.send_nowait({"type": "http.request"} if kind == "http" else {"type": "websocket.connect"})
        self.began = trio.Event()

    async def run(self, app: App) -> None:
        await app(self.scope, self._incoming.receive, self._send)

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        if message.get("body") or message["type"] == "websocket.accept":
            self.began.set()


def on_trio(farewell: Farewell, app: App, kind: str = "http") -> list[Any]:
    """What a client got that was connected when the process was told to end."""

    async def serve() -> list[Any]:
        client = TrioClient(kind)
        with trio.fail_after(DEADLINE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.run, through(farewell, app))
                await client.began.wait()
                farewell.say()
        return client.sent

    return trio.run(serve)


async def trio_silent() -> AsyncIterator[str]:
    yield "data: 1\n\n"
    await trio.sleep_forever()


def test_event_streams_on_trio(farewell: Farewell) -> None:
    """They end as on asyncio."""
    assert on_trio(farewell, stream(trio_silent()))[-1] == RETRY


def test_websockets_on_trio(farewell: Farewell) -> None:
    """They are closed as on asyncio."""
    assert on_trio(farewell, echo, "websocket")[-1]["code"] == 1012
    assert codes.pop() == 1012


@pytest.mark.usefixtures("at_once")
def test_an_app_on_trio_that_does_not_notice(farewell: Farewell) -> None:
    """It is cancelled."""

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await trio.sleep_forever()

    assert [message["type"] for message in on_trio(farewell, deaf, "websocket")] == [
        "websocket.accept",
        "websocket.close",
    ]


def test_the_messages_of_a_client_on_trio(farewell: Farewell) -> None:
    """They arrive in order until it leaves."""

    async def serve() -> list[Any]:
        client = TrioClient("websocket")
        client._say.send_nowait({"type": "websocket.receive", "text": "a"})
        client._say.send_nowait({"type": "websocket.disconnect", "code": 1001})
        await client.run(through(farewell, echo))
        return client.sent

    assert [message.get("text") for message in trio.run(serve)] == [None, "a"]
    assert codes.pop() == 1001
