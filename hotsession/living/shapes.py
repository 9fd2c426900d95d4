"""What of a class its objects depend on: the fields it declares, its version, and the names that its fields had. Pure.

An object is always of the version of the class that it is of: one that can't be brought to the next version keeps its
class. So no object has to remember a version of its own, but for those that are written down, which keep the shape
of their class with them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

VERSION = "__hot_version__"
METHOD = "__hot_migrate__"
STEPS = "__hot_steps__"
RENAMED = "__hot_renamed__"

Step = Callable[[Any], object]


class Shape(NamedTuple):
    """What objects of a class look like.

    Args:
        fields: the names that a dataclass, an attrs class, a pydantic model or a named tuple declares; None for others.
        version: that of the class; 0 unless somebody says it.
        renamed: pairs of the name that a field had and the one that it has.
    """

    fields: tuple[str, ...] | None = None
    version: int = 0
    renamed: tuple[tuple[str, str], ...] = ()


PLAIN = Shape()


def shape_of(cls: type) -> Shape:
    """The shape of the objects of a class."""
    return Shape(fields_of(cls), version_of(cls), tuple(renames_of(cls).items()))


def said(cls: type, name: str) -> Any:
    """What a class, or a base of it, has by a name; None if that is nothing.

    Its metaclass is not asked, whose `__getattr__` may raise anything.
    """
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def fields_of(cls: Any) -> tuple[str, ...] | None:
    """The names of the fields that a class declares, in order; None if it is of no kind that declares any."""
    if said(cls, "__dataclass_fields__") is not None:
        return tuple(field.name for field in dataclasses.fields(cls))
    if said(cls, "__attrs_attrs__") is not None:
        return tuple(attribute.name for attribute in cls.__attrs_attrs__)
    if said(cls, "__pydantic_fields_set__") is not None and "__pydantic_complete__" in vars(cls):
        return tuple(cls.__pydantic_fields__)
    if issubclass(cls, tuple) and isinstance(names := said(cls, "_fields"), tuple):
        return names
    return None


def version_of(cls: type) -> int:
    """The version of a class: what it says itself, or the latest step that is known; 1 if it has but the method."""
    number = said(cls, VERSION)
    versions = [version for version, _ in steps_of(cls)]
    if isinstance(number, int):
        versions.append(number)
    elif said(cls, METHOD) is not None:
        versions.append(1)
    return max(versions, default=0)


def steps_of(cls: type) -> list[tuple[int, Step]]:
    """The functions that bring objects of a class to a version, those of its base classes too, in order."""
    found = [step for base in reversed(cls.__mro__) for step in vars(base).get(STEPS, {}).items()]
    return sorted(found, key=lambda step: step[0])


def renames_of(cls: type) -> dict[str, str]:
    """The names that fields of a class had, with those that they have now."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found.update(vars(base).get(RENAMED, {}))
    return found


def steps_between(old: Shape, cls: type) -> list[Callable[[Any], object]]:
    """What is to be called with an object of shape `old` that has become one of `cls`, in order."""
    version = version_of(cls)
    if version == old.version:
        return []
    found = [step for to, step in steps_of(cls) if old.version < to <= version]
    if said(cls, METHOD) is not None:
        found.append(lambda instance: getattr(instance, METHOD)(old.version))
    return found
