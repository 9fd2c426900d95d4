"""What became of one class, worked out once for all of its objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hotsession.living.additions import only_adds
from hotsession.living.shapes import PLAIN, Shape, said, shape_of
from hotsession.living.versions import Step, steps_between


@dataclass(frozen=True, slots=True, eq=False)
class Nothing:
    """What `Change.new` is where nothing stands for a class.

    Args:
        why: the reason.
        cure: what would help.
    """

    why: str
    cure: str


GONE = Nothing("its class is gone", "It follows when the class is back, or hotsession.moved() tells where")
"""Nothing has its name any more."""

NAMELESS = Nothing(
    "its class is one that the old code made while it ran, and is found by no name",
    "Objects of a class that stands in its module follow, or of one that is put there by its own name",
)
"""It was made in a function, say: the new code may make another one, and nobody knows which one that would be."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a class.

    Args:
        name: its name, for people.
        old: the shape that its objects have.
        new: what has its name now: a class, or something else, or `Nothing`.
        shape: the shape of the new class.
        steps: what is called with an object that has become one of the new class, in order.
        is_simple: whether nothing but the class of its objects changes.
        only_adds: whether its objects at most get fields, and pass steps.
    """

    name: str
    old: Shape
    new: Any
    shape: Shape
    steps: tuple[Step, ...]
    is_simple: bool
    only_adds: bool = False


def change(cls: type, old: Shape, new: Any) -> Change:
    """What became of a class, whose objects have the shape `old`, if it is `new` now."""
    if not isinstance(new, type):
        return Change(cls.__qualname__, old, new, PLAIN, (), is_simple=False)
    shape = shape_of(new)
    steps = tuple(steps_between(old.passed_by(new), old.version, new))
    is_simple = (
        not steps
        and shape._replace(renamed=(), version=0, writer="") == old._replace(renamed=(), version=0, writer="")
        and not {*shape.renamed} ^ {*old.renamed}
        and said(new, "_sa_class_manager") is None
        and said(cls, "_sa_class_manager") is None
        and not issubclass(cls, tuple)
    )
    return Change(cls.__qualname__, old, new, shape, steps, is_simple, only_adds(cls, old, new, shape))
