"""The event stream of sessions: what is told to whom, from where it goes on, and how it ends."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from starlette.requests import HTTPConnection

import hotsession
from hotsession import MemoryStorage, Session, SessionManager, session_routes
from hotsession.asgi import session_events, session_feed
from hotsession.asgi.event_stream import RETRY
from hotsession.asgi.session_events import OpenStreams
from hotsession.asgi.session_feed import Feed, feed_of
from hotsession.registry import registry
from hotsession.storages.base import Changes
from tests.asgi.listening import Audience, Listener, audience, eventually
from tests.deadlines import DEADLINE

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both of anyio's backends."""
    return str(request.param)


def everybody(connection: HTTPConnection, action: str) -> bool:
    """Anything goes."""
    return True


class Polled:
    """A storage that can't wait for changes, and notes who asks it for them."""

    wants_bytes = False
    is_shared = False

    def __init__(self) -> None:
        self._inner = MemoryStorage()
        self.asked: list[int] = []  # the tasks that did
        self.failing = False

    def __getattr__(self, name: str) -> Any:
        if name in ("changed", "_inner"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    async def changes(self, manager: str, after: int | None, limit: int = 100) -> Changes:
        """What was written."""
        self.asked.append(anyio.get_current_task().id)
        if self.failing:
            raise hotsession.StorageUnavailable("the disk is away")
        return await self._inner.changes(manager, after, limit)


@pytest.fixture
def jobs() -> SessionManager:
    return hotsession.sessions("jobs")


@pytest.fixture
async def all_of(jobs: SessionManager) -> AsyncIterator[Audience]:
    """Listeners that may hear of everything."""
    async with audience(session_routes(jobs, everybody)) as found:
        yield found


@pytest.fixture
async def polled(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Audience, Polled, SessionManager]]:
    """Listeners to a storage that has to be asked."""
    monkeypatch.setattr(session_feed, "POLL_SECONDS", 0.001)
    storage = Polled()
    manager = hotsession.sessions("polled", storage=storage)
    async with audience(session_routes(manager, everybody)) as found:
        yield found, storage, manager


async def test_each_write_is_told(all_of: Audience, jobs: SessionManager) -> None:
    """First that listening has begun, then each session as it is now."""
    listener = all_of.listen()
    assert (await listener.next()).name == "ready"
    session = await jobs.get_or_create("ann", data={"counter": 1})
    event = await listener.next()
    assert (event.name, event.data["id"], event.data["data"]) == ("session", session.id, {"counter": 1})
    session.data["counter"] = 2
    await jobs.save(session)
    assert (await listener.next()).data["data"] == {"counter": 2}
    await jobs.end(session, reason="done")
    event = await listener.next()
    assert (event.data["status"], event.data["reason"]) == ("ended", "done")


async def test_the_answer_is_an_event_stream(all_of: Audience) -> None:
    """That nobody keeps, and no proxy holds back; the browser is told when to come back."""
    listener = all_of.listen()
    await listener.next()
    assert listener.status == 200
    assert listener.answered["content-type"] == "text/event-stream; charset=utf-8"
    assert (listener.answered["cache-control"], listener.answered["x-accel-buffering"]) == ("no-store", "no")
    assert listener.body.startswith(b"retry: 1000\n\n")


async def test_only_the_head_ends_at_once(all_of: Audience) -> None:
    """Who asks for it alone is not kept waiting."""
    listener = all_of.listen(method="HEAD")
    with anyio.fail_after(DEADLINE):
        await listener.done.wait()
    assert (listener.status, listener.body, listener.ended) == (200, b"", True)


@pytest.mark.parametrize("in_query", [False, True])
async def test_who_comes_back_hears_what_he_missed(all_of: Audience, jobs: SessionManager, in_query: bool) -> None:
    """Each session once, as it is now, and nothing that he has had."""
    first = all_of.listen()
    ann, bob = await jobs.get_or_create("ann"), await jobs.get_or_create("bob")
    while (heard := await first.next()).data.get("id") != bob.id:
        pass
    first.leave()
    await first.done.wait()
    carl = await jobs.get_or_create("carl")
    for counter in range(3):
        ann.data["counter"] = counter
        await jobs.save(ann)
    path, headers = ("/events", {"last_event_id": heard.id})
    if in_query:
        path, headers = f"/events?last_event_id={heard.id}", {}
    second = all_of.listen(path, **headers)
    events = [await second.next(), await second.next()]
    assert [(event.name, event.data["id"]) for event in events] == [("session", carl.id), ("session", ann.id)]
    assert events[1].data["data"] == {"counter": 2}
    third = all_of.listen(last_event_id=events[1].id)
    await jobs.end(bob)
    assert (await third.next()).data["id"] == bob.id


async def test_more_than_a_page_of_changes_is_told_in_order(all_of: Audience, jobs: SessionManager) -> None:
    """However many were missed."""
    start = (await all_of.listen().next()).id
    made = [(await jobs.get_or_create(f"job {number}")).id for number in range(250)]
    listener = all_of.listen(last_event_id=start)
    assert [(await listener.next()).data["id"] for _ in made] == made


@pytest.mark.parametrize("id", ["0", "nonsense", "00000000-1", "-", "00000000-" + "9" * 40])
async def test_a_foreign_id_is_answered_with_resync(all_of: Audience, jobs: SessionManager, id: str) -> None:
    """What happened since can't be told; from there on it is."""
    await jobs.get_or_create("ann")
    listener = all_of.listen(last_event_id=id)
    assert (await listener.next()).name == "resync"
    session = await jobs.get_or_create("bob")
    assert (await listener.next()).data["id"] == session.id


async def test_an_id_of_another_manager_is_foreign(all_of: Audience, jobs: SessionManager) -> None:
    """Though the numbers are those of one storage."""
    async with audience(session_routes(hotsession.sessions("others"), everybody)) as others:
        other = await others.listen().next()
    assert (await all_of.listen(last_event_id=other.id).next()).name == "resync"


async def test_an_id_of_memory_that_is_gone_is_foreign(all_of: Audience, jobs: SessionManager) -> None:
    """What was in memory ended with its process, whatever the numbers say."""
    before = (await all_of.listen().next()).id
    registry.clear()  # as a new process begins
    again = hotsession.sessions("jobs")
    await again.get_or_create("ann")
    async with audience(session_routes(again, everybody)) as later:
        assert (await later.listen(last_event_id=before).next()).name == "resync"


async def test_an_id_from_before_a_deletion_is_too_old(all_of: Audience, jobs: SessionManager) -> None:
    """A session that is no more has no event; who listens is told as well."""
    listener = all_of.listen()
    old = (await listener.next()).id
    session = await jobs.get_or_create("ann")
    await jobs.end(session)
    assert await jobs.storage.remove("jobs", jobs.clock() + 1, 10) == 1
    await jobs.get_or_create("bob")
    await listener.next("resync")
    assert (await all_of.listen(last_event_id=old).next()).name == "resync"


async def test_other_managers_of_the_storage_are_not_heard(all_of: Audience, jobs: SessionManager) -> None:
    """Their writes move the numbers on, and nothing else."""
    listener = all_of.listen()
    await listener.next()
    await hotsession.sessions("others").get_or_create("ann")
    session = await jobs.get_or_create("ann")
    assert (await listener.next()).data["id"] == session.id


async def test_only_the_sessions_of_a_key_are_told(all_of: Audience, jobs: SessionManager) -> None:
    """When only these are asked for."""
    listener = all_of.listen("/events?key=ann&key=cats")
    await listener.next()
    await jobs.get_or_create("ann")
    wanted = await jobs.get_or_create(("ann", "cats"))
    assert (await listener.next()).data["id"] == wanted.id


def own(connection: HTTPConnection, action: str, session: Session | None) -> bool:
    """The sessions of the user that a header names."""
    return session is None or session.key == connection.headers["x-user"]


def own_key(connection: HTTPConnection, action: str) -> str:
    """The same by key."""
    return connection.headers["x-user"]


@pytest.mark.parametrize("authorize", [own, own_key])
async def test_each_hears_of_its_own(jobs: SessionManager, authorize: Any) -> None:
    """Though all are told by one who asks the storage."""
    async with audience(session_routes(jobs, authorize)) as listeners:
        ann, bob = listeners.listen(x_user="ann"), listeners.listen(x_user="bob")
        await ann.next()
        await bob.next()
        for name in ("carl", "bob", "ann"):
            await jobs.get_or_create(name)
        assert (await ann.next()).data["key"] == "ann"
        assert (await bob.next()).data["key"] == "bob"


# many who listen, one who asks


async def test_one_asks_for_all(polled: tuple[Audience, Polled, SessionManager]) -> None:
    """As long as nothing happens one of them asks the storage; when something does all are told."""
    listeners, storage, manager = polled
    heard = [listeners.listen() for _ in range(8)]
    for each in heard:
        await each.next()
    await asked(storage, 5)
    storage.asked.clear()
    await asked(storage, 10)
    assert len({*storage.asked}) == 1
    session = await manager.get_or_create("ann")
    for each in heard:
        assert (await each.next()).data["id"] == session.id


async def test_when_who_asks_leaves_another_goes_on(polled: tuple[Audience, Polled, SessionManager]) -> None:
    """And nobody notices."""
    listeners, storage, manager = polled
    heard = [listeners.listen() for _ in range(3)]
    for each in heard:
        await each.next()
    for number in range(2):
        heard[number].leave()
        await heard[number].done.wait()
        session = await manager.get_or_create(f"job {number}")
        assert (await heard[-1].next()).data["id"] == session.id
    heard[-1].leave()
    await heard[-1].done.wait()
    assert "asked=None waiting=0" in repr(feed_of(manager))
    storage.asked.clear()
    await anyio.sleep(0.02)
    assert storage.asked == []  # nobody is there to ask for


@pytest.mark.e2e
async def test_who_is_slow_holds_up_nobody(all_of: Audience, jobs: SessionManager) -> None:
    """He reads on by himself, and gets each session as it is by then."""
    slow, quick = all_of.listen(), all_of.listen()
    await slow.next()
    await quick.next()
    slow.takes = anyio.Event()
    session = await jobs.get_or_create("ann")
    await quick.next()
    for counter in range(20):
        session.data["counter"] = counter
        await jobs.save(session)
        assert (await quick.next()).data["data"] == {"counter": counter}
    slow.takes.set()
    assert (await slow.next()).data["version"] == 1
    event = await slow.next()
    assert (event.data["version"], event.data["data"]) == (21, {"counter": 19})


async def test_a_burst_is_gathered(all_of: Audience, jobs: SessionManager) -> None:
    """A session that is written a thousand times in a row is told of a few times, the last time as it is at the end."""
    listener = all_of.listen()
    await listener.next()
    session = await jobs.get_or_create("ann")
    for counter in range(1000):
        session.data["counter"] = counter
        await jobs.save(session)
        await anyio.lowlevel.checkpoint()
    told = 1
    while (await listener.next()).data["data"] != {"counter": 999}:
        told += 1
    assert told < 200


async def test_a_storage_that_is_away_for_a_while_ends_no_stream(
    polled: tuple[Audience, Polled, SessionManager], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once; who begins to listen meanwhile is told that it is so."""
    listeners, storage, manager = polled
    listener = listeners.listen()
    await listener.next()
    storage.failing = True
    with caplog.at_level(logging.WARNING, "hotsession"):
        await asked(storage, len(storage.asked) + 5)
    assert len(caplog.records) == 1
    assert "Nobody hears of changes of the sessions 'polled' for now: the disk is away" in caplog.text
    late = listeners.listen()
    with anyio.fail_after(DEADLINE):
        await late.done.wait()
    assert (late.status, b"storage_unavailable" in late.body) == (503, True)
    session = await manager.get_or_create("ann")
    storage.failing = False
    assert (await listener.next()).data["id"] == session.id


async def asked(storage: Polled, times: int) -> None:
    """Wait until a storage was asked so often."""
    await eventually(lambda: len(storage.asked) >= times)


# silence and the end


async def test_silence_is_broken_now_and_then(all_of: Audience, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a comment, so that no proxy takes the connection for dead."""
    monkeypatch.setattr(session_events, "HEARTBEAT_SECONDS", 0.001)
    listener = all_of.listen()
    await listener.until(b": still here\n\n: still here\n\n")


async def test_who_leaves_is_forgotten(all_of: Audience, jobs: SessionManager) -> None:
    """At once, not when the next event can't be sent."""
    listener = all_of.listen()
    await listener.next()
    streams: OpenStreams = registry.object("open event streams", OpenStreams)
    assert "<OpenStreams 1" in repr(streams)
    listener.leave()
    with anyio.fail_after(DEADLINE):
        await listener.done.wait()
    assert "<OpenStreams 0" in repr(streams)
    assert not listener.ended  # nothing is sent to who has left


async def test_who_is_gone_without_a_word_is_forgotten(all_of: Audience, jobs: SessionManager) -> None:
    """A server that can't send says so by an OSError."""
    listener = all_of.listen()
    await listener.next()
    listener.is_gone = True
    await jobs.get_or_create("ann")
    with anyio.fail_after(DEADLINE):
        await listener.done.wait()


async def test_streams_end_when_the_process_is_told_to_end(all_of: Audience) -> None:
    """With the line that brings their clients back soon; those that begin later end at once."""
    early = all_of.listen()
    await early.next()
    streams: OpenStreams = registry.object("open event streams", OpenStreams)
    streams.end()
    late = all_of.listen()
    for each in (early, late):
        with anyio.fail_after(DEADLINE):
            await each.done.wait()
        assert each.ended
        assert each.body.endswith(b"\n\n" + RETRY + b"\n")


async def test_a_feed_tells_threads_of_other_event_loops(jobs: SessionManager) -> None:
    """Whoever asks the storage, and wherever he runs."""
    feed: Feed = feed_of(jobs)
    position = await feed.position()
    found: list[int] = []

    async def hear() -> None:
        with anyio.fail_after(DEADLINE):
            news = await feed.after(position)
        found.append(len(news.changes.sessions))

    async with anyio.create_task_group() as group:
        group.start_soon(hear)
        group.start_soon(anyio.to_thread.run_sync, lambda: anyio.run(hear))
        await eventually(lambda: "waiting=1" in repr(feed))
        await jobs.get_or_create("ann")
    assert found == [1, 1]


def test_a_listener_reads_events() -> None:
    """The client of these tests knows an event from a comment."""
    listener = Listener("/events?key=ann", {})
    assert (listener.path, listener.query) == ("/events", "key=ann")
