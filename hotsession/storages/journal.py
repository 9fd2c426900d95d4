"""Which sessions were written, in which order, so that other processes need to read only these again.

Lines of a number and an id, added *before* the session is written: a writer that dies between the two leaves a line too
many, never one too few. It is not truth but a hint: who has lost the thread reads everything again. It grows to a
size and is followed by the next one; the one before is left for who has not read it to its end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hotsession.storages.disk import Disk

SIZE = 1 << 20  # bytes; some 15,000 writes
LAST = 1024  # bytes in which the last line lies


class Position(NamedTuple):
    """Up to where somebody has read."""

    generation: int
    inode: int
    offset: int


class Journal:
    """The journal of a directory. All but `has_more` is called by who holds the lock of the directory.

    Args:
        directory: where its files are.
        disk: what writes them.
        size: at how many bytes the next file is begun.
    """

    def __init__(self, directory: Path, disk: Disk, size: int = SIZE) -> None:
        self._directory = directory
        self._disk = disk
        self._size = size

    def __repr__(self) -> str:
        return f"<Journal in {self._directory}>"

    def has_more(self, position: Position) -> bool:
        """Whether something was written after a position, or it can't be told any more."""
        generation, inode, offset = position
        try:
            found = os.stat(self._path(generation))  # noqa: PTH116 - asked at each call
        except FileNotFoundError:
            return True
        return found.st_size != offset or found.st_ino != inode or self._path(generation + 1).exists()

    def end(self) -> Position:
        """Where it stands now."""
        generation = self._newest()
        path = self._path(generation)
        if not path.exists():
            self._disk.append(path, b"")
        found = path.stat()
        return Position(generation, found.st_ino, found.st_size)

    def since(self, position: Position) -> tuple[list[tuple[int, str]], Position] | None:
        """What was written after a position, and the position then; None if that can't be told any more."""
        generation, inode, offset = position
        lines: list[tuple[int, str]] = []
        while True:
            path = self._path(generation)
            try:
                with path.open("rb") as file:
                    found = os.fstat(file.fileno())
                    if inode not in (0, found.st_ino) or found.st_size < offset:
                        return None
                    file.seek(offset)
                    data = file.read()
            except FileNotFoundError:
                return None
            lines += _lines(data)
            if not self._path(generation + 1).exists():
                return lines, Position(generation, found.st_ino, offset + len(data))
            generation, inode, offset = generation + 1, 0, 0

    def last(self) -> int:
        """The last number that was given; 0 if that can't be told."""
        return max((number for number, _ in _lines(_tail(self._path(self._newest()))[1])), default=0)

    def note(self, ids: Sequence[str], after: int) -> list[int]:
        """Say that sessions are about to be written.

        Args:
            ids: which.
            after: a number below which none of theirs may be.

        Returns:
            The number of each one's write: microseconds since the epoch, or one more than the last.
        """
        generation = self._newest()
        path = self._path(generation)
        size, end = _tail(path)
        last = max([after, *(number for number, _ in _lines(end))])
        first = max(last + 1, time.time_ns() // 1000)
        numbers = list(range(first, first + len(ids)))
        text = "".join(f"{number} {each}\n" for number, each in zip(numbers, ids, strict=True))
        if size > self._size:
            path, end = self._path(generation + 1), b""
            self._disk.remove(self._path(generation - 1))
        torn = b"\n" if end and not end.endswith(b"\n") else b""
        self._disk.append(path, torn + text.encode())
        return numbers

    def _path(self, generation: int) -> Path:
        return self._directory / f"journal-{generation}"

    def _newest(self) -> int:
        names = (name.removeprefix("journal-") for name in os.listdir(self._directory) if name.startswith("journal-"))  # noqa: PTH208 - names are enough
        # One that was deleted is followed by one of another name, so that nobody takes it for the one he has read.
        return max((int(name) for name in names if name.isdecimal()), default=time.time_ns() // 1000)


def _tail(path: Path) -> tuple[int, bytes]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LAST))
            return size, file.read()
    except FileNotFoundError:
        return 0, b""


def _lines(data: bytes) -> list[tuple[int, str]]:
    """The whole lines; what a crash or a full disk left of one is nobody's."""
    found = []
    for line in data.split(b"\n")[:-1]:
        number, _, written = line.partition(b" ")
        if number.isdigit() and written:
            found.append((int(number), written.decode(errors="replace")))
    return found
