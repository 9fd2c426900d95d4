"""The tagging rules: how data becomes what JSON has words for, and data again. Pure; knows no text, bytes or storage.

What JSON knows stays as it is. A value of another kind becomes ``{"$type": "date", "value": "2026-01-31"}``; a key
of the user's that looks like our tag, ``"$type"``, gets one more dollar sign, and loses it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

from hotsession.lifecycle.app_classes import can_be_registered
from hotsession.lifecycle.kinds import needs_no_tag
from hotsession.lifecycle.misfit import Misfit, step, type_name
from hotsession.lifecycle.tag_names import Kinds

TAG = "$type"
TAG_ENDS = '$type"'  # a JSON text without this has neither tags nor escaped keys
MAX_DEPTH = 200  # what deeper data needs of the stack could be more than there is when somebody reads it

SCALARS = frozenset({str, int, float, bool, type(None)})
CONTAINERS = frozenset({dict, list})
_PLAIN = SCALARS | CONTAINERS
_STR = frozenset({str})
_ROWS = frozenset({dict})


def is_plain(value: Any, room: int = MAX_DEPTH) -> bool:
    """Whether JSON has words for everything in `value`, keys that look like tags and odd numbers aside.

    Most data is, and each save asks: so it counts types in C, a container at a time, and a list of rows at once.
    """
    if type(value) is dict:
        if not _STR.issuperset(map(type, value)):
            return False
        value = value.values()
    elif type(value) is not list:
        return type(value) in SCALARS
    types = {*map(type, value)}
    if types <= SCALARS:
        return True
    if not room or not types <= _PLAIN:
        return False
    if types == _ROWS and _are_flat(value):
        return True
    return all(type(each) in SCALARS or is_plain(each, room - 1) for each in value)


def _are_flat(rows: Iterable[dict[Any, Any]]) -> bool:
    keys, values = chain.from_iterable(rows), chain.from_iterable(map(dict.values, rows))
    return _STR.issuperset(map(type, keys)) and SCALARS.issuperset(map(type, values))


def tagged(value: Any, kinds: Kinds, room: int = MAX_DEPTH) -> Any:
    """What stands for `value` in JSON.

    Raises:
        Misfit: something in it can't be stored.
    """
    cls = type(value)
    if cls in SCALARS and needs_no_tag(value):
        return value
    if not room:
        raise Misfit(type_name(cls), f"it lies deeper than {MAX_DEPTH} levels", "Store it less nested.")
    if cls is dict:
        return _tagged_dict(value, kinds, room)
    if cls is list:
        return _tagged_list(value, kinds, room)
    return _tagged_object(value, kinds, room)


def _tagged_dict(value: dict[Any, Any], kinds: Kinds, room: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, each in [*value.items()]:  # a copy: threads may write to it
        if type(key) is not str or not needs_no_tag(key):
            raise _bad_key(value, key)
        try:
            made[_escaped(key)] = tagged(each, kinds, room - 1)
        except Misfit as misfit:
            misfit.passes(value, step(key))
            raise
    return made


def _tagged_list(value: list[Any], kinds: Kinds, room: int) -> list[Any]:
    made: list[Any] = []
    try:
        for each in [*value]:
            made.append(tagged(each, kinds, room - 1))  # noqa: PERF401 - its length is the index of what does not fit
    except Misfit as misfit:
        misfit.passes(value, step(len(made)))
        raise
    return made


def _tagged_object(value: Any, kinds: Kinds, room: int) -> dict[str, Any]:
    kind = kinds.of(type(value))
    if kind is None:
        raise Misfit(type_name(type(value)), f"it is of the type {type_name(type(value))}", _cure(type(value), kinds))
    try:
        made: dict[str, Any] = {TAG: kind.name}
        for part, inside in kind.apart(value).items():
            made[part] = tagged(inside, kinds, room - 1)
    except Misfit as misfit:
        misfit.reads_as(kind.inside, value)
        raise
    except (ValueError, TypeError, AttributeError) as error:  # the last two: of another version of its class
        raise Misfit(
            type_name(type(value)), f"this {type_name(type(value))} can't be taken apart", str(error)
        ) from error
    return made


def _bad_key(owner: object, key: object) -> Misfit:
    name = type_name(type(key))
    misfit = Misfit(
        name,
        f"the key {repr(key)[:80]} is of the type {name}" if name != "str" else "the key is no valid Unicode",
        "Keys of JSON objects are plain strings: turn it into one, or store a list of pairs.",
    )
    misfit.passes(owner, f"[{repr(key)[:80]}]")
    return misfit


def _cure(cls: type, kinds: Kinds) -> str:
    """What to do with a value of a type that is no kind."""
    if can_be_registered(cls):
        name = cls.__name__
        return f"Register the class: hotsession.sessions(..., types=[{name}]), or JSONCodec(types=[{name}])."
    for base in cls.__mro__[1:]:
        if base in _PLAIN or kinds.of(base) is not None:
            return f"It would come back as another type: store it as a plain {base.__name__}."
    if issubclass(cls, bytearray | memoryview):
        return "Store bytes in its place."
    return (
        "Store plain data that describes it (an id, a dict), and keep the object itself in a service or with "
        "hotsession.keep(); memory storage takes objects as they are."
    )


def _escaped(key: str) -> str:
    return f"${key}" if key.startswith("$") and key.lstrip("$") == "type" else key


def untagged(value: Any, kinds: Kinds) -> Any:
    """The data that a JSON value stands for; lists and dicts are changed in place.

    Raises:
        Misfit: a tag is unknown, or what it marks is no such value.
    """
    if type(value) is list:
        _untag_items(value, enumerate(value), kinds)
    elif type(value) is dict:
        if TAG in value:
            return _put_together(value, kinds)
        _untag_items(value, value.items(), kinds)
        return _unescaped(value)
    return value


def _untag_items(owner: Any, items: Iterable[tuple[Any, Any]], kinds: Kinds) -> None:
    for key, each in items:
        if type(each) in CONTAINERS:
            try:
                owner[key] = untagged(each, kinds)
            except Misfit as misfit:
                misfit.passes(owner, step(key))
                raise


def _put_together(parts: dict[str, Any], kinds: Kinds) -> Any:
    tag = parts.pop(TAG)
    kind = kinds.named(tag)
    if kind is None:
        raise Misfit(
            str(tag),
            f"its type is called {tag!r}, and no class is registered by this name",
            f"Register the class: hotsession.sessions(..., types=[{tag}]), or codec.register(cls, name={tag!r}).",
        )
    try:
        for part, inside in parts.items():
            parts[part] = untagged(inside, kinds)
    except Misfit as misfit:
        misfit.reads_as(kind.inside, parts)
        raise
    try:
        return kind.together(parts)
    except Exception as error:  # of a class of the app's, anything can come
        reason = f"no {tag} can be made of it: {type(error).__name__}: {error}"
        raise Misfit(tag, reason, "What is stored stays as it is.") from error


def _unescaped(value: dict[str, Any]) -> dict[str, Any]:
    if not any(key.startswith("$$") for key in value):
        return value
    return {key[1:] if key.startswith("$$") and key.lstrip("$") == "type" else key: each for key, each in value.items()}
