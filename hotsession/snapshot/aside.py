"""Sessions of which nothing can be read, set aside in the store until it can: their keys are free meanwhile.

Of most sessions only the items are kept aside that can't be read (`parking`). This is for data that is no dict, or is
of a dict class that is gone.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable

from hotsession.lifecycle.record import Record
from hotsession.lifecycle.wording import owner, short
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.store import Store
from hotsession.snapshot.turn import Turn
from hotsession.snapshot.unpickling import Unreadable, unpickled

ASIDE = b"aside/"  # + id: pickled header and payload


class Aside:
    """What is set aside in a store. Its methods raise `SnapshotUnusable`.

    Args:
        store: where.
        notices: where it is said.
        turn: whose it is to write.
    """

    def __init__(self, store: Store, notices: Notices, turn: Turn) -> None:
        self._store = store
        self._notices = notices
        self._turn = turn
        self._headers: dict[str, Record] | None = None  # by id; read when first asked for

    def __repr__(self) -> str:
        return f"<Aside in {self._store!r}>"

    def put(self, header: Record, payload: bytes, error: Unreadable) -> None:
        """Take a session that can't be read out of the way."""
        self._notices.unreadable(whose(header), error)
        with self._turn.lock:
            if not self._turn.is_paused:
                self._store.put({_place(header.id): pickle.dumps((tuple(header), payload))})
                self._store.delete([header.id])
                self._known()[header.id] = header

    def back(self, is_meant: Callable[[Record], bool]) -> str | None:
        """Put back the first session that is meant, can be read again, and whose key is free; return its id."""
        for header in tuple(self._known().values()):
            if is_meant(header) and self._put_back(header):
                return header.id
        return None

    def count(self) -> int:
        """How many sessions are set aside."""
        return len(self._known())

    def forget(self, manager: str) -> None:
        """Drop the sessions of a manager."""
        known = self._known()
        gone = [header.id for header in known.values() if header.manager == manager]
        self._store.put({_place(id): None for id in gone})
        for id in gone:
            del known[id]

    def _put_back(self, header: Record) -> bool:
        with self._turn.lock:
            stored = self._store.get(_place(header.id))
            if self._turn.is_paused or stored is None:
                return False
            _, payload = pickle.loads(stored)
            try:
                unpickled(payload[1:])
            except Unreadable:
                return False
            if header.is_live and header.key and self._store.find_key(header.manager, header.key):
                return False
            if not self._store.write(header, payload):
                return False
            self._store.put({_place(header.id): None})
            del self._known()[header.id]
        self._notices.readable(whose(header))
        return True

    def _known(self) -> dict[str, Record]:
        if self._headers is None:
            headers = (Record(*pickle.loads(stored)[0]) for _, stored in self._store.items(ASIDE))
            self._headers = {header.id: header for header in headers}
        return self._headers


def whose(record: Record) -> str:
    """A session, for the log."""
    return f"session {short(record.id)} of {owner(record.key)}"


def _place(id: str) -> bytes:
    return ASIDE + id.encode("utf-8", "surrogatepass")
