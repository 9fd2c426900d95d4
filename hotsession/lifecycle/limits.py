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
    """

    idle_timeout: float | None = None
    max_age: float | None = None

    def changed(self, *, idle_timeout: float | None, max_age: float | None) -> Limits:
        """These limits with what is said now; None says nothing, infinity takes a limit away.

        Raises:
            ConfigurationError: a limit is not positive.
        """
        return Limits(
            _said("idle_timeout", idle_timeout, self.idle_timeout),
            _said("max_age", max_age, self.max_age),
        )


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


def needs_touch(last_seen_at: float, now: float, limits: Limits) -> bool:
    """Whether a reuse at `now` is worth noting: after a second, or a hundredth of a shorter idle timeout."""
    unnoted = now - last_seen_at
    return unnoted >= TOUCH_EVERY or (limits.idle_timeout is not None and unnoted >= limits.idle_timeout / 100)
