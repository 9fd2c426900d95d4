"""What `multiprocessing` handed to a process: asked in real ones, also while their main file is still imported."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypercorn.config import Config

from hotsession.surroundings import spawned as tested
from hotsession.surroundings.spawned import Spawned, spawned

MAIN = """
import multiprocessing
import sys
import hypercorn.asyncio.run
import uvicorn._subprocess
import uvicorn.server
from hotsession.surroundings.spawned import spawned

print(__name__, spawned(), flush=True)

def task(*args, **kwargs):
    print("task", spawned(), flush=True)

def start(method, worker, **kwargs):
    process = multiprocessing.get_context(method).Process(target=worker, kwargs=kwargs)
    process.start()
    process.join()

class Quiet(uvicorn.Server):
    def run(self, sockets=None):
        task()

if __name__ == "__main__":
    method, what = sys.argv[1:]
    config = uvicorn.Config("main:app", reload=what == "reloading", workers=1 if what == "reloading" else 2)
    if what == "task":
        start(method, task, config=config)
    else:
        start(method, uvicorn._subprocess.subprocess_started,
              config=config, target=Quiet(config).run, sockets=[], stdin_fileno=None)
"""


def told(directory: Path, *arguments: str) -> list[str]:
    """What the processes of the main program say that they are."""
    (directory / "main.py").write_text(textwrap.dedent(MAIN))
    environ = {**os.environ, "PYTHONPATH": str(Path(tested.__file__).parents[1])}
    command = [sys.executable, "main.py", *arguments]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("reloading", Spawned("uvicorn", reloads=True)),
        ("several", Spawned("uvicorn", reloads=False, workers=2)),
        ("task", Spawned()),
    ],
)
def test_a_spawned_process(tmp_path: Path, what: str, expected: Spawned) -> None:
    """It knows what it is for when it runs, and already when the main file is imported before."""
    assert told(tmp_path, "spawn", what) == ["__main__ None", f"__mp_main__ {expected}", f"task {expected}"]


@pytest.mark.e2e
def test_a_forked_process(tmp_path: Path) -> None:
    """It imports nothing again, and knows what it is for."""
    assert told(tmp_path, "fork", "reloading") == ["__main__ None", f"task {Spawned('uvicorn', reloads=True)}"]


def test_a_process_that_was_started_in_another_way() -> None:
    """It was handed nothing."""
    assert spawned() is None


class Process:
    """What `multiprocessing` pickles, as far as it matters."""

    def __init__(self, target: Any, **kwargs: Any) -> None:
        self._target = target
        self._kwargs = kwargs


def hypercorn(*, reloads: bool) -> Process:
    from hypercorn.asyncio.run import asyncio_worker

    config = Config()
    if reloads:
        config.use_reloader = True
    return Process(asyncio_worker, config=config)


@pytest.mark.parametrize("protocol", [4, 5])
def test_what_is_pickled_is_read_without_unpickling(protocol: int) -> None:
    """The target's package and the server's switch are found in the bytes that wait."""
    for process, expected in (
        (hypercorn(reloads=True), Spawned("hypercorn", reloads=True)),
        (hypercorn(reloads=False), Spawned("hypercorn", reloads=False)),
        (Process(uvicorn.Server.run, config=uvicorn.Config("x:y", reload=True)), Spawned("uvicorn", reloads=True)),
        (Process(uvicorn.Server.run, config=uvicorn.Config("x:y")), Spawned("uvicorn", reloads=False)),
        (Process(os.getpid), Spawned()),
    ):
        assert tested._waiting(pickle.dumps(process, protocol)) == expected
        assert tested._running(process) == expected


def test_what_is_not_there_yet_is_not_guessed() -> None:
    """Wherever the bytes that were fetched from the pipe break off, what is said is right or called uncertain."""
    expected = Spawned("hypercorn", reloads=True)
    data = pickle.dumps(hypercorn(reloads=True), 4)
    known = [tested._waiting(data[:length]) for length in range(len(data) + 1)]
    assert all(each == expected for each in known if each.certain)
    assert known[-1].certain
    assert not known[0].certain
    silent = pickle.dumps(hypercorn(reloads=False), 4)
    assert not any(tested._waiting(silent[:length]).certain for length in range(len(silent)))
