"""Copies whose session another process writes while its state is being changed: the newer data stays."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import Record
from hotsession.lifecycle.session import Session
from tests.deadlines import DEADLINE
from tests.lifecycle.byte_storage import ByteStorage

pytestmark = pytest.mark.anyio


class Racing(ByteStorage):
    """Lets somebody else act once, right before a record is replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def replace(self, record: Record) -> bool:
        before, self.before = self.before, None
        if before is not None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(before)
        return await super().replace(record)


@pytest.fixture
def storage() -> Racing:
    """A storage in which another process may act."""
    return Racing()


@pytest.fixture
def mine(storage: Racing) -> SessionManager:
    """The manager of one process."""
    return SessionManager("chats", storage=storage)


@pytest.fixture
def theirs(storage: Racing) -> SessionManager:
    """That of another."""
    return SessionManager("chats", storage=storage)


async def found(manager: SessionManager, status: str) -> Session:
    """The only session, as soon as it is in a state and tasks that ended have saved theirs."""
    with anyio.fail_after(DEADLINE):
        while (await manager.list())[0].status != status:  # noqa: ASYNC110 - a job comes to its end
            await anyio.sleep(0.001)
    await anyio.wait_all_tasks_blocked()
    return (await manager.list())[0]


@pytest.mark.parametrize("by_id", [False, True])
async def test_pausing_a_copy_puts_no_old_data_back(
    storage: Racing, mine: SessionManager, theirs: SessionManager, by_id: bool
) -> None:
    """What was counted meanwhile is in the copy, and stays counted when the task that has it ends."""

    async def count() -> None:
        await theirs.update((await theirs.list())[0].id, lambda data: data.update(count=data["count"] + 1))

    async def work() -> None:
        session = await mine.get_or_create("ada", data={"count": 0})
        storage.before = count
        paused = await mine.pause(session.id if by_id else session)
        assert (paused.status, paused.data, session.data) == ("paused", {"count": 1}, {"count": 1})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
    assert (await found(theirs, "paused")).data == {"count": 1}


async def test_a_job_begins_with_the_newest_data(storage: Racing, mine: SessionManager, theirs: SessionManager) -> None:
    """Also with what was written at the moment when it was noted that it begins."""

    async def count() -> None:
        await theirs.update((await theirs.list())[0].id, lambda data: data.update(count=data["count"] + 1))

    async def work(session: Session) -> int:
        session.data["done"] = True
        return int(session.data["count"])

    async def begin() -> None:
        session = await mine.get_or_create("ada", data={"count": 0})
        storage.before = count
        await (await mine.run(session, work))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(begin)
    done = await found(theirs, "completed")
    assert (done.result, done.data) == (1, {"count": 1, "done": True})


async def test_a_paused_session_that_is_ended_before_it_is_resumed_makes_room(
    storage: Racing, mine: SessionManager, theirs: SessionManager
) -> None:
    """Who asks for the session of a key gets a new one then, and no error."""
    old = await mine.get_or_create("ada")
    await mine.pause(old)

    async def end() -> None:
        await theirs.end(old.id)

    storage.before = end
    new = await mine.get_or_create("ada")
    assert (new.status, new.reused, new.id == old.id) == ("active", False, False)
