"""SQLite storage against memory: whatever is done to both, both say the same, and each key has one live session."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import anyio
from hypothesis import given
from hypothesis import strategies as st

from hotsession.lifecycle.record import NEXT, Record, moved
from hotsession.storages.base import Storage
from hotsession.storages.memory import MemoryStorage
from hotsession.storages.sqlite import SQLiteStorage
from tests.storages.stored import record

IDS = [str(number) for number in range(6)]
KEYS = [None, "a", ("a",), "b"]
STATES = sorted(NEXT)
times = st.integers(10, 40).map(float)

ids, keys = st.sampled_from(IDS), st.sampled_from(KEYS)
steps = st.one_of(
    st.tuples(st.just("add"), ids, keys, st.none() | times, st.none() | ids),
    st.tuples(st.just("move"), ids, st.sampled_from([state for state in STATES if state != "active"]), times),
    st.tuples(st.just("save"), ids, st.binary(max_size=3), st.integers(0, 2)),
    st.tuples(st.just("touch"), ids, times, st.none() | times),
    st.tuples(st.just("remove"), times, st.integers(0, 3)),
    st.tuples(st.just("claim"), keys.filter(bool), st.sampled_from(["me", "you"]), times),
    st.tuples(st.just("unclaim"), keys.filter(bool), st.sampled_from(["me", "you"])),
)


async def taken(storage: Storage, step: tuple[Any, ...]) -> object:
    """Take a step; what came of it."""
    match step:
        case "add", id, key, expires_at, replacing if await storage.get(id) is None:
            return await storage.add(record(id, key, expires_at=expires_at, worker=key and "me"), replacing=replacing)
        case "move", id, state, now if (before := await storage.get(id)) is not None and before.is_live:
            return await storage.replace(moved(before, state, now))
        case "save", id, payload, ahead if (before := await storage.get(id)) is not None:
            return await storage.replace(before._replace(version=before.version + ahead, payload=payload))
        case "touch", id, seen_at, expires_at:
            return await storage.touch(id, seen_at, expires_at)
        case "remove", before, 3:  # fewer leave it open which are removed
            return await storage.remove("manager", before, 100)
        case "claim", key, owner, until:
            return await storage.claim("manager", key, owner, 9, until)
        case "unclaim", key, owner:
            await storage.unclaim("manager", key, owner)
    return None


async def seen(storage: Storage, now: float) -> list[object]:
    """All that a storage tells."""
    told: list[object] = [await storage.get(name) for name in IDS]
    told += [await storage.find("manager", key) for key in KEYS if key]
    told += [await storage.count("manager", status) for status in (None, *STATES)]
    for status in (None, *STATES):
        told += [await storage.list("manager", now, status=status, key=key, limit=3) for key in KEYS]
    told.append({each.id for each in await storage.running("manager")})
    told.append(sorted((each.expires_at or 0, each.id) for each in await storage.expired("manager", now, 100)))
    changes = await storage.changes("manager", (await storage.changes("manager", None)).position)
    return [*told, changes.records, changes.complete]


async def compared(path: Path, taken_steps: list[tuple[Any, ...]], now: float) -> None:
    """Take all steps in both, and compare."""
    memory, lasting = MemoryStorage(), SQLiteStorage(path)
    both: tuple[Storage, Storage] = memory, lasting
    starts = [(await each.changes("manager", None)).position for each in both]
    for step in taken_steps:
        assert await taken(lasting, step) == await taken(memory, step), step
    assert await seen(lasting, now) == await seen(memory, now)
    told = [await each.changes("manager", start) for each, start in zip(both, starts, strict=True)]
    assert [told[0].complete, *records(told[0].records)] == [told[1].complete, *records(told[1].records)]
    await lasting.aclose()


def records(numbered: list[tuple[int, Record]]) -> list[Record]:
    """Without their numbers."""
    return [each for _, each in numbered]


@given(st.lists(steps, max_size=25), times)
def test_it_does_what_memory_does(taken_steps: list[tuple[Any, ...]], now: float) -> None:
    """Any sequence of steps comes to the same in both, and the database agrees with its own counts and rules."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "sessions.db")
        anyio.run(compared, path, taken_steps, now)
        database = sqlite3.connect(path)
        live = "FROM sessions WHERE status IN ('active', 'paused') AND key IS NOT NULL"
        assert database.execute(f"SELECT key {live} GROUP BY manager, key HAVING COUNT(*) > 1").fetchall() == []
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database.close()
