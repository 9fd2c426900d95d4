"""What is done for sessions that nobody asks for: expired ones are noted, jobs that died, what is over is deleted.

It begins with the first use of a manager, in whatever event loop that is, as one task that ends with the event loop;
the next use in another one begins it again. Runs on asyncio and trio.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from hotsession.errors import HookFailed, StorageError
from hotsession.lifecycle.jobs import Jobs
from hotsession.lifecycle.ledger import Ledger
from hotsession.lifecycle.record import Record
from hotsession.lifecycle.session import Session
from hotsession.storages.base import Recovers, Storage

logger = logging.getLogger("hotsession")

LONGEST, SHORTEST = 30.0, 0.05  # seconds between two rounds
BATCH = 100
SAY_EVERY = 1000  # sessions between two lines about a recovery


class Upkeep:
    """Looks after the sessions of a ledger.

    Args:
        ledger: where they are.
        storage: the storage itself.
        jobs: those on its sessions.

    Attributes:
        grace: seconds for which what is over is still there.
        begun: whether it goes on in an event loop.
    """

    def __init__(self, ledger: Ledger, storage: Storage, jobs: Jobs) -> None:
        self.grace = 24 * 60 * 60.0
        self.begun: object = None
        self._ledger = ledger
        self.storage = storage
        self._jobs = jobs
        self._recovered = False
        _all.add(self)

    def __repr__(self) -> str:
        return f"<Upkeep of {self._ledger!r}>"

    def begin(self) -> None:
        """Begin it in the running event loop, unless it goes on somewhere."""
        task = self.begun
        if task is not None and not _has_ended(task):
            return
        self.begun = _start(_Round(self))

    async def once(self) -> None:
        """One round: all that there is to do now."""
        for step in (self._recover, self._jobs.stay, self._jobs.tidy, self.expire, self._remove):
            await self._guarded(step)

    @property
    def interval(self) -> float:
        """Seconds between two rounds: a fraction of the shortest life, so that it is noticed in time."""
        limits = self._ledger.limits
        spans = [each for each in (limits.idle_timeout, limits.max_age, self.grace) if each is not None]
        return max(SHORTEST, min(LONGEST, *(each / 4 for each in spans)))

    async def expire(self) -> list[Session]:
        """Note all sessions whose time is over and return them; where a hook fails, it is logged and tried again later.

        Raises:
            StorageError: the storage does not do its work.
        """
        found: list[Session] = []
        failed: set[str] = set()
        while True:
            now = self._ledger.clock()
            limit = BATCH + len(failed)
            due = await self._ledger.storage.expired(self._ledger.name, now, limit)
            new = [each for each in due if each.id not in failed]
            for record in new:
                over = await self._expire(record.id, now)
                if over is None:
                    failed.add(record.id)
                else:
                    found.append(Session(over, reused=True))
            if not new or len(due) < limit:
                return found

    async def _expire(self, id: str, now: float) -> Record | None:
        record = await self._ledger.storage.get(id)  # with its data, which listings may leave out
        if record is None or not record.is_expired(now):
            return None
        try:
            return await self._ledger.expire(record, now)
        except HookFailed as error:
            logger.exception("%s", error)
            return None

    async def _remove(self) -> None:
        """Delete what was over before the grace period."""
        before = self._ledger.clock() - self.grace
        while (removed := await self._ledger.storage.remove(self._ledger.name, before, BATCH)) == BATCH:
            await anyio.lowlevel.checkpoint()
        if removed:
            logger.debug("deleted sessions of %r that were over for longer than %.0f s", self._ledger.name, self.grace)

    async def _recover(self) -> None:
        """Have records rebuilt from what lies on disk, once per process."""
        if self._recovered or not isinstance(self.storage, Recovers):
            return
        self._recovered = True

        def progress(seen: int, of: int) -> None:
            if seen == of or seen % SAY_EVERY == 0:
                logger.info("looked at %d of %d sessions of %r on disk", seen, of, self._ledger.name)

        try:
            rebuilt = await self.storage.recover(self._ledger.name, self._ledger.clock(), progress)
        except StorageError:
            self._recovered = False
            self._ledger.figures.count("unrecovered")
            raise
        self._ledger.figures.count("rebuilt", rebuilt)
        if rebuilt:
            logger.info("recovered %d sessions of %r from what lies on disk", rebuilt, self._ledger.name)

    async def _guarded(self, step: Callable[[], Awaitable[object]]) -> None:
        """Do one step; what goes wrong is logged, and tried again in the next round."""
        try:
            await step()
        except Exception as error:
            logger.exception("the upkeep of the sessions %r met %r and goes on", self._ledger.name, error)


class _Round:
    """The rounds of an upkeep, for as long as somebody else holds it."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = weakref.ref(upkeep)

    async def __call__(self) -> None:
        try:
            while (interval := await self._once()) is not None:  # noqa: ASYNC110 - it waits for time to pass
                await anyio.sleep(interval)
        finally:
            upkeep = self._upkeep()
            if upkeep is not None:
                upkeep.begun = None

    async def _once(self) -> float | None:
        upkeep = self._upkeep()
        if upkeep is None:
            return None
        await upkeep.once()
        return upkeep.interval


_all: weakref.WeakSet[Upkeep] = weakref.WeakSet()


def _forget() -> None:
    """In a forked child: its parent's event loop is not its own."""
    for upkeep in _all:
        upkeep.begun = None
        upkeep._recovered = False


os.register_at_fork(after_in_child=_forget)


def _has_ended(task: Any) -> bool:
    """Whether a task will never go on: its event loop was closed under it."""
    return isinstance(task, asyncio.Task) and (task.done() or task.get_loop().is_closed())


def _start(run: Callable[[], Any]) -> object:
    """Run a coroutine function in the background, in a context of its own: it belongs to no request and no load."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules["trio"]

        async def go_on() -> None:
            await run()

        return trio.lowlevel.spawn_system_task(go_on, context=contextvars.Context())
    return loop.create_task(run(), name="hotsession upkeep", context=contextvars.Context())
