"""What becomes of one name when new code takes over: it does to its slot what the rules say, and says so in words."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from hotsession.background.functions import successor
from hotsession.background.rules import Turn, report, turn
from hotsession.background.run import Run
from hotsession.background.slots import Slot, drop, new_run

logger = logging.getLogger("hotsession")

OnEnd = Callable[[Run], None]


def take_over(slot: Slot, name: str, asked: Run | None, scope: Any, on_end: OnEnd, *, resets: bool) -> str:
    """Let new code take over a name. What is to follow is then in `slot.next`, and is begun by others.

    Args:
        slot: what there is by the name.
        name: of the task.
        asked: what the new code asked for when it was loaded, if it did.
        scope: the new generation.
        on_end: of runs that are made here.
        resets: kept values are dropped with the old code.

    Returns:
        What becomes of what was there; empty where there is nothing to say.
    """
    _arrive(slot, asked, scope, on_end)
    there, failed, slot.failed = slot.running, slot.failed, None
    if there is not None and not there.number and asked is None:
        return ""  # of code that no host loaded, and that no reload replaces
    function = failed if there is None else there.function
    following = None if asked is not None or function is None else successor(function)
    becomes = turn(
        None if there is None else there.standing,
        None if asked is None else asked.on_reload,
        has_failed=failed is not None,
        has_successor=following is not None,
        resets=resets,
    )
    if asked is not None:
        _place(slot, asked, becomes)
    elif becomes == "restart" and following is not None and slot.next is None:
        on_reload = "restart" if there is None else there.on_reload
        slot.next = new_run(name, following, on_reload, scope, on_end, inferred=True)
    if there is None:
        return f"{name!r} started again" if becomes == "restart" else ""
    there.is_awaited = slot.next is not None
    _leave(there, becomes)
    return report(name, becomes, there.on_reload)


def _arrive(slot: Slot, asked: Run | None, scope: Any, on_end: OnEnd) -> None:
    """What waited was asked for by code that is old now: newer takes its place."""
    if asked is not None:
        asked.transaction = None
        drop(slot.next)
        slot.next = None
    elif slot.next is not None and slot.next.number:
        slot.next = _renewed(slot.next, scope, on_end)


def _place(slot: Slot, asked: Run, becomes: Turn) -> None:
    there = slot.running
    if there is not None:
        there.on_reload = asked.on_reload
    if there is not None and becomes == "join":
        asked.handle._run = there
    else:
        slot.next = asked


def _leave(there: Run, becomes: Turn) -> None:
    """Do with a run of old code what the rules say."""
    if becomes in ("replace", "restart", "end"):
        there.cancel()
    if becomes == "end" and not there.is_awaited:
        logger.warning(
            "Task %r ends: the new code does not ask for it, and has no coroutine function %s to restart.",
            there.name,
            there.where,
        )
    if there.on_reload != "keep" or there.is_ending:
        there.hold()


def _renewed(waiting: Run, scope: Any, on_end: OnEnd) -> Run | None:
    """What old code asked for and did not get yet, by the function of the new code if that has it."""
    function = None if waiting.function is None else successor(waiting.function)
    if function is None and waiting.on_reload != "restart":
        return waiting
    newer = None
    if function is not None:
        newer = new_run(waiting.name, function, waiting.on_reload, scope, on_end)
        newer.handle = waiting.handle
        newer.handle._run = newer
    waiting.land("cancelled")
    return newer
