"""The records of one manager: reading them with an eye on the clock, noting which are over. Knows no request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from hotsession.lifecycle import wording
from hotsession.lifecycle.limits import Limits, expiry
from hotsession.lifecycle.record import Key, Record, can_go, moved, saved
from hotsession.lifecycle.token import Token
from hotsession.storages.base import Storage

logger = logging.getLogger("hotsession")


class Ledger:
    """The records of one manager in its storage.

    Args:
        name: of the manager.
        storage: where the records are.
        clock: the wall clock in seconds.
    """

    def __init__(self, name: str, storage: Storage, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.storage = storage
        self.clock = clock
        self.limits = Limits()

    def __repr__(self) -> str:
        return f"<Ledger {self.name!r} {self.limits} {self.storage!r}>"

    async def find(self, key: Key) -> Record | None:
        """The live record of `key`, which counts as a reuse."""
        record = await self.storage.find(self.name, key)
        return None if record is None else await self.seen(record)

    async def seen(self, record: Record) -> Record | None:
        """Count a reuse of a live record; None if its time is over, which is then noted."""
        now = self.clock()
        if record.is_settled(now, self.limits):
            return record
        if record.is_expired(now):
            await self.expire(record, now)
            return None
        expires_at = expiry(record.created_at, record.token_expires_at, now, self.limits)
        touched = await self.storage.touch(record.id, now, expires_at)
        return touched if touched is not None and touched.is_live else None

    async def add(self, record: Record, replacing: str | None = None) -> Record | None:
        """Store a new record, unless its key has a live one other than `replacing`, which is then returned."""
        holder = await self.storage.add(record, replacing=replacing)
        if holder is None:
            text = wording.lifetime(record, record.created_at)
            logger.info("created session %s of %s, %s", wording.short(record.id), wording.owner(record.key), text)
        return holder

    async def save(self, record: Record, payload: Any, token: Token | None = None) -> Record:
        """Write the next version of a record and return it; the one with version 0 is added.

        Args:
            record: as it was read.
            payload: what is in the session now.
            token: what the middleware gives the browser with this answer.

        Raises:
            SessionConflict: somebody else wrote other data since it was read.
            SessionNotFound, SessionExpired, InvalidTransition: it is gone or over.
        """
        while True:
            now = self.clock()
            following = saved(record, payload, now, self.limits, token)
            if following is None:
                record = await self._reopened(record, now)
            elif record.version == 0:
                await self.add(following)
                return following
            elif await self.storage.replace(following):
                return following
            else:
                version, record = record.version, await self.unexpired(record.id)
                if record.is_live and record.version != version and record.payload is not payload:
                    raise wording.conflict(record, version, now)

    async def _reopened(self, record: Record, now: float) -> Record:
        """What is stored of a record that seems to be over, if it is live after all."""
        record = await self.unexpired(record.id)
        if not record.is_live:
            raise wording.forbidden(record, "saved", now, await self.live_ids(record.key))
        return record

    async def unexpired(self, id: str) -> Record:
        """The record with this id, whatever its state.

        Raises:
            SessionNotFound: there is none.
            SessionExpired: its time is over.
        """
        record = await self.storage.get(id)
        if record is None or record.manager != self.name:
            raise wording.not_found(id, self.name)
        now = self.clock()
        if record.is_expired(now):
            await self.expire(record, now)
            raise wording.expired(record, now, await self.live_ids(record.key))
        return record

    async def expire(self, record: Record, now: float) -> None:
        """Note that the time of a record is over; if somebody else changed it meanwhile, he has the say."""
        if can_go(record, "expired") and await self.storage.replace(moved(record, "expired", now)):
            text = wording.lifetime(record, now)
            logger.info("session %s of %s is over: %s", wording.short(record.id), wording.owner(record.key), text)

    async def live_ids(self, key: Key | None) -> tuple[str, ...]:
        """Ids of the live sessions of `key`: one or none."""
        record = None if key is None else await self.storage.find(self.name, key)
        return () if record is None or record.is_expired(self.clock()) else (record.id,)
