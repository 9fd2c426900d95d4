"""How an object and what hangs on it were before a step of the user's was run, should that fail."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from hotsession.living.graph import held_by
from hotsession.living.kinds import Kind
from hotsession.living.state import restore, state_of

MOST = 32  # objects that are remembered, the nearest first: a step changes its object, and parts of that


class Before:
    """What objects held.

    Args:
        instance: the one that is about to be changed.
        kind_of: how objects of a class hold others.
    """

    def __init__(self, instance: object, kind_of: Callable[[type], Kind]) -> None:
        self._held: list[tuple[Any, Kind, Any, dict[str, Any]]] = []
        seen = {id(instance)}
        waiting = deque([instance])
        while waiting and len(self._held) < MOST:
            each = waiting.popleft()
            kind = kind_of(type(each))
            self._held.append((each, kind, _content(each, kind), state_of(each) if kind.attributes else {}))
            for _, inner in held_by(each, kind):
                if len(seen) >= MOST:  # in a large graph each may have a step, and none is to cost as much as all
                    break
                if id(inner) not in seen:
                    seen.add(id(inner))
                    waiting.append(inner)

    def __repr__(self) -> str:
        return f"<Before of {len(self._held)} objects>"

    def restore(self) -> None:
        """Let all of them hold again what they held."""
        for each, kind, content, state in self._held:
            if kind.attributes and type(each) is not dict:
                restore(each, state)
            if content is not None:
                _refill(each, kind.base, content)


def _content(instance: Any, kind: Kind) -> Any:
    base: Any = kind.base
    if base is dict:
        return list(dict.items(instance))
    if base in (list, set, deque):
        return list(base.__iter__(instance))
    return None


def _refill(instance: Any, base: Any, content: list[Any]) -> None:
    if content == [] and not base.__len__(instance):
        return
    base.clear(instance)
    if base is dict:
        for key, value in content:
            dict.__setitem__(instance, key, value)
    elif base is set:
        set.update(instance, content)
    else:
        base.extend(instance, content)
