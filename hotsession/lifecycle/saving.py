"""Saving what was changed in a copy, together with what others changed meanwhile. Knows no request."""

from __future__ import annotations

import logging

from hotsession.errors import InvalidTransition, SessionConflict, SessionNotFound
from hotsession.lifecycle import wording
from hotsession.lifecycle.ledger import Ledger
from hotsession.lifecycle.merging import changed_keys, merged, put_into
from hotsession.lifecycle.packing import Packed
from hotsession.lifecycle.record import Deferred, Record
from hotsession.lifecycle.session import Session
from hotsession.lifecycle.token import Token

logger = logging.getLogger("hotsession")


def changes_in(ledger: Ledger, session: Session) -> Packed | None:
    """The data of a copy, packed, if it was changed since it was read.

    Raises:
        DataNotStorable: something in it can't be stored.
    """
    payload = session.record.payload
    data = None if ledger.packing is None else session.looked_at()
    if ledger.packing is None or data is None:
        return None
    packed = ledger.packing.pack(data)
    return None if isinstance(payload, Packed) and payload.content == packed.content else packed


async def keep_changes(ledger: Ledger, session: Session, token: Token | None = None) -> bool:
    """Save what was changed in a copy, if anything was, together with what others changed otherwise meanwhile.

    Of keys that both changed, what is stored stays, and the log says so. What was changed in a session that was over
    before is lost, and the log says that too.

    Args:
        ledger: where it is stored.
        session: the copy.
        token: what the middleware gives the browser with this answer; it is saved with that also unchanged.

    Returns:
        Whether it was saved.

    Raises:
        StorageError: it can't be stored.
    """
    packed = changes_in(ledger, session)
    while packed is not None or token is not None:
        record = session.record
        try:
            session._record = await ledger.save(record, packed or record.payload, token)
        except SessionConflict:
            try:
                if session.record is record:  # else another task has just saved this very copy
                    await _merge(ledger, session)
            except (SessionNotFound, InvalidTransition) as error:
                return _too_late(session, error)
            packed = changes_in(ledger, session)
        except (SessionNotFound, InvalidTransition) as error:
            return _too_late(session, error)
        else:
            return True
    return False


def _too_late(session: Session, error: Exception) -> bool:
    logger.info(
        "session %s was over before what was changed in it could be saved: %s", wording.short(session.id), error
    )
    return False


async def _merge(ledger: Ledger, session: Session) -> None:
    """Put into a copy what others stored meanwhile."""
    stored = await ledger.unexpired(session.id)
    both, conflicts = merged(session.record.payload.load(), session.data, stored.payload.load())
    if conflicts:
        error = wording.conflict(stored, session.version, ledger.clock(), conflicts)
        logger.warning("what was stored first stays: %s", error)
    put_into(session.data, both)
    session._record = stored


def bring_up(ledger: Ledger, held: Session, newer: Session) -> None:
    """Let a copy that is in hand catch up with one just read; where both changed the same, saving it will tell."""
    before, stored = held.record, newer.record
    if stored.version <= before.version:
        return
    if not isinstance(before.payload, Packed) or isinstance(held._data, Deferred):
        held._record = stored
        held._data = newer._data if isinstance(held._data, Deferred) else held._data
        return
    if stored.payload.content != before.payload.content:
        base, theirs = before.payload.load(), stored.payload.load()
        both, conflicts = merged(base, held.data, theirs)
        if conflicts:
            return
        put_into(held.data, both if changed_keys(base, held.data) else theirs)
    held._record = stored


def follow(ledger: Ledger, session: Session, record: Record) -> None:
    """Let a session know what was written of it with the data that is stored, which may be newer than its own.

    A copy with the new version and its old data would pass for one that was changed, and put the old data back.
    """
    if ledger.packing is None or not session.version:
        session._record = record
        return
    payload = session.record.payload
    if isinstance(payload, Packed) and payload.content != record.payload.content:
        _ = session.data  # what it shares with another view is brought up in its place, for both
    bring_up(ledger, session, Session(record, reused=True))
