"""The terminal on standard input: whose turn it is there, and how it was found.

It knows nothing about keys and their meaning.
"""

from __future__ import annotations

import bdb
import builtins
import contextlib
import functools
import io
import os
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


def terminal() -> int | None:
    """The file descriptor of standard input if it is a terminal."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no stdin, a closed one, a replaced one
        fd = sys.stdin.fileno()
        if os.isatty(fd):
            return fd
    return None


def in_foreground(fd: int) -> bool:
    """Whether this process may read from the terminal now, without being stopped for it."""
    with contextlib.suppress(OSError):
        return os.tcgetpgrp(fd) == os.getpgrp()
    return False


def takes_lines(fd: int) -> bool:
    """Whether the terminal is in the mode of a shell prompt: a program that reads keys or a password changes it."""
    with contextlib.suppress(termios.error):
        modes: int = termios.tcgetattr(fd)[3]
        return modes & termios.ICANON != 0 and modes & termios.ECHO != 0
    return False


@contextlib.contextmanager
def restored(fd: int | None) -> Iterator[Callable[[], None]]:
    """Hand out a function that puts the terminal back into the mode it had at the start of the block.

    A worker that is killed at a prompt leaves the terminal without echo.
    """
    if fd is None:
        yield lambda: None
        return
    mode = termios.tcgetattr(fd)

    def restore() -> None:
        with contextlib.suppress(termios.error):
            if in_foreground(fd) and termios.tcgetattr(fd) != mode:
                termios.tcsetattr(fd, termios.TCSANOW, mode)

    yield restore


def debugger_active() -> bool:
    """Whether pdb or another `bdb.Bdb` steps through any thread: the next line is for it, even between its prompts."""
    return _steps(sys.gettrace()) or any(_is_stepped(frame) for frame in sys._current_frames().values())


def _is_stepped(frame: FrameType | None) -> bool:
    while frame is not None:
        if _steps(frame.f_trace):
            return True
        frame = frame.f_back
    return False


def _steps(trace: object) -> bool:
    """Whether `trace` belongs to a debugger that will stop; frames keep it also after its `continue` and `quit`."""
    debugger = getattr(trace, "__self__", None)
    if not isinstance(debugger, bdb.Bdb) or getattr(debugger, "quitting", False):
        return False
    return not (debugger.stopframe is debugger.botframe and debugger.stoplineno == -1)


class Readers:
    """Counts who reads from standard input right now, in whichever thread.

    `install` wraps `input` and puts in place of `sys.stdin` a stream over the same buffer that says when it is read.
    """

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Readers now={self._count}>"

    def __bool__(self) -> bool:
        return self._count > 0

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Count as a reader while the block runs."""
        with self._lock:
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1

    def install(self) -> None:
        """Notice reads of this process's own code from now on."""
        readers, original = self, builtins.input

        @functools.wraps(original)
        def counted(prompt: object = "", /) -> str:
            with readers.reading():
                return original(prompt)

        builtins.input = counted
        found = sys.stdin
        sys.stdin = _Stdin(found.buffer, self, encoding=found.encoding, errors=found.errors)


class _Stdin(io.TextIOWrapper):
    """Standard input that says when somebody reads from it."""

    def __init__(self, buffer: Any, readers: Readers, **options: Any) -> None:
        super().__init__(buffer, **options)
        self._readers = readers

    def read(self, size: int | None = -1, /) -> str:
        with self._readers.reading():
            return super().read(size)

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        with self._readers.reading():
            return super().readline(size)

    def readlines(self, hint: int = -1, /) -> list[str]:  # type: ignore[override]
        with self._readers.reading():
            return super().readlines(hint)

    def __next__(self) -> str:  # type: ignore[override]
        with self._readers.reading():
            return super().__next__()
