"""Creations across processes: under a claim that another takes over when the creator dies."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hotsession.lifecycle import leasing
from hotsession.lifecycle.manager import SessionManager
from tests.deadlines import DEADLINE
from tests.lifecycle.byte_storage import ByteStorage
from tests.lifecycle.clock import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def processes(clock: Clock) -> list[SessionManager]:
    """Managers of one name over one shared storage, as eight processes have them."""
    storage = ByteStorage()
    return [SessionManager("chats", storage=storage, clock=clock) for _ in range(8)]


async def test_a_creation_runs_once_across_processes(processes: list[SessionManager]) -> None:
    """All wait for it and get the session that it made."""
    calls: list[int] = []
    found: list[str] = []

    async def make() -> dict[str, Any]:
        calls.append(1)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        return {"made": len(calls)}

    async def ask(manager: SessionManager) -> None:
        found.append((await manager.get_or_create("ada", data=make)).id)

    async with anyio.create_task_group() as tasks:
        for manager in processes:
            for _ in range(5):
                tasks.start_soon(ask, manager)
    assert (len(calls), len(found), len(set(found))) == (1, 40, 1)


async def test_another_takes_over_when_the_creator_dies(processes: list[SessionManager], clock: Clock) -> None:
    """After the lease, which nobody renews any more; until then he waits."""
    storage = processes[0].storage
    assert await storage.claim("chats", "ada", "a process that was killed", clock(), clock() + leasing.SECONDS)
    found: list[Any] = []

    async def ask() -> None:
        found.append(await processes[1].get_or_create("ada", data=lambda: {"made": True}))

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            assert found == []
            clock.pass_by(leasing.SECONDS)
    assert found[0].data == {"made": True}


async def test_a_creation_that_fails_gives_the_right_back(processes: list[SessionManager]) -> None:
    """The next process need not wait for the lease; the error arrives as it was raised."""

    def fail() -> dict[str, Any]:
        raise ValueError("no seats")

    with pytest.raises(ValueError, match="no seats"):
        await processes[0].get_or_create("ada", data=fail)
    with anyio.fail_after(DEADLINE):
        assert (await processes[1].get_or_create("ada", data=lambda: {"a": 1})).data == {"a": 1}


async def test_a_claim_is_renewed_while_the_creation_lasts(
    processes: list[SessionManager], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes, nobody takes over from one who lives."""
    monkeypatch.setattr(leasing, "RENEW_EVERY", 0.001)
    storage = processes[0].storage

    async def make() -> dict[str, Any]:
        for _ in range(5):
            clock.pass_by(leasing.SECONDS - 1)
            owner = storage._tables.claims["chats", "ada"]  # type: ignore[attr-defined]
            with anyio.fail_after(DEADLINE):
                while storage._tables.claims["chats", "ada"] == owner:  # type: ignore[attr-defined] # noqa: ASYNC110
                    await anyio.sleep(0.001)
            assert not await storage.claim("chats", "ada", "another", clock(), clock() + 1)
        return {}

    await processes[0].get_or_create("ada", data=make)
    assert await storage.claim("chats", "ada", "another", clock(), clock() + 1)


@pytest.mark.e2e
async def test_who_starts_fresh_in_every_process_leaves_one(processes: list[SessionManager]) -> None:
    """Each gets one that was made for it or for one who asked at the same time; one is live."""
    made: list[str] = []

    async def ask(manager: SessionManager) -> None:
        made.append((await manager.get_or_create("ada", force_new=True, data=lambda: {"a": 1})).id)

    async with anyio.create_task_group() as tasks:
        for manager in processes:
            tasks.start_soon(ask, manager)
    [live] = await processes[0].list("active")
    assert live.id in made
    assert await processes[0].count() == 1
