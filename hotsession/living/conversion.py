"""All objects that hang on one session or kept value, brought to the classes as they are now.

One after the other they are found and made objects of the new classes. When all that hangs on one is done, steps of
the user's are run on it: from the leaves to the root, and soon, as others may be looking at it. Only where something
can't be changed itself, or has become another object, that is put in its places first, and the steps are run then. An
object whose step raises is as it was before, and nothing else is harmed. It goes on from slice to slice, without
recursion.
"""

from __future__ import annotations

import enum
import inspect
import types
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, NamedTuple

from hotsession.living.before import Before
from hotsession.living.changes import GONE, Change, Nothing
from hotsession.living.generics import ALIASES
from hotsession.living.graph import (
    IMMUTABLE,
    KEYED,
    Step,
    finding,
    has_keys_to_follow,
    held_by,
    is_plain,
    refit,
    rehash,
)
from hotsession.living.kinds import ATOMS, Kind
from hotsession.living.layouts import Become, CannotFollow, become, described, member_of
from hotsession.living.outcome import Failed, Left, Outcome, from_users_frame, written
from hotsession.living.rules import Rules
from hotsession.living.swaps import Swaps
from hotsession.living.versions import Step as OwnStep

_PAUSE_EVERY = 32  # objects between two moments at which it may be paused
_PATIENCE = 256  # as many more while an object is half done: its step, or its order of keys, waits for what it holds
_END: tuple[Any, Any] = (None, None)


class _Part(NamedTuple):
    """An object that was found: it, how it holds others, what holds it, and where it stands in there."""

    instance: Any
    kind: Kind
    holder: int
    step: Step


class Conversion:
    """The conversion of what hangs on one object.

    Args:
        root: that object, which stays the object that it is.
        rules: say what changed.
        given: by the id of an object, one that stands for it in any case.

    Attributes:
        outcome: what became of it, so far.
    """

    def __init__(self, root: Any, rules: Rules, given: Mapping[int, Any] | None = None) -> None:
        self.outcome = Outcome()
        self._given = given or {}
        self._root = root
        self._rules = rules
        self._parts: dict[int, _Part] = {}
        self._swaps = Swaps()
        self._owing: dict[int, tuple[Any, Become, Change]] = {}  # objects whose own steps are to be run, by their ids
        self._disordered: set[int] = set()  # ids of containers that may not find their keys
        self._has_run_steps = False
        self._late: dict[int, Any] = {}  # what stands for others since steps were run, by the ids of those
        self._keyed: list[_Part] = []  # dicts, sets and frozensets
        self._changes: dict[type, Change | None] = {}
        self._kinds: dict[type, Kind] = {}
        self._work = self._run()

    def __repr__(self) -> str:
        return f"<Conversion of {len(self._parts)} objects>"

    @property
    def owes_steps(self) -> bool:
        """Whether it is paused, and objects that are of their new class already wait for their steps to be run."""
        return bool(self._owing) and inspect.getgeneratorstate(self._work) == inspect.GEN_SUSPENDED

    def run(self) -> Iterator[None]:
        """Do it; each step of the iteration is a moment at which it may be paused, and finished by somebody else."""
        for _ in self._work:
            yield

    def _run(self) -> Generator[None, None, None]:
        yield from self._walk()
        if self._swaps:
            yield from self._put_in_place()
            self._late.clear()
        while self._owing:
            self._convert(*self._owing.popitem()[1])  # the last that was found is the farthest from the root
            yield
        if self._has_run_steps:
            self._find_again()
        if self._late:
            Conversion(self._root, self._rules, self._late).finish()

    def finish(self) -> Outcome:
        """Do it at once, and return what became of it."""
        for _ in self._work:
            pass
        return self.outcome

    # finding

    def _walk(self) -> Iterator[None]:
        parts = self._parts
        root: Iterator[tuple[Step, Any]] = iter([(("", None), self._root)])
        ways: list[tuple[_Part | None, int, Iterator[tuple[Step, Any]]]] = [(None, 0, root)]
        pause_at = _PAUSE_EVERY
        while ways:
            if len(parts) >= pause_at and (self._is_settled() or len(parts) >= pause_at + _PATIENCE):
                pause_at = len(parts) + _PAUSE_EVERY
                yield
            whose, holder, inside = ways[-1]
            step, instance = next(inside, _END)
            if step is None:
                ways.pop()
                if whose is not None:
                    self._complete(whose)
                continue
            cls = type(instance)
            if cls in ATOMS or id(instance) in parts or is_plain(instance, cls):
                continue
            kind = self._kind(cls)
            part = parts[id(instance)] = _Part(instance, kind, holder, step)
            now = self._followed(instance, cls)
            if now is not instance:
                self._swaps.put(instance, now)
                ways.append((None, holder, iter([(step, now)])))
            elif kind.base is None and not kind.attributes:
                continue
            elif held := held_by(instance, self._kind(type(instance))):  # of another class by now
                ways.append((part, id(instance), iter(held)))
                if kind.base in KEYED and has_keys_to_follow(instance, kind.base):
                    self._disordered.add(id(instance))
            else:
                self._complete(part)

    def _is_settled(self) -> bool:
        """Whether somebody else may look: what is of its new class is as its code expects it."""
        return not (self._owing or self._disordered)

    def _complete(self, part: _Part) -> None:
        """All that hangs on an object is done: it finds its keys again, and its own steps are run."""
        if part.kind.base in KEYED:
            self._keyed.append(part)
            self._having_keys(part, self._rehash)
            self._disordered.discard(id(part.instance))
        if self._owing and not self._swaps and (owed := self._owing.pop(id(part.instance), None)):
            self._convert(*owed)

    def _kind(self, cls: type) -> Kind:
        kind = self._kinds.get(cls)
        if kind is None:
            kind = self._kinds[cls] = self._rules.kind_of(cls)
        return kind

    def _followed(self, instance: Any, cls: type) -> Any:
        """An object as it is now, of its new class; or what stands for it."""
        if self._given:
            return self._given.get(id(instance), instance)
        if issubclass(cls, type) or cls is types.FunctionType or cls in ALIASES:
            return self._referred(instance)
        try:
            change = self._changes[cls]
        except KeyError:
            change = self._changes[cls] = self._rules.change_of(cls)
        if change is None:
            return instance
        known = self._rules.twins.get(id(instance))
        if known is not None:
            return known[1]
        try:
            return self._made(instance, change)
        except CannotFollow as error:
            self._leave(instance, change.name, error)
            return instance

    def _referred(self, found: Any) -> Any:
        now = self._rules.reference(found)
        if now is GONE:
            error = CannotFollow("nothing has its name any more", "Bring it back, or tell with hotsession.moved()")
            self._leave(found, f"{found.__module__}.{found.__qualname__}", error)
            return found
        return now

    def _made(self, instance: Any, change: Change) -> Any:
        if isinstance(change.new, Nothing):
            raise CannotFollow(change.new.why, change.new.cure)
        if issubclass(type(instance), enum.Enum):  # its own `__class__` is not asked
            member = member_of(instance, change.new)
            self.outcome.converted[change.name] += 1
            return member
        if not isinstance(change.new, type) or issubclass(change.new, enum.Enum):
            raise CannotFollow(f"its class is {described(change.new)} now", "Undo that, or drop what holds it")
        is_root = instance is self._root
        made = become(instance, change, self._rules.asides, may_be_another=not is_root)
        self.outcome.converted[change.name] += 1
        for name in made.missing:
            self.outcome.missing[f"{change.name}.{name}"] += 1
        for name in made.set_aside:
            self.outcome.set_aside[f"{change.name}.{name}"] += 1
        if made.steps:
            self._owing[id(made.instance)] = instance, made, change
        if made.instance is not instance:
            self.outcome.anew[change.name] += 1
            self._rules.twins[id(instance)] = instance, made.instance
        return made.instance

    def _leave(self, instance: Any, name: str, error: CannotFollow) -> None:
        self.outcome.left.append(Left(name, self._path(instance), error.why, error.cure))

    def _path(self, instance: Any) -> str:
        steps: list[Step] = []
        part = self._parts.get(id(instance))
        while part is not None and part.holder:
            steps.append(part.step)
            part = self._parts.get(part.holder)
        return written(reversed(steps))

    # putting in place

    def _put_in_place(self) -> Iterator[None]:
        parts = list(self._parts.values())
        self._swaps.renew([(part.instance, part.kind.base) for part in reversed(parts) if part.kind.base in IMMUTABLE])
        for number, part in enumerate(parts):
            if part.kind.base not in IMMUTABLE:
                self._having_keys(part, self._refit)
            if number % _PAUSE_EVERY == _PAUSE_EVERY - 1:
                yield
        self._find_again()

    def _find_again(self) -> None:
        """Let containers find their keys, whose hashes may be others now."""
        for part in self._keyed:
            self._having_keys(part, self._rehash)

    def _refit(self, part: _Part) -> None:
        refit(part.instance, self._kind(type(part.instance)), self._swaps)

    def _rehash(self, part: _Part) -> None:
        if part.kind.base is not frozenset:
            rehash(part.instance, part.kind.base)
            return
        before = self._swaps.of(part.instance)
        if (now := finding(before)) is not before:
            self._swaps.put(before, now)
            self._swaps.put_renewed(part.instance, now)
            self._late[id(before)] = now

    def _having_keys(self, part: _Part, do: Callable[[_Part], None]) -> None:
        try:
            do(part)
        except Exception as error:  # noqa: BLE001 - keys of the user's may raise anything when they are compared
            why = f"a key could not be compared: {error!r}"
            left = CannotFollow(why, "Let __hash__ and __eq__ use what objects have")
            self._leave(part.instance, type(part.instance).__qualname__, left)

    # the user's own steps

    def _convert(self, original: Any, made: Become, change: Change) -> None:
        """Run the steps of one object; if one raises, the object is as it was before."""
        instance = made.instance
        if type(instance) is not change.new:  # another conversion was faster, or has undone it
            return
        self._has_run_steps = True
        before = Before(instance, self._kind)
        for step in made.steps:
            try:
                _no_coroutine(step.call(instance))
            except Exception as error:  # noqa: BLE001 - users' code may raise anything; it goes into the report
                before.restore()
                self._undo(original, made, change, step, error)
                return

    def _undo(self, original: Any, made: Become, change: Change, step: OwnStep, error: BaseException) -> None:
        path = self._path(original)
        made.undo()
        self.outcome.converted[change.name] -= 1
        if made.instance is not original:
            self._rules.twins.pop(id(original), None)
            self._late[id(made.instance)] = original
        self.outcome.failed.append(Failed(change.name, path, step.name, from_users_frame(error)))


def _no_coroutine(returned: object) -> None:
    if inspect.iscoroutine(returned):
        returned.close()
        raise TypeError("a step can't be awaited: make it a plain function")
