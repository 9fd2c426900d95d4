"""Tasks in an app with nothing but the middleware: as in production, in tests, and under a process reloader."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import hotsession
from hotsession import HotSessionMiddleware
from hotsession.background.board import board
from tests.projects import Exchange, Project, trace, until


@pytest.fixture(autouse=True)
def clean_trace() -> Iterator[None]:
    trace.clear()
    yield
    trace.clear()


async def work() -> None:
    """Notes its begin and its end."""
    trace.append("begin")
    try:
        await asyncio.sleep(600)
    finally:
        trace.append("end")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    trace.append("start-up")
    await asyncio.sleep(0.01)
    trace.append("started")
    yield
    trace.append("shutdown")


async def ask(request: Request) -> PlainTextResponse:
    return PlainTextResponse(hotsession.task("work", work).state)


def ask_in_thread(request: Request) -> PlainTextResponse:
    return PlainTextResponse(hotsession.task("work", work).state)


def begun(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str("begin" in trace))


def an_app(*, middleware: bool = True, lifespan: Any = lifespan) -> Starlette:
    """An app that can be asked for a task."""
    return Starlette(
        routes=[Route("/", begun), Route("/ask", ask), Route("/thread", ask_in_thread)],
        middleware=[Middleware(HotSessionMiddleware)] if middleware else [],
        lifespan=lifespan,
    )


def test_asked_for_at_import_it_lives_as_long_as_the_app() -> None:
    """It begins when the lifespan has started, and has ended before the lifespan ends: what it uses is there."""
    handle = hotsession.task("work", work)
    with TestClient(an_app()) as client:
        while client.get("/").text != "True":
            pass
        assert client.get("/ask").text == "running"
    assert trace == ["start-up", "started", "begin", "end", "shutdown"]
    assert handle.state == "cancelled"


def test_asked_for_in_the_lifespan_it_begins_there() -> None:
    """And ends with it."""

    @contextlib.asynccontextmanager
    async def asking(app: Starlette) -> AsyncIterator[None]:
        hotsession.task("work", work)
        async with lifespan(app):
            yield

    with TestClient(an_app(lifespan=asking)) as client:
        assert client.get("/ask").text == "running"
    assert trace == ["start-up", "begin", "started", "end", "shutdown"]


@pytest.mark.parametrize("path", ["/ask", "/thread"])
@pytest.mark.parametrize("middleware", [True, False])
def test_an_endpoint_asks_for_it(path: str, middleware: bool) -> None:
    """Async or sync, with the middleware or without: it outlives its request, and ends with the server."""
    with TestClient(an_app(middleware=middleware)) as client:
        assert client.get(path).text in ("waiting", "running")
        while client.get("/").text != "True":
            pass
        assert client.get(path).text == "running"
    assert sorted(trace[2:]) == ["begin", "end", "shutdown"]


@pytest.mark.anyio
async def test_where_no_lifespan_comes_the_first_request_begins_it() -> None:
    """Some servers send none, and some options turn it off."""

    async def ask_at_import() -> Any:
        return await asyncio.to_thread(hotsession.task, "work", work)  # a thread that belongs to no event loop

    handle = await ask_at_import()
    assert handle.state == "waiting"
    app: Any = an_app()
    assert (await Exchange(app, "/").end()).status == 200
    await until(lambda: trace == ["begin"])
    await board().end()


@pytest.mark.anyio
async def test_another_app_that_ends_takes_no_task_along() -> None:
    """An app in another event loop of the process, as tests have them."""
    handle = hotsession.task("work", work)
    await until(lambda: trace == ["begin"])

    def live() -> None:
        with TestClient(an_app()):
            pass

    await asyncio.to_thread(live)
    assert handle.state == "running"
    await board().end()


@pytest.mark.anyio
async def test_in_a_host_the_end_of_an_old_app_ends_no_task(tmp_path: Any) -> None:
    """Its middleware sees the lifespan of each generation end; tasks are of the process."""
    main = """
        from tests.background.test_lifespans import an_app, work
        import hotsession
        hotsession.task("work", work, on_reload="keep")
        app = an_app()
    """
    async with Project(tmp_path) as project:
        await project.start({"main.py": main})
        await until(lambda: "begin" in trace)
        await project.reload({"main.py": main + "\n"})
        await project.drained()
        assert trace.count("shutdown") == 1
        assert "end" not in trace


def test_on_trio_what_was_asked_for_at_import_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """It does not run, and that is no secret; the app does."""
    hotsession.task("work", work)
    with TestClient(an_app(lifespan=None), backend="trio") as client:
        assert client.get("/").text == "False"
    assert "The tasks that were asked for at import do not run: hotsession.task needs asyncio" in caplog.text


def test_an_app_without_tasks_has_nothing_to_do_with_them(caplog: pytest.LogCaptureFixture) -> None:
    """On any event loop."""
    for backend in ("asyncio", "trio"):
        with TestClient(an_app(lifespan=None), backend=backend) as client:
            assert client.get("/").status_code == 200
    assert caplog.text == ""


def test_an_app_that_fails_to_start_begins_no_task() -> None:
    """Its error is what one sees."""

    @contextlib.asynccontextmanager
    async def failing(app: Starlette) -> AsyncIterator[None]:
        raise ValueError("no database")
        yield

    handle = hotsession.task("work", work)
    with pytest.raises(ValueError, match="no database"), TestClient(an_app(lifespan=failing)):
        pass
    assert (handle.state, trace) == ("waiting", [])


def test_a_program_without_a_server_can_have_tasks() -> None:
    """`asyncio.run` is enough, and its end is theirs."""

    async def main() -> None:
        hotsession.task("work", work)
        await until(lambda: trace == ["begin"])

    anyio.run(main)
    assert trace == ["begin", "end"]
