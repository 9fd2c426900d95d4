"""An HTTP request whose event stream may outlive the code that answers it: one handler after the other goes on with it.

That an event stream numbers its events says that its app can resume it, from a page that lost it. So the next handler
is asked as that page would ask: with the last id in ``Last-Event-ID``. What is no such stream ends where it began.
(https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from starlette.types import Message, Receive, Scope, Send

from hotsession.asgi.connections import HTTPExchange
from hotsession.asgi.event_ids import EventIds
from hotsession.asgi.event_stream import EventStream
from hotsession.asgi.leaving import PATIENCE
from hotsession.asgi.standing import Standing
from hotsession.asgi.witness import Progress
from hotsession.asgi.work import in_background
from hotsession.snapshot.touches import NOTHING, Touches

if TYPE_CHECKING:
    from hotsession.snapshot.carrier import Carrier

logger = logging.getLogger("hotsession")

Leaving = Literal["moves", "ends", "stays"]

_GRACE = 5.0  # seconds in which an app that is cancelled has to end


class Identity(Protocol):
    """What stays the same of a request, whoever sees to it.

    Attributes:
        carried: what its sessions are.
        close: whether the client is asked to close its connection after the response.
        connection: its id.
        state: of the app's own.
    """

    carried: dict[str, Any]
    close: bool
    connection: str
    state: dict[str, Any]


class CarriedExchange(HTTPExchange):
    """One HTTP request and its response, on one generation.

    Args:
        scope: the ASGI scope.
        receive: the server's.
        send: the server's.
        before: what has seen to the request so far.

    Attributes:
        carried: as before.
        carrier: writes what it changes; None if nothing is to be written.
        connection: as before.
        leaving: whether it was asked to leave for newer code.
        moves: whether it goes on elsewhere when its app is done here.
        refusal: in words, why the app does not go on with a stream that is open; None if it does.
        resumed: whether it has begun with another app.
        standing: what the app is told of the connection, and says about it.
        start: what the response began with; None if it has not.
        state: as before.
        touched: what it was given, and may have changed.
    """

    carrier: Carrier | None = None
    leaving: bool = False
    moves: bool = False
    refusal: str | None = None
    resumed: bool = False
    standing: Standing | None = None
    start: Message | None = None
    touched: Touches = NOTHING
    _again: bool = False  # the request is to be heard once more
    _ids: EventIds | None = None
    _progress: Progress | None = None
    _taken_up: bool = False
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, scope: Scope, receive: Receive, send: Send, before: Identity) -> None:
        super().__init__(scope, receive, send, close=before.close)
        self.connection, self.carried, self.state = before.connection, before.carried, before.state

    @property
    def special(self) -> CarriedExchange:
        """What sees to it: itself."""
        return self

    def onward(self) -> CarriedExchange:
        """The same request, to be answered by another app from where this one came to."""
        ids = self._ids
        if ids is None or ids.last is None:
            raise RuntimeError(f"{self.describe()} does not move on")
        headers = [each for each in self.scope["headers"] if each[0] != b"last-event-id"]
        scope = {**self.scope, "headers": [*headers, (b"last-event-id", ids.last)]}
        other = CarriedExchange(scope, self._receive, self._send, self)
        other._stream, other._ids = self._stream, ids
        other.resumed = other._again = other._heard = True
        return other

    # what the app calls

    def receive(self) -> Awaitable[Message]:  # type: ignore[override]  # an app awaits either
        """What the app awaits for the next message from the client."""
        if self._again:
            self._again = False
            return _message({"type": "http.request", "body": b"", "more_body": False})
        return super().receive()

    def send(self, message: Message) -> Awaitable[None]:
        """What the app calls with its next message to the client."""
        if message["type"] == "http.response.start":
            self.start = message
            if self.touched:
                self._write_before(message)
            if self.resumed:
                return self._begin_again(message)
            stream = self._stream = EventStream.begun_by(message.get("headers", ()))
            if stream is not None and stream.readable and self.scope["method"] == "GET":
                self._ids = EventIds()
            if self.close:
                return self._begin_with_an_end(message)
        else:
            if self.touched or message.get("more_body", False):
                self._write_before(message)
            if self._stream is not None:
                return _nothing() if self.refusal is not None else self._pass_on(self._stream, message)
        return self._send(message)

    def _write_before(self, message: Message) -> None:
        """Write what was changed, if the client is about to know that it is done. Parts of a body are always told."""
        if self.carrier is None:
            return
        if self._progress is None:
            self._progress = Progress(self.scope["method"])
            if self.start is not None and self.start is not message:
                self._progress.write_before(self.start, self.carrier, self.touched)
        self._progress.write_before(message, self.carrier, self.touched)

    async def _begin_again(self, message: Message) -> None:
        """Check that the app goes on with the stream; its client has got the start long ago."""
        stream = EventStream.begun_by(message.get("headers", ()))
        if message["status"] != 200:
            self.refuse(f"it answered with status {message['status']}")
        elif stream is None or not stream.readable:
            self.refuse(f"it answered with {_kind(message)}, and not with a plain event stream")
        else:
            self._taken_up = True

    async def _pass_on(self, stream: EventStream, message: Message) -> None:
        ids = self._ids
        if self.moves:
            return await self._refuse_to_send()
        if ids is not None and not self.finished:
            if self.leaving and ids.last is not None:
                message = stream.up_to_border(message)
            ids.read(message.get("body", b""))
        await super()._pass_on(stream, message)
        if self.leaving:
            self._leave_now()
        return None

    # what the host calls

    def drain(self) -> None:
        """Ask the client to connect anew: another process is about to take over."""
        self.close = True
        if self.endless:
            self.finish()

    def leave(self, drain: float) -> Leaving:
        """Let an event stream move on, or end where the app wants that, when its last event is complete.

        Args:
            drain: seconds; not used, as a stream needs no more time than its event.

        Returns:
            What it does now. What stays now leaves later, when it has an id to go on from.
        """
        self.leaving = True
        self._leave_now()
        if self.moves:
            return "moves"
        return "ends" if self.finished else "stays"

    def refuse(self, why: str) -> None:
        """End a stream that the app does not go on with: its client connects anew, and sees the answer by itself."""
        if self.refusal is None and self._stream is not None:
            self.refusal = why
            if not self.finished:
                self._end_with(self._stream.last())

    def release(self) -> None:
        """Let go of the server: the app is done."""
        super().release()
        if self._timer is not None:
            self._timer.cancel()  # it refers to all that the app had in its context

    def end(self, error: Exception | None) -> bool:
        """Note that the app is done; return False if its error is to reach the server.

        Args:
            error: what the app raised; None if it did not.
        """
        if self.resumed and not self._taken_up and not self.moves and not self.finished:
            self.refuse("it ended without an answer" if error is None else f"it raised {error!r} before it answered")
        if self.refusal is not None:
            logger.error(
                "The new code did not go on with %s: %s. Its client may connect anew.",
                self.describe(),
                self.refusal,
                exc_info=error,
            )
        elif error is not None and self.finished:
            logger.debug("%s, which was told to end, ended with %r", self.describe(), error)
        return error is None or self.finished

    async def stay(self) -> None:
        """End a stream that was to move on and can't."""
        self.moves = False
        if self._stream is not None and not self._stream.over:
            await self._send(self._stream.last())

    def _leave_now(self) -> None:
        """Leave, if nothing keeps the stream here."""
        stream, ids = self._stream, self._ids
        if stream is None or ids is None or self.finished or stream.over:
            return
        if self.standing is not None and self.standing["close_on_reload"]:
            self.finish()
        elif ids.last is not None and not self._sending and stream.between_events and not self._has_body():
            self.moves = True
            self._end_with(None)
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._insist)

    def _has_body(self) -> bool:
        """Whether the client sent more than headers: that can't be given to the next app."""
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in self.scope["headers"]
        )

    def _insist(self) -> None:
        """Cancel an app that was told that its client has left, and goes on."""
        if not self._released:
            self.cancel()
            self._timer = asyncio.get_running_loop().call_later(_GRACE, self._give_up)

    def _give_up(self) -> None:
        if not self._released:
            logger.warning("%s can't move on: the old code can't be cancelled. Its stream was ended.", self.describe())
            in_background(self.stay)


def _kind(message: Message) -> str:
    """The type of the content that a response begins, and how it is encoded."""
    headers = {name.lower(): value.decode("latin-1") for name, value in message.get("headers", ())}
    kind, encoding = headers.get(b"content-type", "content of no type"), headers.get(b"content-encoding")
    return f"{kind} as {encoding}" if encoding else kind


async def _message(message: Message) -> Message:
    return message


async def _nothing() -> None:
    return None
