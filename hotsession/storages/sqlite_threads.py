"""The threads that use a sessions database: one that writes and two that read, each with a connection of its own.

They are started by the first call, end when they are told to or nobody has the storage any more, and hold up no
interpreter. Knows workers and calls, and nothing of records.

SQLite must not be carried through a fork: its locks are of the process, and what it remembers of them is copied. So
before a fork the threads end and the connections are closed; both processes open them again when they need them.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar
from weakref import WeakSet

from hotsession.errors import StorageError, StorageUnavailable
from hotsession.storages.calls import Call, hand_over
from hotsession.storages.sqlite_workers import Queue, Transaction, Worker, Writer

T = TypeVar("T")

READERS = 2
LAST_WORDS = 2.0  # seconds for what is under way when the process ends; it loses nothing that was acknowledged
BEFORE_FORK = 5.0  # seconds for the same before a fork, beyond what another program's lock may take


class Threads:
    """The threads of one database; there are none until the first call, and after `aclose`.

    Args:
        path: the database.
        timeout: seconds for which others may have it locked.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._lock = threading.Lock()  # guards the rest
        self._threads: list[Worker] = []
        self._reads: Queue = SimpleQueue()
        self._writes: Queue = SimpleQueue()
        self._ending: list[Worker] = []  # while the process forks
        self._lost: str | None = None  # why this process can't use the database any more
        _watch(self)

    def __repr__(self) -> str:
        return f"<Threads of {self._path}: {len(self._threads)}>"

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function that reads, with a connection; it may be called again if the database was busy."""
        call = Call(function)
        with self._lock:
            self._start()
            self._reads.put(call)
        return await call.outcome()

    async def write(self, function: Callable[[Transaction], T]) -> T:
        """Call a function that writes, in a transaction; it may be called again after that was undone."""
        call = Call(function)
        with self._lock:
            self._start()
            self._writes.put(call)
        return await call.outcome()

    async def aclose(self) -> None:
        """End the threads when they have done what waits, and close the connections."""
        ending = self.leave()
        if ending:
            joined: Call[None, None] = Call(lambda _: None)
            joining = threading.Thread(target=_join, args=(ending, joined), name="hotsession sqlite end", daemon=True)
            joining.start()
            await joined.outcome()
            joining.join()  # which ends at this moment

    def leave(self) -> list[Worker]:
        """Tell the threads to end when they have done what waits; return them without waiting."""
        with self._lock:
            return self._told_to_end()

    def _start(self) -> None:
        if self._lost is not None:
            raise StorageError(self._lost)
        if self._threads:
            return
        self._reads, self._writes = SimpleQueue(), SimpleQueue()  # the old ones are of threads that end
        closing = threading.Lock()
        made = [Worker(self._reads, self._path, self._timeout, closing) for _ in range(READERS)]
        made.append(Writer(self._writes, self._path, self._timeout, closing))
        try:
            for thread in made:
                thread.start()
                self._threads.append(thread)
        except RuntimeError as error:
            self._told_to_end()
            raise StorageUnavailable(f"{self._path} can't be used now, no thread can be started: {error}") from error

    def _told_to_end(self) -> list[Worker]:
        for _ in range(READERS):
            self._reads.put(None)
        self._writes.put(None)
        ending, self._threads = self._threads, []
        return ending

    # around a fork

    def _before_fork(self) -> None:
        self._lock.acquire()
        self._ending = self._told_to_end()
        _wait_for(self._ending, self._timeout + BEFORE_FORK)

    def _after_fork_in_parent(self) -> None:
        self._ending = []
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        still_open = [thread for thread in self._ending if thread.is_open]
        if still_open:
            _inherited.extend(still_open)  # whose connections must neither be used nor closed here
            self._lost = (
                f"{self._path} was in use when this process was forked, for longer than could be waited: start "
                "processes in another way (multiprocessing's 'spawn'), or before the sessions are used"
            )
        self._ending = []
        self._lock.release()


_all: WeakSet[Threads] = WeakSet()
_all_lock = threading.Lock()
_inherited: list[Worker] = []
_is_watched = False


def _watch(threads: Threads) -> None:
    """Have the threads end before the process does or forks."""
    global _is_watched  # registered once, and not at import
    with _all_lock:
        _all.add(threads)
        if not _is_watched:
            _is_watched = True
            atexit.register(_at_exit)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(
                    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
                )


def _at_exit() -> None:
    _wait_for([thread for threads in tuple(_all) for thread in threads.leave()], LAST_WORDS)


def _before_fork() -> None:
    _all_lock.acquire()
    for threads in tuple(_all):
        threads._before_fork()


def _after_fork_in_parent() -> None:
    for threads in tuple(_all):
        threads._after_fork_in_parent()
    _all_lock.release()


def _after_fork_in_child() -> None:
    for threads in tuple(_all):
        threads._after_fork_in_child()
    _all_lock.release()


def _wait_for(workers: Sequence[Worker], seconds: float) -> None:
    until = time.monotonic() + seconds
    for worker in workers:
        if worker is not threading.current_thread():
            worker.join(max(0.0, until - time.monotonic()))


def _join(workers: Sequence[Worker], joined: Call[None, None]) -> None:
    for worker in workers:
        worker.join()
    joined.carry_out(None)
    hand_over([joined])
