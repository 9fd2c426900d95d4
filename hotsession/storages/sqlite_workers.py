"""What one thread does with a sessions database: read for those who call, or write for all of them at once.

Knows connections and calls, and nothing of records.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from hotsession.storages.calls import Call, hand_over
from hotsession.storages.sqlite_errors import explained, is_harmless
from hotsession.storages.sqlite_schema import MIGRATIONS, open_database, patiently, too_new

Queue = SimpleQueue["Call[Any, Any] | None"]

MOST_WRITES = 256  # in one transaction: the first of them waits for the last
MOST_READS = 16  # handed over at one go

logger = logging.getLogger("hotsession")


class Transaction:
    """What a write is given.

    Args:
        database: the connection, in a transaction.
        number: that of the last write.
    """

    __slots__ = ("database", "execute", "number")

    def __init__(self, database: sqlite3.Connection, number: int) -> None:
        self.database = database
        self.execute = database.execute
        self.number = number

    def next_number(self) -> int:
        """The number of the write that is made."""
        self.number += 1
        return self.number


class Worker(threading.Thread):
    """A thread that reads: it carries out calls with its connection until it is told to end.

    Args:
        queue: where the calls come from; None tells it to end.
        path: the database.
        timeout: seconds for which others may have it locked.
        closing: held while it closes its connection: of two that close at once none is the last, and the log stays.
    """

    most = MOST_READS

    def __init__(self, queue: Queue, path: Path, timeout: float, closing: threading.Lock) -> None:
        super().__init__(name=f"hotsession sqlite {type(self).__name__.lower()}", daemon=True)
        self._queue = queue
        self._path = path
        self._timeout = timeout
        self._closing = closing
        self.is_at_work = False  # it has taken what it does together, and takes nothing more before that is done
        self._database: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has a connection."""
        return self._database is not None

    def run(self) -> None:
        """The thread: take what waits, carry it out, hand it over."""
        try:
            while (call := self._queue.get()) is not None:
                calls, is_last = self._with_all_that_wait(call)
                self.is_at_work = True
                try:
                    self._carry_out([each for each in calls if not each.is_given_up])
                finally:
                    self.is_at_work = False
                    hand_over(calls)
                del call, calls  # hold nothing of the callers while waiting
                if is_last:
                    break
        finally:
            self._drop()

    def _with_all_that_wait(self, call: Call[Any, Any]) -> tuple[list[Call[Any, Any]], bool]:
        calls = [call]
        with suppress(Empty):
            while len(calls) < self.most:
                following = self._queue.get_nowait()
                if following is None:
                    return calls, True
                calls.append(following)
        return calls, False

    def _carry_out(self, calls: Sequence[Call[Any, Any]]) -> None:
        until = time.monotonic() + self._timeout
        for call in calls:
            try:
                patiently(partial(self._read, call), until)
            except Exception as error:  # noqa: BLE001 - it is the caller's
                self._failed([call], error)

    def _read(self, call: Call[Any, Any]) -> None:
        call.carry_out(self._connection())

    def _failed(self, calls: Sequence[Call[Any, Any]], error: Exception) -> None:
        """Give each caller an error of his own, and a new connection to who comes next if this one may be broken."""
        for call in calls:
            call.error = explained(error, self._path, self._timeout) if isinstance(error, sqlite3.Error) else error
        if not is_harmless(error):
            self._drop()

    def _connection(self) -> sqlite3.Connection:
        """The connection to the file that is there now: somebody may have deleted it, or put another in its place."""
        if self._database is not None and self._is_another_file():
            logger.warning("The sessions in %s were removed while they were in use: a new file is used.", self._path)
            self._drop()
        if self._database is None:
            self._database = open_database(self._path, self._timeout)
            found = self._path.stat()
            self._file = found.st_dev, found.st_ino
        return self._database

    def _is_another_file(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return True
        except OSError:  # SQLite will say what is wrong
            return False
        return (found.st_dev, found.st_ino) != self._file

    def _drop(self) -> None:
        if self._database is not None:
            try:
                with self._closing:
                    self._database.close()
            except sqlite3.Error:
                logger.warning("A connection to %s could not be closed.", self._path, exc_info=True)
            self._database = None


class Writer(Worker):
    """The thread that writes; what it carries out is given a `Transaction`.

    It makes one transaction of all the writes that wait (group commit). If one of them fails all are undone, and each
    is done again in a transaction of its own, so that everyone gets his own result or error.
    """

    most = MOST_WRITES

    def _carry_out(self, calls: Sequence[Call[Any, Any]]) -> None:
        if not calls:
            return
        try:
            transaction = self._begin()
        except Exception as error:  # noqa: BLE001 - it is the callers'
            self._failed(calls, error)
            return
        try:
            for call in calls:
                call.carry_out(transaction)
            transaction.execute("UPDATE clock SET number = ?", (transaction.number,))
            transaction.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - likewise
            self._roll_back(transaction.database)
            if len(calls) == 1:
                self._failed(calls, error)
            else:
                for call in calls:
                    self._carry_out([call])

    def _begin(self) -> Transaction:
        return patiently(self._try_to_begin, time.monotonic() + self._timeout)

    def _try_to_begin(self) -> Transaction:
        database = self._connection()
        database.execute("BEGIN IMMEDIATE")
        try:
            number, version = database.execute(
                "SELECT number, (SELECT user_version FROM pragma_user_version) FROM clock"
            ).fetchone()
            if version != len(MIGRATIONS):  # somebody put a newer hotsession to work meanwhile
                raise too_new(self._path, version)
        except BaseException:
            self._roll_back(database)
            raise
        return Transaction(database, number)

    def _roll_back(self, database: sqlite3.Connection) -> None:
        try:
            if database.in_transaction:  # a full disk may have rolled it back already
                database.execute("ROLLBACK")
        except sqlite3.Error:
            self._drop()  # which rolls it back
