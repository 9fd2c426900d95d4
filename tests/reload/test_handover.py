"""From the old app to the new: start-up, swap, hooks, shutdown; and what goes on when one of them fails."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.deadlines import DEADLINE
from tests.projects import Project, barrier, lines, trace, until

pytestmark = pytest.mark.anyio

HEAD = """
import hotsession
from tests.projects import answering, barrier, trace
app = answering(globals())
VERSION = 1
"""
LIVING = (
    HEAD
    + """
def startup(state):
    trace.append(f"start {VERSION}")
    state["version"] = VERSION
def shutdown(): trace.append(f"end {VERSION}")
def index(): return VERSION
async def held():
    await barrier.wait_async()
    return VERSION
async def state(scope, receive, send):
    scope["state"]["seen"] = scope["state"].get("seen", 0) + 1
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(scope["state"]).encode()})
"""
)


def version(number: int, text: str = LIVING) -> dict[str, str]:
    """The project at this version."""
    return {"main.py": text.replace("VERSION = 1", f"VERSION = {number}")}


async def test_the_new_app_starts_before_the_old_one_ends(project: Project) -> None:
    """By default; and the last one ends with the server."""
    await project.start(version(1))
    await project.reload(version(2))
    await project.drained()
    await project.stop()
    assert trace == ["start 1", "start 2", "end 1", "end 2"]


async def test_stop_first(project: Project) -> None:
    """What can't exist twice ends before it starts again: never two at once."""
    await project.start(version(1), handover="stop-first")
    await project.reload(version(2))
    await project.drained()
    await project.stop()
    assert trace == ["start 1", "end 1", "start 2", "end 2"]


async def test_stop_first_lets_requests_wait_at_the_gate(project: Project) -> None:
    """While no app is up a request waits, and is answered by the new one; none fails."""
    waits = LIVING.replace("def startup(state):", "async def startup(state):\n    await barrier.wait_async()")
    await project.start(version(1, waits), handover="stop-first")
    task = await project.begin(version(2, waits))
    requests = [project.open() for _ in range(3)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert not any(request.sent for request in requests)
    barrier.open()
    await task
    assert [(await request.end()).text for request in requests] == ["2", "2", "2"]


async def test_stop_first_lets_requests_finish(project: Project) -> None:
    """The old app ends only when its requests have; those that come meanwhile wait."""
    await project.start(version(1), handover="stop-first")
    barrier.close()
    held = project.open("/held")
    await barrier.reached()
    task = asyncio.create_task(project.reload(version(2)))
    await until(lambda: project.host._gate is not None)
    waiting = project.open()
    assert trace == ["start 1"]
    barrier.open()
    assert (await held.end()).text == "1"
    await task
    assert (await waiting.end()).text == "2"
    assert trace == ["start 1", "end 1", "start 2"]


async def test_stop_first_brings_the_old_app_back(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """When the new one does not start; requests that waited are answered by the old one."""
    caplog.set_level(logging.INFO)
    await project.start(version(1), handover="stop-first")
    broken = LIVING.replace("def startup(state):", "def startup(state):\n    raise ValueError('port in use')")
    failed = await project.fail(version(2, broken))
    assert failed.stage == "start-up"
    assert "The old app was started again." in lines(caplog)
    assert trace == ["start 1", "end 1", "start 1"]
    assert await project.get() == "1"
    assert await project.get("/state") == "{'version': 1, 'seen': 1}"
    await project.reload(version(3))
    assert trace == ["start 1", "end 1", "start 1", "end 1", "start 3"]


async def test_stop_first_when_neither_starts(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """It says so, the old code serves as well as it can, and the fix takes effect."""
    once = LIVING.replace("def startup(state):", "def startup(state):\n    if trace: raise ValueError('port in use')")
    await project.start(version(1, once), handover="stop-first")
    await project.fail(version(2, once))
    assert any("so did the old one when it was started again" in line for line in lines(caplog))
    assert await project.get() == "1"
    await project.reload(version(3))
    assert await project.get() == "3"


async def test_stop_first_with_code_that_fails_to_import(project: Project) -> None:
    """The old app does not even notice."""
    await project.start(version(1), handover="stop-first")
    await project.fail({"main.py": "1/0"})
    assert trace == ["start 1"]


@pytest.mark.parametrize("handover", ["start-first", "stop-first"])
async def test_a_shutdown_that_fails(project: Project, handover: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the new code serves all the same."""
    fails = LIVING.replace("def shutdown():", "def shutdown():\n    if VERSION == 1: raise ValueError('no way')\n   ")
    await project.start(version(1, fails), handover=handover)
    await project.reload(version(2, fails))
    await project.drained()
    assert await project.get() == "2"
    assert any("the end of the app's lifespan (generation 1)" in line for line in lines(caplog, logging.ERROR))


@pytest.mark.parametrize("what", ["raise asyncio.CancelledError", "raise SystemExit(3)", "raise Odd", "raise KeyError"])
@pytest.mark.parametrize("handover", ["start-first", "stop-first"])
async def test_whatever_a_start_up_raises(project: Project, handover: str, what: str) -> None:
    """A start-up that raises no ordinary exception is a failed one as well, and not tried again for ever."""
    await project.start(version(1), handover=handover)
    raising = f"import asyncio\nclass Odd(BaseException): pass\n{HEAD}\ndef startup(state): {what}"
    async with asyncio.timeout(DEADLINE):
        failed = await project.fail(version(2, raising))
    assert failed.stage == "start-up"
    assert await project.get() == "1"
    await project.reload(version(3))
    assert await project.get() == "3"


@pytest.mark.parametrize("what", ["raise asyncio.CancelledError", "raise SystemExit(3)", "raise Odd"])
@pytest.mark.parametrize("handover", ["start-first", "stop-first"])
async def test_whatever_a_shutdown_raises(project: Project, handover: str, what: str) -> None:
    """The new code serves, and the next reload works, whatever the old app ended with."""
    raising = (
        f"import asyncio\nclass Odd(BaseException): pass\n{HEAD}\ndef shutdown(): {what}\ndef index(): return VERSION"
    )
    await project.start(version(1, raising), handover=handover)
    for number in (2, 3):
        await project.reload(version(number, LIVING))
        await project.drained()
        assert await project.get() == str(number)


async def test_lifespan_state(project: Project) -> None:
    """Each generation has its own; a request gets a copy that it may change for itself."""
    await project.start(version(1))
    for _ in range(2):
        assert await project.get("/state") == "{'version': 1, 'seen': 1}"
    await project.reload(version(2))
    assert await project.get("/state") == "{'version': 2, 'seen': 1}"


async def test_app_state(project: Project) -> None:
    """What a lifespan puts into `app.state` belongs to its app, and goes with it."""
    text = """
        import contextlib
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
        VERSION = 1
        @contextlib.asynccontextmanager
        async def lifespan(app):
            app.state.pool = [VERSION]
            yield {"model": f"model {VERSION}"}
            app.state.pool.clear()
        async def index(request):
            return PlainTextResponse(f"{request.app.state.pool} {request.state.model}")
        app = Starlette(routes=[Route("/", index)], lifespan=lifespan)
    """
    await project.start(version(1, text))
    assert await project.get() == "[1] model 1"
    await project.reload(version(2, text))
    await project.drained()
    assert await project.get() == "[2] model 2"


async def test_hooks(project: Project) -> None:
    """`on_dispose` of the old modules, last first, then `on_reload` of the new, which finds what the old ones left."""
    module = """
        import hotsession
        from tests.projects import trace
        hot = hotsession.module(__name__)
        VERSION = 1
        @hot.on_dispose
        def dispose():
            trace.append(f"{__name__} {VERSION} goes")
            hot.data["from"] = VERSION
        @hot.on_reload
        async def reloaded(): trace.append(f"{__name__} {VERSION} is here, from {hot.data.get('from')}")
    """
    one, two = version(1, module)["main.py"], version(2, module)["main.py"]
    files = {"main.py": HEAD + "import a, b, c\n", "a.py": one, "b.py": "import a\n" + one.replace("\n        ", "\n")}
    await project.start({**files, "c.py": one})
    assert trace == []
    await project.reload({"a.py": two})
    assert trace == ["b 1 goes", "a 1 goes", "a 2 is here, from 1", "b 1 is here, from 1"]
    trace.clear()
    await project.stop()
    assert sorted(trace) == ["a 2 goes", "b 1 goes", "c 1 goes"]


async def test_hooks_that_fail(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """Each is logged by name and is in the report; the others run, and the new code serves."""
    hooks = """
hot = hotsession.module(__name__)
@hot.on_dispose
def first(): trace.append("disposed")
@hot.on_dispose
def second(): raise ValueError
@hot.on_reload
def third(): raise SystemExit
@hot.on_reload
def fourth(): trace.append("reloaded")
def index(): return VERSION
"""
    caplog.set_level(logging.INFO)
    await project.start(version(1, HEAD + hooks))
    outcome = await project.reload(version(2, HEAD + hooks))
    assert [failure.what for failure in outcome.failures] == [
        "on_dispose hook second of main",
        "on_reload hook third of main",
    ]
    assert trace == ["disposed", "reloaded"]
    assert await project.get() == "2"
    assert "failed on the way: on_dispose hook second of main, on_reload hook third of main" in lines(caplog)[-1]


async def test_hooks_do_not_run_for_a_load_that_fails(project: Project) -> None:
    """Neither those of the old modules, which go on, nor those of the new."""
    hooks = "hot = hotsession.module(__name__)\nhot.on_dispose(lambda: trace.append('disposed'))\n"
    hooks += "hot.on_reload(lambda: trace.append('reloaded'))\n"
    await project.start(version(1, HEAD + hooks))
    await project.fail(version(2, HEAD + hooks + "1/0"))
    assert trace == []
    await project.reload(version(3, HEAD + hooks))
    assert trace == ["disposed", "reloaded"]


async def test_a_service_that_fails_to_close(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by its name, the others are closed in reverse order, and the lifespan ends after them."""
    services = (
        LIVING
        + """
@hotsession.service
class First:
    def close(self): trace.append("first")
@hotsession.service
class Second:
    def close(self): raise ValueError("stuck")
@hotsession.service
class Third:
    async def aclose(self): trace.append("third")
async def use():
    for cls in (First, Second, Third): await hotsession.get_service(cls)
"""
    )
    await project.start(version(1, services))
    await project.get("/use")
    outcome = await project.reload(version(2, services))
    await project.drained()
    assert outcome.services == {"First": 1, "Second": 1, "Third": 1}
    assert trace == ["start 1", "start 2", "third", "first", "end 1"]
    assert "close of Second failed: ValueError: stuck" in caplog.text


async def test_kept_values_and_sessions_go_on(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """The line names what was kept and how many sessions were preserved."""
    caplog.set_level(logging.INFO)
    text = (
        HEAD
        + """
numbers = hotsession.keep("numbers", list)
async def index():
    numbers.append(VERSION)
    await hotsession.sessions("jobs").get_or_create("ada")
    return numbers
"""
    )
    await project.start(version(1, text))
    assert await project.get() == "[1]"
    outcome = await project.reload(version(2, text))
    assert outcome.kept == ("numbers",)
    assert outcome.sessions == {"jobs": 1}
    assert await project.get() == "[1, 2]"
    (report,) = [line for line in lines(caplog) if line.startswith("Reloaded")]
    assert "sessions preserved (1 in 'jobs'), kept numbers." in report


async def test_a_lifespan_that_registers(project: Project) -> None:
    """What a start-up keeps is committed at the swap; what runs on from it registers directly afterwards."""
    text = (
        HEAD
        + """
import asyncio
async def startup(state):
    hotsession.keep("at start", dict)
    state["task"] = asyncio.create_task(later())
async def later():
    await barrier.wait_async()
    hotsession.keep("later", dict)
    trace.append("kept")
async def shutdown(): pass
def index(): return list(hotsession.registry.registry.entries())
"""
    )
    await project.start(version(1, HEAD + "def index(): return list(hotsession.registry.registry.entries())"))
    barrier.close()
    await project.reload(version(2, text))
    assert await project.get() == "['at start']"
    barrier.open()
    await until(lambda: bool(trace))
    assert await project.get() == "['at start', 'later']"


async def test_an_overtaken_start_up_is_ended(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """A save during a slow start-up: the app that was started ends again, and one line reports the newest code."""
    waits = LIVING.replace("def startup(state):", "async def startup(state):\n    await barrier.wait_async()")
    await project.start(version(1, LIVING))
    caplog.set_level(logging.INFO)
    reloader = project.host._reloader
    assert reloader is not None
    barrier.close()
    reloader.feed.put(project.write(version(2, waits)))
    await barrier.reached()
    reloader.feed.put(project.write(version(3, LIVING)))
    barrier.open()
    await until(lambda: bool(lines(caplog)))
    assert await project.get() == "3"
    assert [line.partition(" in ")[0] for line in lines(caplog)] == ["Reloaded main"]
    await project.stop()
    assert trace == ["start 1", "start 2", "end 2", "start 3", "end 1", "end 3"]
