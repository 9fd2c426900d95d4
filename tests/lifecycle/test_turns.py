"""Taking turns: in order, across event loops and threads, passed on when somebody goes away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.lowlevel
import pytest

from hotsession.lifecycle.turns import Turns

pytestmark = pytest.mark.anyio


async def hold(turns: Turns, let_go: anyio.Event) -> None:
    """Have a turn until told otherwise, in a task whose children nobody is."""
    async with turns.of("key"):
        await let_go.wait()


async def test_turns_come_in_the_order_of_asking() -> None:
    """One at a time; other keys don't wait."""
    turns, order, let_go = Turns("changes"), [], anyio.Event()

    async def take(number: int) -> None:
        async with turns.of("key"):
            order.append(number)
            await anyio.lowlevel.checkpoint()
            assert order[-1] == number

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold, turns, let_go)
        for number in range(5):
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(take, number)
        await anyio.wait_all_tasks_blocked()
        assert turns.waiting("key") == 5
        async with turns.of("other"):
            assert order == []
        let_go.set()
    assert (turns.waiting("key"), order) == (0, [0, 1, 2, 3, 4])


@pytest.mark.parametrize("woken_first", [False, True])
async def test_who_goes_away_passes_his_turn_on(woken_first: bool) -> None:
    """Also when he is woken and cancelled at once."""
    turns, done, let_go, scope = Turns("changes"), [], anyio.Event(), anyio.CancelScope()

    async def cancelled() -> None:
        with scope:
            async with turns.of("key"):
                await anyio.lowlevel.checkpoint()

    async def last() -> None:
        async with turns.of("key"):
            done.append("last")

    async with anyio.create_task_group() as tasks:
        for step in (lambda: hold(turns, let_go), cancelled, last):
            tasks.start_soon(step)
            await anyio.wait_all_tasks_blocked()
        for end in (let_go.set, scope.cancel) if woken_first else (scope.cancel, let_go.set):
            end()
    assert done == ["last"]


async def test_who_asks_for_his_own_turn_is_told() -> None:
    """He would wait for ever; other tasks wait."""
    turns = Turns("changes the session")
    async with turns.of("key"):
        with pytest.raises(RuntimeError, match="what changes the session 'key' asks for the same again"):
            async with turns.of("key"):
                pass


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_threads_take_turns(backend: str) -> None:
    """Each with an event loop of its own, and nothing of a read and a write comes between."""
    turns, numbers = Turns("changes"), [0]

    def work(_: int) -> None:
        async def count() -> None:
            for _ in range(20):
                async with turns.of("key"):
                    number = numbers[0]
                    await anyio.lowlevel.checkpoint()
                    numbers[0] = number + 1

        anyio.run(count, backend=backend)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert numbers == [80]
