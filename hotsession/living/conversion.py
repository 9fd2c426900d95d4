"""All objects that hang on one session or kept value, brought to the classes as they are now.

One after the other: they are found and made objects of the new classes; what can't be changed itself, or has become
another object, is put in its places; steps of the user's are run, from the leaves to the root. An object whose step
raises is as it was before, and nothing else is harmed. It goes on from slice to slice, without recursion.
"""

from __future__ import annotations

import enum
import inspect
import types
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple

from hotsession.living.before import Before
from hotsession.living.changes import GONE, Change, Nothing
from hotsession.living.generics import ALIASES
from hotsession.living.graph import IMMUTABLE, Step, held_by, refit, rehash, renewed
from hotsession.living.kinds import ATOMS, Kind
from hotsession.living.layouts import Become, CannotFollow, become, described, member_of
from hotsession.living.outcome import Failed, Left, Outcome, from_users_frame, written
from hotsession.living.rules import Rules
from hotsession.living.versions import Step as OwnStep

_PAUSE_EVERY = 32  # objects between two moments at which it may be paused


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
        self._swaps: dict[int, Any] = {}
        self._held: list[Any] = []  # what is swapped: its id must stay its own
        self._ours: set[int] = set()  # ids of what was made anew because of what it holds, and for no other reason
        self._steps: list[tuple[Any, Become, Change]] = []  # objects whose own steps are to be run
        self._back: dict[int, Any] = {}  # what stood for objects whose steps raised, and those objects
        self._keyed: list[_Part] = []  # dicts and sets
        self._has_changed = False
        self._changes: dict[type, Change | None] = {}
        self._kinds: dict[type, Kind] = {}
        self._work = self._run()

    def __repr__(self) -> str:
        return f"<Conversion of {len(self._parts)} objects>"

    @property
    def owes_steps(self) -> bool:
        """Whether it is paused, and objects that are of their new class already wait for their steps to be run."""
        return bool(self._steps) and inspect.getgeneratorstate(self._work) == inspect.GEN_SUSPENDED

    def run(self) -> Iterator[None]:
        """Do it; each step of the iteration is a moment at which it may be paused, and finished by somebody else."""
        for _ in self._work:
            yield

    def _run(self) -> Generator[None, None, None]:
        yield from self._walk()
        if self._swaps or self._has_changed:
            yield from self._put_in_place()
        else:
            self._find_again()  # keys may have changed with another session that has them too
        for original, made, change in reversed(self._steps):
            self._convert(original, made, change)
            yield
        if self._steps:
            self._find_again()
        if self._back:
            Conversion(self._root, self._rules, self._back).finish()

    def finish(self) -> Outcome:
        """Do it at once, and return what became of it."""
        for _ in self._work:
            pass
        return self.outcome

    # finding

    def _walk(self) -> Iterator[None]:
        parts = self._parts
        ways: list[tuple[int, Iterator[tuple[Step, Any]]]] = [(0, iter([(("", None), self._root)]))]
        while ways:
            holder, inside = ways[-1]
            step, instance = next(inside, _END)
            if step is None:
                ways.pop()
                continue
            cls = type(instance)
            if cls in ATOMS or id(instance) in parts:
                continue
            kind = self._kind(cls)
            part = parts[id(instance)] = _Part(instance, kind, holder, step)
            if kind.base is dict or kind.base is set:
                self._keyed.append(part)
            now = self._followed(instance, cls)
            if now is not instance:
                self._swap(instance, now)
                ways.append((holder, iter([(step, now)])))
            elif kind.base is not None or kind.attributes:
                ways.append((id(instance), held_by(instance, self._kind(type(instance)))))  # of another class by now
            if not len(parts) % _PAUSE_EVERY:
                yield

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
        if isinstance(instance, enum.Enum):
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
        self._has_changed = True
        if made.steps:
            self._steps.append((instance, made, change))
        if made.instance is not instance:
            self.outcome.anew[change.name] += 1
            self._rules.twins[id(instance)] = instance, made.instance
        return made.instance

    def _swap(self, instance: Any, now: Any) -> None:
        self._held += (instance, now)
        self._swaps[id(instance)] = now

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
        if self._swaps:
            parts = list(self._parts.values())
            self._renew([part for part in reversed(parts) if part.kind.base in IMMUTABLE])
            for number, part in enumerate(parts):
                self._refit(part)
                if not number % _PAUSE_EVERY:
                    yield
        self._find_again()

    def _find_again(self) -> None:
        """Let dicts and sets find their keys, whose hashes may be others now."""
        for part in self._keyed:
            self._rehash(part)

    def _renew(self, parts: list[_Part]) -> None:
        """Make anew what can't be changed and holds something else now: as often as one of them holds another."""
        is_settled = False
        while not is_settled:
            is_settled = True
            self._shorten()
            for part in parts:
                instance, base = part.instance, part.kind.base
                before = self._swaps.get(id(instance), instance)
                now = (
                    renewed(instance, base, self._swaps) if before is instance or id(instance) in self._ours else before
                )
                if now is not instance and (before is instance or not _holds_the_same(before, now, base)):
                    self._ours.add(id(instance))
                    if before is not instance:
                        self._swap(before, now)
                    self._swap(instance, now)
                    is_settled = False
        self._shorten()

    def _shorten(self) -> None:
        """Let what was swapped twice be swapped for the last at once."""
        for where, now in tuple(self._swaps.items()):
            while id(now) in self._swaps:
                now = self._swaps[id(now)]
            self._swaps[where] = now

    def _refit(self, part: _Part) -> None:
        if part.kind.base not in IMMUTABLE:
            try:
                refit(part.instance, self._kind(type(part.instance)), self._swaps)
            except Exception as error:  # noqa: BLE001 - keys of the user's may raise anything when they are compared
                self._leave(part.instance, type(part.instance).__qualname__, _unhashable(error))

    def _rehash(self, part: _Part) -> None:
        try:
            rehash(part.instance, part.kind.base)
        except Exception as error:  # noqa: BLE001 - as above
            self._leave(part.instance, type(part.instance).__qualname__, _unhashable(error))

    # the user's own steps

    def _convert(self, original: Any, made: Become, change: Change) -> None:
        """Run the steps of one object; if one raises, the object is as it was before."""
        instance = made.instance
        if type(instance) is not change.new:  # another conversion was faster, or has undone it
            return
        before = Before(instance, self._kind)
        for step in made.steps:
            try:
                step.call(instance)
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
            self._back[id(made.instance)] = original
        self.outcome.failed.append(Failed(change.name, path, step.name, from_users_frame(error)))


def _holds_the_same(one: Any, other: Any, base: Any) -> bool:
    if base is types.MethodType:
        return bool(one.__func__ is other.__func__ and one.__self__ is other.__self__)
    ours, theirs = list(base.__iter__(one)), list(base.__iter__(other))
    return len(ours) == len(theirs) and all(a is b for a, b in zip(ours, theirs, strict=True))


def _unhashable(error: Exception) -> CannotFollow:
    return CannotFollow(f"a key could not be compared: {error!r}", "Let __hash__ and __eq__ use what objects have")
