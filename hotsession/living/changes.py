"""What became of one class, worked out once for all of its objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hotsession.living.shapes import PLAIN, Shape, said, shape_of
from hotsession.living.versions import Step, steps_between

GONE = object()
"""What `Change.new` is where nothing has the name of a class any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a class.

    Args:
        name: its name, for people.
        old: the shape that its objects have.
        new: what has its name now: a class, or something else, or `GONE`.
        shape: the shape of the new class.
        steps: what is called with an object that has become one of the new class, in order.
        is_simple: whether nothing but the class of its objects changes.
    """

    name: str
    old: Shape
    new: Any
    shape: Shape
    steps: tuple[Step, ...]
    is_simple: bool


def change(cls: type, old: Shape, new: Any) -> Change:
    """What became of a class, whose objects have the shape `old`, if it is `new` now."""
    if not isinstance(new, type):
        return Change(cls.__qualname__, old, new, PLAIN, (), is_simple=False)
    shape = shape_of(new)
    steps = tuple(steps_between(old.passed_by(new), old.version, new))
    is_simple = (
        not steps
        and (shape.fields, shape.versions, shape.is_open) == (old.fields, old.versions, old.is_open)
        and not {*shape.renamed} ^ {*old.renamed}
        and (said(cls, "__private_attributes__") or {}).keys() == (said(new, "__private_attributes__") or {}).keys()
        and said(new, "_sa_class_manager") is None
        and said(cls, "_sa_class_manager") is None
        and not issubclass(cls, tuple)
    )
    return Change(cls.__qualname__, old, new, shape, steps, is_simple)
