"""What is particular to pydantic models: values that no field declares, and which values somebody gave. Pure.

What becomes of such values is as if the new model read what the old one had: one that is declared now becomes a field,
and a field that is gone becomes such a value, where the model takes any. It imports nothing of pydantic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hotsession.living.asides import EXTRA, GIVEN, OF_MODELS, PRIVATE


def noted(
    state: Mapping[str, Any], aside: Mapping[str, Any], fields: Iterable[str], *, is_open: bool
) -> dict[str, Any]:
    """What pydantic notes of a model, as attributes, for an object that has not been one.

    Args:
        state: its attributes.
        aside: what was kept aside of it.
        fields: those of the model.
        is_open: whether the model takes values that no field declares.
    """
    if EXTRA in state:
        return {}
    given = aside.get(GIVEN, {name for name in fields if name in state})
    return {GIVEN: given, EXTRA: {} if is_open else None, PRIVATE: None}


def private(
    state: Mapping[str, Any], aside: Mapping[str, Any], names: Iterable[str], renames: Iterable[tuple[str, str]]
) -> tuple[Any, dict[str, Any]]:
    """The private attributes of a model, and those that it has no more.

    Args:
        state: its attributes.
        aside: what was kept aside of it.
        names: those that it has now.
        renames: which are called otherwise now.
    """
    found = {**(aside.get(PRIVATE) or {}), **(state.get(PRIVATE) or {})}
    names = set(names)
    for before, now in renames:
        if before in found and now in names and now not in found:
            found[now] = found.pop(before)
    here = {name: value for name, value in found.items() if name in names}
    gone = {name: value for name, value in found.items() if name not in names}
    return (here if names else None), gone


def undeclared_in(state: Mapping[str, Any], aside: Mapping[str, Any]) -> dict[str, Any]:
    """The values that no field declares: those that an object has, and those that are kept aside of it."""
    if EXTRA not in state:
        return {}
    return {**(aside.get(EXTRA) or {}), **(state[EXTRA] or {})}


def divided(
    state: Mapping[str, Any], kept: Mapping[str, Any], undeclared: Iterable[str], gone: Iterable[str], *, is_open: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of the values that have no field a model has beside its fields, as an attribute, and what is kept aside.

    Args:
        state: its attributes.
        kept: the values.
        undeclared: names of those that no field declared.
        gone: names of fields that are gone.
        is_open: whether the model takes such values.
    """
    aside = {name: value for name, value in kept.items() if name not in OF_MODELS}
    without = {name: aside.pop(name) for name in undeclared if name in aside}
    if not is_open:
        put = {} if state[EXTRA] is None else {EXTRA: None}
        return put, aside | ({EXTRA: without} if without else {})
    without |= {name: aside.pop(name) for name in gone if name in aside}
    had = state[EXTRA]
    return {} if had is not None and had.keys() == without.keys() else {EXTRA: without}, aside


def given(state: Mapping[str, Any], moved: Mapping[str, str]) -> dict[str, Any]:
    """The note of the fields that somebody gave a value, as an attribute, if some of them are called otherwise now."""
    found = state.get(GIVEN)
    if not moved or not isinstance(found, set):
        return {}
    return {GIVEN: found | {now for before, now in moved.items() if before in found}}
