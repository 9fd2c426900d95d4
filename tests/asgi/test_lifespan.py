"""The host's side of the lifespan protocol, with apps of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hotsession.asgi.lifespan import Lifespan, LifespanFailed, Mode

pytestmark = pytest.mark.anyio

App = Callable[[Any, Any, Any], Awaitable[None]]


def speaking(*answers: str, state: dict[str, Any] | None = None, message: str = "") -> App:
    """An app that answers each message of the lifespan so, and then ends."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"].update(state or {})
        for answer in answers:
            await receive()
            await send({"type": f"lifespan.{answer}", "message": message})

    return app


def raising(error: BaseException) -> App:
    """An app that knows no lifespan, and says so with this error."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    return app


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Return without a word."""


async def test_start_and_end() -> None:
    """An app that completes both phases, and leaves something for its requests."""
    lifespan = Lifespan(speaking("startup.complete", "shutdown.complete", state={"pool": 1}))
    await lifespan.start()
    assert lifespan.running
    assert lifespan.state == {"pool": 1}
    await lifespan.end()
    assert not lifespan.running


async def test_both_phases_run_in_one_task() -> None:
    """Task groups and cancel scopes must be left in the task that entered them."""
    tasks = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with asyncio.TaskGroup():
            for phase in ("startup", "shutdown"):
                await receive()
                tasks.append(asyncio.current_task())
                await send({"type": f"lifespan.{phase}.complete"})

    lifespan = Lifespan(app)
    await lifespan.start()
    await lifespan.end()
    assert tasks == [tasks[0]] * 2


async def test_it_can_start_again() -> None:
    """As the old app does when the new one failed."""
    lifespan = Lifespan(speaking("startup.complete", "shutdown.complete"))
    for _ in range(2):
        await lifespan.start()
        await lifespan.end()


async def test_off() -> None:
    """The app is not asked."""
    lifespan = Lifespan(raising(AssertionError()), "off")
    await lifespan.start()
    await lifespan.end()
    assert not lifespan.running


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_a_silent_app(mode: Mode) -> None:
    """An app that returns without a word has no lifespan."""
    lifespan = Lifespan(silent, mode)
    await lifespan.start()
    await lifespan.end()


async def test_an_app_without_lifespan() -> None:
    """With `auto` an exception before the first answer means that there is none; with `on` it is an error."""
    lifespan = Lifespan(raising(AssertionError("only http")), "auto")
    await lifespan.start()
    await lifespan.end()
    with pytest.raises(AssertionError, match="only http"):
        await Lifespan(raising(AssertionError("only http")), "on").start()


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_a_start_up_that_fails(mode: Mode) -> None:
    """Its message is the error."""
    with pytest.raises(LifespanFailed, match=r"^no database$"):
        await Lifespan(speaking("startup.failed", message="no database"), mode).start()
    with pytest.raises(LifespanFailed, match=r"^the app's startup failed$"):
        await Lifespan(speaking("startup.failed"), mode).start()


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_what_a_failing_start_up_raised(mode: Mode) -> None:
    """Frameworks say that they failed and then let the exception go its way: that one has the frames."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "Traceback ..."})
        raise KeyError("database")

    with pytest.raises(KeyError, match="database"):
        await Lifespan(app, mode).start()


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_sys_exit(mode: Mode) -> None:
    """It ends the start-up and not the process, with `auto` as well."""
    with pytest.raises(LifespanFailed, match=r"sys.exit\(3\)"):
        await Lifespan(raising(SystemExit(3)), mode).start()


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_cancelled_from_within(mode: Mode) -> None:
    """An app that cancels itself has failed; nobody takes that for an order to stop."""
    with pytest.raises(LifespanFailed, match="startup was cancelled from within"):
        await Lifespan(raising(asyncio.CancelledError()), mode).start()


async def test_a_shutdown_that_fails() -> None:
    """By message, or by what it raises."""
    lifespan = Lifespan(speaking("startup.complete", "shutdown.failed", message="stuck"))
    await lifespan.start()
    with pytest.raises(LifespanFailed, match="stuck"):
        await lifespan.end()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise KeyError("pool")

    lifespan = Lifespan(app)
    await lifespan.start()
    with pytest.raises(KeyError, match="pool"):
        await lifespan.end()
    assert not lifespan.running


async def test_a_lifespan_that_died_on_the_way() -> None:
    """What it died of is raised at the end, which does not wait for an answer."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise KeyError("background")

    lifespan = Lifespan(app)
    await lifespan.start()
    with pytest.raises(KeyError, match="background"):
        await lifespan.end()


async def test_end_waits_for_the_task() -> None:
    """What comes after `shutdown.complete` has happened when `end` returns."""
    done = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        await asyncio.sleep(0)
        done.append(True)

    lifespan = Lifespan(app)
    await lifespan.start()
    await lifespan.end()
    assert done == [True]


async def test_a_cancelled_start_ends_the_app() -> None:
    """Whoever waits for a start-up may give it up: the app's task is gone then."""
    seen: list[Any] = []
    started = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(asyncio.current_task())
        started.set()
        await asyncio.Event().wait()

    lifespan = Lifespan(app)
    start = asyncio.create_task(lifespan.start())
    await started.wait()
    start.cancel()
    await asyncio.wait([start])
    assert start.cancelled()
    assert seen[0].cancelled()
    assert not lifespan.running
