"""What a manager tells of its sessions: lists, counts, what changed, figures; and noting which are over."""

from __future__ import annotations

import builtins
from typing import NamedTuple

import anyio

from hotsession.lifecycle.ledger import Ledger
from hotsession.lifecycle.metrics import Metrics
from hotsession.lifecycle.record import NEXT, Key, checked_key
from hotsession.lifecycle.session import Session
from hotsession.lifecycle.upkeep import Upkeep
from hotsession.storages.base import Watches

POLL_SECONDS = 0.25  # how often a storage is asked what changed that can't tell by itself


class SessionChanges(NamedTuple):
    """What was written after a position.

    Args:
        sessions: each changed session once, as it is now, behind the number of its last write.
        position: what to ask for next.
        complete: False when some may be missing: then only a list tells what there is.
    """

    sessions: list[tuple[int, Session]]
    position: int
    complete: bool


class Telling:
    """The half of a manager that tells of sessions.

    Args:
        ledger: where they are.
        upkeep: what notes which are over.
    """

    def __init__(self, ledger: Ledger, upkeep: Upkeep) -> None:
        self.ledger = ledger
        self._upkeep = upkeep

    async def list(
        self, status: str | None = None, key: Key | None = None, limit: int | None = None
    ) -> builtins.list[Session]:
        """The sessions of this manager, newest first.

        Args:
            status: only those in this state.
            key: only those of this key.
            limit: at most so many.

        Raises:
            ValueError: there is no such status, or the limit is negative.
        """
        self._upkeep.begin()
        _check_status(status)
        if limit is not None and limit < 0:
            raise ValueError(f"limit={limit}: ask for 0 or more sessions")
        if key is not None:
            checked_key(key)
        records = await self.ledger.storage.list(
            self.ledger.name, self.ledger.clock(), status=status, key=key, limit=limit
        )
        return [Session(self.ledger.following.lazily(record), reused=True) for record in records]

    async def count(self, status: str | None = None) -> int:
        """How many sessions are in a state, or live if none is said, those included whose end nobody has noticed."""
        _check_status(status)
        return await self._upkeep.storage.count(self.ledger.name, status)

    async def changes(self, after: int | None, limit: int = 100) -> SessionChanges:
        """What was written to the sessions of this manager after a position.

        Args:
            after: a position that was given before; None to learn where it stands now.
            limit: at most so many sessions.
        """
        self._upkeep.begin()
        found = await self.ledger.storage.changes(self.ledger.name, after, limit)
        follow = self.ledger.following.lazily
        sessions = [(number, Session(follow(record), reused=True)) for number, record in found.records]
        return SessionChanges(sessions, found.position, found.complete)

    async def changed(self, after: int, seconds: float) -> None:
        """Return when something was written after a position, or the time is over."""
        if isinstance(self._upkeep.storage, Watches):
            return await self._upkeep.storage.changed(self.ledger.name, after, seconds)
        with anyio.move_on_after(seconds):
            while (await self._upkeep.storage.changes(self.ledger.name, after, 1)).position <= after:  # noqa: ASYNC110
                await anyio.sleep(POLL_SECONDS)
        return None

    async def expire(self) -> builtins.list[Session]:
        """Note now all sessions whose time is over, and return them; it is also done in the background.

        One whose `on_expire` hook fails stays as it is; that is logged, and tried again later.
        """
        return await self._upkeep.expire()

    async def metrics(self) -> Metrics:
        """What happened to the sessions of this manager since this process began to use it, and how many there are."""
        counts = {status: await self._upkeep.storage.count(self.ledger.name, status) for status in NEXT}
        live = await self._upkeep.storage.count(self.ledger.name)
        return self.ledger.figures.metrics(live, {status: count for status, count in counts.items() if count})


def _check_status(status: str | None) -> None:
    if status is not None and status not in NEXT:
        raise ValueError(f"no session is ever {status!r}: the states are {', '.join(sorted(NEXT))}")
