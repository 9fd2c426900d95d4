"""How often something that costs time may be done."""

from __future__ import annotations

import pytest

from hotsession.snapshot.pace import SHARE, Pace


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_time_is_at_once() -> None:
    """Nothing was spent yet, so nothing is to be waited for."""
    assert Pace(clock=Clock()).begin()


@pytest.mark.parametrize("share", [SHARE, 0.5])
def test_it_takes_its_share_of_the_time(share: float) -> None:
    """Whoever asks all the time gets the share, to the end of a long run."""
    clock = Clock()
    pace = Pace(share, clock)
    spent, began = 0.0, clock.now
    for step in range(200_000):
        if pace.begin():
            clock.now += (cost := 0.001 * (1 + step % 7))
            spent += cost
            pace.end()
        clock.now += 0.0001
    assert spent / (clock.now - began) == pytest.approx(share, rel=0.03)


def test_what_cost_nothing_may_be_done_again() -> None:
    """The pause is a multiple of what was spent, and that was nothing."""
    pace = Pace(clock=Clock())
    assert pace.begin()
    pace.end()
    assert pace.begin()


def test_it_knows_how_long_the_work_takes() -> None:
    """A slice of work can end itself when its time is over."""
    clock = Clock()
    pace = Pace(clock=clock)
    clock.now += 50
    assert pace.begin()
    clock.now += 0.004
    assert not pace.has_taken(0.005)
    clock.now += 0.002
    assert pace.has_taken(0.005)


def test_it_says_when_the_next_time_is() -> None:
    """The representation tells the pause that is left."""
    clock = Clock()
    pace = Pace(0.1, clock)
    pace.begin()
    clock.now += 1
    pace.end()
    assert repr(pace) == "<Pace next in 9.000 s>"
