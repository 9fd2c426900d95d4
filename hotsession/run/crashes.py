"""What to do about a worker that ended by itself: start it again, at once or later, or wait for a save. Pure rules."""

from __future__ import annotations

import signal
from dataclasses import dataclass

QUICK = 2.0  # seconds of serving below which an end counts as quick
PATIENCE = 3  # so many in a row are answered at once
LONGEST = 1.0  # seconds; connections wait in the queue meanwhile


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do.

    Args:
        delay: seconds until the next start.
        hold: do not import the app again until a file changes.
        streak: how many quick ends there were in a row, with this one.
        never_served: how many ends in a row came before the worker served at all.
    """

    delay: float
    hold: bool
    streak: int
    never_served: int


START = Verdict(0.0, False, 0, 0)


def judge(before: Verdict, served: float | None) -> Verdict:
    """What to do after a worker that ended by itself.

    One that comes up and serves is started again every time, ever later if it keeps ending quickly; one that does not
    even come up three times in a row has to wait until its code changes.

    Args:
        before: the verdict about the worker before, `START` at first.
        served: for how many seconds it served; None when it never did.
    """
    never_served = before.never_served + 1 if served is None else 0
    streak = before.streak + 1 if served is None or served < QUICK else 1
    delay = 0.0 if streak <= PATIENCE else min(0.25 * 2 ** (streak - PATIENCE - 1), LONGEST)
    return Verdict(delay, never_served >= PATIENCE, streak, never_served)


def how_it_ended(status: int) -> str:
    """The exit status of a process in words."""
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
