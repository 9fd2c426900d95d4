"""What can be done to a session that is there: saving it, changing it, bringing it from state to state."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from hotsession.errors import SessionConflict
from hotsession.lifecycle import wording
from hotsession.lifecycle.held import held_copy, hold
from hotsession.lifecycle.hooks import Hook
from hotsession.lifecycle.jobs import Job, Jobs, Work
from hotsession.lifecycle.ledger import Ledger, refusing
from hotsession.lifecycle.merging import apply_changes
from hotsession.lifecycle.moving import Moves
from hotsession.lifecycle.packing import Packed
from hotsession.lifecycle.record import Record
from hotsession.lifecycle.saving import bring_up, follow, keep_changes
from hotsession.lifecycle.session import Session
from hotsession.lifecycle.turns import Turns

Change: TypeAlias = (
    Callable[[dict[str, Any]], dict[str, Any] | None] | Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None]]
)


class Changing:
    """The half of a manager that changes sessions.

    Each method takes a session or its id, and raises `SessionNotFound`, `SessionExpired` or `InvalidTransition` when
    there is none, its time is over, or its state does not allow it. A session that is given is brought up to date.

    Args:
        ledger: where the sessions are.

    Attributes:
        on_create: decorator of functions, which may be coroutine functions, that are called with a session before it
            is stored.
        on_pause: likewise, before a session is paused.
        on_resume: before it is resumed.
        on_end: before it is ended, completed or failed, or replaced by a fresh one.
        on_expire: before it is noted that its time is over.
        on_interrupt: after it was noted that its work died with its process. It may `run` it again.

    What a hook raises leaves the session as it was and becomes a `HookFailed`; of `on_interrupt` it is logged.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.name = ledger.name
        self.ledger = ledger
        self.keeps_copies = ledger.packing is not None
        self._moves = Moves(ledger)
        self._jobs = Jobs(self._moves)
        self._turns = Turns("changes the session")
        hooks = self._moves.hooks
        self.on_create: Hook = hooks["on_create"]
        self.on_pause: Hook = hooks["on_pause"]
        self.on_resume: Hook = hooks["on_resume"]
        self.on_end: Hook = hooks["on_end"]
        self.on_expire: Hook = hooks["on_expire"]
        self.on_interrupt: Hook = hooks["on_interrupt"]

    async def save(self, session: Session) -> None:
        """Write a session down now; one that is not stored yet is stored.

        Args:
            session: what to write: its `data`, and from now on a new version and expiry.

        Raises:
            SessionConflict: somebody else wrote other data since it was read. Where callers share the live data,
                nothing of theirs can get lost, and there is no conflict.
            DataNotStorable: something in it can't be stored.
        """
        data = session.data
        copy = self._other_view(session)
        if copy is not None and copy.version > session.version:  # written through another view of the same data
            session._record = copy.record
        while True:
            record = session.record
            try:
                session._record = await self.ledger.save(record, data)
                break
            except SessionConflict:
                if session.record is record:
                    raise  # else another task has just saved this very copy, which is no other writer
        self._tell_copy(session)

    async def update(self, session: Session | str, change: Change) -> Session:
        """Change the data of a session as it is stored now, in one step that no other write comes between.

        Args:
            session: the session or its id.
            change: a function, which may be a coroutine function, of the data. It changes that, or returns a new dict.
                It may be called again, with newer data, when another process was faster. What it raises is raised,
                and the session is as it was.

        Returns:
            The session as it was written.

        Example:
            ``await manager.update(session, lambda data: data.update(count=data["count"] + 1))``
        """
        wanted = session if isinstance(session, str) else session.id
        if isinstance(session, Session) and not session.version:
            await self.save(session)
        async with self._turns.of(wanted):
            while True:
                record = await self.ledger.unexpired(wanted)
                if not record.is_live:
                    alternatives = await self.ledger.live_ids(record.key)
                    raise refusing(wording.forbidden(record, "updated", self.ledger.clock(), alternatives))
                self.ledger.following.touch(record)
                written = await self._changed(record, change)
                if written is not None:
                    return self._up_to_date(session, written)

    async def pause(self, session: Session | str, *, reason: str | None = None) -> Session:
        """Pause a session: `get_or_create` of its key resumes it.

        Args:
            session: the session or its id.
            reason: why, for listings.

        Raises:
            HookFailed: an `on_pause` hook failed; the session is as it was.
        """
        return await self._move(session, "paused", reason)

    async def resume(self, session: Session | str, *, reason: str | None = None) -> Session:
        """Go on with a paused session; one that is active stays so. It counts as a reuse.

        Raises:
            HookFailed: an `on_resume` hook failed; the session is as it was.
        """
        return await self._move(session, "active", reason)

    async def complete(self, session: Session | str, result: Any = None, *, reason: str | None = None) -> Session:
        """Bring a session to its good end.

        Args:
            session: the session or its id.
            result: what it came to; it can be stored as the data can.
            reason: why, for listings.

        Raises:
            HookFailed: an `on_end` hook failed; the session is as it was.
            DataNotStorable: the result can't be stored.
        """
        return await self._move(session, "completed", reason, result=result)

    async def fail(self, session: Session | str, error: BaseException | str) -> Session:
        """Bring a session to its bad end.

        Args:
            session: the session or its id.
            error: what went wrong; its text becomes the `result` and the `reason`.

        Raises:
            HookFailed: an `on_end` hook failed; the session is as it was.
        """
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        return await self._move(session, "failed", text, result=text)

    async def end(self, session: Session | str, *, reason: str | None = None) -> Session:
        """End a session: it is never reused again, and no cookie opens it.

        Raises:
            HookFailed: an `on_end` hook failed; the session is as it was.
        """
        return await self._move(session, "ended", reason)

    async def touch(self, session: Session | str) -> Session:
        """Count a reuse: the idle timeout begins anew."""
        view = await self._view(session)
        record = await self.ledger.unexpired(view.id)
        touched = await self.ledger.touch(record, self.ledger.clock()) if record.is_live else None
        if touched is None:
            record = await self.ledger.unexpired(view.id)
            alternatives = await self.ledger.live_ids(record.key)
            raise refusing(wording.forbidden(record, "touched", self.ledger.clock(), alternatives))
        if touched.version == view.version:
            view._record = touched._replace(payload=view.record.payload)
        return view

    async def run(self, session: Session | str, work: Work) -> Job:
        """Work on a session in the background, in a task of its own.

        Args:
            session: the session or its id; an interrupted one gets its next attempt, a paused one is resumed.
            work: a coroutine function of the session, or a function, which is called in a thread. The data is saved at
                its end, and when it says ``await manager.save(session)``. What it returns completes the session, what
                it raises fails it.

        Returns:
            The job, which may be awaited or cancelled, and need not be: it goes on in any case.

        Raises:
            InvalidTransition: it is over, or somebody works on it.
            MigrationFailed: an object in it could not be brought to its class as it is now.
        """
        view = await self._view(session)
        if not view.version:
            await self.save(view)
        self.ledger.following.touch(view.record)
        job = await self._jobs.begin(view, work)
        self._tell_copy(view)
        return job

    async def keep_changes(self, session: Session) -> bool:
        """Save what was changed in a copy, if anything was, together with what others changed meanwhile.

        Returns:
            Whether it was saved.
        """
        return await keep_changes(self.ledger, session)

    def bring_up(self, held: Session, session: Session) -> None:
        """Let a copy that is in hand catch up with one that was just read."""
        bring_up(self.ledger, held, session)

    # the parts

    async def _view(self, session: Session | str) -> Session:
        if isinstance(session, Session):
            return session
        record = await self.ledger.unexpired(session)
        self.ledger.following.touch_anyway(record)
        return self._in_hand(Session(record, reused=True))

    def _in_hand(self, session: Session) -> Session:
        """Have what is changed in a session saved in the end, if it is a copy."""
        if self.keeps_copies and session.record.is_live:
            hold(self, session, passes_on=False)
        return session

    def _tell_copy(self, session: Session) -> None:
        """Let the copy in hand know what was written of a session that shares its data."""
        copy = self._other_view(session)
        if copy is not None:
            copy._record = session._record

    def _other_view(self, session: Session) -> Session | None:
        """The copy in hand that shares its data with a session, if that is another one."""
        copy = held_copy(session) if self.keeps_copies else None
        return copy if copy is not None and copy is not session and copy._data is session._data else None

    async def _move(self, session: Session | str, status: str, reason: str | None, **fields: Any) -> Session:
        view = await self._view(session)
        record = view.record
        if record.version:
            await keep_changes(self.ledger, view)
            record = await self.ledger.unexpired(record.id)
        follow(self.ledger, view, await self._moves.move(record, status, reason, **fields))
        self._tell_copy(view)
        return view

    async def _changed(self, record: Record, change: Change) -> Record | None:
        """Write what a change makes of a record; None if another was faster."""
        payload = record.payload
        data = payload.load() if isinstance(payload, Packed) else payload
        before, mine = dict(data), dict(data)
        made: Any = change(mine)
        if inspect.isawaitable(made):
            made = await made
        after = mine if made is None else made
        if not isinstance(after, dict):
            raise TypeError(f"what changes a session's data returns a dict or None, and not {after!r}")
        if isinstance(payload, Packed):
            return await self.ledger.overwrite(record, after)
        apply_changes(data, before, after)  # live data, which others may have changed meanwhile
        return await self.ledger.save(record, data)

    def _up_to_date(self, session: Session | str, record: Record) -> Session:
        newer = Session(record, reused=True)
        if isinstance(session, str):
            return self._in_hand(newer)
        if not self.keeps_copies:
            session._record = record
            return session
        bring_up(self.ledger, session, newer)
        copy = held_copy(newer)
        if copy is not None and copy is not session:
            bring_up(self.ledger, copy, newer)
        return session
