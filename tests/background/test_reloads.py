"""Named tasks across swaps: what finishes, what is restarted, what is kept, and what a load that fails leaves alone."""

from __future__ import annotations

import asyncio
import logging
import sys
import weakref
from typing import Any

import pytest

import hotsession
from hotsession.background import run
from hotsession.background.board import board
from hotsession.registry import registry
from hotsession.reload.generation import Work
from tests.projects import Project, barrier, trace, until

pytestmark = pytest.mark.anyio

# `work` runs until its gate is opened; the code says its version. `{ask}` is where the code asks for it.
MAIN = """
    import asyncio
    import functools
    import hotsession
    from tests.projects import answering, barrier, trace
    app = answering(globals())
    gates = hotsession.keep("gates", dict)

    def index(): return "{version}"

    async def work(user="nobody"):
        trace.append("begin {version}")
        try:
            await gates.setdefault("{version}", asyncio.Event()).wait()
            return "{version}"
        finally:
            trace.append("end {version}")

    def ask():
        handle = hotsession.task("work", work, on_reload="{on_reload}")
        return handle.state
    def ask_for_another():
        async def another(): trace.append("another {version}")
        return hotsession.task("work", another, on_reload="{on_reload}").state
    def startup(state): pass
    def shutdown(): trace.append("shutdown {version}")
"""
AT_IMPORT = "\n    ask()\n"
IN_LIFESPAN = "\n    def startup(state): ask()\n"
IN_ASYNC_LIFESPAN = "\n    async def startup(state): await asyncio.sleep(0); ask()\n"
IN_REQUEST = ""
WAYS = {"import": AT_IMPORT, "lifespan": IN_LIFESPAN, "async lifespan": IN_ASYNC_LIFESPAN}


def main(version: str, on_reload: str = "restart", more: str = "") -> dict[str, str | None]:
    """The project in a version."""
    return {"main.py": (MAIN + more).replace("{version}", version).replace("{on_reload}", on_reload)}


def open_gate(version: str) -> None:
    """Let the task of a version return."""
    registry.find("gates").value.setdefault(version, asyncio.Event()).set()


def happened(*events: object) -> Any:
    """A condition: these events happened, in this order; when the apps shut down does not count."""
    return lambda: tasks_trace() == list(events)


def tasks_trace() -> list[Any]:
    """What tasks noted."""
    return [each for each in trace if not str(each).startswith("shutdown")]


@pytest.mark.parametrize("way", WAYS)
async def test_a_task_begins_when_its_code_is_in_place(project: Project, way: str) -> None:
    """Asked for while it is loaded or starts up; not before requests can be answered by it."""
    await project.start(main("1", more=WAYS[way]))
    await until(happened("begin 1"))
    assert await project.get() == "1"


@pytest.mark.parametrize("way", WAYS)
async def test_restart_ends_the_old_and_then_begins_the_new(project: Project, way: str) -> None:
    """One after the other, and the report says it."""
    await project.start(main("1", more=WAYS[way]))
    await until(happened("begin 1"))
    outcome = await project.reload(main("2", more=WAYS[way]))
    assert outcome.tasks == ("'work' restarted",)
    await until(happened("begin 1", "end 1", "begin 2"))
    outcome = await project.reload(main("3", more=WAYS[way]))
    await until(happened("begin 1", "end 1", "begin 2", "end 2", "begin 3"))


async def test_what_a_request_began_is_restarted_though_the_new_code_was_not_asked(project: Project) -> None:
    """By the function of the same name; a request that asks for it gets the one that runs."""
    await project.start(main("1"))
    assert await project.get("/ask") == "running"
    await until(happened("begin 1"))
    assert (await project.reload(main("2"))).tasks == ("'work' restarted",)
    await until(happened("begin 1", "end 1", "begin 2"))
    assert await project.get("/ask") == "running"
    assert happened("begin 1", "end 1", "begin 2")()


async def test_arguments_go_along(project: Project) -> None:
    """An agent per user, begun by that user's request."""
    agents = """
    async def work(user="nobody"):
        trace.append(("{version}", user))
        await asyncio.sleep(600)
    def ask():
        for user in ("ann", "bob"):
            hotsession.task(f"agent of {user}", functools.partial(work, user), on_reload="restart")
    """
    await project.start(main("1", more=agents))
    await project.get("/ask")
    outcome = await project.reload(main("2", more=agents))
    assert outcome.tasks == ("'agent of ann' restarted", "'agent of bob' restarted")
    await until(lambda: tasks_trace()[2:] == [("2", "ann"), ("2", "bob")])


async def test_without_a_successor_it_ends_and_the_log_says_so(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """The function was renamed or removed, and nobody asked for another."""
    await project.start(main("1", more=AT_IMPORT))
    await until(happened("begin 1"))
    files = main("2")
    files["main.py"] = str(files["main.py"]).replace("work(user", "labour(user")
    assert (await project.reload(files)).tasks == ("'work' ended",)
    await until(happened("begin 1", "end 1"))
    assert "Task 'work' ends: the new code does not ask for it, and has no coroutine function main.work" in caplog.text
    await asyncio.sleep(0)
    assert not board().has_something


async def test_another_function_may_take_over_what_was_restarted_by_itself(project: Project) -> None:
    """The code asks in a request, and means another function by that name now: no error, its word counts."""
    await project.start(main("1"))
    await project.get("/ask")
    await project.reload(main("2"))
    await until(happened("begin 1", "end 1", "begin 2"))
    await project.get("/ask_for_another")
    await until(happened("begin 1", "end 1", "begin 2", "end 2", "another 2"))


async def test_two_functions_by_one_name_are_an_error_of_the_load(project: Project) -> None:
    """It fails, and what ran goes on."""
    await project.start(main("1", more=AT_IMPORT))
    await until(happened("begin 1"))
    failed = await project.fail(main("2", more=AT_IMPORT + "    ask_for_another()\n"))
    assert "use another name, or cancel that one first" in str(failed.error)
    assert happened("begin 1")()


@pytest.mark.parametrize("way", WAYS)
async def test_finish_lets_the_old_end_and_then_begins_the_new(project: Project, way: str) -> None:
    """Never two at once: until then the new one waits, and the report names the old as work of old code."""
    await project.start(main("1", "finish", WAYS[way]))
    await until(happened("begin 1"))
    await project.reload(main("2", "finish", WAYS[way]))
    assert project.host._reloader is not None
    assert project.host._reloader.retirement.busy() == ("task 'work' (main.work), which the new code waits for",)
    assert await project.get("/ask") == "waiting"
    open_gate("1")
    await until(happened("begin 1", "end 1", "begin 2"))


def test_a_run_is_work_of_a_generation() -> None:
    """It has all that a generation asks of its work; the type checker compares what it takes and returns."""
    work: type[Work] = run.Run
    assert {name for name in vars(Work) if not name.startswith("_")} <= set(dir(work))


async def test_finish_begins_nothing_by_itself(project: Project) -> None:
    """A job that a request began is done once."""
    await project.start(main("1", "finish"))
    await project.get("/ask")
    outcome = await project.reload(main("2", "finish"))
    assert outcome.tasks == ()
    open_gate("1")
    await until(happened("begin 1", "end 1"))
    await project.drained()
    assert not board().has_something


async def test_of_several_saves_the_newest_code_follows(project: Project) -> None:
    """What asked in between never begins."""
    await project.start(main("1", "finish", AT_IMPORT))
    await until(happened("begin 1"))
    await project.reload(main("2", "finish", AT_IMPORT))
    await project.reload(main("3", "finish", AT_IMPORT))
    open_gate("1")
    await until(happened("begin 1", "end 1", "begin 3"))


async def test_a_request_of_code_in_between_gets_the_newest(project: Project) -> None:
    """It asked for a second run of a job, which waits; the next save renews its code, and who waits for it goes on."""
    waiting = "    async def wait_for_it(): return await hotsession.task('work', work)\n"
    await project.start(main("1", "finish", AT_IMPORT))
    await until(happened("begin 1"))
    await project.reload(main("2", "finish", waiting))
    request = project.open("/wait_for_it")
    await project.reload(main("3", "finish", waiting))
    open_gate("1")
    await until(happened("begin 1", "end 1", "begin 3"))
    open_gate("3")
    assert (await request.end()).text == "3"


@pytest.mark.parametrize("way", [*WAYS, "request", "never"])
async def test_keep_goes_on_untouched(project: Project, way: str) -> None:
    """On its own code; whoever asks for it in new code gets that one."""
    more = WAYS.get(way, "")
    await project.start(main("1", "keep", more))
    await project.get("/ask")
    await until(happened("begin 1"))
    outcome = await project.reload(main("2", "keep", more))
    assert outcome.tasks == ("'work' kept",)
    if way != "never":
        assert await project.get("/ask") == "running"
    await project.drained()
    open_gate("1")
    await until(happened("begin 1", "end 1"))
    assert await project.get("/ask") == "running"
    await until(happened("begin 1", "end 1", "begin 2"))


async def test_new_code_that_asks_at_import_holds_the_one_that_is_kept(project: Project) -> None:
    """Its handle is of that run: it tells its end and its result."""
    handle = (
        "\n    handle = hotsession.task('work', work, on_reload='keep')\n    async def result(): return await handle\n"
    )
    await project.start(main("1", more=handle))
    await until(happened("begin 1"))
    await project.reload(main("2", more=handle))
    request = project.open("/result")
    open_gate("1")
    assert (await request.end()).text == "1"


async def test_what_is_kept_does_not_hold_up_the_end_of_its_code(project: Project) -> None:
    """Else what else the lifespan of that code began would run twice from the first save on."""
    await project.start(main("1", "keep", AT_IMPORT))
    await until(happened("begin 1"))
    await project.reload(main("2", "keep", AT_IMPORT))
    await project.drained()
    assert trace == ["begin 1", "shutdown 1"]


async def test_what_finishes_has_its_lifespan_and_services_until_then(project: Project) -> None:
    """The app of its code ends after it."""
    await project.start(main("1", "finish", AT_IMPORT))
    await until(happened("begin 1"))
    await project.reload(main("2", "finish", AT_IMPORT))
    await project.reload(main("3", "finish"))
    open_gate("1")
    await project.drained()
    assert trace.index("shutdown 1") > trace.index("end 1")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("keep", "restart", ("begin 1", "end 1", "begin 2")),
        ("finish", "restart", ("begin 1", "end 1", "begin 2")),
        ("restart", "keep", ("begin 1",)),
        ("restart", "finish", ("begin 1",)),
    ],
)
async def test_the_word_of_the_newest_code_counts(
    project: Project, before: str, after: str, expected: tuple[str, ...]
) -> None:
    """Who edits the rule and saves sees it followed by that very save."""
    await project.start(main("1", before, AT_IMPORT))
    await until(happened("begin 1"))
    await project.reload(main("2", after, AT_IMPORT))
    await until(happened(*expected))
    assert await project.get("/ask") == ("waiting" if after == "finish" else "running")


BROKEN = {
    "import": "\n    ask()\n    1 / 0\n",
    "start-up": "\n    ask()\n    def startup(state): 1 / 0\n",
}


@pytest.mark.parametrize("on_reload", ["finish", "restart", "keep"])
@pytest.mark.parametrize("stage", BROKEN)
async def test_a_load_that_fails_touches_no_task(project: Project, on_reload: str, stage: str) -> None:
    """Nothing it asked for stays, and what runs goes on; the save that mends it does what it says."""
    await project.start(main("1", on_reload, AT_IMPORT))
    await until(happened("begin 1"))
    await project.fail(main("2", on_reload, BROKEN[stage]))
    await asyncio.sleep(0.01)
    assert happened("begin 1")()
    assert await project.get("/ask") == "running"
    await project.reload(main("3", "restart", AT_IMPORT))
    await until(happened("begin 1", "end 1", "begin 3"))


async def test_the_handle_of_a_load_that_failed_is_cancelled(project: Project) -> None:
    """Whoever it was given to does not wait for ever."""
    sharing = "\n    handles = hotsession.keep('handles', list)\n    handles.append(hotsession.task('work', work))\n"
    await project.start(main("1", more="\n    handles = hotsession.keep('handles', list)\n"))
    await project.fail(main("2", more=sharing + "    1 / 0\n"))
    [handle] = registry.find("handles").value
    assert handle.state == "cancelled"
    await handle.wait()


async def test_start_up_that_waits_for_its_task_is_told_why_it_can_not(project: Project) -> None:
    """The task begins when the code is in place, and that waits for the start-up."""
    await project.start(main("1"))
    waiting = "\n    async def startup(state): await hotsession.task('work', work)\n"
    failed = await project.fail(main("2", more=waiting))
    assert "task 'work' begins when the new code is in place" in str(failed.error)


FAILING = "\n    async def work():\n        trace.append('begin {version}')\n        1 / 0\n"


async def test_a_save_starts_again_what_failed(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """The code asked for it in a request, and the save is the fix."""
    await project.start(main("1", more=FAILING))
    await project.get("/ask")
    await until(lambda: "Task 'work' (main.work) failed: ZeroDivisionError" in caplog.text)
    assert "The next reload starts it again." in caplog.text
    assert (await project.reload(main("2"))).tasks == ("'work' started again",)
    await until(happened("begin 1", "begin 2"))


@pytest.mark.parametrize("on_reload", ["finish", "restart", "keep"])
async def test_new_code_that_asks_begins_what_had_failed(project: Project, on_reload: str) -> None:
    """Whatever a reload means for it."""
    await project.start(main("1", on_reload, FAILING + AT_IMPORT))
    await until(lambda: not board().has_something or on_reload == "restart")
    await until(happened("begin 1"))
    await project.reload(main("2", on_reload, AT_IMPORT))
    await until(happened("begin 1", "begin 2"))


async def test_what_was_cancelled_is_not_started_again(project: Project) -> None:
    """Somebody wanted it to end."""
    cancelling = "\n    def cancel(): hotsession.task('work', work, on_reload='restart').cancel()\n"
    await project.start(main("1", more=AT_IMPORT + cancelling))
    await until(happened("begin 1"))
    await project.get("/cancel")
    await until(happened("begin 1", "end 1"))
    assert (await project.reload(main("2", more=cancelling))).tasks == ()
    assert not board().has_something


async def test_it_begins_after_the_hooks_of_the_code_before(project: Project) -> None:
    """So it finds what they left for it."""
    hooks = """
    hot = hotsession.module(__name__)
    @hot.on_dispose
    async def leave():
        await asyncio.sleep(0.01)
        hot.data["left"] = "by {version}"
    async def work():
        trace.append(hot.data.get("left"))
        await asyncio.sleep(600)
    """
    await project.start(main("1", more=hooks + AT_IMPORT))
    await until(lambda: trace == [None])
    await project.reload(main("2", more=hooks + AT_IMPORT))
    await until(happened(None, "by 1"))


async def test_old_code_that_drains_begins_nothing_beside_the_new(project: Project) -> None:
    """A request of it asks for the task late, and gets the one of the new code."""
    late = """
    async def ask_late():
        await barrier.wait_async()
        return hotsession.task("work", work, on_reload="restart").state
    """
    await project.start(main("1", more=late))
    barrier.close()
    request = project.open("/ask_late")
    await barrier.reached()
    await project.reload(main("2", more=late + AT_IMPORT))
    await until(happened("begin 2"))
    barrier.open()
    assert (await request.end()).text == "running"
    assert happened("begin 2")()


async def test_the_imports_of_a_task_are_those_of_its_code(project: Project) -> None:
    """It imports late, after the swap, and gets what belongs to it."""
    late = """
    async def work():
        trace.append("begin {version}")
        await gates.setdefault("{version}", asyncio.Event()).wait()
        from other import VERSION
        trace.append(f"{version} imports {VERSION}")
        trace.append(await hotsession.get_service(Service) is SERVICE)
    @hotsession.service
    class Service: ...
    async def startup(state):
        global SERVICE
        SERVICE = await hotsession.get_service(Service)
    """
    other = {"other.py": "VERSION = 1"}
    await project.start({**main("1", "finish", "    import other\n" + late + AT_IMPORT), **other})
    await until(happened("begin 1"))
    await project.reload({**main("2", "finish", "    import other\n" + late), "other.py": "VERSION = 2"})
    open_gate("1")
    await until(happened("begin 1", "1 imports 1", True))


@pytest.mark.parametrize("on_reload", ["finish", "restart", "keep"])
async def test_old_code_is_collected_when_its_task_has_ended(project: Project, on_reload: str) -> None:
    """Nothing of ours holds on to it; while it runs its code is there."""
    await project.start(main("1", on_reload, AT_IMPORT))
    await until(happened("begin 1"))
    module = weakref.ref(sys.modules["main"])
    function = weakref.ref(sys.modules["main"].work)
    await project.reload(main("2", on_reload, AT_IMPORT))
    assert on_reload == "restart" or function() is not None
    open_gate("1")
    await until(lambda: "end 1" in trace)
    await project.get()
    assert await project.collect([function, module]) == []


async def test_a_failed_task_holds_no_old_code(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """Neither its error does, nor our memory of it; the handle may be held by a kept value."""
    caplog.set_level(logging.CRITICAL, "hotsession")  # pytest keeps the records, and with them the traceback
    sharing = "\n    handles = hotsession.keep('handles', list)\n    handles.append(hotsession.task('work', work))\n"
    await project.start(main("1", more=FAILING + sharing))
    await until(happened("begin 1"))
    function = weakref.ref(sys.modules["main"].work)
    await project.reload(main("2"))
    await project.get()
    assert await project.collect([function]) == []


async def test_a_task_that_ignores_its_cancellation_holds_up_its_successor_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """New code serves at once; the log names who does not end."""
    monkeypatch.setattr(run, "PATIENCE_SECONDS", 0.01)
    deaf = """
    async def work():
        trace.append("begin {version}")
        gate = gates.setdefault("{version}", asyncio.Event())
        while not gate.is_set():
            try: await gate.wait()
            except asyncio.CancelledError: pass
        trace.append("end {version}")
    """
    await project.start(main("1", more=deaf + AT_IMPORT))
    await until(happened("begin 1"))
    await project.reload(main("2", more=AT_IMPORT))
    assert await project.get() == "2"
    await until(lambda: "was cancelled 0 s ago and goes on at" in caplog.text)
    assert happened("begin 1")()
    open_gate("1")
    await until(happened("begin 1", "end 1", "begin 2"))


async def test_what_finishes_for_long_is_told_how_to_restart(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An endless loop with the default would hold up its successor for ever, and its author wonder why."""
    monkeypatch.setattr(run, "PATIENCE_SECONDS", 0.01)
    caplog.set_level(logging.INFO)
    await project.start(main("1", "finish", AT_IMPORT))
    await until(happened("begin 1"))
    await project.reload(main("2", "finish", AT_IMPORT))
    await until(lambda: 'ask for it with on_reload="restart"' in caplog.text)


async def test_stop_first_waits_for_no_task(project: Project) -> None:
    """Requests are held meanwhile: the old app ends, the new one starts, and then tasks change places."""
    options = {"handover": "stop-first"}
    await project.start(main("1", "restart", AT_IMPORT), **options)
    await until(happened("begin 1"))
    await project.reload(main("2", "finish", AT_IMPORT))
    assert trace[:2] == ["begin 1", "shutdown 1"]
    assert await project.get() == "2"
    open_gate("1")
    await until(happened("begin 1", "end 1", "begin 2"))


async def test_a_reset_restarts_what_is_kept(project: Project) -> None:
    """It would go on with values that were dropped."""
    await project.start(main("1", "keep", AT_IMPORT))
    await until(happened("begin 1"))
    await project.host.reset(None)
    await until(happened("begin 1", "end 1", "begin 1"))


@pytest.mark.parametrize("on_reload", ["finish", "restart", "keep"])
async def test_the_end_of_the_server_ends_it_before_the_lifespan(project: Project, on_reload: str) -> None:
    """What it uses is there until it has ended; also what finishes on old code."""
    await project.start(main("1", on_reload, AT_IMPORT))
    await until(happened("begin 1"))
    await project.reload(main("2", on_reload, AT_IMPORT))
    if on_reload != "finish":
        await project.drained()
    await project.stop()
    begun = [each.removeprefix("begin ") for each in trace if each.startswith("begin")]
    ended = [each.removeprefix("end ") for each in trace if each.startswith("end")]
    assert (begun, trace[-1]) == (ended, "shutdown 2")
    assert not board().has_something


@pytest.mark.parametrize("on_reload", ["finish", "restart", "keep"])
async def test_a_process_that_makes_room_for_another_has_no_endless_task(project: Project, on_reload: str) -> None:
    """The next one is about to begin it, while this one may have requests for long; a job may finish."""
    await project.start(main("1", on_reload, AT_IMPORT))
    await until(happened("begin 1"))
    project.host.begin_drain()
    if on_reload == "finish":
        open_gate("1")
    await until(happened("begin 1", "end 1"))
    await until(lambda: not board().has_something)


async def test_a_sync_endpoint_asks_in_its_thread(project: Project) -> None:
    """The task runs in the event loop, for the generation of the request."""
    threaded = """
    async def ask_in_thread():
        return (await asyncio.to_thread(hotsession.task, "work", work, on_reload="restart")).name
    """
    await project.start(main("1", more=threaded))
    assert await project.get("/ask_in_thread") == "work"
    await until(happened("begin 1"))
    await project.reload(main("2", more=threaded))
    await until(happened("begin 1", "end 1", "begin 2"))


async def test_a_burst_of_saves_runs_one_at_a_time(project: Project) -> None:
    """Twenty saves while requests ask for it: no two runs overlap, and the last code is what runs."""
    await project.start(main("0", more=AT_IMPORT))
    for number in range(1, 21):
        asking = asyncio.gather(*(project.get("/ask") for _ in range(3)))
        await project.reload(main(str(number), more=(AT_IMPORT, IN_LIFESPAN, IN_REQUEST)[number % 3]))
        await asking
    await until(lambda: "begin 20" in trace)
    events = tasks_trace()
    for begin, end in zip(events[::2], events[1::2], strict=False):
        assert begin.replace("begin", "end") == end
    assert events[-1] == "begin 20"


async def test_what_no_host_loaded_is_touched_by_no_swap(project: Project) -> None:
    """The module that makes the host may have tasks of its own."""

    async def outside() -> None:
        await asyncio.sleep(600)

    handle = hotsession.task("outside", outside, on_reload="restart")
    await project.start(main("1"))
    assert (await project.reload(main("2"))).tasks == ()
    assert handle.state == "running"
