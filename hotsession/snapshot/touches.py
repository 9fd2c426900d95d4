"""Which sessions a request, a connection or a task was given: those whose data it may have changed.

In memory a session's data is a plain object that anybody who has it may change without a word. Whoever was given one
is known by the context that he runs in, and what he starts inherits it, so as long as a `Touches` is referred to
anywhere, its sessions may still change.
"""

from __future__ import annotations

import weakref
from collections import deque
from contextvars import ContextVar


class Touches(set[str]):
    """The ids of the sessions that were given to one request or connection, and to the tasks that it started."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<Touches {len(self)}>"


NOTHING = Touches()
"""What is given where nothing is to be written."""

current: ContextVar[Touches | None] = ContextVar("hotsession_touches", default=None)


class LiveTouches:
    """All touches with sessions that somebody still refers to, and one for code that belongs to no request."""

    def __init__(self) -> None:
        # References to all that were given something and that somebody may still refer to. Not a weak set: another
        # thread can't look through it meanwhile.
        self._begun: deque[weakref.ref[Touches]] = deque()
        self.nobodys = Touches()

    def __repr__(self) -> str:
        return f"<LiveTouches {sum(reference() is not None for reference in self._begun.copy())}>"

    def begin(self) -> Touches:
        """A new one, which is live as long as somebody refers to it."""
        return Touches()

    def note(self, id: str) -> None:
        """Note that the running code was given the session `id`."""
        touches = current.get()
        if touches is None:
            self.nobodys.add(id)
            return
        if not touches:  # twice, where threads note their first at once: no harm
            self._begun.append(weakref.ref(touches))
        touches.add(id)

    def ids(self) -> set[str]:
        """The sessions that somebody may still change."""
        found = set(self.nobodys)
        for _ in range(len(self._begun)):
            try:
                reference = self._begun.popleft()
            except IndexError:  # another thread looks as well, and has the rest
                break
            touches = reference()
            if touches is not None:
                self._begun.append(reference)
                found |= touches.copy()
        return found
