"""Sessions in the memory of this process: live objects, no copies. Knows nothing about reloads.

It lives on across a reload because the registry keeps the object; it holds plain dicts (`Tables`) and a lock that
guards them, bound to no event loop.

With a `Backing`, memory holds only what was asked for since the process started. Whatever changes what a record is
found by is told to the backing at once, so that its indexes are right about the records that are not in memory.
"""

from __future__ import annotations

import builtins
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

import anyio

from hotsession.errors import SessionConflict
from hotsession.lifecycle.record import LIVE, Deferred, Key, Record, moved
from hotsession.loops import Waiter
from hotsession.storages.backing import Backing
from hotsession.storages.base import Changes
from hotsession.storages.tables import Tables, over


class MemoryStorage:
    """Keeps the records of sessions in dicts, and their data as the live objects.

    `len(storage)` is the number of live sessions, those included whose time is over without anybody having noticed.
    """

    wants_bytes = False
    is_shared = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables = Tables()
        self._records = self._tables.records  # reading one entry needs no lock
        self._waiters: dict[Waiter, None] = {}  # for a change
        self._backing: Backing | None = None
        self._backed: set[str] = set()  # managers
        self._surveyed: set[str] = set()  # backed managers of which the tables know what their backing has

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
            self._write(record, None)

    def __repr__(self) -> str:
        return f"<MemoryStorage live={len(self)} all={len(self._records)}>"

    def __len__(self) -> int:
        counts = self._tables.counts
        return sum(count for (_, status), count in counts.items() if status in LIVE)

    def __bool__(self) -> bool:
        return True  # an empty storage is still a storage: `storage or default` must not pass it by

    async def get(self, id: str) -> Record | None:
        """The record with this id, whatever its state."""
        record = self._records.get(id)
        return record if self._backing is None else self._given(record, id)

    async def find(self, manager: str, key: Key) -> Record | None:
        """The live record of this key."""
        record = self._records.get(self._tables.keys.get((manager, key), ""))
        if self._backing is None or manager not in self._backed:
            return record
        found = self._given(record, None if record else self._backing.find_key(manager, key))
        return found if found is not None and found.is_live else None

    async def find_token(self, manager: str, token_hash: bytes) -> Record | None:
        """The live record that the token with this hash opens."""
        record = self._records.get(self._tables.tokens.get((manager, token_hash), ""))
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
                holder = self._tables.keys.get((record.manager, record.key))
            if holder is not None and holder != replacing:
                return self._records[holder]
            replaced = self._records.get(replacing or "")
            written = [record]
            if replaced is not None and replaced.is_live:
                written.insert(0, moved(replaced, "ended", record.created_at, "replaced"))
                self._write(written[0], replaced)
            self._write(record, None)
        if backing is not None and record.manager in self._backed:
            backing.used(record)
            backing.write(*written)
        self._wake()
        return None

    async def replace(self, record: Record) -> bool:
        """Store `record` over the one with its id, if that is exactly one version behind.

        Raises:
            SessionConflict: it would be live again, and another has its key.
        """
        backing = self._backing
        if backing is not None:
            self._have(record.id)
            if record.key is not None and record.is_live:
                await self.find(record.manager, record.key)
        with self._lock:
            before = self._records.get(record.id)
            if before is None or before.version != record.version - 1:
                return False
            if record.is_live and not before.is_live and record.key is not None:
                self._refuse_second(record, record.key)
            found_as_before = self._tables.put_same(record, before)
            if found_as_before:
                self._tables.note_write(record.id)
            else:
                self._write(record, before)
        if backing is not None and record.manager in self._backed:
            if found_as_before:
                backing.changed(record)
            else:
                backing.write(record)
        if self._waiters:
            self._wake()
        return True

    async def touch(self, id: str, seen_at: float, expires_at: float | None) -> Record | None:
        """Note that a session was seen, without a new version."""
        if self._backing is not None:
            self._have(id)
        with self._lock:
            record = self._records.get(id)
            if record is not None:
                record = self._records[id] = record._replace(last_seen_at=seen_at, expires_at=expires_at)
                self._tables.bound(record)
        if record is not None and self._backing is not None and record.manager in self._backed:
            self._backing.changed(record)
        return record

    async def count(self, manager: str, status: str | None = None) -> int:
        """How many records a manager has in a state; the live ones when None is given."""
        if self._backing is not None and manager in self._backed:
            if status is None:
                return self._backing.count(manager)
            records = self._backing.list(manager, 0.0, status=status, key=None, limit=None)
            return sum(record.status == status for record in records)
        with self._lock:
            return self._tables.live(manager) if status is None else self._tables.counts[manager, status]

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
                self._tables.drop(record)
            self._tables.note_deletion()
            live = Counter(record.manager for record in gone if record.is_live)
        for each in backed:
            if self._backing is not None:
                self._backing.clear(each)
        live.update({each: count - live[each] for each, count in backed.items()})
        self._wake()
        return live.total()

    async def running(self, manager: str) -> builtins.list[Record]:
        """The live records of a manager that a process works on."""
        self._survey(manager)
        with self._lock:
            found = [self._records[each] for each in self._tables.running]
        return [record for record in found if record.manager == manager]

    async def expired(self, manager: str, now: float, limit: int) -> builtins.list[Record]:
        """Live records of a manager whose time is over, longest overdue first."""
        if self._backing is not None and manager in self._backed:
            stored = (self._records.get(each.id, each) for each in self._backing.expired(manager, now, limit))
            return [self._deferred(record) for record in stored if record.is_live and record.is_expired(now)]
        with self._lock:
            return self._tables.expired(manager, now, limit)

    async def remove(self, manager: str, before: float, limit: int) -> int:
        """Delete records of a manager that were over before a time."""
        backing = self._backing if manager in self._backed else None
        stored = None  # asked for without the lock: the backing asks for what is in memory
        if backing is not None:
            stored = backing.list(manager, 0.0, status=None, key=None, limit=None)
        with self._lock:
            gone = over(self._records.values() if stored is None else stored, manager, before, limit)
            for record in gone:
                if record.id in self._records:
                    self._tables.drop(self._records[record.id])
            if gone:
                self._tables.note_deletion()
        if backing is not None:
            backing.delete([record.id for record in gone])
        return len(gone)

    async def changes(self, manager: str, after: int | None, limit: int = 100) -> Changes:
        """What was written to a manager's records after a position."""
        self._survey(manager)
        with self._lock:
            return self._tables.changes(manager, after, limit)

    async def changed(self, manager: str, after: int, seconds: float) -> None:
        """Return when something was written after a position, or the time is over."""
        waiter = Waiter()
        self._waiters[waiter] = None
        try:
            with anyio.move_on_after(seconds):
                while self._tables.number <= after:
                    await waiter.wait()
        finally:
            del self._waiters[waiter]

    async def claim(self, manager: str, key: Key, owner: str, now: float, until: float) -> bool:
        """Take or keep the right to make the session of a key."""
        with self._lock:
            return self._tables.claim(manager, key, owner, now, until)

    async def unclaim(self, manager: str, key: Key, owner: str) -> None:
        """Give the right back, if it is still this owner's."""
        with self._lock:
            self._tables.unclaim(manager, key, owner)

    async def aclose(self) -> None:
        """Nothing: it holds nothing but memory."""

    # what the backing asks for and needs

    def held(self, manager: str) -> Sequence[Record]:
        """The records of a manager that are in memory."""
        with self._lock:
            return [record for record in self._records.values() if record.manager == manager]

    def holds(self, id: str) -> Record | None:
        """The record with this id if it is in memory."""
        return self._records.get(id)

    def ids(self) -> Collection[str]:
        """The ids of all records in memory, which raises RuntimeError if some come or go meanwhile."""
        return self._records.keys()

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
                self._tables.put(read, None)
            return held or read

    def _let_go(self, record: Record) -> None:
        """Let a record go from memory, unless it has just been replaced there."""
        with self._lock:
            if self._records.get(record.id) is record:
                self._tables.drop(record)

    def _deferred(self, record: Record) -> Record:
        """A record whose payload is had in memory, and known to be used, when somebody looks at it."""

        def load() -> Any:
            found = self._given(self._records.get(record.id), record.id)
            return None if found is None else found.payload

        return record._replace(payload=Deferred(load))

    def _survey(self, manager: str) -> None:
        """Have the tables know of a backed manager's records that were written before this process began."""
        if self._backing is None or manager not in self._backed or manager in self._surveyed:
            return
        self._surveyed.add(manager)
        headers = self._backing.list(manager, 0.0, status=None, key=None, limit=None)
        for record in headers:
            if record.worker is not None and record.is_live:
                self._recalled(record.id)
        with self._lock:
            self._tables.note_earlier(headers)
            self._tables.note_deletion()  # the numbers of the process before are gone: only a list tells what it wrote

    def _refuse_second(self, record: Record, key: Key) -> None:
        """Let no record be live again whose key another has by now."""
        holder = self._tables.keys.get((record.manager, key))
        if holder is not None:
            raise SessionConflict(
                f"session {record.id} can't be live again, session {holder} has its key {key!r} now: "
                "end that one first, or go on with it",
                id=record.id,
                key=key,
                status=record.status,
                alternatives=(holder,),
            )

    def _write(self, record: Record, before: Record | None) -> None:
        """Write a record and what finds it; the lock is held."""
        self._tables.put(record, before)
        self._tables.note_write(record.id)

    def _wake(self) -> None:
        for waiter in tuple(self._waiters):
            waiter.wake()
