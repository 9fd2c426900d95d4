"""Locks of modules: one loader at a time, and nobody waits for what never ends."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hotsession.reload.locks import ModuleLocks
from tests.deadlines import DEADLINE


@pytest.fixture
def locks() -> ModuleLocks:
    """Locks that nobody holds."""
    return ModuleLocks()


def waits(locks: ModuleLocks, count: int) -> None:
    """Return when so many threads wait for a lock."""
    with locks._condition:
        assert locks._condition.wait_for(lambda: len(locks._waiting) >= count, DEADLINE)


def test_one_thread_may_hold_a_lock_twice(locks: ModuleLocks) -> None:
    """As in an import cycle; it is free when the outermost lets go."""
    with locks.hold("a"):
        with locks.hold("a"):
            assert "a" in locks
        assert "a" in locks
    assert "a" not in locks


def test_a_second_thread_waits(locks: ModuleLocks) -> None:
    """Until the first has let go."""
    seen: list[str] = []

    def second() -> None:
        with locks.hold("a"):
            seen.append("second")

    with ThreadPoolExecutor() as pool:
        with locks.hold("a"):
            future = pool.submit(second)
            waits(locks, 1)
            seen.append("first")
        future.result(DEADLINE)
    assert seen == ["first", "second"]


def test_threads_that_would_wait_for_each_other(locks: ModuleLocks) -> None:
    """The one that closes the circle does not wait; the others get their turn when it is done."""
    names = ["a", "b", "c"]
    meeting = threading.Barrier(len(names))

    def load(mine: str, other: str) -> str:
        with locks.hold(mine):
            meeting.wait(DEADLINE)
            with locks.hold(other):
                return mine

    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(load, name, names[i - 1]) for i, name in enumerate(names)]
        assert [future.result(DEADLINE) for future in futures] == names
    assert not any(name in locks for name in names)


def test_a_lock_is_released_when_the_block_raises(locks: ModuleLocks) -> None:
    """A module that raised can be loaded again."""
    with pytest.raises(ValueError, match="x"), locks.hold("a"):
        raise ValueError("x")
    assert "a" not in locks


def test_different_modules_do_not_wait(locks: ModuleLocks) -> None:
    """Threads that load different modules go on side by side."""
    with locks.hold("a"), ThreadPoolExecutor() as pool:

        def other() -> str:
            with locks.hold("b"):
                return "done"

        future = pool.submit(other)
        assert future.result(DEADLINE) == "done"
