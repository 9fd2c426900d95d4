"""What is said in the log about what could not be carried over, each thing once. Knows no store."""

from __future__ import annotations

import logging
from collections.abc import Hashable

from hotsession.snapshot.pickling import LeftOut
from hotsession.snapshot.unpickling import Parked

logger = logging.getLogger("hotsession")


class Notices:
    """Says things once, and remembers what has to be listed."""

    def __init__(self) -> None:
        self._told: set[Hashable] = set()
        self.left: dict[str, str] = {}  # what was left out: its path, and of which type it is
        self.waiting: dict[str, str] = {}  # what is kept as bytes, and why
        self.is_failing = False  # whether the last write failed

    def __repr__(self) -> str:
        return f"<Notices left={self.left} waiting={self.waiting}>"

    def left_out(self, group: str, whose: str, root: str, each: LeftOut) -> None:
        """A part that can't be written is left out, and everything beside it is written.

        Args:
            group: what counts as one place together with the path: the manager's or the value's name.
            whose: what it is part of, in words.
            root: what the path begins with, ``session`` for one.
            each: what was left out.
        """
        path = f"{root}{each.path}"
        if not self._first(("left out", group, path, each.type)):
            return
        self.left[f"{path} of {group!r}"] = each.type
        logger.warning(
            "%s: %s is a %s, which no restart can carry over (%s). It alone is left out. Keep such things with "
            'hotsession.keep(name, factory, restart="rebuild"), or leave them out yourself in __getstate__.',
            whose,
            path,
            each.type,
            each.reason,
        )

    def too_slow(self, name: str, seconds: float) -> None:
        """A kept value takes so long to write that it is written at the end only."""
        if self._first(("too slow", name)):
            logger.warning(
                "%r takes more than %.0f ms to write, so it is written only when the process is told to end and by "
                "hotsession.flush(): after kill -9 it is what it was then. A dict or list is written part by part.",
                name,
                seconds * 1000,
            )

    def not_written(self, error: Exception) -> None:
        """The snapshot can't be written; said again when it is for another reason, or once more after it could be."""
        self.is_failing = True
        if self._first(("not written", str(error))):
            logger.error("What changes is not carried over a restart from now on: %s", error)

    def written_again(self) -> None:
        """The snapshot can be written again."""
        self.is_failing = False
        self._told = {each for each in self._told if not (isinstance(each, tuple) and each[0] == "not written")}
        logger.info("What changes is carried over a restart again")

    def not_read(self, error: Exception) -> None:
        """The snapshot can't be read."""
        if self._first(("not read", str(error))):
            logger.error("What was carried over a restart can't be read: %s", error)

    def not_pickled(self, whose: str, error: Exception) -> None:
        """Pickling something failed in a way that does not tell a part that could be left out."""
        if self._first(("not pickled", whose, repr(error))):
            logger.error("%s can't be written to the snapshot now: %r. It is tried again.", whose, error)

    def parked(self, whose: str, each: Parked) -> None:
        """A part can't be read: its bytes are kept until it can."""
        label = f"{whose}: {each.label}" if each.label else whose
        self.waiting[label] = each.why
        if self._first(("parked", whose, each.label, each.why)):
            logger.warning(
                "%s can't be read: %s. Its bytes are kept, and it returns when it can be read again.", label, each.why
            )

    def returned(self, whose: str, each: Parked) -> None:
        """A part that could not be read can be again."""
        self.readable(f"{whose}: {each.label}" if each.label else whose)

    def readable(self, label: str) -> None:
        """What could not be read can be again."""
        if self.waiting.pop(label, None) is not None or self._first(("back", label)):
            logger.info("%s can be read again and is back", label)

    def unreadable(self, what: str, error: Exception) -> None:
        """Nothing of it can be read."""
        self.waiting[what] = str(error)
        if self._first(("unreadable", what, str(error))):
            logger.error("%s can't be read: %s. Its bytes are kept aside in the snapshot.", what, error)

    def _first(self, what: Hashable) -> bool:
        if what in self._told:
            return False
        self._told.add(what)
        return True
