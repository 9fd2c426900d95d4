"""Whatever happens in whatever order: one run of a name at a time, the newest code in the end, nothing left behind."""

from __future__ import annotations

import asyncio
import random
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

import hotsession
from hotsession.background.board import board
from hotsession.background.rules import ON_RELOAD
from hotsession.errors import ConfigurationError
from hotsession.registry import Transaction, registry
from tests.effort import times
from tests.projects import until

pytestmark = pytest.mark.anyio

SOURCE = """
async def work():
    world.running.append(number)
    world.most = max(world.most, len(world.running))
    try:
        await world.gate.wait()
        if world.fails:
            raise ValueError("failed on purpose")
    finally:
        try:
            await asyncio.sleep(0)
        finally:
            world.running.remove(number)
"""


class Generation:
    """As much of one as a task has to do with."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.work: set[Any] = set()
        self.container = self
        self.begin, self.end = self.work.add, self.work.discard

    async def dispose(self) -> None:
        """Nothing was built."""


class World:
    """A module that is reloaded, and what its tasks do."""

    def __init__(self, chance: random.Random) -> None:
        self.running: list[int] = []
        self.most = 0
        self.gate = asyncio.Event()
        self.fails = False
        self.handles: list[Any] = []
        self.generations: list[Generation] = []
        self._chance = chance
        self._loop = asyncio.get_running_loop()

    def ask(self) -> None:
        """A request asks, of this code or of some that drains."""
        generation = self._chance.choice([self.generations[-1], self.generations[-1], *self.generations])
        with registry.running(generation.number):
            try:
                rule = self._chance.choice(ON_RELOAD)
                self.handles.append(hotsession.task("work", sys.modules["agents"].work, on_reload=rule))
            except ConfigurationError:  # a new function that the code in between did not have
                assert generation is not self.generations[-1]

    def cancel(self) -> None:
        """Somebody cancels one of the runs."""
        if self.handles:
            self._chance.choice(self.handles).cancel()

    def swap(self) -> None:
        """New code is loaded, which may ask at import and may have no such function any more."""
        generation = Generation(len(self.generations) + 1)
        load, before = Transaction(), sys.modules.get("agents", types.ModuleType("agents"))
        registry.add_scope(generation.number, generation)
        module = sys.modules["agents"] = types.ModuleType("agents")
        module.__dict__.update(world=self, number=generation.number, asyncio=asyncio)
        exec(SOURCE, module.__dict__)  # noqa: S102
        with registry.loading(load), registry.running(generation.number):
            if self._chance.random() < 0.5:
                self.handles.append(
                    hotsession.task("work", module.__dict__["work"], on_reload=self._chance.choice(ON_RELOAD))
                )
        if self.generations and self._chance.random() < 0.2:  # the load fails
            load.close()
            sys.modules["agents"] = before
            return
        registry.commit(load)
        load.close()
        registry.serve_scope(generation.number)
        self.generations.append(generation)
        board().swap(generation, resets=self._chance.random() < 0.1)
        self._loop.call_later(0.001 * self._chance.random(), board().open, self._loop)

    def let_go(self) -> None:
        """What runs returns, or fails."""
        self.fails = self._chance.random() < 0.3
        self.gate.set()
        self.gate = asyncio.Event()

    def runs_the_newest(self) -> bool:
        """Whether the newest code runs; else ask for it, and let go what is in its way."""
        if self.running == [self.generations[-1].number]:
            return True
        self.let_go()
        hotsession.task("work", sys.modules["agents"].work, on_reload="restart")
        return False


@pytest.fixture(autouse=True)
def clean_modules() -> Iterator[None]:
    yield
    sys.modules.pop("agents", None)


@pytest.mark.parametrize("seed", range(times(30, 1000, 10)))
async def test_one_run_at_a_time(seed: int) -> None:
    """Requests, cancellations, saves that work and that fail, resets, and ends of runs, at random."""
    chance = random.Random(seed)
    world = World(chance)
    world.swap()
    for _ in range(60):
        chance.choice([world.ask, world.ask, world.cancel, world.swap, world.let_go])()
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        assert world.most <= 1
    board().open(asyncio.get_running_loop())
    await until(world.runs_the_newest)
    await board().end()
    assert (world.most, world.running) == (1, [])
    assert all(handle.done() for handle in world.handles)
    assert not any(generation.work for generation in world.generations)
    assert not board().has_something


async def test_a_forked_child_has_no_run_of_its_parents() -> None:
    """The parent's event loop is not its own: who asks there begins anew."""

    async def work() -> None:
        await asyncio.sleep(600)

    first = hotsession.task("work", work)
    board().forget()
    second = hotsession.task("work", work)
    assert second is not first
    first.cancel()
    await board().end()
    assert second.state == "cancelled"
    await first.wait()
