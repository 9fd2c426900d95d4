from __future__ import annotations

import pytest

from hotsession.run.crashes import START, Verdict, how_it_ended, judge


def after(*served: float | None) -> Verdict:
    """The verdict after workers that served for so many seconds, one after the other."""
    verdict = START
    for each in served:
        verdict = judge(verdict, each)
    return verdict


def test_a_worker_that_served_is_replaced_at_once() -> None:
    """One crash after a while, or three quick ones, delay nothing."""
    assert after(60.0).delay == 0
    assert after(0.1, 0.1, 0.1).delay == 0


def test_quick_ends_in_a_row_are_answered_ever_later_up_to_a_bound() -> None:
    """From the fourth quick end on the delay doubles, to one second at most."""
    delays = [after(*[0.1] * count).delay for count in range(4, 10)]
    assert delays == [0.25, 0.5, 1.0, 1.0, 1.0, 1.0]


def test_a_worker_that_served_for_a_while_ends_the_row() -> None:
    """Killing workers now and then never makes the restart slow."""
    assert after(*[0.1] * 9, 3.0) == Verdict(delay=0.0, hold=False, streak=1, never_served=0)


def test_workers_that_do_not_come_up_three_times_wait_for_a_change() -> None:
    """Only a worker that never served holds off importing the app: one that serves is started again however often."""
    assert not after(None, None).hold
    assert after(None, None, None).hold
    assert not after(*[0.1] * 50).hold
    assert not after(None, None, 0.1, None).hold


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (-11, "was ended by SIGSEGV"),
        (-9, "was ended by SIGKILL"),
        (3, "ended with exit status 3"),
        (-63, "was ended by signal 63"),
    ],
)
def test_an_exit_status_in_words(status: int, words: str) -> None:
    """A signal is named, a status is given as the number it is."""
    assert how_it_ended(status) == words
