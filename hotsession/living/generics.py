"""What is made of classes by giving them parameters: pydantic models, as in ``Page[Item]``, and ``list[Item]``. Pure.

A model with parameters is a class that nobody wrote. It goes by what it is made of, as it has no place in a module
that could be relied on. It imports nothing of pydantic.
"""

from __future__ import annotations

import functools
import logging
import operator
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

logger = logging.getLogger("hotsession")


_SOME = (list[int], int | str, typing.List[int], typing.Optional[int], typing.Annotated[int, 0])  # noqa: UP006, UP045 - all types
ALIASES: frozenset[type] = frozenset(map(type, _SOME))
"""What `typing` makes of classes. An object that is made of ``G[Item]`` holds that, if `G` is generic."""


class Parametrised(NamedTuple):
    """What a class is made of.

    Args:
        origin: the model that was given parameters.
        arguments: these: classes, and what `typing` makes of them.
    """

    origin: type
    arguments: tuple[Any, ...]


def parametrised(cls: type) -> Parametrised | None:
    """What a class is made of; None if it was not made by giving parameters to a model."""
    metadata = vars(cls).get("__pydantic_generic_metadata__")
    if not isinstance(metadata, dict) or metadata.get("origin") is None:
        return None
    return Parametrised(metadata["origin"], metadata["args"])


def origin_of(cls: type) -> type:
    """The class that somebody wrote: a class itself, or the one that it is made of."""
    found = parametrised(cls)
    return cls if found is None else found.origin


def with_arguments(origin: Any, arguments: tuple[Any, ...]) -> Any:
    """A model with parameters; the model itself if it takes them no more."""
    try:
        return origin[arguments]
    except Exception as error:  # noqa: BLE001 - the user's own `__class_getitem__` may raise anything, too
        logger.debug("%r takes no parameters %r: %s", origin, arguments, error)
        return origin


def renewed(found: Any, now: Callable[[type], Any]) -> Any:
    """A class, or what `typing` makes of classes, with all of them as they are now; itself if none has changed.

    Args:
        found: a class, ``list[Item]``, ``Item | None``, and so on to any depth.
        now: what a class is now.
    """
    if isinstance(found, type) and not isinstance(found, types.GenericAlias):
        return now(found)
    arguments: tuple[Any, ...] = getattr(found, "__args__", ())
    origin: Any = None if hasattr(found, "__metadata__") else getattr(found, "__origin__", None)  # else: Annotated
    after = tuple(renewed(each, now) for each in arguments)
    origin_after = now(origin) if isinstance(origin, type) else origin
    if origin_after is origin and all(one is other for one, other in zip(arguments, after, strict=True)):
        return found
    if isinstance(found, types.UnionType):
        return functools.reduce(operator.or_, after)
    if origin_after is origin and hasattr(found, "copy_with"):
        return found.copy_with(after)
    return origin_after[after]
