"""What is said in the log about what could not be carried over, each thing once. Knows no store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

from hotsession.snapshot.importing import is_importing
from hotsession.snapshot.pickling import LeftOut
from hotsession.snapshot.unpickling import Parked

logger = logging.getLogger("hotsession")


class Notices:
    """Says things once, and remembers what has to be listed.

    Args:
        is_known: notes what was said, and tells whether a process before this one had said it.
    """

    def __init__(self, is_known: Callable[[str], bool] = lambda what: False) -> None:
        self._is_known = is_known
        self._told: set[Hashable] = set()
        self.left: dict[str, str] = {}  # what was left out: its path, and of which type it is
        self.waiting: dict[str, str] = {}  # what is kept as bytes, and why
        self.is_failing = False  # whether the last write failed
        self._held_back: dict[str, str] = {}  # of what is waiting: what can't be read before all code is imported

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
        if self._is_known(f"left out {group} {path} {each.type}"):
            return
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
        label = _label(whose, each)
        self.waiting[label] = each.why
        if is_importing():
            self._held_back[label] = each.why
        else:
            self._held_back.pop(label, None)
            self._say_parked(label, each.why)

    def speak(self) -> None:
        """All code is imported, and was tried again: say what still can't be read."""
        while self._held_back:
            self._say_parked(*self._held_back.popitem())

    def returned(self, whose: str, each: Parked) -> None:
        """A part that could not be read can be again."""
        self.readable(_label(whose, each))

    def displaced(self, whose: str, each: Parked) -> None:
        """A part can be read again, but something else is in its place."""
        label = _label(whose, each)
        self._held_back.pop(label, None)
        self.waiting[label] = "something else is in its place"
        if self._first(("displaced", label)):
            logger.warning(
                "%s can be read again, but the app has something else there by now, which stays. "
                "The bytes are kept until the place is free.",
                label,
            )

    def refused(self, whose: str) -> None:
        """A change could not be written, because a later process has written the same thing."""
        if self._first(("refused", whose)):
            logger.warning(
                "%s was changed in this process after a newer one had changed it: what the newer one wrote stays in "
                "the snapshot, and what was changed here ends with this process.",
                whose,
            )

    def readable(self, label: str) -> None:
        """What could not be read can be again."""
        is_news = self.waiting.pop(label, None) is not None
        if self._held_back.pop(label, None) is not None:
            return  # it came as soon as it could
        if is_news or self._first(("back", label)):
            logger.info("%s can be read again and is back", label)

    def unreadable(self, what: str, error: Exception) -> None:
        """Nothing of it can be read."""
        self.waiting[what] = str(error)
        if self._first(("unreadable", what, str(error))):
            logger.error("%s can't be read: %s. Its bytes are kept aside in the snapshot.", what, error)

    def _say_parked(self, label: str, why: str) -> None:
        if self._first(("parked", label, why)):
            logger.warning(
                "%s can't be read: %s. Its bytes are kept, and it returns when it can be read again.", label, why
            )

    def _first(self, what: Hashable) -> bool:
        if what in self._told:
            return False
        self._told.add(what)
        return True


def _label(whose: str, each: Parked) -> str:
    return f"{whose}: {each.label}" if each.label else whose
