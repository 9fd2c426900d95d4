"""How the session of a key comes to be: found, or made once, whoever asks. Knows no request."""

from __future__ import annotations

import secrets

import anyio

from hotsession.lifecycle.beginning import DataSource, first_data
from hotsession.lifecycle.flight import Flights
from hotsession.lifecycle.leasing import FIRST_LOOK, LONGEST_WAIT, Lease
from hotsession.lifecycle.moving import Moves
from hotsession.lifecycle.record import Key, Record, new_record
from hotsession.lifecycle.saving import keep_changes
from hotsession.lifecycle.session import Session


class Maker:
    """Makes the sessions of a ledger.

    Args:
        moves: what ends those that are replaced.
    """

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._ledger = moves.ledger
        self.flights: Flights[tuple[Record, bool]] = Flights()

    def __repr__(self) -> str:
        return f"<Maker for {self._ledger!r}>"

    async def session_of(self, key: Key, fresh: bool, data: DataSource | None) -> tuple[Record, bool]:
        """The live record of a key, and whether this call made it.

        Args:
            key: whose.
            fresh: whether it has to be a new one.
            data: what a new one starts with.
        """
        while True:
            (record, created), mine = await self.flights.run(key, lambda: self._make(key, fresh, data))
            if created or not fresh:  # else it joined a call that found one
                if not mine and self._ledger.packing is None:  # let the storage know that this caller has it, too
                    await self._ledger.storage.get(record.id)
                return record, created and mine

    async def draft(self, data: DataSource | None) -> Record:
        """A new session of nobody, to be stored."""
        record = self._new(None, await first_data(data))
        if hook := self._moves.hooks["on_create"]:
            session = Session(record, reused=False)
            await hook.call(session)
            record = record._replace(payload=session.data)
        return record

    def _new(self, key: Key | None, payload: object) -> Record:
        ledger = self._ledger
        return new_record(secrets.token_hex(16), ledger.name, key, payload, ledger.clock(), ledger.limits)

    async def _make(self, key: Key, fresh: bool, data: DataSource | None) -> tuple[Record, bool]:
        """Make the session of `key` unless somebody else just did; return it, and whether it was made."""
        holder = await self._ledger.find(key)
        if holder is not None and not fresh:
            return holder, False
        has_effects = callable(data) or self._moves.hooks["on_create"] or (holder and self._moves.hooks["on_end"])
        if not self._ledger.storage.is_shared or not has_effects:
            return await self._build(key, fresh, data, holder)
        lease, seconds = Lease(self._ledger, key), FIRST_LOOK
        while not await lease.take():
            await anyio.sleep(seconds)
            seconds = min(2 * seconds, LONGEST_WAIT)
            if not fresh and (holder := await self._ledger.find(key)) is not None:
                return holder, False
        async with lease.kept_up():
            holder = await self._ledger.find(key)
            if holder is not None and not fresh:
                return holder, False
            return await self._build(key, fresh, data, holder)

    async def _build(
        self, key: Key, fresh: bool, data: DataSource | None, holder: Record | None
    ) -> tuple[Record, bool]:
        """Make a session, and have it take its place."""
        record = self._new(key, await first_data(data))
        session = Session(record, reused=False)
        hooks = self._moves.hooks
        if not hooks["on_create"]:
            return await self._place(session, fresh, holder)
        await hooks["on_create"].call(session)
        try:
            record, created = await self._place(session, fresh, holder)
        except Exception:
            await hooks["on_end"].tell(session)  # what hangs on it must not stay
            raise
        if not created:
            await hooks["on_end"].tell(session)
        return record, created

    async def _place(self, session: Session, fresh: bool, holder: Record | None) -> tuple[Record, bool]:
        """Store a session, in place of the one that has its key if it is to be fresh; else that one is returned."""
        record, ledger = session.record, self._ledger
        payload = ledger.packed(record._replace(payload=session.data)).payload
        while True:
            begun = self._new(record.key, payload)._replace(id=record.id, version=1)
            other = await (ledger.add(begun) if holder is None else self._replace(begun, holder))
            if other is None:
                return begun, True
            if other.is_expired(begun.created_at):
                await ledger.expire(other, begun.created_at)
                holder = None
            elif fresh:
                holder = other
            else:
                return other, False

    async def _replace(self, record: Record, holder: Record) -> Record | None:
        """Store a record in place of the one that has its key; if that is another one by now, return it."""
        on_end = self._moves.hooks["on_end"]
        if not on_end:
            other = await self._ledger.add(record, replacing=holder.id)
        else:
            async with self._moves.turn(holder.id):
                stored = await self._ledger.storage.get(holder.id)
                if stored is not None and stored.is_live:
                    self._ledger.following.touch_anyway(stored)
                    old = Session(stored, reused=True)
                    await on_end.call(old)
                    await keep_changes(self._ledger, old)
                other = await self._ledger.add(record, replacing=holder.id)
        if other is None:
            self._moves.note_replaced(holder, record.created_at)
        return other
