"""What stands around apps while another program restarts the process, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

import hotsession
from hotsession.asgi.middleware import HotSessionMiddleware
from hotsession.asgi.under_reloader import UnderReloader, under_reloader
from hotsession.asgi.witness import WITNESSED
from hotsession.registry import registry
from hotsession.snapshot import touches
from hotsession.snapshot.opening import install
from tests.asgi.browser import Browser
from tests.asgi.observed import reloaded
from tests.snapshot.carriers import Start

pytestmark = pytest.mark.anyio


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a process under a reloader."""
    with reloaded(tmp_path / "snapshot", monkeypatch) as found:
        yield found


async def witnessed(request: Request) -> Response:
    """Whether somebody sees to it that what this request changes is written."""
    request.session["n"] = request.session.get("n", 0) + 1
    return JSONResponse([WITNESSED in request.scope, touches.current.get() is not None])


ROUTES = [Route("/", witnessed)]
SESSIONS = Middleware(HotSessionMiddleware)


async def test_without_a_reloader_there_is_nothing() -> None:
    """In production requests pass by no one."""
    install(None)
    assert under_reloader() is None
    browser = Browser(Starlette(routes=ROUTES, middleware=[SESSIONS]))
    assert (await browser.get("/")).json == [False, False]


async def test_under_one_requests_are_witnessed(start: Start) -> None:
    """With nothing but the middleware in the app."""
    start()
    browser = Browser(Starlette(routes=ROUTES, middleware=[SESSIONS]))
    assert (await browser.get("/")).json == [True, True]
    assert touches.current.get() is None


def test_a_process_has_one(start: Start) -> None:
    """All middlewares of a process have the same, however many apps there are."""
    process = start()
    found = under_reloader()
    assert found is under_reloader()
    assert repr(process.carrier) in repr(found)


async def test_a_request_is_surrounded_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the outermost of several middlewares."""
    calls: list[Scope] = []
    run = UnderReloader.run

    def noted(self: UnderReloader, app: Any, scope: Scope, receive: Receive, send: Send) -> Any:
        calls.append(scope)
        return run(self, app, scope, receive, send)

    monkeypatch.setattr(UnderReloader, "run", noted)
    start()
    inner = Middleware(HotSessionMiddleware, session_cookie="inner")
    app = Starlette(routes=[Mount("/", Starlette(routes=ROUTES, middleware=[inner]))], middleware=[SESSIONS, SESSIONS])
    assert (await Browser(app).get("/")).json == [True, True]
    assert len(calls) == 1


def test_everything_is_written_before_the_shutdown_is_over(start: Start) -> None:
    """What the app's own shutdown changes last is there when the server ends the process."""
    process = start()
    seen: list[tuple[str, ...]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        value: list[str] = hotsession.keep("value", list)
        value.append("last")
        await send({"type": "lifespan.shutdown.complete"})

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def noted(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                seen.append(process.values.names())
            await send(message)

        await HotSessionMiddleware(app)(scope, receive, noted)

    with TestClient(serve):
        assert process.values.names() == ()
        assert process.carrier._home is not None
    assert seen == [("value",)]
    assert start().keep("value", list) == ["last"]


async def test_a_mounted_app_that_sees_no_lifespan(start: Start) -> None:
    """The first request tells in which event loop the app runs."""
    process = start()
    mounted = Starlette(routes=ROUTES, middleware=[SESSIONS])
    browser = Browser(Starlette(routes=[Mount("/sub", mounted)]))
    assert process.carrier._home is None
    for _ in range(2):
        assert (await browser.get("/sub/")).json == [True, True]
    assert process.carrier._home is not None


def test_in_a_host_of_ours_the_host_does_it(start: Start) -> None:
    """There a lifespan is that of one generation of several."""
    process = start()

    class Generation:
        """One."""

    generation = Generation()
    registry.add_scope(7, generation)
    app = Starlette(routes=ROUTES, middleware=[SESSIONS])

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        with registry.running(7):
            await app(scope, receive, send)

    with TestClient(serve):
        assert process.carrier._home is None


async def test_kept_values_are_written_after_requests(start: Start) -> None:
    """Without the app having to say anything."""
    process = start()

    async def remember(request: Request) -> Response:
        value: list[int] = hotsession.keep("value", list)
        value.append(1)
        return JSONResponse(None)

    await Browser(Starlette(routes=[Route("/", remember)], middleware=[SESSIONS])).get("/")
    assert process.values.names() == ("value",)
    assert start().keep("value", list) == [1]
