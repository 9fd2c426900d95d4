"""The attributes of an object, read and set past its class's own code: nothing of the user's is run."""

from __future__ import annotations

import types
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

_MISSING = object()
_HASH = "_attrs_cached_hash"


class Slots(NamedTuple):
    """Where objects of a class have their attributes.

    Args:
        slots: what reads and sets the attributes that have room of their own, by name.
        has_dict: whether there is room for others.
    """

    slots: dict[str, Any]
    has_dict: bool


_known: WeakKeyDictionary[type, Slots] = WeakKeyDictionary()


def slots_of(cls: type) -> Slots:
    """Where objects of a class have their attributes."""
    found = _known.get(cls)
    if found is None:
        slots: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            if base.__module__ != "builtins":
                found_here = vars(base).items()
                slots.update(each for each in found_here if type(each[1]) is types.MemberDescriptorType)
        found = _known[cls] = Slots(slots, cls.__dictoffset__ != 0)
    return found


def attributes_of(instance: object) -> dict[str, Any] | None:
    """The dict of an object's attributes itself; None if it has none."""
    if type(instance).__dictoffset__ == 0:
        return None
    try:
        found: Any = object.__getattribute__(instance, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def state_of(instance: object) -> dict[str, Any]:
    """All attributes of an object, by name: a copy."""
    attributes = attributes_of(instance)
    found = {} if attributes is None else dict(attributes)
    for name, slot in slots_of(type(instance)).slots.items():
        try:
            found[name] = slot.__get__(instance)
        except AttributeError:  # it was never set
            continue
    return found


def put(instance: object, name: str, value: Any) -> bool:
    """Set an attribute; False if the object has no room for it."""
    cls = type(instance)
    slot = slots_of(cls).slots.get(name)
    if slot is not None:
        slot.__set__(instance, value)
        return True
    attributes = attributes_of(instance)
    if attributes is None:
        return False
    attributes[name] = value
    return True


def has_room(cls: type, name: str) -> bool:
    """Whether objects of a class have room for an attribute."""
    return slots_of(cls).has_dict or name in slots_of(cls).slots


def take(instance: object, name: str) -> None:
    """Take an attribute away, if it is there."""
    slot = slots_of(type(instance)).slots.get(name)
    if slot is not None:
        try:
            slot.__delete__(instance)
        except AttributeError:  # it was never set
            return
        return
    attributes = attributes_of(instance)
    if attributes is not None:
        attributes.pop(name, None)


def forget_hash(instance: object) -> None:
    """Let an object of attrs that remembers its hash (``cache_hash=True``) find it anew."""
    if _HASH in slots_of(type(instance)).slots or _HASH in (attributes_of(instance) or ()):
        put(instance, _HASH, None)


def restore(instance: object, state: dict[str, Any]) -> None:
    """Give an object the attributes of `state`, and no others."""
    for name in state_of(instance).keys() - state.keys():
        take(instance, name)
    for name, value in state.items():
        put(instance, name, value)
