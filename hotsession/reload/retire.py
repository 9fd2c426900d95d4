"""How an old generation goes: it finishes its work, what it built is disposed of, its app ends, it is forgotten."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from hotsession.events import Failure
from hotsession.hooks import is_being_cancelled
from hotsession.registry import registry
from hotsession.reload.adapters import release_all
from hotsession.reload.collector import CollectorPause
from hotsession.reload.generation import Generation, Leaving, Work
from hotsession.reload.report import pending_line

logger = logging.getLogger("hotsession.reload")

# What was told to end and does not is cancelled after this long.
_GRACE_SECONDS = 5.0

NOBODY: Mapping[Work, Leaving] = MappingProxyType({})


class Retirement:
    """The generations that were replaced and are not gone yet.

    Args:
        drain_timeout: seconds after which work that never ends by itself (WebSockets, event streams) is ended. Ordinary
            requests finish however long they take.
        on_empty: is called when the last of them is gone.
    """

    def __init__(self, drain_timeout: float, on_empty: Callable[[], None]) -> None:
        self._drain_timeout = drain_timeout
        self._on_empty = on_empty
        self._going: dict[Generation, asyncio.Task[None]] = {}
        self._pause = CollectorPause()
        self._leaving: dict[Generation, dict[Work, Leaving]] = {}

    def __repr__(self) -> str:
        return f"<Retirement of {len(self._going)} generations>"

    def __bool__(self) -> bool:
        return bool(self._going)

    def add(self, generation: Generation) -> Counter[Leaving]:
        """Let `generation` go in the background, and return how much of its work does what."""
        leaving = self.see_off(generation)
        task = asyncio.create_task(
            self._go(generation, leaving), name=f"hotsession retires generation {generation.number}"
        )
        self._going[generation] = task
        self._leaving[generation] = leaving
        return Counter(leaving.values())

    def see_off(self, generation: Generation) -> dict[Work, Leaving]:
        """Let the connections of `generation` leave for another one, which serves or is about to."""
        self._pause.begin(len(generation.work))
        return {work: work.leave(self._drain_timeout) for work in tuple(generation.work)}

    def busy(self) -> tuple[str, ...]:
        """What the generations that are going still work on, but for what leaves them just now, in words."""
        return tuple(
            work.describe()
            for generation, leaving in self._leaving.items()
            for work in generation.work
            if leaving.get(work, "stays") in ("later", "stays")
        )

    async def _go(self, generation: Generation, leaving: dict[Work, Leaving]) -> None:
        try:
            await self.end(generation, self._drain_timeout, leaving)
        finally:
            del self._going[generation], self._leaving[generation]
            for older in self._going:
                older.codebase.take_home(generation.codebase)
            if not self._going:
                self._on_empty()

    async def end(
        self, generation: Generation, drain_timeout: float, leaving: Mapping[Work, Leaving] = NOBODY
    ) -> tuple[Failure, ...]:
        """Drain `generation`, dispose of its services in reverse order, end its app; return what failed meanwhile.

        Args:
            generation: the one to end.
            drain_timeout: seconds after which what never ends by itself is ended.
            leaving: what its work does that was seen off.
        """
        started = time.monotonic()
        await drain(generation, drain_timeout, leaving)
        waited = time.monotonic() - started
        with registry.running(generation.number):
            failures = [*await generation.container.dispose()]
            failure = await end_lifespan(generation)
            failures += await generation.container.dispose()  # what the end of the lifespan asked for anew
        release_all()  # its last requests have filled libraries' caches again
        if waited >= max(drain_timeout, 1.0):
            logger.info("Generation %d has finished its work after %.0f s.", generation.number, waited)
        if holders := generation.holders():
            logger.warning(
                "Old code of generation %d still runs: %s. End it in an @hot.on_dispose hook or the app's lifespan.",
                generation.number,
                ", ".join(holders),
            )
        return (*failures, *([failure] if failure else []))

    async def finish(self) -> None:
        """Return when all of them are gone."""
        while self._going:
            await asyncio.wait(self._going.values())
        self._pause.end()


async def drain(generation: Generation, seconds: float, leaving: Mapping[Work, Leaving] = NOBODY) -> None:
    """Return when `generation` has no work left; after so many seconds end what never ends by itself.

    Args:
        generation: the one to drain.
        seconds: until then.
        leaving: what its work does that was seen off.
    """
    if await _idle(generation, seconds):
        return
    names = [work.describe() for work in generation.work]
    logger.info(pending_line(names, generation.number, seconds))
    endless = [work for work in generation.work if work.endless and leaving.get(work, "stays") == "stays"]
    for work in endless:
        work.finish()
    if endless and not await _idle(generation, _GRACE_SECONDS):
        for work in endless:
            work.cancel()
    await generation.idle()


async def _idle(generation: Generation, seconds: float) -> bool:
    if not generation.work:
        return True
    try:
        await asyncio.wait_for(generation.idle(), seconds)
    except TimeoutError:
        return False
    return True


async def end_lifespan(generation: Generation) -> Failure | None:
    """End the app of `generation`; one that fails is logged, and returned."""
    try:
        await generation.lifespan.end()
    except BaseException as error:
        if is_being_cancelled():
            raise
        what = f"the end of the app's lifespan (generation {generation.number})"
        logger.exception("Failed: %s. The new code serves all the same.", what)
        return Failure(what, error)
    return None
