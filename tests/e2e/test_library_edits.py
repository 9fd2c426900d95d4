"""Edits of apps whose libraries keep registries of their own, and of apps that must not run twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.servers import Server, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

PLUGINS = {
    "registry.py": """
        handlers = []

        def handler(function):
            handlers.append(function.__name__)
            return function
    """,
    "plugins.py": "from registry import handler\n\n@handler\ndef resize():\n    return 1\n",
    "main.py": """
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        import plugins, registry

        async def home(request):
            return JSONResponse({"handlers": registry.handlers, "result": plugins.resize()})

        app = Starlette(routes=[Route("/", home)])
    """,
}


@pytest.mark.parametrize(("scope", "count"), [("changed", 2), ("all", 1)])
def test_what_registers_itself_elsewhere_needs_the_scope_all(tmp_path: Path, scope: str, count: int) -> None:
    """A decorator that registers into a module which was not edited: doubled with `changed`, right with `all`."""
    project = write_project(tmp_path / "plugins", PLUGINS)
    with Server(hotsession_run("main:app", "--reload-scope", scope), project) as server:
        assert server.get("/").json() == {"handlers": ["resize"], "result": 1}
        server.edit("plugins.py", "return 1", "return 2")
        wait_until(lambda: server.get("/").json()["result"] == 2)
        assert server.get("/").json()["handlers"] == ["resize"] * count


COUNTERS = {
    "metrics.py": """
        from prometheus_client import Counter, Histogram

        VISITS = Counter("visits", "How often somebody came.", ["who"])
        SECONDS = Histogram("seconds", "How long it took.")
    """,
    "main.py": """
        from prometheus_client import generate_latest
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
        from metrics import SECONDS, VISITS

        WHO = "first"

        async def home(request):
            VISITS.labels(WHO).inc()
            with SECONDS.time():
                return PlainTextResponse(generate_latest())

        app = Starlette(routes=[Route("/", home)])
    """,
}


def test_prometheus_counters_are_not_registered_twice(tmp_path: Path) -> None:
    """A module with counters is edited: no duplicated series, the description is the new one, and it counts."""
    project = write_project(tmp_path / "counters", COUNTERS)
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server:
        assert 'visits_total{who="first"}' in server.get("/").text
        server.edit("metrics.py", "somebody", "anybody")
        wait_until(lambda: "How often anybody came." in server.get("/").text)
        server.edit("main.py", '"first"', '"second"')
        wait_until(lambda: 'visits_total{who="second"}' in server.get("/").text)
        lines = server.get("/").text.splitlines()
        assert max(Counter(line.rpartition(" ")[0] for line in lines if not line.startswith("#")).values()) == 1
        assert "ERROR" not in server.log


SCHEDULER = {
    "jobs.py": """
        import asyncio, pathlib

        VERSION = 1
        lock = pathlib.Path("running")
        beats = pathlib.Path("beats.txt")

        async def schedule():
            with lock.open("x"):  # fails when another one runs
                pass
            try:
                while True:
                    with beats.open("a") as file:
                        file.write(f"{VERSION}\\n")
                    await asyncio.sleep(0.02)
            finally:
                lock.unlink()
    """,
    "main.py": """
        import asyncio, contextlib
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        import jobs

        @contextlib.asynccontextmanager
        async def lifespan(app):
            task = asyncio.create_task(jobs.schedule())
            await asyncio.sleep(0)
            if task.done():
                task.result()
            yield
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        async def home(request):
            return JSONResponse({"version": jobs.VERSION})

        app = Starlette(routes=[Route("/", home)], lifespan=lifespan)
    """,
}


def test_stop_first_never_runs_two_schedulers(tmp_path: Path) -> None:
    """What can't run twice, a task of the lifespan under a lock, goes from old to new; requests wait, none fails."""
    project = write_project(tmp_path / "scheduler", SCHEDULER)
    beats = project / "beats.txt"
    with Server(hotsession_run("main:app", "--handover", "stop-first", "--no-access-log"), project) as server:
        for version in range(2, 6):
            server.edit("jobs.py", f"VERSION = {version - 1}", f"VERSION = {version}")
            wait_until(lambda version=version: server.get("/").raise_for_status().json()["version"] == version)  # type: ignore[misc]
            wait_until(lambda version=version: beats.read_text().endswith(f"{version}\n"))  # type: ignore[misc]
        versions = beats.read_text().split()
        assert versions == sorted(versions), "an old scheduler ran beside a newer one"
        server.edit("jobs.py", 'lock.open("x")', "broken")
        server.wait_for_line("The old app was started again")
        count = len(beats.read_text())
        wait_until(lambda: len(beats.read_text()) > count)
        assert server.get("/").json()["version"] == 5
    assert not (project / "running").exists()


def test_start_first_shows_a_start_up_that_needs_the_other_order(tmp_path: Path) -> None:
    """By default both overlap: a lock refuses the second, the old app serves on, and the error is shown."""
    project = write_project(tmp_path / "scheduler", SCHEDULER)
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server:
        server.edit("jobs.py", "VERSION = 1", "VERSION = 2")
        server.wait_for_line(r"(?s)could not start up.*FileExistsError")
        assert server.get("/").json() == {"version": 1}
