"""Sessions by key: found, made once, reused, expired, ended."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hotsession.errors import (
    ConfigurationError,
    InvalidTransition,
    SessionConflict,
    SessionExpired,
    SessionMismatch,
    SessionNotFound,
)
from hotsession.lifecycle.manager import SessionManager
from hotsession.storages.memory import MemoryStorage
from tests.deadlines import DEADLINE
from tests.lifecycle.clock import Clock

pytestmark = pytest.mark.anyio

Data = dict[str, Any]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both of anyio's backends."""
    return str(request.param)


@pytest.fixture
def clock() -> Clock:
    """A clock that the test moves."""
    return Clock()


@pytest.fixture
def manager(clock: Clock) -> SessionManager:
    """A manager over memory whose sessions live 60 seconds idle and 600 in all."""
    return SessionManager("chats", storage=MemoryStorage(), idle_timeout=60, max_age=600, clock=clock)


def making(manager: SessionManager, waiters: int, calls: list[str]) -> Callable[[], Awaitable[Data]]:
    """A data function that notes its call and lasts until so many wait for it."""

    async def make() -> Data:
        calls.append("call")
        with anyio.fail_after(DEADLINE):
            while manager.waiting("ada") < waiters:
                await anyio.lowlevel.checkpoint()
        return {"call": len(calls)}

    return make


# finding and making


async def test_a_key_gets_a_session_once(manager: SessionManager, clock: Clock) -> None:
    """The first call makes it, the second gets the same with the same live data."""
    made = await manager.get_or_create("ada", data={"messages": []})
    made.data["messages"].append("hello")
    clock.pass_by(5)
    found = await manager.get_or_create("ada", data={"messages": ["never used"]})
    assert (made.reused, found.reused) == (False, True)
    assert found.id == made.id
    assert found.data is made.data
    assert found.data == {"messages": ["hello"]}
    assert (found.key, found.status, found.version, found.created_at) == ("ada", "active", 1, clock.now - 5)


async def test_keys_and_managers_are_apart(manager: SessionManager) -> None:
    """Another key, and the same key of another manager on the same storage, are other sessions."""
    other = SessionManager("jobs", storage=manager.storage)
    ids = {
        (await manager.get_or_create("ada")).id,
        (await manager.get_or_create(("ada",))).id,
        (await manager.get_or_create("bob")).id,
        (await other.get_or_create("ada")).id,
    }
    assert len(ids) == 4


async def test_a_hundred_tasks_make_one_session(manager: SessionManager) -> None:
    """All get the same id from one creation, and one of them is told that it made it."""
    calls: list[str] = []
    found: list[tuple[str, bool]] = []

    async def ask() -> None:
        session = await manager.get_or_create("ada", data=making(manager, 100, calls))
        found.append((session.id, session.reused))

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(ask)
    assert calls == ["call"]
    assert len({found_id for found_id, _ in found}) == 1
    assert [reused for _, reused in found].count(False) == 1
    assert len(manager.storage) == 1  # type: ignore[arg-type]


async def test_who_says_nothing_of_data_waits_for_who_does(manager: SessionManager) -> None:
    """A plain call made during a creation gets that session, not an empty one of its own."""
    calls: list[str] = []
    found: list[Data] = []

    async def ask(data: Callable[[], Awaitable[Data]] | None) -> None:
        found.append((await manager.get_or_create("ada", data=data)).data)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, making(manager, 2, calls))
        with anyio.fail_after(DEADLINE):
            while not calls:
                await anyio.lowlevel.checkpoint()
        tasks.start_soon(ask, None)
    assert found == [{"call": 1}, {"call": 1}]


@pytest.mark.parametrize(("one", "other"), list(product(["asyncio", "trio"], repeat=2)))
def test_event_loops_in_threads_get_one_session(one: str, other: str) -> None:
    """Two threads with an event loop each, of either kind, get the same session and the same live data."""
    manager = SessionManager("chats", storage=MemoryStorage())
    calls: list[str] = []

    def ask(backend: str) -> Any:
        async def get() -> Any:
            return await manager.get_or_create("ada", data=making(manager, 2, calls))

        return anyio.run(get, backend=backend)

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(ask, (one, other))
    assert calls == ["call"]
    assert first.id == second.id
    assert first.data is second.data


def test_one_loop_after_the_other_gets_the_same_session() -> None:
    """A manager is bound to no event loop."""
    manager = SessionManager("chats", storage=MemoryStorage())
    ids = {anyio.run(manager.get_or_create, "ada", backend=backend).id for backend in ("asyncio", "trio", "asyncio")}
    assert len(ids) == 1


async def test_a_creation_that_fails_fails_for_all_and_is_tried_again(manager: SessionManager) -> None:
    """Everybody who waits gets the error, nothing is stored, and the next call makes the session."""
    errors: list[str] = []

    async def fail() -> Data:
        await making(manager, 5, [])()
        raise ValueError("no seats left")

    async def ask() -> None:
        with pytest.raises(ValueError, match="no seats left") as caught:
            await manager.get_or_create("ada", data=fail)
        errors.append(str(caught.value))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    assert len(errors) == 5
    assert await manager.list() == []
    assert (await manager.get_or_create("ada", data=lambda: {"seat": 1})).data == {"seat": 1}


async def test_a_cancelled_first_caller_cancels_nobody(manager: SessionManager) -> None:
    """The one whose call began the creation goes away; the others get the session, made once."""
    calls: list[str] = []
    found: list[str] = []
    first = anyio.CancelScope()

    async def make() -> Data:
        calls.append("call")
        with anyio.fail_after(DEADLINE):
            while manager.waiting("ada") < 3:
                await anyio.lowlevel.checkpoint()
            first.cancel()
            while manager.waiting("ada") > 2:
                await anyio.lowlevel.checkpoint()
        return {}

    async def ask(scope: anyio.CancelScope) -> None:
        with scope:
            found.append((await manager.get_or_create("ada", data=make)).id)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, first)
        with anyio.fail_after(DEADLINE):
            while not calls:
                await anyio.lowlevel.checkpoint()
        tasks.start_soon(ask, anyio.CancelScope())
        tasks.start_soon(ask, anyio.CancelScope())
    assert len(found) == 2
    assert len(set(found)) == 1
    assert calls == ["call"]


async def test_a_creation_that_asks_for_its_own_session_is_an_error(manager: SessionManager) -> None:
    """It would wait for itself."""

    async def make() -> Data:
        return dict((await manager.get_or_create("ada")).data)

    with pytest.raises(RuntimeError, match="asks for 'ada' itself"):
        await manager.get_or_create("ada", data=make)


async def test_force_new_ends_the_old_one(manager: SessionManager) -> None:
    """The old session is ended as replaced, the new one starts fresh, and one is live."""
    old = await manager.get_or_create("ada", data={"count": 2})
    new = await manager.get_or_create("ada", force_new=True, data={"count": 0})
    assert (new.reused, new.data) == (False, {"count": 0})
    replaced = await manager.get(old.id)
    assert (replaced.status, replaced.reason, replaced.data) == ("ended", "replaced", {"count": 2})
    assert [session.id for session in await manager.list("active")] == [new.id]


async def test_many_who_force_leave_one_live_session(manager: SessionManager) -> None:
    """However many start fresh at once, one session of the key is live and each got one that was made for it."""
    old = await manager.get_or_create("ada")
    found: list[str] = []

    async def ask() -> None:
        found.append((await manager.get_or_create("ada", force_new=True)).id)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ask)
    live = await manager.list("active", key="ada")
    assert len(live) == 1
    assert live[0].id in found
    assert old.id not in found


async def test_reuse_can_be_off_or_depend_on_the_key(manager: SessionManager) -> None:
    """Always fresh for some keys, reused for the others."""
    manager.configure(reuse=lambda key: key != "guest")
    assert not (await manager.get_or_create("guest")).reused
    assert not (await manager.get_or_create("guest")).reused
    assert not (await manager.get_or_create("ada")).reused
    assert (await manager.get_or_create("ada")).reused
    manager.configure(reuse=False)
    assert not (await manager.get_or_create("ada")).reused


async def test_without_a_key_outside_a_request_each_is_new(manager: SessionManager) -> None:
    """Anonymous sessions are stored and have no key."""
    one, two = await manager.get_or_create(data={"a": 1}), await manager.get_or_create()
    assert one.id != two.id
    assert (one.key, one.version, one.data) == (None, 1, {"a": 1})
    assert len(await manager.list()) == 2


@pytest.mark.parametrize("key", ["", 7, ("a", 1), ()])
async def test_a_wrong_key_is_refused(manager: SessionManager, key: Any) -> None:
    """Before anything is stored."""
    with pytest.raises(TypeError, match="a session's key is"):
        await manager.get_or_create(key)


# by id


async def test_an_id_finds_its_session(manager: SessionManager) -> None:
    """With and without the key that it belongs to."""
    made = await manager.get_or_create("ada")
    assert (await manager.get_or_create(session_id=made.id)).id == made.id
    assert (await manager.get_or_create("ada", session_id=made.id)).reused


async def test_an_unknown_id_is_never_made(manager: SessionManager) -> None:
    """The error says which live session the key has; another manager's id is unknown too."""
    made = await manager.get_or_create("ada")
    other = SessionManager("jobs", storage=manager.storage)
    with pytest.raises(SessionNotFound, match="no session nonsense in") as caught:
        await manager.get_or_create("ada", session_id="nonsense")
    assert caught.value.alternatives == (made.id,)
    assert caught.value.id == "nonsense"
    with pytest.raises(SessionNotFound, match=r"no session .* in 'jobs'"):
        await other.get_or_create(session_id=made.id)
    assert len(await manager.list()) == 1


async def test_an_id_of_another_key_is_an_error_that_names_both(manager: SessionManager) -> None:
    """Nobody gets somebody else's session by asking with its id."""
    of_ada, of_bob = await manager.get_or_create("ada"), await manager.get_or_create("bob")
    with pytest.raises(SessionMismatch, match="belongs to 'ada', not to 'bob'") as caught:
        await manager.get_or_create("bob", session_id=of_ada.id)
    assert caught.value.key == "ada"
    assert caught.value.alternatives == (of_bob.id,)


async def test_an_ended_id_is_an_error_with_the_way_on(manager: SessionManager) -> None:
    """It names state and reason, and what is live in its place."""
    old = await manager.get_or_create("ada")
    new = await manager.get_or_create("ada", force_new=True)
    with pytest.raises(InvalidTransition, match=r"is ended \(replaced\) and can't be reused: .* nowhere") as caught:
        await manager.get_or_create(session_id=old.id)
    assert (caught.value.status, caught.value.alternatives) == ("ended", (new.id,))


async def test_an_id_and_force_new_contradict_each_other(manager: SessionManager) -> None:
    """One asks for what is there, the other for what is not."""
    with pytest.raises(ConfigurationError, match=r"session_id= .* force_new="):
        await manager.get_or_create("ada", session_id="x", force_new=True)


async def test_get_finds_ended_ones_and_counts_as_no_reuse(manager: SessionManager, clock: Clock) -> None:
    """Looking at a session leaves its expiry; an unknown id is an error."""
    made = await manager.get_or_create("ada")
    clock.pass_by(50)
    assert (await manager.get(made.id)).expires_at == made.expires_at
    await manager.end(made)
    assert (await manager.get(made.id)).status == "ended"
    with pytest.raises(SessionNotFound, match="no session nonsense in 'chats'"):
        await manager.get("nonsense")


# expiry


async def test_reuse_extends_the_idle_timeout(manager: SessionManager, clock: Clock) -> None:
    """Each reuse gives it its idle timeout again, up to its whole age."""
    made = await manager.get_or_create("ada")
    assert made.expires_at == clock.now + 60
    for _ in range(11):
        clock.pass_by(50)
        found = await manager.get_or_create("ada")
        assert found.id == made.id
    assert found.last_seen_at == clock.now
    assert found.expires_at == made.created_at + 600
    clock.pass_by(50)
    assert (await manager.get_or_create("ada")).id != made.id


async def test_an_expired_session_makes_room_and_is_told_from_a_missing_one(
    manager: SessionManager, clock: Clock
) -> None:
    """The key gets a new one; the old id says when it expired and what is live now."""
    old = await manager.get_or_create("ada")
    clock.pass_by(61)
    new = await manager.get_or_create("ada")
    assert (new.reused, new.id != old.id) == (False, True)
    for ask in (manager.get(old.id), manager.get_or_create(session_id=old.id), manager.end(old), manager.save(old)):
        with pytest.raises(SessionExpired, match=r"expired 1 s ago, at an age of 60 s; the live session of 'ada'"):
            await ask
    with pytest.raises(SessionExpired) as caught:
        await manager.get(old.id)
    assert (caught.value.id, caught.value.key, caught.value.age) == (old.id, "ada", 61)
    assert caught.value.alternatives == (new.id,)
    assert [session.id for session in await manager.list("expired")] == [old.id]


async def test_an_expired_session_that_nobody_asked_for_is_listed_as_expired(
    manager: SessionManager, clock: Clock
) -> None:
    """Listing needs no reaper to be right."""
    made = await manager.get_or_create("ada")
    clock.pass_by(61)
    assert await manager.list("active") == []
    assert [session.id for session in await manager.list("expired")] == [made.id]


async def test_new_limits_count_from_the_next_reuse(manager: SessionManager, clock: Clock) -> None:
    """What is said later counts; what is not said stays."""
    made = await manager.get_or_create("ada")
    manager.configure(idle_timeout=300)
    assert (manager.idle_timeout, manager.max_age) == (300, 600)
    clock.pass_by(50)
    assert (await manager.get_or_create("ada")).expires_at == clock.now + 300
    manager.configure(idle_timeout=float("inf"), max_age=float("inf"))
    clock.pass_by(50)
    found = await manager.get_or_create("ada")
    assert (found.id, found.expires_at) == (made.id, None)


# saving and ending


async def test_saving_is_a_new_version(manager: SessionManager, clock: Clock) -> None:
    """It counts as a use, and other callers see the times."""
    made = await manager.get_or_create("ada")
    clock.pass_by(50)
    made.data["a"] = 1
    await manager.save(made)
    found = await manager.get(made.id)
    assert (made.version, found.version) == (2, 2)
    assert (found.updated_at, found.expires_at) == (clock.now, clock.now + 60)


async def test_those_who_share_the_live_data_do_not_conflict(manager: SessionManager) -> None:
    """Both wrote into one object, so nothing of either is lost and both may save."""
    one, two = await manager.get_or_create("ada"), await manager.get_or_create("ada")
    one.data["one"], two.data["two"] = 1, 2
    await manager.save(one)
    await manager.save(two)
    assert (one.version, two.version) == (2, 3)
    assert (await manager.get(one.id)).data == {"one": 1, "two": 2}


async def test_other_data_over_a_newer_version_is_a_conflict(manager: SessionManager) -> None:
    """Who puts other data in its place after somebody else wrote is told, and nothing is lost."""
    one, two = await manager.get_or_create("ada"), await manager.get_or_create("ada")
    one.data["one"] = 1
    await manager.save(one)
    two.data = {"two": 2}
    with pytest.raises(SessionConflict, match="is at version 2, and this write builds on version 1"):
        await manager.save(two)
    again = await manager.get(one.id)
    assert again.data == {"one": 1}
    again.data = {"two": 2}
    await manager.save(again)
    assert (await manager.get(one.id)).data == {"two": 2}


async def test_an_ended_session_is_over(manager: SessionManager) -> None:
    """It can't be saved or ended again, by whoever holds it, and its key is free."""
    one, two = await manager.get_or_create("ada"), await manager.get_or_create("ada")
    ended = await manager.end(one, reason="stopped")
    assert (ended.status, ended.reason, one.status) == ("ended", "stopped", "ended")
    with pytest.raises(InvalidTransition, match=r"of 'ada' is ended \(stopped\) and can't be saved"):
        await manager.save(two)
    with pytest.raises(InvalidTransition, match=r"can't be ended: .*'ada' has no live session"):
        await manager.end(two)
    assert not (await manager.get_or_create("ada")).reused


async def test_ending_by_id(manager: SessionManager) -> None:
    """An id will do; an unknown one is an error."""
    made = await manager.get_or_create("ada")
    assert (await manager.end(made.id)).status == "ended"
    with pytest.raises(SessionNotFound, match="no session nonsense in"):
        await manager.end("nonsense")


async def test_saving_what_was_cleared_away_is_an_error(manager: SessionManager) -> None:
    """After a reset an old session is not written back."""
    made = await manager.get_or_create("ada")
    assert isinstance(manager.storage, MemoryStorage)
    manager.storage.clear()
    with pytest.raises(SessionNotFound, match="in 'chats'"):
        await manager.save(made)
    assert await manager.list() == []


async def test_a_token_needs_a_browser(manager: SessionManager) -> None:
    """A session of a key has no cookie that could be renewed."""
    made = await manager.get_or_create("ada")
    with pytest.raises(Exception, match=r"can't get a new token here: call regenerate_token\(\) on current_session"):
        made.regenerate_token()


# listing


async def test_listing_filters_and_limits(manager: SessionManager, clock: Clock) -> None:
    """By state and key, newest first."""
    for key in ("ada", "bob", "cleo"):
        await manager.get_or_create(key)
        clock.pass_by(1)
    await manager.get_or_create("ada", force_new=True)
    assert [session.key for session in await manager.list()] == ["ada", "cleo", "bob", "ada"]
    assert [session.key for session in await manager.list("active", limit=2)] == ["ada", "cleo"]
    assert [session.status for session in await manager.list(key="ada")] == ["active", "ended"]


async def test_a_listing_that_makes_no_sense_is_refused(manager: SessionManager) -> None:
    """A state that does not exist, a negative limit, a wrong key."""
    with pytest.raises(ValueError, match="no session is ever 'alive': the states are active, "):
        await manager.list("alive")
    with pytest.raises(ValueError, match="limit=-1"):
        await manager.list(limit=-1)
    with pytest.raises(TypeError, match="a session's key is"):
        await manager.list(key=7)  # type: ignore[arg-type]


# the rest


def test_a_manager_shows_what_it_is(manager: SessionManager) -> None:
    """Name, limits and storage are in its repr."""
    assert repr(manager) == ("<SessionManager 'chats' idle_timeout=60 max_age=600 <MemoryStorage live=0 all=0>>")


async def test_the_log_tells_created_from_reused(
    manager: SessionManager, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """With a short id, the key, the age and the expiry."""
    with caplog.at_level(logging.DEBUG, logger="hotsession"):
        made = await manager.get_or_create("ada")
        clock.pass_by(10)
        await manager.get_or_create("ada")
        clock.pass_by(61)
        await manager.get_or_create("ada")
        await manager.end(await manager.get_or_create("ada"))
    said = [line.getMessage() for line in caplog.records if made.id[:8] in line.getMessage()]
    assert said == [
        f"created session {made.id[:8]} of 'ada', 0 s old, expires in 60 s",
        f"reused session {made.id[:8]} of 'ada', 10 s old, expires in 60 s",
        f"expired session {made.id[:8]} of 'ada', 71 s old, expired 1 s ago",
    ]
    assert caplog.records[-1].getMessage().startswith("ended session")
    assert made.id not in caplog.text
