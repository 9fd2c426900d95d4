"""How a sessions database is made, recognised and brought up to date."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from hotsession.errors import StorageError
from hotsession.storages import sqlite_schema
from hotsession.storages.sqlite_schema import APPLICATION_ID, MIGRATIONS, checked_version, open_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "sessions.db"


def digest(path: Path) -> str:
    """What is in a file."""
    return sha256(path.read_bytes()).hexdigest()


def written(path: Path, *statements: str) -> None:
    """Have another program write to a database."""
    database = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


def test_a_new_database_has_the_newest_version_and_says_whose_it_is(path: Path) -> None:
    """In WAL mode, which stays with the file."""
    database = open_database(path, 1)
    assert checked_version(database, path) == len(MIGRATIONS)
    assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (1,)
    database.close()


def test_a_database_that_is_up_to_date_is_only_opened(path: Path) -> None:
    """Opening it again writes nothing."""
    open_database(path, 1).close()
    before = digest(path)
    open_database(path, 1).close()
    assert digest(path) == before


def test_many_who_make_it_at_once_make_it_once(path: Path) -> None:
    """Each gets a whole database, whoever was first."""
    with ThreadPoolExecutor(8) as threads:
        databases = list(threads.map(lambda _: open_database(path, 10), range(16)))
    assert {checked_version(database, path) for database in databases} == {len(MIGRATIONS)}
    for database in databases:
        database.close()


def test_a_database_from_a_newer_version_is_left_as_it_is(path: Path) -> None:
    """The error names both versions and what to do, and not a byte is changed."""
    open_database(path, 1).close()
    written(path, "PRAGMA user_version = 99")
    before = digest(path)
    with pytest.raises(
        StorageError, match=r"written by a newer hotsession \(its format is 99, this one knows up to 1\) and"
    ):
        open_database(path, 1)
    assert digest(path) == before


@pytest.mark.parametrize(
    "statement", ["PRAGMA user_version = 3", "CREATE TABLE users (id)", "PRAGMA application_id = 7"]
)
def test_the_database_of_another_program_is_left_as_it_is(path: Path, statement: str) -> None:
    """Sessions want a file of their own."""
    written(path, statement)
    before = digest(path)
    with pytest.raises(StorageError, match="is the database of another program: give the sessions a file of their own"):
        open_database(path, 1)
    assert digest(path) == before


def test_an_older_database_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs what it has not seen yet, in order, and once."""
    open_database(path, 1).close()
    later = (("CREATE TABLE extra (a)", "INSERT INTO extra VALUES (1)"), ("UPDATE extra SET a = a + 1",))
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", MIGRATIONS + later)
    for _ in range(2):
        database = open_database(path, 1)
        assert database.execute("SELECT a FROM extra").fetchall() == [(2,)]
        assert checked_version(database, path) == len(MIGRATIONS) + 2
        database.close()


def test_a_migration_that_fails_leaves_the_old_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All or nothing: the next start finds the version that it had."""
    open_database(path, 1).close()
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_schema, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE extra (a)", "no SQL")))
        with pytest.raises(sqlite3.OperationalError, match="syntax error"):
            open_database(path, 1)
    database = open_database(path, 1)
    assert checked_version(database, path) == len(MIGRATIONS)
    assert database.execute("SELECT 1 FROM sqlite_master WHERE name = 'extra'").fetchone() is None
    database.close()
