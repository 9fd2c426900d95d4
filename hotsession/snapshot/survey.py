"""What of a value can't be pickled, and the value without it: found by going through it as pickle would.

Nothing of the value itself is changed: where something is left out, a copy of the one list, dict or state that held
it stands in. The rule of who loses what is in `Part.slots`:

* a dict, list, set, tuple or an object of the user's own class loses what can't go, alone;
* any other object, a library's client say, goes as a whole or not at all: without its pool it would be no client.

It writes no bytes.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import time
import types
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from hotsession.snapshot.references import CannotGo, Reducer, Reduction, fill_slots

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
_CLOCK_EVERY = 256
_MOST_TOLD = 100
_HOLDS = "it holds "


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


class TooSlow(Exception):
    """It would take longer than the time limit."""


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
        slots: by number the places in it, but for those that hold atoms alone.
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


class Survey:
    """All parts of one value.

    Args:
        value: what is to be pickled.
        reducer: says what each object is pickled as.
        deepest: parts that are nested deeper are left out.
        deadline: time.perf_counter() at which it gives up.
        condemned: ids of objects that are known not to go, with the reason.

    Raises:
        TooSlow: the deadline passed.
    """

    def __init__(
        self,
        value: Any,
        reducer: Reducer,
        *,
        deepest: int,
        deadline: float | None = None,
        condemned: dict[int, str] | None = None,
    ) -> None:
        self.reducer = reducer
        self.deepest = deepest
        self.deadline = deadline
        self.condemned = condemned or {}
        self.parts: dict[int, Part] = {}
        self._untold: list[Part] = []  # parts that can't go, or lose something, whose users do not know yet
        self._states: set[int] = set()  # ids of what holds attributes: their keys are written as such
        self.root = self._go_through(value)
        while self._untold:
            self._tell_users(self._untold.pop())

    # going through: in the order of pickle, without recursion

    def _go_through(self, value: Any) -> Part:
        root = self._part(value)
        stack = [(root, self._inside(root))]
        while stack:
            part, inside = stack[-1]
            following = next(inside, None)
            if following is None:
                stack.pop()
                continue
            number, inner, may_shrink = following
            known = self.parts.get(id(inner))
            if known is None and len(stack) > self.deepest:
                self._lose(part, number, inner, "it is nested too deeply")
                continue
            each = known or self._part(inner)
            each.users.append((part, number, may_shrink))
            if known is None:
                stack.append((each, self._inside(each)))
        return root

    @staticmethod
    def _inside(part: Part) -> Iterator[tuple[int, Any, bool]]:
        for number, slot in part.slots.items():
            for value, may_shrink in zip(slot.values, slot.may_shrink, strict=True):
                if type(value) not in ATOMS:
                    yield number, value, may_shrink

    def _part(self, value: Any) -> Part:
        part = self.parts[id(value)] = Part(value)
        if self.deadline is not None and not len(self.parts) % _CLOCK_EVERY and time.perf_counter() > self.deadline:
            raise TooSlow
        if id(value) in self.condemned:
            part.why = self.condemned[id(value)]
        elif type(value) in _CONTAINERS:
            part.content = list(value.items() if type(value) is dict else value)
            part.slots = dict(_places(type(value), part.content))
            if id(value) in self._states:
                part.slots = {number: _attribute(slot) for number, slot in part.slots.items()}
        elif type(value) not in ATOMS:
            self._ask(part)
        if part.why is not None:
            self._untold.append(part)
        return part

    def _ask(self, part: Part) -> None:
        try:
            found = self.reducer.reduce(part.value)
        except CannotGo as error:
            part.why = str(error)
        else:
            if isinstance(found, tuple):
                cls = type(part.value)
                owned = not issubclass(cls, type | types.FunctionType | types.CellType) and self.reducer.owns(cls)
                part.reduction = _with_named_state(part.value, found) if owned else found
                part.slots = dict(enumerate(_places_of_reduction(part.value, part.reduction, owned=owned)))
                self._states.update(map(id, _states(part.reduction[2])))

    # who goes without whom

    def _tell_users(self, part: Part) -> None:
        for user, number, may_shrink in part.users:
            if part.why is not None:
                self._lose(user, number, part.value, part.why)
            elif not may_shrink:
                self._lose(user, number, part.value, part.shrunk)
            else:
                self._shrink(user, part.shrunk)

    def _lose(self, user: Part, number: int, value: Any, why: str) -> None:
        if user.why is not None or number in user.lost:
            return
        slot = user.slots[number]
        because = why if why.startswith(_HOLDS) else f"{_HOLDS}{type_name(type(value))}: {why}"
        if slot.may_lose:
            user.lost[number] = LeftOut(_written(slot.step), type_name(type(value)), why)
            self._shrink(user, because)
        else:
            user.why = because
            self._untold.append(user)

    def _shrink(self, part: Part, because: str) -> None:
        """Tell those who want it whole, if it is a plain container: an object of a class of one's own is its own."""
        if not part.shrunk and part.why is None and (part.reduction is None or type(part.value) in PLAIN):
            part.shrunk = because
            self._untold.append(part)

    # the outcome

    def left_out(self) -> tuple[LeftOut, ...]:
        """What is lost, the outermost first, and no more than people read."""
        if self.root.why is not None:
            return (LeftOut("", type_name(type(self.root.value)), self.root.why),)
        found: list[LeftOut] = []
        seen, waiting = {id(self.root.value)}, collections.deque([(self.root, "")])
        while waiting and len(found) < _MOST_TOLD:
            part, path = waiting.popleft()
            for number, slot in part.slots.items():
                below = path + _written(slot.step)
                if number in part.lost:
                    loss = part.lost[number]
                    found.append(LeftOut(below, loss.type, loss.reason))
                    continue
                for value in slot.values:
                    inner = self.parts.get(id(value))
                    if inner is not None and id(value) not in seen:
                        seen.add(id(value))
                        waiting.append((inner, below))
        return tuple(found)

    def stand_ins(self) -> dict[int, Any]:
        """By the id of a plain container that loses something: what is pickled in its place."""
        return {
            id(part.value): _without(part)
            for part in self.parts.values()
            if part.lost and part.reduction is None and part.why is None
        }

    def reductions(self) -> dict[int, Reduction]:
        """By the id of every other object: what it is pickled as, with lists of items and pairs."""
        return {
            id(part.value): _reduction_without(part.reduction, part.lost)
            for part in self.parts.values()
            if part.reduction is not None and part.why is None
        }


def type_name(cls: type) -> str:
    """A class with its module, for people."""
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


def _written(step: str | tuple[str, Any]) -> str:
    if isinstance(step, str):
        return step
    kind, key = step
    if not kind:
        return ""
    if isinstance(key, str):
        return f".{key}" if kind == "." else f"[{json.dumps(key, ensure_ascii=False):.80}]"
    return f"[{key!r:.80}]"


_CONTAINERS = frozenset({dict, list, tuple, set, frozenset})


def _places(cls: type, content: list[Any]) -> Iterator[tuple[int, Slot]]:
    """The places in a plain container. A key, and what is in a set, is what it is found by: it goes whole or not."""
    if cls is dict:
        for number, (key, value) in enumerate(content):
            if type(value) not in ATOMS or type(key) not in ATOMS:
                yield number, Slot(("[]", key), (key, value), True, (False, True))
        return
    found_by = cls is set or cls is frozenset
    for number, value in enumerate(content):
        if type(value) not in ATOMS:
            yield number, Slot("{}" if found_by else ("[]", number), (value,), True, (not found_by,))


def _states(state: Any) -> Iterator[Any]:
    """The containers of attributes in what `__getstate__` returns."""
    yield state
    if type(state) is tuple:
        yield from state
    elif type(state) is dict:
        yield from (state.get(name) for name in _STATE_DICTS)


def _attribute(slot: Slot) -> Slot:
    """The same place, written as what it is for people."""
    if isinstance(slot.step, str):
        return slot
    key = slot.step[1]
    return slot._replace(step=("", key) if key in _STATE_DICTS or isinstance(key, int) else (".", key))


def _places_of_reduction(value: Any, reduction: Reduction, *, owned: bool) -> Iterator[Slot]:
    make, arguments, state, items, pairs, setter = reduction
    loses = owned or type(value) in PLAIN
    yield Slot("", (make,), False, (False,))
    for number, argument in enumerate(arguments):
        named = owned and isinstance(value, tuple) and number > 0
        yield Slot(_field(value, number) if named else "", (argument,), named, (named,))
    yield Slot("", (state,), False, (loses,))
    yield Slot("", (setter,), False, (False,))
    for number, item in enumerate(items or ()):
        yield Slot(("[]", number), (item,), loses, (loses,))
    for key, item in pairs or ():
        yield Slot(("[]", key), (key, item), loses, (False, loses))


def _field(value: Any, number: int) -> tuple[str, Any]:
    fields = getattr(value, "_fields", ())
    return (".", fields[number - 1]) if number <= len(fields) else ("[]", number - 1)


def _with_named_state(value: Any, reduction: Reduction) -> Reduction:
    """The reduction of a frozen dataclass with slots, whose state is a list, with a dict that can lose one of them."""
    make, arguments, state, items, pairs, setter = reduction
    if not (dataclasses.is_dataclass(value) and isinstance(state, list) and setter is None):
        return reduction
    names = [field.name for field in dataclasses.fields(value)]
    if len(names) != len(state):
        return reduction
    return make, arguments, dict(zip(names, state, strict=True)), items, pairs, fill_slots


def _without(part: Part) -> Any:
    """A plain container without what is lost."""
    if type(part.value) is tuple:
        return tuple(None if number in part.lost else each for number, each in enumerate(part.content))
    return type(part.value)(each for number, each in enumerate(part.content) if number not in part.lost)


def _reduction_without(reduction: Reduction, lost: Collection[int]) -> Reduction:
    """What an object is pickled as without what is lost, by the numbers of `_places_of_reduction`."""
    if not lost:
        return reduction
    make, arguments, state, items, pairs, setter = reduction
    numbers = itertools.count(1)
    arguments = tuple(None if number in lost else each for each, number in zip(arguments, numbers, strict=False))
    _ = next(numbers), next(numbers)
    return make, arguments, state, _kept(items, lost, numbers), _kept(pairs, lost, numbers), setter


def _kept(items: list[Any] | None, lost: Collection[int], numbers: Iterator[int]) -> list[Any] | None:
    return None if items is None else [each for each, number in zip(items, numbers, strict=False) if number not in lost]
