"""File storages for tests: one that forgets all it knows at each call, and disks that stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hotsession.storages.disk import Disk
from hotsession.storages.file import FileStorage
from hotsession.storages.file_sessions import FileSessions

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PROLOGUE = """
import os, sys, time
import anyio
from hotsession.storages.file import FileStorage
from tests.storages.stored import record
storage = FileStorage(sys.argv[1])
"""


class Forgetful(FileStorage):
    """One that reads everything in anew for each call, as after a restart."""

    async def _do(self, function: Callable[[FileSessions], T]) -> T:
        self._open()
        return await super()._do(function)


class Stopped(BaseException):
    """The process would have been killed here."""


class Stopping:
    """Lets so many operations on files happen, and stops the writer before the next, for good.

    Args:
        operations: how many; None to count them only.
    """

    def __init__(self, operations: int | None = None) -> None:
        self.count = 0
        self._operations = operations

    def __call__(self, operation: str, path: Path) -> None:
        if self._operations is not None and self.count >= self._operations:
            raise Stopped(f"before {operation} {path.name}")
        self.count += 1

    def disk(self) -> Disk:
        """A disk that stops."""
        return Disk(self)


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that has a `storage` in the directory of the first argument, and runs `code`."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROLOGUE + textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def state_of(directory: Path, id: str = "one") -> dict[str, Any]:
    """What the state file of a session says."""
    found: dict[str, Any] = json.loads((directory / id / "session_state.json").read_text())
    return found


def inside(directory: Path, pattern: str = "*") -> list[str]:
    """The names of what is in a directory."""
    return sorted(path.name for path in directory.glob(pattern))


def quiet(done: int, total: int) -> None:
    """Progress that nobody watches."""
