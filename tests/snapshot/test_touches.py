"""Who was given which session, and may still change it."""

from __future__ import annotations

import asyncio
import gc
import threading

from hotsession.snapshot import touches
from hotsession.snapshot.touches import LiveTouches
from tests.effort import times


def test_code_of_no_request_has_its_own() -> None:
    """What nobody's code was given is remembered for good."""
    live = LiveTouches()
    live.note("one")
    assert live.ids() == {"one"}
    assert live.nobodys == {"one"}


def test_a_request_has_its_own_until_it_is_over() -> None:
    """As soon as nobody refers to its touches, nobody can change its sessions."""
    live = LiveTouches()
    mine = live.begin()
    reset = touches.current.set(mine)
    live.note("mine")
    touches.current.reset(reset)
    live.note("nobodys")
    assert mine == {"mine"}
    assert live.ids() == {"mine", "nobodys"}
    del mine, reset
    gc.collect()
    assert live.ids() == {"nobodys"}


def test_a_task_inherits_those_of_its_request() -> None:
    """While a task that a request started runs, its sessions may still change."""
    live = LiveTouches()

    async def request(over: asyncio.Event) -> asyncio.Task[None]:
        async def work() -> None:
            live.note("theirs")
            await over.wait()

        reset = touches.current.set(live.begin())
        live.note("mine")
        task = asyncio.create_task(work())
        touches.current.reset(reset)
        await asyncio.sleep(0)
        return task

    async def main() -> None:
        over = asyncio.Event()
        task = await request(over)
        gc.collect()
        assert live.ids() == {"mine", "theirs"}
        over.set()
        await task
        del task
        await asyncio.sleep(0)  # the loop refers to a task until the step is over that its end brought about
        gc.collect()
        assert live.ids() == set()

    asyncio.run(main())


def test_requests_may_begin_in_other_threads_meanwhile() -> None:
    """Looking through all of them is no error, however many begin and end at the same time."""
    live, over = LiveTouches(), threading.Event()

    def work() -> None:
        while not over.is_set():
            mine = [live.begin() for _ in range(50)]
            for each in mine:
                each.add("one")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    try:
        assert {frozenset(live.ids()) for _ in range(times(100, 500, 30))} <= {frozenset(), frozenset({"one"})}
    finally:
        over.set()
        for each in threads:
            each.join()


def test_it_says_how_many_there_are() -> None:
    """The representations count."""
    live = LiveTouches()
    mine = live.begin()
    reset = touches.current.set(mine)
    live.note("one")
    touches.current.reset(reset)
    assert (repr(live), repr(mine)) == ("<LiveTouches 1>", "<Touches 1>")
