"""What finds the sessions of a directory: tables in memory that follow what this and other processes write.

The state files are the truth. The tables have all of them but payload and result, are read in once, and are brought up
to date from the journal before each use. Whoever writes has the turn: one thread of one process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hotsession.errors import StorageError
from hotsession.lifecycle.record import Record, moved
from hotsession.storages.directory_lock import DirectoryLock
from hotsession.storages.disk import Disk, content
from hotsession.storages.job_directories import JobDirectories
from hotsession.storages.journal import Journal, Position
from hotsession.storages.recovery import superseded
from hotsession.storages.state_file import Stored, Unreadable
from hotsession.storages.tables import Tables

logger = logging.getLogger("hotsession")


class NotLoaded(Exception):
    """The tables are not read in, or no longer right: `FileIndex.load` comes first."""


class FileIndex:
    """The tables of one directory.

    Args:
        directories: the directories of the sessions.
        own: the directory for what the processes tell each other.
        disk: what writes.
    """

    def __init__(self, directories: JobDirectories, own: Path, disk: Disk) -> None:
        self.foreseen: dict[str, Record] = {}  # what will be written for some of these, and can be listed before it is
        self.unsettled: set[str] = set()  # ids of directories without a state that can be read
        self.directories = directories
        self.journal = Journal(own, disk)
        self._disk = disk
        self._forgotten = own / "forgotten"
        self._guard = threading.Lock()  # guards the rest; taken before the lock of the directory
        self._lock = DirectoryLock(own / "lock")
        self._tables = Tables()
        self._added: dict[str, int] = {}  # number of each record's first write, in the order of the tables
        self._is_ordered = True  # whether that order is the one of these numbers
        self._position: Position | None = None  # up to where the tables are right; None when they are not read in

    def __repr__(self) -> str:
        return f"<FileIndex of {self.directories.root}: {self._tables!r}>"

    @property
    def is_loaded(self) -> bool:
        """Whether the tables can be asked."""
        return self._position is not None

    @contextmanager
    def turn(self) -> Iterator[Tables]:
        """Be the only one who writes; the tables are up to date if they are loaded."""
        with self._guard, self._lock.held():
            if self._position is not None:
                self._follow()
            yield self._tables

    @contextmanager
    def asked(self, *, in_order: bool = False) -> Iterator[Tables]:
        """Ask the tables, which are up to date, and in the order in which sessions were added if that is asked for.

        Raises:
            NotLoaded: they can't be asked.
        """
        with self._guard:
            self.require()
            if self._position is not None and self.journal.has_more(self._position):
                with self._lock.held():
                    self._follow()
            if in_order and not self._is_ordered:
                self._sort()
            yield self._tables

    def require(self) -> None:
        """Nothing, if the tables can be asked.

        Raises:
            NotLoaded: they can't.
        """
        if self._position is None:
            raise NotLoaded

    def manager_of(self, id: str) -> str | None:
        """Whose a session is, as far as the tables know."""
        record = self._tables.records.get(id)
        return None if record is None else record.manager

    def catch_up(self) -> None:
        """Have what was just written in the tables; the caller has the turn."""
        if self._position is not None:
            self._follow()

    def note_deletion(self, number: int) -> None:
        """Have it known, also after a restart, that sessions were deleted at a number; the caller has the turn."""
        self._disk.replace(self._forgotten, str(number).encode())

    def refresh(self, id: str) -> None:
        """Have the tables say what somebody did to a state file by hand; the caller has the turn."""
        self._apply(id, self.journal.note([id], self._tables.number)[0], by_hand=True)

    def foresee(self, found: Iterable[Stored]) -> None:
        """Have the tables say what will be written for sessions that have no state: it takes long to write many."""
        with self.asked() as tables:
            for stored in found:
                record = stored.record
                if record.id not in tables.records:
                    self.foreseen[record.id] = record
                    self._place(stored)
                    tables.put(record, None)

    def forget_foreseen(self, ids: Iterable[str]) -> None:
        """Have the tables say nothing of sessions for which nothing was written after all."""
        with self._guard:
            for each in ids:
                if (record := self.foreseen.pop(each, None)) is not None:
                    self._tables.drop(record)
                    self._added.pop(each, None)

    def load(self) -> None:
        """Read everything in; others go on writing meanwhile."""
        if self._disk.make_dir(self._forgotten.parent):
            self._disk.sync_dir(self.directories.root)
        with self._lock.held():
            start = self.journal.end()
        found: dict[str, Stored] = {}
        unsettled: set[str] = set()
        for each in self.directories.ids():
            self._read_in(each, found, unsettled)
        with self._guard, self._lock.held():
            tail = self.journal.since(start)
            if tail is None:
                raise NotLoaded  # somebody deleted the journal meanwhile
            for _, each in tail[0]:
                self._read_in(each, found, unsettled)
            self._settle(found)
            self._tables = _tables(found, int(content(self._forgotten) or 0))
            self._tables.number = max(self._tables.number, self.journal.last())
            self._added = {each: found[each].added for each in self._tables.records}
            self._is_ordered = True
            self.unsettled = unsettled
            self.foreseen = {}
            self._position = self.journal.end()

    def _read_in(self, id: str, found: dict[str, Stored], unsettled: set[str]) -> None:
        found.pop(id, None)
        stored = self._header(id)
        if stored is not None:
            found[id] = stored
            unsettled.discard(id)
        else:
            unsettled.add(id)

    def _header(self, id: str) -> Stored | None:
        try:
            return self.directories.read(id, whole=False)
        except Unreadable as error:
            logger.warning("The state of session %s can't be read, %s", id, error)
        except (StorageError, PermissionError) as error:
            logger.error("Session %s is left out: %s", id, error)
        return None

    def _settle(self, found: dict[str, Stored]) -> None:
        """End what is live though a later session took its place."""
        entries = ((each.record, each.written, each.replaces) for each in found.values())
        last = max((each.written for each in found.values()), default=0)
        for older, newer in superseded(entries).items():
            last = self._end(older, found[newer].record.created_at, last)
            ended = self._header(older)
            if ended is not None:
                found[older] = ended

    def _end(self, id: str, now: float, after: int) -> int:
        """End a session whose place was taken; return the number of this write."""
        number = self.journal.note([id], after)[0]
        stored = self.directories.read(id)
        if stored is not None and stored.record.is_live:
            self.directories.write(Stored(moved(stored.record, "ended", now, "replaced"), number, stored.added))
        return number

    def _follow(self) -> None:
        position = self._position
        if position is None or not self.journal.has_more(position):
            return
        tail = self.journal.since(position)
        if tail is None:
            self._position = None
            raise NotLoaded
        lines, after = tail
        numbers = {written: number for number, written in lines}
        for written, number in sorted(numbers.items(), key=lambda item: item[1]):
            self._apply(written, number)
            self._tables.number = max(self._tables.number, number)
        self._position = after

    def _apply(self, id: str, number: int, *, by_hand: bool = False) -> None:
        """Have the tables say what a state file says, which may have been written at a number."""
        tables = self._tables
        before = tables.records.get(id)
        stored = self._header(id)
        if stored is None:
            self.unsettled.add(id)
            if before is not None and id not in self.foreseen:
                tables.drop(before)
                self._added.pop(id, None)
                tables.number = tables.forgotten = max(tables.number, number)
            return
        self.unsettled.discard(id)
        self.foreseen.pop(id, None)
        known = tables.written.get(id, 0)
        if before is not None and stored.written < known and not by_hand:
            return
        self._end_rivals(stored)
        if before is None:
            self._place(stored)
        tables.put(stored.record, before)
        if stored.written != known:
            _number(tables, id, number if by_hand else stored.written)

    def _place(self, stored: Stored) -> None:
        """One that is new to the tables comes last there; it may be older than others if it was rebuilt."""
        self._is_ordered = self._is_ordered and stored.added > next(reversed(self._added.values()), 0)
        self._added[stored.record.id] = stored.added

    def _sort(self) -> None:
        self._added = dict(sorted(self._added.items(), key=lambda item: (item[1], item[0])))
        self._tables.records = {each: self._tables.records[each] for each in self._added}
        self._is_ordered = True

    def _end_rivals(self, stored: Stored) -> None:
        """Finish what a writer that died had begun: a session takes another's place in two steps."""
        record = stored.record
        holder = self._tables.keys.get((record.manager, record.key)) if record.is_live and record.key else None
        for rival in {holder, stored.replaces} - {None, record.id}:
            other = self._tables.records.get(rival or "")
            if other is None or not other.is_live:
                continue
            number = self._end(other.id, record.created_at, self._tables.number)
            ended = self._header(other.id)
            if ended is not None:
                self._tables.put(ended.record, other)
                _number(self._tables, other.id, number)


def _tables(found: dict[str, Stored], forgotten: int) -> Tables:
    tables = Tables()
    for stored in sorted(found.values(), key=lambda each: (each.added, each.record.id)):
        tables.put(stored.record, None)
    tables.written = {each.record.id: each.written for each in sorted(found.values(), key=lambda each: each.written)}
    tables.forgotten = forgotten
    tables.number = max([forgotten, *tables.written.values()])
    return tables


def _number(tables: Tables, id: str, number: int) -> None:
    tables.number = max(tables.number, number)
    tables.written.pop(id, None)
    tables.written[id] = number
