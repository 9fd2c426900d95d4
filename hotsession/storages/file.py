"""Sessions in a directory, for jobs that leave files on disk: each has a directory with a readable state file.

All work on files is done in threads, which this hands it to; no event loop waits for a disk.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import RunVar

from hotsession.errors import ConfigurationError
from hotsession.lifecycle.record import Key, Record
from hotsession.storages.base import Changes
from hotsession.storages.claims import Claim
from hotsession.storages.disk import Disk, explained
from hotsession.storages.file_index import NotLoaded
from hotsession.storages.file_sessions import FileSessions
from hotsession.storages.recovery import Artefacts
from hotsession.storages.shared_run import SharedRun
from hotsession.storages.tables import Tables

T = TypeVar("T")

THREADS = 8  # of each event loop's, so that slow disks take none of those that the app's own functions run in
CHUNK = 20  # sessions that are repaired before recovery says how far it is
FORESEEN = 500  # sessions that are judged at one go before any is written

_threads: RunVar[anyio.CapacityLimiter] = RunVar("hotsession_file_threads")


class FileStorage:
    """Keeps each session as ``DIR/{id}/session_state.json``, beside the files that the app makes for it.

    The state file is readable, and replaced in one step: a crash loses at most the write that had not returned yet, a
    power cut as well. The app's data stands in it flat beside our fields; data with a field named as ours is refused.
    One that can't be read is moved aside, never deleted, and the session is rebuilt from the app's files.
    Several processes may use the directory at once, on a file system that has ``flock``.

    Args:
        directory: where the sessions are; made at first use. A relative one is taken from the working directory of now.
        artefacts: what the app's files mean; without it only states that can't be read are repaired.
        disk: what writes files; for tests.

    It may be made at the top of a module: it reads nothing until it is used. Then it reads all states in, in a thread;
    meanwhile sessions can be got, replaced and touched by their ids, and what needs more waits.

    Example::

        FileStorage("jobs", artefacts=Artefacts(complete=["final.png"], begun="draft.png", stuck_after=30 * 60))
    """

    wants_bytes = True
    is_shared = True

    def __init__(
        self, directory: str | os.PathLike[str], *, artefacts: Artefacts | None = None, disk: Disk | None = None
    ) -> None:
        if not os.fspath(directory):
            raise ConfigurationError("FileStorage(''): it takes the path of a directory")
        self.directory = Path(directory).absolute()
        self.artefacts = artefacts
        self._disk = disk or Disk()
        self._open()

    def __repr__(self) -> str:
        return f"<FileStorage {self.directory}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (str(self.directory), self.artefacts)

    async def get(self, id: str) -> Record | None:
        """The record with this id, whatever its state."""
        return await self._do(lambda sessions: sessions.get(id))

    async def find(self, manager: str, key: Key) -> Record | None:
        """The live record of this key."""
        return await self._found(lambda tables: tables.keys.get((manager, key)), lambda record: record.key == key)

    async def find_token(self, manager: str, token_hash: bytes) -> Record | None:
        """The live record that the token with this hash opens."""
        where = manager, token_hash
        return await self._found(
            lambda tables: tables.tokens.get(where), lambda record: record.token_hash == token_hash
        )

    async def add(self, record: Record, *, replacing: str | None = None) -> Record | None:
        """Store a new record, unless its key has a live one other than `replacing`.

        Raises:
            DataNotStorable: a field of the data is called as one of ours.
            StorageError: the id can't be the name of a directory, or there is a session with it.
        """
        return await self._do(lambda sessions: sessions.add(record, replacing))

    async def replace(self, record: Record) -> bool:
        """Store `record` over the one with its id, if that is exactly one version behind.

        Raises:
            DataNotStorable: a field of the data is called as one of ours.
            SessionConflict: it would be live again, and another has its key.
        """
        return await self._do(lambda sessions: sessions.replace(record))

    async def touch(self, id: str, seen_at: float, expires_at: float | None) -> Record | None:
        """Note that a session was seen, without a new version."""
        return await self._do(lambda sessions: sessions.touch(id, seen_at, expires_at))

    async def count(self, manager: str, status: str | None = None) -> int:
        """How many records a manager has in a state; the live ones when None is given."""
        return await self._do(lambda sessions: sessions.count(manager, status))

    async def list(
        self, manager: str, now: float, *, status: str | None = None, key: Key | None = None, limit: int | None = None
    ) -> builtins.list[Record]:
        """The records of a manager, newest first."""

        def is_wanted(record: Record) -> bool:
            return (
                record.manager == manager
                and key in (None, record.key)
                and status in (None, "expired" if record.is_expired(now) else record.status)
            )

        return await self._listed(lambda tables: filter(is_wanted, reversed(tables.records.values())), limit)

    async def managers(self) -> builtins.list[str]:
        """The names of all managers that have records, in order."""
        return await self._do(lambda sessions: sessions.managers())

    async def running(self, manager: str) -> builtins.list[Record]:
        """The live records of a manager that a process works on."""

        def choose(tables: Tables) -> Iterable[Record]:
            found = (tables.records[each] for each in tables.running)
            return (record for record in found if record.manager == manager)

        return await self._listed(choose, None)

    async def expired(self, manager: str, now: float, limit: int) -> builtins.list[Record]:
        """Live records of a manager whose time is over, longest overdue first."""
        return await self._listed(lambda tables: tables.expired(manager, now, limit), limit)

    async def remove(self, manager: str, before: float, limit: int) -> int:
        """Delete records of a manager that were over before a time, at most so many, and return how many.

        Files of the app's stay: the state file of a session that has some is renamed to ``session_state.removed.json``.
        """
        return await self._do(lambda sessions: sessions.remove(manager, before, limit))

    async def changes(self, manager: str, after: int | None, limit: int = 100) -> Changes:
        """What was written to a manager's records after a position."""
        return await self._do(lambda sessions: sessions.changes(manager, after, limit))

    async def claim(self, manager: str, key: Key, owner: str, now: float, until: float) -> bool:
        """Take or keep the right to make the session of a key."""
        claim = Claim(manager, key, owner, until)
        return await self._do(lambda sessions: sessions.claim(claim, now))

    async def unclaim(self, manager: str, key: Key, owner: str) -> None:
        """Give the right back, if it is still this owner's."""
        await self._do(lambda sessions: sessions.unclaim(manager, key, owner))

    async def recover(self, manager: str, now: float, progress: Callable[[int, int], None]) -> int:
        """Bring records in line with what lies on disk; it may be done again at any time.

        Args:
            manager: its name; sessions whose state can't be read become its.
            now: the time.
            progress: is told how many directories were looked at, and of how many.

        Returns:
            How many records were rebuilt or corrected; they are ``recovered``.
        """
        self._here().repair.manager = manager
        ids, total = await self._do(lambda sessions: sessions.repair.doubtful(manager))
        recovered = 0
        progress(total - len(ids), total)
        for chunk in _chunks(ids, FORESEEN):
            await self._do(lambda sessions, chunk=chunk: sessions.repair.foresee(chunk, manager, now))  # type: ignore[misc]
        done = total - len(ids)
        for chunk in _chunks(ids, CHUNK):
            recovered += await self._do(lambda sessions, chunk=chunk: sessions.repair.settle(chunk, manager, now))  # type: ignore[misc]
            done += len(chunk)
            progress(done, total)
        return recovered

    async def aclose(self) -> None:
        """Forget what was read in: no file is open between calls."""
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self._sessions = FileSessions(self.directory, self.artefacts, self._disk)
        self._loading = SharedRun(self._sessions.index.load, f"hotsession reads {self.directory.name}")

    def _here(self) -> FileSessions:
        """What there is in this process: a fork may have copied a lock that a thread held."""
        if self._process != os.getpid():
            self._open()
        return self._sessions

    async def _do(self, function: Callable[[FileSessions], T]) -> T:
        """Have a thread do something, after what it needs has been read in."""
        while True:
            sessions = self._here()
            try:
                return await anyio.to_thread.run_sync(function, sessions, limiter=_limiter())
            except NotLoaded:
                await self._loaded()
            except OSError as error:
                raise explained(error, self.directory) from error

    async def _loaded(self) -> None:
        try:
            await self._loading.over()
        except NotLoaded:
            return
        except OSError as error:
            raise explained(error, self.directory) from error

    async def _found(self, look: Callable[[Tables], str | None], fits: Callable[[Record], bool]) -> Record | None:
        return await self._do(lambda sessions: sessions.found(look, fits))

    async def _listed(self, choose: Callable[[Tables], Iterable[Record]], limit: int | None) -> builtins.list[Record]:
        return await self._do(lambda sessions: sessions.listed(choose, limit))


def _chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _limiter() -> anyio.CapacityLimiter:
    """This event loop's."""
    try:
        return _threads.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(THREADS)
        _threads.set(limiter)
        return limiter


def _made(directory: str, artefacts: Artefacts | None) -> FileStorage:
    return FileStorage(directory, artefacts=artefacts)
