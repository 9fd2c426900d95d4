"""What is particular to pydantic models: values that no field declares, and which values somebody gave. Pure.

What becomes of such values is as if the new model read what the old one had: one that is declared now becomes a field,
and a field that is gone becomes such a value, where the model takes any. It imports nothing of pydantic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hotsession.living.asides import EXTRA

_GIVEN = "__pydantic_fields_set__"


def undeclared_in(state: Mapping[str, Any], aside: Mapping[str, Any]) -> dict[str, Any]:
    """The values that no field declares: those that an object has, and those that are kept aside of it."""
    if EXTRA not in state:
        return {}
    return {**aside.get(EXTRA, {}), **(state[EXTRA] or {})}


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
    aside = {name: value for name, value in kept.items() if name != EXTRA}
    without = {name: aside.pop(name) for name in undeclared if name in aside}
    if not is_open:
        put = {} if state[EXTRA] is None else {EXTRA: None}
        return put, aside | ({EXTRA: without} if without else {})
    without |= {name: aside.pop(name) for name in gone if name in aside}
    had = state[EXTRA]
    return {} if had is not None and had.keys() == without.keys() else {EXTRA: without}, aside


def given(state: Mapping[str, Any], moved: Mapping[str, str]) -> dict[str, Any]:
    """The note of the fields that somebody gave a value, as an attribute, if some of them are called otherwise now."""
    found = state.get(_GIVEN)
    if not moved or not isinstance(found, set):
        return {}
    return {_GIVEN: found | {now for before, now in moved.items() if before in found}}
