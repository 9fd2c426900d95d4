"""The records of one manager: reading them with an eye on the clock, noting which are over. Knows no request."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from hotsession.errors import HookFailed, SessionError
from hotsession.lifecycle import wording
from hotsession.lifecycle.following import Following
from hotsession.lifecycle.limits import Limits, expiry
from hotsession.lifecycle.merging import merged
from hotsession.lifecycle.metrics import Figures
from hotsession.lifecycle.packing import Packed, PackingStorage
from hotsession.lifecycle.record import Key, Record, can_go, moved, saved
from hotsession.lifecycle.token import Token
from hotsession.storages.base import Storage

E = TypeVar("E", bound=SessionError)

logger = logging.getLogger("hotsession")


class Ledger:
    """The records of one manager in its storage.

    Args:
        name: of the manager.
        storage: where the records are, with data that everybody shares, or packed.
        clock: the wall clock in seconds.

    Attributes:
        before_expiry: is awaited with a record whose time is over before that is noted; what it raises leaves the
            record as it is.
        packing: the storage, if it packs.
        following: what brings the objects of a session to their classes as they are now.
    """

    def __init__(self, name: str, storage: Storage | PackingStorage, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.storage = storage
        self.clock = clock
        self.limits = Limits()
        self.figures = Figures(clock())
        self.before_expiry: Callable[[Record], Awaitable[None]] | None = None
        self.packing = storage if isinstance(storage, PackingStorage) else None
        self.following = Following(name, storage)

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
        return await self.touch(record, now)

    async def touch(self, record: Record, now: float) -> Record | None:
        """Write down that a live record was seen; None if it is over meanwhile."""
        expires_at = expiry(record.created_at, record.token_expires_at, now, self.limits)
        touched = await self.storage.touch(record.id, now, expires_at)
        return touched if touched is not None and touched.is_live else None

    async def add(self, record: Record, replacing: str | None = None) -> Record | None:
        """Store a new record, unless its key has a live one other than `replacing`, which is then returned."""
        holder = await self.storage.add(record, replacing=replacing)
        if holder is None:
            self.figures.note_creation(record.created_at)
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
            DataNotStorable: something in it can't be stored.
        """
        if self.packing is not None:
            payload = self.packing.pack(payload)
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
                before, record = record, await self.unexpired(record.id)
                if record.is_live and record.version != before.version and _differ(before, record, payload):
                    raise wording.conflict(record, before.version, now, _conflicts(before, record, payload))

    async def overwrite(self, record: Record, payload: Any) -> Record | None:
        """Write the next version of a live record, packed; None if somebody else wrote one meanwhile."""
        payload = payload if self.packing is None else self.packing.pack(payload)
        following = saved(record, payload, self.clock(), self.limits)
        if following is None or not await self.storage.replace(following):
            return None
        return following

    async def _reopened(self, record: Record, now: float) -> Record:
        """What is stored of a record that seems to be over, if it is live after all."""
        record = await self.unexpired(record.id)
        if not record.is_live:
            raise refusing(wording.forbidden(record, "saved", now, await self.live_ids(record.key)))
        return record

    async def unexpired(self, id: str) -> Record:
        """The record with this id, whatever its state.

        Raises:
            SessionNotFound: there is none.
            SessionExpired: its time is over.
        """
        record = await self.storage.get(id)
        if record is None or record.manager != self.name:
            raise refusing(wording.not_found(id, self.name))
        now = self.clock()
        if record.is_expired(now):
            try:
                await self.expire(record, now)
            except HookFailed as error:
                logger.exception("%s", error)
            raise refusing(wording.expired(record, now, await self.live_ids(record.key)))
        return record

    async def expire(self, record: Record, now: float) -> Record | None:
        """Note that the time of a record is over and return it so; None if another wrote it meanwhile, or noted it.

        Raises:
            HookFailed: a hook of the app's failed; the record stays as it is.
        """
        if not can_go(record, "expired"):
            return None
        if self.before_expiry is not None:
            await self.before_expiry(record)
        over = moved(record, "expired", now)
        if not await self.storage.replace(over):
            return None
        self.figures.note_end("expired", now - record.created_at)
        text = wording.lifetime(record, now)
        logger.info("expired session %s of %s, %s", wording.short(record.id), wording.owner(record.key), text)
        return over

    async def live_ids(self, key: Key | None) -> tuple[str, ...]:
        """Ids of the live sessions of `key`: one or none."""
        record = None if key is None else await self.storage.find(self.name, key)
        return () if record is None or record.is_expired(self.clock()) else (record.id,)

    def packed(self, record: Record) -> Record:
        """A new record as it is to be stored."""
        return record if self.packing is None else record._replace(payload=self.packing.pack(record.payload))


def refusing(error: E) -> E:
    """Log that somebody is refused, and return what tells him."""
    logger.info("refused: %s", error)
    return error


def _differ(before: Record, stored: Record, payload: Any) -> bool:
    """Whether somebody else stored other data than this write builds on.

    Also if it is what this write makes of it: two who count from 0 to 1 lose a count.
    """
    if isinstance(payload, Packed) and isinstance(stored.payload, Packed):
        return not isinstance(before.payload, Packed) or stored.payload.content != before.payload.content
    return stored.payload is not payload


def _conflicts(before: Record, stored: Record, payload: Any) -> tuple[str, ...]:
    """The keys that both changed, as far as that can be told."""
    if not all(isinstance(each, Packed) for each in (before.payload, stored.payload, payload)):
        return ()
    return merged(before.payload.load(), payload.load(), stored.payload.load())[1]
