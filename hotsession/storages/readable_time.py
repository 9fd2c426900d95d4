"""Times that people read in files: ISO 8601 in UTC, with as many digits as give back the same number of seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

END = 253_402_300_800.0  # the year 10000


def readable(seconds: float | None) -> str | float | None:
    """A time in seconds since the epoch, to be read; itself where there is no date for it."""
    if seconds is None or not 0 <= seconds < END:
        return seconds
    text = repr(float(seconds))
    if "e" in text:
        return seconds
    whole, _, digits = text.partition(".")
    return f"{_date(int(whole))}{'' if digits == '0' else '.' + digits}Z"


def seconds(text: str | float | None) -> float | None:
    """The seconds since the epoch that a time stands for, also one that a person wrote.

    Raises:
        ValueError: it is no time.
    """
    if text is None:
        return None
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"{text!r:.50} is no time")
    if not isinstance(text, str):
        return float(text)
    date, _, digits = text.removesuffix("Z").partition(".")
    if text.endswith("Z") and (digits.isdecimal() or not digits):
        return float(f"{_since_epoch(date)}.{digits or 0}")
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


@lru_cache(1024)
def _date(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).isoformat()[:19]


@lru_cache(1024)
def _since_epoch(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp())
