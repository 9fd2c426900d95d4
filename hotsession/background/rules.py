"""The rules of named tasks: what becomes of a run when its name is asked for, and when new code takes over. Pure.

There is one run per name at a time, without exception: what is to follow waits until the one before has ended, however
long that takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OnReload = Literal["finish", "restart", "keep"]
ON_RELOAD: tuple[OnReload, ...] = ("finish", "restart", "keep")

# What is asked for, compared with what is there: the same code, newer or older code, or something else by that name.
Relation = Literal["same", "newer", "older", "other"]

# begin: now. join: the one that is there is handed out. wait: for the end of the one that is there. replace: cancel
# that one and wait for its end. refuse: it is an error.
Answer = Literal["begin", "join", "wait", "replace", "refuse"]

# As above. restart: replace it by the same function of the new code. end: cancel it, nothing follows. go on: alone.
Turn = Literal["begin", "join", "wait", "replace", "restart", "end", "go on"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is by a name.

    Args:
        on_reload: what a reload means for it, as the newest code that asked for it said.
        is_ending: it was cancelled, and has not ended.
        is_inferred: no code asked for it; it was begun because the code before had.
    """

    on_reload: OnReload
    is_ending: bool = False
    is_inferred: bool = False


def relation(before: int, now: int, *, is_same: bool, has_run_again: bool) -> Relation:
    """How code that asks stands to the code that has the name.

    Args:
        before: number of the generation that has the name; 0 where no host loaded it.
        now: number of the generation that asks.
        is_same: whether both mean the same function.
        has_run_again: whether it is the same place in the source and its module was run again since.
    """
    if now != before:
        return "newer" if now > before else "older"
    if is_same:
        return "same"
    return "newer" if now == 0 and has_run_again else "other"


def answer(there: Standing | None, how: Relation, on_reload: OnReload) -> Answer:
    """What becomes of a name that running code asks for.

    Args:
        there: what goes by the name and has not ended.
        how: what is asked for, compared with that.
        on_reload: what the asking code says.
    """
    if there is None:
        return "begin"
    if how == "older":
        return "join"  # code that drains: it starts nothing beside or instead of what newer code has
    if there.is_ending:
        return "wait"
    if how == "same" or (how == "newer" and on_reload == "keep"):
        return "join"
    if how == "other":
        return "replace" if there.is_inferred else "refuse"
    return "replace" if on_reload == "restart" else "wait"


def turn(
    there: Standing | None,
    asked: OnReload | None,
    *,
    has_failed: bool = False,
    has_successor: bool = False,
    resets: bool = False,
) -> Turn:
    """What becomes of a name when new code takes over.

    Args:
        there: what goes by the name and has not ended; of older code.
        asked: what the new code says, if it asked for the name when it was loaded or its app started.
        has_failed: nothing goes by the name, because a run that was to be restarted at reloads failed.
        has_successor: whether the new code has the same function.
        resets: kept values are dropped, so nobody may go on with those.
    """
    if there is None:
        if asked is not None:
            return "begin"
        return "restart" if has_failed and has_successor else "go on"
    rule = asked or there.on_reload
    if rule == "restart" or (rule == "keep" and resets):
        if asked is not None:
            return "replace"
        if there.is_ending:
            return "go on"
        return "restart" if has_successor else "end"
    if asked is None:
        return "go on"
    return "join" if rule == "keep" and not there.is_ending else "wait"


def report(name: str, becomes: Turn, on_reload: OnReload) -> str:
    """What the line about a reload says of a run; nothing of one that finishes, which is named as work of old code."""
    if becomes in ("replace", "restart"):
        return f"{name!r} restarted"
    if becomes == "end":
        return f"{name!r} ended"
    return f"{name!r} kept" if on_reload == "keep" else ""
