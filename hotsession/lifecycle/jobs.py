"""Jobs: work on a session in a task of its own, which outlives whoever began it.

The session says which process works on it and how often that was begun. When the work returns, the session is completed
with what it returned; when it raises, failed. When its process or event loop ends under it, it becomes interrupted,
once, and the app's hooks decide whether it is run again.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, TypeAlias

import anyio
import anyio.to_thread

from hotsession.errors import HotsessionError, InvalidTransition, SessionNotFound
from hotsession.lifecycle import wording
from hotsession.lifecycle.current import Visit, current
from hotsession.lifecycle.held import Held, current_task
from hotsession.lifecycle.ledger import refusing
from hotsession.lifecycle.limits import expiry
from hotsession.lifecycle.moving import Moves
from hotsession.lifecycle.record import Record, moved
from hotsession.lifecycle.saving import follow, keep_changes
from hotsession.lifecycle.session import Session
from hotsession.lifecycle.worker import is_gone, this_worker
from hotsession.loops import Waiter

Work: TypeAlias = Callable[[Session], Awaitable[Any]] | Callable[[Session], Any]

logger = logging.getLogger("hotsession")

# Ids of the sessions that tasks of this process work on; a forked child has its parent's, under another worker's name.
_at_work: dict[str, str] = {}


class Job:
    """Work that is under way on a session. Awaiting it waits until it is done.

    Args:
        session: what is worked on; its status, `result` and `reason` tell what came of it.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._lock = threading.Lock()
        self._waiters: list[Waiter] | None = []  # None: it is done
        self._cancel: Callable[[], object] | None = None
        self._is_cancelled = False

    def __repr__(self) -> str:
        return f"<Job on {self.session!r} {'done' if self.done() else 'under way'}>"

    def done(self) -> bool:
        """Whether the work has ended, well or not."""
        return self._waiters is None

    async def wait(self) -> Session:
        """Wait until the work has ended, from whatever event loop, and return the session as it is then.

        It raises nothing of what the work raised: the session has failed then.
        """
        waiter = Waiter()
        with self._lock:
            is_done = self._waiters is None
            if self._waiters is not None:
                self._waiters.append(waiter)
        if not is_done:
            await waiter.wait()
        return self.session

    def __await__(self) -> Generator[Any, None, Session]:
        return self.wait().__await__()

    def cancel(self) -> None:
        """Stop the work, from its own event loop: its session becomes interrupted."""
        self._is_cancelled = True
        if self._cancel is not None:
            self._cancel()

    def _land(self) -> None:
        with self._lock:
            waiters, self._waiters = self._waiters or [], None
        for waiter in waiters:
            waiter.wake()


class JobVisit:
    """A job as it looks to sessions: its session is the current one, and what it asks for is saved at its end."""

    def __init__(self, session: Session) -> None:
        self.outer: Visit | None = None
        self.session = session
        self.manager = session.manager
        self.accessed = self.modified = self.unsaved = self.is_over = False
        self.held: Held | None = None
        self.task = current_task()
        self.data = session.data

    def __repr__(self) -> str:
        return f"<JobVisit {self.session!r}>"

    def hold_copies(self) -> None:
        """Nothing: whether there are any is looked at in the end."""

    def go_on(self) -> None:
        """Nothing: with its job a session is over."""


class Jobs:
    """Begins jobs on the sessions of a ledger, and notes which of them died.

    Args:
        moves: what brings sessions from state to state.
    """

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._ledger = moves.ledger

    def __repr__(self) -> str:
        return f"<Jobs of {self._ledger!r}>"

    async def begin(self, session: Session, work: Work) -> Job:
        """Begin a job; its session is written down as worked on before this returns."""
        record = session.record
        if record.version:
            await keep_changes(self._ledger, session)
        follow(self._ledger, session, await self._enter(session.record))
        job = Job(session)
        _at_work[session.id] = this_worker()
        _start(job, partial(self._do, job, work))
        return job

    async def tidy(self) -> list[Session]:
        """Note which jobs died, tell the app of them, and return their sessions."""
        dead = [each for each in await self._ledger.storage.running(self._ledger.name) if _is_dead(each)]
        told = [await self._interrupt(record, "its process ended") for record in dead]
        return [session for session in told if session is not None]

    async def stay(self) -> None:
        """Keep those from expiring idle that this process works on."""
        now = self._ledger.clock()
        for record in await self._ledger.storage.running(self._ledger.name):
            if record.id in _at_work and not record.is_expired(now):
                await self._ledger.touch(record, now)

    async def _enter(self, record: Record) -> Record:
        """Write down that this process works on a session."""
        while True:
            if record.version:
                record = await self._ledger.unexpired(record.id)
            now = self._ledger.clock()
            if record.worker is not None and not _is_dead(record):
                raise refusing(wording.busy(record, now))
            if not record.is_live and record.status != "interrupted":
                alternatives = await self._ledger.live_ids(record.key)
                raise refusing(wording.forbidden(record, "worked on", now, alternatives))
            if record.status == "paused":
                record = await self._moves.move(record, "active")
            at = expiry(record.created_at, record.token_expires_at, now, self._ledger.limits)
            if at is not None and at <= now:  # interrupted ones don't expire, but are as old as they are
                late = record._replace(expires_at=at)
                raise refusing(wording.expired(late, now, await self._ledger.live_ids(record.key)))
            again = record.status == "interrupted" or record.worker is not None
            following = moved(
                record,
                "active",
                now,
                worker=this_worker(),
                attempt=record.attempt + again,
                last_seen_at=now,
                expires_at=at,
            )
            if await self._ledger.storage.replace(following):
                if again:
                    self._ledger.figures.count("rerun")
                text = f"session {wording.short(record.id)} of {wording.owner(record.key)}, attempt {following.attempt}"
                logger.info("began work on %s", text)
                return following

    async def _do(self, job: Job, work: Work) -> None:
        """Do the work and write down what came of it."""
        session = job.session
        visit = JobVisit(session)
        current.set(visit)
        try:
            await self._settle(session, *await _outcome(work, session))
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._guarded(partial(self._stop, job))
            raise
        finally:
            visit.is_over = True
            _at_work.pop(session.id, None)
            if visit.held is not None:
                with anyio.CancelScope(shield=True):
                    await visit.held.finish()
            job._land()

    async def _settle(self, session: Session, result: Any, error: Exception | None) -> None:
        async def settle() -> None:
            await keep_changes(self._ledger, session)
            if error is None:
                session._record = await self._moves.move(session.record, "completed", result=result, worker=None)
            else:
                session._record = await self.fail(session.record, error)

        await self._guarded(settle)

    async def fail(self, record: Record, error: BaseException | str) -> Record:
        """Bring a session into the state ``failed``, with what is said of the error."""
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        return await self._moves.move(record, "failed", text, result=text, worker=None)

    async def _stop(self, job: Job) -> None:
        """Save what was done; who finds it next, maybe another process, notes that it was interrupted."""
        session = job.session
        await keep_changes(self._ledger, session)
        if not job._is_cancelled:  # the event loop ends, and hooks have no place to run it again
            return
        stopped = await self._interrupt(await self._ledger.unexpired(session.id), "its work was stopped")
        if stopped is not None:
            session._record = stopped.record

    async def _guarded(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do what nobody is left to be told of, and log what goes wrong."""
        try:
            await step()
        except (InvalidTransition, SessionNotFound) as error:
            logger.info("a session was over before the work on it: %s", error)
        except HotsessionError as error:
            logger.exception("what came of a job could not be written down: %s", error)

    async def _interrupt(self, record: Record, why: str) -> Session | None:
        if not record.is_live or record.worker is None:
            return None
        now = self._ledger.clock()
        over = moved(record, "interrupted", now, why)
        if not await self._ledger.storage.replace(over):  # another process noted it, or wrote it
            return None
        self._ledger.figures.count("interrupted")
        text = f"session {wording.short(record.id)} of {wording.owner(record.key)}, attempt {record.attempt}: {why}"
        logger.warning("interrupted %s", text)
        session = Session(over, reused=True)
        await self._moves.hooks["on_interrupt"].tell(session)
        return session


async def _outcome(work: Work, session: Session) -> tuple[Any, Exception | None]:
    """What the work returned or raised."""
    try:
        if inspect.iscoroutinefunction(work) or inspect.iscoroutinefunction(getattr(work, "__call__", None)):  # noqa: B004
            return await work(session), None
        result = await anyio.to_thread.run_sync(work, session)  # a plain function would hold up the event loop
        return (await result if inspect.isawaitable(result) else result), None
    except Exception as error:
        text = f"session {wording.short(session.id)} of {wording.owner(session.key)}"
        logger.exception("the work on %s failed", text)
        return None, error


def _is_dead(record: Record) -> bool:
    """Whether what worked on a session is known to have ended."""
    worker = record.worker
    if worker is None:
        return False
    if worker == this_worker():
        return _at_work.get(record.id) != worker
    return is_gone(worker)


_tasks: set[asyncio.Task[None]] = set()


def _start(job: Job, run: Callable[[], Any]) -> None:
    """Run a job in a task that outlives the caller, on asyncio or trio."""
    context = contextvars.copy_context()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules["trio"]

        async def cancellable() -> None:
            with trio.CancelScope() as scope:
                job._cancel = scope.cancel
                await run()

        trio.lowlevel.spawn_system_task(cancellable, context=context)
    else:
        task = loop.create_task(run(), context=context)
        job._cancel = task.cancel
        _tasks.add(task)  # the loop itself holds its tasks only weakly
        task.add_done_callback(_tasks.discard)
