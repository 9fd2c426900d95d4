"""What becomes of the attributes of an object whose class changed: the rules, on plain dicts. Pure.

A field that is new gets its default; one that is gone is kept aside, and returns with the field; one that is told to
be called otherwise is. Attributes that no class declares stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, NamedTuple

from hotsession.living.asides import EXTRA, OF_MODELS, PRIVATE
from hotsession.living.defaults import MISSING
from hotsession.living.kinds import ATOMS
from hotsession.living.pydantic_models import divided, given, noted, private, undeclared_in
from hotsession.living.shapes import Shape

_CONTAINERS = frozenset({dict, list, set, frozenset, tuple})


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
    if new.private is None and (of_model := OF_MODELS & state.keys()):
        others = {name: value for name, value in state.items() if name not in of_model}
        notes = {name: state[name] for name in of_model if state[name]}
        made = settled(others, old, new, {**aside, **notes}, default)
        return made._replace(gone=(*made.gone, *sorted(of_model)))
    notes = {} if new.private is None else noted(state, aside, new.fields or (), is_open=new.is_open)
    made = _fields_settled({**state, **notes}, old, new, aside, default)
    put, kept = notes | made.put, made.aside
    if new.private is not None and (aside.get(PRIVATE) or state.get(PRIVATE)):
        put[PRIVATE], without = private(state, aside, new.private, _renames(old, new))
        kept = kept | ({PRIVATE: without} if without else {})
    return made._replace(put=put, aside=kept)


def _fields_settled(
    state: Mapping[str, Any], old: Shape, new: Shape, aside: Mapping[str, Any], default: Callable[[str], Any]
) -> Settled:
    fields = new.fields or ()
    undeclared = undeclared_in(state, aside)
    kept = {**aside, **undeclared}
    taken = {*state, *undeclared}
    put, moved = _called_otherwise(state, kept, old, new, taken, default)
    gone = {before: None for before in moved if before in state and before not in fields}
    for before in moved:
        kept.pop(before, None)
    put |= given(state, moved)
    for name in _not_in(fields, state.keys() - moved.keys(), put):
        value = kept.pop(name) if name in kept else default(name)
        if value is not MISSING:
            put[name] = value
    if new.fields is not None:
        for name in _not_in(old.fields or (), fields, gone):
            if name in state:
                kept[name] = state[name]
                gone[name] = None
    if EXTRA in state:
        extra, kept = divided(state, kept, undeclared, gone, is_open=new.is_open)
        put |= extra
    missing = tuple(_not_in(fields, state.keys() - moved.keys(), put))
    gone |= {before: None for before in moved if before in missing}
    return Settled(put, tuple(gone), kept, missing)


def _called_otherwise(
    state: Mapping[str, Any],
    kept: Mapping[str, Any],
    old: Shape,
    new: Shape,
    taken: Container[str],
    default: Callable[[str], Any],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values by the names that they have now, and those names by the ones that they had.

    A field may have been told to be called otherwise only one save after it was: its value was kept aside meanwhile,
    and what has the new name is the default that stood in for it, unless the app has set another.
    """
    put: dict[str, Any] = {}
    moved: dict[str, str] = {}
    for before, now in _renames(old, new):
        if now in put or before in moved:
            continue
        if now in taken and not (before in kept and now in state and _is_same(state[now], default(now))):
            continue
        for place in (state, kept):
            if before in place:
                put[now], moved[before] = place[before], now
                break
    return put, moved


def _is_same(value: Any, first: Any) -> bool:
    """Whether a value is what the field has at first. No comparison of the user's is asked."""
    if value is first:
        return True
    if type(value) is not type(first):
        return False
    return bool(value == first) if type(value) in ATOMS else type(value) in _CONTAINERS and not value and not first


def _renames(old: Shape, new: Shape) -> Iterable[tuple[str, str]]:
    """Which attributes are called otherwise now: as the new class says, and as the old one said of what is undone."""
    fields = new.fields or ()
    for before, now in new.renamed:
        if (before, now) not in old.renamed and (before not in fields or now not in (old.fields or (now,))):
            yield before, _last(now, dict(new.renamed), fields)
    undone = {now: before for before, now in old.renamed}
    for before, now in old.renamed:
        first = _last(before, undone, fields)
        if (before, now) not in new.renamed and now not in fields and (new.fields is None or first in fields):
            yield now, first


def _last(name: str, renames: Mapping[str, str], fields: Container[str]) -> str:
    """What a name has become that was changed more than once."""
    seen: set[str] = set()
    while name not in fields and name in renames and name not in seen:
        seen.add(name)
        name = renames[name]
    return name


def _not_in(names: Iterable[str], *places: Any) -> list[str]:
    return [name for name in names if not any(name in place for place in places)]
