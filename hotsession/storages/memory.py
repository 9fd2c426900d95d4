"""Sessions in the memory of this process: live objects, no copies. Knows nothing about reloads.

It lives on across a reload because the registry keeps the object; it holds plain dicts and a lock, bound to no event
loop. Its state, all guarded by the lock; reading one entry needs none::

    _records: {id: Record}, in the order they were added
    _keys:    {(manager, key): id} of the live records that have a key
    _tokens:  {(manager, token hash): id} of the live records that have a token
    _live:    Counter {manager: how many of its records are live}
    _backing: what holds these records and more outside of the process, or None

With a `Backing`, memory holds only what was asked for since the process started. Whatever changes what a record is
found by is told to the backing at once, so that its indexes are right about the records that are not in memory.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

from hotsession.lifecycle.record import Deferred, Key, Record, moved
from hotsession.storages.backing import Backing


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
        self._backing: Backing | None = None
        self._backed: set[str] = set()  # managers

    def back(self, manager: str, backing: Backing) -> None:
        """Let `backing` hold the records of `manager` too, from now on and those that it has from before.

        Args:
            manager: its name.
            backing: the same one for every manager.
        """
        self._backing = backing
        if manager not in self._backed:
            self._backed.add(manager)
            backing.attach(self, manager)

    def __getstate__(self) -> dict[str, Any]:
        """The records, for who pickles a storage that he keeps as a plain value."""
        with self._lock:
            return {"records": tuple(self._records.values())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        for record in state["records"]:
            self._put(record, None)

    def __repr__(self) -> str:
        return f"<MemoryStorage live={len(self)} all={len(self._records)}>"

    def __len__(self) -> int:
        return self._live.total()

    def __bool__(self) -> bool:
        return True  # an empty storage is still a storage: `storage or default` must not pass it by

    async def get(self, id: str) -> Record | None:
        """The record with this id, whatever its state."""
        record = self._records.get(id)
        return record if self._backing is None else self._given(record, id)

    async def find(self, manager: str, key: Key) -> Record | None:
        """The live record of this key."""
        record = self._records.get(self._keys.get((manager, key), ""))
        if self._backing is None or manager not in self._backed:
            return record
        found = self._given(record, None if record else self._backing.find_key(manager, key))
        return found if found is not None and found.is_live else None

    async def find_token(self, manager: str, token_hash: bytes) -> Record | None:
        """The live record that the token with this hash opens."""
        record = self._records.get(self._tokens.get((manager, token_hash), ""))
        if self._backing is None or manager not in self._backed:
            return record
        found = self._given(record, None if record else self._backing.find_token(manager, token_hash))
        # What the backing finds a record by may be older than what is in memory: a write may have failed.
        return found if found is not None and found.is_live and found.token_hash == token_hash else None

    async def add(self, record: Record, *, replacing: str | None = None) -> Record | None:
        """Store a new record, unless its key has a live one other than `replacing`."""
        backing = self._backing
        if backing is not None:  # have in memory what the claim must see
            if record.key is not None:
                await self.find(record.manager, record.key)
            await self.get(replacing or "")
        with self._lock:
            holder = None
            if record.key is not None and record.is_live:
                holder = self._keys.get((record.manager, record.key))
            if holder is not None and holder != replacing:
                return self._records[holder]
            replaced = self._records.get(replacing or "")
            written = [record]
            if replaced is not None and replaced.is_live:
                written.insert(0, moved(replaced, "ended", record.created_at, "replaced"))
                self._put(written[0], replaced)
            self._put(record, None)
        if backing is not None and record.manager in self._backed:
            backing.used(record)
            backing.write(*written)
        return None

    async def replace(self, record: Record) -> bool:
        """Store `record` over the one with its id, if that is exactly one version behind."""
        backing = self._backing
        if backing is not None:
            self._have(record.id)
        with self._lock:
            before = self._records.get(record.id)
            if before is None or before.version != record.version - 1:
                return False
            found_as_before = record.status is before.status and record.token_hash is before.token_hash
            if found_as_before:  # keys never change
                self._records[record.id] = record
            else:
                self._put(record, before)
        if backing is not None and record.manager in self._backed:
            if found_as_before:
                backing.changed(record)
            else:
                backing.write(record)
        return True

    async def touch(self, id: str, seen_at: float, expires_at: float | None) -> Record | None:
        """Note that a session was seen, without a new version."""
        if self._backing is not None:
            self._have(id)
        with self._lock:
            record = self._records.get(id)
            if record is not None:
                record = self._records[id] = record._replace(last_seen_at=seen_at, expires_at=expires_at)
        if record is not None and self._backing is not None and record.manager in self._backed:
            self._backing.changed(record)
        return record

    async def count(self, manager: str) -> int:
        """How many live records a manager has."""
        if self._backing is not None and manager in self._backed:
            return self._backing.count(manager)
        return self._live[manager]

    async def list(
        self, manager: str, now: float, *, status: str | None = None, key: Key | None = None, limit: int | None = None
    ) -> list[Record]:
        """The records of a manager, newest first."""
        if self._backing is not None and manager in self._backed:
            records = self._backing.list(manager, now, status=status, key=key, limit=limit)
            return [self._deferred(self._records.get(record.id, record)) for record in records]
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
        backed = {}
        if self._backing is not None:
            backed = {each: self._backing.count(each) for each in self._backed if manager in (None, each)}
        with self._lock:
            gone = [record for record in self._records.values() if manager in (None, record.manager)]
            for record in gone:
                del self._records[record.id]
                self._unlist(record)
            live = Counter(record.manager for record in gone if record.is_live)
        for each in backed:
            if self._backing is not None:
                self._backing.clear(each)
        live.update({each: count - live[each] for each, count in backed.items()})
        return live.total()

    # what the backing asks for and needs

    def held(self, manager: str) -> Sequence[Record]:
        """The records of a manager that are in memory."""
        with self._lock:
            return [record for record in self._records.values() if record.manager == manager]

    def holds(self, id: str) -> Record | None:
        """The record with this id if it is in memory."""
        return self._records.get(id)

    def _given(self, record: Record | None, id: str | None) -> Record | None:
        """Have a record in memory and note its use; the one with `id` is read in when `record` is not there."""
        backing = self._backing
        if backing is None:
            return record
        if record is None and id:
            record = self._recalled(id)
        if record is None or record.manager not in self._backed:
            return record
        if backing.is_outdated(record):
            self._let_go(record)
            if (record := self._recalled(record.id)) is None:
                return None
        backing.used(record)
        return record

    def _have(self, id: str) -> None:
        """Have a record in memory that is about to be changed: as it is there, if it is."""
        record = self._records.get(id) or self._recalled(id)
        if record is not None and self._backing is not None and record.manager in self._backed:
            self._backing.used(record)

    def _recalled(self, id: str) -> Record | None:
        """The record with this id: in memory, or read into it."""
        if (held := self._records.get(id)) is not None:
            return held
        read = None if self._backing is None else self._backing.read(id)
        if read is None or read.manager not in self._backed:
            return None
        with self._lock:
            held = self._records.get(id)  # another thread was faster: its object is the one that all share
            if held is None:
                self._put(read, None)
            return held or read

    def _let_go(self, record: Record) -> None:
        """Let a record go from memory, unless it has just been replaced there."""
        with self._lock:
            if self._records.get(record.id) is record:
                del self._records[record.id]
                self._unlist(record)

    def _deferred(self, record: Record) -> Record:
        """A record whose payload is had in memory, and known to be used, when somebody looks at it."""

        def load() -> Any:
            found = self._given(self._records.get(record.id), record.id)
            return None if found is None else found.payload

        return record._replace(payload=Deferred(load))

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
