"""What becomes of the attributes of an object whose class changed: the rules, on plain dicts. Pure.

A field that is new gets its default; one that is gone is kept aside, and returns with the field; one that is told to
be called otherwise is. Attributes that no class declares stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from hotsession.living.defaults import MISSING
from hotsession.living.shapes import Shape

_GIVEN = "__pydantic_fields_set__"  # where a pydantic model notes which of its fields somebody gave a value


class Settled(NamedTuple):
    """What is to be done with the attributes of an object.

    Args:
        put: attributes that are set.
        gone: names of attributes that are taken away.
        aside: what is kept aside from now on.
        missing: fields that nobody knows a value of.
    """

    put: dict[str, Any]
    gone: tuple[str, ...]
    aside: dict[str, Any]
    missing: tuple[str, ...]


def settled(
    state: Mapping[str, Any],
    old: Shape,
    new: Shape,
    aside: Mapping[str, Any],
    default: Callable[[str], Any],
) -> Settled:
    """What is to be done with an object that is to become one of shape `new`.

    Args:
        state: its attributes.
        old: the shape of the class that it was of.
        new: that of the class that it becomes one of.
        aside: what was kept aside of it.
        default: the value that a field has at first, or `MISSING`.
    """
    fields = new.fields or ()
    put: dict[str, Any] = {}
    gone: dict[str, None] = {}
    moved: dict[str, str] = {}
    kept = dict(aside)
    for before, now in _renames(old, new):
        if now in state or now in put:
            continue
        for place in (state, kept):
            if before in place:
                put[now] = place[before]
                moved[before] = now
                kept.pop(before, None)
                gone.update({before: None} if place is state else {})
                break
    put |= _given(state, moved)
    for name in _not_in(fields, state, put):
        value = kept.pop(name) if name in kept else default(name)
        if value is not MISSING:
            put[name] = value
    if new.fields is not None:
        for name in _not_in(old.fields or (), fields, gone):
            if name in state:
                kept[name] = state[name]
                gone[name] = None
    missing = tuple(_not_in(fields, state, put))
    return Settled(put, tuple(gone), kept, missing)


def _given(state: Mapping[str, Any], moved: Mapping[str, str]) -> dict[str, Any]:
    given = state.get(_GIVEN)
    if not moved or not isinstance(given, set):
        return {}
    return {_GIVEN: given | {now for before, now in moved.items() if before in given}}


def _renames(old: Shape, new: Shape) -> Iterable[tuple[str, str]]:
    """Which attributes are called otherwise now: as the new class says, and as the old one said of what is undone."""
    fields = new.fields or ()
    for before, now in new.renamed:
        if before not in fields and (before, now) not in old.renamed:
            yield before, now
    for before, now in old.renamed:
        if (before, now) not in new.renamed and now not in fields and (new.fields is None or before in fields):
            yield now, before


def _not_in(names: Iterable[str], *places: Any) -> list[str]:
    return [name for name in names if not any(name in place for place in places)]
