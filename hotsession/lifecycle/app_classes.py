"""How instances of an app's own classes are taken apart and put together: dataclasses, pydantic models and enums.

They are put together from their attributes, as pickle does it: no `__init__`, `__post_init__` or validator runs, so
what was stored comes back as it was. Knows pydantic only by what an app that uses it has imported.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cached_property
from inspect import getattr_static
from typing import Any

from hotsession.lifecycle.kinds import Kind, Parts


def can_be_registered(cls: type) -> bool:
    """Whether we know how to take its instances apart."""
    return not _objection(cls)


def kind_of(cls: type, name: str) -> Kind:
    """The kind of a class of the app's.

    Raises:
        TypeError: it is no class whose instances we know how to take apart.
    """
    objection = _objection(cls)
    if objection:
        raise TypeError(f"{cls!r} can't be registered for JSON: {objection}")
    if issubclass(cls, enum.Flag):
        return Kind(name, cls, lambda value: {"value": value.value}, lambda parts: cls(parts["value"]))
    if issubclass(cls, enum.Enum):
        return Kind(name, cls, _member_apart, lambda parts: cls[parts["value"]])
    if _is_model(cls):
        return Kind(name, cls, _model_apart, lambda parts: _model_together(cls, parts), "attribute")
    return Kind(name, cls, _instance_apart, lambda parts: _instance_together(cls, parts), "attribute")


def _objection(cls: object) -> str:
    """What speaks against taking instances of a class apart, if anything does."""
    if not isinstance(cls, type):
        return "it is no class"
    if issubclass(cls, enum.Enum):
        return "" if cls.__members__ else "it has no members"
    if not is_dataclass(cls) and not _is_model(cls):
        return "it is neither a dataclass, a pydantic model nor an Enum. Store plain data that describes its instances"
    if hasattr(cls, "__mapper__"):
        return "its instances belong to a database session. Store their primary keys"
    builtin = [base.__name__ for base in cls.__mro__[1:-1] if base.__module__ == "builtins"]
    return f"its instances are also {builtin[0]}, beside their fields" if builtin else ""


def _is_model(cls: type) -> bool:
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return base is not None and issubclass(cls, base)


def _member_apart(member: enum.Enum) -> Parts:
    if type(member).__members__.get(member.name) is not member:
        raise ValueError("It is none of the members that its class lists.")
    return {"value": member.name}


def _attributes(instance: object) -> Iterator[tuple[str, Any]]:
    """What lies in the `__dict__`, where there is one, without what can be computed again."""
    for name, value in [*getattr(instance, "__dict__", {}).items()]:
        if not isinstance(getattr_static(type(instance), name, None), cached_property):
            yield name, value


def _instance_apart(instance: Any) -> Parts:
    attributes = {}
    for field in fields(instance):
        if not hasattr(instance, field.name):
            raise ValueError(f"Its field {field.name!r} was never set.")
        attributes[field.name] = getattr(instance, field.name)
    return {"value": {**attributes, **dict(_attributes(instance))}}


def _instance_together(cls: Any, parts: Parts) -> Any:
    stored = dict(parts["value"])
    instance = cls.__new__(cls)
    for field in fields(cls):
        value = stored.pop(field.name) if field.name in stored else _default(cls, field)
        object.__setattr__(instance, field.name, value)  # frozen ones, too
    # What is no field any more stays beside the others, where a later version of the class finds it again.
    getattr(instance, "__dict__", {}).update(stored)
    return instance


def _default(cls: type, field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    if field.default is not MISSING:
        return field.default
    raise _new_field(cls, field.name)


def _new_field(cls: type, name: str) -> ValueError:
    return ValueError(f"its field {name!r} was not stored: give the field of {cls.__qualname__} a default")


def _model_apart(model: Any) -> Parts:
    attributes = dict(_attributes(model))
    parts: Parts = {"value": attributes}
    extra = model.__pydantic_extra__ or {}
    unset = [name for name in (*attributes, *extra) if name not in model.__pydantic_fields_set__]
    more = {"unset": unset, "extra": extra, "private": model.__pydantic_private__}
    parts.update((name, each) for name, each in more.items() if each)
    return parts


def _model_together(cls: Any, parts: Parts) -> Any:
    stored = dict(parts["value"])
    given = {*stored, *parts.get("extra", ())} - {*parts.get("unset", ())}
    values: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        values[name] = stored.pop(name) if name in stored else _model_default(cls, name, field, values)
    private = {**_private_defaults(cls), **parts.get("private", {})}
    allows_extra = cls.model_config.get("extra") == "allow"
    model = cls.__new__(cls)
    model.__setstate__(
        {
            "__dict__": {**values, **stored},
            "__pydantic_fields_set__": given,
            "__pydantic_extra__": parts.get("extra", {} if allows_extra else None),
            "__pydantic_private__": private if cls.__private_attributes__ else None,
        }
    )
    return model


def _model_default(cls: type, name: str, field: Any, values: dict[str, Any]) -> Any:
    if field.is_required():
        raise _new_field(cls, name)
    if getattr(field, "default_factory_takes_validated_data", False):
        return field.get_default(call_default_factory=True, validated_data=values)
    return field.get_default(call_default_factory=True)


def _private_defaults(cls: Any) -> dict[str, Any]:
    defaults = {name: each.get_default() for name, each in cls.__private_attributes__.items()}
    undefined = sys.modules["pydantic_core"].PydanticUndefined
    return {name: value for name, value in defaults.items() if value is not undefined}
