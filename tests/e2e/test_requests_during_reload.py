"""Requests, streams and WebSockets that meet a reload, on a real server: what runs finishes on the old code."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.deadlines import DEADLINE, STOP_DEADLINE
from tests.e2e.servers import Server, hotsession_run, uvicorn, wait_until, write_project

pytestmark = pytest.mark.e2e

PROJECT = {
    "main.py": """
        import asyncio, contextlib, os, time
        from typing import Annotated
        from fastapi import Depends, FastAPI, Request, WebSocket
        from fastapi.responses import StreamingResponse
        import hotsession
        from services import VERSION, Planner

        @contextlib.asynccontextmanager
        async def lifespan(app):
            app.state.version = VERSION
            yield {"started": VERSION}
            app.state.version = "ended"

        app = FastAPI(lifespan=lifespan)
        app.state.set_at_import = VERSION
        planner = Annotated[Planner, Depends(hotsession.provide(Planner))]

        @app.get("/")
        async def home(planner: planner, request: Request):
            return {"version": VERSION, "planner": planner.answer(), "pid": os.getpid(), "state":
                    [request.app.state.version, request.state.started, request.app.state.set_at_import]}

        @app.get("/slow")
        async def slow(planner: planner, request: Request):
            hotsession.keep("marks", dict)["slow"] = VERSION
            while hotsession.keep("marks", dict)["slow"] != "go":
                await asyncio.sleep(0.01)
            late = await hotsession.get_service(Planner, "late")
            from services import VERSION as late_version
            return {"version": VERSION, "planner": planner.answer(), "late": late.answer(), "import": late_version,
                    "state": request.app.state.version}

        @app.get("/sync")
        def sync(planner: planner):
            hotsession.keep("marks", dict)["slow"] = VERSION
            while hotsession.keep("marks", dict)["slow"] != "go":
                time.sleep(0.01)
            from services import VERSION as late_version
            return {"version": VERSION, "planner": planner.answer(), "import": late_version}

        @app.get("/mark")
        def mark():
            return hotsession.keep("marks", dict).get("slow")

        @app.get("/go")
        def go():
            hotsession.keep("marks", dict)["slow"] = "go"

        @app.get("/lines")
        async def lines(planner: planner):
            async def each():
                hotsession.keep("marks", dict)["slow"] = VERSION
                yield planner.answer() + "\\n"
                while hotsession.keep("marks", dict)["slow"] != "go":
                    await asyncio.sleep(0.01)
                yield planner.answer() + "\\n"
            return StreamingResponse(each(), media_type="text/plain")

        @app.get("/events")
        async def events(planner: planner):
            async def endless():
                while True:
                    yield f"data: {planner.answer()}\\n\\n"
                    await asyncio.sleep(0.02)
            return StreamingResponse(endless(), media_type="text/event-stream")

        @app.websocket("/ws")
        async def ws(socket: WebSocket, planner: planner):
            await socket.accept()
            async for text in socket.iter_text():
                await socket.send_text(f"{text}: {planner.answer()}")
    """,
    "services.py": """
        import hotsession

        VERSION = 1

        @hotsession.service
        class Planner:
            def __init__(self):
                self.closed = False

            def answer(self):
                return f"closed {VERSION}" if self.closed else f"open {VERSION}"

            async def aclose(self):
                self.closed = True
    """,
    "hosted.py": """
        from pathlib import Path
        from hotsession import HotApp

        app = HotApp("main:app")
    """,
}


def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "app", PROJECT)


@pytest.fixture(scope="module", params=["hotsession run", "HotApp under uvicorn"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all, in both ways to run the host."""
    command = hotsession_run("main:app") if request.param == "hotsession run" else uvicorn("hosted:app")
    with Server((*command, "--no-access-log"), project(tmp_path_factory.mktemp("requests"))) as server:
        first = server.get("/").json()["pid"]
        yield server
        assert server.get("/").json()["pid"] == first
        assert "ERROR" not in server.log


def version(server: Server) -> int:
    found: int = server.get("/").raise_for_status().json()["version"]
    return found


def save(server: Server) -> int:
    """Save the next version, wait until it answers, and return the one before."""
    old = version(server)
    server.edit("services.py", f"VERSION = {old}", f"VERSION = {old + 1}")
    wait_until(lambda: version(server) == old + 1)
    return old


@contextlib.contextmanager
def load(server: Server) -> Iterator[list[int]]:
    """Requests one after the other on kept connections and on new ones; collects the versions that answered."""
    met: list[int] = []
    failed: list[str] = []
    done = threading.Event()

    def ask(headers: dict[str, str]) -> None:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=DEADLINE, headers=headers) as client:
            while not done.is_set():
                try:
                    answer = client.get("/").raise_for_status().json()
                except httpx.HTTPError as error:
                    failed.append(repr(error))
                    continue
                met.append(answer["version"])
                if answer["planner"] != f"open {answer['version']}" or answer["state"] != [answer["version"]] * 3:
                    failed.append(str(answer))

    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(ask, headers) for headers in ({}, {"connection": "close"})]
        try:
            yield met
        finally:
            done.set()
    assert [each.result() for each in asking] == [None, None]
    assert failed == []


@pytest.mark.parametrize(("path", "late"), [("/slow", True), ("/sync", False)])
def test_a_request_in_flight_finishes_on_old_code(server: Server, path: str, late: bool) -> None:
    """Its services are open, one that it asks for late is built by old code, its late import is old code as well."""
    with ThreadPoolExecutor() as pool:
        server.get("/go")
        slow = pool.submit(httpx.get, f"{server.url}{path}", trust_env=False, timeout=DEADLINE)
        old = version(server)
        wait_until(lambda: server.get("/mark").json() == old)
        assert save(server) == old
        assert save(server) == old + 1
        server.get("/go")
        answer = slow.result().json()
    expected = {"version": old, "planner": f"open {old}", "import": old}
    assert answer == (expected | {"late": f"open {old}", "state": old} if late else expected)


def test_a_streaming_response_finishes_on_old_code(server: Server) -> None:
    """What a response yields after the save still comes from old code, and the response is complete."""
    server.get("/go")
    with httpx.stream("GET", f"{server.url}/lines", trust_env=False, timeout=DEADLINE) as stream:
        lines = stream.iter_lines()
        first = next(lines)
        old = save(server)
        server.get("/go")
        assert [first, *lines] == [f"open {old}"] * 2


def test_the_log_names_what_old_code_still_does(server: Server) -> None:
    """The line of a reload names the requests that old generations are still busy with."""
    server.get("/go")
    with httpx.stream("GET", f"{server.url}/lines", trust_env=False, timeout=DEADLINE) as stream:
        lines = stream.iter_lines()
        next(lines)
        since = len(server.log)
        save(server)
        server.wait_for_line(r"Reloaded .*old code still has work: GET /lines", since=since)
        server.get("/go")
        assert len(list(lines)) == 1


def test_no_request_fails_through_many_saves(server: Server) -> None:
    """Under steady load every request is answered, completely by one version of the code, in the order of the saves."""
    with load(server) as met:
        for _ in range(20):
            save(server)
    assert len(set(met)) > 15
    assert met[-1] == version(server)


def test_an_open_websocket_moves_and_a_stream_without_ids_stays(server: Server) -> None:
    """At a save the one goes on with new code, the other, which nobody could resume, with old code and its services."""
    with (
        connect(f"{server.ws_url}/ws", open_timeout=DEADLINE) as ws,
        httpx.stream("GET", f"{server.url}/events", trust_env=False, timeout=DEADLINE) as stream,
    ):
        events = (line for line in stream.iter_lines() if line)
        ws.send("before")
        old = version(server)
        assert ws.recv() == f"before: open {old}"
        assert next(events) == f"data: open {old}"
        save(server)
        ws.send("after")
        assert ws.recv(DEADLINE) == f"after: open {old + 1}"
        assert [next(events) for _ in range(10)] == [f"data: open {old}"] * 10
        with connect(f"{server.ws_url}/ws", open_timeout=DEADLINE) as newer:
            newer.send("newer")
            assert newer.recv() == f"newer: open {old + 1}"


def test_the_drain_timeout_ends_what_never_ends(tmp_path: Path) -> None:
    """After it event streams end cleanly; requests and their services outlive it."""
    with (
        Server(hotsession_run("main:app", "--drain-timeout", "0.3", "--no-access-log"), project(tmp_path)) as server,
        ThreadPoolExecutor() as pool,
        httpx.stream("GET", f"{server.url}/events", trust_env=False, timeout=DEADLINE) as stream,
    ):
        slow = pool.submit(httpx.get, f"{server.url}/slow", trust_env=False, timeout=DEADLINE)
        wait_until(lambda: server.get("/mark").json() == 1)
        events = (line for line in stream.iter_lines() if line)
        assert next(events) == "data: open 1"
        saved = time.monotonic()
        save(server)
        *rest, last = events  # and httpx raises when the response is incomplete
        assert set(rest) <= {"data: open 1"}
        assert last == "retry: 250"
        assert 0.2 < time.monotonic() - saved < STOP_DEADLINE
        assert not slow.done()
        assert "closed" not in server.get("/").json()["planner"]
        server.get("/go")
        answer = slow.result().json()
        assert (answer["version"], answer["planner"], answer["state"]) == (1, "open 1", 1)
        server.wait_for_line("Generation 1, replaced 0 s ago, still has work: ")
