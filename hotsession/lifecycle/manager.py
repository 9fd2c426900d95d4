"""The sessions of one name: finding, making and ending them. Knows the storage's contract, no storage and no request.

A manager is kept by the registry, so it outlives reloads: it holds its limits, its storage and the creations on their
way, is bound to no event loop, and may be called from any task or thread.
"""

from __future__ import annotations

import builtins
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from hotsession.errors import ConfigurationError
from hotsession.lifecycle import wording
from hotsession.lifecycle.beginning import DataSource, first_data
from hotsession.lifecycle.current import current_session
from hotsession.lifecycle.flight import Flights
from hotsession.lifecycle.ledger import Ledger
from hotsession.lifecycle.record import NEXT, Key, Record, can_go, checked_key, moved, new_record
from hotsession.lifecycle.session import Session
from hotsession.storages.base import Storage

logger = logging.getLogger("hotsession")

Reuse: TypeAlias = bool | Callable[[Key], bool]


class SessionManager:
    """Named sessions over a storage: at most one live one per key, whoever asks.

    Args:
        name: what it is called; sessions and keys of another name have nothing to do with these.
        storage: where the records go; several managers may share one.
        idle_timeout: seconds after its last reuse when a session expires; None for never.
        max_age: seconds after its creation when a session expires; None for never.
        reuse: whether `get_or_create` hands out the live session of a key, or a function of the key that says so.
        clock: the wall clock in seconds.

    Raises:
        ConfigurationError: the storage wants bytes, or a limit is not positive.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        storage: Storage,
        idle_timeout: float | None = None,
        max_age: float | None = None,
        reuse: Reuse = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if storage.wants_bytes:
            raise ConfigurationError(
                f"{storage!r} wants bytes, and sessions can't be turned into bytes yet: use MemoryStorage()"
            )
        self.name = name
        self.storage = storage
        self.clock = clock
        self.reuse: Reuse = True
        self.ledger = Ledger(name, storage, clock)
        self._flights: Flights[tuple[Record, bool]] = Flights()
        self.configure(idle_timeout=idle_timeout, max_age=max_age, reuse=reuse)

    def __repr__(self) -> str:
        return (
            f"<SessionManager {self.name!r} idle_timeout={self.idle_timeout} max_age={self.max_age} {self.storage!r}>"
        )

    @property
    def idle_timeout(self) -> float | None:
        """Seconds after its last reuse when a session expires; None for never."""
        return self.ledger.limits.idle_timeout

    @property
    def max_age(self) -> float | None:
        """Seconds after its creation when a session expires; None for never."""
        return self.ledger.limits.max_age

    def configure(
        self, *, idle_timeout: float | None = None, max_age: float | None = None, reuse: Reuse | None = None
    ) -> None:
        """Change what is said here; None leaves a thing as it is.

        New limits count for sessions that are made, reused or saved from now on; the others keep their time till then.

        Args:
            idle_timeout: seconds after its last reuse when a session expires; ``float("inf")`` takes a limit away.
            max_age: seconds after its creation, likewise.
            reuse: a bool or a function of the key.

        Raises:
            ConfigurationError: a limit is not positive.
        """
        self.ledger.limits = self.ledger.limits.changed(idle_timeout=idle_timeout, max_age=max_age)
        if reuse is not None:
            self.reuse = reuse

    # finding and making

    async def get_or_create(
        self,
        key: Key | None = None,
        *,
        session_id: str | None = None,
        force_new: bool = False,
        data: DataSource | None = None,
    ) -> Session:
        """Return the live session of `key`, or make one. Concurrent calls for a key get the same session.

        Args:
            key: whom it belongs to: a string or a tuple of strings. None is the browser's session inside a request, if
                it is one of this manager, else a new anonymous one.
            session_id: the one wanted; it is never made. With a key, it must be the key's.
            force_new: end the live session of the key, with the reason ``replaced``, and make a new one. With None as
                key: a new anonymous one, also inside a request.
            data: what a new one starts with: a dict, or a function or coroutine function without arguments that
                returns one and is called once per creation, by whoever comes first. It runs in a task of its own. If it
                fails, all who wait get the error and the next call tries again.

        Returns:
            The session; `reused` is False for the caller who made it.

        Raises:
            SessionNotFound: no session goes by `session_id`.
            SessionExpired: its time is over.
            SessionMismatch: it belongs to another key.
            InvalidTransition: it is ended.
            TypeError: the key or the data is of a wrong type.
        """
        if key is not None:
            checked_key(key)
        if session_id is not None:
            if force_new:
                raise ConfigurationError("session_id= asks for a session that is there, force_new= for one that is not")
            return await self._reuse_id(session_id, key)
        if key is None:
            return await self._own_or_anonymous(force_new, data)
        fresh = force_new or not self._reuses(key)
        if not fresh and (record := await self.ledger.find(key)) is not None:
            return _reused(record)
        while True:
            (record, created), mine = await self._flights.run(key, lambda: self._create(key, fresh, data))
            if created or not fresh:  # else it joined a call that found one
                if not mine:  # let the storage know that this caller has it, too
                    await self.storage.get(record.id)
                return Session(record, reused=not (created and mine))

    def waiting(self, key: Key) -> int:
        """How many callers wait for the session of `key` that is just being made."""
        return self._flights.waiting(key)

    async def get(self, id: str) -> Session:
        """Return the session with this id, whatever its state, without counting as a reuse.

        Raises:
            SessionNotFound: there is none.
            SessionExpired: its time is over.
        """
        return Session(await self.ledger.unexpired(id), reused=True)

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
        if status is not None and status not in NEXT:
            raise ValueError(f"no session is ever {status!r}: the states are {', '.join(sorted(NEXT))}")
        if limit is not None and limit < 0:
            raise ValueError(f"limit={limit}: ask for 0 or more sessions")
        if key is not None:
            checked_key(key)
        records = await self.storage.list(self.name, self.clock(), status=status, key=key, limit=limit)
        return [Session(record, reused=True) for record in records]

    async def count(self) -> int:
        """How many live sessions there are, those included whose time is over without anybody having noticed."""
        return await self.storage.count(self.name)

    # changing

    async def save(self, session: Session) -> None:
        """Write a session down now; one that is not stored yet is stored.

        Args:
            session: what to write: its `data`, and from now on a new version and expiry.

        Raises:
            SessionConflict: somebody else wrote it since it was read. Where callers share the live data, nothing of
                theirs can get lost, and there is no conflict.
            SessionExpired: its time is over.
            InvalidTransition: it is ended.
        """
        session._record = await self.ledger.save(session.record, session.data)

    async def end(self, session: Session | str, *, reason: str | None = None) -> Session:
        """End a session: it is never reused again, and no cookie opens it.

        Args:
            session: the session or its id.
            reason: why, for listings.

        Returns:
            The ended session.

        Raises:
            SessionNotFound: there is none.
            SessionExpired: its time is over.
            InvalidTransition: it is ended already.
        """
        view = session if isinstance(session, Session) else await self.get(session)
        while True:
            record, now = view.record, self.clock()
            if record.version:
                record = await self.ledger.unexpired(record.id)
            if not can_go(record, "ended"):
                raise wording.forbidden(record, "ended", now, await self.ledger.live_ids(record.key))
            ended = moved(record, "ended", now, reason)
            if record.version == 0 or await self.storage.replace(ended):
                break
        view._record = ended
        logger.info("ended session %s of %s", wording.short(ended.id), wording.owner(ended.key))
        return view

    # what the middleware asks for

    def draft(self, data: Any) -> Record:
        """A new anonymous session around `data` that is not stored yet; saving stores it."""
        return new_record(secrets.token_hex(16), self.name, None, data, self.clock(), self.ledger.limits)

    async def find_token(self, token_hash: bytes) -> Record | None:
        """The live record that a browser's token opens, or None. It counts as a reuse."""
        record = await self.storage.find_token(self.name, token_hash)
        if record is None or record.is_settled(self.clock(), self.ledger.limits):
            return record
        return await self.ledger.seen(record)

    # the parts

    async def _reuse_id(self, id: str, key: Key | None) -> Session:
        record = await self.storage.get(id)
        if record is None or record.manager != self.name:
            raise wording.not_found(id, self.name, key, await self.ledger.live_ids(key))
        if key is not None and record.key != key:
            raise wording.mismatch(record, key, self.clock(), await self.ledger.live_ids(key))
        record = await self.ledger.unexpired(id)
        if not record.is_live:
            raise wording.forbidden(record, "reused", self.clock(), await self.ledger.live_ids(record.key))
        return _reused(await self.ledger.seen(record) or record)

    async def _own_or_anonymous(self, force_new: bool, data: DataSource | None) -> Session:
        session = None if force_new else current_session()
        if session is not None and session.manager == self.name and session.record.is_live:
            if session.version:
                return session
            if data is not None:
                session.data.update(await first_data(data))
        else:
            session = Session(self.draft(await first_data(data)), reused=False)
        await self.save(session)
        return session

    async def _create(self, key: Key, fresh: bool, data: DataSource | None) -> tuple[Record, bool]:
        """Make the session of `key` unless somebody else just did; return it, and whether it was made."""
        holder = await self.ledger.find(key)
        if holder is not None and not fresh:
            return holder, False
        payload = await first_data(data)
        while True:
            now = self.clock()
            record = new_record(secrets.token_hex(16), self.name, key, payload, now, self.ledger.limits)
            record = record._replace(version=1)
            holder = await self.ledger.add(record, replacing=holder.id if holder is not None and fresh else None)
            if holder is None:
                return record, True
            if holder.is_expired(now):
                await self.ledger.expire(holder, now)
                holder = None
            elif not fresh:
                return holder, False

    def _reuses(self, key: Key) -> bool:
        return self.reuse(key) if callable(self.reuse) else self.reuse


def _reused(record: Record) -> Session:
    if logger.isEnabledFor(logging.DEBUG):
        text = wording.lifetime(record, record.last_seen_at)
        logger.debug("reused session %s of %s, %s", wording.short(record.id), wording.owner(record.key), text)
    return Session(record, reused=True)
