"""The harness of the end-to-end tests itself: it starts, edits, waits, and leaves nothing running."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.servers import Server, uvicorn, uvicorn_reload, wait_until, write_project

pytestmark = pytest.mark.e2e

APP = """
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"old"})
"""

FORGOTTEN_CHILD = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "app", {"main.py": APP})


def test_a_server_answers_and_stops_on_interrupt(project: Path) -> None:
    """A started server answers on its own port, and stops with SIGINT without leaving a process."""
    with Server(uvicorn("main:app", "--lifespan", "off"), project) as server:
        assert server.get("/").text == "old"
        server.wait_for_line(r"Uvicorn running on http://127\.0\.0\.1:\d+")
        assert server.pids() == [server.process.pid]
    assert server.process.returncode in (0, -signal.SIGINT)
    assert server.pids() == []


@pytest.mark.parametrize("atomic", [True, False], ids=["renamed", "in place"])
def test_an_edit_reaches_a_reloading_server(project: Path, atomic: bool) -> None:
    """An edit of the project on disk shows in a reloading server, whichever way the editor writes."""
    with Server(uvicorn_reload("main:app", "--lifespan", "off", "--no-access-log"), project) as server:
        assert len(server.workers()) == 1
        server.edit("main.py", 'b"old"', 'b"newer"', atomic=atomic)
        wait_until(lambda: server.get("/").text == "newer", what="the new code")


def test_a_server_that_exits_at_once_is_reported_with_its_log(project: Path) -> None:
    """Entering fails with the log, and without waiting for the deadline, when the server can't start."""
    with (
        pytest.raises(AssertionError, match=r"(?s)exited with [13]:.*Error loading ASGI app"),
        Server(uvicorn("main:missing"), project),
    ):
        pytest.fail("the server can't have started")


def test_a_process_left_behind_fails_the_test(project: Path) -> None:
    """Leaving the block fails when a process of the server outlives it, even in a session of its own."""
    main = project / "main.py"
    main.write_text(f"{FORGOTTEN_CHILD}{main.read_text()}")
    server = Server(uvicorn("main:app", "--lifespan", "off"), project, linger=0.5)
    with pytest.raises(AssertionError, match="left processes"), server:
        assert len(server.workers()) == 1
    assert server.pids() == []


def test_a_killed_server_counts_as_stopped(project: Path) -> None:
    """After kill() the server is gone, and leaving the block does not complain."""
    with Server(uvicorn("main:app", "--lifespan", "off"), project) as server:
        server.kill()
        with pytest.raises(httpx.TransportError):
            server.get("/")
    assert server.process.returncode == -signal.SIGKILL


def test_waiting_names_what_it_waited_for() -> None:
    """A wait that runs out says what it waited for, how long, and what it saw last."""
    with pytest.raises(AssertionError, match=r"waited 0\.05 s for the moon; the last answer was 0"):
        wait_until(lambda: 0, 0.05, "the moon")


def test_no_python_variable_is_inherited(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PYTHON* variables of the test run do not reach the server: one of them would hide stale .pyc files."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    with Server(uvicorn("main:app", "--lifespan", "off"), project):
        assert list(project.glob(f"__pycache__/main.{sys.implementation.cache_tag}.pyc"))
