"""Storages that want bytes: every caller has his own copy, and what was changed in it is saved at its end, merged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from hotsession.errors import ConfigurationError, DataNotReadable, DataNotStorable, SessionConflict, SessionError
from hotsession.lifecycle.codec import SignedPickleCodec
from hotsession.lifecycle.current import current, current_session
from hotsession.lifecycle.jobs import JobVisit
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.session import Session
from hotsession.storages.memory import MemoryStorage
from hotsession.storages.sqlite import SQLiteStorage
from tests.deadlines import DEADLINE
from tests.lifecycle.byte_storage import ByteStorage
from tests.lifecycle.clock import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def storage() -> ByteStorage:
    """A storage of bytes."""
    return ByteStorage()


@pytest.fixture
def mine(storage: ByteStorage, clock: Clock) -> SessionManager:
    """The manager of one process."""
    return SessionManager("chats", storage=storage, clock=clock)


@pytest.fixture
def theirs(storage: ByteStorage, clock: Clock) -> SessionManager:
    """That of another."""
    return SessionManager("chats", storage=storage, clock=clock)


async def in_a_task(function: Callable[[], Any]) -> None:
    """Run a coroutine function in a task, and wait until what it changed can be saved."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(function)
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def elsewhere(function: Callable[..., Any], *arguments: Any) -> None:
    """Call a coroutine function as another process would: not in the task that has copies in hand."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(function, *arguments)


async def test_what_a_task_changed_is_saved_at_its_end(mine: SessionManager, theirs: SessionManager) -> None:
    """Also deep inside a value, and nobody called save."""

    async def work() -> None:
        session = await mine.get_or_create("ada", data={"messages": []})
        session.data["messages"].append("hello")
        assert (await theirs.storage.get(session.id)).payload == b'{"messages":[]}'  # type: ignore[union-attr]

    await in_a_task(work)
    assert [session.data for session in await theirs.list()] == [{"messages": ["hello"]}]


async def test_what_was_not_changed_is_not_written(mine: SessionManager, theirs: SessionManager) -> None:
    """Looking at data is no new version."""

    async def work() -> None:
        assert (await mine.get_or_create("ada", data={"a": {"b": 1}})).data == {"a": {"b": 1}}

    await in_a_task(work)
    await in_a_task(work)
    assert [session.version for session in await theirs.list()] == [1]


async def test_a_task_that_raises_saves_too(mine: SessionManager, theirs: SessionManager) -> None:
    """What was done before is not lost with it."""

    async def work() -> None:
        (await mine.get_or_create("ada")).data["done"] = True
        raise ValueError("later")

    with pytest.raises(ExceptionGroup):
        await in_a_task(work)
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    assert [session.data for session in await theirs.list()] == [{"done": True}]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_last_task_of_an_event_loop_saves(backend: str) -> None:
    """Though its loop ends with it."""
    storage = ByteStorage()
    manager = SessionManager("chats", storage=storage)

    async def main() -> None:
        (await manager.get_or_create("ada")).data["done"] = True

    async def look() -> Any:
        with anyio.fail_after(DEADLINE):
            while not (found := (await manager.list())[0].data):  # noqa: ASYNC110 - a thread may be saving it
                await anyio.sleep(0.01)
        return found

    anyio.run(main, backend=backend)
    assert anyio.run(look) == {"done": True}


async def test_who_asks_again_in_a_task_gets_the_same_data(mine: SessionManager) -> None:
    """With what was changed in it, though it is not saved yet; `reused` is each call's own."""

    async def work() -> None:
        session = await mine.get_or_create("ada")
        session.data["done"] = True
        again = await mine.get_or_create("ada")
        assert again.data is session.data
        assert (await mine.get(session.id)).data is session.data
        assert (session.reused, again.reused) == (False, True)
        await mine.save(again)
        session.data["more"] = True

    await in_a_task(work)
    assert [session.data for session in await mine.list()] == [{"done": True, "more": True}]


async def test_two_tasks_have_their_own_copies(mine: SessionManager) -> None:
    """And what both changed is merged by the keys."""
    await mine.get_or_create("ada", data={"gone": 1})
    both = anyio.Event()

    async def one() -> None:
        session = await mine.get_or_create("ada")
        session.data["one"] = 1
        await both.wait()

    async def other() -> None:
        session = await mine.get_or_create("ada")
        assert "one" not in session.data
        session.data["other"] = 2
        del session.data["gone"]
        both.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(other)
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    assert [session.data for session in await mine.list()] == [{"one": 1, "other": 2}]


async def test_saving_over_a_newer_version_is_a_conflict_that_names_the_keys(
    mine: SessionManager, theirs: SessionManager
) -> None:
    """Nothing of the other writer is lost."""
    session = await mine.get_or_create("ada", data={"count": 1, "a": 1})
    await elsewhere(theirs.update, session.id, lambda data: data.update(count=2))
    session.data.update(count=3, a=2)
    with pytest.raises(SessionConflict, match=r"builds on version 1; both changed 'count': get it") as caught:
        await mine.save(session)
    assert caught.value.keys == ("count",)
    assert [each.data for each in await theirs.list()] == [{"count": 2, "a": 1}]


async def test_two_who_count_from_the_same_number_conflict_though_they_come_to_the_same(
    mine: SessionManager, theirs: SessionManager
) -> None:
    """Else the count of one of them would be lost without a word."""
    session = await mine.get_or_create("ada", data={"count": 0})
    await elsewhere(theirs.update, session.id, lambda data: data.update(count=data["count"] + 1))
    session.data["count"] += 1
    with pytest.raises(SessionConflict, match="both changed 'count'"):
        await mine.save(session)


async def test_two_views_of_one_copy_are_no_two_writers(mine: SessionManager) -> None:
    """What is saved through one of them and then through the other is one and the same."""
    first, second = [await mine.get_or_create("ada") for _ in range(2)]
    for count, view in enumerate((first, second, first), start=1):
        view.data["count"] = count
        await mine.save(view)
        await mine.save(first)
    assert [each.data for each in await mine.list()] == [{"count": 3}]


async def test_saving_after_a_write_of_no_data_is_no_conflict(mine: SessionManager, theirs: SessionManager) -> None:
    """Somebody else paused it meanwhile: the data is saved, and it stays paused."""
    session = await mine.get_or_create("ada")
    await theirs.pause(session.id)
    session.data["a"] = 1
    await mine.save(session)
    assert ((await theirs.get(session.id)).status, session.status, session.version) == ("paused", "paused", 3)


async def test_what_two_changed_otherwise_stays_as_stored_and_is_logged(
    mine: SessionManager, theirs: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest of what the second changed is saved."""

    async def work() -> None:
        session = await mine.get_or_create("ada", data={"count": 0})
        await elsewhere(theirs.update, session.id, lambda data: data.update(count=1))
        session.data.update(count=2, mine=True)

    with caplog.at_level(logging.WARNING, logger="hotsession"):
        await in_a_task(work)
    assert [session.data for session in await theirs.list()] == [{"count": 1, "mine": True}]
    assert "what was stored first stays" in caplog.text
    assert "both changed 'count'" in caplog.text


async def test_an_update_reaches_the_copy_in_hand(mine: SessionManager, theirs: SessionManager) -> None:
    """With what was changed there and is not saved yet."""

    async def work() -> None:
        session = await mine.get_or_create("ada", data={"count": 0})
        session.data["draft"] = "hello"
        await mine.update(session.id, lambda data: data.update(count=1))
        assert session.data == {"count": 1, "draft": "hello"}
        await elsewhere(theirs.update, session.id, lambda data: data.update(theirs=True))
        assert (await mine.get_or_create("ada")).data is session.data
        assert session.data == {"count": 1, "draft": "hello", "theirs": True}

    await in_a_task(work)
    assert [session.data for session in await theirs.list()] == [{"count": 1, "draft": "hello", "theirs": True}]


@pytest.mark.parametrize("end", ["end", "complete", "pause"])
async def test_what_is_ended_after_a_change_loses_nothing(
    mine: SessionManager, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By whichever of the views of one copy; and nothing is said to be lost."""

    async def work() -> None:
        first = await mine.get_or_create("ada")
        again = await mine.get_or_create("ada")
        first.data["a"] = 1
        await getattr(mine, end)(again)
        by_id = await mine.update(again.id, lambda data: data.update(b=2)) if end == "pause" else again
        assert by_id.data is first.data

    with caplog.at_level(logging.INFO, logger="hotsession"):
        await in_a_task(work)
    expected = {"a": 1, "b": 2} if end == "pause" else {"a": 1}
    assert [session.data for session in await mine.list()] == [expected]
    assert "was over before" not in caplog.text


async def test_what_cannot_be_read_can_be_ended(storage: ByteStorage, mine: SessionManager) -> None:
    """By who has looked for it before, too."""
    pickles = SessionManager("chats", storage=storage, codec=SignedPickleCodec("secret"))
    made = await pickles.get_or_create("ada", data={"number": 1j})

    async def work() -> None:
        session = await mine.get(made.id)
        with pytest.raises(DataNotReadable, match="signed pickle"):
            assert session.data
        await mine.end(made.id)

    await in_a_task(work)
    assert [session.status for session in await mine.list()] == ["ended"]


async def test_what_cannot_be_stored_is_refused_by_its_path(
    mine: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    """At once by save, and by name in the log at the end of a task; what is stored stays."""

    async def work() -> None:
        session = await mine.get_or_create("ada", data={"a": 1})
        session.data["client"] = object()
        with pytest.raises(DataNotStorable, match=r'data\["client"\]'):
            await mine.save(session)

    await in_a_task(work)
    assert 'data["client"]' in caplog.text
    assert [session.data for session in await mine.list()] == [{"a": 1}]


async def test_what_was_changed_in_an_ended_session_is_said_to_be_lost(
    mine: SessionManager, theirs: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    """And the session stays ended."""

    async def work() -> None:
        session = await mine.get_or_create("ada")
        session.data["a"] = 1
        await elsewhere(theirs.end, session.id)

    with caplog.at_level(logging.INFO, logger="hotsession"):
        await in_a_task(work)
    assert "was over before what was changed in it could be saved" in caplog.text
    assert [session.data for session in await mine.list("ended")] == [{}]


@dataclass
class Message:
    """A message of a chat."""

    text: str


async def test_registered_types_and_codecs(storage: ByteStorage) -> None:
    """`types` teaches the JSON codec, `codec` takes its place, and both can't be said of pickles."""
    manager = SessionManager("chats", storage=storage, types=[Message])
    await manager.get_or_create("ada", data={"messages": [Message("hello")]})
    assert (await manager.get_or_create("ada")).data == {"messages": [Message("hello")]}
    pickles = SessionManager("pickles", storage=storage, codec=SignedPickleCodec("secret"))
    assert (await pickles.get_or_create("ada", data={"number": 1j})).data == {"number": 1j}
    with pytest.raises(ConfigurationError, match="types= is for a JSONCodec"):
        SessionManager("both", storage=storage, codec=SignedPickleCodec("secret"), types=[Message])


# below a request, as a job is for sessions


@pytest.fixture(params=[MemoryStorage, ByteStorage])
def manager(request: pytest.FixtureRequest) -> SessionManager:
    """A manager over a storage of either kind."""
    return SessionManager("chats", storage=request.param())


async def test_code_below_a_request_gets_the_session_of_its_caller(manager: SessionManager) -> None:
    """Scenario E: without a key, in the code, tasks and threads that it starts; elsewhere it is a new one."""
    browser = Session(SessionManager("browsers", storage=MemoryStorage()).draft({}), reused=False)
    seen = []

    async def pipeline() -> None:
        session = await manager.get_or_create()
        seen.append(session.id)
        session.data["pipeline"] = True

    def in_a_thread() -> None:
        seen.append(anyio.from_thread.run(manager.get_or_create).id)
        assert current_session() is browser

    reset = current.set(JobVisit(browser))
    try:
        session = await manager.get_or_create("ada")
        await pipeline()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pipeline)
        await anyio.to_thread.run_sync(in_a_thread)
        assert session.data == {"pipeline": True}
        other = await manager.get_or_create("bob")
        with pytest.raises(SessionError, match="2 sessions of 'chats' are in use here") as caught:
            await manager.get_or_create()
        assert caught.value.alternatives == (session.id, other.id)
    finally:
        current.reset(reset)
    assert set(seen) == {session.id}
    assert (await manager.get_or_create()).id not in seen


async def test_a_task_that_outlives_its_request_saves_at_its_own_end() -> None:
    """What it asked for during the request and changed after that."""
    manager = SessionManager("chats", storage=ByteStorage())
    visit = JobVisit(Session(manager.draft({}), reused=False))
    over = anyio.Event()

    async def later() -> None:
        session = await manager.get_or_create("ada")
        await over.wait()
        session.data["later"] = True

    async with anyio.create_task_group() as tasks:
        reset = current.set(visit)
        tasks.start_soon(later)
        current.reset(reset)
        await anyio.wait_all_tasks_blocked()
        visit.is_over = True
        over.set()
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    assert [session.data for session in await manager.list()] == [{"later": True}]


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("has_visit", [True, False])
async def test_a_task_that_was_given_a_session_saves_at_its_own_end(*, has_visit: bool, asks: bool) -> None:
    """Who gave it the session has ended before it changes something, and it may have asked for another copy."""
    manager = SessionManager("chats", storage=ByteStorage())
    visit = JobVisit(Session(manager.draft({}), reused=False))
    over = anyio.Event()

    async def later(session: Session) -> None:
        await over.wait()
        if asks:
            await manager.get_or_create("ada")
        session.data["later"] = True

    async def handler() -> None:
        tasks.start_soon(later, await manager.get_or_create("ada"))

    async with anyio.create_task_group() as tasks:
        reset = current.set(visit if has_visit else None)
        async with anyio.create_task_group() as handlers:
            handlers.start_soon(handler)
        current.reset(reset)
        visit.is_over = True
        over.set()
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    assert [session.data for session in await manager.list()] == [{"later": True}]


async def test_a_copy_that_two_tasks_save_at_once_is_no_conflict_with_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of either is lost, and nobody is told of another writer."""
    mine = SessionManager("chats", storage=SQLiteStorage(tmp_path / "chats.db"))
    session = await mine.get_or_create("ada")

    async def note(name: str) -> None:
        session.data[name] = True
        await mine.save(session)

    async with anyio.create_task_group() as tasks:
        for name in "abcd":
            tasks.start_soon(note, name)
    assert [each.data for each in await mine.list()] == [dict.fromkeys("abcd", True)]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
