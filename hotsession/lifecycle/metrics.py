"""What happened to the sessions of one manager, in figures. Knows no storage."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

HOUR = 3600
HOURS = 48  # for which creations are counted


@dataclass(frozen=True, slots=True)
class Metrics:
    """What happened in this process since `since`, and how many sessions there are now.

    Args:
        since: when the counting began, in seconds since the epoch.
        live: sessions that are active or paused now, in all processes.
        sessions: how many there are now in each state that any is in.
        created: made.
        reused: handed out again by `get_or_create`, resumed ones included.
        resumed: brought back from a pause.
        paused: paused.
        replaced: ended because somebody chose to start fresh.
        ended: ended for another reason.
        completed: came to a result.
        failed: failed.
        expired: came to the end of their time.
        interrupted: whose process died at work.
        rerun: whose work was begun again after that.
        rebuilt: rebuilt from what lies on disk.
        unrecovered: that could not be resumed, run again or rebuilt: something raised.
        reuse_rate: what part of the calls that wanted a session got one that was there; None before the first call.
        fresh_rate: where there was a session to go on with, how often somebody chose to start fresh; None if there
            never was.
        recovery_rate: what part of the recoveries (resumed, run again, rebuilt) went well; None if there were none.
        mean_lifetime: seconds from creation to the end, over the sessions that ended; None if none did.
        creations: how many were made in each hour of the last two days in which any were: when the hour began, how
            many.
    """

    since: float
    live: int
    sessions: dict[str, int]
    created: int
    reused: int
    resumed: int
    paused: int
    replaced: int
    ended: int
    completed: int
    failed: int
    expired: int
    interrupted: int
    rerun: int
    rebuilt: int
    unrecovered: int
    reuse_rate: float | None
    fresh_rate: float | None
    recovery_rate: float | None
    mean_lifetime: float | None
    creations: tuple[tuple[float, int], ...]

    def as_dict(self) -> dict[str, Any]:
        """All of it as a dict that JSON can hold."""
        return asdict(self)


@dataclass(slots=True)
class Figures:
    """What a manager counts as it happens, from any thread.

    Args:
        since: when it begins.
    """

    since: float
    counts: Counter[str] = field(default_factory=Counter)
    reused: int = 0  # counted at every reuse: without the lock, which would cost as much as the rest
    lifetimes: float = 0.0  # in all
    hours: dict[int, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, number: int = 1) -> None:
        """Count something."""
        with self.lock:
            self.counts[what] += number

    def note_creation(self, now: float) -> None:
        """Count a session that was made."""
        hour = int(now // HOUR)
        with self.lock:
            self.counts["created"] += 1
            self.hours[hour] = self.hours.get(hour, 0) + 1
            for old in [each for each in self.hours if each <= hour - HOURS]:
                del self.hours[old]

    def note_end(self, what: str, lifetime: float) -> None:
        """Count a session that is over, as ended, replaced, completed, failed or expired."""
        with self.lock:
            self.counts[what] += 1
            self.counts["over"] += 1
            self.lifetimes += lifetime

    def metrics(self, live: int, sessions: dict[str, int]) -> Metrics:
        """The figures as they are now."""
        with self.lock:
            counts, hours, lifetimes, reused = (
                Counter(self.counts),
                sorted(self.hours.items()),
                self.lifetimes,
                self.reused,
            )
        names = "created resumed paused replaced ended completed failed expired interrupted rerun rebuilt unrecovered"
        recovered = counts["resumed"] + counts["rerun"] + counts["rebuilt"]
        return Metrics(
            since=self.since,
            live=live,
            sessions=sessions,
            reused=reused,
            reuse_rate=_rate(reused, reused + counts["created"]),
            fresh_rate=_rate(counts["replaced"], counts["replaced"] + reused),
            recovery_rate=_rate(recovered, recovered + counts["unrecovered"]),
            mean_lifetime=_rate(lifetimes, counts["over"]),
            creations=tuple((float(hour * HOUR), count) for hour, count in hours),
            **{name: counts[name] for name in names.split()},
        )


def _rate(part: float, whole: int) -> float | None:
    return part / whole if whole else None
