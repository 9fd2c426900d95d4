"""Sessions over a restart: what comes back, and what is written when."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hotsession.lifecycle.data import SessionData
from hotsession.lifecycle.record import Deferred
from hotsession.lifecycle.session import Session
from hotsession.snapshot import records, touches
from hotsession.snapshot.pickling import Pickled, pickled
from hotsession.snapshot.store import open_store
from hotsession.storages.memory import MemoryStorage
from tests.deadlines import DEADLINE
from tests.effort import times
from tests.snapshot.carriers import MANAGER, Process, Start, drafted
from tests.snapshot.stores import line, mounted, process

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Catch what is only for information, too."""
    caplog.set_level(logging.INFO, "hotsession")


def acknowledge(started: Process, *sessions: Session) -> list[str]:
    """Let a request that was given these sessions end, and return the ids of what is written for it."""
    mine = started.records.touches.begin()
    mine.update(each.id for each in sessions)
    started.store.written.clear()
    started.carrier.acknowledge(mine)
    return started.writes


async def test_a_session_comes_back_with_its_data(start: Start) -> None:
    """All that it is found by and all that is in it is as it was, in a new object."""
    first = start()
    session = await first.session(count=1)
    session.data["nested"] = {"list": [1, 2]}
    acknowledge(first, session)
    second = start()
    found = await second.manager.get_or_create("key")
    assert found.reused
    assert found.record._replace(payload=None) == session.record._replace(payload=None)
    assert found.data == {"count": 1, "nested": {"list": [1, 2]}}
    assert found.data is not session.data


@pytest.mark.parametrize("payload", [SessionData(a=1), {"a": 1}])
async def test_data_is_of_the_type_that_it_was(start: Start, payload: Any) -> None:
    """A browser's data knows whether it is used, other data is a plain dict."""
    first = start()
    await first.manager.save(Session(drafted(payload), reused=False))
    (listed,) = await start().manager.list()
    assert type(listed.data) is type(payload)
    assert listed.data == {"a": 1}


async def test_all_in_memory_share_one_object(start: Start) -> None:
    """It is read once: by its key, its id and its token one gets the same data."""
    first = start()
    session = await first.session()
    second = start()
    found = await second.manager.get_or_create("key")
    assert (await second.manager.get(session.id)).data is found.data
    (listed,) = await second.manager.list()
    assert listed.data is found.data


async def test_nothing_is_read_before_it_is_asked_for(start: Start) -> None:
    """Counting and listing leave the data where they are."""
    first = start()
    for number in range(3):
        await first.session(str(number), number=number)
    second = start()
    assert await second.manager.count() == 3
    listed = await second.storage.list(MANAGER, 0)
    assert [type(record.payload) for record in listed] == [Deferred] * 3
    assert second.storage.held(MANAGER) == []
    assert [session.data["number"] for session in await second.manager.list()] == [2, 1, 0]


async def test_whoever_made_a_session_may_change_it(start: Start) -> None:
    """A session that a request makes counts as given to it: what it adds later is written with its answer."""
    first = start()
    mine = first.records.touches.begin()
    reset = touches.current.set(mine)
    session = await first.session()
    touches.current.reset(reset)
    session.data["later"] = True
    first.carrier.acknowledge(mine)
    assert (await start().session()).data == {"later": True}


async def test_changes_inside_a_value_are_found(start: Start) -> None:
    """What is pickled is compared, so nobody needs to say that something deep inside changed."""
    first = start()
    session = await first.session(messages=[{"text": "a"}])
    assert acknowledge(first, session) == []
    session.data["messages"][0]["text"] = "b"
    assert acknowledge(first, session) == [session.id]
    assert acknowledge(first, session) == []
    assert (await start().session()).data == {"messages": [{"text": "b"}]}


async def test_an_unchanged_session_costs_no_write(start: Start) -> None:
    """Also when it was read after a restart, whose pickle may have other bytes than the one it came from."""
    first = start()
    shared, same = (b"shared".decode() for _ in range(2))  # equal, and two objects
    session = await first.session(a=[shared, shared], b={1, 2}, c=(same, shared))
    session.data["a"].append(session.data["c"][0])
    acknowledge(first, session)
    second = start()
    found = await second.session()
    assert acknowledge(second, found) == []
    assert second.carrier.flush() == 0
    assert second.writes == []


async def test_fields_without_an_index_are_written_with_the_answer(start: Start) -> None:
    """A save makes a new version, which need not be written twice."""
    first = start()
    session = await first.session()
    first.store.written.clear()
    await first.manager.save(session)
    assert first.writes == []
    assert acknowledge(first, session) == [session.id]
    assert (await start().session()).version == session.version == 2


async def test_what_a_session_is_found_by_is_written_at_once(start: Start) -> None:
    """Its end is in the snapshot when end() returns, without any request."""
    first = start()
    session = await first.session()
    await first.manager.end(session, reason="logout")
    second = start()
    assert await second.manager.count() == 0
    assert not (await second.session()).reused
    assert (await second.manager.get(session.id)).reason == "logout"


async def test_what_a_listing_shows_may_be_changed(start: Start) -> None:
    """Who looks at the data of a listed session counts as one who was given it, be it in memory or not."""
    first = start()
    await first.session("a")
    await first.session("b")
    second = start()
    await second.session("a")
    mine = second.records.touches.begin()
    reset = touches.current.set(mine)
    for session in await second.manager.list():
        session.data["seen"] = True
    touches.current.reset(reset)
    second.carrier.acknowledge(mine)
    assert [session.data for session in await start().manager.list()] == [{"seen": True}] * 2


async def test_a_listing_knows_what_was_not_written_yet(start: Start) -> None:
    """Fields that were changed a moment ago are in it."""
    first = start()
    session = await first.session()
    before = session.record.updated_at
    await first.manager.save(session)
    (listed,) = await first.manager.list()
    assert listed.version == 2
    assert listed.record.updated_at >= before


async def test_what_somebody_still_holds_is_looked_at(start: Start) -> None:
    """A session that is changed after its request, by whoever still has it, is written when one looks."""
    first = start()
    session = await first.session()  # by code of no request: it may change it at any time
    first.carrier.look()
    session.data["late"] = 1
    first.store.written.clear()
    first.carrier._look_pace.__init__()  # type: ignore[misc]
    first.carrier.look()
    assert first.writes == [session.id]


async def test_looking_makes_pauses(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many sessions are looked at a few at a time, so that nobody waits for it, and all get their turn."""
    monkeypatch.setattr("hotsession.snapshot.carrier.SLICE", 0.0)
    first = start()
    sessions = [await first.session(str(number)) for number in range(10)]
    first.store.written.clear()
    for session in sessions:
        session.data["n"] = 1
    turns = 0
    while len(first.store.written) < 10:
        first.carrier._look_pace.__init__()  # type: ignore[misc]
        first.carrier.look()
        turns += 1
    assert turns == 10
    assert sorted(first.writes) == sorted(session.id for session in sessions)


async def test_flush_writes_what_nobody_is_known_to_hold(start: Start) -> None:
    """A reference that was stored anywhere does not get past it."""
    first = start()
    session = await first.session()
    first.records.touches.nobodys.clear()
    session.data["by the back door"] = 1
    first.carrier.look()
    assert first.carrier.flush() == 1
    assert (await start().session()).data == {"by the back door": 1}


async def test_what_can_not_go_is_left_out_alone(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """The rest of the session is there, and one line names it, its path, type and cure."""
    first = start()
    session = await first.session(a=1, lock=threading.Lock(), nested={"lock": threading.Lock(), "b": 2})
    for number in range(3):
        session.data["a"] = number
        acknowledge(first, session)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert sorted(text.split(" is a ")[0] for text in lines) == [
        f"session {session.id[:8]} of 'key': session[\"lock\"]",
        f'session {session.id[:8]} of \'key\': session["nested"]["lock"]',
    ]
    assert all("_thread.lock" in text and 'restart="rebuild"' in text and "__getstate__" in text for text in lines)
    assert (await start().session()).data == {"a": 2, "nested": {"b": 2}}


async def test_a_place_that_is_left_out_is_named_once_per_dev_server(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """The next process, which leaves it out again, says nothing of it; it lists it all the same."""
    first = start()
    acknowledge(first, await first.session(lock=threading.Lock()))
    caplog.clear()
    second = start()
    session = await second.session()
    session.data["lock"] = threading.Lock()
    acknowledge(second, session)
    assert [record for record in caplog.records if record.levelno == logging.WARNING] == []
    assert list(second.notices.left.values()) == ["_thread.lock"]


async def test_one_session_that_fails_stops_no_other(
    start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others of the same request are written, the log names the one, and it is tried again."""
    first = start()
    failing, other = await first.session("failing"), await first.session("other")

    def fails(value: Any, **options: Any) -> Pickled:
        if "fails" in value:
            raise MemoryError("there is none left")
        return pickled(value, **options)

    with monkeypatch.context() as patched:
        patched.setattr(records, "pickled", fails)
        failing.data["fails"] = other.data["n"] = 1
        assert acknowledge(first, failing, other) == [other.id]
        await first.manager.end(failing)
        assert f"session {failing.id[:8]} of 'failing' can't be written to the snapshot now: MemoryError" in caplog.text
        assert "tried again" in caplog.text
    first.carrier.look()
    second = start()
    assert (await second.manager.get(failing.id)).data == {"fails": 1}
    assert (await second.manager.get(failing.id)).status == "ended"


async def test_a_session_of_which_nothing_can_go_stays_as_it_was(start: Start) -> None:
    """Its data is what was written last, or empty; its fields are those that it has."""
    first = start()
    for key in ("new", "old"):
        session = await first.session(key, n=1)
        session.data = threading.Lock()
        await first.manager.save(session)
        acknowledge(first, session)
        await first.manager.end(session)
    second = start()
    assert [(session.data, session.status) for session in await second.manager.list()] == [({"n": 1}, "ended")] * 2
    record = drafted(threading.Lock())._replace(id="never", version=1)
    await second.storage.add(record)
    assert (await start().manager.get("never")).data == {}


async def test_threads_may_change_what_is_written(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Plain functions run in threads: no write fails, none is dropped, and in the end all is there."""
    first = start()
    session = await first.session(numbers={}, list=[])
    over = threading.Event()

    def work(name: str) -> None:
        count = 0
        while not over.is_set():
            count += 1
            session.data["numbers"][f"{name}{count}"] = Slow(count)
            session.data[f"{name} {count % 50}"] = [count]
            session.data.pop(f"{name} {(count + 25) % 50}", None)
            if count % 500 == 0:
                session.data["numbers"] = {}

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for each in threads:
        each.start()
    written, enough, deadline = 0, times(10, 50, 3), time.monotonic() + DEADLINE
    try:
        while written < enough and time.monotonic() < deadline:
            written += len(acknowledge(first, session))
    finally:
        over.set()
        for each in threads:
            each.join()
        sys.setswitchinterval(interval)
    assert written == enough
    assert "can't" not in caplog.text
    assert "left out" not in caplog.text
    acknowledge(first, session)
    last = session.data
    assert (await start().session()).data == last


class Slow:
    """Something whose pickling runs Python code, so that other threads get their turn meanwhile."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slow) and other.number == self.number

    def __hash__(self) -> int:
        return self.number

    def __getstate__(self) -> dict[str, int]:
        return {"number": sum((self.number, 0, 0))}


# classes that come and go


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Puts a module of the user's in place, with this source."""

    def put(source: str) -> ModuleType:
        module = ModuleType("shapes_of_the_user")
        exec(source, module.__dict__)  # noqa: S102
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module

    return put


CIRCLE = """
class Circle:
    radius = 1
    def __eq__(self, other): return type(other) is Circle and other.radius == self.radius
    __hash__ = None
class Cart(dict): pass
"""


async def test_an_item_whose_class_is_gone_returns_with_it(
    start: Start, shapes: Callable[[str], ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    """The rest is there meanwhile, the item is listed, and comes back into the session for good."""
    circle = shapes(CIRCLE).Circle()
    circle.radius = 3
    first = start()
    await first.session(circle=circle, n=1)
    shapes("")
    for _ in range(3):
        without = start()
        session = await without.session()
        assert session.data == {"n": 1}
        assert [label for label in without.notices.waiting if "'circle'" in label]
    session.data["n"] = 2
    acknowledge(without, session)
    assert "Its bytes are kept" in caplog.text
    again = shapes(CIRCLE).Circle()
    again.radius = 3
    second = start()
    assert (await second.session()).data == {"n": 2, "circle": again}
    assert "is back" in caplog.text
    assert (await start().session()).data == {"n": 2, "circle": again}


@pytest.mark.parametrize("in_place", [True, False])
async def test_items_that_return_together_share_what_they_shared(
    start: Start, shapes: Callable[[str], ModuleType], in_place: bool
) -> None:
    """Each is listed, and they are no copies of each other, though the session was written without them meanwhile."""
    circle = shapes(CIRCLE).Circle()
    first = start()
    await first.session(it=circle, again=[circle], also={"it": circle}, n=1)
    shapes("")
    second = start()
    session = await second.session()
    session.data["n"] = 2
    acknowledge(second, session)
    assert second.carrier.arrivals().endswith("3 more as bytes until the code can read them")
    assert len([label for label in second.notices.waiting if label.startswith("session ")]) == 3
    module = shapes(CIRCLE)
    if in_place:
        second.records.read_again()
    else:
        second = start()
    data = (await second.session()).data
    assert type(data["it"]) is module.Circle
    assert data["it"] is data["again"][0] is data["also"]["it"]
    assert not second.store.items(b"parked/")


async def test_what_survived_has_copies_of_its_own_of_what_was_parked(
    start: Start, shapes: Callable[[str], ModuleType]
) -> None:
    """If the session was written meanwhile; if not, all of it is read from the same bytes, and shared as it was."""
    circle = shapes(CIRCLE).Circle()
    shared = circle.points = [1]
    first = start()
    for key in ("written", "left alone"):
        await first.session(key, circle=circle, points=shared, n=1)
    shapes("")
    second = start()
    for key in ("written", "left alone"):
        assert set((await second.session(key)).data) == {"points", "n"}
    session = await second.session("written")
    session.data["n"] = 2
    acknowledge(second, session)
    shapes(CIRCLE)
    third = start()
    for key in ("written", "left alone"):
        data = (await third.session(key)).data
        assert data["circle"].points == data["points"] == [1]
        assert (data["circle"].points is data["points"]) == (key == "left alone")


async def test_what_took_the_place_of_an_item_stays(start: Start, shapes: Callable[[str], ModuleType]) -> None:
    """The item of a class that was gone does not overwrite what the app put there meanwhile."""
    first = start()
    await first.session(circle=shapes(CIRCLE).Circle())
    shapes("")
    second = start()
    session = await second.session()
    session.data["circle"] = "a drawing"
    acknowledge(second, session)
    shapes(CIRCLE)
    assert (await start().session()).data == {"circle": "a drawing"}


async def test_a_session_of_which_nothing_can_be_read_is_set_aside(
    start: Start, shapes: Callable[[str], ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    """Its key is free meanwhile, and it returns with its class if the key is still free."""
    module = shapes(CIRCLE)
    first = start()
    for key in ("taken", "free"):
        session = await first.session(key)
        session.data = module.Cart(item=key)
        await first.manager.save(session)
        acknowledge(first, session)
    shapes("")
    second = start()
    assert not (await second.session("taken", n=1)).reused
    assert await second.storage.find(MANAGER, "free") is None
    assert await second.manager.count() == 1
    assert "kept aside" in caplog.text
    shapes(CIRCLE)
    third = start()
    assert (await third.session("taken")).data == {"n": 1}
    assert (await third.session("free")).data == {"item": "free"}
    assert await third.manager.count() == 2
    assert "is back" in caplog.text
    assert (await start().session("free")).data == {"item": "free"}


async def test_a_reset_forgets_what_was_set_aside_and_parked(start: Start, shapes: Callable[[str], ModuleType]) -> None:
    """A manager that is emptied gets nothing back; another's parts stay."""
    module = shapes(CIRCLE)
    first = start()
    first.storage.back("other", first.records)
    session = await first.session("aside")
    session.data = module.Cart()
    await first.manager.save(session)
    acknowledge(first, session)
    await first.session("parked", circle=module.Circle())
    shapes("")
    second = start()
    assert await second.storage.find(MANAGER, "aside") is None
    assert (await second.session("parked")).data == {}
    assert second.storage.clear(MANAGER) == 1
    assert second.store.items(b"parked/") == second.store.items(b"aside/") == []
    assert await second.manager.count() == 0


# trouble with the snapshot


async def test_a_full_snapshot_is_written_when_there_is_room(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """The app serves on, the log says so once and when it is over, and then nothing is missing."""
    first = start()
    old = await first.session("old")
    first.store.is_full = True
    new = await first.session("new", n=1)
    old.data["n"] = 2
    for _ in range(3):
        assert acknowledge(first, old, new) == []
    await first.manager.end(await first.session("gone"))
    assert caplog.text.count("not carried over a restart from now on: there is no room left") == 1
    assert await first.manager.count() == 2
    assert {session.key for session in await first.manager.list("active")} == {"old", "new"}
    assert [session.key for session in await first.manager.list("ended")] == ["gone"]
    assert [session.key for session in await first.manager.list(limit=1)] == ["gone"]
    first.store.is_full = False
    first.carrier.look()  # for a slice of time: on a slow machine not all of it
    assert caplog.text.count("carried over a restart again") == 1
    first.carrier.flush()
    second = start()
    assert (await second.session("old")).data == {"n": 2}
    assert (await second.session("new")).data == {"n": 1}
    assert await second.manager.count() == 2


def fill(path: Path) -> None:
    """Leave no room beside this file."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, b"x" * 4096)
    os.close(descriptor)


async def test_a_full_tmpfs_is_written_when_there_is_room(start: Start, tmp_path: Path) -> None:
    """The same with a real file system that a file of somebody else fills."""
    with mounted(tmp_path / "small", "size=2m,mode=700") as small:
        first = Process(small)
        session = await first.session()
        fill(small / "filler")
        session.data["much"] = "x" * 100_000
        acknowledge(first, session)
        assert first.notices.is_failing
        (small / "filler").unlink()
        acknowledge(first, session)
        assert not first.notices.is_failing
        first.kill()
        second = Process(small)
        assert (await second.session()).data == {"much": "x" * 100_000}
        second.kill()


async def test_an_old_token_opens_nothing_though_the_snapshot_is_full(start: Start) -> None:
    """What the snapshot says of a session that is in memory may be old, and does not count."""
    first = start()
    record = drafted({})._replace(version=1, token_hash=b"old", key="key")
    await first.storage.add(record)
    first.store.is_full = True
    assert await first.storage.replace(record._replace(version=2, token_hash=b"new"))
    assert await first.storage.find_token(MANAGER, b"old") is None
    found = await first.storage.find_token(MANAGER, b"new")
    assert found is not None
    await first.storage.replace(found._replace(version=3, status="ended", token_hash=None))
    assert await first.storage.find_token(MANAGER, b"new") is None
    assert await first.storage.find(MANAGER, "key") is None


async def test_a_snapshot_that_breaks_leaves_what_is_in_memory(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """No call fails; sessions in memory are all there are, and the log says so."""
    first = start()
    session = await first.session(n=1)
    first.store.store.close()
    assert (await first.session()).data == {"n": 1}
    other = await first.session("other")
    assert await first.manager.count() == 2
    assert [each.key for each in await first.manager.list()] == ["other", "key"]
    assert [each.key for each in await first.manager.list(key="key")] == ["key"]
    assert acknowledge(first, session, other) == [other.id]  # tried, in vain
    assert first.carrier.restore("value") is None
    assert first.carrier.arrivals() == ""
    assert first.storage.clear() == 2
    assert "can't be read" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
async def test_a_forked_child_has_its_memory_alone(start: Start) -> None:
    """It neither waits for a lock that another thread of its parent holds, nor fails, nor writes."""
    first = start()
    session = await first.session(n=1)
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with first.carrier._turn.lock:
            held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        status = 1
        signal.alarm(30)  # ends it if it waits
        try:
            session.data["n"] = 2
            first.carrier.after_request(first.records.touches.nobodys)
            first.carrier.flush()
            status = 0 if len(first.storage.held(MANAGER)) == 1 else 2
        finally:
            os._exit(status)
    assert await asyncio.to_thread(os.waitpid, child, 0) == (child, 0)
    over.set()
    thread.join()
    assert (await start().session()).data == {"n": 1}


# two processes at once


async def test_a_paused_process_writes_nothing(start: Start) -> None:
    """While the one that it is to replace serves; then it writes what it made meanwhile."""
    first = start()
    await first.session("old", n=1)
    second = start()
    second.carrier.pause()
    await second.session("new", n=2)
    (await second.session("old")).data["n"] = 3
    assert second.carrier.flush() == 0
    second.carrier.look()
    assert second.writes == []
    assert await second.manager.count() == 2
    assert not second.carrier.resume()
    second.carrier.flush()
    third = start()
    assert (await third.session("new")).data == {"n": 2}
    assert (await third.session("old")).data == {"n": 3}


OTHER = """
import asyncio
from tests.snapshot.carriers import Process
process = Process(directory)
async def main():
    say("ready")
    for text in sys.stdin:
        key, _, value = text.strip().partition("=")
        session = await process.session(key)
        if value:
            session.data.setdefault("said", []).append(value)
            process.carrier.flush()
        say(repr(session.data))
asyncio.run(main())
os._exit(0)
"""


def ask(other: Any, text: str) -> str:
    """Have the other process do something."""
    other.stdin.write(text + "\n")
    other.stdin.flush()
    return line(other)


@pytest.mark.e2e
async def test_a_new_process_follows_the_one_that_still_finishes(start: Start, tmp_path: Path) -> None:
    """What the old one writes late is seen, nested as it may be, until the new one has changed the session itself."""
    directory = tmp_path / "snapshot"
    with process(OTHER, directory) as other:
        assert line(other) == "ready"
        assert ask(other, "key=a") == "{'said': ['a']}"
        new = start()
        session = await new.session()
        assert session.data == {"said": ["a"]}
        ask(other, "key=b")
        session = await new.session()
        assert session.data == {"said": ["a", "b"]}
        assert (await new.session()).data is session.data  # there is nothing newer
        session.data["mine"] = 1
        ask(other, "key=c")
        assert (await new.session()).data is session.data
        assert acknowledge(new, session) == [session.id]
        ask(other, "key=d")
        assert (await new.session()).data == {"said": ["a", "b"], "mine": 1}
    assert (await start().session()).data == {"said": ["a", "b"], "mine": 1}


@pytest.mark.e2e
async def test_a_session_that_others_ended_is_over_here(start: Start, tmp_path: Path) -> None:
    """An end that the old process writes late counts for the new one as well."""
    ending = OTHER.replace("session.data.setdefault", "await process.manager.end(session); session.data.setdefault")
    with process(ending, tmp_path / "snapshot") as other:
        assert line(other) == "ready"
        ask(other, "key")
        new = start()
        session = await new.session()
        ask(other, "key=end")
        assert not (await new.session()).reused
        assert (await new.manager.get(session.id)).status == "ended"


async def test_backing_takes_on_what_is_in_memory(start: Start) -> None:
    """Sessions that were made before the storage was carried are written, those of other managers are not."""
    first = start()
    storage = MemoryStorage()
    for manager in ("late", "never"):
        await storage.add(drafted({})._replace(id=manager, manager=manager, version=1))
    first.store.written.clear()
    storage.back("late", first.records)
    storage.back("late", first.records)
    assert first.writes == ["late"]
    assert await storage.get("never") is not None
    assert await storage.count("never") == 1
    assert first.records.counts() == {"late": 1, MANAGER: 0}


def test_the_snapshot_is_left_in_good_order(start: Start, tmp_path: Path) -> None:
    """Closing twice is no error; the next process learns that the last one ended as it should."""
    first = start()
    first.end()
    first.end()
    store = open_store(tmp_path / "snapshot")
    assert store.previous == "tidy"
    store.close()


async def test_deleting_old_records_waits_for_nobody(start: Start) -> None:
    """Though what is in memory is asked for, because the snapshot lacks something: others may write meanwhile."""
    first = start()
    await first.manager.end(await first.session("old"))
    first.store.is_full = True
    await first.manager.end(await first.session("unwritten"))
    assert await first.storage.remove(MANAGER, time.time() + 60, 10) == 2
    assert await first.manager.list() == []
