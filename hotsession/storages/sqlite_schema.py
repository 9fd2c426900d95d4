"""The tables of a sessions database, how an older one is brought up to date, and how one is opened.

The database is ours alone: its `application_id` says so, its `user_version` is how many of `MIGRATIONS` it has seen.

::

    sessions   one row per record, its fields as `Record` has them, and
               place    grows with every new record: the order of listings
               number   grows with every write: the order of changes
    counts     how many records a manager has in each state, kept by triggers: counting a million rows takes 12 ms
    clock      the number of the last write. It begins at the time when the database was made, in microseconds, so that
               nobody takes the numbers of a database for those of another that was in its place before
    removals   the number at which records of a manager were last deleted
    claims     who has the right to make the session of a key, and until when
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from hotsession.errors import StorageError
from hotsession.storages.sqlite_errors import cannot_open, is_busy

T = TypeVar("T")

APPLICATION_ID = 0x486F7453  # HotS
WAL_LIMIT = 64 << 20  # bytes: what a checkpoint leaves of a log that grew because somebody was reading for long
LIVE = "status IN ('active', 'paused')"

FIRST: tuple[str, ...] = (
    """CREATE TABLE sessions (
        place INTEGER PRIMARY KEY,
        number INTEGER NOT NULL,
        id TEXT NOT NULL,
        manager TEXT NOT NULL,
        key TEXT,
        status TEXT NOT NULL,
        reason TEXT,
        version INTEGER NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        last_seen_at REAL NOT NULL,
        expires_at REAL,
        token_hash BLOB,
        token_expires_at REAL,
        result BLOB,
        completed_at REAL,
        attempt INTEGER NOT NULL,
        worker TEXT,
        recovered INTEGER NOT NULL,
        payload BLOB  -- the last: what stands before is read without it
    )""",
    "CREATE UNIQUE INDEX sessions_by_id ON sessions (id)",
    f"CREATE UNIQUE INDEX one_live_session_per_key ON sessions (manager, key) WHERE key IS NOT NULL AND {LIVE}",
    f"CREATE INDEX live_by_token ON sessions (manager, token_hash) WHERE token_hash IS NOT NULL AND {LIVE}",
    f"CREATE INDEX live_by_expiry ON sessions (manager, expires_at) WHERE expires_at IS NOT NULL AND {LIVE}",
    f"CREATE INDEX live_at_work ON sessions (manager) WHERE worker IS NOT NULL AND {LIVE}",
    "CREATE INDEX sessions_by_manager ON sessions (manager)",
    "CREATE INDEX sessions_by_status ON sessions (manager, status)",
    "CREATE INDEX sessions_by_key ON sessions (manager, key) WHERE key IS NOT NULL",
    "CREATE INDEX sessions_by_end ON sessions (manager, completed_at) WHERE completed_at IS NOT NULL",
    "CREATE INDEX sessions_by_write ON sessions (manager, number)",
    """CREATE TABLE counts (
        manager TEXT NOT NULL, status TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (manager, status)
    ) WITHOUT ROWID""",
    """CREATE TRIGGER count_added AFTER INSERT ON sessions BEGIN
        INSERT INTO counts VALUES (new.manager, new.status, 1)
            ON CONFLICT (manager, status) DO UPDATE SET count = count + 1;
    END""",
    """CREATE TRIGGER count_moved AFTER UPDATE OF status ON sessions WHEN old.status <> new.status BEGIN
        UPDATE counts SET count = count - 1 WHERE manager = old.manager AND status = old.status;
        INSERT INTO counts VALUES (new.manager, new.status, 1)
            ON CONFLICT (manager, status) DO UPDATE SET count = count + 1;
    END""",
    """CREATE TRIGGER count_removed AFTER DELETE ON sessions BEGIN
        UPDATE counts SET count = count - 1 WHERE manager = old.manager AND status = old.status;
    END""",
    "CREATE TABLE clock (number INTEGER NOT NULL, origin INTEGER NOT NULL)",
    "INSERT INTO clock SELECT t, t FROM (SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) AS t)",
    "CREATE TABLE removals (manager TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE claims (
        manager TEXT NOT NULL, key TEXT NOT NULL, owner TEXT NOT NULL, until REAL NOT NULL, PRIMARY KEY (manager, key)
    ) WITHOUT ROWID""",
    "CREATE INDEX claims_by_end ON claims (until)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (FIRST,)  # statements by the version that they lead from; append only


def open_database(path: Path, timeout: float) -> sqlite3.Connection:
    """Open a sessions database; make it if there is none, bring it up to date if it is old.

    Args:
        path: where it is; its directory must be there.
        timeout: seconds for which others may have it locked.

    Raises:
        StorageError: the directory is missing, it is another program's database or one from a newer version.
        sqlite3.Error: it can't be opened.
    """
    _make(path)
    database = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        until = time.monotonic() + timeout
        patiently(lambda: _prepare(database, path), until)
    except BaseException:
        database.close()
        raise
    return database


def patiently(function: Callable[[], T], until: float) -> T:
    """Call a function again while the database is busy: SQLite itself waits in most places, but not in all.

    It gives up at once where two connections might wait for each other: when the journal's mode is set, or when another
    process is just taking the last connection away.
    """
    pause = 0.001
    while True:
        try:
            return function()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > until:
                raise
        time.sleep(pause * random.random())
        pause = min(pause * 2, 0.05)


def checked_version(database: sqlite3.Connection, path: Path) -> int:
    """How many migrations a database has seen; to be called in a transaction, as somebody may just be making it.

    Raises:
        StorageError: it is not ours, or from a newer version.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (application,) = database.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID and (
        application or version or database.execute("SELECT 1 FROM sqlite_master").fetchone()
    ):
        raise StorageError(f"{path} is the database of another program: give the sessions a file of their own")
    if version > len(MIGRATIONS):
        raise too_new(path, version)
    return int(version)


def too_new(path: Path, version: int) -> StorageError:
    """The error for a database from a newer version."""
    return StorageError(
        f"{path} was written by a newer hotsession (its format is {version}, this one knows up to {len(MIGRATIONS)}) "
        "and was left as it is: install that version again, or name another file"
    )


def _make(path: Path) -> None:
    """Make an empty file that is this user's alone: sessions are private, and SQLite would let all users read it."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:  # never open it but by SQLite: closing any file handle of it drops SQLite's locks
        return
    except OSError as error:
        raise StorageError(cannot_open(path)) from error


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    database.execute("BEGIN")
    try:
        version = checked_version(database, path)  # before anything is written
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    (mode,) = database.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        database.execute("PRAGMA journal_mode = WAL").fetchone()
    if version < len(MIGRATIONS):
        _migrate(database, path)


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    """Bring a database up to date, all or nothing; whoever comes first does it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        for step in MIGRATIONS[checked_version(database, path) :]:
            for statement in step:
                database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        database.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk has rolled it back already
            database.execute("ROLLBACK")
        raise
