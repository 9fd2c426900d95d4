"""What SQLite storage says and does when it can't do its work, and that it goes on when it can again."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from hotsession.errors import StorageError, StorageUnavailable
from hotsession.storages.sqlite import SQLiteStorage
from hotsession.storages.sqlite_errors import explained
from hotsession.storages.sqlite_schema import MIGRATIONS
from tests.storages.stored import record

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "sessions.db"


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[SQLiteStorage]:
    """A storage over a new database, closed in the end."""
    made = SQLiteStorage(path)
    yield made
    await made.aclose()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    if os.name == "nt" or os.geteuid() or _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mounted)):
        pytest.skip("only root may mount a small disk")
    yield mounted
    subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def _mount(*arguments: str) -> int:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode


async def test_a_full_disk_loses_nothing_that_was_written(disk: Path) -> None:
    """Each write is refused whole, reading goes on, and with room again so does writing."""
    filler = disk / "filler"
    storage = SQLiteStorage(disk / "sessions.db")
    await storage.add(record("first", "first"))
    filler.write_bytes(b"x" * (os.statvfs(disk).f_bavail - 20) * 4096)
    written = ["first"]

    async def fill() -> None:
        for number in range(100):
            await storage.add(record(str(number), str(number), payload=b"x" * 3000))
            written.append(str(number))

    with pytest.raises(StorageUnavailable, match="is full, so nothing was written: make room and try again"):
        await fill()
    assert 1 < len(written) < 100
    assert [found.id for found in await storage.list("manager", 0)] == written[::-1]
    filler.unlink()
    assert await storage.add(record("last", "last")) is None
    assert await storage.count("manager") == len(written) + 1
    await storage.aclose()


async def test_a_disk_that_was_full_from_the_start_is_told_of(disk: Path) -> None:
    """Not even the tables could be made; with room they are."""
    filler = disk / "filler"
    filler.write_bytes(b"x" * (os.statvfs(disk).f_bavail - 2) * 4096)
    storage = SQLiteStorage(disk / "sessions.db")
    with pytest.raises(StorageUnavailable, match="is full"):
        await storage.add(record())
    filler.unlink()
    assert await storage.add(record()) is None
    await storage.aclose()


async def test_a_read_only_disk_is_told_of(disk: Path) -> None:
    """The error says what may not be written; what is there can still be read."""
    path = disk / "sessions.db"
    other = SQLiteStorage(path)
    await other.add(record())
    keeping = sqlite3.connect(path)  # so that the files of the log stay, which nobody can make there
    keeping.execute("SELECT * FROM sessions").fetchall()
    await other.aclose()
    keeping.execute("BEGIN")
    storage = SQLiteStorage(path)
    keeping.close()
    assert not _mount("-o", "remount,ro", str(disk))
    with pytest.raises(StorageError, match=r"let (it write|this process read and write) "):
        await storage.add(record("two", "two"))
    await storage.aclose()


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """With how to say another one; when it is there, the storage works."""
    storage = SQLiteStorage(tmp_path / "missing" / "sessions.db")
    with pytest.raises(
        StorageError, match=r"there is no directory .*missing: make it, or name another file \(sqlite:///"
    ):
        await storage.get("one")
    (tmp_path / "missing").mkdir()
    assert await storage.add(record()) is None
    await storage.aclose()


async def test_a_directory_in_its_place_is_told_of(tmp_path: Path) -> None:
    """It takes a file."""
    storage = SQLiteStorage(tmp_path)
    with pytest.raises(StorageError, match="is a directory: name a file"):
        await storage.get("one")
    await storage.aclose()


@pytest.mark.parametrize("content", [b"not a database " * 100, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_what_is_no_database_is_left_as_it_is(storage: SQLiteStorage, path: Path, content: bytes) -> None:
    """The error says so, and what lies there is not overwritten."""
    await anyio.Path(path).write_bytes(content)
    with pytest.raises(StorageError, match=r"is no SQLite database: name another file|is damaged"):
        await storage.add(record())
    await storage.aclose()
    assert await anyio.Path(path).read_bytes() == content


async def test_a_newer_version_is_not_written_to_by_who_has_it_open(storage: SQLiteStorage, path: Path) -> None:
    """Somebody brought the database up to date meanwhile: this process writes no more, and loses nothing."""
    await storage.add(record())
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(StorageError, match="written by a newer hotsession"):
        await storage.add(record("two", "two"))
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    database.close()
    assert await storage.add(record("two", "two")) is None


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("SQLITE_BUSY", StorageUnavailable, "locked by another program for 5 s"),
        ("SQLITE_FULL", StorageUnavailable, "full"),
        ("SQLITE_IOERR_WRITE", StorageUnavailable, "can't be read or written"),
        ("SQLITE_READONLY", StorageError, "is read-only for this process"),
        ("SQLITE_CORRUPT", StorageError, "put a backup in its place"),
        ("SQLITE_TOOBIG", StorageError, "too large"),
        ("SQLITE_MISUSE", StorageError, "SQLite can't do what was asked"),
    ],
)
def test_every_complaint_has_words_that_say_what_to_do(
    path: Path, name: str, kind: type[StorageError], says: str
) -> None:
    """What may go away by itself is unavailable; SQLite's own error is the cause."""
    error = sqlite3.OperationalError("said by SQLite")
    error.sqlite_errorcode = getattr(sqlite3, name)
    error.sqlite_errorname = name
    made = explained(error, path, 5)
    assert type(made) is kind
    assert says in str(made)
    assert str(path) in str(made)
    assert made.__cause__ is error
