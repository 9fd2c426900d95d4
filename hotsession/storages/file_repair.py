"""Brings sessions of a directory in line with what lies on disk: reads, asks the rules, writes what they say."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hotsession.errors import StorageError
from hotsession.lifecycle.record import Record
from hotsession.lifecycle.worker import is_gone
from hotsession.storages import recovery
from hotsession.storages.file_index import FileIndex
from hotsession.storages.job_directories import JobDirectories
from hotsession.storages.recovery import Verdict
from hotsession.storages.state_file import EMPTY, Stored, Unreadable, salvaged
from hotsession.storages.tables import Tables

logger = logging.getLogger("hotsession")


class FileRepair:
    """The repair of one directory's sessions.

    Args:
        directories: their directories.
        index: what finds them.

    Attributes:
        manager: whose the sessions are of which nothing can be read that says it; None if nobody has said so yet.
    """

    def __init__(self, directories: JobDirectories, index: FileIndex) -> None:
        self.manager: str | None = None
        self._directories = directories
        self._index = index

    def __repr__(self) -> str:
        return f"<FileRepair of {self._directories.root}>"

    def doubtful(self, manager: str) -> tuple[list[str], int]:
        """The ids of those that may not be what their state says, and of how many directories these are."""
        artefacts = self._directories.artefacts
        with self._index.asked() as tables:
            unsettled = self._index.unsettled
            records = [each for each in tables.records.values() if each.id not in unsettled]
            ids = [each.id for each in records if each.manager == manager and recovery.is_doubtful(each, artefacts)]
            return [*sorted(unsettled), *ids], len(records) + len(unsettled)

    def foresee(self, ids: Sequence[str], manager: str, now: float) -> None:
        """Have those without a state that can be read listed as what they will be; for others their state stands."""
        rebuilt = (self._foreseen(each, manager, now) for each in ids)
        self._index.foresee([Stored(each, 0, _added(each)) for each in rebuilt if each is not None])

    def _foreseen(self, id: str, manager: str, now: float) -> Record | None:
        error = None
        try:
            if self._directories.read(id, whole=False) is not None:
                return None
        except Unreadable as raised:
            error = raised
        except (StorageError, PermissionError):
            return None  # told when it is its turn
        record = self._rebuilt(id, manager, now, error)
        # A key is decided about when it is written.
        return None if record is None or record.key is not None else record

    def settle(self, ids: Sequence[str], manager: str, now: float) -> int:
        """Repair those of some sessions that are to be repaired, and return how many that were."""
        doubted = [each for each in ids if self._needs_it(each, now)]
        repaired = self._settle(doubted, manager, now) if doubted else 0
        self._index.forget_foreseen(ids)
        return repaired

    def _settle(self, doubted: Sequence[str], manager: str, now: float) -> int:
        with self._index.turn() as tables:
            self._index.require()  # for their keys
            repaired = [made for each in doubted if (made := self._repaired(each, manager, now, tables))]
            numbers = self._index.journal.note([record.id for record, _ in repaired], tables.number)
            for (record, added), number in zip(repaired, numbers, strict=True):
                self._write(record, added, number)
            self._index.catch_up()
        return len(repaired)

    def _repaired(self, id: str, manager: str, now: float, tables: Tables) -> tuple[Record, int | None] | None:
        """A session as it is to be, and the number of its first write; None if it is to be as it is."""
        error = stored = None
        try:
            stored = self._directories.read(id)
        except Unreadable as raised:
            error = raised
        if stored is not None:
            record, added = self._judged(stored, now), stored.added
            return None if record is None else (record, added)
        record = self._rebuilt(id, manager, now, error)
        self._directories.sweep(id)
        if record is None:
            return None
        self._set_aside(id, error)
        return self._with_key(record, tables, error), None

    def _needs_it(self, id: str, now: float) -> bool:
        """Whether it is worth to wait for one's turn."""
        try:
            stored = self._directories.read(id, whole=False)
        except Unreadable:
            return True
        except (StorageError, PermissionError) as error:
            logger.error("Session %s can't be recovered: %s", id, error)
            return False
        if stored is None:
            return self._directories.is_there(id)
        return self._verdict(stored.record, now) is not None

    def _judged(self, stored: Stored, now: float) -> Record | None:
        verdict = self._verdict(stored.record, now)
        return None if verdict is None else recovery.repaired(stored.record, verdict)

    def _verdict(self, record: Record, now: float) -> Verdict | None:
        seen = self._directories.seen(record.id)
        worked_on = _is_worked_on(record)
        return recovery.judged(record, seen, self._directories.artefacts, now, is_worked_on=worked_on)

    def _rebuilt(self, id: str, manager: str, now: float, error: Unreadable | None) -> Record | None:
        """The record of a session without a state that can be read; None if it is no session."""
        directories = self._directories
        if error is None and not directories.is_there(id):
            return None
        seen = directories.seen(id)
        is_corrupt = error is not None or directories.has_aside(id)
        verdict = recovery.judged_without_state(seen, directories.artefacts, now, is_corrupt=is_corrupt)
        if verdict is None:
            return None
        key, payload = salvaged({} if error is None else error.document)
        return recovery.rebuilt(id, manager, key, payload, seen, directories.artefacts, verdict)

    def _with_key(self, record: Record, tables: Tables, error: Unreadable | None) -> Record:
        """A rebuilt record with the key that it may have."""
        key, known = record.key, tables.records.get(record.id)
        if key is None and known is not None:
            key = known.key
        if error is not None and error.is_foreign:  # a copy of another session's directory: it is not that session
            key = None
        if key is not None and tables.keys.get((record.manager, key)) not in (None, record.id):
            key = None
        return record._replace(key=key)

    def _set_aside(self, id: str, error: Unreadable | None) -> None:
        if error is None:
            logger.warning("Session %s has no state file in %s", id, self._directories.root)
        else:
            aside = self._directories.set_aside(id)
            logger.warning("The state of session %s can't be read, %s; it is kept as %s", id, error, aside)

    def _write(self, record: Record, added: int | None, number: int) -> None:
        if added is not None:
            self._directories.write(Stored(record, number, added))
        else:  # what was rebuilt once can be rebuilt again, so nobody waits for the disk, unless it says more
            added = min(_added(record), number)
            self._directories.write(Stored(record, number, added), is_lasting=record.payload != EMPTY)
        where = self._directories.root
        logger.info("Recovered session %s from %s: it is %s, %s", record.id, where, record.status, record.reason)


def _added(record: Record) -> int:
    return int(record.created_at * 1e6)


def _is_worked_on(record: Record) -> bool:
    if record.worker is None or not record.is_live:
        return False
    try:
        return not is_gone(record.worker)
    except ValueError:  # no name of a process
        return False
