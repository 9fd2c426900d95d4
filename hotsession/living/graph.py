"""What one object holds, and how something else is put in a place. Nothing of the user's code is run by it.

Except for `rehash`, which asks keys for their hashes.
"""

from __future__ import annotations

import functools
import types
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from hotsession.living.kinds import ATOMS, Kind
from hotsession.living.state import attributes_of, put, state_of

IMMUTABLE = frozenset({tuple, frozenset, types.MethodType})
"""What can't be given something else to hold: it is made anew, and put in its own places."""

KEYED = frozenset({dict, set, frozenset})
"""What finds things by their hashes."""

_PLAIN = frozenset({dict, list, tuple, set, frozenset})

Step = tuple[str, Any]


def is_plain(instance: Any, cls: type) -> bool:
    """Whether an object is a container of Python's own that holds nothing anybody needs to ask about."""
    if cls not in _PLAIN:
        return False
    try:
        return ATOMS.issuperset(map(type, instance)) and (
            cls is not dict or ATOMS.issuperset(map(type, instance.values()))
        )
    except RuntimeError:  # another thread is changing it
        return False


def has_keys_to_follow(instance: Any, base: Any) -> bool:
    """Whether a dict or set has keys of classes that somebody needs to ask about."""
    try:
        return not ATOMS.issuperset(map(type, base.__iter__(instance)))
    except RuntimeError:  # another thread is changing it
        return True


def held_by(instance: Any, kind: Kind) -> Iterable[tuple[Step, Any]]:
    """What an object holds, each with where it stands: as an attribute, at an index or key, or as a key itself.

    What stands in a container comes one after the other, as a large one would hold up everybody else; what is put in
    meanwhile is not among it. Of what holds nothing that anybody needs to ask about, the result is empty, and false.
    """
    if kind.base is None:
        return _in_attributes(instance, kind) if kind.attributes else ()
    inside = _items(instance, kind.base)
    return chain(inside, _in_attributes(instance, kind)) if kind.attributes else inside


def _in_attributes(instance: Any, kind: Kind) -> list[tuple[Step, Any]]:
    found: list[tuple[Step, Any]] = []
    attributes = attributes_of(instance)
    if attributes is not None:
        found = [((".", name), value) for name, value in list(attributes.items()) if type(value) not in ATOMS]
    for name, slot in kind.slots:
        try:
            value = slot.__get__(instance)
        except AttributeError:  # it was never set
            continue
        if type(value) not in ATOMS:
            found.append(((".", name), value))
    return found


def _items(instance: Any, base: type) -> Iterator[tuple[Step, Any]]:
    if base is dict:
        for key, value in list(dict.items(instance)):
            if type(key) not in ATOMS:
                yield ("key", key), key
            if type(value) not in ATOMS:
                yield ("[]", key), value
        if isinstance(instance, defaultdict):
            yield (".", "default_factory"), instance.default_factory
    elif base in _ATTRIBUTES:
        for name in _ATTRIBUTES[base]:
            yield (".", name), _get(instance, base, name)
    else:
        is_keyed = base in KEYED
        for at, each in enumerate(_still(instance, base)):
            if type(each) not in ATOMS:
                yield ("key", each) if is_keyed else ("[]", at), each


_ATTRIBUTES: dict[type, tuple[str, ...]] = {
    types.MethodType: ("__self__", "__func__"),
    functools.partial: ("func", "args", "keywords"),
    BaseException: ("args", "__cause__", "__context__"),
}


def _get(instance: Any, base: type, name: str) -> Any:
    return vars(base)[name].__get__(instance)


def _still(instance: Any, base: Any) -> list[Any]:
    """What is in a container, which another thread may change while that is gone through."""
    while True:
        try:
            return list(base.__iter__(instance))
        except RuntimeError:
            continue


def refit(instance: Any, kind: Kind, swaps: Mapping[int, Any]) -> None:
    """Put what stands in `swaps`, by the id of what it replaces, in its places in an object that can be changed."""
    if kind.base is not None:
        _refit_items(instance, kind.base, swaps)
    if kind.attributes:
        attributes = attributes_of(instance)
        if attributes is not None:
            for name, value in list(attributes.items()):
                if id(value) in swaps and attributes.get(name) is value:
                    attributes[name] = swaps[id(value)]
        for name, slot in kind.slots:
            try:
                value = slot.__get__(instance)
            except AttributeError:  # it was never set
                continue
            if id(value) in swaps:
                put(instance, name, swaps[id(value)])


def _refit_items(instance: Any, base: Any, swaps: Mapping[int, Any]) -> None:
    if base is dict:
        _refit_dict(instance, swaps)
    elif base is set:
        items = _still(instance, base)
        if any(id(each) in swaps for each in items):
            _refill_set(instance, [swaps.get(id(each), each) for each in items])
    elif base in _ATTRIBUTES:
        _refit_attributes(instance, base, swaps)
    else:
        for at, each in enumerate(_still(instance, base)):
            if id(each) in swaps and _is_at(instance, base, at, each):
                base.__setitem__(instance, at, swaps[id(each)])


def _is_at(instance: Any, base: Any, at: int, each: Any) -> bool:
    """Whether it still stands there: another thread may have taken something out, or put something in."""
    return at < base.__len__(instance) and base.__getitem__(instance, at) is each


def _refit_attributes(instance: Any, base: Any, swaps: Mapping[int, Any]) -> None:
    before = {name: _get(instance, base, name) for name in _ATTRIBUTES[base]}
    after = {name: swaps.get(id(value), value) for name, value in before.items()}
    if all(after[name] is before[name] for name in before):
        return
    if base is functools.partial:
        set_state: Any = base.__setstate__  # type: ignore[attr-defined]
        set_state(instance, (*after.values(), instance.__dict__ or None))
        return
    for name, value in after.items():
        if value is not before[name]:
            vars(base)[name].__set__(instance, value)


def _refit_dict(instance: Any, swaps: Mapping[int, Any]) -> None:
    items = list(dict.items(instance))
    if any(id(key) in swaps for key, _ in items):
        _refill_dict(instance, [(swaps.get(id(key), key), swaps.get(id(value), value)) for key, value in items])
    else:
        for key, value in items:
            if id(value) in swaps and dict.get(instance, key) is value:
                dict.__setitem__(instance, key, swaps[id(value)])
    if isinstance(instance, defaultdict) and id(instance.default_factory) in swaps:
        instance.default_factory = swaps[id(instance.default_factory)]


def renewed(instance: Any, base: Any, swaps: Mapping[int, Any]) -> Any:
    """An object that can't be changed with what stands in `swaps` in its places; itself if none of it is in there."""
    if base is types.MethodType:
        return _renewed_method(instance, swaps)
    items = list(base.__iter__(instance))
    if not any(id(each) in swaps for each in items):
        return instance
    return _anew(instance, base, [swaps.get(id(each), each) for each in items])


def _anew(instance: Any, base: Any, items: list[Any]) -> Any:
    new = base.__new__(type(instance), items)
    for name, value in state_of(instance).items():
        put(new, name, value)
    return new


def _renewed_method(method: Any, swaps: Mapping[int, Any]) -> Any:
    """A bound method of the object, or class, as it is now."""
    owner = swaps.get(id(method.__self__), method.__self__)
    found = getattr(type(owner), method.__func__.__name__, None)
    if isinstance(owner, type):
        found = getattr(getattr(owner, method.__func__.__name__, None), "__func__", None)
    if not isinstance(found, types.FunctionType):
        found = swaps.get(id(method.__func__), method.__func__)
    if found is method.__func__ and owner is method.__self__:
        return method
    return types.MethodType(found, owner)


def rehash(instance: Any, base: Any) -> None:
    """Have a dict or set find again what is in it: keys that were converted may have other hashes.

    Raises:
        Exception: whatever a key raises that is asked for its hash, or compared.
    """
    keys = list(base.__iter__(instance))
    if _finds(instance, base, keys):
        return
    for key in keys:
        hash(key)  # before anything is taken out
    if base is dict:
        _refill_dict(instance, list(dict.items(instance)))
    else:
        _refill_set(instance, keys)


def finding(instance: frozenset[Any]) -> frozenset[Any]:
    """A frozenset that finds what is in it: itself, or one made anew because something in it has another hash now.

    Raises:
        Exception: as `rehash`.
    """
    items = list(frozenset.__iter__(instance))
    return instance if _finds(instance, frozenset, items) else _anew(instance, frozenset, items)


def _finds(instance: Any, base: Any, keys: list[Any]) -> bool:
    return ATOMS.issuperset(map(type, keys)) or all(base.__contains__(instance, key) for key in keys)


def _refill_dict(instance: Any, items: list[tuple[Any, Any]]) -> None:
    kind = OrderedDict if isinstance(instance, OrderedDict) else dict
    made = kind(items)  # which raises before anything is taken out
    kind.clear(instance)
    for key, value in made.items():
        kind.__setitem__(instance, key, value)


def _refill_set(instance: Any, items: list[Any]) -> None:
    made = set(items)
    set.clear(instance)
    set.update(instance, made)
