"""What memory storage does beyond the contract of all storages."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsession.lifecycle.limits import Limits
from hotsession.lifecycle.record import Record, moved, new_record, saved
from hotsession.storages.memory import MemoryStorage
from tests.storages.backed import backed, snapshot

pytestmark = pytest.mark.anyio


def record(id: str, manager: str = "manager", key: str | None = None) -> Record:
    """A record that is ready to be stored."""
    return new_record(id, manager, key, {}, 10, Limits())._replace(version=1, token_hash=id.encode())


async def test_data_is_the_live_object() -> None:
    """The object that went in comes out: no copy, no bytes."""
    storage, data = MemoryStorage(), {"socket": object()}
    await storage.add(record("one")._replace(payload=data))
    found = await storage.get("one")
    assert found is not None
    assert found.payload is data
    assert storage.wants_bytes is False


async def test_its_length_is_the_number_of_live_sessions() -> None:
    """Ended ones don't count; an empty storage is still true."""
    storage = MemoryStorage()
    assert bool(storage)
    await storage.add(record("one"))
    await storage.add(record("two", key="key"))
    assert len(storage) == 2
    await storage.replace(moved(record("one"), "ended", 20))
    await storage.add(record("three", key="key"), replacing="two")
    assert len(storage) == 1
    assert repr(storage) == "<MemoryStorage live=1 all=3>"


async def test_clearing_forgets_everything() -> None:
    """After it nothing is found, by whatever it was found before, and keys are free."""
    storage = MemoryStorage()
    await storage.add(record("one", key="key"))
    await storage.add(record("two", "other", "key"))
    await storage.replace(moved(record("one", key="key"), "ended", 20))
    assert storage.clear() == 1
    assert len(storage) == 0
    assert await storage.get("one") is None
    assert await storage.find_token("other", b"two") is None
    assert await storage.add(record("three", "other", "key")) is None


async def test_clearing_one_manager_leaves_the_others() -> None:
    """A reset of one name touches no other's sessions."""
    storage = MemoryStorage()
    await storage.add(record("one"))
    await storage.add(record("two", "other", "key"))
    assert storage.clear("other") == 1
    assert await storage.get("one") is not None
    assert await storage.find("other", "key") is None
    assert len(storage) == 1


async def test_after_a_restart_only_a_list_tells_what_was_written_before(tmp_path: Path) -> None:
    """The snapshot keeps no numbers. From then on each write is told once, and nothing that was merely read."""
    with snapshot(tmp_path / "snapshot") as store:
        storage, records = backed(store)
        await storage.add(record("one"))
        await storage.add(record("two"))
        before = (await storage.changes("manager", None)).position
        records.write_all()
        storage, _ = backed(store)
        read = await storage.get("one")
        position = (await storage.changes("manager", None)).position
        assert await storage.changes("manager", position) == ([], position, True)
        assert not (await storage.changes("manager", before)).complete
        assert read is not None
        await storage.replace(saved(read, {}, 20, Limits()) or read)
        changes = await storage.changes("manager", position)
        assert [found.id for _, found in changes.records] == ["one"]
        assert (await storage.changes("manager", changes.position)).records == []
