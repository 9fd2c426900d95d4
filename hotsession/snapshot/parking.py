"""What can't be read now, kept as bytes until it can: parts of sessions and of kept values whose class is gone, say.

What was parked of one value at the same time, and returns at the same time, shares what it shared. What the app went
on with meanwhile has copies of its own of what both held: it was written without what is parked. It knows neither
sessions nor values: it is told under which name of the store they lie, and whose they are for the log.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any

from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.pickling import pickled
from hotsession.snapshot.store import Store
from hotsession.snapshot.turn import Turn
from hotsession.snapshot.unpickling import Parked, unparked, unpickled

Place = tuple[bytes | None, Parked]
"""The pickled key of the part that something is parked of, None for the value itself; and what is parked."""


class Parking:
    """What is parked in a store.

    Args:
        store: where.
        notices: where it is said.
        turn: whose it is to write.
    """

    def __init__(self, store: Store, notices: Notices, turn: Turn) -> None:
        self._store = store
        self._notices = notices
        self._turn = turn

    def __repr__(self) -> str:
        return f"<Parking in {self._store!r}>"

    def settle(
        self, where: bytes, whose: str, value: Any, new: Iterable[Place], write: Callable[[], bool]
    ) -> tuple[Place, ...]:
        """Give a value back what was parked of it and can be read again, and keep the bytes of what can't be read.

        Args:
            where: the name in the store.
            whose: what it is, for the log.
            value: as it could be read; a dict that has its parts by their keys, if it is to get parts of those back.
            new: what just could not be read.
            write: writes the value, and says whether that could be done; called when it got something back, whose
                bytes are let go only then.

        Returns:
            What is parked there now.
        """
        waiting = _each_once(new)
        before = self.find(where)
        returned: list[Parked] = []
        displaced: list[Place] = []
        reasons: dict[Parked, Parked] = {}
        is_changed = False
        for (outer, each), found in zip(before, unparked([each for _, each in before]), strict=True):
            if isinstance(found, Parked):
                waiting = _each_once((*waiting, (outer, each)))
                reasons[each] = found
                continue
            done = _put_back(value, outer, *found)
            if done is None:
                displaced.append((outer, each))
            else:
                is_changed |= done
                returned.append(each)
        waiting = tuple((outer, reasons.get(each, each)) for outer, each in waiting)
        for _, each in waiting:
            self._notices.parked(whose, each)
        for _, each in displaced:
            self._notices.displaced(whose, each)
        waiting = _each_once((*waiting, *displaced))
        for each in returned:
            self._notices.returned(whose, each)
        if returned:
            if self.keep(where, _each_once((*waiting, *before))) and (not is_changed or write()):
                self.keep(where, waiting)
        elif len(waiting) > len(before):
            self.keep(where, waiting)
        return waiting

    def keep(self, where: bytes, places: Iterable[Place]) -> bool:
        """Keep the bytes of what is parked, instead of what was parked there; whether that could be done."""
        kept = [(outer, each.stored) for outer, each in places]
        with self._turn.lock:
            if self._turn.is_paused:
                return False
            try:
                self._store.put({where: pickle.dumps(kept) if kept else None})
            except SnapshotUnusable as error:
                self._notices.not_written(error)
                return False
        return True

    def count(self, prefix: bytes) -> int:
        """How many parts are parked, at all places that begin with `prefix`."""
        return sum(len(pickle.loads(stored)) for _, stored in self._store.items(prefix))

    def find(self, where: bytes) -> tuple[Place, ...]:
        """What is parked there."""
        stored = self._store.get(where)
        return () if stored is None else tuple((outer, Parked(*each)) for outer, each in pickle.loads(stored))


def _each_once(places: Iterable[Place]) -> tuple[Place, ...]:
    """Without what is in there twice: what is not written anew is read from the same bytes at each restart."""
    return tuple({(outer, *each.identity): (outer, each) for outer, each in places}.values())


def _put_back(value: Any, outer: bytes | None, key: Any, part: Any) -> bool | None:
    """Put a part where it was; whether that changed anything. None if something else is there by now."""
    if outer is not None:
        value = value.get(unpickled(outer).value)
    if not isinstance(value, dict):
        return False
    if key in value:
        there = value[key]
        if _are_same(there, part):
            return False
        if there or isinstance(there, bool | int | float):
            return None
    value[key] = part
    return True


def _are_same(one: Any, other: Any) -> bool:
    """Whether a part is there already: it was read from the same bytes that it was parked from."""
    return type(one) is type(other) and pickled(one).data == pickled(other).data
