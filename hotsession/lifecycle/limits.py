"""How long sessions live. Pure: it knows two times and two limits."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from hotsession.errors import ConfigurationError

TOUCH_EVERY = 1.0  # seconds: what is read more often is not written down each time


@dataclass(frozen=True, slots=True)
class Limits:
    """How long sessions live; the earlier of the two counts.

    Args:
        idle_timeout: seconds after the last reuse; None for no such limit.
        max_age: seconds after creation; None for no such limit.
        touch_every: seconds between two reuses before the second is written down, a hundredth of the idle timeout
            at most.
    """

    idle_timeout: float | None = None
    max_age: float | None = None
    touch_every: float = TOUCH_EVERY

    def changed(self, *, idle_timeout: float | None, max_age: float | None) -> Limits:
        """These limits with what is said now; None says nothing, infinity takes a limit away.

        Raises:
            ConfigurationError: a limit is not positive.
        """
        idle = _said("idle_timeout", idle_timeout, self.idle_timeout)
        touch_every = TOUCH_EVERY if idle is None else min(TOUCH_EVERY, idle / 100)
        return Limits(idle, _said("max_age", max_age, self.max_age), touch_every)


def _said(name: str, now: float | None, before: float | None) -> float | None:
    if now is None:
        return before
    if not now > 0:
        raise ConfigurationError(f"{name}={now}: a session needs a positive number of seconds, or None for no limit")
    return None if now == inf else now


def expiry(created_at: float, token_expires_at: float | None, seen_at: float, limits: Limits) -> float | None:
    """When a session expires that was last seen at `seen_at`, or None for never."""
    earliest = token_expires_at
    if limits.max_age is not None and (earliest is None or created_at + limits.max_age < earliest):
        earliest = created_at + limits.max_age
    if limits.idle_timeout is not None and (earliest is None or seen_at + limits.idle_timeout < earliest):
        earliest = seen_at + limits.idle_timeout
    return earliest
