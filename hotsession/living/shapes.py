"""What of a class its objects depend on: the fields it declares, its version, and the names that its fields had. Pure.

An object is of the version of the class that it is of: one that can't be brought to the next version keeps its class.
So an object has to remember versions of its own only where an edit is undone whose steps it has passed; those that are
written down keep the shape of their class with them.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from hotsession.living.versions import version_of, versions_of

RENAMED = "__hot_renamed__"
WRITERS = ("dataclasses", "attr._make")
"""Modules whose `__setstate__` expects the fields that there are now, and state as they write it."""


class Shape(NamedTuple):
    """What objects of a class look like.

    Args:
        fields: the names that a dataclass, an attrs class, a pydantic model or a named tuple declares; None for others.
        version: the one that `__hot_migrate__` counts by; 0 unless somebody says it.
        renamed: pairs of the name that a field had and the one that it has.
        versions: pairs of who counts, and that version. None in what was written when there was but one for all.
        is_open: whether a pydantic model takes values by other names, too.
        private: the names of its private attributes; None if it is no pydantic model.
        writer: the module that says how its state is written: of dataclasses or attrs, where these have slots.
    """

    fields: tuple[str, ...] | None = None
    version: int = 0
    renamed: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, int], ...] | None = ()
    is_open: bool = False
    private: tuple[str, ...] | None = None
    writer: str = ""

    @classmethod
    def written(cls, *values: Any) -> Shape:
        """The shape that was written as these values, also before classes counted each for itself."""
        return cls(*values) if len(values) > 3 else cls(*values)._replace(versions=None)

    def passed_by(self, new: type) -> dict[str, int]:
        """The versions that its objects are of, as a newer class counts them."""
        return dict.fromkeys(versions_of(new), self.version) if self.versions is None else dict(self.versions)


PLAIN = Shape()


def shape_of(cls: type) -> Shape:
    """The shape of the objects of a class."""
    renamed, versions = tuple(renames_of(cls).items()), tuple(versions_of(cls).items())
    return Shape(fields_of(cls), version_of(cls), renamed, versions, is_open(cls), private_of(cls), writer_of(cls))


def said(cls: type, name: str) -> Any:
    """What a class, or a base of it, has by a name; None if that is nothing.

    Its metaclass is not asked, whose `__getattr__` may raise anything.
    """
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def fields_of(cls: Any) -> tuple[str, ...] | None:
    """The names of the fields that a class declares, in order; None if it is of no kind that declares any."""
    if said(cls, "__dataclass_fields__") is not None:
        return tuple(field.name for field in dataclasses.fields(cls))
    if said(cls, "__attrs_attrs__") is not None:
        return tuple(attribute.name for attribute in cls.__attrs_attrs__)
    if is_model(cls):
        return tuple(cls.__pydantic_fields__)
    if issubclass(cls, tuple) and isinstance(names := said(cls, "_fields"), tuple):
        return names
    return None


def is_model(cls: type) -> bool:
    """Whether a class is a pydantic model."""
    return said(cls, "__pydantic_fields_set__") is not None and "__pydantic_complete__" in vars(cls)


def writer_of(cls: type) -> str:
    """The library that says how the state of an object is written, and reads no other; empty if none does."""
    found = getattr(said(cls, "__getstate__"), "__module__", None)
    return found if found in WRITERS else ""


def private_of(cls: type) -> tuple[str, ...] | None:
    """The names of the private attributes of a pydantic model; None if it is none."""
    return tuple(said(cls, "__private_attributes__") or ()) if is_model(cls) else None


def is_open(cls: type) -> bool:
    """Whether objects of a pydantic model keep values that no field declares."""
    config = said(cls, "model_config")
    return isinstance(config, dict) and config.get("extra") == "allow"


def renames_of(cls: type) -> dict[str, str]:
    """The names that fields of a class had, with those that they have now."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found.update(vars(base).get(RENAMED, {}))
    return found
