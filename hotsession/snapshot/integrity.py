"""Whether the files of a snapshot can be trusted, and what becomes of those that can't. Knows files, no contents.

LMDB believes what it reads: a page that is not there is a bus error, and noise in a page can be worse. So its files are
looked at before it gets them, and where there is a reason to, another process reads everything first (`probe.py`).
Files that fail are moved aside, never deleted. In the directory there are, besides the two of LMDB::

    opening.lock    locked by who opens or closes the snapshot
    in-use.lock     locked, together with others, by all who have it open
    verdict.json    {inode, problem}: what the next opening has to know about the data file
    left.json       {server, size, mtime}: whose it is, and how it was left; only in a lasting place
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import Struct
from typing import Any

from hotsession.private_dir import distrust
from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.probing import probed

logger = logging.getLogger("hotsession")

DATA = "data.mdb"
LOCKS = "lock.mdb"
VERDICT = "verdict.json"
_LEFT = "left.json"
_META = Struct(
    "=QHHI II QQ I44s48s QQ"
)  # page: number, pad, flags, space; magic, format, map; two trees; last page, age
_MAGIC = 0xBEEFC0DE
_FORMAT = 1
_META_PAGE = 8
_SMALLEST_PAGE, _LARGEST_PAGE = 512, 32768


@contextmanager
def opening(directory: Path) -> Iterator[None]:
    """Let nobody else open or close the snapshot meanwhile.

    Raises:
        SnapshotUnusable: the directory can't be trusted or written.
    """
    try:
        why = distrust(directory)
    except FileNotFoundError:
        raise SnapshotUnusable(f"{directory} is not there: make it (chmod 700)") from None
    if why:
        raise SnapshotUnusable(f"{directory} is not read, {why}: give it to this user alone (chmod 700), or remove it")
    try:
        descriptor = _open(directory / "opening.lock")
    except OSError as error:
        raise SnapshotUnusable(
            f"{directory} can't be written ({error.strerror}): name another, or make room"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def put_right(directory: Path, server: str | None) -> tuple[str, ...]:
    """Look at the files before they are opened, within `opening`, and move them aside if they can't be trusted.

    Args:
        directory: where they are.
        server: the dev server of this process if the snapshot outlasts it, else None.

    Returns:
        What was found and done, one line each.
    """
    problem = _problem(directory, server)
    return () if problem is None else (move_aside(directory, problem),)


def move_aside(directory: Path, problem: str) -> str:
    """Rename the files, so that new ones take their place, and return a line about it.

    Raises:
        SnapshotUnusable: they can't be renamed.
    """
    number = 1
    while any(os.path.lexists(directory / f"{name}.broken-{number}") for name in (DATA, LOCKS)):
        number += 1
    try:
        for name in (DATA, LOCKS):
            with suppress(FileNotFoundError):
                (directory / name).rename(directory / f"{name}.broken-{number}")
        (directory / VERDICT).unlink(missing_ok=True)
    except OSError as error:
        raise SnapshotUnusable(f"{directory / DATA} is not used, {problem}: remove it, it can't be renamed") from error
    return (
        f"What was carried over so far is not used, {problem}. It was moved aside to "
        f"{directory / DATA}.broken-{number}; remove that when nobody wants to look at it"
    )


def condemn(data: Path, problem: str) -> None:
    """Have the next opening move the data file aside."""
    try:
        verdict = json.dumps({"inode": data.stat().st_ino, "problem": problem})
        _write(data.parent / VERDICT, verdict)
    except OSError as error:
        logger.warning("The damaged snapshot in %s can't be marked as such: %s", data.parent, error)


class Use:
    """That this process has the snapshot open, as others see it.

    Args:
        directory: where it is.
        server: as in `put_right`.
    """

    def __init__(self, directory: Path, server: str | None) -> None:
        self._directory = directory
        self._server = server
        self.is_lasting = server is not None
        self._descriptor = _open(directory / "in-use.lock")
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        if server is not None:
            self._note({})

    def end(self) -> None:
        """Say that it is closed, and note how the data file is left if this was the last that had it open."""
        os.close(self._descriptor)
        if not self.is_lasting:
            return
        try:
            with opening(self._directory):
                if not _is_in_use(self._directory):
                    self._note(_state(self._directory / DATA))
        except (OSError, SnapshotUnusable) as error:
            logger.warning("How the snapshot in %s is left can't be noted: %s", self._directory, error)

    def _note(self, state: dict[str, Any]) -> None:
        try:
            _write(self._directory / _LEFT, json.dumps({"server": self._server, **state}))
        except OSError as error:
            logger.warning("How the snapshot in %s is left can't be noted: %s", self._directory, error)


def judged(data: Path) -> tuple[str | None, bool]:
    """What is wrong with a data file, by its first two pages alone, and whether it is shorter than they say.

    The newer of the two says which page is the last. A shorter file may be in order, if that page was given up in the
    transaction in which it was taken; but to read beyond its end is a bus error.
    """
    size = data.stat().st_size
    if not size:
        return None, False  # LMDB takes it for a new one
    with data.open("rb") as file:
        first = file.read(_META.size)
        page = _META.unpack(first)[8] if len(first) == _META.size else 0
        if not _SMALLEST_PAGE <= page <= _LARGEST_PAGE or size < 2 * page:
            return "its first page is damaged", False
        file.seek(page)
        second = file.read(_META.size)
    metas = [_META.unpack(each) for each in (first, second) if len(each) == _META.size]
    if len(metas) < 2 or any(meta[2] != _META_PAGE or meta[4:6] != (_MAGIC, _FORMAT) for meta in metas):
        return "its first pages are damaged, or of another kind of file", False
    newest = max(metas, key=lambda meta: int(meta[-1]))
    return None, size < (int(newest[-2]) + 1) * page


def _problem(directory: Path, server: str | None) -> str | None:
    """Why the files must not be opened."""
    data = directory / DATA
    for path in (data, directory / LOCKS):
        if os.path.lexists(path):
            reason = _distrust(path)
            if reason:
                return f"{path.name} can't be trusted: {reason}"
    if not data.exists():
        return None
    verdict = _read(directory / VERDICT)
    if verdict.get("inode") == data.stat().st_ino:
        return f"it is damaged: {verdict.get('problem')}"
    problem, is_short = judged(data)
    if problem is None and (is_short or (server is not None and _is_strange(data, server))):
        problem = probed(data, at_rest=not _is_in_use(directory))
    return None if problem is None else f"it is damaged: {problem}"


def _distrust(path: Path) -> str | None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}"
    if found.st_mode & 0o077:
        return f"others may use it (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


def _is_strange(data: Path, server: str) -> bool:
    """Whether the file comes from another dev server and is not what the last worker of that left in good order."""
    left = _read(data.parent / _LEFT)
    return left.get("server") != server and left != {"server": left.get("server"), **_state(data)}


def _state(data: Path) -> dict[str, Any]:
    found = data.stat()
    return {"size": found.st_size, "mtime": found.st_mtime_ns}


def _is_in_use(directory: Path) -> bool:
    descriptor = _open(directory / "in-use.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _read(path: Path) -> dict[str, Any]:
    """What a small file says; nothing if it is not there, not ours, or not what we wrote."""
    try:
        found = None if _distrust(path) else json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, text: str) -> None:
    """Write a small file, whole or not at all."""
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.rename(path)
