"""The places in one object, and what is pickled of it without what is in some of them.

The rule of who loses what is told by the places:

* a dict, list, set, tuple or an object of the user's own class loses what can't go, alone;
* any other object, a library's client say, goes as a whole or not at all: without its pool it would be no client.

It knows nothing of what can't go, and why.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import types
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from hotsession.snapshot.makers import fill_slots, fill_without
from hotsession.snapshot.references import Reduction

ATOMS = frozenset({type(None), bool, int, float, str, bytes, bytearray})  # pickle asks nobody about them
PLAIN = frozenset(
    {
        collections.OrderedDict,
        collections.defaultdict,
        collections.Counter,
        collections.deque,
        collections.ChainMap,
        collections.UserDict,
        collections.UserList,
        types.SimpleNamespace,
    }
)
_STATE_DICTS = ("__dict__", "__pydantic_private__", "__pydantic_extra__")  # whose keys are attributes too


@dataclasses.dataclass(frozen=True, slots=True)
class LeftOut:
    """One thing that was not pickled, while what holds it was.

    Args:
        path: where it was, below the value: ``["client"].pool``; empty for the value itself.
        type: its class, with the module: ``socket.socket``.
        reason: why it can't go.
    """

    path: str
    type: str
    reason: str


class Slot(NamedTuple):
    """A place in an object, with the one or two objects in it: a dict's key and value are lost together.

    Args:
        step: how the place is written in a path.
        values: what is in it.
        may_lose: whether the object goes without what is in this place.
        may_shrink: for each of the values, whether it may itself come without something that was in it.
    """

    step: str | tuple[str, Any]
    values: tuple[Any, ...]
    may_lose: bool
    may_shrink: tuple[bool, ...]


class Part:
    """One object of the value.

    Args:
        value: the object, held so that its id stays its own.
        reduction: what it is pickled as, None for a plain container.
        content: what is in a plain container: items, or pairs of key and value.
        slots: by number the places in it, but for those where all is settled.
        why: why it can't go, None while it can.
    """

    __slots__ = ("content", "lost", "reduction", "shrunk", "slots", "users", "value", "why")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.reduction: Reduction | None = None
        self.content: list[Any] = []
        self.slots: dict[int, Slot] = {}
        self.why: str | None = None
        self.users: list[tuple[Part, int, bool]] = []  # who holds it, in which slot, and may it shrink there
        self.lost: dict[int, LeftOut] = {}  # by the slot's number; the paths are those below the part
        self.shrunk = ""  # a plain container that loses something: what


CONTAINERS = frozenset({dict, list, tuple, set, frozenset})


def settled(value: Any) -> bool:
    """Whether nothing in the value needs a look: an atom, or a plain container of atoms."""
    cls = type(value)
    if cls is dict:
        return ATOMS.issuperset(map(type, value)) and ATOMS.issuperset(map(type, value.values()))
    return cls in ATOMS or (cls in CONTAINERS and ATOMS.issuperset(map(type, value)))


def places(cls: type, content: list[Any]) -> Iterator[tuple[int, Slot]]:
    """The places in a plain container. A key, and what is in a set, is what it is found by: it goes whole or not."""
    if cls is dict:
        for number, (key, value) in enumerate(content):
            if not settled(value) or not settled(key):
                yield number, Slot(("[]", key), (key, value), True, (False, True))
        return
    found_by = cls is set or cls is frozenset
    for number, value in enumerate(content):
        if not settled(value):
            yield number, Slot("{}" if found_by else ("[]", number), (value,), True, (not found_by,))


def states(state: Any) -> Iterator[Any]:
    """The containers of attributes in what `__getstate__` returns."""
    yield state
    if type(state) is tuple:
        yield from state
    elif type(state) is dict:
        yield from (state.get(name) for name in _STATE_DICTS)


def attribute(slot: Slot) -> Slot:
    """The same place, written as what it is for people."""
    if isinstance(slot.step, str):
        return slot
    key = slot.step[1]
    return slot._replace(step=("", key) if key in _STATE_DICTS or isinstance(key, int) else (".", key))


def places_of_reduction(value: Any, reduction: Reduction, *, owned: bool) -> Iterator[tuple[int, Slot]]:
    """The places in any other object, in the order of its reduction. Those of an owned one can lose what is in them."""
    make, arguments, state, items, pairs, setter = reduction
    loses = owned or type(value) in PLAIN
    yield 0, Slot("", (make,), False, (False,))
    for number, argument in enumerate(arguments):
        if not settled(argument):
            named = owned and isinstance(value, tuple) and number > 0
            yield number + 1, Slot(_field(value, number) if named else "", (argument,), named, (named,))
    after = len(arguments) + 1
    if not settled(state):
        yield after, Slot("", (state,), False, (loses,))
    if setter is not None:
        yield after + 1, Slot("", (setter,), False, (False,))
    for number, item in enumerate(items or ()):
        if not settled(item):
            yield after + 2 + number, Slot(("[]", number), (item,), loses, (loses,))
    after += 2 + len(items or ())
    for number, (key, item) in enumerate(pairs or ()):
        if not settled(item) or not settled(key):
            yield after + number, Slot(("[]", key), (key, item), loses, (False, loses))


def _field(value: Any, number: int) -> tuple[str, Any]:
    fields = getattr(value, "_fields", ())
    return (".", fields[number - 1]) if number <= len(fields) else ("[]", number - 1)


def with_named_state(value: Any, reduction: Reduction) -> Reduction:
    """The reduction of a frozen dataclass with slots, whose state is a list, with a dict that can lose one of them."""
    make, arguments, state, items, pairs, setter = reduction
    if not (dataclasses.is_dataclass(value) and isinstance(state, list) and setter is None):
        return reduction
    names = [field.name for field in dataclasses.fields(value)]
    if len(names) != len(state):
        return reduction
    return make, arguments, dict(zip(names, state, strict=True)), items, pairs, fill_slots


def with_defaults(reduction: Reduction, missing: tuple[str, ...]) -> Reduction:
    """The reduction of an object that loses attributes: those whose default its class knows are filled in with it."""
    if not missing:
        return reduction
    make, arguments, state, items, pairs, setter = reduction
    return make, arguments, (state, missing, setter), items, pairs, fill_without


def without(part: Part) -> Any:
    """A plain container without what is lost."""
    if type(part.value) is tuple:
        return tuple(None if number in part.lost else each for number, each in enumerate(part.content))
    return type(part.value)(each for number, each in enumerate(part.content) if number not in part.lost)


def reduction_without(reduction: Reduction, lost: Collection[int]) -> Reduction:
    """What an object is pickled as without what is lost, by the numbers of `places_of_reduction`."""
    if not lost:
        return reduction
    make, arguments, state, items, pairs, setter = reduction
    numbers = itertools.count(1)
    arguments = tuple(None if number in lost else each for each, number in zip(arguments, numbers, strict=False))
    _ = next(numbers), next(numbers)
    return make, arguments, state, _kept(items, lost, numbers), _kept(pairs, lost, numbers), setter


def _kept(items: list[Any] | None, lost: Collection[int], numbers: Iterator[int]) -> list[Any] | None:
    return None if items is None else [each for each, number in zip(items, numbers, strict=False) if number not in lost]


def written(step: str | tuple[str, Any]) -> str:
    """A step of a path, for people."""
    if isinstance(step, str):
        return step
    kind, key = step
    if not kind:
        return ""
    if isinstance(key, str):
        return f".{key}" if kind == "." else f"[{json.dumps(key, ensure_ascii=False):.80}]"
    try:
        return f"[{key!r:.80}]"
    except Exception:  # noqa: BLE001 - a user's __repr__ may raise anything, and the place is named all the same
        return f"[{object.__repr__(key)}]"
