"""One request or connection on one generation: what the app and the client see when it is told to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from hotsession.asgi.connections import HTTPExchange, StreamEnded, WebSocketConnection
from tests.projects import Exchange, until

pytestmark = pytest.mark.anyio

START = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/event-stream")]}

App = Callable[[Any, Any, Any], Awaitable[None]]


class Served:
    """One request or connection that an app answers through an exchange of ours."""

    def __init__(self, app: App, *, kind: str = "http", close: bool = False) -> None:
        self.work: Any = None

        async def host(scope: Any, receive: Any, send: Any) -> None:
            if kind == "http":
                self.work = HTTPExchange(scope, receive, send, close=close)
            else:
                self.work = WebSocketConnection(scope, receive, send)
            try:
                await app(scope, self.work.receive, self.work.send)
            finally:
                self.work.release()

        self.client = Exchange(host, "/events", kind=kind)


def stream(events: AsyncIterator[str], media_type: str = "text/event-stream; charset=utf-8") -> App:
    """An app that streams these events."""
    return StreamingResponse(events, media_type=media_type)


async def endless() -> AsyncIterator[str]:
    """One event and then silence."""
    yield "data: 1\n\n"
    await asyncio.Event().wait()


async def test_an_ordinary_response() -> None:
    """It passes through as it is; nothing can end it before the app is done."""
    served = Served(PlainTextResponse("hello"))
    await served.client.end()
    assert (served.client.status, served.client.text) == (200, "hello")
    assert not served.work.endless
    assert "connection" not in served.client.headers
    assert served.work.describe() == "GET /events"


async def test_an_ordinary_request_is_not_ended() -> None:
    """However long it takes: telling it to end does nothing."""
    release = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await PlainTextResponse("late")(scope, receive, send)

    served = Served(app)
    await until(lambda: served.work is not None)
    served.work.finish()
    assert not served.work.finished
    release.set()
    assert (await served.client.end()).text == "late"


async def test_the_client_is_asked_to_close() -> None:
    """While another process takes over, each response says so."""
    served = Served(PlainTextResponse("hello"), close=True)
    assert (await served.client.end()).headers["connection"] == "close"


async def test_a_download_is_no_event_stream() -> None:
    """Other streams end by themselves, so they are not ended."""
    served = Served(stream(endless(), "text/csv"))
    await served.client.next()
    assert not served.work.endless
    served.client.say({"type": "http.disconnect"})
    await served.client.end()


async def test_an_event_stream_is_ended() -> None:
    """Its app sees the client leave although nothing happens on it; the client gets a complete response."""
    served = Served(stream(endless()))
    assert (await served.client.next())["status"] == 200
    assert (await served.client.next())["body"] == b"data: 1\n\n"
    assert served.work.endless
    served.work.finish()
    assert await served.client.next() == {"type": "http.response.body", "body": b"retry: 250\n\n", "more_body": False}
    await served.client.end()
    assert served.work.finished
    served.work.finish()
    assert len(served.client.sent) == 3


async def test_an_event_stream_that_looks_for_its_client() -> None:
    """`request.is_disconnected()` tells when the client has left, and when the stream was ended."""
    for leave in ("finish", "disconnect"):
        seen: list[bool] = []

        async def app(scope: Any, receive: Any, send: Any, seen: list[bool] = seen) -> None:
            request = Request(scope, receive)

            async def events() -> AsyncIterator[str]:
                while not await request.is_disconnected():
                    seen.append(False)
                    yield "data: 1\n\n"
                    await asyncio.sleep(0)
                seen.append(True)

            await send(START)
            async for event in events():
                try:
                    await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
                except StreamEnded:
                    seen.append(True)
                    return

        served = Served(app)
        await until(lambda seen=seen: len(seen) > 3)  # type: ignore[misc]
        if leave == "finish":
            served.work.finish()
        else:
            served.client.say({"type": "http.disconnect"})
        await served.client.end()
        assert seen[-1] is True


async def test_an_event_stream_that_goes_on_sending() -> None:
    """Once it was ended, it is told as a server tells that the client has left; nothing of it reaches the client."""
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        served.work.finish()
        try:
            await send({"type": "http.response.body", "body": b"late", "more_body": True})
        except OSError as error:
            errors.append(error)

    served = Served(app)
    await served.client.end()
    assert served.client.text == "retry: 250\n\n"
    assert len(errors) == 1


async def test_the_body_of_a_request() -> None:
    """All of it arrives, and after it that the client has left."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        await PlainTextResponse(await request.body())(scope, receive, send)

    served = Served(app)
    served.client._incoming.get_nowait()  # before the app has begun
    for part, more in ((b"a", True), (b"b", True), (b"c", False)):
        served.client.say({"type": "http.request", "body": part, "more_body": more})
    assert (await served.client.end()).text == "abc"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Say everything again, until the client leaves."""
    socket = WebSocket(scope, receive, send)
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect as gone:
        codes.append(gone.code)


codes: list[int] = []


async def test_a_websocket() -> None:
    """Messages pass both ways."""
    served = Served(echo, kind="websocket")
    assert (await served.client.next())["type"] == "websocket.accept"
    for text in ("a", "b"):
        served.client.say({"type": "websocket.receive", "text": text})
        assert (await served.client.next())["text"] == text
    assert served.work.describe() == "WebSocket /events"
    served.client.say({"type": "websocket.disconnect", "code": 1001})
    await served.client.end()
    assert codes.pop() == 1001


async def test_a_websocket_is_ended() -> None:
    """Its client gets 1012, Service Restart, and its app a disconnect with it; what others say to it is dropped."""
    served = Served(echo, kind="websocket")
    await served.client.next()
    served.work.finish()
    closed = await served.client.next()
    assert (closed["type"], closed["code"]) == ("websocket.close", 1012)
    await served.client.end()
    assert codes.pop() == 1012
    await served.work.send({"type": "websocket.send", "text": "late"})
    assert len(served.client.sent) == 2


async def test_a_websocket_that_is_not_open_yet() -> None:
    """Its client gets no handshake, and its app a disconnect."""
    release = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await echo(scope, receive, send)

    served = Served(app, kind="websocket")
    await until(lambda: served.work is not None)
    served.work.finish()
    release.set()
    await asyncio.wait([served.client.task])
    assert [message["type"] for message in served.client.sent] == ["websocket.close"]


async def test_a_websocket_that_the_app_has_closed() -> None:
    """It is not closed a second time."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.close()
        served.work.finish()

    served = Served(app, kind="websocket")
    await served.client.end()
    assert [message["type"] for message in served.client.sent] == ["websocket.accept", "websocket.close"]


async def test_a_client_that_has_left_already() -> None:
    """The last message that can't be sent is nobody's error."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    served = Served(app, kind="websocket")
    await served.client.next()

    async def refuse(message: Any) -> None:
        raise OSError

    served.work._send = refuse
    served.work.finish()
    await served.client.end()


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_what_does_not_listen_is_cancelled(kind: str) -> None:
    """The last resort."""

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    served = Served(deaf, kind=kind)
    await until(lambda: served.work is not None)
    served.work.cancel()
    await asyncio.wait([served.client.task])
    assert served.client.task.cancelled()
