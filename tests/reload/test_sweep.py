"""Old generations are collected when nobody asks for anything, and it never takes much of the time."""

from __future__ import annotations

import asyncio
import time

import pytest

from hotsession.reload.sweep import SHARE, Sweeper

pytestmark = pytest.mark.anyio

QUIET = 0.01


class Collections:
    """Collections that take `seconds`, with the times at which each began and ended."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.times: list[tuple[float, float]] = []
        self._seconds = seconds
        self._done = asyncio.Event()

    def __call__(self) -> None:
        """Collect: hold up everything for a while."""
        began = time.perf_counter()
        while time.perf_counter() < began + self._seconds:
            pass
        self.times.append((began, time.perf_counter()))
        self._done.set()

    async def one(self) -> None:
        """Wait until there is another."""
        await asyncio.wait_for(self._done.wait(), 30)
        self._done.clear()


async def test_at_the_next_moment_of_rest() -> None:
    """As long as the app is asked for something it waits."""
    asked = 0

    def activity() -> int:
        nonlocal asked
        asked += 1
        return min(asked, 6)  # each look finds that the app was asked again, three times

    done = Collections()
    Sweeper(activity, done, quiet=QUIET).soon()
    await done.one()
    assert asked >= 8
    assert len(done.times) == 1


async def test_a_slow_one_is_followed_by_a_rest() -> None:
    """No more than a hundredth of the time goes into it, however often code is saved."""
    done = Collections(seconds=0.01)
    sweeper = Sweeper(lambda: 0, done, quiet=QUIET)
    for _ in range(2):
        sweeper.soon()
        await done.one()
    (began, ended), (next_began, _) = done.times
    assert next_began - ended >= 0.9 * (ended - began) / SHARE


async def test_stopped() -> None:
    """Nothing is collected for a server that has ended, and a later call starts anew."""
    done = Collections()
    sweeper = Sweeper(lambda: 0, done, quiet=QUIET)
    sweeper.soon()
    sweeper.stop()
    assert "False" in repr(sweeper)
    assert not done.times
    sweeper.soon()
    await done.one()
    assert len(done.times) == 1
