"""The content of an object that came late, given to the one that was built in its place and is in use."""

from __future__ import annotations

from collections import deque
from typing import Any

from hotsession.living.defaults import slots_of

_CONTAINERS = (dict, list, set, deque, bytearray)


def take_over(live: Any, late: Any, *, unused: bool) -> bool:
    """Give an object the content of another of its class; whether that could be done.

    Args:
        live: it is in use.
        late: what it is to become.
        unused: nobody worked with it yet. Else nothing is taken from it: it takes over only if it is empty.
    """
    if type(live) is not type(late) or not (unused or (isinstance(live, _CONTAINERS) and not live)):
        return False
    attributes, slots = getattr(live, "__dict__", None), slots_of(late)
    if not isinstance(live, _CONTAINERS) and attributes is None and not slots:
        return False
    if isinstance(live, _CONTAINERS):
        live.clear()
        add = live.update if isinstance(live, dict | set) else live.extend
        add(late)
    if attributes is not None:
        attributes.clear()
        attributes.update(vars(late))
    for name, value in slots.items():
        object.__setattr__(live, name, value)
    return True
