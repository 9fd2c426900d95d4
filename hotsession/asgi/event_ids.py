"""Which event of a stream a browser would say it heard last, from the bytes that were sent. Knows nothing else of them.

The rules are those of https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation: an id
counts from the blank line on that ends its event, and for all that follow until another one comes.
"""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventIds:
    """Reads along.

    Attributes:
        last: the id of the last event that was sent whole; None before the first that has one.
    """

    __slots__ = ("_after_return", "_begun", "_next", "last")

    def __init__(self) -> None:
        self.last: bytes | None = None
        self._next: bytes | None = None  # of the event that has begun
        self._begun = b""  # the line that has
        self._after_return = False  # a line feed that comes now belongs to the line end before it

    def __repr__(self) -> str:
        return f"<EventIds last={self.last!r}>"

    def read(self, part: bytes) -> None:
        """Take note of what was sent next."""
        if self._after_return and part[:1] == b"\n":
            part = part[1:]
        if not part:
            return
        self._after_return = part.endswith(b"\r")
        *lines, begun = _LINE_END.split(self._begun + part)
        # Of a line that is no id its content does not matter, and it may be long and come in many parts.
        self._begun = begun if begun.startswith(b"id"[: len(begun)]) else b"-"
        for line in lines:
            if not line:
                self.last = self._next
            elif line.startswith(b"id"):
                name, _, value = line.partition(b":")
                if name == b"id" and b"\0" not in value:
                    self._next = value.removeprefix(b" ")
