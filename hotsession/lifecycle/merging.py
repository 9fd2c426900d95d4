"""What becomes of the data of a session that two changed at once. Pure."""

from __future__ import annotations

from typing import Any

Data = dict[str, Any]

_ABSENT = object()
ADDED_TO = (int, float, list)  # the types of what people count with and append to


def changed_keys(base: Data, now: Data) -> set[str]:
    """The keys that were put in, taken out or given other values since `base`."""
    return {key for key in base.keys() | now.keys() if not _same(base.get(key, _ABSENT), now.get(key, _ABSENT))}


def merged(base: Data, mine: Data, theirs: Data) -> tuple[Data, tuple[str, ...]]:
    """Both changes in one, and the keys that both changed otherwise: of these `theirs`, which is stored, stays.

    Numbers and lists that both changed alike are told, too: who counts or appends may well come to the same twice.

    Args:
        base: what both began with.
        mine: what I made of it.
        theirs: what they made of it.
    """
    both = dict(theirs)
    conflicts = []
    for key in sorted(changed_keys(base, mine)):
        wanted, stored = mine.get(key, _ABSENT), theirs.get(key, _ABSENT)
        if not _same(stored, base.get(key, _ABSENT)):
            if type(stored) in ADDED_TO or not _same(wanted, stored):
                conflicts.append(key)
        elif wanted is _ABSENT:
            both.pop(key, None)
        else:
            both[key] = wanted
    return both, tuple(conflicts)


def put_into(data: Data, wanted: Data) -> None:
    """Give a dict other items, in its place: who holds it sees them."""
    for key in [key for key in data if key not in wanted]:
        dict.__delitem__(data, key)
    for key, value in wanted.items():
        if data.get(key, _ABSENT) is not value:
            dict.__setitem__(data, key, value)


def apply_changes(data: Data, before: Data, after: Data) -> None:
    """Do to `data` what made `after` of `before`: what others did to it meanwhile stays."""
    for key in before:
        if key not in after:
            data.pop(key, None)
    for key, value in after.items():
        if before.get(key, _ABSENT) is not value or key not in before:
            data[key] = value


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if one is _ABSENT or other is _ABSENT:
        return False
    return type(one) is type(other) and bool(one == other)
