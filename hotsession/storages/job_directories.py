"""A directory for each session, named as the session: its state file, and what the app has left beside it.

::

    DIR/
    ├── .hotsession/               what the processes that use DIR tell each other
    └── {id}/
        ├── session_state.json
        ├── session_state.corrupt-1.json    moved aside: it could not be read
        ├── session_state.removed.json      the session was deleted, the app's files were not
        └── ...                             the app's

Knows the names and how to read and write them; who may write, and when, is decided elsewhere.
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from hotsession.storages import recovery, state_file
from hotsession.storages.disk import Disk, content, draft_of
from hotsession.storages.recovery import Artefacts, Found
from hotsession.storages.state_file import Stored, Unreadable

STATE = "session_state.json"
REMOVED = "session_state.removed.json"
CORRUPT = "session_state.corrupt-{}.json"
LONGEST = 200  # bytes of an id; file systems take 255


class JobDirectories:
    """The directories below one.

    Args:
        root: that one; made when something is written.
        artefacts: what the app's files mean; None if the app did not say.
        disk: what writes.
    """

    def __init__(self, root: Path, artefacts: Artefacts | None, disk: Disk) -> None:
        self.root = root
        self.artefacts = artefacts
        self._text = os.fspath(root)
        self._disk = disk

    def __repr__(self) -> str:
        return f"<JobDirectories {self.root}>"

    def ids(self) -> list[str]:
        """The names of all directories that can be a session's."""
        with os.scandir(self.root) as entries:
            return [entry.name for entry in entries if is_safe(entry.name) and entry.is_dir()]

    def read(self, id: str, *, whole: bool = True) -> Stored | None:
        """The state of a session; None if there is no state file.

        Args:
            id: its id.
            whole: whether payload and result are wanted.

        Raises:
            Unreadable: there is one that says nothing that can be used.
            StorageError: it was written by a newer version.
        """
        try:
            data = content(f"{self._text}/{id}/{STATE}")
        except IsADirectoryError as error:
            raise Unreadable("it is a directory") from error
        return None if data is None else state_file.decoded(data, id, whole=whole)

    def write(self, stored: Stored, *, is_lasting: bool = True) -> None:
        """Write the state of a session; when this returns, the disk has it, if it is to be lasting."""
        directory = self.root / stored.record.id
        is_new = self._disk.make_dir(directory)
        self._disk.replace(directory / STATE, state_file.encoded(stored), is_lasting=is_lasting)
        if is_new:
            self._disk.sync_dir(self.root)

    def is_there(self, id: str) -> bool:
        """Whether a session without a state file can be one: its directory is there, and nobody deleted it."""
        directory = self.root / id
        return directory.is_dir() and not (directory / REMOVED).exists()

    def seen(self, id: str) -> Found:
        """What there is of a session's artefacts."""
        if self.artefacts is None:
            return Found()
        times = {}
        for name in (*self.artefacts.complete, *self.artefacts.begun):
            try:
                times[name] = (self.root / id / name).stat().st_mtime
            except (FileNotFoundError, NotADirectoryError):
                continue
        return recovery.found(self.artefacts, times)

    def set_aside(self, id: str) -> Path:
        """Keep a state file that can't be read under another name, and return that.

        It keeps its own name as well where the file system can do that, until another state takes its place: so a
        crash in between leaves a session that has a state.
        """
        directory = self.root / id
        names = (directory / CORRUPT.format(number) for number in count(1))
        aside = next(path for path in names if not os.path.lexists(path) or _is_same(path, directory / STATE))
        try:
            self._disk.link(directory / STATE, aside)
        except OSError:  # it is a directory, or of a file system that knows no links
            self._disk.rename(directory / STATE, aside)
        return aside

    def has_aside(self, id: str) -> bool:
        """Whether a state file of a session was set aside."""
        return os.path.lexists(self.root / id / CORRUPT.format(1))

    def bury(self, id: str) -> None:
        """Delete a session: its directory if there is nothing but the state in it, else only the state's name."""
        directory = self.root / id
        self.sweep(id)
        if os.listdir(directory) == [STATE]:  # noqa: PTH208 - names are enough
            self._disk.remove(directory / STATE)
            self._disk.remove_dir(directory)
            self._disk.sync_dir(self.root)
        else:
            self._disk.rename(directory / STATE, directory / REMOVED)
            self._disk.sync_dir(directory)

    def sweep(self, id: str) -> None:
        """Remove what a crash left of a write."""
        draft = draft_of(self.root / id / STATE)
        if draft.exists():
            self._disk.remove(draft)


def is_safe(id: str) -> bool:
    """Whether a session with this id has a directory of its own, in ours."""
    if not id or id[0] == "." or "/" in id or "\\" in id or not id.isprintable():
        return False
    try:
        return len(id.encode()) <= LONGEST
    except UnicodeEncodeError:
        return False


def _is_same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)
