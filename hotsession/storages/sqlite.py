"""Sessions in one SQLite file, which outlives the process and which several processes may use at once.

Of the standard library's sqlite3, in threads of our own, and not aiosqlite: that one hops to its thread and back for
every statement and knows only asyncio, and it does not put the writes of many tasks into one transaction. The file is
in WAL mode, so reading and writing do not wait for each other, with ``synchronous=NORMAL``: a write that has returned
survives the end of the process, ``kill -9`` included; a power cut or a crash of the system may lose the last of
them, and never damages the file.

It must be a local disk: SQLite's log needs memory that the processes share.
"""

from __future__ import annotations

import builtins
import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hotsession.errors import ConfigurationError, SessionConflict, StorageError
from hotsession.lifecycle.record import Key, Record, moved
from hotsession.storages import sqlite_statements as sql
from hotsession.storages.base import Changes
from hotsession.storages.sqlite_rows import is_text, key_text, record_of, row_of
from hotsession.storages.sqlite_threads import Threads
from hotsession.storages.sqlite_workers import Transaction


class SQLiteStorage:
    """Keeps the records of sessions in a SQLite database, and their data as bytes.

    Args:
        path: the file; it is made at first use, readable for this user alone, in a directory that must be there. A
            relative one is taken from the working directory of now.
        timeout: seconds for which other programs may have the file locked before a call fails.

    It may be made at the top of a module: it opens nothing until it is used. Threads and connections end with `aclose`,
    with the object and with the process, and never hold that up.

    Raises:
        ConfigurationError: the path names no file.

    Example:
        ``hotsession.sessions("jobs", storage=hotsession.storage("jobs", lambda: SQLiteStorage("jobs.db")))``
    """

    wants_bytes = True
    is_shared = True

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 5.0) -> None:
        text = os.fspath(path)
        if not text or text == ":memory:" or text.startswith("file:"):
            raise ConfigurationError(
                f"SQLiteStorage({text!r}): it takes the path of a file; what need not outlive the process is kept by "
                "MemoryStorage"
            )
        self.path = Path(text).absolute()
        self.timeout = timeout
        self._threads = Threads(self.path, timeout)
        weakref.finalize(self, self._threads.leave).atexit = False  # the threads see to that themselves

    def __repr__(self) -> str:
        return f"<SQLiteStorage {self.path}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (str(self.path), self.timeout)

    # reading

    async def get(self, id: str) -> Record | None:
        """The record with this id, whatever its state."""
        return await self._one(sql.GET, (id,)) if is_text(id) else None

    async def find(self, manager: str, key: Key) -> Record | None:
        """The live record of this key."""
        return await self._one(sql.FIND, (manager, key_text(key)))

    async def find_token(self, manager: str, token_hash: bytes) -> Record | None:
        """The live record that the token with this hash opens."""
        return await self._one(sql.FIND_TOKEN, (manager, token_hash))

    async def list(
        self, manager: str, now: float, *, status: str | None = None, key: Key | None = None, limit: int | None = None
    ) -> builtins.list[Record]:
        """The records of a manager, newest first."""
        text = None if key is None else key_text(key)
        values = {
            "manager": manager,
            "now": now,
            "status": status,
            "key": text,
            "limit": -1 if limit is None else limit,
        }
        return await self._all(sql.listing(status, has_key=key is not None), values)

    async def running(self, manager: str) -> builtins.list[Record]:
        """The live records of a manager that a process works on."""
        return await self._all(sql.RUNNING, (manager,))

    async def expired(self, manager: str, now: float, limit: int) -> builtins.list[Record]:
        """Live records of a manager whose time is over, longest overdue first."""
        return await self._all(sql.EXPIRED, (manager, now, limit))

    async def count(self, manager: str, status: str | None = None) -> int:
        """How many records a manager has in a state; the live ones when None is given."""
        statement, values = (sql.COUNT_LIVE, (manager,)) if status is None else (sql.COUNT, (manager, status))
        return await self._threads.read(lambda database: int(database.execute(statement, values).fetchone()[0]))

    async def managers(self) -> builtins.list[str]:
        """The names of all managers that have records, in order."""
        return await self._threads.read(lambda database: [name for (name,) in database.execute(sql.MANAGERS)])

    async def changes(self, manager: str, after: int | None, limit: int = 100) -> Changes:
        """What was written to a manager's records after a position."""
        return await self._threads.read(lambda database: _changes(database, manager, after, limit))

    # writing

    async def add(self, record: Record, *, replacing: str | None = None) -> Record | None:
        """Store a new record, unless its key has a live one other than `replacing`."""
        row = row_of(record)
        return await self._threads.write(lambda transaction: _add(transaction, record, row, replacing))

    async def replace(self, record: Record) -> bool:
        """Store `record` over the one with its id, if that is exactly one version behind.

        Raises:
            SessionConflict: it would be live again, and another has its key.
        """
        row = row_of(record)
        return await self._threads.write(lambda transaction: _replace(transaction, record, row))

    async def touch(self, id: str, seen_at: float, expires_at: float | None) -> Record | None:
        """Note that a session was seen, without a new version."""
        return await self._threads.write(lambda transaction: _touch(transaction, id, seen_at, expires_at))

    async def remove(self, manager: str, before: float, limit: int) -> int:
        """Delete records of a manager that were over before a time, at most so many, and return how many."""
        return await self._threads.write(lambda transaction: _remove(transaction, manager, before, limit))

    async def claim(self, manager: str, key: Key, owner: str, now: float, until: float) -> bool:
        """Take or keep the right to make the session of a key; False while another has it."""
        values = {"manager": manager, "key": key_text(key), "owner": owner, "until": until}
        return await self._threads.write(lambda transaction: _claim(transaction, values, now))

    async def unclaim(self, manager: str, key: Key, owner: str) -> None:
        """Give the right back, if it is still this owner's."""
        values = manager, key_text(key), owner
        await self._threads.write(lambda transaction: transaction.execute(sql.UNCLAIM, values).rowcount)

    async def aclose(self) -> None:
        """Do what was asked for before, end the threads and close the file; a later call opens it again."""
        await self._threads.aclose()

    async def _one(self, statement: str, values: tuple[Any, ...]) -> Record | None:
        row = await self._threads.read(lambda database: database.execute(statement, values).fetchone())
        return None if row is None else record_of(row)

    async def _all(self, statement: str, values: Any) -> builtins.list[Record]:
        def fetch(database: sqlite3.Connection) -> builtins.list[Record]:
            return [record_of(row) for row in database.execute(statement, values)]

        return await self._threads.read(fetch)


def _made(path: str, timeout: float) -> SQLiteStorage:
    return SQLiteStorage(path, timeout=timeout)


# What the threads do: each is one step, which the transaction around it makes whole


def _add(transaction: Transaction, record: Record, row: dict[str, Any], replacing: str | None) -> Record | None:
    holder = None
    if record.key is not None and record.is_live:
        holder = transaction.execute(sql.FIND, (record.manager, row["key"])).fetchone()
        if holder is not None and holder[0] != replacing:
            return record_of(holder)
    if replacing is not None:
        _end_replaced(transaction, replacing, record.created_at)
    try:
        transaction.execute(sql.ADD, {**row, "number": transaction.next_number()})
    except sqlite3.IntegrityError as error:
        raise StorageError(f"there is a session {record.id} already: the id of a new one is used once") from error
    return None


def _end_replaced(transaction: Transaction, id: str, now: float) -> None:
    row = transaction.execute(sql.GET, (id,)).fetchone()
    if row is not None and (old := record_of(row)).is_live:
        ended = moved(old, "ended", now, "replaced")
        transaction.execute(sql.REPLACE, {**row_of(ended), "number": transaction.next_number()})


def _replace(transaction: Transaction, record: Record, row: dict[str, Any]) -> bool:
    row = {**row, "number": transaction.next_number()}
    if transaction.execute(sql.SAVE, row).rowcount:
        return True
    try:
        return bool(transaction.execute(sql.REPLACE, row).rowcount)
    except sqlite3.IntegrityError as error:
        (holder,) = transaction.execute(sql.FIND, (record.manager, row["key"])).fetchone()[:1]
        raise SessionConflict(
            f"session {record.id} can't be live again, session {holder} has its key {record.key!r} now: "
            "end that one first, or go on with it",
            id=record.id,
            key=record.key,
            status=record.status,
            alternatives=(holder,),
        ) from error


def _touch(transaction: Transaction, id: str, seen_at: float, expires_at: float | None) -> Record | None:
    if not is_text(id) or not transaction.execute(sql.TOUCH, (seen_at, expires_at, id)).rowcount:
        return None
    return record_of(transaction.execute(sql.GET, (id,)).fetchone())


def _remove(transaction: Transaction, manager: str, before: float, limit: int) -> int:
    count = transaction.execute(sql.REMOVE, (manager, before, limit)).rowcount
    if count:
        transaction.execute(sql.NOTE_REMOVAL, (manager, transaction.next_number()))
    return count


def _claim(transaction: Transaction, values: dict[str, Any], now: float) -> bool:
    transaction.execute(sql.FORGET_CLAIMS, (now,))
    return bool(transaction.execute(sql.CLAIM, values).rowcount)


def _changes(database: sqlite3.Connection, manager: str, after: int | None, limit: int) -> Changes:
    with _snapshot(database):
        position, since = database.execute(sql.POSITION, (manager,)).fetchone()
        if after is None:
            return Changes([], position, complete=True)
        rows = database.execute(sql.CHANGES, (manager, after, limit)).fetchall()
        complete = since <= after <= position
        if len(rows) == limit:
            position = rows[-1][-1] if rows else after
        return Changes([(row[-1], record_of(row)) for row in rows], position, complete)


@contextmanager
def _snapshot(database: sqlite3.Connection) -> Iterator[None]:
    """Let several statements read the same state."""
    database.execute("BEGIN")
    try:
        yield
    finally:
        database.execute("COMMIT")
