"""What happened in a conversation, event by event: kept in its session, numbered, and told to whoever listens.

An event is in the session before anybody hears of it. So who was away, for a reload, a restart or a walk through a
tunnel, says which one came last, and gets all that came after it, once.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable
from typing import Any

import hotsession

LISTENING = 5.0  # seconds after which a stream looks whether its conversation is still there
MESSAGES = 200  # that were asked last: one of them that is sent again is not asked again
EVENTS = 2_000  # that a page is shown when it opens

Data = dict[str, Any]
Event = dict[str, Any]  # "id", "type", and what belongs to the type

conversations = hotsession.sessions("conversations")
# What wakes the streams of a conversation, by its id. Streams of old and new code are in here beside each other.
bells: dict[str, set[asyncio.Event]] = hotsession.keep("conversation bells", dict, restart="rebuild")


def add(data: Data, type: str, **more: Any) -> None:
    """Note an event in the data of a conversation."""
    data["last"] = data.get("last", 0) + 1
    events: list[Event] = data.setdefault("events", [])
    events.append({"id": data["last"], "type": type, **more})
    del events[:-EVENTS]


def tidy(data: Data) -> None:
    """Forget the single words of answers that are complete: these are events of their own."""
    data["events"] = [event for event in data.get("events", []) if event["type"] != "words"]


async def change(conversation: str, by: Callable[[Data], None]) -> Data:
    """Change the data of a conversation in one step, wake who listens to it, and return the data."""
    session = await conversations.update(conversation, by)
    ring(conversation)
    data: Data = session.data
    return data


def ring(conversation: str) -> None:
    """Wake who listens to a conversation."""
    for bell in bells.get(conversation, ()):
        bell.set()


async def follow(conversation: str, after: int) -> AsyncGenerator[Event | None]:
    """The events of a conversation that come after one, as they happen, until it is over; None now and then."""
    bell = asyncio.Event()
    bells.setdefault(conversation, set()).add(bell)
    try:
        while True:
            bell.clear()
            try:
                session = await conversations.get(conversation)
            except (hotsession.SessionNotFound, hotsession.SessionExpired):
                return
            events: list[Event] = session.data.get("events", [])
            for event in events[bisect_right(events, after, key=lambda each: each["id"]) :]:
                after = event["id"]
                yield event
            if session.status != "active":
                return
            try:
                await asyncio.wait_for(bell.wait(), LISTENING)
            except TimeoutError:
                yield None
    finally:
        bells[conversation].discard(bell)
