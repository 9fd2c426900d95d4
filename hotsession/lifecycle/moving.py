"""Sessions going from state to state: the app's hooks first, then the state is written. Knows no request.

A hook is called once, however many ask for the same at once: in this process by a single flight, and across processes
under a claim of the storage.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hotsession.errors import HookFailed
from hotsession.lifecycle import wording
from hotsession.lifecycle.flight import Flights
from hotsession.lifecycle.hooks import Hook
from hotsession.lifecycle.leasing import Lease
from hotsession.lifecycle.ledger import Ledger, refusing
from hotsession.lifecycle.limits import expiry
from hotsession.lifecycle.record import Record, can_go, moved
from hotsession.lifecycle.saving import keep_changes
from hotsession.lifecycle.session import Session
from hotsession.lifecycle.turns import Turns

logger = logging.getLogger("hotsession")

MOMENTS = {
    "paused": "on_pause",
    "active": "on_resume",
    "ended": "on_end",
    "completed": "on_end",
    "failed": "on_end",
    "expired": "on_expire",
    "interrupted": "on_interrupt",
}  # state -> the hook for going there
SAID = {"active": "resumed"}  # how the log calls it, where it is not the state


class Moves:
    """Brings the sessions of a ledger from state to state.

    Args:
        ledger: where they are.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.hooks = {moment: Hook(moment) for moment in ("on_create", *MOMENTS.values())}
        self._flights: Flights[Record] = Flights()
        self._turns = Turns("moves the session")
        ledger.before_expiry = self._before_expiry

    def __repr__(self) -> str:
        return f"<Moves of {self.ledger!r}>"

    async def move(self, record: Record, status: str, reason: str | None = None, **fields: Any) -> Record:
        """Bring a session into a state.

        Args:
            record: as it was read.
            status: the state.
            reason: why, for listings.
            fields: of the record, that are new with it.

        Returns:
            The record as it was written.

        Raises:
            InvalidTransition: the rules don't allow it.
            SessionNotFound, SessionExpired: it is gone, or its time is over.
            HookFailed: a hook failed; the session is as it was.
        """
        if not self.hooks[MOMENTS[status]]:
            return await self._write(record, status, reason, fields)
        moving, _ = await self._flights.run(
            (record.id, status), lambda: self._after_hooks(record, status, reason, fields)
        )
        return moving

    async def _after_hooks(self, record: Record, status: str, reason: str | None, fields: dict[str, Any]) -> Record:
        async with self.turn(record.id):
            if record.version:
                record = await self.ledger.unexpired(record.id)
            if status == record.status == "active":  # another process has just resumed it
                return record
            await self._check(record, status)
            self.ledger.following.touch_anyway(record)
            session = Session(record, reused=True)
            try:
                await self.hooks[MOMENTS[status]].call(session)
            except HookFailed:
                if status == "active":
                    self.ledger.figures.count("unrecovered")
                raise
            await keep_changes(self.ledger, session)
            return await self._write(session.record, status, reason, fields)

    @asynccontextmanager
    async def turn(self, id: str) -> AsyncIterator[None]:
        """Let nobody else call the hooks of a session during the block."""
        async with self._turns.of(id):
            if not self.ledger.storage.is_shared:
                yield
                return
            async with Lease(self.ledger, ("hotsession moves", id)):
                yield

    async def _write(self, record: Record, status: str, reason: str | None, fields: dict[str, Any]) -> Record:
        """Write a record in its new state, over whatever others write meanwhile."""
        while True:
            now = self.ledger.clock()
            if record.is_expired(now) and record.version:
                record = await self.ledger.unexpired(record.id)
            if status == record.status == "active":
                return record
            await self._check(record, status)
            resumed: dict[str, Any] = {}
            if status == "active":  # counts as a reuse
                at = expiry(record.created_at, record.token_expires_at, now, self.ledger.limits)
                if at is not None and at <= now:
                    late = record._replace(expires_at=at)
                    raise refusing(wording.expired(late, now, await self.ledger.live_ids(record.key)))
                resumed = {"last_seen_at": now, "expires_at": at}
            following = moved(record, status, now, reason, **{**resumed, **fields})
            if record.version == 0 or await self.ledger.storage.replace(following):
                self._note(record, following)
                return following
            record = await self.ledger.unexpired(record.id)

    async def _check(self, record: Record, status: str) -> None:
        if not can_go(record, status):
            alternatives = await self.ledger.live_ids(record.key)
            raise refusing(wording.forbidden(record, SAID.get(status, status), self.ledger.clock(), alternatives))

    async def _before_expiry(self, record: Record) -> None:
        hook = self.hooks["on_expire"]
        if hook:
            await self._flights.run((record.id, "expired"), lambda: self._tell_of_expiry(record))

    async def _tell_of_expiry(self, record: Record) -> Record:
        async with self.turn(record.id):
            stored = await self.ledger.storage.get(record.id)
            if stored is not None and stored.version == record.version and stored.is_live:
                self.ledger.following.touch_anyway(stored)
                await self.hooks["on_expire"].call(Session(stored, reused=True))
            return record

    def note_replaced(self, record: Record, now: float) -> None:
        """Count and log that another took the place of a record."""
        self.ledger.figures.note_end("replaced", now - record.created_at)
        _log("ended", record._replace(reason="replaced", status="ended"), now)

    def _note(self, before: Record, record: Record) -> None:
        """Count it and log it."""
        figures, now = self.ledger.figures, record.updated_at
        if record.status in ("ended", "completed", "failed"):
            figures.note_end(record.status, now - record.created_at)
        else:
            figures.count("rerun" if before.status == "interrupted" else SAID.get(record.status, record.status))
        _log(SAID.get(record.status, record.status), record, now)


def _log(what: str, record: Record, now: float) -> None:
    why = f" ({record.reason})" if record.reason else ""
    text = wording.lifetime(record, now) if record.is_live else f"{wording.span(now - record.created_at)} old"
    logger.info("%s session %s of %s%s, %s", what, wording.short(record.id), wording.owner(record.key), why, text)
