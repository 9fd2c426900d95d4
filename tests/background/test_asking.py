"""Tasks without a host: asked for in an event loop, in threads, at import; and what one gets for it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

import hotsession
from hotsession import ConfigurationError
from hotsession.background import asking, run, unbegun
from hotsession.background.board import board
from tests.deadlines import DEADLINE
from tests.projects import until

pytestmark = pytest.mark.anyio


class Work:
    """A coroutine function that runs until it is let go, and notes what happens to it."""

    def __init__(self) -> None:
        self.begun = 0
        self.running = 0
        self.most = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        return self.begun


@pytest.fixture
async def work() -> Any:
    found = Work()
    yield found
    async with asyncio.timeout(DEADLINE):
        await board().end()


async def test_a_task_runs_in_the_background_and_gives_its_result(work: Work) -> None:
    """The handle tells how far it is, and awaiting it gives what the function returned."""
    handle = hotsession.task("work", work)
    assert (handle.name, handle.done()) == ("work", False)
    await until(lambda: work.begun == 1)
    assert handle.state == "running"
    with pytest.raises(asyncio.InvalidStateError, match="task 'work' has not ended: await it"):
        handle.result()
    assert "'work'" in repr(handle)
    assert "Work) running" in repr(handle)
    work.gate.set()
    assert await handle == 1
    assert (handle.state, handle.done(), handle.result(), handle.exception()) == ("done", True, 1, None)


async def test_who_asks_again_gets_the_one_that_runs(work: Work) -> None:
    """However often, and from however many tasks and threads at once; when it has ended it begins anew."""

    async def ask() -> Any:
        return hotsession.task("work", work)

    async def ask_in_thread() -> Any:
        return await anyio.to_thread.run_sync(hotsession.task, "work", work)

    handles = await asyncio.gather(*(each() for _ in range(20) for each in (ask, ask_in_thread)))
    assert len(set(map(id, handles))) == 1
    work.gate.set()
    await handles[0]
    assert work.begun == 1
    assert await hotsession.task("work", work) == 2


async def test_a_function_that_each_request_makes_anew_is_one_task(work: Work) -> None:
    """It is the same code with the same arguments."""

    def ask(user: str) -> Any:
        async def greet() -> str:
            await work()
            return user

        return hotsession.task("greet", greet)

    first = ask("ann")
    assert ask("ann") is first
    with pytest.raises(
        ConfigurationError, match=r"task 'greet' is .*greet with other arguments already, and .*greet is"
    ):
        ask("bob")


async def test_another_function_by_the_name_is_refused(work: Work) -> None:
    """The message names both, and what to do."""
    hotsession.task("work", partial(work))
    with pytest.raises(
        ConfigurationError,
        match=r"'work' is .*Work with other arguments already, and .*Work is asked for: use another name, or cancel",
    ):
        hotsession.task("work", Work())
    assert board().has_something


async def test_after_a_cancellation_another_follows(work: Work) -> None:
    """It waits until the one before has ended: two never run at once."""
    first = hotsession.task("work", work)
    await until(lambda: work.running == 1)
    first.cancel()
    second = hotsession.task("work", work)
    assert second is not first
    assert second.state == "waiting"
    await first.wait()
    assert first.state == "cancelled"
    with pytest.raises(asyncio.CancelledError, match="task 'work' was cancelled"):
        first.result()
    await until(lambda: work.begun == 2)
    assert (second.state, work.most) == ("running", 1)


async def test_one_that_waits_can_be_cancelled(work: Work) -> None:
    """It never begins; the one before goes its way."""
    first = hotsession.task("work", work)
    first.cancel()
    second = hotsession.task("work", work)
    second.cancel()
    assert second.state == "cancelled"
    await first.wait()
    await asyncio.sleep(0)
    assert work.begun <= 1
    assert not board().has_something


async def test_a_task_that_is_cancelled_before_its_first_step_never_takes_it(work: Work) -> None:
    """As in asyncio."""
    handle = hotsession.task("work", work)
    handle.cancel()
    await handle.wait()
    assert (handle.state, work.begun) == ("cancelled", 0)


async def test_a_failure_is_logged_once_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    """Also when nobody ever awaits it; whoever does gets the error. Asking again begins it again."""

    async def work() -> None:
        raise ValueError("no more paper")

    handle = hotsession.task("printer", work)
    await handle.wait()
    with pytest.raises(ValueError, match="no more paper"):
        await handle
    [record] = caplog.records
    assert "Task 'printer'" in record.message
    assert "failed: ValueError: no more paper" in record.message
    assert "The next hotsession.task() of this name starts it again." in record.message
    assert record.exc_info is not None
    assert isinstance(handle.exception(), ValueError)
    assert handle.exception().__traceback__ is None or handle.state == "failed"  # type: ignore[union-attr]
    again = hotsession.task("printer", work)
    assert again is not handle
    await again.wait()
    assert len(caplog.records) == 2


async def exits() -> None:
    sys.exit(3)


async def cancels_itself() -> None:
    raise asyncio.CancelledError


async def interrupts() -> None:
    raise RecursionError


@pytest.mark.parametrize("function", [exits, cancels_itself, interrupts])
async def test_whatever_it_raises_is_a_failure(function: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    """`sys.exit()` does not end the server, and a cancellation that nobody asked for is not silent."""
    handle = hotsession.task("odd", function)
    await handle.wait()
    assert handle.state == "failed"
    assert "Task 'odd'" in caplog.text


async def test_it_belongs_to_no_request(work: Work) -> None:
    """Nothing of the context of whoever asks gets into the task."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
    variable.set("of the request")

    async def look() -> tuple[str, object]:
        return variable.get(), hotsession.current_session()

    assert await hotsession.task("look", look) == ("nothing", None)


async def test_what_it_changes_in_sessions_is_saved_before_the_next_begins(tmp_path: Any) -> None:
    """In a storage that wants bytes as well: the one that follows goes on where it was."""
    jobs = hotsession.sessions("jobs", storage=hotsession.SQLiteStorage(tmp_path / "jobs.db"))
    steps: list[int] = []

    async def work() -> None:
        session = await jobs.get_or_create("job", data={"step": 0})
        steps.append(session.data["step"])
        while True:
            session.data["step"] += 1
            await asyncio.sleep(0)
            if session.data["step"] % 10 == 0:
                await asyncio.sleep(60)

    first = hotsession.task("job", work)
    await until(lambda: len(steps) == 1)
    await asyncio.sleep(0.05)
    first.cancel()
    second = hotsession.task("job", work)
    await until(lambda: len(steps) == 2)
    assert steps == [0, 10]
    second.cancel()
    await second.wait()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (len, "needs a coroutine function .*, and got <built-in function len>: what blocks is run in a thread"),
        (None, "needs a coroutine function .*, and got None"),
    ],
)
async def test_what_is_no_coroutine_function_is_refused(function: Any, message: str) -> None:
    """Before it blocks the event loop."""
    with pytest.raises(ConfigurationError, match=message):
        hotsession.task("work", function)


async def test_a_coroutine_in_place_of_its_function_is_refused() -> None:
    """It could not be run a second time; the message shows what to write. No warning of Python's follows."""

    async def work(user: str) -> None: ...

    coroutine: Any = work("ann")
    with pytest.raises(ConfigurationError, match=r"give it work, and not work\(\); functools.partial\(work, ...\)"):
        hotsession.task("work", coroutine)


async def test_an_unknown_rule_is_refused(work: Work) -> None:
    """A typing error would else be found at the first reload."""
    rule: Any = "stop"
    with pytest.raises(ConfigurationError, match="on_reload='stop': it is 'finish', 'restart' or 'keep'"):
        hotsession.task("work", work, on_reload=rule)


async def test_a_task_that_waits_for_itself_is_told_so() -> None:
    """It would wait for ever."""

    async def work() -> None:
        await handle

    handle: Any = hotsession.task("work", work)
    with pytest.raises(ConfigurationError, match="task 'work' waits for its own end"):
        await handle


async def test_it_can_be_awaited_in_another_event_loop(work: Work) -> None:
    """A thread with a loop of its own, on asyncio or trio."""
    handle = hotsession.task("work", work)

    async def outcome() -> int:
        return await handle

    run_in_thread = asyncio.get_running_loop().run_in_executor
    results = [run_in_thread(None, partial(anyio.run, outcome, backend=each)) for each in ("asyncio", "trio")]
    await asyncio.sleep(0.05)
    work.gate.set()
    assert await asyncio.gather(*results) == [1, 1]


async def test_who_waits_can_be_cancelled_and_the_task_goes_on(work: Work) -> None:
    """A client that goes away takes no background work with it."""
    handle = hotsession.task("work", work)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(handle.wait(), 0.01)
    assert handle.state == "running"


async def test_who_ignores_its_cancellation_is_named_and_nothing_runs_beside_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, work: Work
) -> None:
    """The log says where it is; what follows waits until it has ended after all."""
    monkeypatch.setattr(run, "PATIENCE_SECONDS", 0.01)
    gate = asyncio.Event()
    begun = asyncio.Event()

    async def deaf() -> str:
        while not gate.is_set():
            try:
                begun.set()
                await gate.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    handle = hotsession.task("work", deaf)
    await begun.wait()
    handle.cancel()
    following = hotsession.task("work", work)
    await until(lambda: "goes on at" in caplog.text)
    line = deaf.__code__.co_firstlineno + 4
    assert f"deaf) was cancelled 0 s ago and goes on at {__file__}:{line}. Nothing else runs by its name" in caplog.text
    assert (following.state, work.begun) == ("waiting", 0)
    gate.set()
    assert await handle == "at last"
    await until(lambda: work.begun == 1)


async def test_the_end_waits_a_bounded_time_for_who_ignores_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server has to end; the log names who was left behind."""
    monkeypatch.setattr("hotsession.background.board.PATIENCE_SECONDS", 0.01)
    gate = asyncio.Event()

    async def deaf() -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    handle = hotsession.task("deaf", deaf)
    await asyncio.sleep(0.01)
    async with asyncio.timeout(DEADLINE):
        await board().end()
    assert "Task 'deaf'" in caplog.text
    assert "because the server ends, and still goes on" in caplog.text
    assert handle.done()
    gate.set()
    await asyncio.sleep(0.01)


async def test_the_end_cancels_all_and_waits_for_their_cleanup(work: Work) -> None:
    """Also for one that was asked for to follow, which never begins."""
    cleaned: list[str] = []

    async def careful() -> None:
        try:
            await work()
        finally:
            await asyncio.sleep(0)
            cleaned.append("careful")

    handles: list[hotsession.TaskHandle[Any]]
    handles = [hotsession.task("careful", careful), hotsession.task("work", work, on_reload="keep")]
    await until(lambda: work.running == 2)
    handles[1].cancel()
    handles.append(hotsession.task("work", work))
    await board().end()
    assert cleaned == ["careful"]
    assert [each.state for each in handles] == ["cancelled"] * 3
    assert not board().has_something


# where no event loop runs yet


class Importing:
    """Stands for a module that is in the midst of its import."""

    __spec__ = types.SimpleNamespace(_initializing=True)


@pytest.fixture
def importing() -> Iterator[Callable[[], None]]:
    sys.modules["a module that is imported"] = Importing  # type: ignore[assignment]
    yield lambda: sys.modules.__delitem__("a module that is imported")
    sys.modules.pop("a module that is imported", None)


async def test_asked_for_at_import_in_a_running_loop_it_begins_after_the_import(
    importing: Callable[[], None], monkeypatch: pytest.MonkeyPatch, work: Work
) -> None:
    """So does uvicorn import apps; without our middleware nobody says when the lifespan has started."""
    monkeypatch.setattr(asking, "MIDDLEWARE", "no such module")
    handle = hotsession.task("work", work)
    assert handle.state == "waiting"
    importing()
    await until(lambda: handle.state == "running")


async def test_with_the_middleware_it_waits_for_the_lifespan(
    importing: Callable[[], None], monkeypatch: pytest.MonkeyPatch, work: Work
) -> None:
    """Which the middleware sees."""
    monkeypatch.setattr(asking, "MIDDLEWARE", "asyncio")
    handle = hotsession.task("work", work)
    importing()
    await asyncio.sleep(0.01)
    assert handle.state == "waiting"
    board().open(asyncio.get_running_loop())
    await until(lambda: handle.state == "running")


def test_what_never_begins_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of ours in the app learns that it has started; the log says what to do."""
    monkeypatch.setattr(unbegun, "MIDDLEWARE", "no such module")
    monkeypatch.setattr(unbegun, "SECONDS", 0.0)
    handle = hotsession.task("work", Work.__call__)  # type: ignore[arg-type]
    asyncio.run(until(lambda: "has not begun" in caplog.text))
    assert "Task 'work' was asked for at import and has not begun" in caplog.text
    assert "ask for the task in its lifespan" in caplog.text
    assert handle.state == "waiting"


def test_asked_for_before_a_loop_runs_it_begins_with_each_life_of_the_app() -> None:
    """Tests start the same app again and again, and its module is imported once."""
    lives: list[str] = []

    async def work() -> None:
        lives.append("begun")
        await asyncio.sleep(60)

    handle = hotsession.task("work", work)

    async def live(number: int) -> None:
        board().open(asyncio.get_running_loop())
        await until(lambda: len(lives) == number)
        await board().end()
        assert handle.state == "cancelled"

    for number in (1, 2, 3):
        asyncio.run(live(number))


def test_a_thread_without_a_loop_has_its_task_begun_in_that_of_the_app() -> None:
    """Whatever thread it is, once the app is up."""

    async def where() -> object:
        return asyncio.get_running_loop()

    async def live() -> None:
        board().open(asyncio.get_running_loop())
        handles: list[Any] = []
        thread = threading.Thread(target=lambda: handles.append(hotsession.task("where", where)))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert await handles[0] is asyncio.get_running_loop()

    asyncio.run(live())


def test_the_end_of_the_event_loop_ends_it() -> None:
    """Without a server: `asyncio.run` cancels it, and its name is free again."""

    async def work() -> None:
        await asyncio.sleep(60)

    async def ask() -> Any:
        handle = hotsession.task("work", work)
        await until(lambda: handle.state == "running")
        return handle

    first = asyncio.run(ask())
    assert first.state == "cancelled"
    assert asyncio.run(ask()) is not first


def test_a_loop_that_is_closed_under_it_ends_it() -> None:
    """Nobody says that it has ended; who asks for the name next finds out."""

    async def work() -> None:
        await asyncio.sleep(60)

    async def ask() -> Any:
        handle = hotsession.task("work", work)
        await asyncio.sleep(0.01)
        return handle

    loop = asyncio.new_event_loop()
    first = loop.run_until_complete(ask())
    loop.close()
    second = asyncio.run(ask())
    assert (first.state, second is first) == ("cancelled", False)


def test_trio_is_told_that_it_can_not() -> None:
    """In place of never beginning."""

    async def work() -> None: ...

    async def ask() -> None:
        with pytest.raises(ConfigurationError, match="needs asyncio, and this is trio"):
            hotsession.task("work", work)
        with pytest.raises(ConfigurationError, match="needs asyncio, and this is trio"):
            await anyio.to_thread.run_sync(hotsession.task, "work", work)

    anyio.run(ask, backend="trio")


def test_the_copy_of_the_main_program_that_nobody_serves_begins_nothing() -> None:
    """A reloader's worker runs the main file as `__mp_main__` before the app is imported from it."""
    namespace: dict[str, Any] = {"__name__": "__mp_main__", "hotsession": hotsession}
    source = "async def work(): ...\nhandle = hotsession.task('work', work)"
    exec(source, namespace)  # noqa: S102
    assert namespace["handle"].state == "waiting"
    assert not board().has_something


@pytest.mark.parametrize("on_reload", ["finish", "restart", "keep"])
async def test_another_reloader_that_runs_the_module_again_is_a_reload(on_reload: Any) -> None:
    """`importlib.reload` and what builds on it: the new code asks, and what it says about reloads is done."""
    gates = [asyncio.Event(), asyncio.Event()]
    trace: list[str] = []
    source = """
async def work():
    trace.append("begin {0}")
    try:
        await gates[{0}].wait()
    finally:
        trace.append("end {0}")
"""
    module: dict[str, Any] = {"__name__": "reloaded", "gates": gates, "trace": trace}
    exec(compile(source.format(0), "reloaded.py", "exec"), module)  # noqa: S102
    first = hotsession.task("work", module["work"], on_reload=on_reload)
    await until(lambda: trace == ["begin 0"])
    exec(compile(source.format(1), "reloaded.py", "exec"), module)  # noqa: S102
    second = hotsession.task("work", module["work"], on_reload=on_reload)
    assert (second is first) == (on_reload == "keep")
    if on_reload == "finish":
        assert second.state == "waiting"
        gates[0].set()
    if on_reload != "keep":
        await until(lambda: trace == ["begin 0", "end 0", "begin 1"])
    for gate in gates:
        gate.set()
    await second.wait()


async def test_a_finished_one_leaves_nothing_on_the_board(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    """It holds no code of what has ended, and says nothing."""
    caplog.set_level(logging.INFO)
    work.gate.set()
    handle = hotsession.task("work", work)
    await handle
    assert not board().has_something
    assert "Board []" in repr(board())
    assert caplog.records == []
