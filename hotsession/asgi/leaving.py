"""When the handler of a WebSocket that was asked to leave is told so, and when it is cut off. Pure rules.

A handler is told by a disconnect, which it sees when it next waits for a message: what it is in the middle of, it
finishes first. That needs care where it waits while it works, as handlers with a stop button do: one task of theirs
waits for messages, and another sends the answer to the last one. It is told when that answer seems to be complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PATIENCE = 10.0  # seconds for who was told and goes on, and for who never listens
THOUGHT = 5.0  # seconds in which an answer may be expected to begin
PAUSE = 0.5  # seconds without a message after which an answer is taken to be complete


@dataclass(frozen=True, kw_only=True, slots=True)
class Handler:
    """What is known of a handler that was asked to leave. All times are seconds of one monotonic clock.

    Args:
        asked_at: when it was asked to leave.
        told_at: when it was given the disconnect; None if it was not.
        listens: whether it has waited for a message so far, beyond the first one, which opens the connection.
        waits: whether it waits for a message now.
        heard_at: when it was given a message last; None if never.
        sent_at: when it sent something last since then, without a pause; None if it did not.
        overlaps: whether it has sent something while it waited.
    """

    asked_at: float
    told_at: float | None = None
    listens: bool = True
    waits: bool = True
    heard_at: float | None = None
    sent_at: float | None = None
    overlaps: bool = False


Step = Literal["tell", "cut", "wait"]


def next_step(handler: Handler, now: float, drain: float) -> tuple[Step, float]:
    """What is to be done with a handler that was asked to leave, and until when it can be left alone then.

    Args:
        handler: what is known of it.
        now: on the clock of its times.
        drain: seconds that it may take at most for what it is in the middle of.

    Returns:
        ``"tell"``: give it the disconnect when it next waits for a message; ``"cut"``: let it send nothing more and end
        it; ``"wait"``: neither. The time is the one to look again.
    """
    limit = handler.asked_at + (drain if handler.listens else min(drain, PATIENCE))
    if handler.told_at is not None:
        limit = min(limit, handler.told_at + PATIENCE)
    if now >= limit:
        return "cut", limit
    until = min(limit, _answers_until(handler, drain))
    if now < until:
        return "wait", until
    return "tell", min(limit, now + PATIENCE) if handler.waits else limit


def _answers_until(handler: Handler, drain: float) -> float:
    """Until when a handler that waits is taken to be in the middle of an answer all the same."""
    if handler.told_at is not None or handler.heard_at is None or not handler.waits:
        return handler.asked_at
    if handler.sent_at is None:  # not for what it hears from now on: some messages have no answer, and many come
        return handler.heard_at + THOUGHT if handler.heard_at <= handler.asked_at else handler.asked_at
    if not handler.overlaps:
        return handler.asked_at
    # What has been sent for longer than an answer may take is no answer: prices, say, that were asked for once. And
    # what goes on since it was asked to leave is a dialogue, which may never pause: new code can have the rest of it.
    longest = handler.heard_at + drain if handler.heard_at <= handler.asked_at else handler.asked_at + PATIENCE
    return min(handler.sent_at + PAUSE, longest)
