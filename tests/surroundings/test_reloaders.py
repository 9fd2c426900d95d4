"""Which program restarts this process: rules on chains of processes, then real processes called like reloaders.

The reloaders themselves are in tests/e2e/test_dev_servers.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hotsession.surroundings import reloaders
from hotsession.surroundings.processes import Process, ProcessesHidden
from hotsession.surroundings.reloaders import DevServer, ReloaderUnknown, dev_server, is_reloader_itself, under_reloader
from hotsession.surroundings.spawned import Spawned

UVICORN = "python /bin/uvicorn main:app --reload"
GUNICORN = "python /bin/gunicorn main:app --reload"
SPAWNED = "python -c from multiprocessing.spawn import spawn_main"
POOL = Spawned()


class Surroundings:
    """What a process finds around it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def are(self, *above: str, task: Spawned | None = None, argv: str = "app.py") -> None:
        """Let these commands run above this process, nearest first; that has this number more than its place."""
        chain = [Process(100 + place, 101 + place, "now", tuple(words.split())) for place, words in enumerate(above)]
        self._monkeypatch.setattr(reloaders, "ancestors", lambda: iter(chain))
        self._monkeypatch.setattr(reloaders, "spawned", lambda: task)
        self._monkeypatch.setattr(reloaders, "parent_pid", lambda: 100)
        self._monkeypatch.setattr(reloaders, "process_started", lambda pid: "now" if chain else None)
        self._monkeypatch.setattr(reloaders, "process_environ", lambda pid: frozenset({"PATH"}))
        self._monkeypatch.setattr(sys, "argv", argv.split())
        self._monkeypatch.setattr(sys, "orig_argv", ["python", *argv.split()])


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    return Surroundings(monkeypatch)


def found(environ: Mapping[str, str] | None = None) -> str | None:
    """The dev server as it is logged."""
    server = dev_server(environ or {})
    return None if server is None else str(server)


@pytest.mark.parametrize(
    ("above", "server"),
    [
        ([GUNICORN, "bash"], "gunicorn --reload [100]"),
        (["python -m hotsession run main:app", "uv run hotsession run main:app", "bash"], "hotsession run [100]"),
        (["python /bin/watchfiles main.run", "bash"], "watchfiles [100]"),
        (["sh -c x", "python /bin/watchfiles main.run", "bash"], "watchfiles [101]"),
        (["python -m uvicorn main:app", "python /bin/watchfiles x"], "watchfiles [101]"),
        (["docker-init -- nodemon", "bash"], None),
        (["uv run uvicorn main:app --reload", "bash"], None),
        (["bash", "systemd"], None),
        ([], None),
    ],
)
def test_the_nearest_reloader_above(surroundings: Surroundings, above: Sequence[str], server: str | None) -> None:
    """A server's worker is its child; other reloaders may have a shell between; nothing else counts."""
    surroundings.are(*above)
    assert found() == server


@pytest.mark.parametrize(
    ("above", "task"),
    [
        ([SPAWNED, UVICORN], None),
        ([SPAWNED, UVICORN], POOL),
        ([GUNICORN, GUNICORN], None),
        ([GUNICORN, GUNICORN], POOL),
        (["python -m hotsession.run.worker run main:app", "hotsession run main:app"], None),
        (["python -m uvicorn main:app", "watchfiles x"], POOL),
        (["sh -c x", UVICORN, "watchfiles x"], None),
    ],
)
def test_what_an_app_started(surroundings: Surroundings, above: Sequence[str], task: Spawned | None) -> None:
    """A worker of the app's process pool, or a program that it runs, is not what the reloader restarts."""
    surroundings.are(*above, task=task)
    assert found() is None


def test_a_server_says_that_it_reloads(surroundings: Surroundings) -> None:
    """The settings that a worker was given count, whatever its parent's command is, which gives the name."""
    surroundings.are("python main.py", "bash", task=Spawned("uvicorn", reloads=True), argv="/src/main.py")
    assert found() == "uvicorn with reload [100]"
    surroundings.are("python x dev", task=Spawned("uvicorn", reloads=True), argv="/venv/bin/fastapi dev")
    assert found() == "fastapi dev [100]"


def test_a_server_says_that_it_does_not_reload(surroundings: Surroundings) -> None:
    """Several workers are no reloader, also if the word is on the command line; a reloader above is one."""
    surroundings.are(UVICORN, "bash", task=Spawned("uvicorn", reloads=False))
    assert found() is None
    surroundings.are("uvicorn main:app --workers 2", "watchfiles x", task=Spawned("uvicorn", reloads=False))
    assert found() == "watchfiles [101]"


def test_a_granian_that_was_spawned(surroundings: Surroundings) -> None:
    """It has its parent's arguments, which say whether it reloads if they are granian's, and else it can't be told."""
    surroundings.are("x", task=Spawned("granian"), argv="/bin/granian main:app --reload")
    assert found() == "granian --reload [100]"
    surroundings.are("x", task=Spawned("granian"), argv="/bin/granian main:app")
    assert found() is None
    surroundings.are("x", task=Spawned("granian"), argv="/src/serve.py")
    with pytest.raises(ReloaderUnknown, match=r"granian was started by serve\.py and does not say whether it reloads"):
        dev_server({})


def test_a_title_in_the_place_of_a_command(surroundings: Surroundings) -> None:
    """Gunicorn may call itself what it likes; its workers are forked and have its arguments."""
    surroundings.are("gunicorn: master [main:app]", "bash", argv="/bin/gunicorn main:app --reload")
    assert found() == "gunicorn --reload [100]"
    surroundings.are("gunicorn: master [main:app]", "bash", argv="/bin/gunicorn main:app")
    assert found() is None


def test_what_watchfiles_leaves_in_the_environment(surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest process that was not given the variable is the one that set it, whatever it is called."""
    surroundings.are("sh -c x", "python dev.py", "bash")
    variables = {100: frozenset({"WATCHFILES_CHANGES"}), 101: frozenset({"PATH"})}
    monkeypatch.setattr(reloaders, "process_environ", variables.get)
    assert found({"WATCHFILES_CHANGES": "[]"}) == "watchfiles [101]"
    assert found({}) is None
    monkeypatch.setattr(reloaders, "process_environ", lambda pid: None)
    with pytest.raises(ReloaderUnknown, match="WATCHFILES_CHANGES is set, but the system does not tell which process"):
        dev_server({"WATCHFILES_CHANGES": "[]"})


def test_while_multiprocessing_prepares_the_process(surroundings: Surroundings) -> None:
    """As long as it is open what the process is to do, that is said, unless what is above it settles the matter."""
    surroundings.are("python main.py", task=Spawned(certain=False))
    with pytest.raises(ReloaderUnknown) as caught:
        dev_server({})
    assert caught.value.for_now
    surroundings.are("watchfiles main.run", task=Spawned(certain=False))
    assert found() == "watchfiles [100]"


def test_where_the_system_does_not_tell(surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error that says why; for who only asks whether to watch, nothing is assumed."""
    surroundings.are()

    def refuse() -> None:
        raise ProcessesHidden("there is no /proc here, and ps fails")

    monkeypatch.setattr(reloaders, "ancestors", refuse)
    with pytest.raises(ReloaderUnknown, match="there is no /proc here, and ps fails") as caught:
        dev_server({})
    assert not caught.value.for_now
    assert not under_reloader()


def test_a_parent_that_ended_meanwhile(surroundings: Surroundings) -> None:
    """A dev server that is gone restarts nothing."""
    surroundings.are(task=Spawned("uvicorn", reloads=True))
    assert found() is None


def test_under_another_reloader_than_ours(surroundings: Surroundings) -> None:
    """Our own parent is a dev server as well, but none that watches files."""
    surroundings.are("hotsession run main:app")
    assert dev_server({}) == DevServer("hotsession run", 100, "now")
    assert not under_reloader()
    surroundings.are("watchfiles x")
    assert under_reloader()


def test_the_reloader_itself(surroundings: Surroundings) -> None:
    """`fastapi dev` and `hypercorn --reload` import the app in the parent as well."""
    surroundings.are("bash", argv="/bin/fastapi dev")
    assert is_reloader_itself({})
    surroundings.are("bash", argv="/bin/fastapi dev", task=Spawned("uvicorn", reloads=True))
    assert not is_reloader_itself({})
    surroundings.are("bash", argv="/bin/fastapi run")
    assert not is_reloader_itself({})


ASKING = "from hotsession.surroundings.reloaders import dev_server; print(dev_server())"


@pytest.mark.e2e
def test_real_parents(tmp_path: Path) -> None:
    """A process that a reloader started finds it above itself; a shell may be between for those that run commands."""
    starting = (
        "import os, subprocess, sys\nprint(os.getpid(), flush=True)\nsubprocess.run([sys.executable, '-c', {!r}])"
    )
    between = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ASKING!r}])"
    (tmp_path / "hypercorn").write_text(starting.format(ASKING))
    (tmp_path / "watchfiles").write_text(starting.format(between))
    (tmp_path / "granian").write_text(starting.format(between))
    for script, arguments, expected in (
        ("hypercorn", ["--reload"], "hypercorn --reload [{}]"),
        ("hypercorn", [], "None"),
        ("watchfiles", [], "watchfiles [{}]"),
        ("granian", ["--reload"], "None"),
    ):
        done = subprocess.run(
            [sys.executable, str(tmp_path / script), *arguments], capture_output=True, text=True, check=True
        )
        pid, told = done.stdout.splitlines()
        assert told == expected.format(pid), done.stderr


@pytest.mark.e2e
def test_a_parent_that_forks(tmp_path: Path) -> None:
    """As gunicorn does: the worker has the same command as its parent; what the worker starts is no worker."""
    (tmp_path / "gunicorn").write_text(
        f"import os, subprocess, sys\nprint(os.getpid(), flush=True)\nif not os.fork():\n    {ASKING}\n"
        f"    sys.stdout.flush()\n    subprocess.run([sys.executable, '-c', {ASKING!r}])\n    os._exit(0)\nos.wait()\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(reloaders.__file__).parents[1])}
    command = [sys.executable, str(tmp_path / "gunicorn"), "--reload"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    pid, worker, program = done.stdout.splitlines()
    assert (worker, program) == (f"gunicorn --reload [{pid}]", "None"), done.stderr
