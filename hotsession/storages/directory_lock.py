"""One process at a time: a lock that the system frees when its holder dies. Knows nothing of what it guards."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hotsession.errors import StorageUnavailable

PATIENCE = 30.0  # seconds for which another process may hold it


class DirectoryLock:
    """A lock on a file, between processes and between objects of one process; a thread must not take it twice.

    The file is opened each time, so that a fork inherits no lock, and one that was deleted is made again.

    Args:
        path: the file.
        patience: for how many seconds somebody else may hold it.
    """

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self._path = path
        self._patience = patience

    def __repr__(self) -> str:
        return f"<DirectoryLock {self._path}>"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it meanwhile.

        Raises:
            StorageUnavailable: somebody else held it all the time.
        """
        file = self._locked()
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a child that was forked meanwhile has the file open too
            os.close(file)

    def _locked(self) -> int:
        while True:
            file = self._open()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._wait(file)
            if self._is_current(file):
                return file
            os.close(file)  # deleted while we waited: others lock the new one

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self._path, flags, 0o666)
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, flags, 0o666)

    def _is_current(self, file: int) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(file))

    def _wait(self, file: int) -> None:
        """Queue up in the system, which is fair; in a thread, because that has no time limit."""
        waiting = _Waiting(file)
        if not waiting.got_it(self._patience):
            raise StorageUnavailable(
                f"{self._path} has been locked by another process for {self._patience:g} s: see which one hangs "
                f"(`fuser {self._path}`), end it and try again"
            )


class _Waiting:
    """A thread that waits for a lock; it lets go of the file if nobody wants the lock by then."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._done = threading.Event()
        self._guard = threading.Lock()
        self._is_given_up = False
        threading.Thread(target=self._wait, name="hotsession waits for a lock", daemon=True).start()

    def got_it(self, seconds: float) -> bool:
        if self._done.wait(seconds):
            return True
        with self._guard:
            self._is_given_up = not self._done.is_set()
            return not self._is_given_up

    def _wait(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        with self._guard:
            if self._is_given_up:
                os.close(self._file)
            else:
                self._done.set()
