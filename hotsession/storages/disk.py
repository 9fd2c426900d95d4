"""Operations on files, one by one, so that each can be the last: what a crash leaves is what the ones before it did.

Nothing here decides anything. A test gives a function that is called before each operation, and stops there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hotsession.errors import StorageError, StorageUnavailable

PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.ESTALE})
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def nothing(operation: str, path: Path) -> None:
    """What is done before an operation, usually."""


class Disk:
    """Operations that change files.

    Args:
        before: is called with the name of each operation and its path before it is carried out.
    """

    def __init__(self, before: Callable[[str, Path], None] = nothing) -> None:
        self._before = before

    def __repr__(self) -> str:
        return "<Disk>"

    def make_dir(self, path: Path) -> bool:
        """Make a directory, and those above it; whether it was not there."""
        if path.is_dir():
            return False
        self._before("make", path)
        path.mkdir(parents=True, exist_ok=True)
        return True

    def write(self, path: Path, data: bytes, *, is_lasting: bool = True) -> None:
        """Make a file with this content, or give it to one that is there; the disk has it if it is to be lasting."""
        self._before("create", path)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            self._before("write", path)
            _write_all(file, data)
            if is_lasting:
                self._before("sync", path)
                os.fsync(file)
        finally:
            os.close(file)

    def append(self, path: Path, data: bytes) -> None:
        """Add to the end of a file; nobody waits for the disk to have it."""
        self._before("append", path)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            _write_all(file, data)
        finally:
            os.close(file)

    def replace(self, path: Path, data: bytes, *, is_lasting: bool = True) -> None:
        """Give a file this content in one step: whoever reads it finds the old one or the new one, whole.

        What need not be lasting may be empty after a power cut.
        """
        draft = draft_of(path)
        try:
            self.write(draft, data, is_lasting=is_lasting)
        except OSError:  # the disk is full, say
            with suppress(OSError):
                self.remove(draft)
            raise
        self.rename(draft, path)
        if is_lasting:
            self.sync_dir(path.parent)

    def rename(self, path: Path, to: Path) -> None:
        """Give a file another name."""
        self._before("rename", path)
        path.rename(to)

    def link(self, path: Path, to: Path) -> None:
        """Give a file another name besides; nothing if it has that already."""
        self._before("link", path)
        with suppress(FileExistsError):
            to.hardlink_to(path)

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        self._before("remove", path)
        path.unlink(missing_ok=True)

    def remove_dir(self, path: Path) -> None:
        """Remove a directory that is empty."""
        self._before("remove directory", path)
        path.rmdir()

    def sync_dir(self, path: Path) -> None:
        """Have the disk know what a directory contains."""
        self._before("sync directory", path)
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def draft_of(path: Path) -> Path:
    """Where a file is written before it takes the place of `path`; there is one at a time, as there is one writer."""
    return path.with_name(f".{path.name}.draft")


def content(path: Path | str) -> bytes | None:
    """What a file contains; None if there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe of this name must not hold us up
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        parts = []
        while part := os.read(file, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(file)


def explained(error: OSError, directory: Path) -> StorageError:
    """The error to raise in place of the system's."""
    where = error.filename or directory
    if error.errno in FULL:
        return StorageUnavailable(f"the disk of {directory} is full, so nothing was written: make room and try again")
    if error.errno in PASSING:
        return StorageUnavailable(f"{where} can't be used now ({error.strerror}): try again")
    if error.errno in REFUSED:
        return StorageError(
            f"this process may not read and write {where} ({error.strerror}): let it, or name another directory"
        )
    return StorageError(f"{where} can't be used ({error.strerror}): see what the system's log says of the disk")


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
