"""What the class of an object says that an attribute is at first: dataclasses, attrs and pydantic models say it.

It imports none of them: an object whose class says it has them imported.
"""

from __future__ import annotations

import copyreg
import dataclasses
import logging
from collections.abc import Iterable
from typing import Any

logger = logging.getLogger("hotsession")

MISSING = object()
"""What `default_of` returns where there is no default."""


def fill_in(instance: object, names: Iterable[str]) -> None:
    """Give an object the attributes among `names` that it does not have, and whose default its class knows."""
    cls = type(instance)
    for name in names:
        if _has(instance, name):
            continue
        try:
            _fill(instance, cls, name)
        except Exception:
            logger.exception(
                "The default of %s.%s, which no restart can carry over, could not be made", cls.__qualname__, name
            )


def default_of(cls: Any, name: str, instance: object) -> Any:
    """What a field of a class is at first; `MISSING` if nobody says it.

    Args:
        cls: the class.
        name: the field.
        instance: the object that is to get it, for factories that ask for it. It may still be of an older class.

    Raises:
        Exception: whatever a factory raises.
    """
    if name in getattr(cls, "__private_attributes__", ()):
        default = _made(cls.__private_attributes__[name], instance)
        return MISSING if type(default).__name__ == "PydanticUndefinedType" else default
    models: dict[str, Any] = getattr(cls, "__pydantic_fields__", {})
    if name in models:  # before dataclasses: one of pydantic's has there how it describes the field
        return MISSING if models[name].is_required() else _made(models[name], instance)
    if dataclasses.is_dataclass(cls):
        return _default_of_dataclass(cls.__dataclass_fields__.get(name))
    if hasattr(cls, "__attrs_attrs__"):
        attribute = next((each for each in cls.__attrs_attrs__ if each.name == name), None)
        return MISSING if attribute is None else _default_of_attrs(attribute, instance)
    defaults: dict[str, Any] = getattr(cls, "_field_defaults", {})
    return defaults.get(name, MISSING)


def slots_of(instance: object) -> dict[str, Any]:
    """The attributes that an object has, of those that its class gives it room for beside `__dict__`."""
    names = copyreg._slotnames(type(instance))  # type: ignore[attr-defined]
    return {name: getattr(instance, name) for name in names if name != "__weakref__" and hasattr(instance, name)}


def _has(instance: object, name: str) -> bool:
    try:
        object.__getattribute__(instance, name)
    except AttributeError:
        private = getattr(instance, "__pydantic_private__", None)
        return private is not None and name in private
    return True


def _fill(instance: Any, cls: Any, name: str) -> None:
    """Set one attribute past a `__setattr__` of the class, if there is a default."""
    default = default_of(cls, name, instance)
    if default is MISSING:
        return
    if name not in getattr(cls, "__private_attributes__", ()):
        object.__setattr__(instance, name, default)
        return
    if getattr(instance, "__pydantic_private__", None) is None:
        object.__setattr__(instance, "__pydantic_private__", {})
    instance.__pydantic_private__[name] = default


def _default_of_dataclass(field: Any) -> Any:
    if field is None:
        return MISSING
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return MISSING if field.default is dataclasses.MISSING else field.default


def _default_of_attrs(attribute: Any, instance: object) -> Any:
    default = attribute.default
    if type(default).__name__ == "_Nothing":
        return MISSING
    if not hasattr(default, "takes_self"):
        return default
    return default.factory(instance) if default.takes_self else default.factory()  # attrs.Factory


def _made(described: Any, instance: object) -> Any:
    """The default that pydantic describes; some of its versions leave it to the caller to call the factory."""
    factory = described.default_factory
    if factory is None:
        return described.get_default()
    takes_the_others = getattr(described, "default_factory_takes_validated_data", False)
    return factory(dict(vars(instance))) if takes_the_others else factory()
