"""The body of a response without end: how far it has come, and its last words. Knows no server and no app.

An event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html) ends between two events, with a line
that lets the page come back soon: browsers wait for three seconds or more unless they are told otherwise. An event that
is incomplete when the stream ends is dropped by the browser, so a stream that is cut inside of one must not send the
blank line that would complete it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.types import Message

RETRY = b"retry: 250\n"  # milliseconds; every pause of the page is one in which its user sees old data

_ENDLESS = (b"text/event-stream", b"multipart/x-mixed-replace")
_LINE_END = rb"(?>\r\n|\n|\r)"
_BORDER = re.compile(_LINE_END + _LINE_END)
_LONGEST_BORDER = 4


class EventStream:
    """What was sent of a stream, as far as its end depends on it.

    Args:
        readable: whether lines of ours can be put into it: it is an event stream, and not compressed.

    Attributes:
        over: whether its last part is on its way.
        readable: as given.
    """

    __slots__ = ("_tail", "over", "readable")

    def __init__(self, *, readable: bool) -> None:
        self.over = False
        self.readable = readable
        self._tail = b"\n\n"  # before the first event is between events

    def __repr__(self) -> str:
        return f"<EventStream between_events={self.between_events} over={self.over}>"

    @classmethod
    def begun_by(cls, headers: Iterable[tuple[bytes, bytes]]) -> EventStream | None:
        """The stream that a response with these headers begins; None when it ends by itself."""
        if says_length(headers):
            return None
        kind, compressed = b"", False
        for name, value in headers:
            name = name.lower()
            if name == b"content-type":
                kind = value.lower()
            elif name == b"content-encoding":
                compressed = value.lower() != b"identity"
            elif name == b"content-length":  # to end it earlier would be an error
                return None
        if not kind.startswith(_ENDLESS):
            return None
        return cls(readable=kind.startswith(_ENDLESS[0]) and not compressed)

    @property
    def between_events(self) -> bool:
        """Whether what was sent so far ends with a complete event."""
        return not self.readable or any(each.end() == len(self._tail) for each in _BORDER.finditer(self._tail))

    def take(self, message: Message) -> Message:
        """Note what the app sends."""
        if message["type"] == "http.response.body":
            self.over = not message.get("more_body", False)
            if self.readable and (body := message.get("body", b"")):
                self._tail = bytes((self._tail + body if len(body) < _LONGEST_BORDER else body)[-_LONGEST_BORDER:])
        return message

    def up_to_border(self, message: Message) -> Message:
        """What the app sends without the event that it only begins with that."""
        body = message.get("body", b"")
        borders = [each.end() - len(self._tail) for each in _BORDER.finditer(self._tail + body)]
        if self.readable and borders and borders[-1] > 0:
            message = {**message, "body": body[: borders[-1]], "more_body": True}
        return message

    def last(self) -> Message:
        """The message that ends it."""
        body = b""
        if self.readable:
            blank = b"\n" if self.between_events else b""
            body = (b"" if self._tail[-1:] in (b"\n", b"\r") else b"\n") + RETRY + blank
        self.over = True
        return {"type": "http.response.body", "body": body, "more_body": False}


def says_length(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a response says how long it is, as nearly all write it (ASGI has lower case): then it is no stream."""
    for name, _ in headers:  # noqa: SIM110  `any` takes twice the time
        if name == b"content-length":
            return True
    return False
