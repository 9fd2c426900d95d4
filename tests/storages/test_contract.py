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
from hotsession.storages.memory import MemoryStorage
from tests.storages.backed import Restarted, backed, snapshot

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


STORAGES: list[Callable[[Path], Iterator[Storage]]] = [memory, carried, restarted]


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


async def test_a_record_is_found_by_id_key_and_token(storage: Storage) -> None:
    """What was added comes back field for field, also under a key of several parts."""
    added = record(key=("user", "7"), token_hash=b"hash", expires_at=99.5, reason="why")
    assert await storage.add(added) is None
    assert await storage.get("one") == added
    assert await storage.find("manager", ("user", "7")) == added
    assert await storage.find_token("manager", b"hash") == added


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
    """Each of 200 increments, read and written by version from four threads, is there in the end."""

    async def increment() -> None:
        for _ in range(50):
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
    assert found.payload == b"x" * 200
    assert found.version == 201
