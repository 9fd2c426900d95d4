"""What SQLite complains about, in words that say what to do."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from hotsession.errors import StorageError, StorageUnavailable

PRIMARY = 0xFF  # an extended error code ends with the code of its kind
BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
HARMLESS = BUSY | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG}


def kind(error: BaseException) -> int:
    """The primary code of an error; 0 if it has none."""
    return getattr(error, "sqlite_errorcode", 0) & PRIMARY


def is_busy(error: BaseException) -> bool:
    """Whether somebody else has the database just now."""
    return kind(error) in BUSY


def is_harmless(error: BaseException) -> bool:
    """Whether the connection can be used on; after other errors a new one may find things mended."""
    return not isinstance(error, sqlite3.Error) or kind(error) in HARMLESS


def explained(error: sqlite3.Error, path: Path, timeout: float) -> StorageError:
    """The error to raise in place of SQLite's.

    Args:
        error: what SQLite raised.
        path: the database.
        timeout: for how many seconds another program's lock was waited for.
    """
    made = _explained(error, path, timeout)
    made.__cause__ = error
    return made


def _explained(error: sqlite3.Error, path: Path, timeout: float) -> StorageError:
    code = kind(error)
    if code in BUSY:
        return StorageUnavailable(
            f"{path} has been locked by another program for {timeout:g} s: end it (a sqlite3 shell or a backup with an "
            "open transaction?) and try again"
        )
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path.parent)):
        return StorageUnavailable(f"the disk of {path} is full, so nothing was written: make room and try again")
    if code == sqlite3.SQLITE_IOERR:
        return StorageUnavailable(
            f"{path} can't be read or written ({_said(error)}): see what the system's log says of the disk, and try "
            "again"
        )
    return StorageError(_lasting(code, path) or f"SQLite can't do what was asked of {path}: {_said(error)}")


def _lasting(code: int, path: Path) -> str | None:
    """What to say of an error that stays until somebody does something about it."""
    if code == sqlite3.SQLITE_CANTOPEN:
        return cannot_open(path)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return (
            f"{path} is read-only for this process: let it write to the file and to the directory {path.parent}, or "
            "name another file"
        )
    if code == sqlite3.SQLITE_NOTADB:
        return f"{path} is no SQLite database: name another file, or move this one away"
    if code == sqlite3.SQLITE_CORRUPT:
        return (
            f"{path} is damaged: put a backup in its place, or save what is readable with "
            f"`sqlite3 {path.name} .recover | sqlite3 saved.db`"
        )
    if code == sqlite3.SQLITE_TOOBIG:
        return f"a session is too large for {path}: SQLite takes 1 GB at most; keep large things in files of their own"
    return None


def cannot_open(path: Path) -> str:
    """Why there is no opening the database at `path`, and what to do."""
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a directory above can't be entered
        return f"{path} is a directory: name a file for the sessions"
    if not os.path.isdir(path.parent):  # noqa: PTH112
        return (
            f"{path} can't be opened, there is no directory {path.parent}: make it, or name another file "
            "(sqlite:///x.db is in the working directory, sqlite:////x.db at the root)"
        )
    return f"{path} can't be opened: let this process read and write the file and the directory {path.parent}"


def _is_full(directory: Path) -> bool:
    try:
        found = os.statvfs(directory)
    except (OSError, AttributeError):  # Windows has no statvfs
        return False
    return found.f_bavail == 0


def _said(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", None)
    return f"{error} ({name})" if name else str(error)
