"""Real servers for end-to-end tests: started on a free port, edited while they run, and stopped for sure.

    def test_a_save_shows(tmp_path: Path) -> None:
        project = write_project(tmp_path / "app", {"main.py": "...app..."})
        with Server(hotsession_run("main:app"), project) as server:
            assert server.get("/").text == "old"
            server.edit("main.py", '"old"', '"new"')
            wait_until(lambda: server.get("/").text == "new")

It knows command lines, processes and files, and nothing about what hotsession does.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tests.deadlines import DEADLINE, STOP_DEADLINE

ROOT = Path(__file__).resolve().parents[2]
MARKER = "E2E_SERVER"  # an environment variable by which every process that a server started is found again
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
IS_LINUX = sys.platform == "linux"

T = TypeVar("T")


def hotsession_run(target: str, *options: str) -> tuple[str, ...]:
    """The command ``hotsession run TARGET``; -P leaves out of sys.path what the console script does not have either."""
    return (sys.executable, "-P", "-m", "hotsession", "run", target, *options)


def uvicorn(target: str, *options: str) -> tuple[str, ...]:
    """The command ``uvicorn TARGET``, without a reloader."""
    return (sys.executable, "-P", "-m", "uvicorn", target, *options)


def uvicorn_reload(target: str, *options: str) -> tuple[str, ...]:
    """The command ``uvicorn TARGET --reload``: a new process for every save."""
    return uvicorn(target, "--reload", *options)


def wait_until(predicate: Callable[[], T], timeout: float = DEADLINE, what: str = "") -> T:
    """Call `predicate` until what it returns is true, and return that.

    Args:
        predicate: asked about every 10 ms; an `httpx.TransportError` (server not there yet) counts as "not yet".
        timeout: seconds after which it is an AssertionError.
        what: what was waited for, for the message.
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = result = predicate()
        except httpx.TransportError as error:
            last = error
        else:
            if result:
                return result
        time.sleep(0.01)  # the pause of a poll with a deadline, nothing is ordered by it
    raise AssertionError(f"waited {timeout} s for {what or predicate}; the last answer was {last!r}")


def copy_project(source: Path, destination: Path) -> Path:
    """Copy the directory `source` to `destination`, without caches, and return it."""
    shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return destination


def write_project(directory: Path, files: Mapping[str, str]) -> Path:
    """Write `files` (path within `directory`: text, dedented), and return `directory`."""
    for name, text in files.items():
        write_file(directory / name, textwrap.dedent(text).lstrip("\n"))
    return directory


def write_file(path: Path, text: str, *, atomic: bool = True) -> None:
    """Save `text` as an editor would: most write a new file and rename it over the old one, some write in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not atomic:
        path.write_text(text, encoding="utf-8")
        return
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def edit_file(path: Path, old: str, new: str, *, atomic: bool = True) -> None:
    """Replace `old` by `new` in a file and save it; `old` has to be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path}:\n{text}"
    write_file(path, text.replace(old, new), atomic=atomic)


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without PYTHON* and HOTSESSION_* variables: PYTHONDONTWRITEBYTECODE would hide the .pyc trap."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HOTSESSION_"))}
    env.pop("NO_PROXY", None)
    if not _installed("hotsession"):
        env["PYTHONPATH"] = str(ROOT)
    return {**env, **(extra or {})}


def _installed(distribution: str) -> bool:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution(distribution)
        return True
    return False


class Server:
    """A server process in a project directory, as a context manager; its log goes to a file.

    Leaving the block stops it with SIGINT and fails when it does not stop by itself or leaves a process behind;
    after a failure inside the block the log is printed, and nothing else is checked.

    Args:
        command: from `hotsession_run`, `uvicorn` or `uvicorn_reload`; ``--host`` and ``--port`` are appended.
        directory: the project directory, in which the server is started.
        env: environment variables in addition to `clean_environment`.
        port: a port of your own, when a second server has to come up where the first was.
        ready: a path; entering waits until it gives any answer at all. None does not wait.
        stop_timeout: seconds that the server has to stop after SIGINT.
        linger: seconds that other processes which it started have to end after it.
        may_hang: it is a program that may hang when it is stopped, and is killed then.
        stdin: as in `subprocess.Popen`.
    """

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        ready: str | None = "/",
        stop_timeout: float = STOP_DEADLINE,
        linger: float = STOP_DEADLINE,
        may_hang: bool = False,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self.command = (*command, "--host", "127.0.0.1", "--port", str(self.port))
        self.log_path = directory.parent / f"{directory.name}-{self.port}.log"
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=DEADLINE)
        self._mark = uuid.uuid4().hex
        self._env = clean_environment({**(env or {}), MARKER: self._mark})
        self._ready = ready
        self._stop_timeout = stop_timeout
        self._linger = linger
        self._may_hang = may_hang
        self._stdin = stdin
        self.process: subprocess.Popen[bytes]

    def __repr__(self) -> str:
        return f"<Server {self.url} in {self.directory}>"

    # its life

    def __enter__(self) -> Self:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=self._env,
                stdin=self._stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if self._ready is not None:
            try:
                wait_until(self._answers, what=f"{self} to answer")
                if "--reload" in self.command:
                    # uvicorn's parent begins to watch a quarter of a second after it started the worker
                    wait_until(self._watches, what=f"{self} to watch its files")
            except BaseException as error:
                self.__exit__(type(error), error, None)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.client.close()
            self.kill()
            print(f"log of {self}:\n{self.log}")
            return
        self.stop()

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"{self} exited with {self.process.returncode}:\n{self.log}"
        self.client.get(self._ready or "/")
        return True

    def _watches(self) -> bool:
        if not IS_LINUX:
            return True
        described = Path(f"/proc/{self.process.pid}/fdinfo").iterdir()
        return any(b"inotify wd:" in _read(each) for each in described)

    def stop(self, timeout: float | None = None) -> int:
        """Stop the server with SIGINT, as Ctrl+C does, check that nothing is left running, and return its exit code.

        Args:
            timeout: seconds until it counts as hanging; `stop_timeout` when left out.

        Raises:
            AssertionError: it had to be killed, or a process that it started lives on (it is killed as well).
        """
        self.client.close()
        timeout = self._stop_timeout if timeout is None else timeout
        self.interrupt()
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            if self._may_hang:
                return self.process.returncode
            raise AssertionError(f"{self} did not stop within {timeout} s of SIGINT:\n{self.log}") from None
        try:
            wait_until(lambda: not self.pids(), self._linger, "the processes of the server to end")
        except AssertionError:
            left = self.pids()
            self.kill(*left)
            raise AssertionError(f"{self} left processes {left} running:\n{self.log}") from None
        return code

    def interrupt(self) -> None:
        """Send SIGINT to the server's main process, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def kill(self, *pids: int) -> None:
        """Kill -9 the given processes of this server, or all when none is given, and wait until they are gone."""
        mine = self.pids()
        for pid in pids or mine:
            assert pid in mine, f"process {pid} is none of {self}: {mine}"
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not pids or self.process.pid in pids:
            self.process.kill()
            self.process.wait(DEADLINE)
        wait_until(lambda: not {*(pids or mine)} & {*self.pids()}, what="the killed processes to be gone")

    def pids(self) -> list[int]:
        """The processes of this server that run now, the main one first; a dead one that nobody waited for is none."""
        found = [
            pid for pid in _processes() if f"{MARKER}={self._mark}".encode() in _read(Path(f"/proc/{pid}/environ"))
        ]
        return sorted(found, key=lambda pid: (pid != self.process.pid, pid))

    def workers(self) -> list[int]:
        """The processes that the main one started, without helpers of `multiprocessing` that run no code of the app."""
        return [pid for pid in self.pids()[1:] if b"resource_tracker" not in _read(Path(f"/proc/{pid}/cmdline"))]

    # its log

    @property
    def log(self) -> str:
        """What the server has printed so far, both streams, without colours."""
        return COLOURS.sub("", self.log_path.read_text(encoding="utf-8", errors="replace"))

    def wait_for_line(self, pattern: str, *, since: int = 0, timeout: float = DEADLINE) -> re.Match[str]:
        """Wait until the log has a match for the regular expression, and return it.

        Args:
            pattern: searched with re.MULTILINE.
            since: ``len(server.log)`` at an earlier moment, to look only at what came after it.
            timeout: seconds.
        """

        def found() -> re.Match[str] | None:
            match = re.compile(pattern, re.MULTILINE).search(self.log, since)
            if match is None and self.process.poll() is not None:
                raise AssertionError(f"{self} exited before it logged {pattern!r}:\n{self.log}")
            return match

        try:
            match = wait_until(found, timeout, f"the log line {pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the log says:\n{self.log}") from None
        assert match is not None
        return match

    # its answers and its files

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET `path`, with a client that keeps cookies and connections; options as in httpx."""
        return self.client.get(path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """POST to `path` with the same client."""
        return self.client.post(path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        """PUT to `path` with the same client."""
        return self.client.put(path, **options)

    def edit(self, file: str, old: str, new: str, *, atomic: bool = True) -> None:
        """Replace `old` by `new` in a file of the project and save it; see `edit_file`."""
        edit_file(self.directory / file, old, new, atomic=atomic)

    def write(self, file: str, text: str, *, atomic: bool = True) -> None:
        """Save `text` (dedented) as a file of the project; see `write_file`."""
        write_file(self.directory / file, textwrap.dedent(text).lstrip("\n"), atomic=atomic)


def _processes() -> list[int]:
    if not IS_LINUX:
        return []  # only the main process is known there
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):  # a process that ended meanwhile, or somebody else's
        return path.read_bytes()
    return b""
