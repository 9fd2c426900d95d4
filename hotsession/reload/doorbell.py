"""Tells that a file of interest changed below some directories, without saying how: a thread can sleep until then.

The watcher polls, and polling quickly enough to act on a save within two milliseconds would keep a processor busy
for nothing all day. Where the system has inotify (Linux) this rings at once and costs nothing while it is quiet; what
rang is then asked of the watcher. It may ring for nothing and may miss what is new in a directory that was just
made, so whoever listens has to look from time to time anyway.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

if sys.platform == "linux":
    from inotify_simple import INotify, flags

    _WRITTEN = flags.MODIFY | flags.CLOSE_WRITE | flags.ATTRIB
    _ITSELF = flags.DELETE_SELF | flags.MOVE_SELF
    _MOVED = flags.MOVED_TO | flags.MOVED_FROM | flags.CREATE | flags.DELETE


class Doorbell:
    """Rings when a wanted file changes in one of the directories below `roots`.

    Args:
        roots: absolute paths of directories; all directories below them are watched as well.
        wanted_directory: whether a directory is of interest; what lies below one that is not isn't visited.
        wanted_file: whether a file is of interest.
    """

    def __init__(
        self, roots: Iterable[str], wanted_directory: Callable[[str], bool], wanted_file: Callable[[str], bool]
    ) -> None:
        self._wanted_directory = wanted_directory
        self._wanted_file = wanted_file
        self._inotify: Any = None
        self._stopped: int | None = None  # what `stop` writes to; guarded by:
        self._closing = threading.Lock()
        self._is_stopped = False
        self._directories: dict[int, str] = {}
        if sys.platform == "linux":
            self._hang(tuple(roots))

    def __bool__(self) -> bool:
        """Whether it can ring at all: the system has inotify, and watches to spare."""
        return self._inotify is not None

    def _hang(self, roots: tuple[str, ...]) -> None:
        try:
            self._inotify = INotify()
            self._stopped = os.eventfd(0, os.EFD_CLOEXEC)
            for root in roots:
                self._add(root)
        except OSError:
            self.close()
            return
        self._poll = select.poll()
        self._poll.register(self._stopped, select.POLLIN)
        self._poll.register(self._inotify.fileno(), select.POLLIN)

    def _add(self, directory: str) -> None:
        for path, names, _ in os.walk(directory):
            names[:] = [name for name in names if self._wanted_directory(os.path.join(path, name))]
            self._directories[self._inotify.add_watch(path, _WRITTEN | _MOVED | _ITSELF | flags.ONLYDIR)] = path

    def wait(self, seconds: float) -> bool:
        """Sleep until something happened, `stop` was called or `seconds` are over; True when something happened."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._poll.poll(left * 1000)
            rings = [self._rings(event) for event in self._inotify.read(timeout=0)]  # all: some add a new directory
            if any(rings) or self._is_stopped:
                return any(rings)
        return False

    def _rings(self, event: Any) -> bool:
        if event.mask & _ITSELF:
            return True
        path = os.path.join(self._directories.get(event.wd, ""), event.name)
        if not event.mask & flags.ISDIR:
            return self._wanted_file(path)
        if event.mask & (flags.CREATE | flags.MOVED_TO) and self._wanted_directory(path):
            try:
                self._add(path)
            except OSError:  # gone again, or the system's limit is reached: the watcher still sees what happens there
                return True
        return bool(event.mask & _MOVED)

    def stop(self) -> None:
        """Wake the thread that waits. Any thread may call this."""
        with self._closing:
            self._is_stopped = True
            if self._stopped is not None:
                os.eventfd_write(self._stopped, 1)

    def close(self) -> None:
        """Give the system's resources back. Only when no thread waits any more."""
        with self._closing:
            if self._inotify is not None:
                self._inotify.close()
                self._inotify = None
            if self._stopped is not None:
                os.close(self._stopped)
                self._stopped = None
