"""THE object that carries what is kept over a restart: it opens the snapshot and knows when what is written.

There is one per process where a reloader restarts it, else none (`carrier()` returns None) and no cost. Sessions that
a request was given are written when the middleware says so; kept values, and sessions that others still hold, after
requests and by a thread that looks now and then, as often as that takes a small share of the time. Knows no ASGI.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from hashlib import blake2b
from multiprocessing import util
from typing import Any
from weakref import WeakSet

from hotsession import bytecode
from hotsession.loops import AsyncFunction, Home
from hotsession.registry import registry
from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.importing import is_importing
from hotsession.snapshot.last_words import do_aside
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.pace import Pace
from hotsession.snapshot.records import CarriedRecords
from hotsession.snapshot.store import Store
from hotsession.snapshot.touches import Touches
from hotsession.snapshot.turn import Turn
from hotsession.snapshot.values import CarriedValues
from hotsession.snapshot.written import SLICE
from hotsession.surroundings.signals import before_the_end

SAID = b"said/"  # + hash of what was said in the log once and for all
LOOK_OFTEN, LOOK_SELDOM = 0.25, 2.0  # seconds between two looks of the thread, with and without something to do
LAST_WORDS = 2.0  # seconds that a process without a running event loop is held back to write what is kept
LOOK_AT_LAST = 0.005  # the same in a process that was told to end, which may do so at any moment
LAST_SHARE = 0.1  # of the time is spent on that at most
PATIENCE = 10.0  # seconds after which the thread looks itself: the event loop is blocked, or over

logger = logging.getLogger("hotsession")


class Carrier:
    """Writes what is kept to the snapshot, and reads it from there.

    Args:
        store: the snapshot.
        at_end: called when this process is told to end and everything is written.
    """

    def __init__(self, store: Store, at_end: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._at_end = at_end
        self._turn = Turn()
        self._writing = False  # the thread that has the lock is at it in this very moment
        self.notices = Notices(self._was_said)
        self.records = CarriedRecords(store, self.notices, self._turn)
        self.values = CarriedValues(store, self.notices, self._turn)
        self._has_values = True  # as far as is known
        self._pending: list[str] = []  # names of values that wait for their turn
        self._unlooked: set[str] = set()  # ids of sessions that do
        self._stream_pace, self._value_pace, self._look_pace = Pace(), Pace(), Pace()
        self._ending = False
        self._closed = threading.Event()
        self._stirred = threading.Event()  # it is closed, or told to end: the thread is not to wait any longer
        self._last_took = 0.0  # seconds, of the last look
        self._home: Home | None = None
        self._leave: util.Finalize | None = None
        self._is_hosted = False  # by a host of ours, which says when the app is up
        self._tried: int | None = None  # number of the code with which reading was tried again
        self._asked_at: float | None = None  # when the event loop was asked to look, if it did not yet
        self._busy = False  # something happened since the thread looked last
        self._look_for_others()
        _open.add(self)
        before_the_end(self._told_to_end)
        self._thread = threading.Thread(target=self._keep_looking, name="hotsession-snapshot", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Carrier {self._store!r}>"

    # reading

    def restore(self, name: str, built_by: str | None = None) -> tuple[Any, str | None, float] | None:
        """What was kept as `name` in the last process, its factory's fingerprint, when it was built; or None.

        Args:
            name: of the value.
            built_by: fingerprint of the factory, if what another factory built is not wanted.

        Raises:
            MigrationFailed: a step of the user's raised.
        """
        self._has_values = True  # it is asked for before a value is built
        return self.values.restore(name, built_by)

    def value_names(self) -> tuple[str, ...]:
        """The names of all kept values that there are in the snapshot, whether or not anybody has asked for them."""
        try:
            return self.values.all_names()
        except SnapshotUnusable as error:
            self.notices.not_read(error)
            return ()

    def _was_said(self, what: str) -> bool:
        """Whether a process before this one said it; each place is named once per dev server."""
        key = SAID + blake2b(what.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        try:
            if self._store.get(key) is not None:
                return True
            self._store.put({key: b""})
        except SnapshotUnusable:  # said elsewhere; then it is said again
            logger.debug("what was said can't be noted", exc_info=True)
        return False

    def arrivals(self) -> str:
        """What there is in the snapshot, in words; empty when there is nothing."""
        try:
            counts = {name: count for name, count in self.records.counts().items() if count}
            values = self.values.names()
            waiting = self.records.waiting() + self.values.waiting()
        except SnapshotUnusable as error:
            self.notices.not_read(error)
            return ""
        sessions = [f"{count} session{'s' * (count > 1)} of {name!r}" for name, count in counts.items()]
        bytes_only = [f"{waiting} more as bytes until the code can read them"] if waiting else []
        return ", ".join((*sessions, *map(repr, values), *bytes_only))

    def _read_again(self, *, is_complete: bool = False) -> None:
        """Try again what could not be read, once all code is imported and each time when other code is in place.

        Args:
            is_complete: the app is up, so nothing is being imported that is needed for it.
        """
        if self._turn.is_paused or not self.notices.waiting or (self._tried == registry.current and not is_complete):
            return
        if not is_complete and (is_importing() or (self._is_hosted and self._home is None)):
            return
        if self._do(self._complete, self._tried is None):
            self._tried = registry.current
            self.notices.speak()

    def _complete(self, unused: bool) -> int:
        self.records.read_again()
        return self.values.read_again(_carried_entries(), unused=unused)

    # where it runs

    def settle_in(self) -> None:
        """Note the event loop of the app, which runs now: from here on it is where kept values are looked at."""
        self._home = Home()
        if self._leave is None:  # when the interpreter ends, also that of a worker which `multiprocessing` started
            self._leave = util.Finalize(None, self.close, exitpriority=50)
        before_the_end(self._told_to_end)
        self.values.catch_up(_carried_entries())
        self._read_again(is_complete=True)
        bytecode.app_is_up()

    def app_is_down(self) -> None:
        """Write everything: the app has ended in good order, also where nothing told this process that it is to end."""
        self.flush()
        if self._closed.is_set():
            return
        try:
            self._store.told_to_end()
        except SnapshotUnusable as error:
            logger.warning("That this process ends in good order can't be noted: %s", error)

    def pause(self) -> None:
        """Write nothing until `resume`: the process that is to be replaced still serves."""
        self._turn.is_paused = self._is_hosted = True

    def resume(self) -> bool:
        """Write from now on. Return whether kept values were written elsewhere since they were read here."""
        moved = self.values.has_moved_on()
        if moved:
            self.values.ask_again()
        self._turn.is_paused = False
        return moved

    # what is written when

    def acknowledge(self, touches: Touches) -> None:
        """Write what a request was given and changed: its client is about to know that it is done."""
        if touches:
            self._do(self.records.write_touched, touches)

    def keep_up(self, touches: Touches) -> None:
        """Write it in the midst of a long answer, if that takes little enough of the time."""
        if self._stream_pace.begin():
            self.acknowledge(touches)
            self._stream_pace.end()

    def after_request(self, touches: Touches) -> None:
        """Write what a request and what it started may have changed, and kept values if their turn has come."""
        self._busy = True
        if touches:
            self.acknowledge(touches)
        if self.notices.waiting:
            self._read_again()
        if self._has_values or self._ending:  # if it has become wrong, the thread finds out
            self._look_at_values()

    def look(self) -> None:
        """Write sessions and kept values that changed without any request having said so, for a slice of time each."""
        self._asked_at, began = None, time.perf_counter()
        if self.notices.waiting:
            self._read_again()
        if self._ending:
            self._do(self.records.write_touched, self.records.may_have_changed())
        elif self._look_pace.begin():
            if self._do(self._write_sessions) or self._unlooked:
                self._busy = True
            self._look_pace.end()
        self._look_at_values()
        self._last_took = time.perf_counter() - began

    def flush(self) -> int:
        """Write everything that changed, however long it takes, and return how many entries were written."""

        def write() -> int:
            values = sum(self.values.write(*each, everything=True) for each in _carried_entries().items())
            return values + self.records.write_all()

        return self._do(write)

    def close(self) -> None:
        """Write everything, and leave the snapshot tidy for the next process."""
        self.flush()
        with self._turn.lock:
            self._closed.set()
            self._stirred.set()
            self._store.close()

    def forget(self, name: str) -> None:
        """Drop a kept value from the snapshot: it is reset."""
        with self._turn.lock:
            self.values.forget(name)

    def _write_sessions(self) -> int:
        written = 0
        self._unlooked = self._unlooked or self.records.may_have_changed()
        while self._unlooked:
            written += self.records.write_touched((self._unlooked.pop(),))
            if self._look_pace.has_taken(SLICE):
                break
        return written

    def _look_at_values(self) -> None:
        """Write kept values, one after the other, for a slice of time; go on with the next one the next time."""
        if self._ending:  # there may be no next time
            self._do(self._write_last_values)
        elif self._value_pace.begin():
            if self._do(self._write_values) or self._pending:
                self._busy = True
            self._value_pace.end()

    def _write_values(self) -> int:
        entries = _carried_entries()
        self._has_values = bool(entries)
        written = 0
        self._pending = self._pending or list(entries)
        while self._pending:
            name = self._pending.pop()
            if name in entries:
                written += self.values.write(name, entries[name])
            if self._value_pace.has_taken(SLICE):
                break
        return written

    def _write_last_values(self) -> int:
        """Write all values, but for those that take too long at a stretch: the restart waits."""
        written = 0
        for name, entry in _carried_entries().items():
            written += self.values.write(name, entry)
            while self.values.is_going(name):
                written += self.values.write(name, entry)
        return written

    def _do(self, work: Callable[..., int], *arguments: object) -> int:
        """Do a piece of work, unless another process is the one to write, or this thread is in the midst of one."""
        with self._turn.lock:
            if self._turn.is_paused or self._closed.is_set() or self._writing:
                return 0
            self._writing = True
            try:
                return work(*arguments)
            except Exception:
                logger.exception("What changed could not be written to the snapshot; the app goes on")
                return 0
            finally:
                self._writing = False

    # the thread, and the end

    def _keep_looking(self) -> None:
        """Look now and then, in the app's event loop where there is one, so that nobody changes what is pickled."""
        pause = LOOK_OFTEN
        while not self._stirred.wait(pause):
            self._look_for_others()
            pause = LOOK_OFTEN if self._busy else min(LOOK_SELDOM, 2 * pause)
            self._busy = False
            self._have_a_look()
        while not self._closed.wait(max(LOOK_AT_LAST, self._last_took / LAST_SHARE)):
            self._have_a_look()  # it may still answer requests, and nobody may say when it has answered the last

    def _have_a_look(self) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            if self._home is None or not self._home.start(_asynchronous(self.look)):
                self.look()
        elif time.monotonic() - self._asked_at > PATIENCE:
            self.look()

    def _end(self) -> None:
        self.flush()
        self._stirred.set()
        try:
            self._store.told_to_end()
            self._at_end()
        except (OSError, SnapshotUnusable) as error:
            logger.warning("What is in the snapshot can't be removed at the end: %s. The next start does it.", error)

    def _look_for_others(self) -> None:
        try:
            self._turn.is_shared = bool(self._store.others())
        except SnapshotUnusable as error:
            if not self._closed.is_set():  # just now
                self.notices.not_read(error)

    def _told_to_end(self) -> None:
        """Write everything; not here, in a signal handler: who was interrupted may hold locks."""
        if self._closed.is_set():
            return
        self._ending = True
        if self._home is None or not self._home.start(_asynchronous(self._end)):
            do_aside(self._end, LAST_WORDS)

    def _forked(self) -> None:
        """This process is the child of one that has the snapshot open: its memory is all that it has."""
        self._turn.give_up()
        self._writing = False


_open: WeakSet[Carrier] = WeakSet()


def _after_fork() -> None:
    for carrier in tuple(_open):
        carrier._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _asynchronous(function: Callable[[], None]) -> AsyncFunction:
    async def call() -> None:
        function()

    return call


def _carried_entries() -> dict[str, Any]:
    """The entries of the registry that are written as values, by name."""
    return {
        name: entry
        for name, entry in registry.entries().items()
        if entry.restart == "carry" and entry.kind != "sessions" and not hasattr(entry.value, "wants_bytes")
    }
