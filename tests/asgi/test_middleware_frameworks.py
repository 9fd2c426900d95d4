"""The middleware wherever people put it: Starlette, FastAPI, `BaseHTTPMiddleware`, mounted apps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from hotsession.asgi.middleware import HotSessionMiddleware
from tests.asgi.browser import Browser

pytestmark = pytest.mark.anyio

SESSIONS = Middleware(HotSessionMiddleware)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both of anyio's backends."""
    return str(request.param)


async def count(request: Request) -> JSONResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return JSONResponse(request.session["count"])


def count_in_thread(request: Request) -> JSONResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return JSONResponse(request.session["count"])


async def count_late(request: Request) -> StreamingResponse:
    """Count while the body is streamed."""

    async def stream() -> Any:
        request.session["count"] = request.session.get("count", 0) + 1
        yield str(request.session["count"])

    return StreamingResponse(stream())


ROUTES = [Route("/", count), Route("/thread", count_in_thread), Route("/late", count_late)]


class Around(BaseHTTPMiddleware):
    """A middleware of a user's, which looks at the session when the app is done with it."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Say in a header what is in the session, before and after."""
        before = "session" in request.scope and dict(request.session)
        response = await call_next(request)
        response.headers["x-session"] = f"{before} {dict(request.session)}"
        return response


def in_starlette() -> ASGIApp:
    return Starlette(routes=ROUTES, middleware=[SESSIONS])


def around_starlette() -> ASGIApp:
    return HotSessionMiddleware(Starlette(routes=ROUTES))


def in_fastapi() -> ASGIApp:
    app = FastAPI()
    app.add_middleware(HotSessionMiddleware)
    app.router.routes.extend(ROUTES)
    return app


def in_a_mounted_app() -> ASGIApp:
    mounted = Starlette(routes=ROUTES, middleware=[SESSIONS])
    return Starlette(routes=[Mount("/", mounted)])


def outside_of_base_http_middleware() -> ASGIApp:
    return Starlette(routes=ROUTES, middleware=[SESSIONS, Middleware(Around)])


def under_base_http_middleware() -> ASGIApp:
    return Starlette(routes=ROUTES, middleware=[Middleware(Around), SESSIONS])


def under_compression() -> ASGIApp:
    return Starlette(routes=ROUTES, middleware=[Middleware(GZipMiddleware, minimum_size=10_000), SESSIONS])


def mounted_under_the_same() -> ASGIApp:
    mounted = Starlette(routes=ROUTES, middleware=[SESSIONS])
    return Starlette(routes=[Mount("/", mounted)], middleware=[SESSIONS])


PLACES: list[Callable[[], ASGIApp]] = [
    in_starlette,
    around_starlette,
    in_fastapi,
    in_a_mounted_app,
    outside_of_base_http_middleware,
    under_base_http_middleware,
    under_compression,
    mounted_under_the_same,
]


@pytest.mark.parametrize("place", PLACES)
async def test_it_works_there(place: Callable[[], ASGIApp]) -> None:
    """Requests of one browser count on, sync and async, with one cookie, and those of another begin anew."""
    mine = Browser(place())
    answer = await mine.get("/")
    assert (answer.json, answer.cookie is not None) == (1, True)
    assert (await mine.get("/thread")).json == 2
    assert (await mine.get("/late")).json == 3
    assert (await mine.get("/")).json == 4
    assert (await Browser(mine.app).get("/thread")).json == 1


@pytest.mark.parametrize("place", [outside_of_base_http_middleware, under_base_http_middleware])
async def test_a_middleware_around_the_app_sees_the_session(place: Callable[[], ASGIApp]) -> None:
    """Also one that the session middleware sits inside of sees it, when the app has answered."""
    mine = Browser(place())
    assert (await mine.get("/")).header("x-session")[0].endswith(" {'count': 1}")


async def test_a_mount_has_its_own_path() -> None:
    """Cookie path and name can be set apart for a mounted app."""
    part = Starlette(routes=ROUTES, middleware=[Middleware(HotSessionMiddleware, path="/part", session_cookie="part")])
    mine = Browser(Starlette(routes=[Mount("/part", part), *ROUTES], middleware=[SESSIONS]))
    assert "; path=/part; " in ((await mine.get("/part/")).cookie or "")
    assert "; path=/; " in ((await mine.get("/")).cookie or "")
    assert (await mine.get("/part/")).json == 2
    assert mine.cookies.keys() == {"part", "session"}


async def test_errors_of_the_app_are_answered_as_ever() -> None:
    """A missing page and a failing handler are the framework's to answer."""

    async def fail(request: Request) -> Response:
        request.session["a"] = 1
        raise ValueError("broken")

    mine = Browser(Starlette(routes=[Route("/fail", fail)], middleware=[SESSIONS]))
    assert (await mine.get("/missing")).status == 404
    with pytest.raises(ValueError, match="broken"):
        await mine.get("/fail")
