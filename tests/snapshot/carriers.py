"""Processes that carry sessions and values over a restart, played one after the other in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hotsession.lifecycle.limits import Limits
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import Record, new_record
from hotsession.lifecycle.session import Session
from hotsession.registry import registry
from hotsession.snapshot import carrier as carrier_module
from hotsession.snapshot.carrier import Carrier
from hotsession.snapshot.errors import SnapshotFull
from hotsession.snapshot.store import Store, open_store
from hotsession.storages.memory import MemoryStorage

MANAGER = "manager"


class CountingStore:
    """A store that counts what is written into it, and can be full.

    Args:
        store: the real one.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.written: list[str] = []  # ids of records
        self.put_keys: list[bytes] = []  # keys in the table
        self.is_full = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def write(self, record: Record, payload: bytes) -> bool:
        """Write a record."""
        self._check()
        self.written.append(record.id)
        return self.store.write(record, payload)

    def write_many(self, items: Iterable[tuple[Record, bytes]]) -> int:
        """Write several."""
        self._check()
        items = list(items)
        self.written += [record.id for record, _ in items]
        return self.store.write_many(items)

    def put(self, items: Mapping[bytes, bytes | None]) -> None:
        """Write into the table."""
        self._check()
        self.put_keys += items
        self.store.put(items)

    def _check(self) -> None:
        if self.is_full:
            raise SnapshotFull("there is no room left")


class Process:
    """One process with a carrier and a memory storage that it carries.

    Args:
        directory: of the snapshot.
        at_end: of the carrier.
    """

    def __init__(self, directory: Path, at_end: Callable[[], None] = lambda: None) -> None:
        self.store = CountingStore(open_store(directory))
        self.carrier = Carrier(cast("Store", self.store), at_end)
        self.records, self.values, self.notices = self.carrier.records, self.carrier.values, self.carrier.notices
        self.storage = MemoryStorage()
        self.storage.back(MANAGER, self.records)
        self.manager = SessionManager(MANAGER, storage=self.storage)

    @property
    def writes(self) -> list[str]:
        """Ids of the records that were written since this was last asked for."""
        written, self.store.written = self.store.written, []
        return written

    async def session(self, key: str = "key", **data: Any) -> Session:
        """The session of a key, new with `data`."""
        return await self.manager.get_or_create(key, data=lambda: dict(data))

    def keep(self, name: str, factory: Callable[[], Any]) -> Any:
        """A value that is kept and carried, as `hotsession.keep` does it, without code to compare."""
        return registry.keep(name, factory, restore=lambda: self.carrier.restore(name))

    def write(self, name: str, value: Any, *, everything: bool = False, created_at: float = 1.0) -> int:
        """Write a value that is not in the registry."""
        entry = SimpleNamespace(value=value, fingerprint=None, created_at=created_at)
        return self.values.write(name, entry, everything=everything)

    def kill(self) -> None:
        """End without having written anything."""
        self.carrier._closed.set()
        self.store.close()

    def end(self) -> None:
        """End in good order."""
        self.carrier.close()


Start = Callable[..., Process]


def drafted(data: Any) -> Record:
    """A session that was never stored."""
    return new_record("drafted", MANAGER, None, data, 10.0, Limits())


@contextmanager
def restarts(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts processes, each after the last one was killed, with an empty registry; no thread looks by itself."""
    directory.mkdir(mode=0o700, exist_ok=True)
    monkeypatch.setattr(carrier_module, "LOOK_OFTEN", 3600.0)
    monkeypatch.setattr(carrier_module, "before_the_end", lambda callback: True)
    running: list[Process] = []

    def start(**options: Any) -> Process:
        if running:
            running.pop().kill()
        registry.clear()
        running.append(Process(directory, **options))
        return running[-1]

    yield start
    if running:
        running.pop().kill()
