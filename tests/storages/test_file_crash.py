"""A crash between any two operations on files loses at most the write that had not returned yet."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from hotsession.lifecycle.record import Record, moved
from hotsession.storages.file import FileStorage
from hotsession.storages.recovery import Artefacts
from tests.effort import times
from tests.storages.filed import Stopped, Stopping, quiet, start_python
from tests.storages.stored import record, rest

pytestmark = pytest.mark.anyio

Write = Callable[[FileStorage], Awaitable[object]]
ARTEFACTS = Artefacts("final.png", "draft.png")
OLD = record("old", token_hash=b"old", payload=b'{"n":1}')
OVER = record("over", None, payload=b"{}", status="ended", completed_at=15.0)
NEW = record("new", token_hash=b"new", payload=b'{"n":2}', created_at=30.0)
NEXT = OLD._replace(version=2, payload=b'{"n":2}')

WRITES: dict[str, Write] = {
    "add": lambda storage: storage.add(NEW._replace(key="other")),
    "add in place of another": lambda storage: storage.add(NEW, replacing="old"),
    "add in place of one of another key": lambda storage: storage.add(NEW._replace(key=None), replacing="old"),
    "replace": lambda storage: storage.replace(NEXT),
    "end": lambda storage: storage.replace(moved(OLD, "ended", 40)),
    "touch": lambda storage: storage.touch("old", 50, 60),
    "remove": lambda storage: storage.remove("manager", 100, 10),
    "claim": lambda storage: storage.claim("manager", "key", "me", 0, 10),
    "unclaim": lambda storage: storage.unclaim("manager", "mine", "me"),
    "recover": lambda storage: storage.recover("manager", 100, quiet),
}


async def lay_out(root: Path) -> None:
    """A directory in use: a live session, one that is over, and one whose state can't be read."""
    storage = FileStorage(root)
    await storage.add(OLD)
    await storage.add(OVER._replace(status="active", completed_at=None))
    await storage.replace(OVER._replace(version=2))
    await storage.claim("manager", "mine", "me", 0, 10)
    (root / "torn").mkdir()
    (root / "torn" / "session_state.json").write_text("{torn")
    (root / "torn" / "draft.png").touch()
    os.utime(root / "torn" / "draft.png", (50, 50))


async def seen(root: Path) -> dict[str, Record]:
    """All sessions, as a process sees them that comes after."""
    storage = FileStorage(root, artefacts=ARTEFACTS)
    await storage.recover("manager", 100, quiet)
    found = await storage.list("manager", 0)
    for each in found:  # however it is asked for, it is the same
        assert await storage.get(each.id) == each
        if each.is_live and each.key is not None:
            assert await storage.find("manager", each.key) == each
        if each.is_live and each.token_hash is not None:
            assert await storage.find_token("manager", each.token_hash) == each
    live = [each.key for each in found if each.is_live and each.key is not None]
    assert len(live) == len(set(live))
    assert await storage.count("manager") == sum(each.is_live for each in found)
    found_by_number = await storage.changes("manager", 0, 10_000)
    assert sorted(each.id for _, each in found_by_number.records) == sorted(each.id for each in found)
    return {each.id: each for each in found}


@pytest.mark.parametrize("write", WRITES)
async def test_it_is_as_before_or_as_after(tmp_path: Path, write: str) -> None:
    """Stopped before each of its operations in turn; what was there before is whole, and can be written to."""
    await lay_out(tmp_path / "before")
    before = await seen(tmp_path / "before")
    await lay_out(tmp_path / "after")
    counting = Stopping()
    storage = FileStorage(tmp_path / "after", artefacts=ARTEFACTS, disk=counting.disk())
    await storage.count("manager")
    begun = counting.count
    await WRITES[write](storage)
    operations = counting.count - begun
    after = await seen(tmp_path / "after")
    assert operations >= 2
    for number in range(operations):
        root = tmp_path / str(number)
        await lay_out(root)
        storage = FileStorage(root, artefacts=ARTEFACTS, disk=Stopping(begun + number).disk())
        await storage.count("manager")
        witness = FileStorage(root)  # one that was there all the time
        await witness.count("manager")
        with pytest.raises(Stopped):
            await WRITES[write](storage)
        await witness.count("manager")
        found = await seen(root)
        assert found in (before, after), f"stopped before operation {number} of {operations}"
        assert await witness.list("manager", 0) == await FileStorage(root).list("manager", 0)
        live = next(each for each in found.values() if each.is_live)
        assert await witness.replace(live._replace(version=live.version + 1, payload=b'{"n":3}'))


WRITER = """
import itertools, random

async def work():
    for number in itertools.count():
        id = f"job-{os.getpid()}-{number}"
        holder = await storage.find("manager", f"key-{number % 3}")
        made = record(id, f"key-{number % 3}", payload=b'{"n":0}')
        assert await storage.add(made, replacing=holder and holder.id) is None
        print("added", id, flush=True)
        for n in range(1, random.Random(number).randrange(5)):
            made = record(id, f"key-{number % 3}", version=n + 1, payload=b'{"n":%d}' % n)
            if await storage.replace(made):
                print("wrote", id, n, flush=True)

anyio.run(work)
"""


@pytest.mark.e2e
async def test_kill_9_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Processes that write as fast as they can are killed at random; what was told of is there, or a later value."""
    chance = random.Random(4)
    told: dict[str, int] = {}
    for _ in range(times(3, 8)):
        process = start_python(WRITER, tmp_path)
        assert process.stdout is not None
        lines = [await anyio.to_thread.run_sync(process.stdout.readline) for _ in range(chance.randrange(1, 60))]
        process.send_signal(signal.SIGKILL)
        printed, said = rest(process)
        assert not said
        for line in [*lines, *printed.splitlines()]:
            _, session, *number = line.split()
            told[session] = int(number[0]) if number else 0
        found = await seen(tmp_path)
        for session, n in told.items():
            assert json.loads(found[session].payload)["n"] - n in (0, 1)
        assert sum(each.is_live for each in found.values()) <= 3
    assert len(told) > 10
