"""What can't be read now, kept as bytes until it can: parts of sessions and of kept values whose class is gone, say.

It knows neither: it is told under which name of the store they lie, and whose they are for the log.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any

from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.store import Store
from hotsession.snapshot.turn import Turn
from hotsession.snapshot.unpickling import Parked, Unreadable, unpark, unpickled

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

    def settle(self, where: bytes, whose: str, value: Any, new: Iterable[Place], write: Callable[[], bool]) -> None:
        """Give a value back what was parked of it and can be read again, and keep the bytes of what can't be read.

        Args:
            where: the name in the store.
            whose: what it is, for the log.
            value: as it could be read; a dict that has its parts by their keys, if it is to get parts of those back.
            new: what just could not be read.
            write: writes the value, and says whether that could be done; called when it got something back, whose
                bytes are let go only then.
        """
        waiting = _each_once(new)
        before = self.find(where)
        returned: list[Parked] = []
        is_changed = False
        for outer, each in before:
            try:
                is_changed |= _put_back(value, outer, *unpark(each))
            except Unreadable:
                waiting = _each_once((*waiting, (outer, each)))
            else:
                returned.append(each)
        for _, each in waiting:
            self._notices.parked(whose, each)
        for each in returned:
            self._notices.returned(whose, each)
        if returned:
            if self.keep(where, _each_once((*waiting, *before))) and (not is_changed or write()):
                self.keep(where, waiting)
        elif len(waiting) > len(before):
            self.keep(where, waiting)

    def keep(self, where: bytes, places: Iterable[Place]) -> bool:
        """Keep the bytes of what is parked, instead of what was parked there; whether that could be done."""
        kept = [(outer, tuple(each)) for outer, each in places]
        with self._turn.lock:
            if self._turn.is_paused:
                return False
            try:
                self._store.put({where: pickle.dumps(kept) if kept else None})
            except SnapshotUnusable as error:
                self._notices.not_written(error)
                return False
        return True

    def find(self, where: bytes) -> tuple[Place, ...]:
        """What is parked there."""
        stored = self._store.get(where)
        return () if stored is None else tuple((outer, Parked(*each)) for outer, each in pickle.loads(stored))


def _each_once(places: Iterable[Place]) -> tuple[Place, ...]:
    """Without what is in there twice: what is not written anew is read from the same bytes at each restart."""
    return tuple({(outer, each.key, each.data): (outer, each) for outer, each in places}.values())


def _put_back(value: Any, outer: bytes | None, key: Any, part: Any) -> bool:
    """Put a part where it was, unless the app has something else there by now; whether that changed anything."""
    if outer is not None:
        value = value.get(unpickled(outer).value)
    if not isinstance(value, dict) or key in value:
        return False
    value[key] = part
    return True
