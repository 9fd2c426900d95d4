"""When to act on changes: at once on a single save, once on a burst, never on what newer changes overtook."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from hotsession.events import Change, LoadFailed, Reloaded
from hotsession.hooks import is_being_cancelled
from hotsession.reload.feed import ChangeFeed
from hotsession.reload.report import merged

logger = logging.getLogger("hotsession.reload")

# One saved file is acted on at once. Several at once, a file that became empty (editors that truncate first), and
# what follows within this time are a burst, which is over when the files have been quiet for as long.
QUIET_SECONDS = 0.05
# Who writes without a pause gets a report all the same.
_LONGEST_BURST_SECONDS = 2.0


class Overtaken(Exception):
    """An attempt was dropped because something newer made it pointless: it is done again, and nothing is said."""


Outcome = Reloaded | LoadFailed | None


class Attempts(Protocol):
    """Who makes the attempts."""

    async def attempt(self, changes: frozenset[Change], seen_at: float, *, insist: bool = False) -> Outcome | Overtaken:
        """Replace what `changes` touch, if need be although newer changes have come; None when that is nothing."""
        ...

    def may_be_half_written(self, change: Change) -> bool:
        """Whether the file looks as if an editor were just writing it."""
        ...


class Follower:
    """Turns changes into attempts, and attempts into one report per save or burst.

    Args:
        attempts: makes them.
        feed: where changes wait.
        report: is called with what came of a save or burst.
        clock: seconds that only go forward.

    Attributes:
        pending: changes whose attempt failed; they are tried again with the next.
    """

    def __init__(
        self,
        attempts: Attempts,
        feed: ChangeFeed,
        report: Callable[[Outcome], None],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.pending: frozenset[Change] = frozenset()
        self._attempts = attempts
        self._feed = feed
        self._report = report
        self._clock = clock

    async def follow(self) -> None:
        """Act on changes for as long as the process lives."""
        while True:
            seen_at = await self._feed.wait()
            changes = self._feed.take()
            if len(changes) > 1 or any(map(self._attempts.may_be_half_written, changes)):
                changes |= await self._feed.settle(QUIET_SECONDS)
            try:
                await self.act(changes, seen_at)
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                    raise
                # Whatever it is, it must not end the watching without a word.
                self.pending |= changes
                logger.exception(
                    "Reloading failed, and not because of your code: please report this. "
                    "What ran before goes on serving; the next save tries again."
                )

    async def act(self, changes: frozenset[Change], seen_at: float, *, quiet: float = QUIET_SECONDS) -> Outcome:
        """Try until the files are quiet and nothing overtakes the attempt; report once what came of it.

        Args:
            changes: what is known to have changed.
            seen_at: when the first of it was seen, by the clock.
            quiet: seconds without a change after which nothing more is expected.
        """
        reloaded: Reloaded | None = None
        failed: LoadFailed | None = None
        end = self._clock() + _LONGEST_BURST_SECONDS
        while True:
            changes |= self.pending
            # What changes files at each import would overtake every attempt: after a while one is carried through.
            attempt = await self._attempts.attempt(changes, seen_at, insist=self._clock() >= end)
            if isinstance(attempt, Reloaded):
                reloaded = merged(reloaded, attempt) if reloaded else attempt
                failed, changes, self.pending = None, frozenset(), frozenset()
            elif isinstance(attempt, LoadFailed):
                failed, self.pending = attempt, changes
            if attempt is None or not await self._goes_on(attempt, end, quiet):
                break
            changes |= await self._feed.settle(quiet)
            seen_at = self._clock()
        for outcome in (reloaded, failed):
            if outcome is not None:
                self._report(outcome)
        return failed or reloaded

    async def _goes_on(self, attempt: Reloaded | LoadFailed | Overtaken, end: float, quiet: float) -> bool:
        """Whether another attempt has to follow: this one was overtaken, or more has changed before it was quiet."""
        if isinstance(attempt, Overtaken):
            return True
        return await self._feed.quiet(quiet) and self._clock() < end
