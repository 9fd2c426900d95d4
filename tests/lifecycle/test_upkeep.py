"""What is done in the background: begun at first use, in whatever event loop, and ended with it."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable

import anyio
import pytest

from hotsession.errors import StorageError, StorageUnavailable
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import Record
from hotsession.storages.memory import MemoryStorage
from tests.deadlines import DEADLINE
from tests.lifecycle.clock import Clock


@pytest.mark.e2e
@pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("trio", "asyncio"), ("asyncio", "trio")])
def test_it_begins_with_the_first_use_in_each_event_loop(backends: tuple[str, str], clock: Clock) -> None:
    """And notes what expired without anybody asking."""
    manager = SessionManager("chats", storage=MemoryStorage(), idle_timeout=1, grace=1e9, clock=clock)

    async def use() -> None:
        session = await manager.get_or_create("ada")
        clock.pass_by(2)
        with anyio.fail_after(DEADLINE):
            while (await manager.storage.get(session.id)).status != "expired":  # type: ignore[union-attr] # noqa: ASYNC110
                await anyio.sleep(0.01)

    for backend in backends:
        assert manager._upkeep.begun is None
        anyio.run(use, backend=backend)
    assert manager._upkeep.begun is None


def test_how_often_it_looks() -> None:
    """Often enough for the shortest life, and never all the time."""
    manager = SessionManager("chats", storage=MemoryStorage())
    assert manager._upkeep.interval == 30
    manager.configure(idle_timeout=20, max_age=1000)
    assert manager._upkeep.interval == 5
    manager.configure(idle_timeout=0.001)
    assert manager._upkeep.interval == 0.05


@pytest.mark.anyio
async def test_what_is_over_is_deleted_after_its_grace(clock: Clock) -> None:
    """Until then it is told from what never was."""
    manager = SessionManager("chats", storage=MemoryStorage(), grace=100, clock=clock)
    session = await manager.end(await manager.get_or_create("ada"))
    clock.pass_by(99)
    await manager._upkeep.once()
    assert (await manager.get(session.id)).status == "ended"
    clock.pass_by(2)
    await manager._upkeep.once()
    assert await manager.list() == []


@pytest.mark.anyio
async def test_a_storage_that_fails_does_not_end_it(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The failure is logged, the other steps are done."""

    class Failing(MemoryStorage):
        async def running(self, manager: str) -> list[Record]:
            raise StorageUnavailable("the disk is gone")

    manager = SessionManager("chats", storage=Failing(), idle_timeout=60, clock=clock)
    await manager.get_or_create("ada")
    clock.pass_by(61)
    await manager._upkeep.once()
    assert await manager.count("expired") == 1
    assert "the disk is gone" in caplog.text


class Recovering(MemoryStorage):
    """Has something to rebuild."""

    def __init__(self, *outcomes: int | StorageError) -> None:
        super().__init__()
        self.outcomes = list(outcomes)

    async def recover(self, manager: str, now: float, progress: Callable[[int, int], None]) -> int:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, StorageError):
            raise outcome
        progress(1000, 2000)
        progress(2000, 2000)
        return outcome


@pytest.mark.anyio
async def test_recovery_runs_once_and_says_how_far_it_is(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """One that failed is tried again in the next round."""
    manager = SessionManager("jobs", storage=Recovering(StorageError("no rights"), 3), clock=clock)
    with caplog.at_level(logging.INFO, logger="hotsession"):
        for _ in range(3):
            await manager._upkeep.once()
    assert "looked at 1000 of 2000 sessions of 'jobs' on disk" in caplog.text
    assert "recovered 3 sessions of 'jobs' from what lies on disk" in caplog.text
    metrics = await manager.metrics()
    assert (metrics.rebuilt, metrics.unrecovered, metrics.recovery_rate) == (3, 1, 0.75)


@pytest.mark.anyio
async def test_it_holds_no_manager_that_nobody_has(anyio_backend: str) -> None:
    """After a reset the old manager goes."""
    manager = SessionManager("chats", storage=MemoryStorage())
    await manager.get_or_create("ada")
    await anyio.wait_all_tasks_blocked()
    gone = weakref.ref(manager)
    del manager
    gc.collect()
    assert gone() is None
