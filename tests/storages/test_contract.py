"""What every storage must do, as the docstring of `Storage` says: one suite over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from hotsession.lifecycle.limits import Limits
from hotsession.lifecycle.record import Key, Record, moved, new_record, saved
from hotsession.lifecycle.token import Token
from hotsession.storages.base import Storage
from hotsession.storages.file import FileStorage
from hotsession.storages.memory import MemoryStorage
from hotsession.storages.sqlite import SQLiteStorage
from tests.effort import times
from tests.storages.backed import Restarted, backed, snapshot
from tests.storages.filed import Forgetful

pytestmark = pytest.mark.anyio


def memory(_: Path) -> Iterator[Storage]:
    """Memory alone."""
    yield MemoryStorage()


def carried(directory: Path) -> Iterator[Storage]:
    """Memory in front of a snapshot."""
    with snapshot(directory / "snapshot") as store:
        yield backed(store)[0]


def restarted(directory: Path) -> Iterator[Storage]:
    """The snapshot behind a memory that is empty at every call."""
    with snapshot(directory / "snapshot") as store:
        yield Restarted(store)


def sqlite(directory: Path) -> Iterator[Storage]:
    """A file."""
    storage = SQLiteStorage(directory / "sessions.db")
    yield storage
    anyio.run(storage.aclose)


def files(directory: Path) -> Iterator[Storage]:
    """A directory."""
    yield FileStorage(directory / "sessions")


def reread(directory: Path) -> Iterator[Storage]:
    """A directory that is read in anew at every call."""
    yield Forgetful(directory / "sessions")


STORAGES: list[Callable[[Path], Iterator[Storage]]] = [memory, carried, restarted, sqlite, files, reread]
NUMBERED = [
    memory,
    carried,
    sqlite,
    files,
    reread,
]  # the snapshot keeps no numbers: after a restart a list is what tells
OF_EACH_MANAGER = [memory, sqlite, files, reread]  # the snapshot's index of what expires is one for all managers


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both of anyio's backends."""
    return str(request.param)


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Each storage, empty."""
    yield from request.param(tmp_path)


def following(before: Record, payload: bytes, token: Token | None = None) -> Record:
    """The next version of a live record."""
    made = saved(before, payload, 20, Limits(), token)
    assert made is not None
    return made


async def added(storage: Storage, *records: Record) -> None:
    """Store new records."""
    for each in records:
        assert await storage.add(each) is None


async def over(storage: Storage, before: Record, status: str, now: float) -> Record:
    """Store that a record is over, or interrupted."""
    after = moved(before, status, now)
    assert await storage.replace(after)
    return after


def record(id: str = "one", key: Key | None = "key", **fields: Any) -> Record:
    """A record that is ready to be stored."""
    made = new_record(id, "manager", key, b"payload", 10, Limits())
    return made._replace(**{"version": 1, **fields})


def test_it_fulfils_the_protocol(storage: Storage) -> None:
    """It has every method of the contract."""
    assert isinstance(storage, Storage)


async def test_what_is_missing_is_none(storage: Storage) -> None:
    """Nothing found is no error."""
    assert await storage.get("one") is None
    assert await storage.find("manager", "key") is None
    assert await storage.find_token("manager", b"hash") is None
    assert await storage.touch("one", 20, None) is None
    assert await storage.replace(record(version=2)) is False
    assert await storage.list("manager", 0) == []
    assert await storage.running("manager") == []
    assert await storage.expired("manager", 99, 10) == []
    assert await storage.remove("manager", 99, 10) == 0
    await storage.unclaim("manager", "key", "owner")


async def test_a_record_is_found_by_id_key_and_token(storage: Storage) -> None:
    """What was added comes back field for field, also under a key of several parts."""
    one = record(key=("user", "7"), token_hash=b"hash", expires_at=99.5, reason="why")
    assert await storage.add(one) is None
    assert await storage.get("one") == one
    assert await storage.find("manager", ("user", "7")) == one
    assert await storage.find_token("manager", b"hash") == one


async def test_every_field_comes_back(storage: Storage) -> None:
    """Also those that most records leave at their defaults, and what was true is not 1."""
    full = record(
        key=None, result=b"result", completed_at=12.5, attempt=3, worker="host/boot/1/2", recovered=True, reason="ünï"
    )
    await added(storage, full)
    found = await storage.get("one")
    assert found == full
    assert (type(found.recovered), type(found.payload), type(found.result)) == (bool, bytes, bytes)


async def test_every_field_can_be_written(storage: Storage) -> None:
    """The next version replaces all of the record but its id, manager and key."""
    await added(storage, record())
    after = record(
        version=2,
        status="paused",
        reason="why",
        created_at=11.0,
        updated_at=12.0,
        last_seen_at=13.0,
        expires_at=99.0,
        token_hash=b"hash",
        token_expires_at=98.0,
        payload=b"new",
        result=b"result",
        attempt=2,
        worker="host/boot/1/2",
        recovered=True,
    )
    assert await storage.replace(after)
    assert await storage.get("one") == after


async def test_managers_share_a_storage_without_meeting(storage: Storage) -> None:
    """One key in two managers is two sessions."""
    other = record("two", manager="other", token_hash=b"hash")
    assert await storage.add(record()) is None
    assert await storage.add(other) is None
    assert await storage.find("other", "key") == other
    assert await storage.find_token("manager", b"hash") is None
    assert [found.id for found in await storage.list("other", 0)] == ["two"]


async def test_keys_of_one_and_of_several_parts_are_different(storage: Storage) -> None:
    """No way of writing a key down may make two of them one."""
    keys: list[Key] = ["a", ("a",), ("a", "b"), "a/b", "('a',)", '["a"]', "a\x00b", ("a\x00b",)]
    for number, key in enumerate(keys):
        assert await storage.add(record(str(number), key)) is None
    for number, key in enumerate(keys):
        found = await storage.find("manager", key)
        assert found is not None
        assert (found.id, found.key) == (str(number), key)


async def test_a_key_has_one_live_record(storage: Storage) -> None:
    """The second is refused, and whose key it is comes back; anonymous ones are not bound."""
    first = record()
    assert await storage.add(first) is None
    assert await storage.add(record("two")) == first
    assert await storage.get("two") is None
    assert await storage.add(record("three", None)) is None
    assert await storage.add(record("four", None)) is None


@pytest.mark.parametrize("status", ["ended", "expired", "failed", "completed"])
async def test_a_key_is_free_when_its_session_is_over(storage: Storage, status: str) -> None:
    """A record that is no longer live is found by its id alone, and stays."""
    first = record(token_hash=b"hash")
    over = moved(first, status, 20)
    await storage.add(first)
    assert await storage.replace(over)
    assert await storage.find("manager", "key") is None
    assert await storage.find_token("manager", b"hash") is None
    assert await storage.add(record("two")) is None
    assert await storage.get("one") == over


async def test_a_paused_record_holds_its_key(storage: Storage) -> None:
    """Paused is live."""
    await storage.add(record())
    paused = moved(record(), "paused", 20)
    await storage.replace(paused)
    assert await storage.find("manager", "key") == paused
    assert await storage.add(record("two")) == paused


async def test_replacing_ends_the_old_one_in_the_same_step(storage: Storage) -> None:
    """The old record is ended as replaced, the new one has the key."""
    await storage.add(record())
    assert await storage.add(record("two", created_at=30.0), replacing="one") is None
    old = await storage.get("one")
    assert old is not None
    assert (old.status, old.reason, old.updated_at, old.version) == ("ended", "replaced", 30, 2)
    found = await storage.find("manager", "key")
    assert found is not None
    assert found.id == "two"


async def test_only_the_record_that_was_meant_is_replaced(storage: Storage) -> None:
    """Somebody else replaced it first: his stays, and comes back."""
    await storage.add(record())
    await storage.add(record("two"), replacing="one")
    assert await storage.add(record("three"), replacing="one") == record("two")
    assert await storage.get("three") is None


async def test_replacing_what_is_gone_only_adds(storage: Storage) -> None:
    """The old one ended by itself meanwhile, and keeps its own reason."""
    await storage.add(record())
    await storage.replace(moved(record(), "ended", 20, "by hand"))
    assert await storage.add(record("two"), replacing="one") is None
    old = await storage.get("one")
    assert old is not None
    assert old.reason == "by hand"


async def test_a_version_is_written_once(storage: Storage) -> None:
    """Of two writers of one version the second is told, and changes nothing."""
    await storage.add(record())
    mine = following(record(), b"mine")
    assert await storage.replace(mine)
    assert not await storage.replace(following(record(), b"theirs"))
    assert not await storage.replace(record(version=9))
    assert await storage.get("one") == mine


async def test_a_new_token_takes_the_place_of_the_old(storage: Storage) -> None:
    """The old one opens nothing from then on."""
    await storage.add(record(token_hash=b"old"))
    renewed = following(record(token_hash=b"old"), b"payload", (b"new", None))
    assert await storage.replace(renewed)
    assert await storage.find_token("manager", b"old") is None
    assert await storage.find_token("manager", b"new") == renewed


async def test_touching_is_no_new_version(storage: Storage) -> None:
    """A writer who read before the touch still writes the next version."""
    await storage.add(record())
    touched = await storage.touch("one", 20, 80)
    assert touched == record(last_seen_at=20.0, expires_at=80.0) == await storage.get("one")
    assert await storage.replace(following(record(), b"new"))


async def test_an_expired_record_stays_as_it_was_written(storage: Storage) -> None:
    """A storage has no clock: it finds and keeps what expired long ago."""
    old = record(expires_at=11.0)
    await storage.add(old)
    assert await storage.find("manager", "key") == old
    assert await storage.add(record("two")) == old


async def test_listing_is_newest_first_and_filtered(storage: Storage) -> None:
    """Filters on state and key, and a limit; what expired by now counts as expired."""
    await storage.add(record("1", "a"))
    await storage.add(record("2", "b", expires_at=50.0))
    await storage.add(record("3", "a", created_at=30.0), replacing="1")
    await storage.add(record("4", None, created_at=40.0))

    async def ids(**filters: Any) -> list[str]:
        return [found.id for found in await storage.list("manager", 60, **filters)]

    assert await ids() == ["4", "3", "2", "1"]
    assert await ids(limit=2) == ["4", "3"]
    assert await ids(limit=0) == []
    assert await ids(status="active") == ["4", "3"]
    assert await ids(status="expired") == ["2"]
    assert await ids(status="ended") == ["1"]
    assert await ids(key="a") == ["3", "1"]
    assert await ids(key="a", status="active") == ["3"]
    assert await ids(key="nobody") == []


async def test_live_records_are_counted_per_manager(storage: Storage) -> None:
    """What is over counts no more, what only expired does until that is noted."""
    assert await storage.count("manager") == 0
    await storage.add(record("1", "a"))
    await storage.add(record("2", "b", expires_at=11.0))
    await storage.add(record("3", "a"), replacing="1")
    await storage.add(record("4", manager="other"))
    assert await storage.count("manager") == 2
    assert await storage.count("other") == 1
    await storage.replace(moved(record("2", "b"), "expired", 20))
    assert await storage.count("manager") == 1


async def test_records_are_counted_by_state(storage: Storage) -> None:
    """Each state has its count, which follows a record through its life until it is removed."""
    await added(storage, record("1", "a"), record("2", "b"), record("3", "c"), record("4", manager="other"))
    await over(storage, record("1", "a"), "completed", 20)
    await storage.replace(moved(record("2", "b"), "paused", 20))
    await storage.add(record("5", "c"), replacing="3")
    counts = {status: await storage.count("manager", status) for status in ("active", "paused", "completed", "ended")}
    assert counts == {"active": 1, "paused": 1, "completed": 1, "ended": 1}
    assert await storage.count("manager", "failed") == 0
    await storage.remove("manager", 99, 10)
    assert await storage.count("manager", "completed") == 0


async def test_what_a_process_works_on_is_found(storage: Storage) -> None:
    """Live records with a worker, of this manager, until the work is over."""
    first, second = record("1", "a", worker="me"), record("2", "b", worker="me")
    await added(storage, first, second, record("3", "c"), record("4", manager="other", worker="me"))
    assert {found.id for found in await storage.running("manager")} == {"1", "2"}
    await over(storage, first, "completed", 20)
    assert await storage.replace(second._replace(version=2, worker=None))
    assert await storage.running("manager") == []


async def test_work_that_begins_later_is_found(storage: Storage) -> None:
    """A record gets its worker by a later write as well."""
    await added(storage, record())
    assert await storage.replace(record(version=2, worker="me"))
    assert [found.worker for found in await storage.running("manager")] == ["me"]


async def test_overdue_records_are_found_longest_overdue_first(storage: Storage) -> None:
    """Live ones whose time is over at that moment, at most so many; what was put off or noted is left out."""
    await added(
        storage,
        record("1", "a", expires_at=30.0),
        record("2", "b", expires_at=20.0),
        record("3", "c", expires_at=25.0),
        record("4", "d", expires_at=31.0),
        record("5", "e"),
        record("6", manager="other", expires_at=29.0),
    )

    async def ids(limit: int = 10) -> list[str]:
        return [found.id for found in await storage.expired("manager", 30, limit)]

    assert await ids() == ["2", "3", "1"]
    assert await ids(2) == ["2", "3"]
    assert await ids() == ["2", "3", "1"]  # asking changes nothing
    await storage.touch("2", 20, 80)
    await over(storage, record("3", "c", expires_at=25.0), "expired", 30)
    assert await ids() == ["1"]


@pytest.mark.parametrize("storage", OF_EACH_MANAGER, indirect=True)
async def test_what_is_overdue_elsewhere_takes_nobody_s_place(storage: Storage) -> None:
    """The limit counts records of this manager alone."""
    await added(storage, record("1", manager="other", expires_at=20.0), record("2", expires_at=25.0))
    assert [found.id for found in await storage.expired("manager", 30, 1)] == ["2"]


async def test_what_is_over_is_removed_after_a_while(storage: Storage) -> None:
    """Completed, failed, ended and expired ones, at most so many; live and interrupted ones stay."""
    records = {status: record(status, status) for status in ("completed", "failed", "ended", "expired", "interrupted")}
    await added(storage, *records.values(), record("live"))
    for status, before in records.items():
        await over(storage, before, status, 20)
    assert await storage.remove("manager", 20, 10) == 0
    assert await storage.remove("other", 21, 10) == 0
    assert await storage.remove("manager", 21, 3) == 3
    assert await storage.remove("manager", 21, 3) == 1
    assert {found.id for found in await storage.list("manager", 21)} == {"interrupted", "live"}
    assert await storage.get("completed") is None


@pytest.mark.parametrize("storage", NUMBERED, indirect=True)
async def test_changes_tell_what_was_written_since(storage: Storage) -> None:
    """Each changed record once, as it is now, in the order of last writes; no touches, nothing of other managers."""
    await added(storage, record("1", "a"))
    start = (await storage.changes("manager", None)).position
    assert await storage.changes("manager", start) == ([], start, True)
    await added(storage, record("2", "b"), record("3", "c"), record("4", manager="other"))
    written = following(record("2", "b"), b"new")
    await storage.replace(written)
    await storage.touch("1", 20, None)
    changes = await storage.changes("manager", start)
    assert [found for _, found in changes.records] == [record("3", "c"), written]
    assert changes.complete
    assert changes.records[-1][0] <= changes.position
    assert (await storage.changes("manager", changes.position)).records == []


@pytest.mark.parametrize("storage", NUMBERED, indirect=True)
async def test_changes_are_read_piece_by_piece(storage: Storage) -> None:
    """The position of one piece leads to the next, until nothing is left."""
    start = (await storage.changes("manager", None)).position
    await added(storage, *(record(str(number), str(number)) for number in range(5)))
    told: list[str] = []
    while (piece := await storage.changes("manager", start, 2)).records:
        assert len(piece.records) <= 2
        told += [found.id for _, found in piece.records]
        start = piece.position
    assert told == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("storage", NUMBERED, indirect=True)
async def test_a_replaced_record_is_a_change_too(storage: Storage) -> None:
    """Who follows the changes learns that the old one is ended before he learns of the new one."""
    await added(storage, record())
    start = (await storage.changes("manager", None)).position
    await storage.add(record("two"), replacing="one")
    changes = await storage.changes("manager", start)
    assert [(found.id, found.status) for _, found in changes.records] == [("one", "ended"), ("two", "active")]


@pytest.mark.parametrize("storage", NUMBERED, indirect=True)
async def test_changes_are_incomplete_after_a_removal(storage: Storage) -> None:
    """Who asks from before it, or with a position of another storage, has to ask for a list."""
    await added(storage, record())
    await over(storage, record(), "ended", 20)
    before = (await storage.changes("manager", None)).position
    assert (await storage.changes("manager", before)).complete
    await storage.remove("manager", 99, 10)
    after = await storage.changes("manager", before)
    assert not after.complete
    assert (await storage.changes("manager", after.position)).complete
    assert not (await storage.changes("manager", after.position + 10**9)).complete


async def test_one_owner_has_the_claim_until_its_time_is_over(storage: Storage) -> None:
    """He may take it again, others only when its time is over."""
    assert await storage.claim("manager", "key", "me", 10, 20)
    assert await storage.claim("manager", "key", "me", 15, 25)
    assert not await storage.claim("manager", "key", "you", 24, 34)
    assert await storage.claim("manager", "key", "you", 25, 35)
    assert not await storage.claim("manager", "key", "me", 26, 36)


async def test_claims_of_other_keys_and_managers_are_apart(storage: Storage) -> None:
    """One key may be claimed while another is, also in another manager."""
    assert await storage.claim("manager", "a", "me", 10, 20)
    assert await storage.claim("manager", ("a",), "you", 10, 20)
    assert await storage.claim("other", "a", "you", 10, 20)


async def test_a_claim_is_given_back_by_its_owner_alone(storage: Storage) -> None:
    """Somebody else's unclaiming changes nothing."""
    await storage.claim("manager", "key", "me", 10, 20)
    await storage.unclaim("manager", "key", "you")
    assert not await storage.claim("manager", "key", "you", 11, 21)
    await storage.unclaim("manager", "key", "me")
    assert await storage.claim("manager", "key", "you", 11, 21)


async def test_a_closed_storage_opens_again(storage: Storage) -> None:
    """Closing it loses nothing, closing it twice does no harm, and it may be used on."""
    await added(storage, record())
    await storage.aclose()
    await storage.aclose()
    assert await storage.get("one") == record()


def test_threads_that_claim_at_once_get_one_claim(storage: Storage) -> None:
    """Of eight threads with an event loop each, one gets it."""

    async def claim(owner: str) -> bool:
        return await storage.claim("manager", "key", owner, 10, 20)

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda number: anyio.run(claim, str(number)), range(40)))
    assert results.count(True) == 1


def test_threads_that_add_at_once_leave_one_live_record(storage: Storage) -> None:
    """Of eight threads with an event loop each, one gets the key and the others get his record."""

    async def add(id: str) -> Record | None:
        return await storage.add(record(id))

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda number: anyio.run(add, str(number)), range(40)))
    holders = {found.id for found in results if found is not None}
    assert results.count(None) == 1
    assert len(holders) == 1


def test_threads_that_write_at_once_lose_nothing(storage: Storage) -> None:
    """Each of many increments, read and written by version from four threads, is there in the end."""
    each = times(15, 50, 8)

    async def increment() -> None:
        for _ in range(each):
            while True:
                before = await storage.get("one")
                assert before is not None
                if await storage.replace(following(before, before.payload + b"x")):
                    break

    anyio.run(storage.add, record(payload=b""))
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(anyio.run, increment) for _ in range(4)]:
            done.result()
    found = anyio.run(storage.get, "one")
    assert found is not None
    assert found.payload == b"x" * 4 * each
    assert found.version == 4 * each + 1
