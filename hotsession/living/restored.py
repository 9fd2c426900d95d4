"""Objects that come from bytes, made by the classes as they are now, brought from the shapes that they were written in.

The rules are those of a reload. What is different: nobody holds the objects yet, their classes are the new ones
already, and what can't be converted is no object at all: it stays in its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hotsession.living.changes import Change, change
from hotsession.living.classes import living
from hotsession.living.conversion import Conversion
from hotsession.living.generics import origin_of
from hotsession.living.kinds import Kind
from hotsession.living.outcome import Failed, Left
from hotsession.living.shapes import PLAIN, Shape, shape_of


class NotConverted(Exception):
    """An object could not be brought to its class as it is now.

    Args:
        found: which, and why.

    Attributes:
        failed: the same, if it was a step of the user's that raised.
    """

    def __init__(self, found: Failed | Left) -> None:
        self.failed = found if isinstance(found, Failed) else None
        if isinstance(found, Failed):
            why = f"{found.step} raised {type(found.error).__name__}: {found.error}"
        else:
            why = found.why
        super().__init__(f"the {found.cls} at {found.path or 'its root'} could not be converted: {why}")


class Restored:
    """Which classes have another shape now than when objects of theirs were written.

    Args:
        written: the shapes that they were written in, by module and name; others were `PLAIN`.
        classes: the classes as they are now, by the module and name that they were written by.
    """

    def __init__(self, written: Mapping[tuple[str, str], Shape], classes: Mapping[tuple[str, str], type]) -> None:
        known = living()
        self.changed: dict[type, Shape] = {}
        self._owns = known.owns
        self.learn(written, classes)
        self.asides = known.asides
        self.twins: dict[int, tuple[Any, Any]] = {}
        self._kind_of = known.kind_of

    def __repr__(self) -> str:
        return f"<Restored with {sorted(each.__qualname__ for each in self.changed)} changed>"

    def learn(self, written: Mapping[tuple[str, str], Shape], classes: Mapping[tuple[str, str], type]) -> None:
        """Take note of further classes, as at first."""
        for name, cls in classes.items():
            old = written.get(name) or written.get((cls.__module__, cls.__qualname__))
            if (old or PLAIN) != shape_of(cls) and (old is not None or self._owns(cls)):
                self.changed[cls] = old or PLAIN

    def convert(self, root: Any) -> Any:
        """Bring all that hangs on an object to the shapes that its classes have now; return what it is then.

        Raises:
            NotConverted: a step of the user's raised.
        """
        holder = [root]
        outcome = Conversion(holder, self).finish()
        for failed in outcome.failed:
            raise NotConverted(failed) from failed.error
        for left in outcome.left:
            raise NotConverted(left)
        living().notices.tell("after the restart", "it", outcome)
        return holder[0]

    def change_of(self, cls: type) -> Change | None:
        """What became of a class; None if it has the shape that it had."""
        old = self.changed.get(origin_of(cls))
        return None if old is None or issubclass(cls, tuple) else change(cls, old, cls)

    def kind_of(self, cls: type) -> Kind:
        """How objects of a class hold others."""
        return self._kind_of(cls)

    def reference(self, found: Any) -> Any:
        """A class or function, as it was found by its name just now."""
        return found
