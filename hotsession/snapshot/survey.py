"""What of a value can't be pickled, and the value without it: found by going through it as pickle would.

Nothing of the value itself is changed: where something is left out, a copy of the one list, dict or state that held
it stands in. It writes no bytes.
"""

from __future__ import annotations

import collections
import time
import types
from collections.abc import Iterator
from typing import Any

from hotsession.snapshot.places import (
    CONTAINERS,
    PLAIN,
    LeftOut,
    Part,
    attribute,
    places,
    places_of_reduction,
    reduction_without,
    settled,
    states,
    with_defaults,
    with_named_state,
    without,
    written,
)
from hotsession.snapshot.references import CannotGo, Reducer, Reduction

_CLOCK_EVERY = 256
_MOST_TOLD = 100
_LONGEST_PATH = 200
_HOLDS = "it holds "


class TooSlow(Exception):
    """It would take longer than the time limit."""


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
        self._by_name: set[int] = set()  # ids of classes and functions that go; most are met often
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

    def _inside(self, part: Part) -> Iterator[tuple[int, Any, bool]]:
        for number, slot in part.slots.items():
            for value, may_shrink in zip(slot.values, slot.may_shrink, strict=True):
                if id(value) not in self._by_name and not settled(value):
                    yield number, value, may_shrink

    def _part(self, value: Any) -> Part:
        part = self.parts[id(value)] = Part(value)
        if self.deadline is not None and not len(self.parts) % _CLOCK_EVERY and time.perf_counter() > self.deadline:
            raise TooSlow
        if id(value) in self.condemned:
            part.why = self.condemned[id(value)]
        elif type(value) in CONTAINERS:
            part.content = list(value.items() if type(value) is dict else value)
            part.slots = dict(places(type(value), part.content))
            if id(value) in self._states:
                part.slots = {number: attribute(slot) for number, slot in part.slots.items()}
        elif not settled(value):
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
            if found is NotImplemented:
                self._by_name.add(id(part.value))
            elif isinstance(found, tuple):
                cls = type(part.value)
                owned = not issubclass(cls, type | types.FunctionType | types.CellType) and self.reducer.owns(cls)
                part.reduction = with_named_state(part.value, found) if owned else found
                part.slots = dict(places_of_reduction(part.value, part.reduction, owned=owned))
                self._states.update(map(id, states(part.reduction[2])))

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
            user.lost[number] = LeftOut(written(slot.step), type_name(type(value)), why)
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
                below = path + written(slot.step)
                if number in part.lost:
                    loss = part.lost[number]
                    found.append(LeftOut(_shortened(below), loss.type, loss.reason))
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
            id(part.value): without(part)
            for part in self.parts.values()
            if part.lost and part.reduction is None and part.why is None
        }

    def reductions(self) -> dict[int, Reduction]:
        """By the id of every other object: what it is pickled as, with lists of items and pairs."""
        return {
            id(part.value): with_defaults(reduction_without(part.reduction, part.lost), self._missing(part.reduction))
            for part in self.parts.values()
            if part.reduction is not None and part.why is None
        }

    def _missing(self, reduction: Reduction) -> tuple[str, ...]:
        """The names of the attributes that an object loses."""
        holders = [self.parts[id(each)] for each in states(reduction[2]) if id(each) in self.parts]
        steps = [each.slots[number].step for each in holders if type(each.value) is dict for number in each.lost]
        return tuple(step[1] for step in steps if isinstance(step[1], str))


def _shortened(path: str) -> str:
    return path if len(path) <= _LONGEST_PATH else f"{path[: _LONGEST_PATH // 2]}…{path[-_LONGEST_PATH // 2 :]}"


def type_name(cls: type) -> str:
    """A class with its module, for people."""
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"
