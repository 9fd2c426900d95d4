"""The sessions of a directory, step by step: what `FileStorage` has threads do. Knows no event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from hotsession.errors import DataNotReadable, SessionConflict, StorageError
from hotsession.lifecycle.record import Key, Record, moved
from hotsession.storages import state_file
from hotsession.storages.base import Changes
from hotsession.storages.claims import Claim, Claims
from hotsession.storages.disk import Disk
from hotsession.storages.file_index import FileIndex
from hotsession.storages.file_repair import FileRepair
from hotsession.storages.job_directories import STATE, JobDirectories, is_safe
from hotsession.storages.recovery import Artefacts
from hotsession.storages.state_file import Stored, Unreadable
from hotsession.storages.tables import Tables, over

OWN = ".hotsession"
AT_ONCE = 100  # sessions that are deleted before others have their turn


class FileSessions:
    """The sessions of a directory. Whatever needs tables that are not read in raises `NotLoaded`.

    Args:
        root: the directory.
        artefacts: what the app's files mean; None if the app did not say.
        disk: what writes.
    """

    def __init__(self, root: Path, artefacts: Artefacts | None, disk: Disk) -> None:
        self.directories = JobDirectories(root, artefacts, disk)
        self.index = FileIndex(self.directories, root / OWN, disk)
        self.repair = FileRepair(self.directories, self.index)
        self._claims = Claims(root / OWN / "claims.json", disk)

    def __repr__(self) -> str:
        return f"<FileSessions in {self.directories.root}>"

    # one by one

    def get(self, id: str) -> Record | None:
        """The record with this id."""
        if not is_safe(id):
            return None
        try:
            stored = self.directories.read(id)
        except Unreadable as error:
            return self.index.foreseen.get(id) or (None if error.is_foreign else self._mended(id, error))
        if stored is None and (foreseen := self.index.foreseen.get(id)) is not None:
            return foreseen
        if stored is None and self.repair.manager is not None and self.directories.is_there(id):
            self.repair.settle([id], self.repair.manager, time.time())
            stored = self.directories.read(id)
        return None if stored is None else stored.record

    def found(self, look: Callable[[Tables], str | None], fits: Callable[[Record], bool]) -> Record | None:
        """The record that the tables lead to, if it is live and as they say; they are corrected if it is not."""
        while True:
            with self.index.asked() as tables:
                led_to = look(tables)
            if led_to is None:
                return None
            record = self.get(led_to)
            if record is not None and record.is_live and fits(record):
                return record
            with self.index.turn():
                self.index.refresh(led_to)

    def add(self, record: Record, replacing: str | None) -> Record | None:
        """Store a new record, unless its key has a live one other than `replacing`."""
        if not is_safe(record.id):
            raise StorageError(
                f"a session can't have the id {record.id!r:.250}: it names its directory in {self.directories.root}: "
                "give it one without slashes and control characters, that begins with no dot and is not too long"
            )
        state_file.refuse_reserved(record)
        self._write_foreseen(replacing)
        with self.index.turn() as tables:
            self.index.require()
            holder = self._holder(tables, record)
            if holder is not None and holder.id != replacing:
                return holder
            self._make_room(record.id)
            replaced = self._state(replacing) if replacing is not None else None
            if replaced is not None and not replaced.record.is_live:
                replaced = None
            self._write_new(record, replaced, tables.number)
        return None

    def replace(self, record: Record) -> bool:
        """Store a record over the one with its id, if that is exactly one version behind."""
        if not is_safe(record.id):
            return False
        state_file.refuse_reserved(record)
        self._write_foreseen(record.id)
        with self.index.turn() as tables:
            before = self._state(record.id)
            if before is None or before.record.version != record.version - 1:
                return False
            if record.is_live and not before.record.is_live and record.key is not None:
                self.index.require()
                self._refuse_second(self._holder(tables, record), record)
            number = self.index.journal.note([record.id], tables.number)[0]
            self.directories.write(Stored(record, number, before.added))
            self.index.catch_up()
        return True

    def touch(self, id: str, seen_at: float, expires_at: float | None) -> Record | None:
        """Note that a session was seen; it keeps the number of its last write."""
        if not is_safe(id):
            return None
        self._write_foreseen(id)
        with self.index.turn() as tables:
            before = self._state(id)
            if before is None:
                return None
            record = before.record._replace(last_seen_at=seen_at, expires_at=expires_at)
            self.index.journal.note([id], tables.number)
            self.directories.write(before._replace(record=record))
            self.index.catch_up()
        return record

    # many

    def listed(self, choose: Callable[[Tables], Iterable[Record]], limit: int | None) -> list[Record]:
        """Records that are chosen from the tables, with what only their files have."""
        with self.index.asked(in_order=True) as tables:
            headers = list(islice(choose(tables), limit))
        return self._whole(headers)

    def managers(self) -> list[str]:
        """The names of all managers that have records, in order."""
        with self.index.asked() as tables:
            return sorted({manager for (manager, _), count in tables.counts.items() if count})

    def changes(self, manager: str, after: int | None, limit: int) -> Changes:
        """What was written to a manager's records after a number."""
        with self.index.asked() as tables:
            changes = tables.changes(manager, after, limit)
        records = {record.id: record for record in self._whole([header for _, header in changes.records])}
        told = [(number, records[header.id]) for number, header in changes.records if header.id in records]
        return changes._replace(records=told)

    def count(self, manager: str, status: str | None) -> int:
        """How many records there are."""
        with self.index.asked() as tables:
            return tables.live(manager) if status is None else tables.counts[manager, status]

    def remove(self, manager: str, before: float, limit: int) -> int:
        """Delete records that were over before a time, and no file of the app's."""
        removed = 0
        while removed < limit:
            with self.index.turn() as tables:
                self.index.require()
                gone = over(tables.records.values(), manager, before, min(AT_ONCE, limit - removed))
                buried = self._bury([record.id for record in gone], before, tables)
            removed += buried
            if len(gone) < AT_ONCE or not buried:
                break
        return removed

    def claim(self, claim: Claim, now: float) -> bool:
        """Take or keep the right to make the session of a key."""
        with self.index.turn():
            return self._claims.take(claim, now)

    def unclaim(self, manager: str, key: Key, owner: str) -> None:
        """Give it back, if it is still this owner's."""
        with self.index.turn():
            self._claims.give_back(manager, key, owner)

    # what these are made of; who calls has the turn, if it is about one session

    def _write_foreseen(self, id: str | None) -> None:
        """Have a session's state written now that somebody wants to change it."""
        record = self.index.foreseen.get(id or "")
        if record is not None:
            self.repair.settle([record.id], record.manager, time.time())

    def _holder(self, tables: Tables, record: Record) -> Record | None:
        """The live record that has the key of one that is to be live."""
        if record.key is None or not record.is_live:
            return None
        while (holder := tables.keys.get((record.manager, record.key))) is not None:
            stored = self._state(holder)
            if stored is not None and stored.record.is_live and stored.record.key == record.key:
                return stored.record
            self.index.refresh(holder)
        return None

    def _state(self, id: str) -> Stored | None:
        if not is_safe(id):
            return None
        try:
            return self.directories.read(id)
        except Unreadable as error:
            if error.is_foreign:
                return None
            raise self._unreadable(id, error) from error

    def _make_room(self, id: str) -> None:
        try:
            is_taken = self.directories.read(id) is not None
        except Unreadable as error:
            is_taken = error.is_foreign
            if not is_taken:
                self.directories.set_aside(id)
        if is_taken:
            raise StorageError(f"there is a session {id} already: the id of a new one is used once")

    def _write_new(self, record: Record, replaced: Stored | None, after: int) -> None:
        """The new one first, which says whose place it takes: with that the step is done, whatever comes after."""
        if replaced is None:
            number = self.index.journal.note([record.id], after)[0]
            self.directories.write(Stored(record, number, number))
        else:
            old = moved(replaced.record, "ended", record.created_at, "replaced")
            first, number = self.index.journal.note([old.id, record.id], after)
            self.directories.write(Stored(record, number, number, old.id))
            self.directories.write(Stored(old, first, replaced.added))
        self.index.catch_up()

    def _bury(self, ids: Sequence[str], before: float, tables: Tables) -> int:
        if not ids:
            return 0
        numbers = self.index.journal.note(ids, tables.number)
        self.index.note_deletion(numbers[-1])
        buried = [each for each in ids if self._was_over(each, before)]
        for each in buried:
            self.directories.bury(each)
        self.index.catch_up()
        return len(buried)

    def _was_over(self, id: str, before: float) -> bool:
        """Whether its file says so too: somebody may have changed it by hand."""
        try:
            stored = self.directories.read(id, whole=False)
        except Unreadable:
            return False
        at = None if stored is None else stored.record.completed_at
        return at is not None and at < before

    def _whole(self, headers: Iterable[Record]) -> list[Record]:
        """The records as their files have them; one that was changed since is as it was changed."""
        return [record for header in headers if (record := self.get(header.id)) is not None]

    def _mended(self, id: str, error: Unreadable) -> Record | None:
        manager = self.index.manager_of(id) or self.repair.manager
        if manager is None:
            raise self._unreadable(id, error) from error
        self.repair.settle([id], manager, time.time())
        stored = self.directories.read(id)
        return None if stored is None else stored.record

    def _unreadable(self, id: str, error: Unreadable) -> DataNotReadable:
        return DataNotReadable(
            f"the state of session {id} can't be read, {error}: see {self.directories.root / id / STATE}; it is "
            "rebuilt when the app that has these sessions starts"
        )

    def _refuse_second(self, holder: Record | None, record: Record) -> None:
        if holder is not None:
            raise SessionConflict(
                f"session {record.id} can't be live again, session {holder.id} has its key {record.key!r} now: "
                "end that one first, or go on with it",
                id=record.id,
                key=record.key,
                status=record.status,
                alternatives=(holder.id,),
            )
