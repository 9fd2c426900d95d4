"""The change that nearly all saves are, done quickly: a class has more fields than before, or a step, and nothing less.

It does what `hotsession.living.layouts` does of any change, and leaves to that whatever is not as plain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from hotsession.living.asides import EXTRA, OF_MODELS
from hotsession.living.defaults import MISSING
from hotsession.living.shapes import Shape, said
from hotsession.living.state import attributes_of, slots_of, take
from hotsession.living.versions import outlived


class Added(NamedTuple):
    """What was done with an object.

    Args:
        fresh: names of attributes that were set.
        missing: fields that nobody knows a value of.
    """

    fresh: tuple[str, ...]
    missing: tuple[str, ...]


def only_adds(cls: type, old: Shape, new: type, shape: Shape) -> bool:
    """Whether objects of a class lose nothing and rename nothing when they become of another.

    Args:
        cls: the class that they are of.
        old: their shape.
        new: the class that they are to be of.
        shape: its shape.
    """
    return (
        (old.fields is None) == (shape.fields is None)
        and {*(old.fields or ())} <= {*(shape.fields or ())}
        and {*old.renamed} == {*shape.renamed}
        and (old.is_open, old.private or None) == (shape.is_open, None)
        and (old.private is None) == (shape.private is None)
        and not shape.private
        and not issubclass(cls, tuple)
        and all(said(each, name) is None for each in (cls, new) for name in ("_sa_class_manager", "__attrs_attrs__"))
        and not outlived(old.passed_by(new), new)
    )


def add(instance: Any, cls: type, fields: Iterable[str], default: Callable[[str], Any]) -> Added | None:
    """Make an object one of a class that only adds; None if it takes more than that, and nothing has changed.

    What is new is there before its class is another, so that no other thread misses it.

    Args:
        instance: the object, of which nothing is kept aside.
        cls: the class.
        fields: those that the class declares.
        default: the value that a field has at first, or `MISSING`.
    """
    attributes, slots = attributes_of(instance), slots_of(type(instance)).slots
    if attributes is None or not (slots.keys() <= OF_MODELS) or _has_undeclared(instance, slots):
        return None
    found = {name: default(name) for name in fields if name not in attributes}
    fresh = {name: value for name, value in found.items() if value is not MISSING}
    attributes.update(fresh)
    try:
        object.__setattr__(instance, "__class__", cls)
    except TypeError:  # it is laid out otherwise
        for name in fresh:
            attributes.pop(name, None)
        return None
    return Added(tuple(fresh), tuple(found.keys() - fresh.keys()))


def take_back(instance: Any, was: type, added: Added) -> None:
    """Make an object what it was."""
    object.__setattr__(instance, "__class__", was)
    for name in added.fresh:
        take(instance, name)


def _has_undeclared(instance: Any, slots: dict[str, Any]) -> bool:
    """Whether an object of a pydantic model has values that no field declares, one of which may be declared now."""
    if EXTRA not in slots:
        return False
    try:
        return bool(slots[EXTRA].__get__(instance))
    except AttributeError:  # it was never set, as where a model is built by hand
        return True
