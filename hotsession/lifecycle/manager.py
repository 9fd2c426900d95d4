"""The sessions of one name: finding, making and listing them. Knows the storage's contract, no storage and no request.

A manager is kept by the registry, so it outlives reloads: it holds its limits, its storage and the creations on their
way, is bound to no event loop, and may be called from any task or thread.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from hotsession.errors import ConfigurationError, HookFailed, InvalidTransition, SessionNotFound
from hotsession.lifecycle import wording
from hotsession.lifecycle.beginning import DataSource, first_data
from hotsession.lifecycle.changing import Changing
from hotsession.lifecycle.codec import Codec, JSONCodec
from hotsession.lifecycle.current import current
from hotsession.lifecycle.held import hold, session_in_hand
from hotsession.lifecycle.ledger import Ledger, refusing
from hotsession.lifecycle.making import Maker
from hotsession.lifecycle.packing import PackingStorage
from hotsession.lifecycle.record import Key, Record, checked_key, new_record
from hotsession.lifecycle.session import Session
from hotsession.lifecycle.telling import Telling
from hotsession.lifecycle.upkeep import Upkeep
from hotsession.storages.base import Storage

logger = logging.getLogger("hotsession")

Reuse: TypeAlias = bool | Callable[[Key], bool]

SAY_REUSED_EVERY = 1.0  # seconds between two lines that say that one session was reused


class SessionManager(Changing, Telling):
    """Named sessions over a storage: at most one live one per key, whoever asks.

    Args:
        name: what it is called; sessions and keys of another name have nothing to do with these.
        storage: where the records go; several managers may share one.
        idle_timeout: seconds after its last reuse when a session expires; None for never.
        max_age: seconds after its creation when a session expires; None for never.
        reuse: whether `get_or_create` hands out the live session of a key, or a function of the key that says so.
        grace: seconds for which sessions that are over can still be found.
        codec: how data becomes bytes where the storage wants bytes; `JSONCodec` when left out.
        types: dataclasses, pydantic models and Enums that the data may hold, where the codec is a `JSONCodec`.
        clock: the wall clock in seconds.

    Raises:
        ConfigurationError: a limit is not positive, or the codec takes no types.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        storage: Storage,
        idle_timeout: float | None = None,
        max_age: float | None = None,
        reuse: Reuse = True,
        grace: float | None = None,
        codec: Codec | None = None,
        types: Iterable[type] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.storage = storage
        self.clock = clock
        self.reuse: Reuse = True
        ledger = Ledger(name, PackingStorage(storage, JSONCodec()) if storage.wants_bytes else storage, clock)
        Changing.__init__(self, ledger)
        Telling.__init__(self, ledger, Upkeep(ledger, storage, self._jobs))
        self._maker = Maker(self._moves)
        self._told = ("", 0.0)  # of which reuse a line was last logged, and when
        self.configure(idle_timeout=idle_timeout, max_age=max_age, reuse=reuse, grace=grace, codec=codec, types=types)

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

    @property
    def grace(self) -> float:
        """Seconds for which sessions that are over can still be found."""
        return self._upkeep.grace

    def configure(
        self,
        *,
        idle_timeout: float | None = None,
        max_age: float | None = None,
        reuse: Reuse | None = None,
        grace: float | None = None,
        codec: Codec | None = None,
        types: Iterable[type] = (),
    ) -> None:
        """Change what is said here; what is left out stays as it is.

        New limits count for sessions that are made, reused or saved from now on; the others keep their time till then.

        Args:
            idle_timeout: seconds after its last reuse when a session expires; ``float("inf")`` takes a limit away.
            max_age: seconds after its creation, likewise.
            reuse: a bool or a function of the key.
            grace: seconds for which sessions that are over can still be found.
            codec: how data becomes bytes from now on, which has to read what is stored.
            types: classes that the data may hold, besides those said before.

        Raises:
            ConfigurationError: a limit is not positive, or the codec takes no types.
        """
        if self.ledger.packing is not None:
            self.ledger.packing.configure(codec, types)
        self.ledger.limits = self.ledger.limits.changed(idle_timeout=idle_timeout, max_age=max_age)
        if reuse is not None:
            self.reuse = reuse
        if grace is not None:
            if not grace >= 0:
                raise ConfigurationError(f"grace={grace}: it is a number of seconds, 0 or more")
            self._upkeep.grace = grace

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

        A paused one is resumed. Inside a request, a connection or a job, who asks for a session again gets what his
        caller has: the same data, with what was changed in it.

        Args:
            key: whom it belongs to: a string or a tuple of strings. None is the session of this manager that the
                request, connection or job has: the browser's if it is of this manager, or else the one it asked for.
                Elsewhere it is a new anonymous one.
            session_id: the one wanted; it is never made. With a key, it must be the key's.
            force_new: end the live session of the key, with the reason ``replaced``, and make a new one. With None as
                key: a new anonymous one, also inside a request.
            data: what a new one starts with: a dict, or a function or coroutine function without arguments that
                returns one and is called once per creation, by whoever comes first, across processes too. It runs in a
                task of its own. If it fails, all who wait get the error and the next call tries again.

        Returns:
            The session; `reused` is False for the caller who made it.

        Raises:
            SessionNotFound: no session goes by `session_id`.
            SessionExpired: its time is over.
            SessionMismatch: it belongs to another key.
            SessionError: key is None, and the request has several sessions of this manager.
            InvalidTransition: it is ended.
            MigrationFailed: an object in it could not be brought to its class as it is now; it is as it was.
            HookFailed: an `on_create` or `on_resume` hook failed, or an `on_end` hook of the one to be replaced.
            TypeError: the key or the data is of a wrong type.
        """
        if self._upkeep.begun is None:
            self._upkeep.begin()
        if key is not None:
            checked_key(key)
        if session_id is not None:
            if force_new:
                raise ConfigurationError("session_id= asks for a session that is there, force_new= for one that is not")
            return self._given(await self._by_id(session_id, key), reused=True)
        if key is None:
            return await self._own_or_anonymous(force_new, data)
        fresh = force_new or not (self.reuse(key) if callable(self.reuse) else self.reuse)
        while True:
            record, made = None if fresh else await self.ledger.find(key), False
            if record is None:
                record, made = await self._maker.session_of(key, fresh, data)
            resumed = await self._resumed(record)
            if resumed is not None:
                return self._given(resumed, reused=not made)

    def waiting(self, key: Key) -> int:
        """How many callers wait for the session of `key` that is just being made."""
        return self._maker.flights.waiting(key)

    async def get(self, id: str) -> Session:
        """Return the session with this id, whatever its state, without counting as a reuse.

        Raises:
            SessionNotFound: there is none.
            SessionExpired: its time is over.
            MigrationFailed: an object in it could not be brought to its class as it is now.
        """
        self._upkeep.begin()
        record = await self.ledger.unexpired(id)
        self.ledger.following.touch(record)
        return self._in_hand(Session(record, reused=True))

    # what the middleware asks for

    def draft(self, data: Any) -> Record:
        """A new anonymous session around `data` that is not stored yet; saving stores it."""
        return new_record(secrets.token_hex(16), self.name, None, data, self.clock(), self.ledger.limits)

    async def find_token(self, token_hash: bytes) -> Record | None:
        """The live record that a browser's token opens, or None. It counts as a reuse."""
        if self._upkeep.begun is None:
            self._upkeep.begin()
        record = await self.ledger.storage.find_token(self.name, token_hash)
        if record is not None:
            self.ledger.following.touch(record)
        if record is None or record.is_settled(self.clock(), self.ledger.limits):
            return record
        try:
            return await self.ledger.seen(record)
        except HookFailed as error:  # its time is over in any case
            logger.exception("%s", error)
            return None

    async def find_carried(self, id: str) -> Record | None:
        """The live record with an id that a connection of its browser has had, or None; no token was shown for it."""
        record = await self.ledger.storage.get(id)
        return None if record is None or not record.is_live or record.is_expired(self.clock()) else record

    # the parts

    async def _resumed(self, record: Record) -> Record | None:
        """A record that was found by its key, resumed if it is paused; None if it was over before it could be."""
        if record.status != "paused":
            return record
        try:
            return await self._moves.move(record, "active")
        except (InvalidTransition, SessionNotFound):  # somebody ended it since it was found
            return None

    async def _by_id(self, id: str, key: Key | None) -> Record:
        ledger = self.ledger
        record = await ledger.storage.get(id)
        if record is None or record.manager != self.name:
            raise refusing(wording.not_found(id, self.name, key, await ledger.live_ids(key)))
        if key is not None and record.key != key:
            raise refusing(wording.mismatch(record, key, self.clock(), await ledger.live_ids(key)))
        record = await ledger.unexpired(id)
        if not record.is_live:
            raise refusing(wording.forbidden(record, "reused", self.clock(), await ledger.live_ids(record.key)))
        if record.status == "paused":
            return await self._moves.move(record, "active")
        return await ledger.seen(record) or record

    async def _own_or_anonymous(self, force_new: bool, data: DataSource | None) -> Session:
        own = None if force_new else session_in_hand(self.name)
        if own is not None and own.version:
            return own
        if own is None:
            session = Session(await self._maker.draft(data), reused=False)
        else:
            session = own
            if data is not None:
                session.data.update(await first_data(data))
        await self.save(session)
        return session if session is own else self._held(session)

    def _given(self, record: Record, *, reused: bool) -> Session:
        self.ledger.following.touch(record)
        if reused:
            self.ledger.figures.reused += 1
            if logger.isEnabledFor(logging.INFO):
                self._say_reused(record)
        return self._held(Session(record, reused=reused))

    def _held(self, session: Session) -> Session:
        if self.keeps_copies or current.get() is not None:
            hold(self, session, passes_on=True)
        return session

    def _say_reused(self, record: Record) -> None:
        """Log a reuse, but not each of the many that a busy page makes of one session."""
        now = self.clock()
        last, at = self._told
        level = logging.DEBUG if last == record.id and 0 <= now - at < SAY_REUSED_EVERY else logging.INFO
        if level == logging.INFO:
            self._told = record.id, now
        text = wording.lifetime(record, record.last_seen_at)
        logger.log(level, "reused session %s of %s, %s", wording.short(record.id), wording.owner(record.key), text)
