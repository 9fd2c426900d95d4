"""How long sessions live."""

from __future__ import annotations

from math import inf

import pytest

from hotsession.errors import ConfigurationError
from hotsession.lifecycle.limits import Limits, expiry


@pytest.mark.parametrize(
    ("limits", "token", "expected"),
    [
        (Limits(), None, None),
        (Limits(idle_timeout=60), None, 160),
        (Limits(max_age=60), None, 70),
        (Limits(idle_timeout=60, max_age=600), None, 160),
        (Limits(idle_timeout=600, max_age=60), None, 70),
        (Limits(), 50.0, 50),
        (Limits(idle_timeout=60, max_age=60), 50.0, 50),
        (Limits(idle_timeout=60), 500.0, 160),
    ],
)
def test_the_earliest_of_all_limits_counts(limits: Limits, token: float | None, expected: float | None) -> None:
    """A session made at 10 and seen at 100 expires when the first of its limits is reached."""
    assert expiry(10, token, 100, limits) == expected


def test_what_is_not_said_stays() -> None:
    """A later call changes the limit that it names and leaves the other."""
    assert Limits(5, 6).changed(idle_timeout=None, max_age=7) == Limits(5, 7).changed(idle_timeout=5, max_age=None)


def test_infinity_takes_a_limit_away() -> None:
    """None says nothing, so a limit is taken away with infinity."""
    assert Limits(5, 6).changed(idle_timeout=inf, max_age=None) == Limits(None, 6)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_is_positive(seconds: float) -> None:
    """No session can live for no time, and the error says which limit asks for it."""
    with pytest.raises(ConfigurationError, match="idle_timeout="):
        Limits().changed(idle_timeout=seconds, max_age=None)


def test_a_short_idle_timeout_is_noted_more_often() -> None:
    """A reuse is written down each second, and each hundredth of an idle timeout under 100 seconds."""
    assert Limits().changed(idle_timeout=10, max_age=None).touch_every == 0.1
    assert Limits().changed(idle_timeout=1000, max_age=None).touch_every == 1.0
