"""Saves that never come back, at import or at start-up: the log says where, old code serves, the next save mends it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.e2e.servers import Server, free_port, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

APP = """
    import asyncio, contextlib, time
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    import part

    @contextlib.asynccontextmanager
    async def lifespan(app):
        await part.start()
        yield

    async def home(request):
        return PlainTextResponse(part.WORD)

    app = Starlette(routes=[Route("/", home)], lifespan=lifespan)
"""
PART = """
    import asyncio, time
    WORD = "old"

    async def start():
        pass
"""
HANGS = {
    "endless loop": "while True: pass",
    "sleep": "time.sleep(3600)",
    "event loop": "asyncio.new_event_loop().run_forever()",
}


@pytest.mark.parametrize("code", HANGS.values(), ids=HANGS)
def test_an_import_that_never_ends_is_given_up(tmp_path: Path, code: str) -> None:
    """Old code serves on while new code hangs; the save that mends it is acted on within a second or two."""
    project = write_project(tmp_path / "app", {"main.py": APP, "part.py": PART})
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server:
        server.edit("part.py", 'WORD = "old"', f'WORD = "hangs"\n{code}')
        for _ in range(20):
            assert server.get("/").text == "old"
        server.edit("part.py", f'"hangs"\n{code}', '"new"')
        wait_until(lambda: server.get("/").text == "new")


def test_a_server_that_is_started_at_import_is_given_up(tmp_path: Path) -> None:
    """uvicorn.run(app) in the module itself, without a guard: its port is free again after the save that mends it."""
    project = write_project(tmp_path / "app", {"main.py": APP, "part.py": PART})
    port = free_port()
    call = f"\nimport uvicorn\nuvicorn.run(app, port={port})\n"
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server:
        main = (project / "main.py").read_text()
        server.write("main.py", main + call)
        server.wait_for_line(f"Uvicorn running on http://127.0.0.1:{port}")
        assert server.get("/").text == "old"
        server.wait_for_line(r"The new code is still being imported \(.*main\.py:\d+\) after 5 s; the next save")
        server.write("main.py", main.replace("part.WORD", "'new'"))
        wait_until(lambda: server.get("/").text == "new")
        wait_until(lambda: _refuses(port))


def _refuses(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
    except httpx.ConnectError:
        return True
    return False


@pytest.mark.parametrize("handover", ["start-first", "stop-first"])
def test_a_start_up_that_never_ends_is_given_up(tmp_path: Path, handover: str) -> None:
    """A lifespan that waits for ever: no request fails, and the save that mends it is acted on."""
    project = write_project(tmp_path / "app", {"main.py": APP, "part.py": PART})
    with Server(hotsession_run("main:app", "--handover", handover, "--no-access-log"), project) as server:
        server.edit("part.py", "    pass", "    print('hanging', flush=True)\n    await asyncio.sleep(3600)")
        server.wait_for_line("hanging")
        if handover == "start-first":
            assert server.get("/").text == "old"
        server.write("part.py", PART.replace("old", "new"))
        wait_until(lambda: server.get("/").raise_for_status().text == "new")
        assert "ERROR" not in server.log


def test_a_first_start_up_that_never_ends_is_given_up(tmp_path: Path) -> None:
    """It counts from the very first start as well: the save brings the app up."""
    hangs = PART.replace("pass", "await asyncio.sleep(3600)")
    project = write_project(tmp_path / "app", {"main.py": APP, "part.py": hangs})
    with Server(hotsession_run("main:app", "--no-access-log"), project, ready=None) as server:
        server.wait_for_line("The new app is still starting up after 5 s; the next save gives it up")
        server.write("part.py", PART)
        wait_until(lambda: server.get("/").text == "old")
