"""Several processes in one directory: one live session per key, no write lost, and each sees what the others did."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import anyio
import pytest

from hotsession.lifecycle.record import moved
from hotsession.storages.file import FileStorage
from tests.deadlines import DEADLINE
from tests.storages.filed import inside, start_python, state_of
from tests.storages.stored import record

pytestmark = pytest.mark.anyio

CLICKS = """
async def click(number):
    made = record(f"{os.getpid()}-{number}", f"key-{number % 5}", payload=b"{}")
    holder = await storage.add(made)
    print(made.id if holder is None else holder.id)

async def work():
    async with anyio.create_task_group() as tasks:
        for number in range(25):
            tasks.start_soon(click, number)

anyio.run(work)
"""
INCREMENTS = """
async def work():
    for _ in range(25):
        while True:
            before = await storage.get("one")
            if await storage.replace(before._replace(version=before.version + 1, payload=before.payload + b"x")):
                break

anyio.run(work)
"""
CLAIMS = """
async def work():
    for number in range(10):
        if await storage.claim("manager", f"key-{number}", str(os.getpid()), 0, 10):
            print(number)

anyio.run(work)
"""


def outputs(code: str, directory: Path, processes: int) -> list[list[str]]:
    """What each of some processes prints that run `code` at once."""
    started = [start_python(code, directory) for _ in range(processes)]
    return [lines(process) for process in started]


def lines(process: subprocess.Popen[str]) -> list[str]:
    """What a process printed that ended well."""
    printed, said = process.communicate(timeout=DEADLINE)
    assert (process.returncode, said) == (0, "")
    return printed.split()


@pytest.mark.e2e
async def test_processes_that_add_at_once_leave_one_live_session_for_each_key(tmp_path: Path) -> None:
    """Four with 25 concurrent clicks each, for five keys: all get the same five ids."""
    answers = outputs(CLICKS, tmp_path, 4)
    assert [len(each) for each in answers] == [25] * 4
    assert len({each for answer in answers for each in answer}) == 5
    assert len(inside(tmp_path, "*/session_state.json")) == 5


@pytest.mark.e2e
async def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each of 75 increments by version is there in the end."""
    storage = FileStorage(tmp_path)
    await storage.add(record(payload=b""))
    outputs(INCREMENTS, tmp_path, 3)
    found = await storage.get("one")
    assert found is not None
    assert (found.payload, found.version) == (b"x" * 75, 76)


@pytest.mark.e2e
async def test_a_claim_is_one_processs(tmp_path: Path) -> None:
    """Each of ten keys is claimed by one of three."""
    answers = outputs(CLAIMS, tmp_path, 3)
    assert sorted(int(each) for answer in answers for each in answer) == list(range(10))


async def test_others_see_what_one_did(tmp_path: Path) -> None:
    """By key, by token, in lists, figures and changes, whose numbers are the same to all."""
    one, other = FileStorage(tmp_path), FileStorage(tmp_path)
    start = (await other.changes("manager", None)).position
    assert await other.list("manager", 0) == []
    await one.add(record(token_hash=b"hash", worker="w"))
    made = record(token_hash=b"hash", worker="w")
    assert await other.find("manager", "key") == made == await other.find_token("manager", b"hash")
    assert await other.list("manager", 0) == [made] == await other.running("manager")
    assert await other.count("manager") == 1
    changes = await other.changes("manager", start)
    assert changes == await one.changes("manager", start)
    assert [each for _, each in changes.records] == [made]
    await one.replace(moved(made, "ended", 20))
    assert await other.find_token("manager", b"hash") is None
    assert await other.count("manager") == 0
    assert await one.remove("manager", 30, 10) == 1
    assert await other.get("one") is None
    assert await other.list("manager", 0) == []
    assert not (await other.changes("manager", changes.position)).complete


async def test_a_touch_reaches_others_without_being_a_change(tmp_path: Path) -> None:
    """It puts off the end of a session for all."""
    one, other = FileStorage(tmp_path), FileStorage(tmp_path)
    await one.add(record(expires_at=50.0))
    before = (await other.changes("manager", None)).position
    assert await other.expired("manager", 60, 5) != []
    await one.touch("one", 40, 90)
    assert await other.expired("manager", 60, 5) == []
    assert (await other.changes("manager", before)).records == []


@pytest.mark.e2e
async def test_a_forked_child_uses_the_storage_of_its_parent(tmp_path: Path) -> None:
    """Though another thread of the parent's has its lock at that moment."""
    storage = FileStorage(tmp_path)
    await storage.add(record())
    code = """
    async def first():
        await storage.count("manager")

    anyio.run(first)
    storage._sessions.index._guard.acquire()  # as another thread would have it
    child = os.fork()
    if child == 0:
        async def second():
            await storage.add(record("two", "two"))
            print(await storage.count("manager"), flush=True)
        anyio.run(second)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    """
    assert lines(start_python(code, tmp_path)) == ["2"]
    assert state_of(tmp_path, "two")["status"] == "active"


@pytest.mark.e2e
async def test_a_process_that_dies_with_the_lock_frees_it(tmp_path: Path) -> None:
    """The system sees to that."""
    code = """
    from hotsession.storages.directory_lock import DirectoryLock
    from pathlib import Path
    with DirectoryLock(Path(sys.argv[1]) / ".hotsession" / "lock").held():
        print("held", flush=True)
        time.sleep(600)
    """
    process = start_python(code, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    storage = FileStorage(tmp_path)
    added: list[object] = []

    async def add() -> None:
        added.append(await storage.add(record()))

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(add)
            await anyio.wait_all_tasks_blocked()
            assert added == []
            process.kill()
            process.communicate()
    assert added == [None]
    assert os.listdir(tmp_path / "one") == ["session_state.json"]  # noqa: PTH208


async def test_all_tell_the_same_position(tmp_path: Path) -> None:
    """Who resumes at another process, or after a restart, is told what he missed and nothing is said to be lost."""
    one, other = FileStorage(tmp_path), FileStorage(tmp_path)
    await other.count("manager")
    await one.add(record())
    await one.touch("one", 40, None)
    positions = [(await each.changes("manager", None)).position for each in (one, other, FileStorage(tmp_path))]
    assert len(set(positions)) == 1
    assert await FileStorage(tmp_path).changes("manager", positions[0]) == ([], positions[0], True)
