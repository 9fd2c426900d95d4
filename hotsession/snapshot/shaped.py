"""What of the app's classes is written down along with objects of theirs, so that these can follow a change.

That are the shapes of the classes, once for all objects in a value; Enum members go by their names, and what is kept
aside of an object goes with it.
"""

from __future__ import annotations

import enum
import pickle
from collections.abc import Callable, Iterable
from typing import Any

from hotsession.living.classes import living
from hotsession.living.generics import origin_of, parametrised
from hotsession.living.shapes import PLAIN, Shape, renames_of, shape_of
from hotsession.snapshot.makers import fill_with_aside, member_by_name, tuple_with_aside, with_arguments
from hotsession.snapshot.raised import made_past_init

_SPECIAL = (enum.Enum, BaseException)
_GLOBAL = b"\x93"  # the opcode that every class is named with


def may_hold_objects(data: bytes) -> bool:
    """Whether a pickle may name a class: by far the most hold plain data alone, and need no second look."""
    return _GLOBAL in data


class Recorder(pickle.Pickler):
    """A plain pickler that notes which of the app's classes it meets.

    Args:
        file: what the bytes are written to.
        owns: whether a class is the app's.

    Attributes:
        classes: all classes that it met.
    """

    def __init__(self, file: Any, owns: Callable[[type], bool]) -> None:
        super().__init__(file, 5)
        self.classes: set[type] = set()
        self._owns = owns
        self._asides = living().asides

    def reducer_override(self, obj: Any) -> Any:
        """What pickle asks for every object but the plain built-in ones."""
        cls = type(obj)
        self.classes.add(cls)
        if isinstance(obj, type):
            return made_with_arguments(obj) or NotImplemented
        found = special(obj, cls, self._owns) if self._asides or issubclass(cls, _SPECIAL) else None
        return NotImplemented if found is None else found


def made_with_arguments(cls: type) -> Any:
    """How to write a pydantic model that was given parameters: by what it is made of; None for any other class."""
    found = parametrised(cls)
    return None if found is None else (with_arguments, tuple(found))


def special(obj: Any, cls: type, owns: Callable[[type], bool]) -> Any:
    """How to write an object that is not written as pickle would; None for most."""
    if issubclass(cls, enum.Enum) and owns(cls) and isinstance(obj.name, str):
        undone = {now: before for before, now in renames_of(cls).items()}
        return member_by_name, (cls, obj.name, obj.value, *([undone] if undone else []))
    past_init = made_past_init(obj, cls) if issubclass(cls, BaseException) and owns(cls) else None
    aside = living().asides.of(obj)
    if not aside:
        return past_init
    if issubclass(cls, tuple) and shape_of(cls).fields is not None:  # whose fields are settled while it is made
        return tuple_with_aside, (cls, tuple(tuple.__iter__(obj)), aside)
    found = past_init or obj.__reduce_ex__(5)
    if not isinstance(found, tuple):
        return None
    make, arguments, state, items, pairs, setter = (*found, None, None, None, None)[:6]
    return make, arguments, (state, aside, setter), items, pairs, fill_with_aside


def written_shapes(classes: Iterable[type], owns: Callable[[type], bool]) -> bytes:
    """The shapes of those among some classes that have one worth noting; empty if none has."""
    shapes = {
        (cls.__module__, cls.__qualname__): tuple(shape)
        for cls in set(map(origin_of, classes))
        if not issubclass(cls, type) and owns(cls) and (shape := shape_of(cls)) != PLAIN
    }
    return pickle.dumps(dict(sorted(shapes.items())), 5) if shapes else b""


def read_shapes(data: bytes) -> dict[tuple[str, str], Shape]:
    """What `written_shapes` wrote."""
    return {name: Shape.written(*shape) for name, shape in pickle.loads(data).items()} if data else {}
