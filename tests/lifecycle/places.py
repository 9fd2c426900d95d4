"""Places where sessions are stored, as two processes have them, which can be left and come back to."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from hotsession.snapshot.records import CarriedRecords
from hotsession.storages.base import Storage
from hotsession.storages.file import FileStorage
from hotsession.storages.memory import MemoryStorage
from hotsession.storages.sqlite import SQLiteStorage
from tests.storages.backed import backed, snapshot


class Place(Protocol):
    """Where sessions are stored.

    Args:
        directory: an empty one.
    """

    def __init__(self, directory: Path) -> None: ...

    def open(self) -> tuple[Storage, Storage]:
        """The storages of two processes; of one, where there can only be one."""

    def leave(self) -> None:
        """What is done when the processes end."""

    def close(self) -> None:
        """What is done in the end."""


class InMemory:
    """Live objects."""

    def __init__(self, directory: Path) -> None:
        self.storage = MemoryStorage()

    def open(self) -> tuple[Storage, Storage]:
        """One and the same."""
        return self.storage, self.storage

    def leave(self) -> None:
        """Nothing: its process can't be left."""

    def close(self) -> None:
        """Nothing is open."""


class OverASnapshot:
    """Live objects, which are found in the snapshot after a restart."""

    records: CarriedRecords

    def __init__(self, directory: Path) -> None:
        self._stack = ExitStack()
        self._store = self._stack.enter_context(snapshot(directory / "snapshot"))

    def open(self) -> tuple[Storage, Storage]:
        """An empty memory in front of what was written."""
        storage, self.records = backed(self._store)
        return storage, storage

    def leave(self) -> None:
        """Write down what changed inside of data, as it is done when the process is told to end."""
        self.records.write_all()

    def close(self) -> None:
        """Close the snapshot."""
        self._stack.close()


class InADatabase:
    """A SQLite file."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "sessions.db"

    def open(self) -> tuple[Storage, Storage]:
        """Each with connections of its own."""
        return SQLiteStorage(self._path), SQLiteStorage(self._path)

    def leave(self) -> None:
        """Nothing: all is written."""

    def close(self) -> None:
        """Nothing is open."""


class InFiles:
    """A directory, on a disk that is quick because nobody waits for it to have something."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "sessions"
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(os, "fsync", lambda file: None)

    def open(self) -> tuple[Storage, Storage]:
        """Each with what it has read in itself."""
        return FileStorage(self._directory), FileStorage(self._directory)

    def leave(self) -> None:
        """Nothing: all is written."""

    def close(self) -> None:
        """Wait for disks again."""
        self._patch.undo()
