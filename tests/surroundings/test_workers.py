"""How many workers the server of a process has: rules on what it is told, then real servers."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from uvicorn import Config, Server

import hotsession
from hotsession import managers
from hotsession.storages.sqlite import SQLiteStorage
from hotsession.surroundings import workers
from hotsession.surroundings.spawned import Spawned, _running
from hotsession.surroundings.workers import said_workers, worker_count
from tests.e2e.servers import Server as RealServer
from tests.e2e.servers import uvicorn, write_project


@pytest.mark.parametrize(
    ("command", "environ", "count"),
    [
        ("granian main:app --workers 4", {}, 4),
        ("python -m granian --workers=3 main:app", {}, 3),
        ("granian main:app", {"GRANIAN_WORKERS": "5"}, 5),
        ("granian --workers 2 main:app", {"GRANIAN_WORKERS": "5"}, 2),
        ("granian main:app --workers-lifetime 3600", {}, 1),
        ("gunicorn -w 4 main:app", {}, 4),
        ("gunicorn -w4 main:app", {}, 4),
        ("/venv/bin/python /venv/bin/gunicorn --workers=2 -w 6 main:app", {}, 6),
        ("gunicorn main:app", {"WEB_CONCURRENCY": "3"}, 3),
        ("gunicorn main:app", {"GUNICORN_CMD_ARGS": "-w 7", "WEB_CONCURRENCY": "3"}, 7),
        ("gunicorn main:app -w 1", {"GUNICORN_CMD_ARGS": "-w 7"}, 1),
        ("gunicorn main:app -w", {}, 1),
        ("gunicorn main:app -w many", {}, 1),
        ("pytest -w 4", {"WEB_CONCURRENCY": "3"}, 1),
        ("", {}, 1),
    ],
)
def test_what_a_command_says(command: str, environ: dict[str, str], count: int) -> None:
    """The last that is said counts, and the command line more than variables; what is no number counts for nothing."""
    assert said_workers(command.split(), environ) == count


class Process:
    """One that `multiprocessing` started for uvicorn."""

    def __init__(self, config: Config) -> None:
        self._target = Server.run
        self._kwargs = {"config": config}


def test_uvicorn_hands_its_settings_to_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """From `--workers`, from `WEB_CONCURRENCY` or from a program: they know how many they are."""
    assert _running(Process(Config("main:app", workers=3))).workers == 3
    assert _running(Process(Config("main:app"))).workers == 1
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    assert _running(Process(Config("main:app"))).workers == 4


def surrounded(monkeypatch: pytest.MonkeyPatch, task: Spawned | None, argv: str = "", *, reloads: bool = False) -> None:
    """Let this process be one that was started so."""
    monkeypatch.setattr(workers, "spawned", lambda: task)
    monkeypatch.setattr(workers, "under_reloader", lambda: reloads)
    monkeypatch.setattr(sys, "argv", argv.split())
    monkeypatch.setattr(sys, "orig_argv", ["python", *argv.split()])


def test_a_process_counts_its_fellows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spawned worker by what it was handed, one of granian's or gunicorn's by the command, others not at all."""
    for task, argv, count in (
        (Spawned("uvicorn", reloads=False, workers=2), "uvicorn main:app --workers 2", 2),
        (Spawned("hypercorn", reloads=False, workers=3), "serve.py", 3),
        (Spawned("granian"), "/bin/granian main:app --workers 4", 4),
        (None, "/bin/gunicorn main:app -w 5", 5),
        (None, "/bin/uvicorn main:app --workers 2", 1),  # the parent, which serves nobody
        (Spawned(), "/bin/uvicorn main:app --workers 2", 1),  # of a process pool of the app's
    ):
        surrounded(monkeypatch, task, argv)
        assert worker_count({}) == count
    surrounded(monkeypatch, Spawned("uvicorn", reloads=True, workers=2), reloads=True)
    assert worker_count({}) == 1


def test_gunicorns_master_says_it_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its configuration file is not on the command line, but its frames are below those of its workers."""
    surrounded(monkeypatch, None, "/bin/gunicorn main:app")
    frame = SimpleNamespace(
        f_globals={"__name__": "gunicorn.arbiter"}, f_locals={"self": SimpleNamespace(num_workers=4)}
    )
    monkeypatch.setattr(workers, "main_frames", lambda: iter([frame]))
    assert worker_count({}) == 4


def test_memory_in_one_of_several_workers_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """With the cure, which is another storage: with that there is nothing to warn of."""
    monkeypatch.setattr(managers, "worker_count", lambda: 4)
    with caplog.at_level(logging.WARNING, logger="hotsession"):
        hotsession.sessions("jobs", storage=SQLiteStorage(tmp_path / "sessions.db"))
        assert caplog.messages == []
        hotsession.sessions("previews")
        hotsession.sessions("chats")
    (message,) = caplog.messages
    assert message.startswith("The sessions 'previews' are in the memory of this process, one of 4 workers: each would")
    assert 'storage=hotsession.open_storage("sqlite:///sessions.db"), or run one worker.' in message


def test_memory_in_the_only_worker_is_fine(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is said in a process that is alone."""
    hotsession.sessions("previews")
    assert caplog.messages == []


MAIN = """
    import hotsession
    from fastapi import FastAPI

    sessions = hotsession.sessions("previews", storage=hotsession.open_storage())
    app = FastAPI()
    app.get("/")(lambda: {})
"""
HYPERCORN = """
    import sys
    from hypercorn.config import Config
    from hypercorn.run import run

    if __name__ == "__main__":
        config = Config()
        config.application_path, config.workers, config.bind = "main:app", 2, ["127.0.0.1:" + sys.argv[-1]]
        run(config)
"""
COMMANDS = {
    "uvicorn": (uvicorn("main:app", "--workers", "2"), {}),
    "uvicorn by variable": (uvicorn("main:app"), {"WEB_CONCURRENCY": "2"}),
    "fastapi run": ((sys.executable, "-m", "fastapi", "run", "main.py", "--workers", "2"), {}),
    "hypercorn": ((sys.executable, "serve.py"), {}),
    "granian": ((sys.executable, "-m", "granian", "main:app", "--interface", "asgi", "--workers", "2"), {}),
}


@pytest.mark.e2e
@pytest.mark.parametrize("name", COMMANDS)
def test_real_workers_warn(tmp_path: Path, name: str) -> None:
    """Each of the two says it once."""
    command, environ = COMMANDS[name]
    project = write_project(tmp_path / "project", {"main.py": MAIN, "serve.py": HYPERCORN})
    with RealServer(command, project, env=environ, ready=None) as server:
        line = "The sessions 'previews' are in the memory of this process, one of 2 workers"
        server.wait_for_line(rf"(?s){line}.*{line}")
        assert server.log.count(line) == 2
        server.kill()  # granian never ends if it is told to while a worker starts


@pytest.mark.e2e
@pytest.mark.parametrize("options", [("--workers", "1"), ("--reload", "--workers", "2")])
def test_a_worker_that_is_alone_does_not_warn(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Nor does one that a reloader restarts: there is only one then."""
    project = write_project(tmp_path / "project", {"main.py": MAIN})
    with RealServer(uvicorn("main:app", *options), project) as server:
        assert "in the memory of this process" not in server.log


@pytest.mark.e2e
def test_workers_that_share_a_storage_do_not_warn(tmp_path: Path) -> None:
    """All find the sessions there."""
    project = write_project(tmp_path / "project", {"main.py": MAIN})
    environ = {"HOTSESSION_STORAGE": "sqlite:///sessions.db"}
    with RealServer(uvicorn("main:app", "--workers", "2"), project, env=environ) as server:
        assert "in the memory of this process" not in server.log
