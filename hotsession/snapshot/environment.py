"""The LMDB environment under a snapshot: opened with care, its errors told in our words. Knows bytes and no records.

LMDB, because a write with its commit takes 5 microseconds and a read 0.5 (SQLite 32 and 6), it opens in the same time
at any size, and a process that is killed in the middle of a transaction leaves what was before it. One tree holds
everything: a second entry in it costs 1 microsecond, a second named tree 8. No writable map: on a full tmpfs that is a
bus error.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar
from weakref import WeakSet

import lmdb

from hotsession.snapshot.errors import SnapshotDamaged, SnapshotFull, SnapshotUnusable
from hotsession.snapshot.integrity import DATA, LOCKS, condemn

Result = TypeVar("Result")
EngineError = lmdb.Error

if TYPE_CHECKING:
    Transaction: TypeAlias = lmdb.Transaction[Any]
else:
    Transaction = lmdb.Transaction  # it can't be subscripted at run time

MAP_SIZE = 16 << 30  # bytes of address space, not of memory
_SMALLEST_MAP = 64 << 20
_SPARE = 4  # read transactions that are kept for the next reader
_PATIENCE = 5.0  # seconds that one who moves the map and one who needs it wait for each other
_READERS = 126  # LMDB's own number
_LOCK_BYTES = 16384  # more than its lock file takes with so many
_DAMAGED = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
)


class Environment:
    """One opened LMDB environment of this process.

    `seen` and `changed` run a function in a transaction, in which values are memory views. In a forked child and after
    `close` they raise `SnapshotUnusable`. `postponed` holds what is to be done after the transaction that runs now.

    Args:
        directory: where its two files are; it exists.
        map_size: bytes of address space to ask for; less is taken where there is not so much.

    Raises:
        SnapshotDamaged: the files are not LMDB's, or broken.
        SnapshotFull: there is no room for two pages.
        SnapshotUnusable: anything else that the system says.
    """

    def __init__(self, directory: Path, *, map_size: int = MAP_SIZE) -> None:
        self.directory = directory
        self.data = directory / DATA
        self._mover = threading.Lock()
        self._growth = threading.Condition()
        self._is_growing = False
        self._inmates: list[None] = []  # one for each transaction; appending and popping is atomic
        self.postponed: deque[Callable[[], object]] = deque()
        if any(each.directory == directory for each in _open):  # even to look at its lock file would drop its locks
            raise SnapshotUnusable(f"the snapshot in {directory} is already open in this process: close it before")
        _reserve_locks(directory / LOCKS)
        self._engine, self._map_size = _opened(directory, map_size)
        self._begin: Callable[..., Transaction] = self._engine.begin
        self._engine.reader_check()  # a killed reader would hold on to pages for ever
        _open.add(self)

    def __repr__(self) -> str:
        return f"<Environment {self.directory} {'open' if self.is_open else 'closed'}>"

    @property
    def is_open(self) -> bool:
        """Whether it can be used in this process."""
        return self in _open

    @property
    def size(self) -> int:
        """Bytes that its data take."""
        try:
            return self.data.stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def changed(self, work: Callable[[Transaction], Result], otherwise: Result) -> Result:
        """The result of `work` in one write transaction; `otherwise` if that had to be put off.

        The latter happens where a signal handler interrupts its own thread in a write transaction: it can neither wait
        for the end of that nor go on in it, so `work` is done right after it.
        """
        while True:
            size = self._map_size
            try:
                result = self._inside(work, write=True)
                break
            except EngineError as error:
                if getattr(error, "code", 0) == errno.EBUSY:
                    self.postponed.append(lambda: self.changed(work, otherwise))
                    return otherwise
                self._mend(error, size)
        while self.postponed:
            self.postponed.popleft()()
        return result

    def seen(self, work: Callable[[Transaction], Result]) -> Result:
        """The result of `work` in one read transaction."""
        while True:
            try:
                return self._inside(work, write=False)
            except EngineError as error:
                self._mend(error, self._map_size)

    def sync(self) -> None:
        """Bring everything onto the disk."""
        self._engine.sync(True)

    def close(self) -> None:
        """Close it; nothing happens if it is not open here."""
        if self.is_open:
            self._leave("is closed")
            self._engine.close()

    def _leave(self, why: str) -> None:
        _open.discard(self)

        def refused(*_: object) -> NoReturn:
            raise SnapshotUnusable(f"the snapshot in {self.directory} {why}")

        self._begin = refused

    def _forked(self) -> None:
        """This process is the child of one that has it open: locks and map belong to the parent."""
        self._leave("belongs to the parent of this process, a forked child can't use it")
        self._mover, self._growth = threading.Lock(), threading.Condition()  # the parent's may be held
        self.postponed.clear()
        _strangers.append(self._engine)  # not closed: what it would unlock and clear is the parent's

    def _inside(self, work: Callable[[Transaction], Result], *, write: bool) -> Result:
        """Run `work` in a transaction, in which values are views of the map: it must not be moved meanwhile."""
        while True:
            self._inmates.append(None)
            try:
                if not self._is_growing:
                    with self._begin(None, None, write, True) as transaction:
                        return work(transaction)
            finally:
                self._inmates.pop()
                if self._is_growing:
                    with self._growth:
                        self._growth.notify_all()
            with self._growth:
                if not self._growth.wait_for(lambda: not self._is_growing, _PATIENCE):
                    raise SnapshotUnusable(f"the map of {self.data} is being moved, and that does not end")

    def _mend(self, error: EngineError, size: int) -> None:
        """Do what lets the same be tried again after an error that came while the map had this size.

        Raises:
            SnapshotDamaged, SnapshotFull, SnapshotUnusable: there is no such thing.
        """
        if isinstance(error, lmdb.MapFullError | lmdb.MapResizedError):
            self._grow(size, adopt=isinstance(error, lmdb.MapResizedError))
            return
        failure = _translated(error, self.directory)
        if isinstance(failure, SnapshotDamaged):
            condemn(self.data, str(error))
        raise failure from error

    def _grow(self, too_small: int, *, adopt: bool) -> None:
        """Take twice the address space that was too small, or as much as another process took.

        All transactions of this process have to end before, for they look into the map. py-lmdb 3.0 would end them
        itself, but left to it one of some thirty tries with three writing threads hung.
        """
        with self._mover, self._growth:
            size = self._engine.info()["map_size"]
            if not adopt and size > too_small:
                return  # another thread was faster
            self._is_growing = True
            try:
                if not self._growth.wait_for(lambda: not self._inmates, _PATIENCE):
                    raise SnapshotUnusable(f"the map of {self.data} can't be moved, a transaction does not end")
                self._engine.set_mapsize(0 if adopt else size * 2)
                self._map_size = self._engine.info()["map_size"]
            except EngineError as error:
                raise SnapshotFull(f"the snapshot in {self.directory} can't grow any more: {error}") from error
            finally:
                self._is_growing = False
                self._growth.notify_all()


_open: WeakSet[Environment] = WeakSet()
_strangers: list[lmdb.Environment] = []


def _after_fork() -> None:
    for environment in tuple(_open):
        environment._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _opened(directory: Path, map_size: int) -> tuple[lmdb.Environment, int]:
    """The engine, with as much address space as there is."""
    while True:
        try:
            engine = lmdb.Environment(
                str(directory),
                map_size=map_size,
                sync=False,
                metasync=False,
                mode=0o600,
                max_readers=_READERS,
                max_spare_txns=_SPARE,
                lib_version=0,  # the file format that `integrity` knows
            )
        except EngineError as error:
            if isinstance(error, lmdb.MemoryError) and map_size > _SMALLEST_MAP:
                map_size //= 4
                continue
            raise _translated(error, directory) from error
        except OSError as error:
            raise SnapshotUnusable(f"the snapshot in {directory} can't be opened: {error}") from error
        return engine, map_size


def _reserve_locks(path: Path) -> None:
    """Give the lock file its blocks: LMDB maps it writable, and touching it on a full tmpfs is a bus error."""
    try:
        if path.exists() and path.stat().st_blocks * 512 >= _LOCK_BYTES:
            return  # not even opened: to close it would drop the locks of an environment that is open in this process
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _fill(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unusable(error.errno, path.parent, error) from error


def _fill(descriptor: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, _LOCK_BYTES)
    else:
        size = os.fstat(descriptor).st_size
        os.pwrite(descriptor, bytes(max(0, _LOCK_BYTES - size)), size)


def _translated(error: EngineError, directory: Path) -> SnapshotUnusable:
    if isinstance(error, _DAMAGED):
        return SnapshotDamaged(f"the snapshot in {directory} is damaged: {error}")
    return _unusable(getattr(error, "code", 0), directory, error)


def _unusable(code: int | None, directory: Path, error: Exception) -> SnapshotUnusable:
    if code in (errno.ENOSPC, errno.EDQUOT):
        return SnapshotFull(f"there is no room left for the snapshot in {directory}: {error}")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SnapshotUnusable(f"the snapshot in {directory} can't be written: {error}")
    return SnapshotUnusable(f"the snapshot in {directory} can't be used: {error}")
