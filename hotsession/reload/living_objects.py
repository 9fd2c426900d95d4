"""After a swap: objects in kept values and sessions become of the new classes, nobody waiting for more than a moment.

Kept values are plain objects that nobody hands out anew, so they follow at the swap; what takes longer goes on in
slices, and so do the sessions that nobody touches. It knows no class itself: see `hotsession.living`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hotsession.events import Failure
from hotsession.lifecycle.following import followings
from hotsession.living.classes import Living, living
from hotsession.living.outcome import Outcome, counted
from hotsession.registry import registry
from hotsession.reload.generation import Generation

logger = logging.getLogger("hotsession.reload")

_effort = time.thread_time  # what other processes do on a busy machine is no work of ours

AT_ONCE = 0.02  # seconds of work after which the swap goes on with no kept value; they take turns
SLICE = 0.001  # seconds after which others have their turn
PAUSE = 0.004  # seconds for them, where objects are converted at the latest when somebody asks for them


@dataclass(slots=True)
class Followed:
    """What became of the objects in kept values at the swap.

    Args:
        converted: how many are of their new class, by its name.
        left: those that stay as they were, in words; each is told of once.
        failures: steps of the user's that raised.
    """

    converted: dict[str, int] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()


class LivingObjects:
    """Has all objects follow their classes after each swap.

    Args:
        on_done: is called when nothing more refers to old classes, as far as that is up to us.
    """

    def __init__(self, on_done: Callable[[], None]) -> None:
        self._on_done = on_done
        self._task: asyncio.Task[None] | None = None
        self._old_code_works = False
        self._seen = 0  # epoch that was begun last
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()

    def __repr__(self) -> str:
        return f"<LivingObjects sweeping={self._task is not None and not self._task.done()}>"

    def follow(self, old: Generation | None) -> Followed:
        """Begin it, after a swap: return what could be done of kept values at once.

        Args:
            old: the generation that was replaced, which may have work left.
        """
        self._old_code_works |= old is not None and bool(old.work or old.holders())
        known = living()
        if known.epoch == self._seen:
            return Followed()
        try:
            return self._begin(known)
        except Exception:  # the swap is done, and must be reported as such
            logger.exception("Objects in kept values could not all be converted")
            return Followed()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Do none of it during the block: somebody waits for a reload."""
        self._may_go_on.clear()
        try:
            yield
        finally:
            self._may_go_on.set()

    def old_code_is_gone(self) -> None:
        """Look again: what worked on old code may have made further objects of old classes."""
        known = living()
        if self._old_code_works and known.epoch:
            self._old_code_works = False
            known.look_again()
            self._begin(known)

    def stop(self) -> None:
        """Do no more of it."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _begin(self, known: Living) -> Followed:
        self.stop()
        self._seen = known.epoch
        outcome = Outcome()
        rest = [_converted(known, whose, root, outcome) for whose, root in _roots()]
        until = _effort() + AT_ONCE
        while rest and _effort() < until:  # in turns: a large one does not keep the others waiting
            rest = [work for work in rest if _effort() >= until or not _slice(known, work, SLICE, _effort)]
        self._task = asyncio.create_task(self._go_on(known, rest), name="hotsession converts objects")
        return Followed(
            converted={name: count for name, count in outcome.converted.items() if count},
            left=tuple(dict.fromkeys(f"{each.cls} ({each.why})" for each in outcome.left)),
            failures=tuple(Failure(each.step, each.error.with_traceback(None)) for each in outcome.failed),
        )

    async def _go_on(self, known: Living, kept: list[Iterator[None]]) -> None:
        try:
            for work in kept:
                await self._in_slices(known, work, SLICE)  # they are used as they are until it is their turn
            known.notices.forget_counts()
            for following in followings():
                await self._in_slices(known, following.sweep(), PAUSE)
        except Exception:
            logger.exception("Objects of old classes could not all be looked at; those that are used still follow")
            return
        known.forget_twins()
        if known.notices.sessions:
            logger.info(
                "In %d session%s objects follow the code as it is now: %s.",
                known.notices.sessions,
                "s" * (known.notices.sessions > 1),
                counted(known.notices.converted),
            )
        known.notices.forget_counts()
        self._on_done()

    async def _in_slices(self, known: Living, work: Iterator[None], pause: float) -> None:
        is_done = False
        while not is_done:
            await asyncio.sleep(pause)
            await self._may_go_on.wait()
            is_done = _slice(known, work, SLICE)


def _slice(known: Living, work: Iterator[None], seconds: float, clock: Callable[[], float] = time.perf_counter) -> bool:
    """Do a slice of some work, and say whether it is done."""
    until = clock() + seconds
    with known.lock:
        for _ in work:
            if clock() >= until:
                return False
    return True


def _converted(known: Living, whose: str, root: Any, outcome: Outcome) -> Iterator[None]:
    """Convert what hangs on one kept value."""
    conversion = known.conversion(root)
    yield from conversion.run()
    left = known.notices.tell(whose, "it", conversion.outcome)
    outcome.add(replace(conversion.outcome, left=left))


def _roots() -> list[tuple[str, Any]]:
    """What is kept, the data of modules included."""
    kept = [(f"kept value {name!r}", entry.value) for name, entry in registry.entries("value").items()]
    return kept + [(f"data of module {name!r}", data) for name, data in registry.all_module_data().items()]
