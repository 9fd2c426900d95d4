"""Sessions in the memory of this process: live objects, no copies. Knows nothing about reloads.

It lives on across a reload because the registry keeps the object; it holds plain dicts and a lock, bound to no event
loop. Its state, all guarded by the lock; reading one entry needs none::

    _records: {id: Record}, in the order they were added
    _keys:    {(manager, key): id} of the live records that have a key
    _tokens:  {(manager, token hash): id} of the live records that have a token
    _live:    Counter {manager: how many of its records are live}
"""

from __future__ import annotations

import threading
from collections import Counter
from itertools import islice

from hotsession.lifecycle.record import Key, Record, moved


class MemoryStorage:
    """Keeps the records of sessions in dicts, and their data as the live objects.

    `len(storage)` is the number of live sessions, those included whose time is over without anybody having noticed.
    """

    wants_bytes = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        self._keys: dict[tuple[str, Key], str] = {}
        self._tokens: dict[tuple[str, bytes], str] = {}
        self._live: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<MemoryStorage live={len(self)} all={len(self._records)}>"

    def __len__(self) -> int:
        return self._live.total()

    def __bool__(self) -> bool:
        return True  # an empty storage is still a storage: `storage or default` must not pass it by

    async def get(self, id: str) -> Record | None:
        """The record with this id, whatever its state."""
        return self._records.get(id)

    async def find(self, manager: str, key: Key) -> Record | None:
        """The live record of this key."""
        return self._records.get(self._keys.get((manager, key), ""))

    async def find_token(self, manager: str, token_hash: bytes) -> Record | None:
        """The live record that the token with this hash opens."""
        return self._records.get(self._tokens.get((manager, token_hash), ""))

    async def add(self, record: Record, *, replacing: str | None = None) -> Record | None:
        """Store a new record, unless its key has a live one other than `replacing`."""
        with self._lock:
            holder = None
            if record.key is not None and record.is_live:
                holder = self._keys.get((record.manager, record.key))
            if holder is not None and holder != replacing:
                return self._records[holder]
            replaced = self._records.get(replacing or "")
            if replaced is not None and replaced.is_live:
                self._put(moved(replaced, "ended", record.created_at, "replaced"), replaced)
            self._put(record, None)
            return None

    async def replace(self, record: Record) -> bool:
        """Store `record` over the one with its id, if that is exactly one version behind."""
        with self._lock:
            before = self._records.get(record.id)
            if before is None or before.version != record.version - 1:
                return False
            if record.status is before.status and record.token_hash is before.token_hash:  # keys never change
                self._records[record.id] = record  # so it is found by what it was found by
            else:
                self._put(record, before)
            return True

    async def touch(self, id: str, seen_at: float, expires_at: float | None) -> Record | None:
        """Note that a session was seen, without a new version."""
        with self._lock:
            record = self._records.get(id)
            if record is not None:
                record = self._records[id] = record._replace(last_seen_at=seen_at, expires_at=expires_at)
            return record

    async def count(self, manager: str) -> int:
        """How many live records a manager has."""
        return self._live[manager]

    async def list(
        self, manager: str, now: float, *, status: str | None = None, key: Key | None = None, limit: int | None = None
    ) -> list[Record]:
        """The records of a manager, newest first."""
        with self._lock:
            found = (
                record
                for record in reversed(self._records.values())
                if record.manager == manager
                and key in (None, record.key)
                and status in (None, "expired" if record.is_expired(now) else record.status)
            )
            return list(islice(found, limit))

    def clear(self, manager: str | None = None) -> int:
        """Forget all sessions, or those of one manager, and return how many live ones there were."""
        with self._lock:
            gone = [record for record in self._records.values() if manager in (None, record.manager)]
            for record in gone:
                del self._records[record.id]
                self._unlist(record)
            return sum(record.is_live for record in gone)

    def _put(self, record: Record, before: Record | None) -> None:
        """Write a record and what finds it; the lock is held."""
        self._records[record.id] = record
        if before is not None:
            self._unlist(before)
        if record.is_live:
            self._live[record.manager] += 1
            if record.key is not None:
                self._keys[record.manager, record.key] = record.id
            if record.token_hash is not None:
                self._tokens[record.manager, record.token_hash] = record.id

    def _unlist(self, record: Record) -> None:
        """Take a record out of what finds live ones; the lock is held."""
        if record.is_live:
            self._live[record.manager] -= 1
            if record.key is not None:
                self._keys.pop((record.manager, record.key), None)
            if record.token_hash is not None:
                self._tokens.pop((record.manager, record.token_hash), None)
