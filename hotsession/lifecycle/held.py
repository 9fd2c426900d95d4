"""The sessions that one request, connection, job or task has in hand: who asks for one again gets the same.

Sessions of storages that want bytes are copies. What was changed in them is saved when the request, connection, job or
task ends, and of connections before each message that tells of it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

import anyio

from hotsession.errors import HotsessionError
from hotsession.lifecycle import wording
from hotsession.lifecycle.current import Visit, current
from hotsession.lifecycle.session import Session

logger = logging.getLogger("hotsession")


class Keeper(Protocol):
    """What is asked of a manager."""

    name: str
    keeps_copies: bool

    async def keep_changes(self, session: Session) -> bool:
        """Save what was changed in a copy; whether anything was."""
        ...

    def bring_up(self, held: Session, session: Session) -> None:
        """Let a copy that is in hand catch up with one that was just read, as far as it can."""
        ...


class Held:
    """The sessions in hand, by manager and id."""

    __slots__ = ("others", "passed_on", "sessions")

    def __init__(self) -> None:
        self.sessions: dict[tuple[str, str], tuple[Keeper, Session]] = {}
        self.others: dict[int, tuple[Keeper, Session]] = {}  # further copies of these that were given by somebody
        self.passed_on: dict[str, dict[str, Session]] = {}  # those asked for by key, by manager and id

    def __repr__(self) -> str:
        return f"<Held {list(self.passed_on.values())}>"

    def take(self, keeper: Keeper, session: Session, *, passes_on: bool) -> None:
        """Take a session that was just read in hand; a copy becomes the one that is in hand already.

        Args:
            keeper: its manager.
            session: the session.
            passes_on: whether it is the one that code further down means by "the session" of that manager.
        """
        if passes_on:
            self.passed_on.setdefault(keeper.name, {})[session.id] = session
        if not keeper.keeps_copies:
            return
        _, before = self.sessions.setdefault((keeper.name, session.id), (keeper, session))
        if before is not session:
            keeper.bring_up(before, session)
            session.share(before)

    def note(self, keeper: Keeper, session: Session) -> None:
        """Take a copy in hand that somebody got elsewhere, and don't bring it up to date: maybe he still changes it."""
        copy = self.copy_of(session)
        if copy is None:
            self.sessions[keeper.name, session.id] = keeper, session
        elif not session.shares_with(copy):
            self.others[id(session)] = keeper, session

    def copy_of(self, session: Session) -> Session | None:
        """The one in hand that has the data of a session."""
        return self.sessions.get((session.manager, session.id), (None, None))[1]

    def of(self, manager: str) -> list[Session]:
        """The live sessions of a manager that code further down may mean."""
        return [session for session in self.passed_on.get(manager, {}).values() if session.record.is_live]

    async def save(self) -> None:
        """Save what was changed in copies.

        Raises:
            StorageError: it can't be stored.
        """
        for keeper, session in (*self.sessions.values(), *self.others.values()):
            await keeper.keep_changes(session)

    async def finish(self) -> None:
        """Save what was changed in copies, where nobody is left to be told of what goes wrong: it is logged."""
        for keeper, session in (*self.sessions.values(), *self.others.values()):
            try:
                await keeper.keep_changes(session)
            except HotsessionError as error:
                logger.error("What was changed in %r could not be saved: %s", session, error)


def hold(keeper: Keeper, session: Session, *, passes_on: bool) -> None:
    """Note that the running code has a session in hand; `passes_on` as for `Held.take`."""
    visit = current.get()
    if visit is not None and not visit.is_over:
        if visit.held is None:
            visit.held = Held()
        visit.held.take(keeper, session, passes_on=passes_on)
        if keeper.keeps_copies:
            visit.hold_copies()
            _at_end(visit)
    elif keeper.keeps_copies:
        task = current_task()
        if task is not None:
            _held_by(task).take(keeper, session, passes_on=passes_on)
    if keeper.keeps_copies:
        session._noted = partial(_note_use, keeper)


def _note_use(keeper: Keeper, session: Session) -> None:
    """Have who uses a copy that another got, and gave him, save at his end what he changed in it."""
    task, visit = current_task(), current.get()
    if task is None or task in _saving:
        return
    if visit is None or visit.is_over:
        _held_by(task).note(keeper, session)
    elif visit.session is not session:
        if visit.held is None:
            visit.held = Held()
        visit.held.note(keeper, session)
        visit.hold_copies()
        _at_end(visit)


def session_in_hand(manager: str) -> Session | None:
    """The session of a manager that the running code is about: its request's, connection's or job's.

    Raises:
        SessionError: there are several.
    """
    visit = current.get()
    while visit is not None:
        if visit.manager == manager and visit.session.record.is_live:
            return visit.session
        found = [] if visit.held is None else visit.held.of(manager)
        if len(found) > 1:
            raise wording.several(found[-1].record, tuple(each.id for each in found))
        if found:
            return found[0]
        visit = visit.outer
    return None


def held_copy(session: Session) -> Session | None:
    """The copy in hand that shares its data with `session`, if the running code has one."""
    visit = current.get()
    if visit is not None and not visit.is_over:
        held = visit.held
    else:
        task = current_task()
        held = None if task is None else _by_task.get(task)
    return None if held is None else held.copy_of(session)


# the ends of tasks

_by_task: WeakKeyDictionary[Any, Held] = WeakKeyDictionary()
_ends: WeakKeyDictionary[Any, set[int]] = WeakKeyDictionary()
_lock = threading.Lock()


def current_task() -> Any:
    """The running task of asyncio or trio; None in a thread without either."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        trio = sys.modules.get("trio")
        try:
            return None if trio is None else trio.lowlevel.current_task()
        except RuntimeError:
            return None


def _held_by(task: Any) -> Held:
    with _lock:
        held = _by_task.get(task)
        if held is None:
            held = _by_task[task] = Held()
            when_done(task, held.finish)
        return held


async def finish_task() -> None:
    """Save what the running task changed in copies now, and not after its end; as `Held.finish`."""
    task = current_task()
    held = None if task is None else _by_task.get(task)
    if held is not None:
        await held.finish()


def _at_end(visit: Visit) -> None:
    """Have the task that asks inside a visit save at its end too, because it may outlive the visit."""
    if visit.held is not None and current_task() is not visit.task:
        at_end_of_task(visit.held.finish, id(visit.held))


def at_end_of_task(save: Callable[[], Coroutine[Any, Any, None]], of: int) -> None:
    """Have a coroutine function, which must not raise, run when the running task has ended.

    Args:
        save: the function; one that saves what a task changed.
        of: tells it from others: it runs once, however often it was asked for.
    """
    task = current_task()
    if task is None or task in _saving:
        return
    with _lock:
        known = _ends.setdefault(task, set())
        if of in known:
            return
        known.add(of)
    when_done(task, save)


def when_done(task: Any, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine function, which must not raise, when a task of the running event loop has ended."""
    if isinstance(task, asyncio.Task):
        task.add_done_callback(lambda _: _begin(call))
    else:
        _Ends.of_this_run().calls.setdefault(task, []).append(call)


_saving: set[asyncio.Task[None]] = set()


def _begin(call: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = asyncio.get_running_loop().create_task(call())
    _saving.add(task)

    def done(task: asyncio.Task[None]) -> None:
        _saving.discard(task)
        if task.cancelled():  # the event loop ends: storages can be asked from another one
            threading.Thread(target=anyio.run, args=(call,), name="hotsession saves").start()

    task.add_done_callback(done)


class _Ends:
    """Hears of the ends of trio's tasks: an instrument, because they have no callbacks."""

    runs: ClassVar[WeakKeyDictionary[Any, _Ends]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self.calls: dict[Any, list[Callable[[], Coroutine[Any, Any, None]]]] = {}

    @classmethod
    def of_this_run(cls) -> _Ends:
        """The one of the running event loop."""
        lowlevel = sys.modules["trio"].lowlevel
        token = lowlevel.current_trio_token()
        ends = cls.runs.get(token)
        if ends is None:
            ends = cls.runs[token] = cls()
            lowlevel.add_instrument(ends)
        return ends

    def task_exited(self, task: Any) -> None:
        """Run what was to be run when this task has ended."""
        trio = sys.modules["trio"]
        for call in self.calls.pop(task, ()):

            async def run(call: Callable[[], Coroutine[Any, Any, None]] = call) -> None:
                with trio.CancelScope(shield=True):  # the event loop may be ending
                    await call()

            trio.lowlevel.spawn_system_task(run)
