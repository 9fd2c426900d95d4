"""What changed in a manager's sessions, for many who listen: one of them asks the storage, and the others are told.

No task runs for it. Whoever listens first asks the storage again and again, in the task and event loop of its own, and
when it leaves another goes on. Who has fallen behind reads for itself what it missed, so nothing piles up here.
Knows no HTTP.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import NamedTuple

import anyio

from hotsession.errors import StorageError
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.telling import SessionChanges
from hotsession.loops import Waiter
from hotsession.registry import registry
from hotsession.storages.base import Watches

logger = logging.getLogger("hotsession")

POLL_SECONDS = 0.5  # how late somebody may hear of what another process wrote
GATHER_SECONDS = 0.02  # between two questions: a thousand writes a second are fifty of them
WATCH_SECONDS = 60.0


class News(NamedTuple):
    """Changes, as all who listen are told of them.

    Args:
        first: the first position that they come after,
        last: and the last one: there was nothing in between.
        changes: what was written then; it may be nothing, and the position another one all the same.
        texts: who listens may leave here how a change reads, by its number, for the others.
    """

    first: int
    last: int
    changes: SessionChanges
    texts: dict[int, str]

    def is_next(self, after: int) -> bool:
        """Whether they are what comes after this position."""
        return self.first <= after <= self.last


class Feed:
    """The changes of one manager's sessions; it may be used from any task, thread and event loop.

    Args:
        manager: whose.
    """

    def __init__(self, manager: SessionManager) -> None:
        self.manager = manager
        self._watches = manager.storage if isinstance(manager.storage, Watches) else None
        self._lock = threading.Lock()
        self._latest: News | None = None
        self._asked: tuple[int, int] | None = None  # from where to where somebody has asked so far, and goes on to
        self._waiters: dict[Waiter, None] = {}
        self._told_at = 0.0
        self._is_down = False

    def __repr__(self) -> str:
        return f"<Feed of {self.manager.name!r} asked={self._asked} waiting={len(self._waiters)}>"

    async def position(self) -> int:
        """Where the storage stands now."""
        return (await self.manager.changes(None)).position

    async def after(self, position: int) -> News:
        """Return what was written after a position, as soon as something was."""
        while True:
            if (news := self._latest) is not None and news.is_next(position):
                return news
            waiter = Waiter()
            with self._lock:
                asked = self._asked
                if asked is None:
                    self._asked = position, position
                else:
                    self._waiters[waiter] = None
            if asked is None:
                return await self._ask(position)
            try:
                if not asked[0] <= position <= asked[1]:
                    changes = await self.manager.changes(position)
                    if _tells(changes, position):
                        return News(position, position, changes, {})
                await waiter.wait()
            finally:
                self._waiters.pop(waiter, None)

    async def _ask(self, first: int) -> News:
        """Ask the storage until something was written, and tell the others."""
        last = first
        try:
            await anyio.sleep(max(0.0, self._told_at + GATHER_SECONDS - time.monotonic()))
            while True:
                changes = await self._read(last)
                if changes is not None and (changes.sessions or not changes.complete):
                    self._latest = news = News(first, last, changes, {})
                    self._told_at = time.monotonic()
                    return news
                if changes is not None:
                    last = changes.position
                    self._asked = first, last
                await self._wait(last)
        finally:
            with self._lock:
                self._asked = None
                waiting = tuple(self._waiters)
            for waiter in waiting:
                waiter.wake()

    async def _read(self, after: int) -> SessionChanges | None:
        """What the storage tells; None while it can't, which is logged once."""
        try:
            changes = await self.manager.changes(after)
        except StorageError as error:
            if not self._is_down:
                logger.warning("Nobody hears of changes of the sessions %r for now: %s", self.manager.name, error)
            self._is_down = True
            return None
        self._is_down = False
        return changes

    async def _wait(self, after: int) -> None:
        """Wait until it is worth asking again."""
        if self._watches is not None and not self._is_down:
            await self._watches.changed(self.manager.name, after, WATCH_SECONDS)
            await anyio.sleep(GATHER_SECONDS)
        else:
            await anyio.sleep(POLL_SECONDS)


def feed_of(manager: SessionManager) -> Feed:
    """The feed of a manager: one per process."""
    feeds: dict[str, Feed] = registry.object("feeds", dict)
    found = feeds.get(manager.name)
    if found is None or found.manager is not manager:  # `reset` has dropped the other
        found = feeds[manager.name] = Feed(manager)
    return found


def _tells(changes: SessionChanges, position: int) -> bool:
    return bool(changes.sessions) or not changes.complete or changes.position != position
