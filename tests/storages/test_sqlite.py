"""What SQLite storage does beyond the contract of all storages."""

from __future__ import annotations

import gc
import pickle
import sqlite3
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

from hotsession.errors import ConfigurationError, SessionConflict, StorageError, StorageUnavailable
from hotsession.lifecycle.record import Record, moved
from hotsession.storages import sqlite_statements as sql
from hotsession.storages.sqlite import SQLiteStorage
from hotsession.storages.sqlite_rows import key_of, key_text
from hotsession.storages.sqlite_schema import open_database
from hotsession.storages.sqlite_workers import Writer
from tests.deadlines import DEADLINE
from tests.storages.stored import record

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both of anyio's backends."""
    return str(request.param)


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


def threads() -> list[threading.Thread]:
    """Those of SQLite storages."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("hotsession sqlite")]


async def wait_until(holds: Callable[[], bool]) -> None:
    """Let others run until something holds."""
    with anyio.fail_after(DEADLINE):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in a thread
            await anyio.sleep(0.001)


def blocked(path: Path) -> sqlite3.Connection:
    """Somebody else who writes to the database until he is told to stop."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    return database


async def begun(storage: SQLiteStorage) -> None:
    """Wait until the writer has taken what was asked for, and waits for the lock that somebody else has."""
    await anyio.wait_all_tasks_blocked()
    await wait_until(lambda: any(isinstance(each, Writer) and each.is_at_work for each in threads()))


async def test_records_outlive_the_storage(path: Path) -> None:
    """Another object, as in the next process, finds what the first was given."""
    first = SQLiteStorage(path)
    await first.add(record())
    await first.aclose()
    second = SQLiteStorage(path)
    assert await second.get("one") == record()
    await second.aclose()


async def test_live_objects_are_refused(storage: SQLiteStorage) -> None:
    """It stores bytes; what is none is named before anything is written."""
    with pytest.raises(StorageError, match="session one has a live dict where SQLite stores bytes"):
        await storage.add(record(payload={}))
    assert await storage.get("one") is None


async def test_the_database_itself_refuses_a_second_live_session(storage: SQLiteStorage, path: Path) -> None:
    """Whoever writes, with whatever program: one live session per key."""
    await storage.add(record())
    database = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: sessions\.manager, sessions\.key"):
        database.execute(
            "INSERT INTO sessions (number, id, manager, key, status, version, created_at, updated_at, last_seen_at, "
            "attempt, recovered) VALUES (1, 'two', 'manager', 'key', 'paused', 1, 0, 0, 0, 1, 0)"
        )
    database.close()


async def test_what_was_interrupted_does_not_come_back_beside_another(storage: SQLiteStorage) -> None:
    """The key has a new session by then: the error names it, and nothing is changed."""
    await storage.add(record())
    interrupted = moved(record(), "interrupted", 20)
    await storage.replace(interrupted)
    await storage.add(record("two"))
    with pytest.raises(SessionConflict, match="session two has its key 'key' now") as caught:
        await storage.replace(moved(interrupted, "active", 30))
    assert (caught.value.id, caught.value.alternatives) == ("one", ("two",))
    assert await storage.get("one") == interrupted


async def test_an_id_is_used_once(storage: SQLiteStorage) -> None:
    """A second record by the same id is an error, and the first stays."""
    await storage.add(record())
    with pytest.raises(StorageError, match="there is a session one already"):
        await storage.add(record(key="other"))
    assert await storage.get("one") == record()


async def test_one_that_fails_takes_no_other_along(storage: SQLiteStorage, path: Path) -> None:
    """Writes that share a transaction have results and errors of their own."""
    await storage.add(record("0"))
    results: dict[int, str] = {}

    async def add(number: int) -> None:
        try:
            await storage.add(record(str(number % 10), f"key {number}"))
            results[number] = "stored"
        except StorageError:
            results[number] = "refused"

    blocker = blocked(path)
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(add, number)
        await begun(storage)
        blocker.rollback()
    assert sorted(results.values()) == ["refused"] * 11 + ["stored"] * 9
    assert await storage.count("manager") == 10
    blocker.close()


async def test_the_event_loop_goes_on_while_the_database_is_locked(storage: SQLiteStorage, path: Path) -> None:
    """Only the writing task waits; others run, and read."""
    await storage.add(record())
    blocker = blocked(path)
    done = anyio.Event()

    async def write() -> None:
        await storage.add(record("two", "other"))
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        for _ in range(20):
            assert await storage.get("one") == record()
        assert not done.is_set()
        blocker.rollback()
    assert done.is_set()
    blocker.close()


async def test_a_database_that_stays_locked_is_unavailable(path: Path) -> None:
    """After the timeout the error says so; when it is free again, so is the storage."""
    storage = SQLiteStorage(path, timeout=0.05)
    assert await storage.get("one") is None
    blocker = blocked(path)
    with pytest.raises(StorageUnavailable, match=r"has been locked by another program for 0\.05 s: end it"):
        await storage.add(record())
    blocker.rollback()
    assert await storage.add(record()) is None
    blocker.close()
    await storage.aclose()


async def test_who_is_cancelled_before_his_turn_writes_nothing(storage: SQLiteStorage, path: Path) -> None:
    """A write that waits behind another is left out when nobody waits for it any more."""
    await storage.add(record())
    blocker = blocked(path)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(storage.add, record("two", "second"))
        await begun(storage)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(storage.add, record("three", "third"))
                await wait_until(lambda: storage._threads._writes.qsize() == 1)
                scope.cancel()
        blocker.rollback()
    await storage.touch("one", 20, None)  # comes after both
    assert await storage.get("two") is not None
    assert await storage.get("three") is None
    blocker.close()


async def test_a_cancelled_caller_leaves_the_storage_in_order(storage: SQLiteStorage) -> None:
    """What follows is answered rightly."""
    for _ in range(20):
        with anyio.move_on_after(0):
            await storage.get("one")
    assert await storage.add(record()) is None
    assert await storage.get("one") == record()


async def test_closing_leaves_no_thread_and_no_file_open(storage: SQLiteStorage, path: Path) -> None:
    """Neither threads nor connections stay, and SQLite's own files are gone."""
    await storage.add(record())
    await storage.get("one")
    assert len(threads()) == 3
    await storage.aclose()
    assert threads() == []
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_what_waits_when_it_is_closed_is_done(storage: SQLiteStorage) -> None:
    """Closing comes after the writes that were asked for before."""
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(storage.add, record(str(number), str(number)))
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(storage.aclose)
    assert await storage.count("manager") == 10


async def test_a_storage_that_nobody_has_ends_its_threads(path: Path) -> None:
    """It need not be closed by hand."""
    storage = SQLiteStorage(path)
    await storage.add(record())
    del storage
    gc.collect()
    await wait_until(lambda: not threads())


async def test_the_file_is_this_user_s_alone(storage: SQLiteStorage, path: Path) -> None:
    """Sessions are private, whatever the umask."""
    await storage.add(record())
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


async def test_a_file_that_was_removed_is_made_anew(
    storage: SQLiteStorage, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who deletes the database of a running server begins with an empty one; nothing is written to what is gone."""
    await storage.add(record())
    for file in path.parent.iterdir():
        file.unlink()
    assert await storage.get("one") is None
    assert await storage.add(record("two")) is None
    assert [found.name for found in path.parent.glob("*.db")] == [path.name]
    assert "were removed while they were in use" in caplog.text


async def test_positions_of_a_removed_file_are_of_no_use_in_the_new_one(path: Path) -> None:
    """Numbers begin with the time, so that nobody goes on where another database stood."""
    storage = SQLiteStorage(path)
    await storage.add(record())
    before = (await storage.changes("manager", None)).position
    assert abs(before / 1e6 - time.time()) < 60
    for file in path.parent.iterdir():
        file.unlink()
    after = await storage.changes("manager", before)
    assert after.position > before
    assert not after.complete
    await storage.aclose()


async def test_a_pickled_storage_is_one_of_the_same_file(storage: SQLiteStorage, path: Path) -> None:
    """As processes that are spawned get it."""
    copy = pickle.loads(pickle.dumps(storage))  # noqa: S301 - our own
    assert (copy.path, copy.timeout) == (path, storage.timeout)


def test_a_key_of_any_characters_has_a_text() -> None:
    """It is readable where that can be, and the same key comes back."""
    assert key_text("user 7") == "user 7"
    assert key_text(("user", "7")) == '["user", "7"]'
    for key in ("[", '"', "\0", "\udcff", "ünï", '["a"]', ("a",), ("\udcff", "\0"), '"a"'):
        text = key_text(key)
        text.encode()
        assert key_of(text) == key


async def test_ids_that_are_no_text_are_missing(storage: SQLiteStorage) -> None:
    """What comes out of an address that was no UTF-8 is not found, and no error."""
    assert await storage.get("\udcff") is None
    assert await storage.touch("\udcff", 20, None) is None


async def test_a_reason_that_is_no_text_is_escaped(storage: SQLiteStorage) -> None:
    """As in the message of an error about a file's name."""
    await storage.add(record(reason="no \udcff"))
    found = await storage.get("one")
    assert found is not None
    assert found.reason == "no \\udcff"


@pytest.mark.parametrize("path", [":memory:", "", "file:x?mode=memory"])
def test_a_path_that_is_no_file_is_refused(path: str) -> None:
    """With the name of what keeps sessions in memory."""
    with pytest.raises(ConfigurationError, match="MemoryStorage"):
        SQLiteStorage(path)


def test_its_columns_are_the_fields_of_a_record(path: Path) -> None:
    """A new field needs a migration."""
    database = open_database(path, 1)
    columns = {row[1] for row in database.execute("PRAGMA table_info(sessions)")}
    database.close()
    assert columns == {*Record._fields, "place", "number"}


STATEMENTS = {
    **{name: text for name, text in vars(sql).items() if name.isupper() and not name.startswith(("_", "LIVE", "COL"))},
    **{
        f"listing {status} {has_key}": sql.listing(status, has_key=has_key)
        for status in (None, "active", "paused", "expired", "ended")
        for has_key in (False, True)
    },
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_looks_at_all_sessions(path: Path, name: str) -> None:
    """Each finds its records by an index, and but for what is expired none sorts them."""
    database = open_database(path, 1)
    marks = STATEMENTS[name].count("?")
    values = (1,) * marks if marks else dict.fromkeys([*Record._fields, "number", "now", "limit", "owner", "until"], 1)
    plan = [row[-1] for row in database.execute(f"EXPLAIN QUERY PLAN {STATEMENTS[name]}", values)]
    database.close()
    assert not [step for step in plan if step.startswith(("SCAN sessions", "SCAN claims"))], plan
    if "expired" not in name:
        assert not [step for step in plan if "TEMP B-TREE" in step], plan


def test_threads_and_loops_share_a_storage(path: Path) -> None:
    """One object serves event loops of both kinds, one after the other and at once."""
    storage = SQLiteStorage(path)
    errors: list[BaseException] = []

    def work(backend: str, name: str) -> None:
        async def write() -> None:
            for number in range(10):
                await storage.add(record(f"{name} {number}", f"{name} {number}"))

        try:
            anyio.run(write, backend=backend)
        except BaseException as error:
            errors.append(error)
            raise

    running = [
        threading.Thread(target=partial(work, backend, f"{backend} {number}"))
        for number in range(3)
        for backend in ("asyncio", "trio")
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not errors
    assert anyio.run(storage.count, "manager") == 60
    anyio.run(storage.aclose)
