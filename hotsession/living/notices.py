"""What is said in the log of objects that follow their classes: by name, each thing once. Knows no session."""

from __future__ import annotations

import logging
import traceback
from collections import Counter

from hotsession.living.outcome import Failed, Left, Outcome, counted

logger = logging.getLogger("hotsession")


class Notices:
    """Says things once, and counts what is said in one line when all is done."""

    def __init__(self) -> None:
        self.converted: Counter[str] = Counter()  # since the last line
        self.sessions = 0  # in which that was
        self._told: set[tuple[str, ...]] = set()

    def __repr__(self) -> str:
        return f"<Notices {counted(self.converted)} in {self.sessions} sessions>"

    def forget_counts(self) -> None:
        """Begin counting anew."""
        self.converted.clear()
        self.sessions = 0

    def tell(self, whose: str, root: str, outcome: Outcome) -> list[Left]:
        """Say what became of the objects of a session or kept value.

        Args:
            whose: what they are part of, in words.
            root: what a path begins with, ``session`` for one.
            outcome: what became of them.

        Returns:
            The objects that stay as they were and that are told of for the first time.
        """
        for name, count in outcome.converted.items():
            if count > 0:
                self._told = {each for each in self._told if each[:2] != ("left", name)}
        first = [left for left in outcome.left if self._first("left", left.cls, left.why)]
        for left in first:
            self._left(whose, root, left)
        self._fields(whose, outcome)
        for name, count in outcome.anew.items():
            if self._first("anew", name):
                logger.info(
                    "%s: %d %s could not change in place, as the class lays its objects out otherwise now (slots). "
                    "Others with the same content stand for them; what is held elsewhere is still the old one.",
                    whose,
                    count,
                    name,
                )
        for failed in outcome.failed:
            self._failed(whose, root, failed)
        return first

    def _fields(self, whose: str, outcome: Outcome) -> None:
        for name in outcome.missing:
            if self._first("missing", name):
                logger.warning(
                    "%s: objects from before the save have no value for %s, which is new and has no default. "
                    "Give it one, say with @hotsession.renamed() what it was called, or convert them with "
                    "hotsession.migrate().",
                    whose,
                    name,
                )
        for name in outcome.set_aside:
            if self._first("set aside", name):
                logger.info(
                    "%s: there is no field %s any more. What objects had in it is kept aside, and returns with the "
                    "field or with another that @hotsession.renamed() tells of.",
                    whose,
                    name,
                )

    def _left(self, whose: str, root: str, left: Left) -> None:
        logger.warning(
            "%s: %s%s, a %s, stays as it was, with its old code: %s. %s.",
            whose,
            root,
            left.path,
            left.cls,
            left.why,
            left.cure,
        )

    def _failed(self, whose: str, root: str, failed: Failed) -> None:
        if self._first("failed", whose, failed.path, repr(failed.error)):
            frames = traceback.extract_tb(failed.error.__traceback__)
            logger.error(
                "%s: %s. It is tried again after the next save.%s",
                whose,
                failed_words(root, failed),
                "".join(["\n", *traceback.format_list(frames)]).rstrip(),
            )

    def _first(self, *what: str) -> bool:
        if what in self._told:
            return False
        self._told.add(what)
        return True


def failed_words(root: str, failed: Failed) -> str:
    """What is said of an object whose own conversion raised."""
    return (
        f"{root}{failed.path} is a {failed.cls} that could not be converted, and stays as it was: "
        f"{failed.step} raised {type(failed.error).__name__}: {failed.error}"
    )
