"""Sessions in WebSockets."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from hotsession.asgi.middleware import HotSessionMiddleware
from hotsession.kept import sessions
from hotsession.lifecycle.current import current_session
from tests.asgi.browser import Browser

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both of anyio's backends."""
    return str(request.param)


async def view(request: Request) -> JSONResponse:
    return JSONResponse(request.session)


async def update(request: Request) -> JSONResponse:
    request.session.update(await request.json())
    return JSONResponse(request.session)


async def chat(websocket: WebSocket) -> None:
    """Keep every message in the session and tell how many there are."""
    await websocket.accept()
    async for text in websocket.iter_json():
        websocket.session.setdefault("messages", []).append(text)
        await websocket.send_json(len(websocket.session["messages"]))


async def greet(websocket: WebSocket) -> None:
    """Write before the connection is accepted."""
    websocket.session["greeted"] = True
    await websocket.accept(headers=[(b"x-app", b"chat")])
    await websocket.close()


async def look(websocket: WebSocket) -> None:
    """Only look."""
    await websocket.accept()
    session = current_session()
    assert session is not None
    await websocket.send_json([dict(websocket.session), session.data is websocket.session])
    await websocket.close()


async def leave(websocket: WebSocket) -> None:
    """Clear the session."""
    await websocket.accept()
    websocket.session.clear()


async def crash(websocket: WebSocket) -> None:
    """Write and fail."""
    await websocket.accept()
    websocket.session["crashed"] = True
    raise RuntimeError("crash")


async def refuse(websocket: WebSocket) -> None:
    """Answer with a response of HTTP in place of the connection."""
    websocket.session["refused"] = True
    await websocket.send_denial_response(JSONResponse("no", 403))


ROUTES = [
    Route("/view", view),
    Route("/update", update, methods=["POST"]),
    *[WebSocketRoute(f"/{handler.__name__}", handler) for handler in (chat, greet, look, leave, crash, refuse)],
]


@pytest.fixture
def mine() -> Browser:
    """A browser before an app with sockets."""
    return Browser(Starlette(routes=ROUTES, middleware=[Middleware(HotSessionMiddleware)]))


async def test_a_socket_reads_and_writes_the_browsers_session(mine: Browser) -> None:
    """New items and changes inside a value are there in the next request and in the next socket."""
    await mine.post("/update", {"name": "ada"})
    assert (await mine.websocket("/chat", ["one", "two"])).received == [1, 2]
    assert (await mine.get("/view")).json == {"name": "ada", "messages": ["one", "two"]}
    assert (await mine.websocket("/chat", ["three"])).received == [3]
    assert (await mine.websocket("/look")).received == [[{"name": "ada", "messages": ["one", "two", "three"]}, True]]
    (session,) = await sessions().list()
    assert session.version == 2  # the request, and the first socket; the second changed no item of the dict itself


async def test_a_new_browser_gets_its_cookie_with_the_handshake(mine: Browser) -> None:
    """What is written before `accept` is stored then; the app's own headers stay."""
    answer = await mine.websocket("/greet")
    assert answer.cookie is not None
    assert answer.header("x-app") == ["chat"]
    assert answer.header("vary") == ["Cookie"]
    assert (await mine.get("/view")).json == {"greeted": True}


async def test_a_refusal_carries_the_cookie_too(mine: Browser) -> None:
    """A denial is a response like any other."""
    answer = await mine.websocket("/refuse")
    assert answer.messages[0]["type"] == "websocket.http.response.start"
    assert answer.cookie is not None
    assert (await mine.get("/view")).json == {"refused": True}


async def test_a_session_begun_after_the_handshake_is_told(mine: Browser, caplog: pytest.LogCaptureFixture) -> None:
    """No cookie can be sent any more: the session is kept and the log says what to do."""
    answer = await mine.websocket("/chat", ["one"])
    assert answer.cookie is None
    (session,) = await sessions().list()
    assert session.data == {"messages": ["one"]}
    assert "in a WebSocket before accept()" in caplog.text


async def test_looking_stores_nothing(mine: Browser, caplog: pytest.LogCaptureFixture) -> None:
    """A socket that writes nothing leaves no session and says nothing."""
    with caplog.at_level(logging.DEBUG, logger="hotsession"):
        assert (await mine.websocket("/look")).received == [[{}, True]]
    assert await sessions().list() == []
    assert caplog.records == []


async def test_clearing_in_a_socket_ends_the_session(mine: Browser) -> None:
    """The cookie, which can't be taken from the browser now, opens nothing any more."""
    await mine.post("/update", {"name": "ada"})
    await mine.websocket("/leave")
    assert mine.cookies != {}
    assert (await mine.get("/view")).json == {}
    assert [session.status for session in await sessions().list()] == ["ended"]


async def test_what_a_failing_socket_wrote_is_kept(mine: Browser) -> None:
    """The error passes through, the change stays."""
    await mine.post("/update", {"name": "ada"})
    with pytest.raises(RuntimeError, match="crash"):
        await mine.websocket("/crash")
    answer: Any = (await mine.get("/view")).json
    assert answer == {"name": "ada", "crashed": True}
