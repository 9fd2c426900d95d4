"""How an object holds others, by its class. It knows which classes are entered, and which are left alone as a whole.

Entered are the app's own objects with all attributes, the containers of Python with those that are made of them, bound
methods and `functools.partial`. Anything else is left alone as a whole: what libraries made, also if it holds objects
of the app's, and what belongs to the process: modules, sockets, locks, tasks, generators, files.
"""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import functools
import types
import uuid
from typing import Any, NamedTuple

from hotsession.living.state import slots_of

ATOMS: frozenset[type] = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        bytearray,
        range,
        types.EllipsisType,
        types.NotImplementedType,
        dt.datetime,
        dt.date,
        dt.time,
        dt.timedelta,
        dt.timezone,
        decimal.Decimal,
        uuid.UUID,
    }
)
"""Classes whose objects hold nothing, and that nobody needs to ask about."""

_BASES: tuple[type, ...] = (
    dict,
    list,
    tuple,
    set,
    frozenset,
    collections.deque,
    functools.partial,
    types.MethodType,
    BaseException,
)
_OPEN = frozenset(
    {
        collections.UserDict,
        collections.UserList,
        collections.UserString,
        collections.ChainMap,
        types.SimpleNamespace,
    }
)


class Kind(NamedTuple):
    """How objects of a class hold others.

    Args:
        base: the built-in container that they are; None if they are none.
        attributes: whether what their attributes hold is looked at.
        slots: attributes that have room of their own, by name, with what reads and sets them.
    """

    base: type | None
    attributes: bool
    slots: tuple[tuple[str, Any], ...] = ()


ATOM = Kind(None, attributes=False)


def kind_of(cls: type[Any], *, is_own: bool) -> Kind:
    """How objects of a class hold others.

    Args:
        cls: the class.
        is_own: whether it is the app's.
    """
    if cls in ATOMS or issubclass(cls, type | types.ModuleType | enum.Enum):
        return ATOM
    base = next((each for each in _BASES if issubclass(cls, each)), None)
    attributes = is_own or cls in _OPEN
    return Kind(base, attributes, tuple(slots_of(cls).slots.items()) if attributes else ())
