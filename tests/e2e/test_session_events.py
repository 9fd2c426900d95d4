"""A page that listens to sessions while the server restarts: what happened meanwhile is told, or that it can't be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server, hotsession_run, uvicorn, uvicorn_reload, wait_until, write_project

pytestmark = pytest.mark.e2e

APP = """
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    import hotsession

    VERSION = "1"


    async def index(request):
        return PlainTextResponse(VERSION)


    jobs = hotsession.sessions("jobs", STORAGE)
    routes = hotsession.session_routes(jobs, AUTHORIZE)
    app = Starlette(routes=[Route("/", index), Mount("/api/sessions", routes=routes)])
    app.add_middleware(hotsession.HotSessionMiddleware)
"""
LASTING = {"STORAGE": 'storage=hotsession.SQLiteStorage("jobs.db")', "AUTHORIZE": "lambda connection, action: True"}
IN_MEMORY = {"STORAGE": "", "AUTHORIZE": ""}


class Event(NamedTuple):
    """One event as a browser reads it."""

    name: str
    id: str
    data: Any


def project_of(directory: Path, settings: dict[str, str]) -> Path:
    """The app with its settings."""
    text = APP
    for name, value in settings.items():
        text = text.replace(name, value)
    return write_project(directory, {"main.py": text.replace("(jobs, )", "(jobs)").replace('"jobs", )', '"jobs")')})


@contextmanager
def listening(server: Server, last_id: str | None = None) -> Iterator[Iterator[Event]]:
    """The events of a server, by a client of its own."""
    headers = {} if last_id is None else {"last-event-id": last_id}
    with (
        httpx.Client(trust_env=False, timeout=DEADLINE) as client,
        client.stream("GET", f"{server.url}/api/sessions/events", headers=headers) as response,
    ):
        assert response.status_code == 200, response.read()
        yield events(response)


def events(response: httpx.Response) -> Iterator[Event]:
    """The events of a response; comments and what only has a `retry:` are none."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        name, colon, value = line.partition(": ")
        if colon and name:
            fields[name] = value
        elif not line:
            if "event" in fields:
                yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}


def start(server: Server, key: str) -> str:
    """Start a session, and return its id."""
    answer = server.post("/api/sessions/", json={"key": key})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_a_page_hears_what_happened_while_the_server_was_away(tmp_path: Path) -> None:
    """Killed and started again, over a lasting storage: what was written after its last event is told, once."""
    project = project_of(tmp_path / "app", LASTING)
    with Server(uvicorn("main:app"), project) as server:
        with listening(server) as heard:
            assert next(heard).name == "ready"
            first = start(server, "ann")
            event = next(heard)
            assert (event.name, event.data["id"], event.data["status"]) == ("session", first, "active")
        second = start(server, "bob")
        server.post(f"/api/sessions/{first}/end", json={"reason": "done"})
        server.kill()
        port = server.port
    with Server(uvicorn("main:app"), project, port=port) as server, listening(server, event.id) as heard:
        told = [next(heard), next(heard)]
        assert [(each.name, each.data["id"], each.data["status"]) for each in told] == [
            ("session", second, "active"),
            ("session", first, "ended"),
        ]
        third = start(server, "carl")
        assert next(heard).data["id"] == third


def test_in_production_nothing_is_shown_unless_the_app_allows_it(tmp_path: Path) -> None:
    """Though the client is on this machine: without a reloader nobody develops there."""
    with Server(uvicorn("main:app"), project_of(tmp_path / "app", IN_MEMORY)) as server:
        for path in ("", "events", "metrics", "unknown"):
            answer = server.get(f"/api/sessions/{path}")
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def test_two_servers_tell_of_each_other(tmp_path: Path) -> None:
    """They share a storage; what one writes the clients of the other hear of within a second or so."""
    project = project_of(tmp_path / "app", LASTING)
    with (
        Server(uvicorn("main:app"), project) as one,
        Server(uvicorn("main:app"), project) as other,
        listening(one) as heard,
    ):
        assert next(heard).name == "ready"
        session = start(other, "ann")
        assert next(heard).data["id"] == session


def test_a_listening_page_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """In production, where uvicorn waits for its connections: the stream ends when the server is told to."""
    project = project_of(tmp_path / "app", LASTING)
    with Server(uvicorn("main:app"), project) as server, listening(server) as heard:
        assert next(heard).name == "ready"
        assert server.stop() in (0, 130, -2)
        assert list(heard) == []  # a complete response


def test_a_save_under_hotsession_run_ends_no_stream(tmp_path: Path) -> None:
    """Its page hears of what the new code does, over the connection that it has."""
    project = project_of(tmp_path / "app", IN_MEMORY)
    with Server(hotsession_run("main:app"), project) as server, listening(server) as heard:
        assert next(heard).name == "ready"
        server.edit("main.py", 'VERSION = "1"', 'VERSION = "2"')
        wait_until(lambda: server.get("/").text == "2")
        session = start(server, "ann")
        assert next(heard).data["id"] == session


def test_a_page_goes_on_over_a_save_under_a_reloader(tmp_path: Path) -> None:
    """In memory, over a restart of the worker: it is told to list what there is, and hears what comes."""
    project = project_of(tmp_path / "app", IN_MEMORY)
    with Server(uvicorn_reload("main:app"), project) as server:
        with listening(server) as heard:
            ready = next(heard)
            first = start(server, "ann")
            event = next(heard)
            assert (ready.name, event.data["id"]) == ("ready", first)
            begun = len(server.log)
            server.edit("main.py", 'VERSION = "1"', 'VERSION = "2"')
            assert list(heard) == []
        server.wait_for_line("Application startup complete", since=begun)
        assert server.get("/").text == "2"
        with listening(server, event.id) as heard:
            assert next(heard).name == "resync"
            assert [each["id"] for each in server.get("/api/sessions/").json()["sessions"]] == [first]
            second = start(server, "bob")
            assert next(heard).data["id"] == second
