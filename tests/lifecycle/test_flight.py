"""One call per key at a time, across tasks, threads and event loops."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from itertools import product
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hotsession.lifecycle.flight import Flights
from tests.deadlines import DEADLINE

pytestmark = pytest.mark.anyio

BACKENDS = ("asyncio", "trio")


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both of anyio's backends."""
    return str(request.param)


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until something is so; a test that waits in vain fails."""
    with anyio.fail_after(DEADLINE):
        while not condition():
            await anyio.lowlevel.checkpoint()


def call_for(flights: Flights[str], waiters: int, calls: list[str]) -> Callable[[], Awaitable[str]]:
    """A call that notes itself and lasts until so many wait for it."""

    async def call() -> str:
        calls.append("call")
        await until(lambda: flights.waiting("key") >= waiters)
        return f"result {len(calls)}"

    return call


async def test_all_who_ask_at_once_share_one_call() -> None:
    """Ten tasks get one result, and one of them is told that it was its own call."""
    flights: Flights[str] = Flights()
    calls: list[str] = []
    results: list[tuple[str, bool]] = []

    async def ask() -> None:
        results.append(await flights.run("key", call_for(flights, 10, calls)))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(ask)
    assert calls == ["call"]
    assert sorted(results) == [("result 1", False)] * 9 + [("result 1", True)]


async def test_a_later_call_is_made_anew() -> None:
    """Nothing is remembered once a call is done."""
    flights: Flights[str] = Flights()
    calls: list[str] = []
    assert await flights.run("key", call_for(flights, 1, calls)) == ("result 1", True)
    assert await flights.run("key", call_for(flights, 1, calls)) == ("result 2", True)
    assert repr(flights) == "<Flights []>"


async def test_keys_do_not_wait_for_each_other() -> None:
    """A call for one key starts another key's and waits for it."""
    flights: Flights[str] = Flights()

    async def inner() -> str:
        return "inner"

    async def outer() -> str:
        return f"outer of {(await flights.run('other', inner))[0]}"

    assert await flights.run("key", outer) == ("outer of inner", True)


async def test_a_call_that_waits_for_itself_is_an_error() -> None:
    """Waiting for ever is told apart from waiting."""
    flights: Flights[str] = Flights()

    async def call() -> str:
        return (await flights.run("key", call))[0]

    with pytest.raises(RuntimeError, match="asks for 'key' itself"):
        await flights.run("key", call)


async def test_an_error_reaches_all_and_the_next_call_tries_again() -> None:
    """A failing call fails for everybody who waits; nothing of it stays."""
    flights: Flights[str] = Flights()
    errors: list[str] = []

    async def fail() -> str:
        await until(lambda: flights.waiting("key") == 5)
        raise ValueError("no luck")

    async def ask() -> None:
        with pytest.raises(ValueError, match="no luck") as caught:
            await flights.run("key", fail)
        errors.append(str(caught.value))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    assert errors == ["no luck"] * 5

    async def succeed() -> str:
        return "luck"

    assert await flights.run("key", succeed) == ("luck", True)


async def test_a_cancelled_waiter_cancels_nobody() -> None:
    """The first caller is cancelled while others wait: they get the result of the one call."""
    flights: Flights[str] = Flights()
    calls: list[str] = []
    results: list[str] = []
    first = anyio.CancelScope()

    async def call() -> str:
        calls.append("call")
        await until(lambda: flights.waiting("key") == 3)
        first.cancel()
        await until(lambda: flights.waiting("key") == 2)
        return "result"

    async def ask_first() -> None:
        with first:
            results.append((await flights.run("key", call))[0])

    async def ask() -> None:
        results.append((await flights.run("key", call))[0])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask_first)
        await until(lambda: flights.waiting("key") == 1)
        tasks.start_soon(ask)
        tasks.start_soon(ask)
    assert results == ["result", "result"]
    assert calls == ["call"]


async def test_a_failure_that_nobody_waits_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """When all who waited are gone, the error goes into the log with the key."""
    flights: Flights[str] = Flights()
    scope = anyio.CancelScope()

    async def fail() -> str:
        scope.cancel()
        await until(lambda: flights.waiting("key") == 0)
        raise ValueError("unseen")

    with caplog.at_level(logging.ERROR, logger="hotsession"), scope:
        await flights.run("key", fail)
    await until(lambda: bool(caplog.records))
    assert "making 'key' failed, and nobody waits" in caplog.text
    assert "unseen" in caplog.text


async def test_a_call_sees_the_context_of_who_came_first() -> None:
    """Context variables of the first caller are there in the call, and the call changes none of his."""
    flights: Flights[str] = Flights()
    variable = ContextVar("variable", default="nobody")
    variable.set("first")

    async def call() -> str:
        seen = variable.get()
        variable.set("call")
        return seen

    assert (await flights.run("key", call))[0] == "first"
    assert variable.get() == "first"


@pytest.mark.parametrize(("one", "other"), list(product(BACKENDS, BACKENDS)))
def test_event_loops_in_threads_share_one_call(one: str, other: str) -> None:
    """Two threads, each with a loop of its own and of either kind, get the result of one call."""
    flights: Flights[str] = Flights()
    calls: list[str] = []

    def ask(backend: str) -> tuple[str, bool]:
        return anyio.run(flights.run, "key", call_for(flights, 2, calls), backend=backend)

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(ask, (one, other)))
    assert calls == ["call"]
    assert sorted(results) == [("result 1", False), ("result 1", True)]


def test_a_waiter_takes_over_when_the_loop_of_the_call_ends() -> None:
    """The loop in which the call runs is closed under it: who waits in another loop calls anew and gets a result."""
    flights: Flights[str] = Flights()
    calls: list[str] = []
    started, joined = threading.Event(), threading.Event()

    async def call() -> str:
        calls.append("call")
        if len(calls) == 1:
            started.set()
            await asyncio.Event().wait()
        return "result"

    async def start_and_leave() -> None:
        asking = asyncio.create_task(flights.run("key", call))
        await until(joined.is_set)
        asking.cancel()

    async def join() -> tuple[str, bool]:
        async def tell() -> None:
            await until(lambda: flights.waiting("key") == 2)
            joined.set()

        told = asyncio.create_task(tell())
        result = await flights.run("key", call)
        await told
        return result

    with ThreadPoolExecutor(1) as threads:
        leaving = threads.submit(asyncio.run, start_and_leave())
        assert started.wait(DEADLINE)
        assert asyncio.run(join()) == ("result", True)
        leaving.result(10)
    assert calls == ["call", "call"]


def test_a_call_that_cancels_itself_is_an_error() -> None:
    """A call that ends by cancellation in a running loop is not made over and over: its caller gets an error."""
    flights: Flights[Any] = Flights()

    async def call() -> None:
        raise asyncio.CancelledError

    async def ask() -> None:
        with pytest.raises(RuntimeError, match="cancelled before it was done"):
            await flights.run("key", call)

    asyncio.run(ask())
