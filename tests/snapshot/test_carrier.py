"""What is written when: with answers, by the thread, at the end."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from hotsession import bytecode
from hotsession.kept import emptier, names_for
from hotsession.registry import registry
from hotsession.snapshot import carrier as carrier_module
from hotsession.snapshot.carrier import Carrier
from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.opening import install
from hotsession.snapshot.pace import Pace
from hotsession.snapshot.pickling import pickled
from hotsession.snapshot.unpickling import unpickled
from tests.deadlines import DEADLINE
from tests.snapshot.carriers import MANAGER, Process, Start
from tests.snapshot.stores import line, process

pytestmark = pytest.mark.anyio


def eventually(holds: Callable[[], object], seconds: float = DEADLINE) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


class Never(Pace):
    """A pace at which it is never time."""

    def begin(self) -> bool:
        """Never."""
        return False


async def test_an_answer_writes_the_sessions_of_its_request(start: Start) -> None:
    """And no others: they have answers of their own."""
    first = start()
    mine, other = await first.session("mine"), await first.session("other")
    touches = first.records.touches.begin()
    touches.add(mine.id)
    mine.data["n"] = other.data["n"] = 1
    first.store.written.clear()
    first.carrier.acknowledge(touches)
    assert first.writes == [mine.id]


async def test_long_answers_write_in_their_share_of_the_time(start: Start) -> None:
    """However many parts they have: about 5 % of the time goes into writing."""
    first = start()
    session = await first.session()
    touches = first.records.touches.begin()
    touches.add(session.id)
    spent = 0.0

    def clock() -> float:
        return now

    now = 0.0
    first.carrier._stream_pace = Pace(clock=clock)
    acknowledge = first.carrier.acknowledge

    def costly(touches: Any) -> None:
        nonlocal now, spent
        now += 0.002
        spent += 0.002
        acknowledge(touches)

    first.carrier.acknowledge = costly  # type: ignore[method-assign]
    first.store.written.clear()
    while now < 1.0:
        session.data["n"] = now
        first.carrier.keep_up(touches)
        now += 0.0001
    assert 0.04 <= spent <= 0.06
    assert len(first.writes) == round(spent / 0.002)


def test_values_are_written_after_requests(start: Start) -> None:
    """At the pace that their own cost allows."""
    first = start()
    value = first.keep("value", list)
    touches = first.records.touches.begin()
    first.carrier.after_request(touches)
    assert first.values.names() == ("value",)
    value.append(1)
    first.carrier._value_pace = Never()
    first.carrier.after_request(touches)
    assert start().keep("value", list) == []


def test_only_what_is_to_be_carried_is(start: Start) -> None:
    """Not what is rebuilt, not managers, and no storage that keeps bytes itself."""

    class Bytes:
        wants_bytes = True

    first = start()
    registry.keep("rebuilt", list, restart="rebuild")
    registry.keep("storage:default", Bytes, kind="storage")
    registry.keep("sessions:default", list, kind="sessions")
    registry.keep("carried", list)
    first.carrier.flush()
    assert first.values.names() == ("carried",)


def test_many_values_get_their_turn(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look writes for a slice of time, and the next one goes on."""
    monkeypatch.setattr(carrier_module, "SLICE", 0.0)
    first = start()
    for number in range(5):
        first.keep(str(number), list)
    looks = 0
    while len(first.values.names()) < 5:
        first.carrier._value_pace = Pace()
        first.carrier.look()
        looks += 1
    assert looks == 5


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    """Have the thread look a hundred times a second."""
    for name in ("LOOK_OFTEN", "LOOK_SELDOM"):
        monkeypatch.setattr(carrier_module, name, 0.01)
    monkeypatch.setattr(bytecode, "app_is_up", lambda: None)


def written(of: Process, id: str) -> Any:
    """What is in the snapshot of the data of a session."""
    found = of.store.read(id)
    return None if found is None else unpickled(found[1][1:]).value


async def test_the_thread_writes_what_no_request_says(start: Start, often: None) -> None:
    """Sessions and values that are changed at any time, by whoever has them."""
    first = start()
    session, value = await first.session(), first.keep("value", list)
    for number in range(3):
        session.data["n"] = number
        value.append(number)
        eventually(lambda: written(first, session.id) == session.data)
        eventually(lambda: [each for _, each in first.store.items(b"whole/")] == [pickled(value).data])


async def test_it_looks_in_the_event_loop_of_the_app(start: Start, often: None) -> None:
    """There nobody changes what is pickled; a loop that is blocked for long does not stop it."""
    first = start()
    session = await first.session()
    threads: list[threading.Thread] = []
    write = first.records.write_touched

    def noted(ids: Any) -> int:
        threads.append(threading.current_thread())
        return write(ids)

    first.records.write_touched = noted  # type: ignore[method-assign]
    first.carrier.settle_in()
    session.data["n"] = 1
    with anyio.fail_after(DEADLINE):
        while written(first, session.id) != {"n": 1}:  # noqa: ASYNC110 - it is another thread that does it
            await anyio.sleep(0.005)
    assert set(threads) == {threading.current_thread()}


async def test_a_blocked_event_loop_stops_nothing(start: Start, often: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread looks itself when it has waited for long."""
    monkeypatch.setattr(carrier_module, "PATIENCE", 0.05)
    first = start()
    session = await first.session()
    first.carrier.settle_in()
    session.data["n"] = 1
    eventually(lambda: written(first, session.id) == {"n": 1})


def test_an_event_loop_that_is_over_stops_nothing(start: Start, often: None) -> None:
    """Servers in tests start and end, and what is kept stays."""
    first = start()
    session = asyncio.run(first.session())

    async def serve() -> None:
        first.carrier.settle_in()

    asyncio.run(serve())
    session.data["n"] = 1
    eventually(lambda: written(first, session.id) == {"n": 1})


# trouble


def test_a_failure_is_logged_and_no_error(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """A request must not fail for the snapshot's sake."""
    first = start()

    def fails() -> int:
        raise ZeroDivisionError("a mistake of ours")

    first.records.write_all = fails  # type: ignore[method-assign]
    assert first.carrier.flush() == 0
    assert "a mistake of ours" in caplog.text


async def test_who_is_being_written_may_ask_for_it(start: Start) -> None:
    """A `__getstate__` that calls into the snapshot neither waits for itself nor runs in circles."""
    first = start()
    Asking.carrier = first.carrier
    session = await first.session(asking=Asking())
    first.carrier.flush()
    assert first.carrier.flush() == 0
    session.data["n"] = 1
    assert first.carrier.flush() == 1


class Asking:
    """Wants everything to be written when it is pickled."""

    carrier: Carrier

    def __getstate__(self) -> dict[str, int]:
        return {"written": self.carrier.flush()}


def test_who_can_not_tell_others_goes_on(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """The thread outlives that the snapshot can't be read."""
    first = start()

    def fails() -> Any:
        raise SnapshotUnusable("the snapshot is gone")

    first.store.others = fails  # type: ignore[attr-defined]
    first.carrier._look_for_others()
    assert "can't be read: the snapshot is gone" in caplog.text


# the end


async def test_everything_is_written_when_the_process_is_told_to_end(start: Start) -> None:
    """Before it ends, and before what is to happen at the end."""
    seen: list[Any] = []
    first = start(at_end=lambda: seen.append(look()))
    session = await first.session()

    def look() -> Any:
        return written(first, session.id), first.values.names()

    session.data["n"] = 1
    first.keep("value", list)
    first.carrier._told_to_end()
    assert seen == [({"n": 1}, ("value",))]


ENDED_BY_A_SIGNAL = """
import os, signal
from tests.snapshot.carriers import Process
from hotsession.snapshot import carrier
carrier.before_the_end = lambda callback: True
process = Process(directory)
process.keep("value", list).append("last")
if lifespan:
    process.carrier.app_is_down()
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.e2e
@pytest.mark.parametrize(("lifespan", "ended", "value"), [(True, "tidy", ["last"]), (False, "abrupt", [])])
def test_an_app_that_ended_in_good_order_was_not_killed(
    start: Start, tmp_path: Path, lifespan: bool, ended: str, value: list[str]
) -> None:
    """Also if the signal came before anybody of ours listened for it: at a save right after a start."""
    start().end()
    with process(f"lifespan = {lifespan}\n{ENDED_BY_A_SIGNAL}", tmp_path / "snapshot") as served:
        assert served.wait(DEADLINE) == -signal.SIGTERM
    after = start()
    assert after.store.previous == ended
    assert after.keep("value", list) == value


def test_an_end_that_can_not_be_noted_is_said(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """It stops no lifespan; when all is closed there is nothing to say."""

    def fails() -> None:
        raise SnapshotUnusable("the snapshot is gone")

    first = start()
    first.store.told_to_end = fails  # type: ignore[attr-defined]
    first.carrier.app_is_down()
    assert caplog.text.count("ends in good order can't be noted: the snapshot is gone") == 1
    first.end()
    first.carrier.app_is_down()
    assert caplog.text.count("can't be noted") == 1


async def test_in_a_running_event_loop_it_is_done_there(start: Start, often: None) -> None:
    """A signal handler must not wait for what the interrupted code may hold."""
    over = asyncio.Event()
    first = start(at_end=over.set)
    session = await first.session()
    first.carrier.settle_in()
    session.data["n"] = 1
    with first.carrier._turn.lock:
        first.carrier._told_to_end()
    assert not over.is_set()
    async with asyncio.timeout(DEADLINE):
        await over.wait()
    assert written(first, session.id) == {"n": 1}


def test_a_signal_handler_does_not_wait_for_long(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code that it interrupted may be in the midst of a write; that is done then, and the rest after it."""
    monkeypatch.setattr(carrier_module, "LAST_WORDS", 0.05)
    over = threading.Event()
    first = start(at_end=over.set)
    first.keep("value", list)
    with first.carrier._turn.lock:
        first.carrier._told_to_end()
        assert not over.is_set()
    assert over.wait(DEADLINE)
    assert first.values.names() == ("value",)


async def test_requests_that_end_late_are_written_with_their_values(start: Start) -> None:
    """After it was told to end nothing waits for its turn any more, nor for the end of a pass."""
    first = start()
    value = first.keep("value", list)
    first.carrier._told_to_end()
    first.carrier._value_pace = Never()
    value.append(1)
    first.carrier.after_request(first.records.touches.begin())
    assert start().keep("value", list) == [1]


@pytest.mark.parametrize("in_loop", [True, False])
async def test_what_is_changed_after_that_is_written_soon(start: Start, in_loop: bool) -> None:
    """Nobody says when the last request has been answered, where there is no middleware: the thread looks often."""
    first = start()
    value = first.keep("value", list)
    session = await first.session()
    if in_loop:
        first.carrier.settle_in()
    first.carrier._value_pace = first.carrier._look_pace = Never()
    first.carrier._told_to_end()
    async with asyncio.timeout(DEADLINE):
        while not first.carrier._stirred.is_set():  # noqa: ASYNC110 - the last words are done in the loop, or a thread
            await asyncio.sleep(0.001)
    value.append(1)
    session.data["n"] = 1
    async with asyncio.timeout(DEADLINE):
        while written(first, session.id) != {"n": 1} or start().keep("value", list) != [1]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_what_can_not_be_done_at_the_end_is_said(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """It is no error: the next start does it."""

    def fails() -> None:
        raise OSError("no process can be started")

    start(at_end=fails).carrier._told_to_end()
    assert "can't be removed at the end: no process can be started. The next start does it." in caplog.text


def test_after_the_end_nothing_is_written(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever still calls is not told of it."""
    called: list[bool] = []
    first = start(at_end=lambda: called.append(True))
    first.keep("value", list)
    first.end()
    first.end()
    first.carrier._told_to_end()
    first.carrier.look()
    assert first.carrier.flush() == 0
    assert called == []
    assert caplog.text == ""


SERVED = """
import asyncio, multiprocessing
from hotsession import bytecode
from tests.snapshot.carriers import Process
from hotsession.snapshot import carrier
bytecode.app_is_up = lambda: None
carrier.before_the_end = lambda callback: True
def work():
    process = Process(directory)
    value = process.keep("value", list)
    async def serve():
        process.carrier.settle_in()
    asyncio.run(serve())
    value.append("last")
if sys.argv[-1] == "worker":
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
else:
    work()
"""


@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["plain", "worker"])
def test_a_process_that_ends_by_itself_leaves_it_tidy(start: Start, tmp_path: Path, kind: str) -> None:
    """With what changed last, be it the main process or one that `multiprocessing` started."""
    start().end()
    code = SERVED.replace("sys.argv[-1]", repr(kind))
    with process(code, tmp_path / "snapshot") as served:
        assert served.wait(DEADLINE) == 0
    after = start()
    assert after.store.previous == "tidy"
    assert after.keep("value", list) == ["last"]


# the rest


async def test_a_reset_reaches_the_snapshot(start: Start) -> None:
    """What `hotsession.reset` drops does not come back with the next process."""
    first = start()
    install(first.carrier)
    first.keep("value", list).append(1)
    first.keep("other", list).append(1)
    registry.keep("sessions:manager", lambda: first.manager, kind="sessions")
    await first.session()
    first.carrier.flush()
    for name in ("value", "manager"):
        empty = emptier(names_for(name))
        registry.drop(name)
        empty()
    second = start()
    assert second.keep("value", list) == []
    assert second.keep("other", list) == [1]
    assert await second.manager.count() == 0


async def test_what_arrived_is_told_in_words(start: Start) -> None:
    """Numbers of sessions and names of values, for a line in the log."""
    first = start()
    assert first.carrier.arrivals() == ""
    for number in range(2):
        await first.session(str(number))
    first.keep("value", list)
    first.carrier.flush()
    assert start().carrier.arrivals() == f"2 sessions of {MANAGER!r}, 'value'"


WORKER = """
import asyncio
from tests.snapshot.carriers import Process
process = Process(directory)
async def main():
    session = await process.session()
    touches = process.records.touches.begin()
    touches.add(session.id)
    for number in range(10**9):
        session.data["n"] = number
        process.carrier.acknowledge(touches)
        say(number)
asyncio.run(main())
"""


@pytest.mark.e2e
async def test_a_killed_process_loses_nothing_acknowledged(start: Start, tmp_path: Path) -> None:
    """At whatever moment it is killed."""
    with process(WORKER, tmp_path / "snapshot") as worker:
        heard = int(line(worker))
        for _ in range(500):
            heard = int(line(worker))
        worker.kill()
        assert worker.stdout is not None
        heard = max([heard, *map(int, worker.stdout.read().split())])
    assert (await start().session()).data["n"] in (heard, heard + 1)
