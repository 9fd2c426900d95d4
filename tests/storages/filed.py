"""File storages for tests: one that forgets all it knows at each call, and disks that stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hotsession.storages.disk import Disk
from hotsession.storages.file import FileStorage
from hotsession.storages.file_sessions import FileSessions

T = TypeVar("T")


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
