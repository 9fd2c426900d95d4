"""The reloaders that are compared: each started as a real process, waited for, and stopped.

None of them inherits a `PYTHON*` variable: `PYTHONDONTWRITEBYTECODE` alone would hide what a .pyc file does.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Self

from tests.benchmarks.client import Client
from tests.benchmarks.projects import Project

QUIET = ["--no-access-log", "--log-level", "info"]


@dataclass(frozen=True)
class Contender:
    """One reloader.

    Args:
        name: Its name in tables and on the command line.
        package: What must be importable for it to run.
        command: Makes the arguments after `python` from a target and a port.
        in_place: Whether it only sees a save that writes the file itself; others get a rename, as most editors save.
        minimum: The oldest Python that it runs on.
    """

    name: str
    package: str
    command: Callable[[str, int], list[str]]
    in_place: bool = False
    minimum: tuple[int, int] = (3, 11)

    def missing(self) -> str | None:
        """Why it can't run here, or None if it can."""
        if sys.version_info < self.minimum:
            return f"needs Python {'.'.join(map(str, self.minimum))}"
        if importlib.util.find_spec(self.package.partition(".")[0]) is None:
            return f"{self.package} is not installed"
        probe = [sys.executable, "-c", f"import {self.package}"]
        found = subprocess.run(probe, cwd="/", env=clean_environment(), capture_output=True, text=True, check=False)
        reason = (found.stderr.strip().splitlines() or ["no reason given"])[-1]
        return None if found.returncode == 0 else f"{self.package} can't be imported: {reason}"


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(
            "hotsession",
            "hotsession.cli",
            lambda target, port: ["-m", "hotsession", "run", target, "--port", str(port), *QUIET],
        ),
        Contender(
            "uvicorn",
            "uvicorn",
            lambda target, port: ["-m", "uvicorn", target, "--reload", "--port", str(port), *QUIET],
        ),
        Contender(
            "uvicorn-hmr",
            "uvicorn_hmr",
            # It has no option for the access log; at this level none is written.
            lambda target, port: [
                "-m",
                "uvicorn_hmr",
                target,
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--log-level",
                "warning",
            ],
            minimum=(3, 12),
        ),
        Contender(
            "jurigged",
            "jurigged",
            lambda target, port: ["-m", "jurigged", "-w", ".", "-m", "uvicorn", target, "--port", str(port), *QUIET],
            in_place=True,
        ),
    )
}


def clean_environment() -> dict[str, str]:
    """The environment without what this Python was told."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A contender that serves a project: a context manager that starts it, waits until it answers, and stops it.

    Args:
        contender: What to start.
        project: What it serves; the process runs in the project's directory.
    """

    def __init__(self, contender: Contender, project: Project) -> None:
        self.contender = contender
        self.project = project
        self.port = free_port()
        self._log = tempfile.NamedTemporaryFile(prefix=f"{contender.name}-", suffix=".log", delete=False)  # noqa: SIM115 closed in stop
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Server {self.contender.name} {self.project.name} port={self.port}>"

    def __enter__(self) -> Self:
        command = [sys.executable, *self.contender.command(self.project.target, self.port)]
        self._process = subprocess.Popen(
            command,
            cwd=self.project.root,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process that was started; others may be below it."""
        assert self._process is not None
        return self._process.pid

    def save(self, marker: str) -> float:
        """Save the edited file in the way that this contender sees; returns the time just before the write."""
        return self.project.save(marker, in_place=self.contender.in_place)

    def log(self) -> str:
        """What it has written so far."""
        return Path(self._log.name).read_text(errors="replace")

    def stop(self) -> None:
        """End the process and all that it started."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for process in tree(self._process.pid):
            os.kill(process, signal.SIGKILL)
        self._process.wait(5)
        self._log.close()
        Path(self._log.name).unlink(missing_ok=True)

    def _wait_until_ready(self, limit: float = 60.0) -> None:
        client = Client(self.port)
        end = perf_counter() + limit
        try:
            while perf_counter() < end and self._process is not None and self._process.poll() is None:
                try:
                    if client.get(self.project.path)[0] == 200:
                        return
                except OSError:
                    sleep(0.02)
        finally:
            client.close()
        raise RuntimeError(f"{self.contender.name} did not answer on {self.project.path}:\n{self.log()[-2000:]}")


def tree(session: int) -> list[int]:
    """The living processes of a session, by the id of the process that leads it: parent, workers, helpers."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def start_all(stack: ExitStack, contenders: Iterable[Contender], build: Callable[[Path], Project]) -> list[Server]:
    """Start each contender on a copy of a project of its own; one that does not come up is named with its last words.

    Args:
        stack: What stops the servers and removes the copies when it is left.
        contenders: What to start.
        build: Writes the project into a directory.
    """
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    started = []
    for contender in contenders:
        try:
            started.append(stack.enter_context(Server(contender, build(home / contender.name))))
        except RuntimeError as error:
            print(error, flush=True)
    return started


def available(names: list[str]) -> list[Contender]:
    """The contenders of these names that can run here; the others are named with the reason.

    From here on a SIGTERM ends the benchmark in order, so that no server is left behind.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = []
    for contender in (CONTENDERS[name] for name in names):
        reason = contender.missing()
        if reason is None:
            chosen.append(contender)
        else:
            print(f"skipped {contender.name}: {reason}", flush=True)
    return chosen
