"""What users say of their changed classes: how objects are converted, how fields were called, where classes went."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from hotsession.errors import ConfigurationError
from hotsession.living.classes import living
from hotsession.living.owning import is_carried_over
from hotsession.living.shapes import RENAMED
from hotsession.living.versions import STEPS
from hotsession.registry import registry

logger = logging.getLogger("hotsession")

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[[Any], object])


def migrate(cls: type, *, version: int) -> Callable[[F], F]:
    """Decorator of a function that brings an object of an older version of a class to `version`.

    After a save it is called once with each object that is of an older version, when its session is touched or soon
    after, and with those that a restart brings back. At that time the object is of the new class, new fields have
    their defaults, and all that it holds has been converted. Steps run in the order of their versions. If one raises,
    the object stays as it was before, and whoever asks for its session gets `MigrationFailed`, until it is tried again
    after the next save.

    Each class counts its versions for itself: an object of a subclass passes the steps of the base as well as those of
    the subclass, also where both are called version 1.

    No object passes a step twice. When the edit is undone, the older class gets its objects back as the step left
    them, and they remember that they have passed it: redone, it is run with those alone that were made in between.
    To have a step run that was wrong at first, give the mended one the next version.

    Say it in the module of the class. From another one it takes effect when the class is loaded anew as well, as
    objects from before the save could not be told from later ones otherwise: the log says where that is to be done.

    A class whose objects convert themselves has a method ``__hot_migrate__(self, old_version)`` instead, and says its
    version in ``__hot_version__``.

    Args:
        cls: the class as it is now.
        version: which it brings objects to; those that nobody gave one are of version 0.

    Raises:
        ConfigurationError: the version is no positive number, or another function brings objects to it.

    Example:
        >>> @hotsession.migrate(User, version=2)
        ... def split_name(user):
        ...     user.first, user.last = user.name.split(" ", 1)
    """
    if not isinstance(version, int) or version < 1:
        raise ConfigurationError(f"migrate(version={version!r}): it is a number from 1 on")

    def declare(step: F) -> F:
        known = vars(cls).get(STEPS, {}).get(version)
        both = [getattr(each, "__qualname__", repr(each)) for each in (known, step)]
        if known is not None and both[0] != both[1]:
            raise ConfigurationError(
                f"{both[0]} and {both[1]} both bring {cls.__qualname__} to version {version}: "
                "give the later one the next number"
            )
        _say(cls, STEPS, {version: step}, f"migrate(version={version})", is_known=known is not None)
        return step

    return declare


def renamed(**names: str) -> Callable[[C], C]:
    """Class decorator that tells of fields, or members of an Enum, that are called otherwise now.

    Args:
        names: the old name, and what it is now.

    Example:
        >>> @hotsession.renamed(surname="last_name")
        ... @dataclass
        ... class User:
        ...     last_name: str
    """

    def declare(cls: C) -> C:
        is_known = names.items() <= vars(cls).get(RENAMED, {}).items()
        _say(cls, RENAMED, names, f"renamed({', '.join(names)})", is_known=is_known)
        return cls

    return declare


def moved(old: str, new: str) -> None:
    """Tell that a class has another module or name now, so that its objects follow it.

    What is no longer found by its old name is looked for by the new one, in place and after a restart. Also a whole
    module may be told of: ``moved("app.models", "app.domain")``.

    Args:
        old: its module and name, as in ``"app.models.User"``.
        new: where it is now.

    Raises:
        ConfigurationError: one of them is no dotted name, or both are the same.
    """
    for name in (old, new):
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigurationError(f"moved({old!r}, {new!r}): {name!r} is not the dotted name of a class")
    if old == new:
        raise ConfigurationError(f"moved({old!r}, {new!r}): that is the same name twice")
    follow = living().moves
    transaction = registry.transaction
    if transaction is None:
        follow[old] = new
    else:
        transaction.on_commit.append(lambda: follow.__setitem__(old, new))


def _say(cls: type, name: str, said: dict[Any, Any], what: str, *, is_known: bool) -> None:
    """Have a class know what is told of it, with the swap if it is one that goes on as it is."""

    def put() -> None:
        type.__setattr__(cls, name, {**vars(cls).get(name, {}), **said})

    transaction = registry.transaction
    if transaction is None or not is_carried_over(cls.__module__):
        put()
    else:
        transaction.on_commit.append(put if is_known else partial(_warn, cls, what))


def _warn(cls: type, what: str) -> None:
    logger.warning(
        "hotsession.%s of %s.%s is told by another module, and the class itself was not loaded anew: its objects from "
        "before this save could not be told from later ones. Save the file of %s as well, or restart, for that to take "
        "effect.",
        what,
        cls.__module__,
        cls.__qualname__,
        cls.__module__,
    )
