"""The records of memory storages, as they are carried over a restart: read when first asked for, written when changed.

It stands between `MemoryStorage`, which has the live objects, and the store, which has bytes. What a record is found by
is written at once; the rest when somebody calls `write_touched`, which the middleware does before a client can know.
Knows no request and no timer.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterable
from hashlib import blake2b

from hotsession.lifecycle.data import SessionData
from hotsession.lifecycle.record import Key, Record
from hotsession.lifecycle.wording import owner, short
from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.parking import Parking
from hotsession.snapshot.pickling import pickled
from hotsession.snapshot.store import Store
from hotsession.snapshot.touches import LiveTouches
from hotsession.snapshot.unpickling import Unreadable, unpickled
from hotsession.storages.backing import Held

MANAGER = b"manager/"  # + hash of a manager's name: the name
PARKED = b"parked/"  # + id: parts of a session that could not be read
ASIDE = b"aside/"  # + id: a session that could not be read at all
_SESSION_DATA, _PLAIN = b"s", b"p"  # what the payload is: the first byte of what is stored of it


class CarriedRecords:
    """Records in the store, behind all memory storages of this process.

    Args:
        store: where they are.
        notices: where what goes wrong is said.
        lock: held while something is written; the same for all that is carried.
    """

    def __init__(self, store: Store, notices: Notices, lock: threading.RLock) -> None:
        self._store = store
        self._notices = notices
        self._lock = lock
        self._parking = Parking(store, notices, lock)
        self._storages: dict[str, Held] = {}  # by manager
        self._places: tuple[Held, ...] = ()  # the same, each once
        self._dirty: set[str] = set()  # records with new fields that are not written yet
        self._seen: dict[str, int] = {}  # hash of the payload as it was last written or read
        self._careful: set[str] = set()  # whose payload plain pickling can't do
        self.touches = LiveTouches()
        self.is_shared = False  # whether another process writes to the store as well
        self.is_paused = False  # whether another process is still the one to write

    def __repr__(self) -> str:
        return f"<CarriedRecords of {sorted(self._storages)}>"

    # what a memory storage calls: see `Backing`

    def attach(self, storage: Held, manager: str) -> None:
        """Carry the records of a manager; those that are in memory already are written."""
        self._storages[manager] = storage
        name = manager.encode("utf-8", "surrogatepass")
        entry = MANAGER + blake2b(name, digest_size=16).digest()
        if self._store.get(entry) is None:
            self._put({entry: name})
        if not any(storage is each for each in self._places):
            self._places += (storage,)
        self.write(*storage.held(manager))

    def read(self, id: str) -> Record | None:
        """The record with this id, its payload made anew with the classes as they are now."""
        found = self._store.read(id)
        if found is None:
            return None
        header, blob, _ = found
        try:
            value, parked = unpickled(blob[1:])
        except Unreadable as error:
            self._set_aside(header, blob, error)
            return None
        self._parking.settle(PARKED + id.encode(), _whose(header), value, [(None, each) for each in parked])
        payload = SessionData(value) if blob[:1] == _SESSION_DATA else value
        record = header._replace(payload=payload)
        if (again := self._pickled(record)) is not None:  # the same object may give other bytes than those it came from
            self._seen[id] = hash(again)
        return record

    def find_key(self, manager: str, key: Key) -> str | None:
        """The id of the live record of a key."""
        return self._store.find_key(manager, key)

    def find_token(self, manager: str, token_hash: bytes) -> str | None:
        """The id of the live record that a token opens."""
        return self._store.find_token(manager, token_hash)

    def used(self, record: Record) -> None:
        """Note that the running code was given this record, and may change its payload."""
        self.touches.note(record.id)
        if self.is_shared:
            self._follow(record)

    def changed(self, record: Record) -> None:
        """Note that a record has new fields."""
        self._dirty.add(record.id)

    def write(self, *records: Record) -> None:
        """Write records, in one go, whether they changed or not."""
        with self._lock:
            if self.is_paused:
                self._dirty.update(record.id for record in records)
                return
            items, digests = [], {}
            for record in records:
                blob = self._pickled(record)
                if blob is not None:
                    items.append((record._replace(payload=None), blob))
                    digests[record.id] = hash(blob)
            try:
                self._store.write_many(items)
            except SnapshotUnusable as error:
                self._dirty.update(digests)
                self._notices.not_written(error)
            else:
                self._seen.update(digests)
                self._dirty.difference_update(digests)

    def count(self, manager: str) -> int:
        """How many live records a manager has."""
        return self._store.count(manager)

    def list(self, manager: str, now: float, *, status: str | None, key: Key | None, limit: int | None) -> list[Record]:
        """The records of a manager, newest first, without payloads."""
        self.write_touched(self._dirty.copy())
        return self._store.list(manager, now, status=status, key=key, limit=limit)

    def clear(self, manager: str) -> int:
        """Forget the records of a manager, and return how many live ones there were."""
        with self._lock:
            live = self._store.count(manager)
            self._store.clear(manager)
            return live

    # what is written when

    def write_touched(self, ids: Iterable[str]) -> int:
        """Write those of the sessions that changed since they were last written or read; return how many."""
        return sum(self._write(id) for id in tuple(ids))

    def counts(self) -> dict[str, int]:
        """How many live sessions each manager has that ever carried one, by its name."""
        names = [name.decode("utf-8", "surrogatepass") for _, name in self._store.items(MANAGER)]
        return {name: self._store.count(name) for name in names}

    def may_have_changed(self) -> set[str]:
        """The ids of all sessions that somebody may have changed."""
        return self.touches.ids() | self._dirty

    def write_all(self) -> int:
        """Write all that changed, of everything that is in memory; return how many."""
        held = {record.id for manager, storage in self._storages.items() for record in storage.held(manager)}
        return self.write_touched(held)

    def _write(self, id: str) -> bool:
        with self._lock:
            is_dirty = id in self._dirty
            self._dirty.discard(id)  # first: who changes the record from here on marks it again
            record = self._held(id)
            blob = None if record is None else self._pickled(record)
            if record is None or blob is None:
                return False
            digest = hash(blob)
            if not is_dirty and self._seen.get(id) == digest:
                return False
            try:
                written = self._store.write(record._replace(payload=None), blob)
            except SnapshotUnusable as error:
                self._dirty.add(id)
                self._notices.not_written(error)
                return False
            self._seen[id] = digest
            return written

    def _held(self, id: str) -> Record | None:
        for storage in self._places:
            if (record := storage.holds(id)) is not None:
                return record
        return None

    def _pickled(self, record: Record) -> bytes | None:
        payload = record.payload
        kind = _PLAIN
        if type(payload) is SessionData:
            kind, payload = _SESSION_DATA, dict(payload)
        result = pickled(payload, careful=record.id in self._careful)
        if result.careful:
            self._careful.add(record.id)
            for each in result.left_out:
                self._notices.left_out(record.manager, _whose(record), "session", each)
        return kind + result.data if result.data else None

    def _follow(self, record: Record) -> None:
        """Take what another process wrote of a session that nobody changed here since."""
        found = self._store.read(record.id)
        if found is None or found[2] == self._store.number or hash(found[1]) == self._seen.get(record.id):
            return
        mine = self._pickled(record)
        if record.id in self._dirty or mine is None or hash(mine) != self._seen.get(record.id):
            return
        storage = self._storages.get(record.manager)
        if storage is not None and found[0] != record._replace(payload=None):
            storage.forget(record.id)

    # what can't be read

    def _set_aside(self, header: Record, blob: bytes, error: Unreadable) -> None:
        """Take a session that can't be read out of the way, without losing its bytes."""
        self._notices.unreadable(_whose(header), error)
        if self._put({ASIDE + header.id.encode(): pickle.dumps((tuple(header), blob))}):
            with self._lock:
                self._store.delete([header.id])

    def _put(self, items: dict[bytes, bytes | None]) -> bool:
        with self._lock:
            try:
                self._store.put(items)
            except SnapshotUnusable as error:
                self._notices.not_written(error)
                return False
        return True


def _whose(record: Record) -> str:
    return f"session {short(record.id)} of {owner(record.key)}"
