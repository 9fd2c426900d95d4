"""Watches the user's files and delivers what changed. The only user of watchfiles.

On Linux a doorbell (doorbell.py) wakes it, so it costs nothing while nobody saves. Elsewhere watchfiles is asked every
few milliseconds.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path, PurePath
from typing import Literal

import watchfiles

from hotsession.events import Change
from hotsession.ownership import Ownership
from hotsession.reload.doorbell import Doorbell

logger = logging.getLogger("hotsession.reload")

_STEP_MS = 1  # a batch ends when nothing came for this long
_POLLING_STEP_MS = 10  # the same without a doorbell, when asking costs time all day
_DEBOUNCE_MS = 50  # a batch never grows longer than this: who acts on it decides whether to wait for more
_LOOK_MS = 20  # how long one look at what watchfiles has takes at most
_ANSWER_SECONDS = 0.5  # how long to go on looking after the doorbell rang: watchfiles may know of it later
_MORE_SECONDS = 0.1  # the same once something was found: one ring may have been for several files
_LOOK_ANYWAY_SECONDS = 5.0  # how often to look without being rung for

_KINDS: dict[watchfiles.Change, Literal["added", "modified", "deleted"]] = {
    watchfiles.Change.added: "added",
    watchfiles.Change.modified: "modified",
    watchfiles.Change.deleted: "deleted",
}
_DEFAULT_EXCLUDES = (".*", ".py[cod]", ".sw.*", "~*")


class FileFilter:
    """Which files to watch: Python's, compiled extensions, and what the user asks for.

    Args:
        ownership: tells own files from others.
        includes: glob patterns of further files.
        excludes: glob patterns of files, or directories, to leave alone. A pattern in both is included.
    """

    def __init__(self, ownership: Ownership, includes: Iterable[str] = (), excludes: Iterable[str] = ()) -> None:
        excludes = tuple(excludes)
        self._ownership = ownership
        self._includes = tuple(p for p in ("*.py", *(f"*{s}" for s in EXTENSION_SUFFIXES)) if p not in excludes)
        self._includes += tuple(includes)
        directories = {each: Path(each).resolve() for each in excludes if Path(each).is_dir()}
        self._excluded_directories = tuple(str(path) + os.sep for path in directories.values())
        self._excludes = tuple(e for e in (*_DEFAULT_EXCLUDES, *excludes) if e not in (*self._includes, *directories))
        self._suffixes = tuple(p[1:] for p in self._includes if p.startswith("*.") and not set(p[1:]) & set("*?["))

    def __call__(self, path: str) -> bool:
        """Whether the file at `path` is watched."""
        if not path.endswith(self._suffixes) and not any(PurePath(path).match(each) for each in self._includes):
            return False
        if path.startswith(self._excluded_directories) or any(PurePath(path).match(each) for each in self._excludes):
            return False
        return self._ownership.owns(path)

    def directory(self, path: str) -> bool:
        """Whether anything in the directory at `path` can be watched."""
        return self._ownership.owns_directory(path) and not f"{path}{os.sep}".startswith(self._excluded_directories)


class Watcher:
    """A thread that delivers batches of changes.

    Args:
        roots: the watched directories.
        wanted: which files count.
        deliver: is called in the watcher's thread with each batch.
        poll: look at the files themselves instead of listening to the system, as network drives need it.
    """

    def __init__(
        self,
        roots: Iterable[str],
        wanted: FileFilter,
        deliver: Callable[[frozenset[Change]], None],
        *,
        poll: bool = False,
    ) -> None:
        self._roots = tuple(roots)
        self._wanted = wanted
        self._deliver = deliver
        self._poll = poll
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._doorbell: Doorbell | None = None
        self._returned = False
        self._thread = threading.Thread(target=self._run, name="hotsession watcher", daemon=True)

    def __repr__(self) -> str:
        return f"<Watcher of {', '.join(self._roots)}>"

    def start(self) -> None:
        """Start watching; what changes from the return of this call on is delivered."""
        _quiet_watchfiles()
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        doorbell = self._doorbell
        if doorbell is not None:
            doorbell.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            present = tuple(root for root in self._roots if os.path.isdir(root))
            try:
                if present:
                    self._watch(present)
            except OSError as error:
                logger.warning("Watching %s failed: %s. Trying again.", ", ".join(present), error)
            self._ready.set()
            if not self._stopping.is_set():
                self._await_return()

    def _watch(self, roots: tuple[str, ...]) -> None:
        """Deliver changes below `roots` until one of all the watched directories vanishes or appears."""
        identity = _identity(self._roots)
        self._doorbell = None if self._poll else Doorbell(roots, self._wanted.directory, self._wanted)
        changes = self._open(roots)
        look_until = 0.0
        try:
            for batch in changes:
                self._ready.set()
                found = self._found(batch)
                if self._returned:  # and not before it is watched: what is written in between would go unseen
                    self._returned = False
                    found = found.union(*map(self._all_below, roots))
                if found:
                    self._deliver(found)
                    look_until = time.monotonic() + _MORE_SECONDS
                if self._stopping.is_set() or _identity(self._roots) != identity:
                    return
                if self._doorbell and time.monotonic() >= look_until and self._doorbell.wait(_LOOK_ANYWAY_SECONDS):
                    look_until = time.monotonic() + _ANSWER_SECONDS
        finally:
            changes.close()
            if self._doorbell is not None:
                self._doorbell.close()
                self._doorbell = None

    def _found(self, batch: set[tuple[watchfiles.Change, str]]) -> frozenset[Change]:
        """The wanted files of a batch, and those in directories that are new: they were there before the watch was."""
        found = {Change(path, _KINDS[kind]) for kind, path in batch if self._wanted(path)}
        for kind, path in batch:
            if kind is watchfiles.Change.added and self._wanted.directory(path):
                found |= self._all_below(path)
        return frozenset(found)

    def _all_below(self, directory: str) -> set[Change]:
        files = (os.path.join(top, name) for top, _, names in os.walk(directory) for name in names)
        return {Change(path, "added") for path in files if self._wanted(path)}

    def _open(self, roots: tuple[str, ...]) -> Generator[set[tuple[watchfiles.Change, str]], None, None]:
        """Ask watchfiles; where the system has no watches left it polls, and says so."""
        options = {
            "watch_filter": None,
            "debounce": _DEBOUNCE_MS,
            "step": _STEP_MS if self._doorbell else _POLLING_STEP_MS,
            "rust_timeout": _LOOK_MS if self._doorbell else 1000,
            "yield_on_timeout": True,
            "stop_event": self._stopping,
            "ignore_permission_denied": True,
        }
        try:
            yield from watchfiles.watch(*roots, force_polling=self._poll or None, **options)  # type: ignore[arg-type]
        except OSError as error:
            if self._poll or error.errno not in (errno.ENOSPC, errno.EMFILE, None):
                raise
            logger.warning(
                "The system has no file watches left (%s): looking at the files every 300 ms instead. "
                "Raise fs.inotify.max_user_watches, or watch less with --reload-dir.",
                error,
            )
            options["rust_timeout"] = 1000
            yield from watchfiles.watch(*roots, force_polling=True, **options)  # type: ignore[arg-type]

    def _await_return(self) -> None:
        """Wait for a watched directory that is gone to be there again; all that it holds is going to be delivered."""
        gone = [root for root in self._roots if not os.path.isdir(root)]
        if gone:
            logger.warning("The watched directory %s is gone; waiting for it to come back.", ", ".join(gone))
        while not self._stopping.wait(0.2) and not any(os.path.isdir(root) for root in self._roots):
            pass
        self._returned = True


def _quiet_watchfiles() -> None:
    """Let watchfiles not log each batch, as it would where the app logs everything at INFO.

    A log file below the watched directories would make it endless: the line is a change, which is a line.
    """
    theirs = logging.getLogger("watchfiles.main")
    if not theirs.level:
        theirs.setLevel(logging.WARNING)


def _identity(roots: Iterable[str]) -> tuple[tuple[int, int] | None, ...]:
    """What tells whether directories are still the same ones."""
    return tuple([_inode(each) for each in roots])  # not of an iterator: `gc.get_objects()` shows it half built


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
