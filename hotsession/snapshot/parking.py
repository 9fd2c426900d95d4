"""What can't be read now, kept as bytes until it can: parts of sessions and of kept values whose class is gone, say.

It knows neither: it is told under which name of the store they lie, and whose they are for the log.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterable
from typing import Any

from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.store import Store
from hotsession.snapshot.unpickling import Parked, Unreadable, unpark, unpickled

Place = tuple[bytes | None, Parked]
"""The pickled key of the part that something is parked of, None for the value itself; and what is parked."""


class Parking:
    """What is parked in a store.

    Args:
        store: where.
        notices: where it is said.
        lock: held while something is written.
    """

    def __init__(self, store: Store, notices: Notices, lock: threading.RLock) -> None:
        self._store = store
        self._notices = notices
        self._lock = lock

    def __repr__(self) -> str:
        return f"<Parking in {self._store!r}>"

    def settle(self, where: bytes, whose: str, value: Any, new: Iterable[Place]) -> None:
        """Give a value back what was parked of it and can be read again, and keep the bytes of what can't be read.

        Args:
            where: the name in the store.
            whose: what it is, for the log.
            value: a dict or list, as it could be read.
            new: what just could not be read.
        """
        new = list(new)
        stored = self._store.get(where)
        if stored is None and not new:
            return
        waiting = list(new)
        for outer, each in _places(stored):
            try:
                _put_back(value, outer, *unpark(each))
            except Unreadable:
                waiting.append((outer, each))
            else:
                self._notices.returned(whose, each)
        for _, each in waiting:
            self._notices.parked(whose, each)
        self.keep(where, waiting)

    def keep(self, where: bytes, places: Iterable[Place]) -> bool:
        """Keep the bytes of what is parked, instead of what was parked there; whether that could be done."""
        kept = [(outer, tuple(each)) for outer, each in places]
        with self._lock:
            try:
                self._store.put({where: pickle.dumps(kept) if kept else None})
            except SnapshotUnusable as error:
                self._notices.not_written(error)
                return False
        return True

    def find(self, where: bytes) -> tuple[Place, ...]:
        """What is parked there."""
        return tuple(_places(self._store.get(where)))


def _places(stored: bytes | None) -> Iterable[Place]:
    return () if stored is None else ((outer, Parked(*each)) for outer, each in pickle.loads(stored))


def _put_back(value: Any, outer: bytes | None, key: Any, part: Any) -> None:
    """Put a part where it was, unless the app has something else there by now."""
    if outer is not None:
        value = value.get(unpickled(outer).value) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value.setdefault(key, part)
    elif isinstance(value, list):
        value.append(part)
