"""The records of memory storages, as they are carried over a restart: read when first asked for, written when changed.

It stands between `MemoryStorage`, which has the live objects, and the store, which has bytes. What a record is found by
is written at once; the rest when somebody calls `write_touched`, which the middleware does before a client can know.
Knows no request and no timer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TypeAlias

from hotsession.lifecycle.data import SessionData
from hotsession.lifecycle.record import Key, Record
from hotsession.living.classes import living
from hotsession.snapshot.aside import Aside, whose
from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.parking import Parking
from hotsession.snapshot.pickling import pickled
from hotsession.snapshot.store import Store
from hotsession.snapshot.touches import LiveTouches
from hotsession.snapshot.turn import Turn
from hotsession.snapshot.unpickling import Parked, Unreadable, unpickled
from hotsession.storages.backing import Held

PARKED = b"parked/"  # + id: parts of it that can't be read
MANAGER = b"manager/"  # + hash of a manager's name: the name
_SESSION_DATA, _PLAIN = b"s", b"p"  # what the payload is: the first byte of what is stored of it
_NOTHING = _PLAIN + pickled({}).data


Records: TypeAlias = list[Record]  # in the class `list` is a method


class CarriedRecords:
    """Records in the store, behind all memory storages of this process.

    A snapshot that can't be used costs nothing but that it is said: what is in memory is then all there is.

    Args:
        store: where they are.
        notices: where what goes wrong is said.
        turn: whose it is to write.
    """

    def __init__(self, store: Store, notices: Notices, turn: Turn) -> None:
        self._store = store
        self._notices = notices
        self._turn = turn
        self._parking = Parking(store, notices, turn)
        self._aside = Aside(store, notices, turn)
        self._storages: dict[str, Held] = {}  # by manager
        self._places: tuple[Held, ...] = ()  # the same, each once
        self._dirty: set[str] = set()  # records with new fields that are not written yet
        self._seen: dict[str, int] = {}  # hash of the payload as it was last written or read
        self._foreign: dict[str, int] = {}  # hash of the record as it was read, which another process had written
        self._latest = b""  # the payload that was looked at last
        self._careful: set[str] = set()  # whose payload plain pickling can't do
        self._incomplete: set[str] = set()  # those in memory of which something is parked
        self._to_complete: set[str] = set()  # those of them for which it is tried again when they are used
        self.touches = LiveTouches()

    def __repr__(self) -> str:
        return f"<CarriedRecords of {sorted(self._storages)}>"

    # what a memory storage calls: see `Backing`

    def attach(self, storage: Held, manager: str) -> None:
        """Carry the records of a manager; those that are in memory already are written."""
        self._storages[manager] = storage
        if not any(storage is each for each in self._places):
            self._places += (storage,)
        name = manager.encode("utf-8", "surrogatepass")
        entry = MANAGER + blake2b(name, digest_size=16).digest()
        try:
            if self._store.get(entry) is None:
                self._store.put({entry: name})
        except SnapshotUnusable as error:
            self._notices.not_written(error)
        self.write(*storage.held(manager))

    def read(self, id: str) -> Record | None:
        """The record with this id, its payload made anew with the classes as they are now."""
        try:
            found = self._store.read(id)
            if found is None and self._aside.back(lambda header: header.id == id):
                found = self._store.read(id)
            return None if found is None else self._made(*found)
        except SnapshotUnusable as error:
            self._notices.not_read(error)
            return None

    def find_key(self, manager: str, key: Key) -> str | None:
        """The id of the live record of a key."""
        try:
            return self._store.find_key(manager, key) or self._aside.back(
                lambda header: header.key == key and header.manager == manager and header.is_live
            )
        except SnapshotUnusable as error:
            self._notices.not_read(error)
            return None

    def find_token(self, manager: str, token_hash: bytes) -> str | None:
        """The id of the live record that a token opens."""
        try:
            return self._store.find_token(manager, token_hash) or self._aside.back(
                lambda header: header.token_hash == token_hash and header.manager == manager and header.is_live
            )
        except SnapshotUnusable as error:
            self._notices.not_read(error)
            return None

    def used(self, record: Record) -> None:
        """Note that the running code was given this record, and may change its payload."""
        self.touches.note(record.id)
        if record.id in self._to_complete:
            self._settle(record)

    def read_again(self) -> None:
        """Try again what could not be read of a session when it is used next: the code is complete now, or another."""
        self._to_complete = self._incomplete.copy()

    def is_outdated(self, record: Record) -> bool:
        """Whether another process wrote it since it was read or written here, and nobody changed it here."""
        if not self._turn.is_shared or record.id in self._dirty:
            return False
        try:
            found = self._store.read(record.id)
        except SnapshotUnusable as error:
            self._notices.not_read(error)
            return False
        if found is None or found[2] == self._store.number or hash(found[:2]) == self._foreign.get(record.id):
            return False
        mine = self._pickled(record)
        return mine is not None and hash(mine) == self._seen.get(record.id)

    def changed(self, record: Record) -> None:
        """Note that a record has new fields."""
        self._dirty.add(record.id)

    def write(self, *records: Record) -> bool:
        """Write records, in one go, whether they changed or not; whether all of them are written."""
        with self._turn.lock:
            self._dirty.update(record.id for record in records)
            if self._turn.is_paused:
                return False
            blobs = [(record, blob) for record in records if (blob := self._pickled(record)) is not None]
            try:
                written = self._store.write_many(blobs)
            except SnapshotUnusable as error:
                self._notices.not_written(error)
                return False
            for record, blob in blobs:
                self._seen[record.id] = hash(blob)
                self._dirty.discard(record.id)
            if self._notices.is_failing:
                self._notices.written_again()
            return written == len(records)

    def count(self, manager: str) -> int:
        """How many live records a manager has."""
        try:
            if self._is_all_written():
                return self._store.count(manager)
            records = self._store.list(manager, 0.0)
        except SnapshotUnusable as error:
            self._notices.not_read(error)
            records = []
        return sum(record.is_live for record in self._with_held(manager, records))

    def list(self, manager: str, now: float, *, status: str | None, key: Key | None, limit: int | None) -> list[Record]:
        """The records of a manager, newest first; payloads are not read."""
        try:
            if self._is_all_written():
                return self._store.list(manager, now, status=status, key=key, limit=limit)
            records = self._store.list(manager, now, key=key)
        except SnapshotUnusable as error:
            self._notices.not_read(error)
            records = []
        found = (
            record
            for record in self._with_held(manager, records)
            if key in (None, record.key) and status in (None, "expired" if record.is_expired(now) else record.status)
        )
        return sorted(found, key=lambda record: (record.created_at, record.id), reverse=True)[:limit]

    def clear(self, manager: str) -> None:
        """Forget the records of a manager."""
        with self._turn.lock:
            try:
                headers = ((place, self._store.header(_id(place))) for place, _ in self._store.items(PARKED))
                self._store.put({place: None for place, header in headers if not header or header.manager == manager})
                self._aside.forget(manager)
                self._store.clear(manager)
            except SnapshotUnusable as error:
                self._notices.not_written(error)

    def expired(self, manager: str, now: float, limit: int) -> Records:
        """Live records of a manager whose time is over; payloads are not read."""
        try:
            self._is_all_written()
            return [record for record in self._store.expired(now, limit) if record.manager == manager]
        except SnapshotUnusable as error:
            self._notices.not_read(error)
            return []

    def delete(self, ids: Sequence[str]) -> None:
        """Delete records."""
        with self._turn.lock:
            self._dirty.difference_update(ids)
            try:
                self._store.delete(ids)
            except SnapshotUnusable as error:
                self._notices.not_written(error)

    # what is written when

    def write_touched(self, ids: Iterable[str]) -> int:
        """Write those of the sessions that changed since they were last written or read; return how many."""
        written = 0
        for id in tuple(ids):
            written += self._write(id)
        return written

    def counts(self) -> dict[str, int]:
        """How many live sessions each manager has that ever carried one, by its name."""
        names = [name.decode("utf-8", "surrogatepass") for _, name in self._store.items(MANAGER)]
        return {name: self._store.count(name) for name in names}

    def waiting(self) -> int:
        """How many sessions, and items of sessions, wait until they can be read."""
        return self._parking.count(PARKED) + self._aside.count()

    def may_have_changed(self) -> set[str]:
        """The ids of all sessions that somebody may have changed."""
        return self.touches.ids() | self._dirty

    def write_all(self) -> int:
        """Write all that changed, of everything that is in memory; return how many."""
        held = {record.id for manager, storage in self._storages.items() for record in storage.held(manager)}
        return self.write_touched(held)

    def _write(self, id: str) -> bool:
        with self._turn.lock:
            if self._turn.is_paused:
                return False
            is_dirty = id in self._dirty
            self._dirty.discard(id)  # first: who changes the record from here on marks it again
            record = self._held(id)
            if record is None:
                return False
            blob = self._pickled(record)
            if blob is None:
                self._dirty.add(id)
                return False
            self._latest = blob = (
                self._latest if blob == self._latest else blob
            )  # most are looked at twice: hash them once
            digest = hash(blob)
            if not is_dirty and self._seen.get(id) == digest:
                return False
            try:
                written = self._store.write(record, blob)
            except SnapshotUnusable as error:
                self._dirty.add(id)
                self._notices.not_written(error)
                return False
            if not written and self._seen.get(id) != digest:
                self._notices.refused(whose(record))
            if written and self._turn.is_shared and self._seen.get(id) == digest:
                self._note_as_read(id)
            self._seen[id] = digest
            if self._notices.is_failing:
                self._notices.written_again()
            return written

    def _held(self, id: str) -> Record | None:
        for storage in self._places:
            if (record := storage.holds(id)) is not None:
                return record
        return None

    def _with_held(self, manager: str, records: Iterable[Record]) -> Iterable[Record]:
        """Records as they are in memory, where they are."""
        found = {record.id: record for record in records}
        if (storage := self._storages.get(manager)) is not None:
            found.update((record.id, record) for record in storage.held(manager))
        return found.values()

    def _is_all_written(self) -> bool:
        if self._dirty:
            self.write_touched(self._dirty.copy())
        return not self._dirty

    def _pickled(self, record: Record) -> bytes | None:
        """What is stored as the payload of a record; None if that can't be told now."""
        payload = record.payload
        kind = _PLAIN
        if type(payload) is SessionData:
            kind, payload = _SESSION_DATA, dict(payload)
        if record.result is not None:
            kind, payload = kind.upper(), (payload, record.result)
        try:
            result = pickled(payload, careful=record.id in self._careful)
        except Exception as error:  # noqa: BLE001 - the data may raise anything; it must not stop others
            self._notices.not_pickled(whose(record), error)
            return None
        if result.careful:
            self._careful.add(record.id)
            for each in result.left_out:
                self._notices.left_out(record.manager, whose(record), "session", each)
        return kind + result.data if result.data else self._as_it_was(record)

    def _as_it_was(self, record: Record) -> bytes | None:
        """The payload that is stored of a record whose own can't go: that it ended, say, is written all the same."""
        try:
            found = self._store.read(record.id)
        except SnapshotUnusable as error:
            self._notices.not_read(error)
            return None
        return _NOTHING if found is None else found[1]

    def _made(self, header: Record, blob: bytes, writer: int) -> Record | None:
        """The record that was read."""
        try:
            value, parked = unpickled(blob[1:])
        except Unreadable as error:
            self._aside.put(header, blob, error)
            return None
        kind, result = blob[:1], None
        if kind.isupper():
            kind, (value, result) = kind.lower(), value
        record = header._replace(payload=SessionData(value) if kind == _SESSION_DATA else value, result=result)
        if (again := self._pickled(record)) is not None:  # the same object may give other bytes than those it came from
            self._seen[header.id] = hash(again)
        self._foreign[header.id] = hash((header, blob))
        self._settle(record, parked)
        return record

    def _note_as_read(self, id: str) -> None:
        """Note what is stored of a record that may count as another process's still: it was only asked for here."""
        try:
            found = self._store.read(id)
        except SnapshotUnusable as error:
            self._notices.not_read(error)
            return
        if found is not None:
            self._foreign[id] = hash(found[:2])

    def _settle(self, record: Record, parked: Iterable[Parked] = ()) -> None:
        """Give a session back what can be read again of it, and note whether more is to come."""
        self._to_complete.discard(record.id)
        where = PARKED + record.id.encode("utf-8", "surrogatepass")
        places = [(None, each) for each in parked]
        left = self._parking.settle(where, whose(record), record.payload, places, lambda: self.write(record))
        if left:
            self._incomplete.add(record.id)
        else:
            self._incomplete.discard(record.id)
        failed = [replace(each.failed, path=f"[{each.label}]{each.failed.path}") for _, each in left if each.failed]
        if failed:
            living().stuck[record.id] = failed
        else:
            living().stuck.pop(record.id, None)


def _id(place: bytes) -> str:
    return place.removeprefix(PARKED).decode("utf-8", "surrogatepass")
