"""Which version the objects of a class are of, and what brings them to the next. Pure.

Each class counts for itself: an object has a version by its own class, and one by each base that counts. So a step that
a subclass tells of is run also where one of a base brought the object to the same number before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from hotsession.living.generics import origin_of

VERSION = "__hot_version__"
METHOD = "__hot_migrate__"
STEPS = "__hot_steps__"

OWN = ""
"""The class of an object itself, which may be renamed; its bases go by their names."""


class Step(NamedTuple):
    """What is called with an object to bring it to a version.

    Args:
        name: of the function or method, for people.
        version: that the object is of afterwards.
        call: the function.
    """

    name: str
    version: int
    call: Callable[[Any], object]


def versions_of(cls: type) -> dict[str, int]:
    """The versions of the objects of a class, by who counts: `OWN`, and the names of bases."""
    found: dict[str, int] = {}
    for base in reversed(cls.__mro__):
        if version := _counted(base):
            found[_name(base, cls)] = version
    return found


def version_of(cls: type) -> int:
    """The version that `__hot_migrate__` counts by: what the nearest class says that has it or says one."""
    return _counted(_teller(cls) or cls)


def steps_between(passed: Mapping[str, int], version: int, cls: type) -> list[Step]:
    """What is to be called with an object that has become one of a class, in order.

    Args:
        passed: the versions that it is of.
        version: the one that `__hot_migrate__` counted by so far, where its class has none in `passed`.
        cls: the class.
    """
    found = [
        Step(getattr(step, "__qualname__", repr(step)), to, step)
        for base in reversed(cls.__mro__)
        for to, step in vars(base).get(STEPS, {}).items()
        if to > passed.get(_name(base, cls), 0)
    ]
    found.sort(key=lambda step: step.version)
    teller = _teller(cls)
    if teller is not None and any(METHOD in vars(base) for base in cls.__mro__):
        before, now = passed.get(_name(teller, cls), version), _counted(teller)
        if before != now:
            found.append(Step(f"{cls.__qualname__}.{METHOD}", now, partial(_migrate, before)))
    return found


def outlived(passed: Mapping[str, int], cls: type) -> dict[str, int]:
    """Those of an object's versions that it keeps although its class knows no such number now, as the edit was undone.

    A `__hot_migrate__` that is told of the older number takes the object back to that.
    """
    now, teller = versions_of(cls), _teller(cls)
    if teller is not None and any(METHOD in vars(base) for base in cls.__mro__):
        passed = {whose: version for whose, version in passed.items() if whose != _name(teller, cls)}
    return {whose: version for whose, version in passed.items() if version > now.get(whose, 0)}


def _counted(base: type) -> int:
    """The version that one class says itself: the latest step, the number, or 1 if it has but the method."""
    number = vars(base).get(VERSION)
    steps: Mapping[int, object] = vars(base).get(STEPS, {})
    said = number if isinstance(number, int) else int(METHOD in vars(base))
    return max(said, *steps, 0)


def _teller(cls: type) -> type | None:
    return next((base for base in cls.__mro__ if VERSION in vars(base) or METHOD in vars(base)), None)


def _name(base: type, cls: type) -> str:
    return OWN if base is origin_of(cls) else base.__qualname__


def _migrate(before: int, instance: Any) -> object:
    return getattr(instance, METHOD)(before)
