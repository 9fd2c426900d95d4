"""SQLite storage in several processes: at once, after a fork, at their end, and killed at any moment."""

from __future__ import annotations

import random
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from hotsession.storages.sqlite import SQLiteStorage
from tests.deadlines import STOP_DEADLINE
from tests.storages.stored import all_outputs, record, rest, run_python, start_python

PROCESSES = 8
CLICKS = 50

DUPLICATES = """SELECT manager, key, COUNT(*) FROM sessions
    WHERE status IN ('active', 'paused') GROUP BY manager, key HAVING COUNT(*) > 1"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "sessions.db"


@pytest.fixture
def storage(path: Path) -> Iterator[SQLiteStorage]:
    """A storage over a new database."""
    made = SQLiteStorage(path)
    yield made
    anyio.run(made.aclose)


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """What a query gives."""
    database = sqlite3.connect(path)
    found = database.execute(statement).fetchall()
    database.close()
    return found


@pytest.mark.e2e
def test_processes_that_add_at_once_leave_one_live_session(path: Path) -> None:
    """Eight processes make the database and click fifty times each: one gets the key, all others get his session."""
    clicks = """
async def click(number, made):
    holder = await storage.add(record(f"{os.getpid()}-{number}", "user"))
    if holder is None:
        made.append(number)
async def main():
    made = []
    async with anyio.create_task_group() as tasks:
        for number in range(int(sys.argv[2])):
            tasks.start_soon(click, number, made)
    print(len(made), (await storage.find("manager", "user")).id)
anyio.run(main)
"""
    printed = all_outputs([start_python(clicks, path, CLICKS) for _ in range(PROCESSES)])
    assert sum(int(each.split()[0]) for each in printed) == 1
    assert len({each.split()[1] for each in printed}) == 1
    assert rows(path, DUPLICATES) == []


@pytest.mark.e2e
def test_processes_that_write_at_once_lose_nothing(path: Path, storage: SQLiteStorage) -> None:
    """Each of 200 increments by version, from four processes, is there in the end."""
    anyio.run(storage.add, record(payload=b"0"))
    increments = """
async def main():
    for _ in range(50):
        while True:
            before = await storage.get("one")
            after = before._replace(version=before.version + 1, payload=b"%d" % (int(before.payload) + 1))
            if await storage.replace(after):
                break
anyio.run(main)
"""
    all_outputs([start_python(increments, path) for _ in range(4)])
    found = anyio.run(storage.get, "one")
    assert found is not None
    assert found.payload == b"200"


@pytest.mark.e2e
def test_a_claim_of_one_process_holds_in_another(path: Path, storage: SQLiteStorage) -> None:
    """Until its time is over, also when the process that has it is dead."""
    run_python('print(anyio.run(storage.claim, "manager", "key", "child", 10, 20))', path)

    async def claim(now: float) -> bool:
        return await storage.claim("manager", "key", "parent", now, now + 10)

    assert not anyio.run(claim, 19)
    assert anyio.run(claim, 20)


FORK = """
anyio.run(storage.add, record("before", "before"))
child = os.fork()
if not child:
    anyio.run(storage.add, record("child", "child"))
    anyio.run(storage.aclose)
    os._exit(0)
for number in range(50):
    anyio.run(storage.add, record(f"parent {number}", f"parent {number}"))
assert os.waitpid(child, 0)[1] == 0
print(sorted(each.id for each in anyio.run(storage.list, "manager", 0))[:2])
child = os.fork()
if not child:
    os._exit(anyio.run(storage.count, "manager"))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), anyio.run(storage.count, "manager"))
"""


@pytest.mark.e2e
@pytest.mark.skipif(not hasattr(sys.modules["os"], "fork"), reason="the system has no fork")
def test_a_fork_takes_no_connection_along(path: Path) -> None:
    """Parent and child open the database anew: both write, and neither waits for a lock that nobody has."""
    assert run_python(FORK, path).splitlines() == ["['before', 'child']", "52 52"]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


BUSY_FORK = """
import threading
anyio.run(storage.get, "one")  # imports all that is needed: no child can import what a thread was just importing
def write(name):
    async def main():
        for number in range(100):
            await storage.add(record(f"{name} {number}", f"{name} {number}"))
    anyio.run(main)
writers = [threading.Thread(target=write, args=(f"thread {number}",)) for number in range(3)]
for each in writers:
    each.start()
children = []
for _ in range(10):
    child = os.fork()
    if not child:
        write(f"child {os.getpid()}")
        os._exit(0)
    children.append(child)
for each in writers:
    each.join()
print({os.waitpid(child, 0)[1] for child in children}, anyio.run(storage.count, "manager"))
"""


@pytest.mark.e2e
@pytest.mark.skipif(not hasattr(sys.modules["os"], "fork"), reason="the system has no fork")
def test_forks_amid_writing_lose_nothing(path: Path) -> None:
    """Whatever the threads were doing: what is under way is finished first, and goes on afterwards."""
    code = (
        "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n" + BUSY_FORK
    )  # of a fork with threads
    assert run_python(code, path).strip() == "{0} 1300"
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.e2e
def test_the_end_of_the_interpreter_is_not_held_up(path: Path) -> None:
    """A storage that nobody closed is closed, and the log is in the database."""
    started = time.monotonic()
    run_python("anyio.run(storage.add, record())", path)
    assert time.monotonic() - started < STOP_DEADLINE
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert rows(path, "SELECT id FROM sessions") == [("one",)]


@pytest.mark.e2e
def test_a_database_that_stays_locked_does_not_keep_the_interpreter(path: Path, storage: SQLiteStorage) -> None:
    """A write that waits for somebody else's lock is given up at the end, and nothing of it is written."""
    code = """
storage = SQLiteStorage(sys.argv[1], timeout=60)
async def main():
    with anyio.move_on_after(0.05):
        await storage.add(record())
anyio.run(main)
"""
    anyio.run(storage.count, "manager")
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    run_python(code, path)
    assert time.monotonic() - started < STOP_DEADLINE
    blocker.close()
    assert rows(path, "SELECT id FROM sessions") == []


WRITING = """
async def work(task):
    number = 0
    while True:
        name = f"{task}-{number}"
        await storage.add(record(name, f"key {task}"), replacing=f"{task}-{number - 1}")
        print("added", name, flush=True)
        for version in range(2, 5):
            await storage.replace(record(name, f"key {task}", version=version, payload=b"x" * 1000))
            print("wrote", name, version, flush=True)
        number += 1
async def main():
    async with anyio.create_task_group() as tasks:
        for task in range(5):
            tasks.start_soon(work, task)
anyio.run(main)
"""


@pytest.mark.e2e
@pytest.mark.parametrize("seed", range(6))
def test_a_kill_loses_nothing_that_was_acknowledged(path: Path, seed: int) -> None:
    """Killed between any two writes, three times over: all that was said to be written is there, and whole."""
    moments = random.Random(seed)
    versions: dict[str, int] = {}
    for life in range(3):
        code = WRITING.replace('f"{task}-{number', f'f"{life}.{{task}}-{{number')
        process = start_python(code.replace('"key {task}"', f'"key {life} {{task}}"'), path)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        deadline = time.monotonic() + moments.uniform(0, 0.1)
        while time.monotonic() < deadline:
            lines.append(process.stdout.readline())
        process.kill()
        lines += rest(process)[0].splitlines(keepends=True)
        for what, name, *version in (line.split() for line in lines if line.endswith("\n")):
            versions[name] = int(version[0]) if what == "wrote" else 1
    found = dict(rows(path, "SELECT id, version FROM sessions"))
    assert len(versions) > 10
    assert not {name: version for name, version in versions.items() if found.get(name, 0) < version}
    assert rows(path, DUPLICATES) == []
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    counted = rows(path, "SELECT status, count FROM counts WHERE count ORDER BY status")
    assert counted == rows(path, "SELECT status, COUNT(*) FROM sessions GROUP BY status ORDER BY status")
