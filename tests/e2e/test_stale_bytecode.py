"""Two saves of one size within one second: whoever starts a new process per save serves the second."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.deadlines import DEADLINE
from tests.e2e.reloaders import GRANIAN, RELOADERS, UVICORN, ReloadedServer, Reloader
from tests.e2e.servers import wait_until, write_project

pytestmark = pytest.mark.e2e

MODULES = ("early", "target", "late")  # imported before hotsession, importing it, imported after it
PROJECT = {
    "early.py": "VALUE = 0\n",
    "late.py": "VALUE = 0\n",
    "target.py": """
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        import early
        import hotsession
        import late

        VALUE = 0

        async def home(request):
            return JSONResponse([early.VALUE, VALUE, late.VALUE])

        print(f"imported save {VALUE}", flush=True)

        app = Starlette(routes=[Route("/", home)], middleware=[Middleware(hotsession.HotSessionMiddleware)])
    """,
}


def save(project: Path, value: int, second: float) -> None:
    """Save all modules with another value of one digit, each at its tenth of the second."""
    for module in MODULES:
        path = project / f"{module}.py"
        beside = path.with_suffix(".tmp")
        beside.write_text(path.read_text().replace(f"VALUE = {value - 1}\n", f"VALUE = {value}\n"))
        changed = int(second) + value / 10
        os.utime(beside, (changed, changed))
        beside.replace(path)


def answer(server: ReloadedServer) -> list[int]:
    found: list[int] = server.get("/").raise_for_status().json()
    return found


@pytest.mark.parametrize("reloader", RELOADERS, ids=str)
def test_the_second_save_within_a_second_is_served(reloader: Reloader, tmp_path: Path) -> None:
    """Python itself sees no difference between the sources; each save is served all the same."""
    project = write_project(tmp_path / "project", PROJECT)
    with ReloadedServer(reloader, "target:app", project) as server:
        assert answer(server) == [0, 0, 0]
        second = time.time() + DEADLINE  # ahead, since no machine starts three processes in a second
        for value in (1, 2, 3):
            save(project, value, second)
            wait_until(lambda value=value: answer(server) == [value] * 3, what=f"save {value}")  # type: ignore[misc]
        assert len({int((project / f"{module}.py").stat().st_mtime) for module in MODULES}) == 1
    assert "runs as it was before" not in server.log


# granian 2.8 misses such a save, or waits for ever for a worker that was told to end while it started: without us, too.
@pytest.mark.parametrize("reloader", [each for each in RELOADERS if each is not GRANIAN], ids=str)
def test_a_save_right_after_the_import_is_served(reloader: Reloader, tmp_path: Path) -> None:
    """Nobody asked the worker for anything, it may not even have begun to serve, and it leaves nothing stale."""
    project = write_project(tmp_path / "project", PROJECT)
    with ReloadedServer(reloader, "target:app", project) as server:
        second = time.time() + DEADLINE
        for value in (1, 2, 3):
            save(project, value, second)
            server.wait_for_line(f"^imported save {value}$")
        wait_until(lambda: answer(server) == [3, 3, 3], what="the last save")


def test_the_trap_is_there_when_it_is_off(tmp_path: Path) -> None:
    """With HOTSESSION=off nobody looks at bytecode, and the first save is what new processes serve."""
    project = write_project(tmp_path / "project", PROJECT)
    with ReloadedServer(UVICORN, "target:app", project, env={"HOTSESSION": "off"}) as server:
        second = time.time() + DEADLINE
        save(project, 1, second)
        wait_until(lambda: answer(server) == [1, 1, 1])
        since = len(server.log)
        save(project, 2, second)
        server.wait_for_line("Application startup complete", since=since)
        assert answer(server) == [1, 1, 1]
