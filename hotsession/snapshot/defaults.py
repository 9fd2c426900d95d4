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


def _fill(instance: object, cls: Any, name: str) -> None:
    """Set one attribute past a `__setattr__` of the class, if there is a default."""
    if dataclasses.is_dataclass(cls):
        field = cls.__dataclass_fields__.get(name)
        if field is not None and field.default_factory is not dataclasses.MISSING:
            object.__setattr__(instance, name, field.default_factory())
        elif field is not None and field.default is not dataclasses.MISSING:
            object.__setattr__(instance, name, field.default)
    elif hasattr(cls, "__attrs_attrs__"):
        for attribute in cls.__attrs_attrs__:
            if attribute.name == name and type(attribute.default).__name__ != "_Nothing":
                _fill_attrs(instance, attribute)
    elif name in getattr(cls, "__private_attributes__", ()):
        _fill_private(instance, cls.__private_attributes__[name], name)
    elif name in getattr(cls, "model_fields", ()):
        _fill_model(instance, cls.model_fields[name], name)


def _fill_attrs(instance: object, attribute: Any) -> None:
    default = attribute.default
    if hasattr(default, "takes_self"):  # attrs.Factory
        default = default.factory(instance) if default.takes_self else default.factory()
    object.__setattr__(instance, attribute.name, default)


def _fill_private(instance: Any, attribute: Any, name: str) -> None:
    default = _made(attribute, instance)
    if type(default).__name__ == "PydanticUndefinedType":
        return
    if getattr(instance, "__pydantic_private__", None) is None:
        object.__setattr__(instance, "__pydantic_private__", {})
    instance.__pydantic_private__[name] = default


def _fill_model(instance: object, field: Any, name: str) -> None:
    if not field.is_required():
        object.__setattr__(instance, name, _made(field, instance))


def _made(described: Any, instance: object) -> Any:
    """The default that pydantic describes; some of its versions leave it to the caller to call the factory."""
    factory = described.default_factory
    if factory is None:
        return described.get_default()
    takes_the_others = getattr(described, "default_factory_takes_validated_data", False)
    return factory(dict(vars(instance))) if takes_the_others else factory()
