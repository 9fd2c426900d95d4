"""What happens between two steps of a manager: others who share its storage act at the worst moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hotsession.errors import InvalidTransition
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import Key, Record
from hotsession.storages.memory import MemoryStorage
from tests.deadlines import DEADLINE
from tests.lifecycle.clock import Clock

pytestmark = pytest.mark.anyio

Step = Callable[[], Awaitable[Any]]


class Racing(MemoryStorage):
    """A memory storage that lets somebody else act once, right before the next call of a method."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, Step] = {}

    async def _let_others(self, method: str) -> None:
        step = self.before.pop(method, None)
        if step is not None:
            await step()

    async def find(self, manager: str, key: Key) -> Record | None:
        await self._let_others("find")
        return await super().find(manager, key)

    async def add(self, record: Record, *, replacing: str | None = None) -> Record | None:
        await self._let_others("add")
        return await super().add(record, replacing=replacing)

    async def replace(self, record: Record) -> bool:
        await self._let_others("replace")
        return await super().replace(record)

    async def touch(self, id: str, seen_at: float, expires_at: float | None) -> Record | None:
        await self._let_others("touch")
        return await super().touch(id, seen_at, expires_at)


@pytest.fixture
def storage() -> Racing:
    """A storage in which somebody else may act."""
    return Racing()


@pytest.fixture
def clock() -> Clock:
    """A clock that the test moves."""
    return Clock()


@pytest.fixture
def mine(storage: Racing, clock: Clock) -> SessionManager:
    """The manager that is looked at."""
    return SessionManager("chats", storage=storage, idle_timeout=60, clock=clock)


@pytest.fixture
def theirs(storage: Racing, clock: Clock) -> SessionManager:
    """One of the same name, as another process would have it."""
    return SessionManager("chats", storage=storage, idle_timeout=60, clock=clock)


async def test_who_comes_second_gets_the_session_of_the_first(
    storage: Racing, mine: SessionManager, theirs: SessionManager
) -> None:
    """Another process stores its session while ours is being made: ours is dropped."""
    storage.before["add"] = lambda: theirs.get_or_create("ada", data={"theirs": True})
    session = await mine.get_or_create("ada", data={"mine": True})
    assert (session.reused, session.data) == (True, {"theirs": True})
    assert len(storage) == 1


async def test_who_starts_fresh_replaces_also_what_just_came(
    storage: Racing, mine: SessionManager, theirs: SessionManager
) -> None:
    """Another process replaces the session first; ours then replaces that one."""
    await mine.get_or_create("ada")
    storage.before["add"] = lambda: theirs.get_or_create("ada", force_new=True, data={"theirs": True})
    session = await mine.get_or_create("ada", force_new=True, data={"mine": True})
    assert (session.reused, session.data) == (False, {"mine": True})
    states = [(other.status, other.reason) for other in await mine.list(key="ada")]
    assert sorted(states, key=str) == [("active", None), ("ended", "replaced"), ("ended", "replaced")]


async def test_a_session_that_expires_while_ours_is_made_gives_way(
    storage: Racing, mine: SessionManager, theirs: SessionManager, clock: Clock
) -> None:
    """Another process stored one whose time is over before ours is stored."""

    async def store_and_wait() -> None:
        await theirs.get_or_create("ada")
        clock.pass_by(61)

    async def make() -> dict[str, Any]:
        await store_and_wait()
        return {"mine": True}

    session = await mine.get_or_create("ada", data=make)
    assert (session.reused, session.data) == (False, {"mine": True})
    assert [other.status for other in await mine.list(key="ada")] == ["active", "expired"]


async def test_who_starts_fresh_is_not_given_what_others_found(
    storage: Racing, mine: SessionManager, theirs: SessionManager
) -> None:
    """A fresh start joins a creation that turns out to find a session: it makes its own all the same."""
    found: list[Any] = []

    async def store_when_two_wait() -> None:
        with anyio.fail_after(DEADLINE):
            while mine.waiting("ada") < 2:
                await anyio.lowlevel.checkpoint()
        await theirs.get_or_create("ada", data={"theirs": True})

    async def next_time() -> None:
        storage.before["find"] = store_when_two_wait

    async def ask(fresh: bool) -> None:
        found.append((fresh, (await mine.get_or_create("ada", force_new=fresh, data={"mine": fresh})).data))

    storage.before["find"] = next_time
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, False)
        with anyio.fail_after(DEADLINE):
            while mine.waiting("ada") < 1:
                await anyio.lowlevel.checkpoint()
        tasks.start_soon(ask, True)
    assert sorted(found, key=str) == [(False, {"theirs": True}), (True, {"mine": True})]
    assert len(storage) == 1


async def test_ending_goes_on_when_somebody_just_wrote(
    storage: Racing, mine: SessionManager, theirs: SessionManager
) -> None:
    """The write of another process is there, and the session is ended."""
    session = await mine.get_or_create("ada")
    other = await theirs.get(session.id)
    storage.before["replace"] = lambda: theirs.save(other)
    ended = await mine.end(session)
    assert (ended.status, ended.version) == ("ended", 3)


async def test_a_session_ended_between_finding_and_reusing_is_not_reused(
    storage: Racing, mine: SessionManager, theirs: SessionManager, clock: Clock
) -> None:
    """The key gets a new one."""
    session = await mine.get_or_create("ada")
    clock.pass_by(10)
    storage.before["touch"] = lambda: theirs.end(session.id)
    again = await mine.get_or_create("ada")
    assert (again.reused, again.id != session.id) == (False, True)


async def test_a_session_ended_while_it_is_saved_stays_ended(
    storage: Racing, mine: SessionManager, theirs: SessionManager
) -> None:
    """The save is refused and says so."""
    session = await mine.get_or_create("ada")
    storage.before["replace"] = lambda: theirs.end(session.id)
    with pytest.raises(InvalidTransition, match="is ended and can't be saved"):
        await mine.save(session)


async def test_who_reuses_first_keeps_a_session_from_expiring(
    storage: Racing, mine: SessionManager, theirs: SessionManager, clock: Clock
) -> None:
    """Another process wrote it between our look at the clock and our note that it is over: his word counts."""
    session = await mine.get_or_create("ada")
    other = await theirs.get(session.id)
    clock.pass_by(61)

    async def save_in_time() -> None:
        clock.pass_by(-2)
        await theirs.save(other)

    storage.before["replace"] = save_in_time
    assert (await mine.get_or_create("ada")).id == session.id


async def test_a_paused_session_that_is_replaced_before_it_is_resumed_gives_way(
    storage: Racing, mine: SessionManager, theirs: SessionManager
) -> None:
    """Who asked for the key gets the session that it has now."""
    await mine.pause(await mine.get_or_create("ada"))
    storage.before["replace"] = lambda: theirs.get_or_create("ada", force_new=True, data={"theirs": True})
    assert (await mine.get_or_create("ada")).data == {"theirs": True}
    assert len(storage) == 1
