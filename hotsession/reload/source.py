"""Compiled code of own modules, from their source as it is now.

The import system's ``.pyc`` files are not used: two saves of equal size within one second leave one that it
believes and that holds the first of the two. What did not change is kept compiled in memory.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from types import CodeType


@dataclass(frozen=True, slots=True)
class Source:
    """One file as it was read.

    Args:
        data: its bytes.
        mtime_ns: its time of last change, in nanoseconds, taken before it was read.
        code: what it compiles to.
    """

    data: bytes
    mtime_ns: int
    code: CodeType


class SourceCache:
    """Compiles each version of a file once, whatever path leads to it. Safe from threads."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}
        self._directories: dict[str, str] = {}
        self._lock = threading.Lock()

    def code(self, path: str) -> CodeType:
        """The code of the file at `path` as it is now.

        Raises:
            OSError: it can't be read.
            SyntaxError: it can't be compiled.
        """
        mtime_ns, data = read(path)
        key = self.real(path)
        known = self._sources.get(key)
        code = known.code if known is not None and known.data == data else _compiled(data, path)
        with self._lock:
            self._sources[key] = Source(data, mtime_ns, code)
        return code

    def real(self, path: str) -> str:
        """Where the file at `path` really lies. Links to directories are looked up once: there are many files."""
        directory, name = os.path.split(path)
        if directory not in self._directories:
            self._directories[directory] = os.path.realpath(directory)
        found = os.path.join(self._directories[directory], name)
        return os.path.realpath(found) if os.path.islink(found) else found

    def paths(self) -> tuple[str, ...]:
        """All files that were read."""
        return tuple(self._sources)

    def is_current(self, path: str) -> bool:
        """Whether the file at `path` is still, to the byte and in its time stamp, what was last read of it."""
        known = self._sources.get(self.real(path))
        try:
            return known is not None and (known.mtime_ns, known.data) == read(path)
        except OSError:
            return False

    def was_emptied(self, path: str) -> bool:
        """Whether the file at `path` is empty now and was not when it was last read: an editor may be writing it."""
        known = self._sources.get(self.real(path))
        try:
            return known is not None and bool(known.data) and os.stat(path).st_size == 0
        except OSError:
            return False


def _compiled(data: bytes, path: str) -> CodeType:
    try:
        code: CodeType = SourceFileLoader("", path).source_to_code(data, path)
    except SyntaxError as error:
        error.filename = error.filename or path  # of null bytes the compiler does not say where they are
        raise
    return code


def read(path: str) -> tuple[int, bytes]:
    """The time stamp in nanoseconds and the bytes of the file at `path`; the stamp is never newer than the bytes."""
    with open(path, "rb", buffering=0) as file:
        mtime_ns = os.fstat(file.fileno()).st_mtime_ns
        return mtime_ns, file.read()
