"""What happened, as frozen values: changes of files, and what became of a reload."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One file that changed.

    Args:
        path: its absolute path.
        kind: what happened to it.
    """

    path: str
    kind: Literal["added", "modified", "deleted"] = "modified"


@dataclass(frozen=True, slots=True)
class Failure:
    """Something of the user's that raised while we went on.

    Args:
        what: its name, as the log shows it.
        error: what it raised.
    """

    what: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A new generation is in place.

    Args:
        generation: its number.
        modules: names of the modules that were loaded anew, the changed ones first.
        removed: names of the modules that are gone.
        services: live services that the old generation had, by class name.
        kept: names of kept values that went on.
        sessions: live sessions by the name of their manager.
        replaced: kept names that were built anew.
        stale: kept names whose factory changed while the old value was kept.
        tasks: what became of named background tasks, in words; those that finish on old code are in `busy`.
        seconds: from the first event of the change to the swap.
        carried: how many WebSockets and event streams move on to the new code.
        closed: how many were closed instead, because the app wants that.
        busy: what the old generation still works on, in words.
        failures: hooks that raised, and steps of objects in kept values.
        converted: how many objects in kept values are of their new class now, by its name; sessions follow when they
            are touched, or soon after.
        left: objects in kept values that stay as they were, in words; each is told of once.
    """

    generation: int
    modules: tuple[str, ...]
    removed: tuple[str, ...] = ()
    services: dict[str, int] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    sessions: dict[str, int] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    seconds: float = 0.0
    carried: int = 0
    closed: int = 0
    busy: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    converted: dict[str, int] = field(default_factory=dict)
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """New code could not be put in place; what ran before goes on.

    Args:
        stage: what was being done.
        error: what it raised.
        modules: names of the modules that were to be loaded.
    """

    stage: Literal["import", "start-up"]
    error: BaseException
    modules: tuple[str, ...] = ()
