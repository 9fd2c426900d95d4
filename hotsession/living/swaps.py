"""What stands for what in one conversion: other objects of a new layout, and what had to be made anew to hold them."""

from __future__ import annotations

import types
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hotsession.living.graph import renewed


class Swaps(Mapping[int, Any]):
    """By the id of an object, what stands for it.

    It holds all of them, so that an id stays that of its object.
    """

    def __init__(self) -> None:
        self._now: dict[int, Any] = {}
        self._held: list[Any] = []
        self._renewed: set[int] = set()  # ids of what was made anew because of what it holds, and for no other reason

    def __repr__(self) -> str:
        return f"<Swaps of {len(self._now)} objects>"

    def __getitem__(self, where: int) -> Any:
        return self._now[where]

    def __iter__(self) -> Iterator[int]:
        return iter(self._now)

    def __len__(self) -> int:
        return len(self._now)

    def __contains__(self, where: object) -> bool:
        return where in self._now

    def of(self, instance: Any) -> Any:
        """What stands for an object: itself, if nothing else does."""
        return self._now.get(id(instance), instance)

    def put(self, instance: Any, now: Any) -> None:
        """Let `now` stand for an object."""
        self._held += (instance, now)
        self._now[id(instance)] = now

    def put_renewed(self, instance: Any, now: Any) -> None:
        """The same for what was made anew because of what it holds: it may have to be once more."""
        self._renewed.add(id(instance))
        self.put(instance, now)

    def renew(self, found: Collection[tuple[Any, Any]]) -> None:
        """Make anew what can't be changed and holds something else now: as often as one of them holds another.

        Args:
            found: such objects, and which container of Python's each is.
        """
        is_settled = False
        while not is_settled:
            is_settled = True
            self._shorten()
            for instance, base in found:
                before = self.of(instance)
                if before is not instance and id(instance) not in self._renewed:
                    continue
                now = renewed(instance, base, self._now)
                if now is not instance and (before is instance or not _holds_the_same(before, now, base)):
                    if before is not instance:
                        self.put(before, now)
                    self.put_renewed(instance, now)
                    is_settled = False
        self._shorten()

    def _shorten(self) -> None:
        """Let what was swapped twice be swapped for the last at once."""
        for where, now in tuple(self._now.items()):
            while id(now) in self._now:
                now = self._now[id(now)]
            self._now[where] = now


def _holds_the_same(one: Any, other: Any, base: Any) -> bool:
    if base is types.MethodType:
        return bool(one.__func__ is other.__func__ and one.__self__ is other.__self__)
    ours, theirs = list(base.__iter__(one)), list(base.__iter__(other))
    return len(ours) == len(theirs) and all(a is b for a, b in zip(ours, theirs, strict=True))
