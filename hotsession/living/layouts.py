"""One object made one of the new class: in place, or, where the layout differs, as another object with the same state.

Python gives an object another class only if both lay it out alike: the same slots, the same built-in base. It knows
nothing of what holds the object.
"""

from __future__ import annotations

import collections
import contextlib
import enum
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from hotsession.living.additions import add, take_back
from hotsession.living.asides import NOTES, PASSED, Asides
from hotsession.living.changes import Change
from hotsession.living.defaults import MISSING, default_of, fill_in
from hotsession.living.fields import Settled, settled
from hotsession.living.mapped import follow_mapping, is_attached
from hotsession.living.shapes import renames_of, said
from hotsession.living.state import forget_hash, has_room, put, restore, state_of, take
from hotsession.living.versions import Step, outlived, steps_between

logger = logging.getLogger("hotsession")

_STATIC = 1 << 9  # the flag of classes that were made by a `class` statement; those of C code have it not
_FILLED: dict[type, Callable[[Any, Any], object]] = {
    dict: dict.update,
    list: list.extend,
    set: set.update,
    collections.deque: collections.deque.extend,
}


class CannotFollow(Exception):
    """An object can't become one of the new class.

    Args:
        why: the reason.
        cure: what would help.
    """

    def __init__(self, why: str, cure: str) -> None:
        super().__init__(why)
        self.why = why
        self.cure = cure


class Become(NamedTuple):
    """What has become of an object.

    Args:
        instance: it, or the one that stands for it.
        missing: fields that nobody knows a value of.
        undo: makes it what it was.
        steps: what is to be called with it, in order.
        set_aside: fields that its class has no more, whose values are kept aside from now on.
    """

    instance: Any
    missing: tuple[str, ...]
    undo: Callable[[], None]
    steps: tuple[Step, ...] = ()
    set_aside: tuple[str, ...] = ()


def become(instance: Any, change: Change, asides: Asides, *, may_be_another: bool) -> Become:
    """Make an object one of its class as it is now.

    Args:
        instance: the object.
        change: what became of the class that it is of.
        asides: what is kept aside of objects.
        may_be_another: whether another object may stand for it.

    Raises:
        CannotFollow: that can't be done; nothing has changed.
    """
    cls = change.new
    if change.is_simple and (not asides or not asides.of(instance)):
        with contextlib.suppress(TypeError):
            object.__setattr__(instance, "__class__", cls)
            return Become(instance, (), _nothing)
    if change.only_adds and not asides.of(instance):
        was, fields = type(instance), change.shape.fields or ()
        added = add(instance, cls, fields, lambda name: _default(cls, name, instance))
        if added is not None:
            return Become(instance, added.missing, partial(take_back, instance, was, added), change.steps)
    if is_attached(instance):
        raise CannotFollow("it belongs to an open database session", "It follows when that is closed")
    if issubclass(type(instance), tuple):
        return _named_tuple(instance, change, asides, may_be_another=may_be_another)
    before, aside, was = state_of(instance), asides.of(instance), type(instance)
    steps, aside_now = _steps(change, aside)
    made = settled(before, change.old, change.shape, aside_now, lambda name: _default(cls, name, instance))
    if change.shape.fields is None:
        made = _with_undeclared(made, before, cls)
    set_aside = tuple(name for name in change.old.fields or () if name in made.aside and name not in aside)
    try:
        _in_place(instance, cls, made, before)
    except TypeError as error:
        if not may_be_another:
            raise CannotFollow(str(error), "What holds it directly can't be given another: restart") from error
        return _another(instance, cls, made, before, asides)._replace(steps=steps, set_aside=set_aside)
    asides.put(instance, made.aside)

    def undo() -> None:
        object.__setattr__(instance, "__class__", was)
        restore(instance, before)
        asides.put(instance, aside)

    return Become(instance, made.missing, undo, steps, set_aside)


def _steps(change: Change, aside: Mapping[str, Any]) -> tuple[tuple[Step, ...], dict[str, Any]]:
    """What is to be called with an object, and what is kept aside of it then: with the steps that it has passed.

    An object that has passed steps and whose edit was undone is not to pass them again when that is redone.
    """
    if change.old.versions == () and PASSED not in aside:
        return change.steps, {**aside}
    passed, steps = change.old.passed_by(change.new), change.steps
    if PASSED in aside:
        passed |= aside[PASSED]
        steps = tuple(steps_between(passed, change.old.version, change.new))
    kept = {name: value for name, value in aside.items() if name != PASSED}
    still = outlived(passed, change.new)
    return steps, kept | ({PASSED: still} if still else {})


def _with_undeclared(made: Settled, before: dict[str, Any], cls: type) -> Settled:
    """Give back what an older class had no room for: the new one declares no fields, so any may be meant."""
    loose = {name: value for name, value in made.aside.items() if name not in before and name not in NOTES}
    back = {name: value for name, value in loose.items() if has_room(cls, name)}
    aside = {name: value for name, value in made.aside.items() if name not in back}
    return made._replace(put=back | made.put, aside=aside)


def _in_place(instance: Any, cls: type, made: Settled, before: dict[str, Any]) -> None:
    """Change the class of an object. What is new is there before, so that no other thread misses it."""
    was = type(instance)
    early = [name for name, value in made.put.items() if name not in before and put(instance, name, value)]
    try:
        object.__setattr__(instance, "__class__", cls)
        follow_mapping(instance, cls)
    except TypeError:
        if type(instance) is cls:
            object.__setattr__(instance, "__class__", was)
        for name in early:
            take(instance, name)
        raise
    for name in made.gone:
        take(instance, name)
    for name in made.put.keys() & before.keys():
        put(instance, name, made.put[name])
    _complete(instance, cls)


def _complete(instance: Any, cls: type) -> None:
    """Give an object what is no field of its class, but is expected by what libraries have put there."""
    if private := said(cls, "__private_attributes__"):
        fill_in(instance, private)
    if said(cls, "__attrs_attrs__") is not None:
        forget_hash(instance)


def _another(instance: Any, cls: Any, made: Settled, before: dict[str, Any], asides: Asides) -> Become:
    twin = _empty(instance, cls)
    state = {name: value for name, value in before.items() if name not in made.gone} | made.put
    no_room = {name: value for name, value in state.items() if not put(twin, name, value)}
    asides.put(twin, made.aside | no_room)
    try:
        follow_mapping(twin, cls)
    except TypeError as error:
        raise CannotFollow(str(error), "Map it again, or drop such objects with `hotsession reset`") from error
    _complete(twin, cls)
    return Become(twin, made.missing, lambda: asides.put(twin, {}))


def _empty(instance: Any, cls: Any) -> Any:
    """A new object of a class with what a built-in container of the old one holds, and no attributes."""
    base: Any = _built_in(type(instance))
    wanted: Any = _built_in(cls)
    if base is object and wanted in _FILLED:
        return wanted.__new__(cls)
    if wanted is object and base in _FILLED and not base.__len__(instance):
        return object.__new__(cls)
    if base is not wanted and not (issubclass(base, BaseException) and issubclass(wanted, BaseException)):
        raise CannotFollow(
            f"it is built on {base.__name__}, and its class on {wanted.__name__} now",
            "Give the class the base that it had, or drop such objects with `hotsession reset`",
        )
    try:
        if base is object:
            return object.__new__(cls)
        if issubclass(base, BaseException):
            made = wanted.__new__(cls, *instance.args)
            for name in ("__cause__", "__context__", "__traceback__", "__suppress_context__"):
                setattr(made, name, getattr(instance, name))
            return made
        if base in _FILLED:
            made = base.__new__(cls)
            _FILLED[base](made, instance)
            return made
    except TypeError as error:
        raise CannotFollow(str(error), "Undo the change of the class, or make it one that can be built") from error
    raise CannotFollow(
        f"objects built on {base.__name__} can't be laid out anew", "Undo the change of slots or of bases"
    )


def _built_in(cls: type) -> type:
    return next(each for each in cls.__mro__ if not each.__flags__ & _STATIC)


def _nothing() -> None:
    """What undoes a change after which no step is run."""


def _named_tuple(instance: Any, change: Change, asides: Asides, *, may_be_another: bool) -> Become:
    old, new, cls = change.old, change.shape, change.new
    was = type(instance)
    if old.fields == new.fields:
        try:
            object.__setattr__(instance, "__class__", cls)
        except TypeError as error:
            if not may_be_another:
                raise CannotFollow(str(error), "Undo the change of its bases") from error
        else:
            return Become(instance, (), lambda: object.__setattr__(instance, "__class__", was), change.steps)
    if new.fields is None or old.fields is None or not may_be_another or len(old.fields) != len(instance):
        raise CannotFollow("a tuple can't be laid out anew", "Undo the change of its fields")
    before = dict(zip(old.fields, tuple.__iter__(instance), strict=True))
    steps, aside = _steps(change, asides.of(instance))
    made = settled(before, old, new, aside, lambda name: _default(cls, name, instance))
    if made.missing:
        raise CannotFollow(f"it has no value for {', '.join(made.missing)}", "Give new fields a default")
    state = before | made.put
    twin = tuple.__new__(cls, [state[name] for name in new.fields])
    asides.put(twin, made.aside)
    return Become(twin, (), lambda: asides.put(twin, {}), steps)


def member_of(member: enum.Enum, cls: Any) -> Any:
    """The member of an Enum as it is now that has the name of an older one.

    Raises:
        CannotFollow: there is none.
    """
    undone = {now: before for before, now in renames_of(type(member)).items()}
    return member_named(cls, str(member.name), member.value, undone)


def member_named(cls: Any, name: str, value: Any, undone: Mapping[str, str] | None = None) -> Any:
    """The member that an Enum has by a name; of flags also several at once, as in ``READ|WRITE``.

    Args:
        cls: the Enum as it is now, whatever that is.
        name: of the member as it was.
        value: of the member as it was.
        undone: names that members had before the class as it was called them otherwise, by those.

    Raises:
        CannotFollow: there is none.
    """
    if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
        raise CannotFollow(f"its class is {described(cls)} now", "Make it an Enum again, or drop what holds it")
    renames = renames_of(cls)
    names = name.split("|") if issubclass(cls, enum.Flag) else [name]
    names = [renames.get(each, each) for each in names]
    names = [each if each in cls.__members__ else (undone or {}).get(each, each) for each in names]
    if all(each in cls.__members__ for each in names):
        found = cls.__members__[names[0]]
        for each in names[1:]:
            found = cls(found.value | cls.__members__[each].value)
        return found
    if issubclass(cls, enum.Flag) and name in ("None", "") and not value:
        return cls(0)
    raise CannotFollow(f"{cls.__qualname__} has no member {name} now", "Bring it back, or tell with renamed()")


def described(found: object) -> str:
    """What stands where a class stood, in words."""
    if isinstance(found, type):
        return "an Enum" if issubclass(found, enum.Enum) else "a class"
    return f"a {type(found).__name__}"


def _default(cls: type, name: str, instance: object) -> Any:
    try:
        return default_of(cls, name, instance)
    except Exception:
        logger.exception("The default of %s.%s, which is new, could not be made", cls.__qualname__, name)
        return MISSING
