"""Memory storages whose records are in a real snapshot: in memory, too, or found in there anew by every call."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hotsession.lifecycle.record import Key, Record
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.records import CarriedRecords
from hotsession.snapshot.store import Store, open_store
from hotsession.snapshot.turn import Turn
from hotsession.storages.base import Changes
from hotsession.storages.memory import MemoryStorage

MANAGERS = ("manager", "other")


def backed(store: Store) -> tuple[MemoryStorage, CarriedRecords]:
    """An empty memory in front of a snapshot."""
    storage, records = MemoryStorage(), CarriedRecords(store, Notices(), Turn())
    for manager in MANAGERS:
        storage.back(manager, records)
    return storage, records


@contextmanager
def snapshot(directory: Path) -> Iterator[Store]:
    """A snapshot that is open as long as the test runs."""
    directory.mkdir(mode=0o700)
    store = open_store(directory)
    yield store
    store.close()


class Restarted:
    """A storage that begins with an empty memory at each call, as after a restart of the process.

    Args:
        store: the snapshot.
    """

    wants_bytes = False
    is_shared = False

    def __init__(self, store: Store) -> None:
        self._store = store
        self._claims = MemoryStorage()  # of one process: with it its claims are gone
        self._lock = threading.Lock()  # processes that are restarted come one after the other

    @contextmanager
    def _process(self) -> Iterator[MemoryStorage]:
        with self._lock:
            storage, records = backed(self._store)
            yield storage
            records.write_all()

    async def get(self, id: str) -> Record | None:
        """As `Storage` has it, and likewise below."""
        with self._process() as storage:
            return await storage.get(id)

    async def find(self, manager: str, key: Key) -> Record | None:
        """By key."""
        with self._process() as storage:
            return await storage.find(manager, key)

    async def find_token(self, manager: str, token_hash: bytes) -> Record | None:
        """By token."""
        with self._process() as storage:
            return await storage.find_token(manager, token_hash)

    async def add(self, record: Record, *, replacing: str | None = None) -> Record | None:
        """The claim."""
        with self._process() as storage:
            return await storage.add(record, replacing=replacing)

    async def replace(self, record: Record) -> bool:
        """The next version."""
        with self._process() as storage:
            return await storage.replace(record)

    async def touch(self, id: str, seen_at: float, expires_at: float | None) -> Record | None:
        """No next version."""
        with self._process() as storage:
            return await storage.touch(id, seen_at, expires_at)

    async def count(self, manager: str, status: str | None = None) -> int:
        """The live ones, or those in a state."""
        with self._process() as storage:
            return await storage.count(manager, status)

    async def running(self, manager: str) -> builtins.list[Record]:
        """What a process works on."""
        with self._process() as storage:
            return await storage.running(manager)

    async def expired(self, manager: str, now: float, limit: int) -> builtins.list[Record]:
        """What is overdue."""
        with self._process() as storage:
            return await storage.expired(manager, now, limit)

    async def remove(self, manager: str, before: float, limit: int) -> int:
        """Delete what is over."""
        with self._process() as storage:
            return await storage.remove(manager, before, limit)

    async def changes(self, manager: str, after: int | None, limit: int = 100) -> Changes:
        """What was written."""
        with self._process() as storage:
            return await storage.changes(manager, after, limit)

    async def claim(self, manager: str, key: Key, owner: str, now: float, until: float) -> bool:
        """The right to make a session."""
        return await self._claims.claim(manager, key, owner, now, until)

    async def unclaim(self, manager: str, key: Key, owner: str) -> None:
        """Giving it back."""
        await self._claims.unclaim(manager, key, owner)

    async def aclose(self) -> None:
        """Nothing is open between two calls."""

    async def list(
        self, manager: str, now: float, *, status: str | None = None, key: Key | None = None, limit: int | None = None
    ) -> list[Record]:
        """Newest first."""
        with self._process() as storage:
            return await storage.list(manager, now, status=status, key=key, limit=limit)
