"""Values that are read amid the import of the app, whose steps may be registered further below: they are run then.

A class that is known when a value is read may get a step (`hotsession.migrate`) from a module that is imported later.
Nothing tells its objects from those that have passed it, so which shape the classes had at that moment is noted, and
the value is not written before the steps have been run. Knows no store.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotsession.living.classes import living
from hotsession.living.conversion import Conversion
from hotsession.living.restored import Restored
from hotsession.living.shapes import Shape, shape_of
from hotsession.living.versions import steps_between
from hotsession.snapshot.importing import is_importing
from hotsession.snapshot.reading import noted

logger = logging.getLogger("hotsession")


class EarlyValues:
    """What was read too early to have passed all steps."""

    def __init__(self) -> None:
        self._shapes: dict[str, dict[type, Shape]] = {}  # of the classes that were met, by the name of the value
        self._failed: set[str] = set()

    def __repr__(self) -> str:
        return f"<EarlyValues {sorted(self._shapes)}>"

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Note which classes are met while a value is read in the block."""
        self._shapes.pop(name, None)
        self._failed.discard(name)
        if not is_importing():
            yield
            return
        with noted() as classes:
            yield
        self._shapes[name] = {cls: shape_of(cls) for cls in classes}

    def names(self) -> set[str]:
        """The names of the values that may have to pass steps still."""
        return {*self._shapes}

    def may_be_written(self, name: str, value: Any, whose: str, *, now: bool = False) -> bool:
        """Have a value pass the steps that it has not passed, and say whether it can be written.

        Args:
            name: of the value.
            value: it.
            whose: the value, for the log.
            now: do not wait for the end of the import, it may never come.
        """
        if name not in self._shapes:
            return True
        is_complete = not is_importing()
        if name in self._failed or not (is_complete or now):
            return False
        changed = {cls: shape for cls, shape in self._shapes[name].items() if _has_further_steps(cls, shape)}
        if changed and not self._follow(value, changed, whose):
            self._failed.add(name)
            return False
        if is_complete:
            del self._shapes[name]
        else:
            self._shapes[name].update({cls: shape_of(cls) for cls in changed})
        return True

    def _follow(self, value: Any, changed: dict[type, Shape], whose: str) -> bool:
        rules = Restored({}, {})
        rules.changed = changed
        known = living()
        with known.lock:
            outcome = Conversion(value, rules).finish()
        known.notices.tell(whose, "it", outcome)
        if outcome.failed:
            logger.error(
                "%s is not written until that is mended: what is in the snapshot stays, and is tried again then.", whose
            )
        return not outcome.failed


def _has_further_steps(cls: type, before: Shape) -> bool:
    """Whether a class has been given steps. Objects that had passed these before remember that themselves."""
    return bool(steps_between(before.passed_by(cls), before.version, cls))
